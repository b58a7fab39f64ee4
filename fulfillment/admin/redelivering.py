"""The act "deliver again" on the page of an order, and the words for everything that may come of it."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act, ActRefused
from fulfillment.redelivering import Redelivery, deliver_again, hindrance
from orders.casefile import prose
from orders.models import Order

# Functions, so that every sentence is put into the language of whoever reads it.
_WORDS: Mapping[Redelivery, Callable[[Order], str]] = {
    Redelivery.SENT: lambda order: _("The request went out again; the answer stands in the timeline within seconds."),
    Redelivery.UNPAID: lambda order: _("Not paid: nothing to deliver"),
    Redelivery.DELIVERED: lambda order: _("Arrived at %(at)s; nothing is left to deliver") % {"at": _delivered(order)},
    Redelivery.IN_LEDGER: lambda order: (
        _("On the player's account since %(at)s; nothing is left to send") % {"at": _delivered(order)}
    ),
    Redelivery.TAKEN_BACK: lambda order: _("The goods were taken back"),
    Redelivery.UNDER_WAY: lambda order: _("A try is being made, or comes within 20 seconds by itself"),
    Redelivery.PAUSED: lambda order: _("Telling the game server is paused; resume its endpoint first"),
    Redelivery.SWITCHED_OFF: lambda order: _("The game server switched its endpoint off; resume it first"),
    Redelivery.NO_ADDRESS: lambda order: _("The game has no webhook endpoint; it fetches orders by itself"),
}


def _delivered(order: Order) -> str:
    return prose.moment(order.delivered_at, now=timezone.now()) if order.delivered_at else "?"


def words(outcome: Redelivery, order: Order) -> str:
    """What came of it, or why it cannot be had."""
    return _WORDS[outcome](order)


def _hindrance(order: Order) -> str:
    why_not = hindrance(order, now=timezone.now())
    return words(why_not, order) if why_not is not None else ""


def _deliver(request: HttpRequest, order: Order, given: dict[str, Any]) -> str:
    outcome = deliver_again(order, now=timezone.now())
    if outcome is not Redelivery.SENT:
        raise ActRefused(words(outcome, order))
    return words(outcome, order)


DELIVER = Act(
    name="deliver",
    label=gettext_lazy("Deliver again"),
    permission="fulfillment.redeliver",
    effect=lambda order: [
        _("The same message with the same id goes to the game server at once."),
        _("A game server that has granted it before recognises the id and grants nothing twice."),
    ],
    hindrance=_hindrance,
    perform=_deliver,
    confirmed=False,  # safe however often it is pressed, and the player is waiting
)
