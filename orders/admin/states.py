"""The states of orders, attempts, payments and cases as marks, wherever they are shown."""

from django.utils.html import format_html
from django.utils.translation import gettext as _

from channels_app.console.words import mark
from orders.cases import Decision
from orders.models import AttemptState, Case, DeliveryState, Order, OrderState, Payment, PaymentAttempt

ORDER_TONES = {OrderState.PENDING: "quiet", OrderState.PAID: "done", OrderState.CANCELLED: "quiet"}
DELIVERY_TONES = {
    DeliveryState.NONE: "quiet",
    DeliveryState.PENDING: "working",
    DeliveryState.DELIVERED: "done",
    DeliveryState.PARKED: "decide",
    DeliveryState.REVOKED: "quiet",
}
ATTEMPT_TONES = {
    AttemptState.OPENING: "working",
    AttemptState.OPEN: "working",
    AttemptState.PAID: "done",
    AttemptState.CLOSED: "quiet",
    AttemptState.FAILED: "quiet",
}


def order_mark(order: Order) -> object:
    """Is it paid?"""
    return mark(order.get_state_display(), ORDER_TONES[OrderState(order.state)])


def delivery_mark(order: Order) -> object:
    """Are the goods there?"""
    return mark(order.get_delivery_state_display(), DELIVERY_TONES[DeliveryState(order.delivery_state)])


def attempt_mark(attempt: PaymentAttempt) -> object:
    """May it still be paid?"""
    return mark(attempt.get_state_display(), ATTEMPT_TONES[AttemptState(attempt.state)])


def use_mark(payment: Payment) -> object:
    """Used for its order, or held and why."""
    return mark(_("yes"), "done") if payment.applied else mark(payment.get_hold_reason_display(), "decide")


def with_play_mark(cell: object, payment: Payment, order: Order | None) -> object:
    """A cell, marked where play money came for a real order."""
    if order is None or payment.environment == order.environment:
        return cell
    return format_html("{} {}", cell, mark(_("play money"), "sandbox"))


def case_mark(case: Case) -> object:
    """Open, or how it was closed."""
    if case.closed_at is None:
        return mark(_("open"), "decide")
    decisions = dict(Decision.choices)
    return mark(decisions.get(case.decision, case.decision), "done")
