"""Delivering: what was paid reaches the player once, with a record of every line.

The module behind `settings.ORDERS_FULFILMENT` (see orders.fulfilment). In mode `ledger` the goods are on the
player's account when the settling transaction commits; in mode `game_server` a delivery waits until the game
server has answered `delivery.requested`, or has acknowledged it by itself.
"""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from django.utils import timezone

from channels_app.ids import uuid7
from fulfillment import redelivering, telling
from fulfillment.models import DeliveryMode, DeliveryStatus, EndpointState
from fulfillment.poking import poke
from orders import cases
from orders.documents import order_document
from orders.fulfilment import Promise
from orders.models import CaseKind, DeliveryState, EventKind, Order
from orders.settling import ORDER_COLUMNS, order_from_record
from orders.sql import pipelined_transaction, raw_connection

_PROMISE = """
    SELECT coalesce(policy.mode, 'ledger'), item.item_id, item.id, item.name, grants.quantity, grants.bonus
    FROM orders_product product
    JOIN fulfillment_productgrant grants ON grants.product_id = product.id
    JOIN fulfillment_item item ON item.id = grants.item_id
    LEFT JOIN fulfillment_deliverypolicy policy ON policy.game_id = product.game_id
    WHERE product.game_id = %s AND product.product_id = %s
    ORDER BY item.item_id
"""
_PLAYER = """
    INSERT INTO fulfillment_player (game_id, environment, uid, created_at) VALUES (%s, %s, %s, %s)
    ON CONFLICT (game_id, environment, uid) DO NOTHING
"""
# The delivery, its lines and its timeline entry are one fact, and one statement.
_DELIVERY = """
    WITH delivery AS (
        INSERT INTO fulfillment_delivery
            (id, order_id, order_no, player_id, zone_id, role_id, mode, state, receipt, created_at, delivered_at)
        SELECT %(delivery)s, %(order)s, %(order_no)s, player.id, %(zone_id)s, %(role_id)s, %(mode)s, %(state)s, '',
               %(now)s, %(delivered_at)s
        FROM fulfillment_player player
        WHERE player.game_id = %(game)s AND player.environment = %(environment)s AND player.uid = %(uid)s
        RETURNING id, player_id
    ), lines AS (
        INSERT INTO fulfillment_deliveryline (delivery_id, item_id, quantity, bonus)
        SELECT delivery.id, line.item, line.quantity, line.bonus
        FROM delivery,
             unnest(%(items)s::bigint[], %(quantities)s::bigint[], %(bonuses)s::bigint[])
                 AS line (item, quantity, bonus)
        RETURNING item_id, quantity, bonus
    ), event AS (
        INSERT INTO orders_orderevent (order_id, kind, at, actor, data)
        VALUES (%(order)s, %(kind)s, %(now)s, 'delivery', %(facts)s)
    )
"""
_REQUEST = f"{_DELIVERY} SELECT FROM lines"
# One statement for the whole transfer: the trigger proves that it sums to zero. The player's rows move the
# balance (see LedgerEntry). Ordered by item, so two deliveries to one player cannot deadlock.
_DELIVER = f"""{_DELIVERY}
    INSERT INTO fulfillment_ledgerentry
        (transfer, account, player_id, item_id, paid, free, reason, delivery_id, order_no, at)
    SELECT delivery.id, side.account, CASE WHEN side.sign > 0 THEN delivery.player_id END, line.item_id,
           side.sign * line.quantity, side.sign * line.bonus, 'purchase', delivery.id, %(order_no)s, %(now)s
    FROM delivery, lines line, (VALUES ('player', 1), ('sold', -1)) AS side (account, sign)
    ORDER BY line.item_id, side.sign
"""  # noqa: S608  # our own text
_EVENT = "INSERT INTO orders_orderevent (order_id, kind, at, actor, data) VALUES (%s, %s, %s, %s, %s)"


# --- the verbs of orders.fulfilment.Fulfilment --------------------------------------------------------------
def promise(
    connection: psycopg.Connection[Any], *, game_id: int, product_code: str, quantity: int
) -> Callable[[], Promise]:
    """Ask what a product grants; calling the result reads the answer, multiplied by `quantity`."""
    cursor = connection.execute(_PROMISE, (game_id, product_code))

    def read() -> Promise:
        rows = cursor.fetchall()
        contents = [
            {"item_id": code, "item": item, "name": name, "quantity": each * quantity, "bonus": bonus * quantity}
            for _, code, item, name, each, bonus in rows
        ]
        return Promise(contents, rows[0][0] if rows else DeliveryMode.LEDGER.value)

    return read


def on_order_paid(connection: psycopg.Connection[Any], *, order: Order, now: datetime) -> None:
    """Deliver into the ledger, or ask the game server to. Only writes; the caller's transaction commits."""
    delivery_id = uuid7()
    in_ledger = order.fulfilment_mode == DeliveryMode.LEDGER
    order.delivery_state = DeliveryState.DELIVERED if in_ledger else DeliveryState.PENDING
    order.delivered_at = now if in_ledger else None
    kind = EventKind.DELIVERED if in_ledger else EventKind.DELIVERY_REQUESTED
    # Apart from the delivery: a player made by a rival transaction meanwhile is seen only by the next statement.
    connection.execute(_PLAYER, (order.game_id, order.environment, order.uid, now))
    connection.execute(
        _DELIVER if in_ledger else _REQUEST,
        {
            "delivery": delivery_id,
            "order": order.pk,
            "order_no": order.order_no,
            "game": order.game_id,
            "environment": order.environment,
            "uid": order.uid,
            "zone_id": order.zone_id,
            "role_id": order.role_id,
            "mode": order.fulfilment_mode,
            "state": order.delivery_state,
            "now": now,
            "delivered_at": order.delivered_at,
            "kind": kind.value,
            "facts": _timeline_facts(delivery_id, order),
            "items": [line["item"] for line in order.contents],
            "quantities": [line["quantity"] for line in order.contents],
            "bonuses": [line["bonus"] for line in order.contents],
        },
    )
    data = order_document(order)
    following = telling.ORDER_DELIVERED if in_ledger else telling.DELIVERY_REQUESTED
    telling.tell(
        connection,
        order=order,
        events=[(telling.ORDER_PAID, data), (following, {**data, "delivery_id": str(delivery_id)})],
        now=now,
    )


def hurry() -> None:
    """Let the dispatcher know that something is due."""
    poke()


def on_order_cancelled(*, order: Order, now: datetime) -> None:
    """Tell the game server; part of the transaction that is under way."""
    telling.tell(raw_connection(), order=order, events=[(telling.ORDER_CANCELLED, order_document(order))], now=now)


def next_try(*, order: Order) -> datetime | None:
    """When the game server is asked for the goods next. None: nothing is going to be tried by itself."""
    asking = redelivering.asking_for(order)
    active = asking.endpoint is not None and asking.endpoint.state == EndpointState.ACTIVE
    return redelivering.next_try(asking) if active else None


def try_now(*, order: Order) -> bool:
    """Ask the game server for the goods now, at a player's word. False when nothing had to be moved."""
    return redelivering.deliver_again(order, now=timezone.now(), probe=False) is redelivering.Redelivery.SENT


# --- deliveries that wait for the game server ---------------------------------------------------------------
_LOCK_ORDER_OF = f"""
    SELECT clock_timestamp(), d.state, {", ".join(f"o.{name}" for name in ORDER_COLUMNS)}
    FROM fulfillment_delivery d JOIN orders_order o ON o.id = d.order_id
    WHERE d.id = %s FOR UPDATE OF o, d
"""  # noqa: S608  # column names of our own model


def confirm(*, delivery_id: uuid.UUID, receipt: str, actor: str) -> bool:
    """The game server has granted a delivery: mark it delivered and tell everyone. False when it already was.

    `receipt` is the game's own number for the grant, if it gave one. Committed when it returns.
    """
    with pipelined_transaction() as raw:
        now, state, order = _locked(raw, delivery_id)
        if state not in (DeliveryStatus.PENDING, DeliveryStatus.PARKED):
            return False
        order.delivery_state = DeliveryState.DELIVERED
        order.delivered_at = now
        raw.execute(
            "UPDATE fulfillment_delivery SET state = 'delivered', delivered_at = %s, receipt = %s WHERE id = %s",
            (now, receipt[:200], delivery_id),
        )
        raw.execute(
            "UPDATE orders_order SET delivery_state = 'delivered', delivered_at = %s, version = version + 1"
            " WHERE id = %s",
            (now, order.pk),
        )
        facts = _timeline_facts(delivery_id, order, receipt=receipt[:200])
        raw.execute(_EVENT, (order.pk, EventKind.DELIVERED.value, now, actor, facts))
        data = {**order_document(order), "delivery_id": str(delivery_id)}
        telling.tell(raw, order=order, events=[(telling.ORDER_DELIVERED, data)], now=now)
        # The fact that closes a parked delivery's case is the delivery itself.
        raw.execute(
            "UPDATE orders_case SET closed_at = %s, closed_by = %s, decision = 'delivered'"
            " WHERE kind = 'delivery_parked' AND subject = %s AND closed_at IS NULL",
            (now, actor, _subject(delivery_id)),
        )
    return True


def park(*, delivery_id: uuid.UUID, reason: str) -> bool:
    """Stop asking for a delivery and put it before a person. False when it is not waiting any more."""
    with pipelined_transaction() as raw:
        now, state, order = _locked(raw, delivery_id)
        if state != DeliveryStatus.PENDING:
            return False
        raw.execute("UPDATE fulfillment_delivery SET state = 'parked' WHERE id = %s", (delivery_id,))
        raw.execute(
            "UPDATE orders_order SET delivery_state = 'parked', version = version + 1 WHERE id = %s", (order.pk,)
        )
        facts = _timeline_facts(delivery_id, order, reason=reason[:200])
        raw.execute(_EVENT, (order.pk, EventKind.DELIVERY_PARKED.value, now, "dispatcher", facts))
        raw.execute(
            cases.OPEN,
            cases.opening(
                kind=CaseKind.DELIVERY_PARKED,
                subject=_subject(delivery_id),
                environment=order.environment,
                now=now,
                game_id=order.game_id,
                order_id=order.pk,
                amount_minor=order.amount_minor,
                currency=order.currency,
                detail=reason,
            ),
        )
    return True


def _locked(raw: psycopg.Connection[Any], delivery_id: uuid.UUID) -> tuple[datetime, str, Order]:
    row = raw.execute(_LOCK_ORDER_OF, (delivery_id,)).fetchone()
    if row is None:
        raise LookupError(f"there is no delivery {delivery_id}")
    now, state, *record = row
    return now, state, order_from_record(record)


def _subject(delivery_id: uuid.UUID) -> str:
    return f"delivery:{delivery_id}"


def _timeline_facts(delivery_id: uuid.UUID, order: Order, **more: str) -> str:
    lines = [{name: line[name] for name in ("item_id", "quantity", "bonus")} for line in order.contents]
    return json.dumps({"delivery_id": str(delivery_id), "lines": lines, **more})
