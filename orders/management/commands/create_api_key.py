"""`create_api_key GAME --environment E`: another key for a game server, shown once."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.models import Environment
from orders.authentication import new_api_key
from orders.models import Game, Scope


class Command(BaseCommand):
    help = "Create an API key for a game. The key is shown once; only its digest is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("game")
        parser.add_argument("--environment", required=True, choices=Environment.values)
        parser.add_argument("--scopes", nargs="+", choices=Scope.values, default=Scope.values)
        parser.add_argument("--name", default="", help="who holds it, for people")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, game: str, environment: str, scopes: list[str], name: str, **options: Any) -> None:
        """Create and print."""
        found = Game.objects.filter(code=game).first()
        if found is None:
            raise CommandError(f"there is no game {game!r}; create_game makes one")
        key = new_api_key(game=found, environment=environment, scopes=scopes, name=name)
        if options["json"]:
            self.stdout.write(json.dumps({"game": game, "environment": environment, "api_key": key}))
        else:
            self.stdout.write(f"{environment} key of {game}, shown only now:\n{key}")
