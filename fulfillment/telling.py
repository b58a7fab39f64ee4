"""Writing down what must be told: a game event, and the duty to tell it to the game's endpoint.

The row is the outbox: it commits with the fact it is about, and a dispatcher sends it. The body is fixed here,
so every retry carries the same bytes (I-26).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import psycopg

from channels_app.ids import uuid7
from orders.documents import rfc3339
from orders.models import Order

ORDER_PAID = "order.paid"
ORDER_CANCELLED = "order.cancelled"
DELIVERY_REQUESTED = "delivery.requested"
ORDER_DELIVERED = "order.delivered"

# The message is made for the address the game has; without one the event is still there to be listed.
_EVENT = "(%s, %s, %s, {place})"
_TELL = """
    WITH told AS (
        INSERT INTO fulfillment_gameevent
            (event_id, xid, game_id, environment, type, order_no, body, created_at)
        SELECT event_id, pg_current_xact_id()::text::bigint, %s, %s, type, %s, body, %s
        FROM (VALUES {events}) AS e (event_id, type, body, position)
        ORDER BY position
        RETURNING seq
    )
    INSERT INTO fulfillment_webhookmessage
        (event_id, endpoint_id, state, attempts, next_attempt_at, created_at, last_error)
    SELECT told.seq, endpoint.id, 'waiting', 0, %s, %s, ''
    FROM told CROSS JOIN fulfillment_webhookendpoint endpoint
    WHERE endpoint.game_id = %s AND endpoint.url <> ''
"""


def tell(
    raw: psycopg.Connection[Any], *, order: Order, events: Sequence[tuple[str, Mapping[str, Any]]], now: datetime
) -> None:
    """Queue events about one order on the connection, in this order. `events`: (type, data)."""
    told: list[str] = []
    for kind, data in events:
        event_id = _event_id()
        told += (event_id, kind, _envelope(event_id, kind, data, order, now))
    raw.execute(
        _tell_sql(len(events)),
        (order.game_id, order.environment, order.order_no, now, *told, now, now, order.game_id),
    )


@cache
def _tell_sql(count: int) -> str:
    # Plain parameters: an array of bodies would have every quotation mark in them escaped, a tenth of a settlement.
    return _TELL.format(events=", ".join(_EVENT.format(place=place) for place in range(count)))


def _event_id() -> str:
    return f"evt_{uuid7().hex}"


def _envelope(event_id: str, kind: str, data: Mapping[str, Any], order: Order, now: datetime) -> str:
    return json.dumps(
        {
            "id": event_id,
            "type": kind,
            "created_at": rfc3339(now),
            "environment": order.environment,
            "game": order.game_code,
            "data": data,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
