"""`rebuild_revenue [GAME]`: add revenue again from the timelines."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.models import Game
from orders.revenue.rebuilding import rebuild_revenue


class Command(BaseCommand):
    help = "Make the sums of revenue anew from the orders' timelines: after a game's clock was changed by other ways."

    def add_arguments(self, parser: CommandParser) -> None:
        """One game, or all of them."""
        parser.add_argument("game", nargs="?", help="code of the game; all games without")

    def handle(self, *args: Any, game: str | None, **options: Any) -> None:
        """Rebuild and say of how many facts."""
        games = Game.objects.order_by("code")
        if game is not None:
            games = games.filter(code=game)
            if not games:
                raise CommandError(f"there is no game {game!r}")
        for one in games:
            self.stdout.write(f"{one.code}: made of {rebuild_revenue(one)} facts")
