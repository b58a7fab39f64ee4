"""`create_game CODE --name N`: a game with its first (sandbox) key and its webhook secret, shown once."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fulfillment.games import GameRefused, create_game


class Command(BaseCommand):
    help = "Create a game. Prints a sandbox API key and the webhook secret; neither is shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("code", help="letters, digits, - and _, at most 32")
        parser.add_argument("--name", required=True)
        parser.add_argument("--webhook-url", default="", help="where the game server is told; set_webhook changes it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, code: str, name: str, webhook_url: str, **options: Any) -> None:
        """Create and print."""
        try:
            made = create_game(code=code, name=name, webhook_url=webhook_url)
        except GameRefused as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            shown = {"game": code, "api_key": made.api_key, "webhook_secret": made.webhook_secret}
            self.stdout.write(json.dumps(shown))
        else:
            self.stdout.write(
                f"game {code}; shown only now:\n  sandbox API key  {made.api_key}\n"
                f"  webhook secret   {made.webhook_secret}"
            )
