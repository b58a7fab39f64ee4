"""Counting what happened: the rows a purchase leaves behind."""

from dataclasses import dataclass

from channels_app.models import Notification
from fulfillment.models import Balance, Delivery, GameEvent, LedgerEntry, WebhookMessage
from orders.models import Case, Order, OrderEvent, OrderState, Payment


@dataclass(frozen=True)
class Effects:
    """Everything that a payment may move."""

    paid_orders: int
    payments: int
    deliveries: int
    ledger_entries: int
    balances: int
    game_events: int
    messages: int
    cases: int


NOTHING = Effects(0, 0, 0, 0, 0, 0, 0, 0)
# One product with one item: two sides of one transfer, order.paid and order.delivered.
ONE_PURCHASE = Effects(
    paid_orders=1, payments=1, deliveries=1, ledger_entries=2, balances=1, game_events=2, messages=0, cases=0
)


def effects() -> Effects:
    """The whole database's effects as they stand."""
    return Effects(
        paid_orders=Order.objects.filter(state=OrderState.PAID).count(),
        payments=Payment.objects.count(),
        deliveries=Delivery.objects.count(),
        ledger_entries=LedgerEntry.objects.count(),
        balances=Balance.objects.count(),
        game_events=GameEvent.objects.exclude(type="order.cancelled").count(),
        messages=WebhookMessage.objects.count(),
        cases=Case.objects.count(),
    )


def verdicts() -> list[tuple[str, str]]:
    """(verdict, failed step) of every notification, oldest first."""
    return list(Notification.objects.order_by("pk").values_list("verdict", "failed_step"))


def timeline(order: Order) -> list[str]:
    """What happened to an order, oldest first."""
    return list(OrderEvent.objects.filter(order=order).order_by("pk").values_list("kind", flat=True))
