"""The evidence of an order on this floor, table by table: attempts, money, notifications, cases."""

from django.http import HttpRequest
from django.utils.translation import gettext as _

from channels_app.admin.notifications import verdict_mark
from channels_app.console.cells import tail, when, yuan
from channels_app.console.pages import Panel, table
from channels_app.console.words import link, money_in_prose, number
from orders import narrating
from orders.admin.states import attempt_mark, case_mark, use_mark, with_play_mark
from orders.casefile import facts, prose
from orders.models import Order, PaymentAttempt


def attempts(request: HttpRequest, order: Order) -> Panel:
    """Every try at a provider."""
    return table(
        _("Payment attempts"),
        order.attempts.select_related("account").order_by("pk")[: facts.SHOWN_AT_MOST],
        [
            (_("When"), lambda attempt: when(attempt.created_at)),
            (_("Payment method"), lambda attempt: prose.method_name(attempt.method)),
            (_("Attempt number"), lambda attempt: _attempt_number(attempt, order)),
            (_("Account"), lambda attempt: link(attempt.account, attempt.account.code)),
            (_("State"), attempt_mark),
        ],
        empty=_("The player has not chosen a way to pay yet. Every try at a provider would stand here."),
    )


def _attempt_number(attempt: PaymentAttempt, order: Order) -> object:
    """Made of the order's own it is shown whole; a store's UUID says nothing to anybody."""
    if attempt.attempt_no.startswith(order.order_no):
        return link(attempt, number(attempt.attempt_no))
    return tail(attempt.attempt_no, attempt)


def payments(request: HttpRequest, order: Order) -> Panel:
    """Money that arrived, used or held."""
    return table(
        _("Money received"),
        order.payments.select_related("account", "attempt").order_by("pk")[: facts.SHOWN_AT_MOST],
        [
            (_("Paid (provider's clock)"), lambda payment: when(payment.paid_at)),
            (_("Provider transaction"), lambda payment: tail(payment.transaction_id, payment)),
            (_("Charged (yuan)"), lambda payment: yuan(payment.amount_minor, payment.currency)),
            (_("List price (yuan)"), lambda payment: yuan(order.amount_minor, order.currency)),
            (_("Used for this order"), lambda payment: with_play_mark(use_mark(payment), payment, order)),
            (_("Proved by"), lambda payment: payment.get_source_display()),
        ],
        empty=_("No money has arrived for this order. Every payment would stand here, used or held."),
    )


def notifications(request: HttpRequest, order: Order) -> Panel:
    """What providers said about its attempts."""
    return table(
        _("Notifications"),
        facts.notifications_about(order.attempts.order_by("pk")[: facts.SHOWN_AT_MOST]),
        [
            (_("Received"), lambda message: link(message, when(message.received_at))),
            (_("Account"), lambda message: link(message.account, message.account.code)),
            (_("Provider transaction"), lambda message: number(message.transaction_id)),
            (_("Failed step"), lambda message: message.failed_step or "–"),
            (_("Verdict"), verdict_mark),
        ],
        empty=_("The provider has sent nothing about this order that could be read."),
    )


def cases(request: HttpRequest, order: Order) -> Panel:
    """What needed a person."""
    return table(
        _("Cases"),
        order.cases.order_by("closed_at", "pk")[: facts.SHOWN_AT_MOST],
        [
            (_("Kind"), lambda case: link(case, case.get_kind_display())),
            (_("Opened"), lambda case: when(case.opened_at)),
            (_("Money"), lambda case: _money(case.amount_minor, case.currency)),
            (_("What is the matter"), narrating.why),
            (_("State"), case_mark),
        ],
        empty=_("Nothing about this order needs a person."),
    )


def _money(amount_minor: int | None, currency: str) -> str:
    return "" if amount_minor is None else money_in_prose(amount_minor, currency)
