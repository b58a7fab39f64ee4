"""Which games a member of staff works for. Whoever is named for none works for all of them.

The rule is kept on this floor because games are; the console below asks it through `channels_app.console.reach`.
"""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from channels_app.models import Notification
from orders.models import GameStaff, PaymentAttempt

_KEPT_ON_USER = "_games_worked_for"


def games_of(user: Any) -> frozenset[int] | None:
    """The keys of the games this person works for; None: all of them. Read once per request (kept on its user)."""
    if not hasattr(user, _KEPT_ON_USER):
        rows = GameStaff.objects.filter(user=user.pk).values_list("game_id", flat=True) if user.pk else ()
        setattr(user, _KEPT_ON_USER, frozenset(rows) or None)
    games: frozenset[int] | None = getattr(user, _KEPT_ON_USER)
    return games


def notifications_of_games(rows: QuerySet[Notification], games: frozenset[int]) -> QuerySet[Notification]:
    """Messages about attempts to pay for these games: a notification names an attempt, and knows no game itself."""
    attempts = PaymentAttempt.objects.filter(attempt_no=OuterRef("attempt_no"), order__game__in=games)
    return rows.filter(Exists(attempts)).exclude(attempt_no="")
