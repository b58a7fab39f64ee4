"""An order in a few words, for lists and panels: what is the matter with a case, who receives what.

The case file (`orders.casefile`) tells it whole.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from channels_app.console.words import money_in_prose
from channels_app.money import NO_CURRENCY
from orders.models import Case, CaseKind, Order


def why(case: Case) -> str:
    """What is the matter with a case, with its amounts. Where no sentence is known: what a person noted."""
    words = _WHY.get(case.kind)
    return words(case) if words else case.detail


def _amount_differs(case: Case) -> str:
    asked = money_in_prose(case.order.amount_minor, case.order.currency) if case.order else "?"
    return _("%(received)s arrived, the order asks %(asked)s.") % {"received": _amount(case), "asked": asked}


def _amount(case: Case) -> str:
    return "?" if case.amount_minor is None else money_in_prose(case.amount_minor, case.currency)


def _unmatched(case: Case) -> str:
    if case.currency == NO_CURRENCY:
        return _("Bought in a store without naming an order of ours; the store did not say for how much.")
    return _("Bought in a store for %(amount)s without naming an order of ours.") % {"amount": _amount(case)}


def _said(case: Case) -> dict[str, str]:
    return {"detail": case.detail or "–"}


_WHY: Mapping[str, Callable[[Any], str]] = {
    CaseKind.UNKNOWN_ORDER: lambda case: (
        _("%(amount)s arrived under a number that no order has.") % {"amount": _amount(case)}
    ),
    CaseKind.AMOUNT_DIFFERS: _amount_differs,
    CaseKind.SECOND_PAYMENT: lambda case: _("The order was paid already; this payment came on top of it."),
    CaseKind.LATE_PAYMENT: lambda case: _("The order was cancelled before the money came."),
    CaseKind.GIVEN_BACK: lambda case: _("The provider gave the money back before it was booked here."),
    CaseKind.UNMATCHED: _unmatched,
    CaseKind.PURCHASE_DIFFERS: lambda case: _("The store sold something else than the order: %(detail)s") % _said(case),
    CaseKind.TEST_MONEY: lambda case: _("A real order was paid with play money of the store's sandbox."),
    CaseKind.REVIEW: lambda case: _("The provider took the money and is not sure itself: %(detail)s") % _said(case),
    CaseKind.REFUND_ASKED: lambda case: _("The buyer asked the store for the money back: %(detail)s") % _said(case),
    CaseKind.DISPUTE: lambda case: (
        _("The buyer's bank disputes %(amount)s: %(detail)s") % {"amount": _amount(case), **_said(case)}
    ),
    CaseKind.UNCONFIRMED: lambda case: (
        _("The store has not heard of the delivery for two days and may take the money back: %(detail)s") % _said(case)
    ),
    CaseKind.UNDECIDED: lambda case: _("The provider says neither yes nor no, long after the time to pay."),
    CaseKind.PROVIDER_REFUND: lambda case: (
        _("The provider told of a refund of %(amount)s that was not started here.") % {"amount": _amount(case)}
    ),
    CaseKind.DELIVERY_PARKED: lambda case: _("The game server has not taken the goods, and the system stopped trying."),
    CaseKind.WEBHOOK_PARKED: lambda case: _("The game server has not taken what it should be told."),
    # The subject ends in the step at which reading failed.
    CaseKind.UNREADABLE_NOTIFICATION: lambda case: (
        _("A genuine notification cannot be read (%(step)s).") % {"step": case.subject.rpartition(":")[2]}
    ),
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
