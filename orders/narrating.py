"""An order told in plain words: one sentence that sums it up, and its timeline line by line.

For people in the office. Says what happened, with numbers and amounts; never promises what is not decided.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from channels_app.console.words import money
from channels_app.models import Environment
from orders.models import (
    CancelReason,
    Case,
    CaseKind,
    DeliveryState,
    EventKind,
    HoldReason,
    Order,
    OrderEvent,
    OrderState,
    ProofSource,
)


def headline(order: Order, open_cases: Iterable[Case]) -> str:
    """What matters about an order, in one sentence. What needs a person comes before what is going well."""
    sentence = _headline(order, {case.kind for case in open_cases})
    if order.environment == Environment.SANDBOX:
        return _("Sandbox order, not real money. %(sentence)s") % {"sentence": sentence}
    return sentence


def _headline(order: Order, waiting: set[str]) -> str:
    for kind, sentence in _DECIDE.items():
        if kind in waiting:
            return sentence()
    if order.state == OrderState.PENDING:
        return _("Not paid yet.")
    if order.state == OrderState.CANCELLED:
        return _("Cancelled %(reason)s.") % {"reason": CancelReason(order.cancel_reason).label}
    return {
        DeliveryState.NONE: _("Paid, nothing to deliver yet."),
        DeliveryState.PENDING: _("Paid, not delivered yet: the system goes on asking the game server."),
        DeliveryState.DELIVERED: _("Paid and delivered."),
        DeliveryState.PARKED: _("Paid, delivery stopped: needs a person."),
        DeliveryState.REVOKED: _("Paid, goods taken back."),
    }[DeliveryState(order.delivery_state)]


# What a person must decide, the most urgent first. Functions, so that every sentence is put into the language
# of whoever reads it.
_DECIDE: Mapping[str, Callable[[], str]] = {
    CaseKind.SECOND_PAYMENT: lambda: _("Paid twice: the second payment needs your decision."),
    CaseKind.LATE_PAYMENT: lambda: _("Paid after cancel: needs your decision."),
    CaseKind.AMOUNT_DIFFERS: lambda: _("Amount differs: needs your decision."),
    CaseKind.GIVEN_BACK: lambda: _("Refunded at the provider: needs your decision."),
    CaseKind.UNDECIDED: lambda: _("The provider does not say whether it was paid: needs your decision."),
    CaseKind.PROVIDER_REFUND: lambda: _("Refunded at the provider: needs your decision."),
}


def why(case: Case) -> str:
    """What is the matter with a case, with its amounts. Where no sentence is known: what was noted."""
    words = _WHY.get(case.kind)
    return words(case) if words and case.order else case.detail


_WHY: Mapping[str, Callable[[Any], str]] = {
    CaseKind.AMOUNT_DIFFERS: lambda case: (
        _("%(received)s arrived, the order asks %(asked)s.")
        % {
            "received": money(case.amount_minor, case.currency),
            "asked": money(case.order.amount_minor, case.order.currency),
        }
    ),
    CaseKind.SECOND_PAYMENT: lambda case: _("The order was paid already; this payment came on top of it."),
    CaseKind.LATE_PAYMENT: lambda case: _("The order was cancelled before the money came."),
    CaseKind.GIVEN_BACK: lambda case: _("The provider gave the money back before it was booked here."),
    CaseKind.PROVIDER_REFUND: lambda case: _("The provider told of a refund: %(said)s.") % {"said": case.detail},
}


def line(event: OrderEvent) -> str:
    """One line of the timeline."""
    data: Mapping[str, Any] = event.data
    facts = {
        name: data.get(name) or "?" for name in ("attempt_no", "method", "said", "transaction_id", "reason", "result")
    }
    facts["amount"] = money(data.get("amount"), data.get("currency", ""))
    kind = event.kind
    if kind == EventKind.PAYMENT_HELD and data.get("reason") in HoldReason.values:
        facts["reason"] = str(HoldReason(data["reason"]).label)
    if kind == EventKind.PAID and data.get("source") in ProofSource.values:
        facts["source"] = str(ProofSource(data["source"]).label)
    words = _WORDS.get(kind)
    return words() % {"source": "?", **facts} if words else str(event.get_kind_display())


_WORDS: Mapping[str, Callable[[], str]] = {
    EventKind.CREATED: lambda: _("The game server made the order."),
    EventKind.ATTEMPT_OPENED: lambda: _("Payment opened with %(method)s as %(attempt_no)s."),
    EventKind.ATTEMPT_FAILED: lambda: _("The provider would not open %(attempt_no)s with %(method)s: %(said)s."),
    EventKind.ATTEMPT_CLOSED: lambda: _("Payment %(attempt_no)s can no longer be paid (provider: %(said)s)."),
    EventKind.CLIENT_RESULT: lambda: _("The player's device reported: %(result)s (a hint, not a proof)."),
    EventKind.PAID: lambda: _("Paid %(amount)s, provider transaction %(transaction_id)s. Proved by: %(source)s."),
    EventKind.PAYMENT_HELD: lambda: _(
        "%(amount)s arrived (provider transaction %(transaction_id)s) and is held: %(reason)s."
    ),
    EventKind.CANCELLED: lambda: _("Order cancelled."),
    EventKind.DELIVERY_REQUESTED: lambda: _("The game server was asked to deliver."),
    EventKind.DELIVERED: lambda: _("Goods delivered."),
    EventKind.DELIVERY_PARKED: lambda: _("Delivery stopped, needs a person: %(reason)s."),
    EventKind.REFUND_NOTICE: lambda: _("The provider told of a refund."),
}


def receiver(order: Order) -> str:
    """Player, zone and role."""
    return " · ".join(part for part in (order.uid, order.zone_id, order.role_id) if part)


def goods(order: Order) -> str:
    """What was bought: the product's name, and how many."""
    return order.product_name if order.quantity == 1 else f"{order.product_name} × {order.quantity}"


def contents(order_contents: Iterable[Mapping[str, Any]]) -> str:
    """The goods of an order or delivery: "Gem × 60 + 6"."""
    return ", ".join(
        f"{item['name']} × {item['quantity']}" + (f" + {item['bonus']}" if item["bonus"] else "")
        for item in order_contents
    )
