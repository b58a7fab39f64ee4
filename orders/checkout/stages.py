"""Where an order stands in the eyes of its player: one stage per order, one page per stage."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from orders.models import DeliveryState, Order, OrderState


class Stage(StrEnum):
    """Where an order stands in the eyes of its player."""

    OPEN = "open"  # can be paid
    EXPIRED = "expired"  # the time to pay is over; the last attempts are being closed
    CANCELLED = "cancelled"
    HELD = "held"  # money has arrived that a person must judge
    ON_ITS_WAY = "on_its_way"  # paid, goods not there yet
    STOPPED = "stopped"  # paid, a person looks after the goods
    DELIVERED = "delivered"
    TAKEN_BACK = "taken_back"  # the goods, or the purchase before the goods had come


STAGE_OF_DELIVERY: Mapping[DeliveryState, Stage] = {
    DeliveryState.NONE: Stage.ON_ITS_WAY,
    DeliveryState.PENDING: Stage.ON_ITS_WAY,
    DeliveryState.PARKED: Stage.STOPPED,
    DeliveryState.DELIVERED: Stage.DELIVERED,
    DeliveryState.REVOKED: Stage.TAKEN_BACK,
}
# Nothing changes by itself any more: the page need not listen.
AT_REST = frozenset({Stage.CANCELLED, Stage.DELIVERED, Stage.TAKEN_BACK})
# The goods are still to come, and may be asked for once more.
WAITING_FOR_GOODS = frozenset({Stage.ON_ITS_WAY, Stage.STOPPED})
# Nobody can pay any more, and no money is known to have come.
OVER = frozenset({Stage.EXPIRED, Stage.CANCELLED})


def stage_of(order: Order, *, money_is_held: bool, now: datetime) -> Stage:
    """Where the order stands."""
    if order.state == OrderState.PAID:
        stage = STAGE_OF_DELIVERY[DeliveryState(order.delivery_state)]
        # Given back in full before the goods came: nothing is on its way, whatever the delivery still says.
        given_back = order.refunded_minor >= order.amount_minor
        return Stage.TAKEN_BACK if given_back and stage in WAITING_FOR_GOODS else stage
    if money_is_held:
        return Stage.HELD
    if order.state == OrderState.CANCELLED:
        return Stage.CANCELLED
    return Stage.OPEN if order.expires_at > now else Stage.EXPIRED
