"""Adding new lines of the timelines to the kept sums: in order of their ids, each exactly once.

An id is taken before its transaction commits, so a smaller one may appear after a larger. Therefore events are
folded only up to an id below which nothing can appear any more. Two questions find it, in this order:

1. How far have events come (`seen_to`), and does nobody hold a number without being visible as a transaction? An
   INSERT locks its table, then takes the number, and only then gets its transaction id; for that moment no snapshot
   knows of it, but its lock does.
2. Which transaction id is given out now (`seen_xid`)? Whoever holds a number up to `seen_to` has an older one; once
   every older transaction has ended, everything up to `seen_to` is there for good.

Chunk and cursor move in one transaction, under the lock of the cursor's row: several workers may fold, and one that
dies has folded nothing.
"""

import time
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from orders.models import EventKind
from orders.revenue.facts import BOOKS, DETAILS, FIGURES, REAL, facts, keys_of, sums

CHUNK = 20_000
# One round of a worker spends this long at most: those who pay use the same database.
ROUND_S = 2.0

_IN_CHUNK = "e.id > %(after)s AND e.id <= %(upto)s"
_ALL = (*FIGURES, "new_payers")
_ALL_OF_HOUR = ("attempts", *FIGURES)


def _add(table: str, keys: tuple[str, ...], figures: tuple[str, ...], told: str) -> str:
    """Add the facts of `told` to the rows of a table, making those that are missing."""
    named = ", ".join((*keys, *figures))
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in figures)
    # Rows without a figure (an attempt is no part of a day) need not be kept.
    some = " + ".join(figures)
    return f"""
        INSERT INTO {table} ({named})
        SELECT {keys_of(keys)}, {sums(figures)} FROM {told} WHERE {some} > 0 GROUP BY {places}
        ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {added}
    """  # noqa: S608  # our own text and column names


def fold_statement(which: str) -> str:
    """Add the facts of the events that `which` lets through to all sums. The answer: how many facts."""
    first = f"""
        INSERT INTO orders_payer (game_id, environment, uid, first_event)
        SELECT o.game_id, o.environment, o.uid, min(e.id)
        FROM orders_orderevent e JOIN orders_order o ON o.id = e.order_id
        WHERE e.kind = '{EventKind.PAID.value}' AND {REAL} AND {which} GROUP BY 1, 2, 3
        ON CONFLICT (game_id, environment, uid) DO NOTHING RETURNING first_event
    """  # noqa: S608  # our own text
    keys = (*BOOKS, "day")
    return f"""
        WITH first AS ({first}),
        told AS MATERIALIZED (
            SELECT fact.*, (payer IS NOT NULL AND first.first_event IS NOT NULL)::int AS new_payers
            FROM ({facts(which)}) AS fact LEFT JOIN first ON first.first_event = fact.event
        ),
        days AS ({_add("orders_revenueday", (*keys, *DETAILS), _ALL, "told")}),
        channels AS ({_add("orders_revenuedaybychannel", keys, _ALL, "told")}),
        hours AS ({_add("orders_revenuehour", (*keys, "hour"), _ALL_OF_HOUR, "told")})
        SELECT count(*) FROM told
    """  # noqa: S608  # our own text


_FOLD = fold_statement(_IN_CHUNK)
_CURSOR = "SELECT folded_to, seen_to, seen_xid FROM orders_revenuecursor WHERE id = 1 FOR UPDATE SKIP LOCKED"
_NEW_CURSOR = """
    INSERT INTO orders_revenuecursor (id, folded_to, seen_to, seen_xid) VALUES (1, 0, 0, 0) ON CONFLICT DO NOTHING
"""
_COME_TO = """
    SELECT coalesce(max(id), 0), (SELECT coalesce(max(seen_to), 0) FROM orders_revenuecursor) FROM orders_orderevent
"""
_SOMEBODY_UNSEEN = """
    WITH held AS MATERIALIZED (SELECT * FROM pg_locks)
    SELECT EXISTS (
        SELECT FROM held WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
          AND relation = 'orders_orderevent'::regclass
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND NOT EXISTS (SELECT FROM held AS own WHERE own.locktype = 'transactionid'
                          AND own.virtualtransaction = held.virtualtransaction))
"""
# A transaction id of our own, younger than all that were given out before. (The `xmax` of a snapshot would not do: it
# follows the last transaction that ended, and may belong to one that is running.)
_OWN_XID = "SELECT pg_current_xact_id()::text::bigint"
_OLDER_ENDED = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= %s"


@dataclass(frozen=True, slots=True)
class Seen:
    """Events had come to `event` when no transaction from `xid` on had written any."""

    event: int
    xid: int


def fold_round() -> int:
    """A worker's turn: fold what is certain, for a bounded time. Returns how many facts were added."""
    ends = time.monotonic() + ROUND_S
    added = 0
    while True:
        more = fold_some(seen=look())
        if more is None or time.monotonic() >= ends:
            return added + (more or 0)
        added += more


def look() -> Seen | None:
    """How far events have come; None when no further than was seen before, or when somebody may hold a number that
    no snapshot shows.

    Asked outside a transaction, so that each question is asked after the answer to the one before.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COME_TO)
        event, seen_before = cursor.fetchone() or (0, 0)
        if event <= seen_before:
            return None
        cursor.execute(_SOMEBODY_UNSEEN)
        if _only(cursor):
            return None
        cursor.execute(_OWN_XID)
        return Seen(event, _only(cursor))


def fold_some(*, seen: Seen | None, chunk: int = CHUNK) -> int | None:
    """Fold one chunk in one transaction. Returns the number of facts; None when nothing more can be done now."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_CURSOR)
        row = cursor.fetchone()
        if row is None:
            # Another worker is folding; or this is the first time.
            cursor.execute(_NEW_CURSOR)
            return 0 if cursor.rowcount else None
        folded_to, seen_to, seen_xid = row
        if folded_to == seen_to and seen is not None and seen.event > seen_to:
            seen_to, seen_xid = seen.event, seen.xid
            cursor.execute("UPDATE orders_revenuecursor SET seen_to = %s, seen_xid = %s", (seen_to, seen_xid))
        if folded_to == seen_to:
            return None
        cursor.execute(_OLDER_ENDED, (seen_xid,))
        if not _only(cursor):
            return None
        upto = min(folded_to + chunk, seen_to)
        # Planned for these very numbers: a plan for any numbers reads all orders, as if these might be most of them.
        cursor.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        cursor.execute(_FOLD, {"after": folded_to, "upto": upto})
        added = int(_only(cursor))
        cursor.execute("UPDATE orders_revenuecursor SET folded_to = %s, folded_at = clock_timestamp()", (upto,))
    return added


def folded_to() -> int:
    """Up to which event the sums go."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(folded_to), 0) FROM orders_revenuecursor")
        return int(_only(cursor))


def _only(cursor: Any) -> Any:
    (value,) = cursor.fetchone()
    return value
