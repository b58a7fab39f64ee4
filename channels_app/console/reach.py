"""How far a person's sight reaches: staff may be limited to some games, and then see rows of those games alone.

This floor knows no game. The floor that does says here whose games are whose (`learn`), and how a table that names
no game itself is narrowed (`narrowing`); `ConsoleAdmin.game_path` says how every other table reaches its game.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet

Games = frozenset[int]
# The games of a person; None: all of them.
GamesOf = Callable[[Any], Games | None]
# Rows of some games, for a table whose rows reach their game in a way of its own.
Narrowing = Callable[[QuerySet[Any], Games], QuerySet[Any]]

_games_of: list[GamesOf] = []
_narrowings: dict[type[Model], Narrowing] = {}


def learn(games_of: GamesOf) -> None:
    """Say who works for which games."""
    _games_of[:] = [games_of]


def narrow_with(model: type[Model], narrowing: Narrowing) -> None:
    """Say how the rows of `model` are narrowed to some games."""
    _narrowings[model] = narrowing


def games_of(user: Any) -> Games | None:
    """The games a person works for; None: all of them."""
    return _games_of[0](user) if _games_of else None


def within(rows: QuerySet[Any], user: Any, game_path: str | None) -> QuerySet[Any]:
    """The rows that this person may see. `game_path`: from a row to its game; "": rows for everybody; None: rows of
    no game, which are only for those who work for all.
    """
    games = games_of(user)
    if games is None or game_path == "":
        return rows
    narrowing = _narrowings.get(rows.model)
    if narrowing is not None:
        return narrowing(rows, games)
    return rows.none() if game_path is None else rows.filter(**{f"{game_path}__in": games})
