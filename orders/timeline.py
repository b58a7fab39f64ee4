"""Writing an order's timeline outside the hot path."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orders.models import EventKind, OrderEvent


def record(*, order_id: int, kind: EventKind, actor: str, now: datetime, data: Mapping[str, Any] | None = None) -> None:
    """Append one line. `actor` names the cause: a key, the player, a notification, a process."""
    OrderEvent.objects.create(order_id=order_id, kind=kind, at=now, actor=actor, data=dict(data or {}))


def record_once(*, order_id: int, kind: EventKind, actor: str, now: datetime, data: Mapping[str, Any]) -> bool:
    """Append one line, unless the timeline says the same already: providers repeat themselves. Whether it is new."""
    if OrderEvent.objects.filter(order=order_id, kind=kind, data=dict(data)).exists():
        return False
    record(order_id=order_id, kind=kind, actor=actor, now=now, data=data)
    return True
