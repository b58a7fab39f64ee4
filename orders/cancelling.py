"""Cancelling: closed at every provider first, so that nobody can pay what nobody waits for.

A payment that wins the race wins: closing finds it, settles it, and the order stays paid.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from orders.attempts import StillOpen, UnderWay, close_at_provider
from orders.fulfilment import fulfilment
from orders.models import ATTEMPT_ALIVE, CancelReason, EventKind, Order, OrderState, PaymentAttempt
from orders.problems import Problem
from orders.settling import Outcome
from orders.timeline import record


def cancel_order(*, order: Order, reason: CancelReason, actor: str) -> Order:
    """Close an unpaid order everywhere. Cancelling again answers the same. Returns the order as it stands now.

    Raises Problem: order_paid when the money won, payment_held when money arrived that a person must judge,
    provider_unavailable when a provider could not be asked to close (nothing has changed then).
    """
    if order.state == OrderState.CANCELLED:
        return order
    if order.state == OrderState.PAID:
        raise _paid()
    for attempt in PaymentAttempt.objects.filter(order=order, state__in=ATTEMPT_ALIVE).select_related("account"):
        try:
            outcome = close_at_provider(attempt, actor=actor)
        except UnderWay:
            raise Problem(
                409,
                "payment_under_way",
                "Somebody is paying this order; it can be cancelled when the provider decides.",
            ) from None
        except StillOpen:
            raise Problem(
                503, "provider_unavailable", "The payment provider could not be asked to close; try again.",
                headers={"Retry-After": "5"},
            ) from None  # fmt: skip
        if outcome in (Outcome.HELD, Outcome.ORPHAN):
            raise Problem(409, "payment_held", "Money has arrived for this order and is being looked at.")
    if not mark_cancelled(order_id=order.pk, reason=reason, actor=actor, now=timezone.now()):
        raise _paid()
    order.refresh_from_db()
    return order


@transaction.atomic
def mark_cancelled(*, order_id: int, reason: CancelReason, actor: str, now: datetime) -> bool:
    """Cancel under the order's lock; False when it is paid. The game server is told in the same transaction."""
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.state != OrderState.PENDING:
        return order.state == OrderState.CANCELLED
    order.state = OrderState.CANCELLED
    order.cancel_reason = reason
    order.cancelled_at = now
    order.version += 1
    order.save(update_fields=["state", "cancel_reason", "cancelled_at", "version"])
    record(order_id=order.pk, kind=EventKind.CANCELLED, actor=actor, now=now, data={"reason": reason.value})
    fulfilment().on_order_cancelled(order=order, now=now)
    return True


def expire_orders(*, now: datetime, limit: int = 200) -> int:
    """Cancel orders that were not paid in time and that nobody can pay any more. Returns how many.

    An expired order with a living attempt waits: the sweep of attempts closes that first.
    """
    overdue = (
        Order.objects.filter(state=OrderState.PENDING, expires_at__lt=now)
        .exclude(attempts__state__in=ATTEMPT_ALIVE)
        .order_by("expires_at", "pk")
        .values_list("pk", flat=True)[:limit]
    )
    return sum(
        mark_cancelled(order_id=pk, reason=CancelReason.EXPIRED, actor="expiry", now=timezone.now())
        for pk in list(overdue)
    )


def _paid() -> Problem:
    return Problem(409, "order_paid", "This order has been paid.")
