"""The act "ask the provider now": what became of the attempts of an order, answered in words.

Asking is safe whatever the state: a payment that is proved a second time changes nothing. So the last attempts are
asked about again even when they are closed or paid: what the provider says today is what the player wants to know.
"""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act
from channels_app.providers.base import Standing
from orders.attempts import Asked, ask_provider
from orders.casefile import prose
from orders.models import ATTEMPT_ALIVE, Order, PaymentAttempt
from orders.settling import Outcome

_ASKED_AT_ONCE = 3  # a provider may take thirteen seconds to say nothing


def _nothing_to_ask(order: Order) -> str:
    if order.attempts.exists():
        return ""
    return _("No payment was opened at a provider, so none knows this order.")


def to_be_asked(order: Order) -> Sequence[PaymentAttempt]:
    """The attempts of an order that somebody who wants to know now asks about."""
    return worth_asking(list(order.attempts.select_related("account").order_by("pk")))


def worth_asking(attempts: Sequence[PaymentAttempt]) -> Sequence[PaymentAttempt]:
    """Of an order's attempts (oldest first): the newest living ones; without one, the newest of all."""
    newest_first = list(reversed(attempts))
    return [attempt for attempt in newest_first if attempt.state in ATTEMPT_ALIVE][:_ASKED_AT_ONCE] or newest_first[:1]


def _ask(request: HttpRequest, order: Order, given: dict[str, Any]) -> str:
    """Ask; what is paid is settled at once."""
    actor = f"staff {request.user.get_username()}"
    asked = ((attempt, ask_provider(attempt, actor=actor)) for attempt in to_be_asked(order))
    return prose.together(*(answer_in_words(attempt, answer) for attempt, answer in asked))


def answer_in_words(attempt: PaymentAttempt, asked: Asked) -> str:
    """What a provider said about one attempt, in words."""
    about = {
        "attempt": attempt.attempt_no,
        "said": asked.answer.said if asked.answer else "",
        "provider": prose.provider(attempt.account.provider),
    }
    if asked.answer is None:
        return (
            _("%(provider)s could not be asked about %(attempt)s now; nothing changed, ask again in a minute.") % about
        )
    if asked.outcome is not None:
        return {
            Outcome.APPLIED: _("%(provider)s says %(attempt)s is paid. The order is booked as paid just now."),
            Outcome.DUPLICATE: _("%(provider)s says %(attempt)s is paid. That was booked before; nothing changed."),
            Outcome.HELD: _("%(provider)s says %(attempt)s is paid. The money is held; a case is open."),
            Outcome.ORPHAN: _("%(provider)s says %(attempt)s is paid, but no order has this number; a case is open."),
        }[asked.outcome] % about
    if asked.answer.standing is Standing.CLOSED:
        return _("%(provider)s says %(attempt)s is not paid, and nobody can pay it any more (%(said)s).") % about
    if asked.answer.standing is Standing.UNKNOWN:
        return _("%(provider)s does not know %(attempt)s: nobody has started to pay it (%(said)s).") % about
    return _("%(provider)s says %(attempt)s is not paid yet (%(said)s).") % about


ASK = Act(
    name="ask",
    label=gettext_lazy("Ask the provider now"),
    permission="orders.ask_provider",
    effect=lambda order: [_("Asks what became of the payment; what turns out paid is booked at once.")],
    hindrance=_nothing_to_ask,
    perform=_ask,
    confirmed=False,
    atomic=False,
)
