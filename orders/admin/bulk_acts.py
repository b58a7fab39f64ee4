"""Acts of this floor on many orders at once: asking the providers."""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.admin.asking import answer_in_words, to_be_asked
from orders.attempts import ask_provider
from orders.bulk import BulkAct, Done, offer
from orders.casefile import prose
from orders.models import ATTEMPT_ALIVE, Order, OrderState, PaymentAttempt


def _concerned(orders: QuerySet[Order]) -> QuerySet[Order]:
    attempts = PaymentAttempt.objects.filter(order=OuterRef("pk"))
    return orders.filter(
        Exists(attempts.filter(state__in=ATTEMPT_ALIVE)) | (~Q(state=OrderState.PAID) & Exists(attempts))
    )


def _hindrance(order: Order) -> str:
    attempts = to_be_asked(order)
    if not attempts:
        return _("No payment was opened at a provider, so none knows this order.")
    if order.state == OrderState.PAID and not any(attempt.state in ATTEMPT_ALIVE for attempt in attempts):
        return _("Paid, and no other attempt is open: there is nothing to ask.")
    return ""


def _ask(order: Order, actor: str) -> Done:
    answers = [(attempt, ask_provider(attempt, actor=actor)) for attempt in to_be_asked(order)]
    return Done(
        acted=any(asked.answer is not None for _attempt, asked in answers),
        words=prose.together(*(answer_in_words(attempt, asked) for attempt, asked in answers)),
        failed=all(asked.answer is None for _attempt, asked in answers),
    )


ASK_MANY = offer(
    BulkAct(
        name="ask",
        label=gettext_lazy("Ask the providers"),
        permission="orders.ask_provider",
        effect=(
            gettext_lazy("The provider is asked what became of each payment; what turns out paid is booked at once."),
            gettext_lazy("Orders that are paid and have nothing open, or never reached a provider, are left alone."),
        ),
        concerned=_concerned,
        hindrance=_hindrance,
        perform=_ask,
    )
)
