"""The hours of some business days: what is kept as sums, and the lines of the timelines not added to them yet.

Both are read by one statement, so a line is counted once whether it is folded meanwhile or not.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connection

from channels_app.models import Environment
from orders.revenue.facts import facts
from orders.revenue.folding import folded_to
from orders.revenue.report import backlog

_KEYS = "day, hour, currency, channel_code, method"
_FIGURES = "attempts, made, made_paid, paid, gross_minor, refunds, refunded_minor"
_SUMS = ", ".join(f"sum({name})::bigint" for name in _FIGURES.split(", "))
# The first condition lets the planner know how few they are, the second makes it one snapshot with the sums.
_NOT_FOLDED = facts(
    "e.id > %(folded)s AND e.id > (SELECT coalesce(max(folded_to), 0) FROM orders_revenuecursor)"
    " AND o.game_id = ANY(%(games)s) AND o.environment = %(environment)s"
)
# More than this waits to be added up after a long absence of the worker: reading it would hold the page.
LONGEST_TAIL = 50_000
HOURS = f"""
    SELECT {_KEYS}, {_SUMS}
    FROM (
        SELECT {_KEYS}, {_FIGURES} FROM orders_revenuehour
        WHERE game_id = ANY(%(games)s) AND environment = %(environment)s AND day = ANY(%(days)s)
        UNION ALL
        SELECT at::date AS day, extract(hour FROM at)::smallint, currency, channel_code, method, {_FIGURES}
        FROM ({_NOT_FOLDED}) AS fact
        WHERE at::date = ANY(%(days)s)
    ) AS known
    GROUP BY {_KEYS}
"""  # noqa: S608  # our own text and column names


@dataclass(frozen=True, slots=True)
class HourSum:
    """What happened in one hour of a business day (0 is its first), by currency, channel and method."""

    day: date
    hour: int
    currency: str
    channel_code: str
    method: str
    attempts: int
    made: int
    made_paid: int
    paid: int
    gross_minor: int
    refunds: int
    refunded_minor: int


def is_up_to_date() -> bool:
    """Whether what is not added up yet is little enough to be read with the rest."""
    return backlog() <= LONGEST_TAIL


def hours_of(
    game_ids: Collection[int], environment: Environment, days: Collection[date]
) -> Mapping[date, list[HourSum]]:
    """The sums of these days, right up to now. The games share a clock."""
    found: dict[date, list[HourSum]] = {day: [] for day in days}
    asked: dict[str, Any] = {
        "games": list(game_ids),
        "environment": environment.value,
        "days": list(days),
        "folded": folded_to(),
    }
    with connection.cursor() as cursor:
        cursor.execute(HOURS, asked)
        for row in cursor.fetchall():
            found[row[0]].append(HourSum(*row))
    return found
