"""`rotate_vault_keys`: brings every secret at rest under the newest key of PAYMENTS_VAULT_KEYS."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.accounts import rewrap_accounts, rewrap_notifications
from channels_app.vault import VaultClosed, newest_key_id
from fulfillment.endpoints import rewrap_endpoints
from orders.idempotency import rewrap_answers
from payments_site.people.vaulting import rewrap_authenticators

REWRAPPERS: Mapping[str, Callable[[], int]] = {
    "merchant accounts": rewrap_accounts,
    "webhook endpoints": rewrap_endpoints,
    "kept answers": rewrap_answers,
    "notifications": rewrap_notifications,
    "authenticators": rewrap_authenticators,
}


class Command(BaseCommand):
    help = "Re-wrap every sealed secret under the newest vault key, in small batches, while payments go on."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Re-wrap; a second run finds nothing left to do, and then the old key may be removed."""
        done: dict[str, int] = {}
        for name, rewrap in REWRAPPERS.items():
            try:
                done[name] = rewrap()
            except VaultClosed as error:
                raise CommandError(f"{name}: {error}; keep the old key until the rotation is through") from error
            if not options["json"]:
                self.stdout.write(f"{name}: {done[name]} brought under key {newest_key_id()}")
        if options["json"]:
            self.stdout.write(json.dumps({"key": newest_key_id(), "rewrapped": done}))
