"""A report of revenue: the kept sums plus the events that are not folded yet, read together.

What is shown equals the raw rows at that instant: sums and the tail of events are read by one statement, and all
statements of a report see one snapshot. Players cannot be added over days; they are counted from the orders
themselves, where a period is short enough.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import psycopg
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import RawSQL

from channels_app.console import periods as lists
from channels_app.models import Environment
from orders.business_time import day_begins
from orders.models import Game, Order, OrderState
from orders.revenue.facts import FIGURES, facts, sums
from orders.revenue.folding import folded_to
from orders.revenue.periods import Days, Grain
from orders.sql import raw_connection

# Longer than this, counting players reads so many orders that somebody should ask for it.
PAYERS_COUNTED_DAYS = 62
# More events than this waiting to be folded (a new installation, a worker that was away for days) would be read for
# a minute; the report says so instead.
LONGEST_TAIL = 500_000
_PAID_WITHIN = timedelta(days=8)
_ALL = (*FIGURES, "new_payers")


class Group(StrEnum):
    """What the rows of a report are."""

    CHANNEL = "channel"
    METHOD = "method"
    PRODUCT = "product"
    ZONE = "zone"
    GAME = "game"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_COLUMNS = {
    Group.CHANNEL: "channel_code",
    Group.METHOD: "method",
    Group.PRODUCT: "product_code",
    Group.ZONE: "zone_id",
    Group.GAME: "game_id",
}
_GRAINS = {Group.DAY: Grain.DAY, Group.WEEK: Grain.WEEK, Group.MONTH: Grain.MONTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report is about. The games share one clock. Filters: empty for all; None: no filter on the zone."""

    games: Sequence[Game]
    environment: Environment
    currency: str
    days: Days
    grain: Grain = Grain.DAY
    group: Group = Group.CHANNEL
    channel: str = ""
    method: str = ""
    product: str = ""
    zone: str | None = None

    @property
    def by_time(self) -> bool:
        """Whether rows are days, weeks or months."""
        return self.group in _GRAINS

    @property
    def column(self) -> str:
        """The column whose values are told apart: in the rows, or in the chart of rows that are days."""
        return _COLUMNS.get(self.group, "channel_code")

    @property
    def width(self) -> Grain:
        """How long the columns of the chart are; rows of days, weeks or months say it themselves."""
        return _GRAINS.get(self.group, self.grain)

    @property
    def knows_made(self) -> bool:
        """Whether the orders made are known: no method is chosen yet when an order is made."""
        return not self.method


@dataclass(slots=True)
class Figures:
    """The figures of one row. Amounts in minor units; `payers` None: not counted."""

    made: int = 0
    made_paid: int = 0
    paid: int = 0
    gross_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0
    new_payers: int = 0
    payers: int | None = None

    def add(self, other: "Figures") -> None:
        """Add what can be added: everything but players."""
        for name in _ALL:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def net_minor(self) -> int:
        """What was taken less what was given back."""
        return self.gross_minor - self.refunded_minor

    @property
    def per_payer_minor(self) -> int | None:
        """ARPPU, rounded to the minor unit."""
        return (2 * self.gross_minor + self.payers) // (2 * self.payers) if self.payers else None

    @property
    def paid_rate(self) -> float | None:
        """Of the orders made in the period so many are paid by now."""
        return self.made_paid / self.made if self.made else None


@dataclass(slots=True)
class Sums:
    """What was added for a period: a row per key (a column's value, or a column of days), and each key's columns."""

    total: Figures = field(default_factory=Figures)
    rows: dict[Any, Figures] = field(default_factory=lambda: defaultdict(Figures))
    # Gross per column of days and value of the column, for the chart.
    gross: dict[tuple[date, Any], int] = field(default_factory=dict)


def backlog() -> int:
    """How many events are not folded yet, at most (numbers that were never used count)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM orders_orderevent")
        (newest,) = cursor.fetchone() or (0,)
    return max(int(newest) - folded_to(), 0)


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Everything inside sees the database as it was at the first question. Nothing can be written by accident."""
    if connection.in_atomic_block:
        # Whoever holds a transaction already has chosen what it sees.
        yield
        return
    raw = raw_connection()
    # Said before the transaction begins: the console's first words in one are who acts, and then it is too late.
    usual, raw.isolation_level, raw.read_only = raw.isolation_level, psycopg.IsolationLevel.REPEATABLE_READ, True
    try:
        with transaction.atomic():
            yield
    finally:
        if not raw.closed:
            raw.isolation_level, raw.read_only = usual, None


# --- sums -------------------------------------------------------------------------------------------------
_TAIL = (
    "e.id > %(folded)s AND e.id > (SELECT coalesce(max(folded_to), 0) FROM orders_revenuecursor)"
    " AND o.game_id = ANY(%(games)s) AND o.environment = %(environment)s"
)
_FIRST = """
    (fact.payer IS NOT NULL
     AND row_number() OVER (PARTITION BY fact.game_id, fact.environment, fact.payer ORDER BY fact.event) = 1
     AND NOT EXISTS (SELECT FROM orders_payer p WHERE p.game_id = fact.game_id
                     AND p.environment = fact.environment AND p.uid = fact.payer))::int
"""


def add_up(asked: Asked) -> Sums:
    """The figures of a period: one statement, one indexed range of sums, and the tail."""
    with connection.cursor() as cursor:
        cursor.execute(sums_statement(asked), sums_parameters(asked))
        found = cursor.fetchall()
    added = Sums()
    for column, key, *figures in found:
        some = Figures(*(int(figure) for figure in figures))
        added.total.add(some)
        added.rows[column if asked.by_time else key].add(some)
        added.gross[column, key] = some.gross_minor
    if asked.group is Group.METHOD:
        # Orders are made before a method is chosen; they count in the total alone.
        added.rows.pop("", None)
    return added


def sums_statement(asked: Asked) -> str:
    """The statement behind `add_up`: figures by column of days and by value."""
    named = {"channel_code": "channel", "method": "method", "product_code": "product"}
    filters = [f"{column} = %({name})s" for column, name in named.items() if getattr(asked, name)]
    if asked.zone is not None:
        filters.append("zone_id = %(zone)s")
    where = " AND ".join(["day BETWEEN %(first)s AND %(last)s", "currency = %(currency)s", *filters])
    detailed = asked.product or asked.zone is not None or asked.group in (Group.PRODUCT, Group.ZONE)
    kept = "orders_revenueday" if detailed else "orders_revenuedaybychannel"
    picked = f"day, {asked.column} AS key, {', '.join(_ALL)}"
    width = asked.width.value
    column = "day" if width == "day" else f"greatest(date_trunc('{width}', day)::date, %(first)s)"
    return f"""
        WITH tail AS (
            SELECT fact.*, at::date AS day, {_FIRST} AS new_payers FROM ({facts(_TAIL)}) AS fact
        ), both_parts AS (
            SELECT {picked} FROM {kept}
            WHERE game_id = ANY(%(games)s) AND environment = %(environment)s AND {where}
            UNION ALL
            SELECT {picked} FROM tail WHERE {where}
        )
        SELECT {column}, key, {sums(_ALL)} FROM both_parts GROUP BY 1, 2
    """  # noqa: S608  # our own text and column names


def sums_parameters(asked: Asked) -> dict[str, Any]:
    """What `sums_statement` asks for."""
    return {
        "games": [game.pk for game in asked.games],
        "environment": asked.environment.value,
        "currency": asked.currency,
        "first": asked.days.first,
        "last": asked.days.last,
        "channel": asked.channel,
        "method": asked.method,
        "product": asked.product,
        "zone": asked.zone,
        "folded": folded_to(),
    }


def currencies(*, games: Sequence[Game], environment: Environment) -> list[str]:
    """The currencies something was ever sold in, the most common first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH tail AS (SELECT fact.* FROM ({facts(_TAIL)}) AS fact)
            SELECT currency FROM (
                SELECT currency, made FROM orders_revenuedaybychannel
                WHERE game_id = ANY(%(games)s) AND environment = %(environment)s
                UNION ALL SELECT currency, made FROM tail
            ) AS sold GROUP BY currency ORDER BY sum(made) DESC, currency
            """,  # noqa: S608  # our own text
            {"games": [game.pk for game in games], "environment": environment.value, "folded": folded_to()},
        )
        return [currency for (currency,) in cursor.fetchall()]


# --- players ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Payers:
    """Different players who paid: in all, and per row."""

    total: int
    rows: Mapping[Any, int]


def paid_orders(asked: Asked) -> QuerySet[Order]:
    """The orders paid in the period, read from the right primary key on."""
    game = asked.games[0]
    orders = Order.objects.filter(
        game__in=[game.pk for game in asked.games],
        environment=asked.environment,
        state=OrderState.PAID,
        currency=asked.currency,
    )
    for column, value in (("channel_code", asked.channel), ("method", asked.method), ("product_code", asked.product)):
        if value:
            orders = orders.filter(**{column: value})
    if asked.zone is not None:
        orders = orders.filter(zone_id=asked.zone)
    since, until = (
        day_begins(day, time_zone=game.time_zone, turns_at_hour=game.day_turns_at_hour)
        for day in (asked.days.first, asked.days.last + timedelta(days=1))
    )
    period = lists.Period(since, until)
    return lists.within(orders, period, column="paid_at", early=_PAID_WITHIN, keys_follow="created_at")


def count_payers(asked: Asked) -> Payers:
    """Different players who paid in the period, in all and per row: every paid order of it is read once."""
    clock = asked.games[0]
    key: Any = F(asked.column)
    if asked.by_time:
        key = RawSQL(  # our own text
            "date_trunc(%s, paid_at AT TIME ZONE %s - make_interval(hours => %s))::date",
            (asked.width.value, clock.time_zone, clock.day_turns_at_hour),
        )
    pairs, parameters = (
        paid_orders(asked).order_by().values_list(key, "game_id", "uid").distinct().query.sql_with_params()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH pairs (key, game, uid) AS MATERIALIZED ({pairs})
            SELECT false, key, count(*) FROM pairs GROUP BY key
            UNION ALL SELECT true, NULL, count(*) FROM (SELECT DISTINCT game, uid FROM pairs) AS players
            """,  # noqa: S608  # our own text
            parameters,
        )
        found = cursor.fetchall()
    rows = {key: count for is_total, key, count in found if not is_total}
    if asked.by_time:
        rows = {max(day, asked.days.first): count for day, count in rows.items()}
    return Payers(next(count for is_total, _key, count in found if is_total), rows)


# --- all of it --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Report:
    """A period, what it is held against, and its players where they were counted."""

    now: Sums
    before: Sums | None
    payers: Payers | None


def make_report(asked: Asked, *, compared: Days | None, with_payers: bool) -> Report:
    """The whole report, as the books stood at one instant."""
    with one_snapshot():
        now = add_up(asked)
        before = add_up(replace(asked, days=compared)) if compared else None
        return Report(now, before, count_payers(asked) if with_payers else None)
