"""`set_webhook GAME URL [--mode …]`: where a game's server is told, and who holds the goods."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fulfillment.endpoints import EndpointRefused, retire_old_secrets, rotate_secret, set_endpoint
from fulfillment.models import DeliveryMode
from orders.models import Game


class Command(BaseCommand):
    help = "Set the address of a game's server. A secret that is made by this call is printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("game")
        parser.add_argument("url")
        parser.add_argument("--mode", choices=DeliveryMode.values, help="who holds the goods of new orders")
        parser.add_argument(
            "--rotate-secret", action="store_true", help="add a new secret; the old one stays valid beside it"
        )
        parser.add_argument(
            "--retire-old-secrets", action="store_true", help="end a rotation: sign with the newest secret only"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, game: str, url: str, mode: str | None, **options: Any) -> None:
        """Set and print."""
        found = Game.objects.filter(code=game).first()
        if found is None:
            raise CommandError(f"there is no game {game!r}; create_game makes one")
        if not url:
            raise CommandError("an address is needed")
        try:
            done = set_endpoint(game=found, url=url, mode=DeliveryMode(mode) if mode else None)
        except EndpointRefused as error:
            raise CommandError(str(error)) from error
        if options["retire_old_secrets"]:
            retire_old_secrets(endpoint_id=done.endpoint.pk)
        secret = done.secret or (rotate_secret(endpoint_id=done.endpoint.pk) if options["rotate_secret"] else None)
        shown = {"game": game, "url": done.endpoint.url, **({"webhook_secret": secret} if secret else {})}
        if options["json"]:
            self.stdout.write(json.dumps(shown))
        else:
            self.stdout.write("\n".join(f"{name}: {value}" for name, value in shown.items()))
