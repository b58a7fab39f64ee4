"""The act "ask the provider now": what became of the open attempts of an order, answered in words."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act
from channels_app.providers.base import Standing
from orders.attempts import Asked, ask_provider
from orders.models import ATTEMPT_ALIVE, Order, OrderState, PaymentAttempt
from orders.settling import Outcome

_ASKED_AT_ONCE = 3  # a provider may take thirteen seconds to say nothing


def _nothing_to_ask(order: Order) -> str:
    if order.attempts.filter(state__in=ATTEMPT_ALIVE).exists():
        return ""
    if order.state == OrderState.PAID:
        return _("Paid, and no other attempt is open: there is nothing to ask.")
    if order.attempts.exists():
        return _("The provider has said its last word on every attempt.")
    return _("No payment was opened at a provider, so none knows this order.")


def _ask(request: HttpRequest, order: Order, given: dict[str, Any]) -> str:
    """Ask about the newest living attempts; what is paid is settled at once."""
    attempts = order.attempts.filter(state__in=ATTEMPT_ALIVE).select_related("account").order_by("-pk")[:_ASKED_AT_ONCE]
    actor = f"staff {request.user.get_username()}"
    return " ".join(_answer(attempt, ask_provider(attempt, actor=actor)) for attempt in attempts)


def _answer(attempt: PaymentAttempt, asked: Asked) -> str:
    """What a provider said about one attempt, in words."""
    about = {"attempt": attempt.attempt_no, "said": asked.answer.said if asked.answer else ""}
    if asked.answer is None:
        return _("%(attempt)s: the provider could not be asked now; it is asked again by itself.") % about
    if asked.outcome is not None:
        return {
            Outcome.APPLIED: _("%(attempt)s: paid. The order is settled."),
            Outcome.DUPLICATE: _("%(attempt)s: paid, and booked before."),
            Outcome.HELD: _("%(attempt)s: paid, but the money is held; see the cases below."),
            Outcome.ORPHAN: _("%(attempt)s: paid, but no order has this number; see the cases."),
        }[asked.outcome] % about
    if asked.answer.standing is Standing.CLOSED:
        return _("%(attempt)s: not paid, and nobody can pay it any more (%(said)s).") % about
    if asked.answer.standing is Standing.UNKNOWN:
        return _("%(attempt)s: the provider does not know it; nobody has started to pay (%(said)s).") % about
    return _("%(attempt)s: not paid yet (%(said)s).") % about


ASK = Act(
    name="ask",
    label=gettext_lazy("Ask the provider now"),
    permission="orders.ask_provider",
    effect=lambda order: [_("Asks what became of every open attempt; what is paid is settled at once.")],
    hindrance=_nothing_to_ask,
    perform=_ask,
    confirmed=False,
    atomic=False,
)
