"""What a line of an order's timeline means in figures, in SQL: the one place where this is said.

A fact is a few figures that belong to one business day. An order counts as made, and as one of the made that got
paid, on the day it was made; as paid on the day of payment by the provider's clock; refunds count on the day of the
refund. What was paid with play money (by a store's reviewer) is no fact at all. Days and hours are the game's own:
its time zone, and the hour at which its day turns.
"""

from collections.abc import Sequence

from orders.models import EventKind

COUNTED = (EventKind.CREATED, EventKind.ATTEMPT_OPENED, EventKind.PAID, EventKind.REFUNDED)
_KINDS = ", ".join(f"'{kind.value}'" for kind in COUNTED)

# What may be asked for and grouped by, as the order's columns say it; the method is told by the fact.
BOOKS = ("game_id", "environment", "currency", "channel_code", "method")
DETAILS = ("product_code", "zone_id")
FIGURES = ("made", "made_paid", "paid", "gross_minor", "refunds", "refunded_minor")

# Paid with play money by a store's reviewer: delivered, and no revenue.
REAL = "e.data->>'test' IS NULL"


def business_clock(moment: str) -> str:
    """A moment on the clock of game `g`, moved so that its date is the business day and its hour counts from it."""
    return f"(({moment}) AT TIME ZONE g.time_zone - make_interval(hours => g.day_turns_at_hour))"


def facts(which: str) -> str:
    """The facts told by the events that `which` lets through (a condition on `e`, its order `o` and game `g`).

    Columns: event, payer (the player, of a fact that is a payment), BOOKS, DETAILS, at (on the business clock),
    attempts, FIGURES.
    """
    return f"""
        SELECT e.id AS event, CASE WHEN fact.paid > 0 THEN o.uid END AS payer,
               o.game_id, o.environment, o.currency, o.channel_code, coalesce(fact.method, '') AS method,
               o.product_code, o.zone_id, {business_clock("fact.moment")} AS at,
               fact.attempts, fact.made, fact.made_paid, fact.paid, fact.gross_minor, fact.refunds, fact.refunded_minor
        FROM orders_orderevent e
        JOIN orders_order o ON o.id = e.order_id
        JOIN orders_game g ON g.id = o.game_id
        CROSS JOIN LATERAL (VALUES
            ('{EventKind.CREATED.value}', o.created_at, '', 0, 1, 0, 0, 0::bigint, 0, 0::bigint),
            ('{EventKind.PAID.value}', o.created_at, '', 0, 0, 1, 0, 0, 0, 0),
            ('{EventKind.PAID.value}', o.paid_at, o.method, 0, 0, 0, 1, o.amount_minor, 0, 0),
            ('{EventKind.ATTEMPT_OPENED.value}', e.at, e.data->>'method', 1, 0, 0, 0, 0, 0, 0),
            ('{EventKind.REFUNDED.value}', e.at, o.method, 0, 0, 0, 0, 0, 1, (e.data->>'amount')::bigint)
        ) AS fact (kind, moment, method, attempts, made, made_paid, paid, gross_minor, refunds, refunded_minor)
        WHERE fact.kind = e.kind AND e.kind IN ({_KINDS}) AND {REAL} AND {which}
    """  # noqa: S608  # our own text and column names


def keys_of(fact: Sequence[str]) -> str:
    """The columns by which facts are added, as the kept sums call them."""
    told = {"day": "at::date AS day", "hour": "extract(hour FROM at)::smallint AS hour"}
    return ", ".join(told.get(key, key) for key in fact)


def sums(figures: Sequence[str]) -> str:
    """`sum(a)::bigint AS a, …`."""
    return ", ".join(f"sum({name})::bigint AS {name}" for name in figures)
