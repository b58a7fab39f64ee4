"""`rebuild_revenue [GAME]`: add revenue again from the timelines, by another clock if one is given."""

from typing import Any
from zoneinfo import available_timezones

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.models import Game
from orders.revenue.rebuilding import change_clock, rebuild_revenue


class Command(BaseCommand):
    help = "Make the sums of revenue anew from the orders' timelines; with another clock for a game of many orders."

    def add_arguments(self, parser: CommandParser) -> None:
        """One game, or all of them."""
        parser.add_argument("game", nargs="?", help="code of the game; all games without")
        parser.add_argument("--time-zone", choices=sorted(available_timezones()), metavar="ZONE", help="its new zone")
        parser.add_argument("--day-turns-at", type=int, choices=range(24), metavar="HOUR", help="its new day's turn")

    def handle(self, *args: Any, game: str | None, **options: Any) -> None:
        """Rebuild and say of how many facts."""
        zone, hour = options["time_zone"], options["day_turns_at"]
        if game is None and (zone is not None or hour is not None):
            raise CommandError("say which game gets another clock")
        games = Game.objects.order_by("code")
        if game is not None:
            games = games.filter(code=game)
            if not games:
                raise CommandError(f"there is no game {game!r}")
        for one in games:
            if zone is None and hour is None:
                facts = rebuild_revenue(one)
            else:
                hour = one.day_turns_at_hour if hour is None else hour
                facts = change_clock(one, time_zone=zone or one.time_zone, day_turns_at_hour=hour)
            self.stdout.write(f"{one.code}: made of {facts} facts")
