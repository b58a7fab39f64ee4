"""The console's pages of orders. Importing them puts them on the site.

Floors above add what they know to these pages (`panels`, `inlines`) from their own admin packages, because
this one may not know them.
"""

from channels_app.console import reach
from channels_app.models import Notification
from orders.admin import (
    bulk_acts,
    cases,
    catalogue,
    export_centre,
    games,
    jobs,
    look_up,
    orders,
    payments,
    reverifying,
    reviewers,
)
from orders.staff import games_of, notifications_of_games

reach.learn(games_of)
reach.narrow_with(Notification, notifications_of_games)

__all__ = [
    "bulk_acts",
    "cases",
    "catalogue",
    "export_centre",
    "games",
    "jobs",
    "look_up",
    "orders",
    "payments",
    "reverifying",
    "reviewers",
]
