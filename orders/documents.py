"""The order as callers see it: one shape for the game server, a smaller one for the player's client."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from orders.models import Order

# What a client may know; everything else stays between the game server and us (I-32).
CLIENT_FIELDS = (
    "order_no", "product_id", "quantity", "amount", "currency", "method", "state", "delivery_state",
    "refunded_amount", "environment", "created_at", "expires_at", "paid_at", "delivered_at", "cancelled_at",
    "cancel_reason", "items",
)  # fmt: skip


def rfc3339(at: datetime | None) -> str | None:
    """A time on the wire: RFC 3339, UTC, milliseconds."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def order_document(order: Order) -> dict[str, Any]:
    """The order object of the server API. `amount` in minor units."""
    return {
        "order_no": order.order_no,
        "client_ref": order.client_ref,
        "game": order.game_code,
        "uid": order.uid,
        "zone_id": order.zone_id or None,
        "role_id": order.role_id or None,
        "product_id": order.product_code,
        "quantity": order.quantity,
        "amount": order.amount_minor,
        "currency": order.currency,
        "channel_id": order.channel_code,
        "method": order.method or None,
        "state": order.state,
        "delivery_state": order.delivery_state,
        "refunded_amount": order.refunded_minor,
        "transaction_id": order.transaction_id or None,
        "attach": order.attach or None,
        "environment": order.environment,
        "created_at": rfc3339(order.created_at),
        "expires_at": rfc3339(order.expires_at),
        "paid_at": rfc3339(order.paid_at),
        "delivered_at": rfc3339(order.delivered_at),
        "cancelled_at": rfc3339(order.cancelled_at),
        "cancel_reason": order.cancel_reason or None,
        "items": item_lines(order),
    }


def item_lines(order: Order) -> list[dict[str, Any]]:
    """What the buyer was promised, line by line, for the whole order."""
    contents: Sequence[dict[str, Any]] = order.contents
    return [{name: line[name] for name in ("item_id", "name", "quantity", "bonus")} for line in contents]


def client_document(order: Order) -> dict[str, Any]:
    """The order object of the client API."""
    whole = order_document(order)
    return {name: whole[name] for name in CLIENT_FIELDS}
