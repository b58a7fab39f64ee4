"""The one door upward: what orders ask of whoever delivers the goods.

`settings.ORDERS_FULFILMENT` names a module with these verbs; it is resolved once. Not signals: a reader can
open the module and see everything that happens when an order is paid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import psycopg
from django.conf import settings

from orders.models import Order


@dataclass(frozen=True, slots=True)
class Promise:
    """What a buyer is promised: the lines to freeze on the order, and who will hold the goods."""

    contents: Sequence[dict[str, Any]]
    mode: str


class Fulfilment(Protocol):
    """Verbs of the floor above. Those with a connection run inside the caller's transaction and pipeline."""

    def promise(
        self, connection: psycopg.Connection[Any], *, game_id: int, product_code: str, quantity: int
    ) -> Callable[[], Promise]:
        """Ask what a product grants; the answer is read by calling the result (one round trip for many asks)."""
        ...

    def on_order_paid(self, connection: psycopg.Connection[Any], *, order: Order, now: datetime) -> None:
        """Deliver, or start to: sets `delivery_state` and `delivered_at` on `order`, which already looks paid.

        Called once per order, under its row lock; must only write, never read. The caller saves the order.
        """
        ...

    def hurry(self) -> None:
        """What was written is committed: whoever passes it on may look now. Must neither wait nor fail."""
        ...

    def on_order_cancelled(self, *, order: Order, now: datetime) -> None:
        """Tell whoever should know that an order was cancelled."""
        ...

    def next_try(self, *, order: Order) -> datetime | None:
        """When the goods of a paid order are tried next; None when nothing is going to happen by itself."""
        ...

    def try_now(self, *, order: Order) -> bool:
        """Try to deliver the goods of a paid order now rather than later; False when nothing had to be moved."""
        ...


@cache
def fulfilment() -> Fulfilment:
    """The module behind the door."""
    return cast("Fulfilment", import_module(settings.ORDERS_FULFILMENT))
