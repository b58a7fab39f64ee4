"""`demo`: one purchase through every method of every channel, each step as it happens, and a table at the end."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from payments_site.demo_data import CHANNELS, read_access
from payments_site.demo_purchase import Buyer, DemoFailed, Purchase


class Command(BaseCommand):
    help = "Drive one purchase through every enabled method against the simulator (`make run` must be running)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("--json", action="store_true", help="print one JSON object and no steps")

    def handle(self, *args: Any, **options: Any) -> None:
        """Buy, show, judge: exit 1 if any purchase failed."""
        access = read_access() if settings.SIMULATOR_ENABLED else None
        if access is None:
            raise CommandError("there is no demo game here: start `make run` on an empty database first")
        say = _silent if options["json"] else self._say
        buyer = Buyer(
            base_url=settings.PUBLIC_BASE_URL,
            api_key=access.api_key,
            simulator_url=f"http://127.0.0.1:{settings.SIMULATOR_PORT}",
            say=say,
        )
        try:
            offers = [offer for offer in buyer.offers() if offer.channel in CHANNELS]
        except (requests.RequestException, DemoFailed) as error:
            raise CommandError(
                f"{settings.PUBLIC_BASE_URL} does not answer; is `make run` running? ({error})"
            ) from error
        purchases = []
        for offer in offers:
            say("", f"--- {offer.method} on {offer.channel}")
            purchases.append(buyer.buy(offer=offer, product=access.product))
        ok = bool(purchases) and all(purchase.ok for purchase in purchases)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": ok, "purchases": [each.document() for each in purchases]}))
        else:
            self.stdout.write(_table(purchases))
        if not ok:
            sys.exit(1)

    def _say(self, who: str, what: str) -> None:
        clock = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
        self.stdout.write(f"{clock}  {who:<12} {what}" if who else f"\n{what}")
        self.stdout.flush()


def _silent(who: str, what: str) -> None:
    """`--json` shows no steps."""


def _table(purchases: Sequence[Purchase]) -> str:
    lines = ["", f"{'channel':<11} {'method':<17} {'order':<30} {'state':<8} {'delivery':<9} {'ms':>6}  goods"]
    for each in purchases:
        goods = ", ".join(f"{line['quantity']}+{line['bonus']} {line['item_id']}" for line in each.items)
        lines.append(
            f"{each.channel:<11} {each.method:<17} {each.order_no:<30} {each.state:<8} {each.delivery_state:<9}"
            f" {each.delivered_after_ms if each.delivered_after_ms is not None else '-':>6}  {goods or each.error}"
        )
    delivered = sum(each.ok for each in purchases)
    return "\n".join([*lines, f"{delivered} of {len(purchases)} purchases delivered"])
