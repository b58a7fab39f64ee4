"""The hot path's way to PostgreSQL: the very connection Django holds, with psycopg's pipeline.

Statements written between two reads travel together and cost one round trip. Everything outside the hot
path (creating an order, settling a payment, reading an order) uses the ORM.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from django.db import connection
from psycopg.pq import TransactionStatus

_T = TypeVar("_T")
_TRIES = 3
RETRYABLE = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


def raw_connection() -> psycopg.Connection[Any]:
    """Django's own psycopg connection of this thread, checked to be alive."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    return raw


@contextmanager
def pipelined_transaction() -> Iterator[psycopg.Connection[Any]]:
    """One transaction whose statements travel together; reading a result flushes what was written before it.

    Commits at the end of the block: when it has been left without an exception, the work is on disk. Inside
    another transaction it is a savepoint of it.
    """
    raw = raw_connection()
    if raw.info.transaction_status != TransactionStatus.IDLE:
        with raw.pipeline(), raw.transaction():
            yield raw
        return
    # `raw.transaction()` would wait for the answers to BEGIN and COMMIT one by one; here they travel with the rest.
    try:
        with raw.pipeline():
            raw.execute("BEGIN")
            yield raw
            raw.execute("COMMIT")
    except BaseException:
        if not raw.closed:
            raw.rollback()
        raise


def only_row(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The row of a query that always has one. Raises LookupError."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a query that always has a row has none")
    return row


def retrying(work: Callable[[], _T]) -> _T:
    """Run a whole transaction again (three times at most) when PostgreSQL chose it as a deadlock's victim."""
    for attempt in range(1, _TRIES + 1):
        try:
            return work()
        except RETRYABLE:
            if attempt == _TRIES:
                raise
            time.sleep(random.uniform(0.005, 0.05) * attempt)  # noqa: S311  # jitter, not a secret
    raise AssertionError("unreachable")
