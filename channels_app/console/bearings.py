"""What the console is looking at: which games, which money, on which clock. Chosen above (see the console's scope).

This floor knows no game, and whoever builds a list should not have to ask the top floor: the top floor says it here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from channels_app.models import Environment


@dataclass(frozen=True, slots=True)
class Bearings:
    """`games` None: all there are."""

    environment: Environment = Environment.PRODUCTION
    games: tuple[int, ...] | None = None
    turns_at_hour: int = 0


_asked: list[Callable[[HttpRequest], Bearings]] = []


def learn(bearings: Callable[[HttpRequest], Bearings]) -> None:
    """Say what a request looks at."""
    _asked[:] = [bearings]


def bearings_of(request: HttpRequest) -> Bearings:
    """What this request looks at."""
    return _asked[0](request) if _asked else Bearings()
