"""The evidence of an order on this floor, table by table: attempts, money, notifications, cases."""

from collections.abc import Callable, Sequence

from django.http import HttpRequest
from django.utils.translation import gettext as _

from channels_app.admin.notifications import verdict_mark
from channels_app.console.cells import tail, when, yuan
from channels_app.console.pages import Panel, table
from channels_app.console.words import link, mark, money_in_prose, number
from orders import narrating
from orders.admin.states import attempt_mark, case_mark, use_mark, with_play_mark
from orders.casefile import facts, prose
from orders.confirming import waits_for_confirmation
from orders.models import AttemptState, Order, PaymentAttempt


def attempts(request: HttpRequest, order: Order) -> Panel:
    """Every try at a provider."""
    found = list(order.attempts.select_related("account").order_by("pk")[: facts.SHOWN_AT_MOST])
    return table(
        _("Payment attempts"),
        found,
        [
            (_("When"), lambda attempt: when(attempt.created_at)),
            (_("Payment method"), lambda attempt: prose.method_name(attempt.method)),
            (_("Attempt number"), lambda attempt: link(attempt, number(attempt.attempt_no))),
            (_("Account"), lambda attempt: link(attempt.account, attempt.account.code)),
            *_of_stores(found),
            (_("State"), attempt_mark),
        ],
        empty=_("The player has not chosen a way to pay yet. Every try at a provider would stand here."),
    )


def _of_stores(attempts: Sequence[PaymentAttempt]) -> list[tuple[object, Callable[[PaymentAttempt], object]]]:
    """What only stores have: no column where no attempt would fill it."""
    columns: list[tuple[object, Callable[[PaymentAttempt], object], bool]] = [
        (_("Store product"), lambda attempt: attempt.store_product_id, any(one.store_product_id for one in attempts)),
        (_("Who has to pay"), lambda attempt: tail(attempt.payer), any(one.payer for one in attempts)),
        (_("Provider's name for it"), lambda attempt: tail(attempt.handle), any(one.handle for one in attempts)),
        (_("Store told of delivery"), _told, any(waits_for_confirmation(one) or one.confirmed_at for one in attempts)),
    ]
    return [(heading, cell) for heading, cell, is_filled in columns if is_filled]


def _told(attempt: PaymentAttempt) -> object:
    """When the store was told that the goods were delivered; that it waits to be told."""
    if attempt.confirmed_at is None and attempt.state == AttemptState.PAID and waits_for_confirmation(attempt):
        return mark(_("not yet"), "working")
    return when(attempt.confirmed_at)


def payments(request: HttpRequest, order: Order) -> Panel:
    """Money that arrived, used or held."""
    return table(
        _("Money received"),
        order.payments.select_related("account", "attempt").order_by("pk")[: facts.SHOWN_AT_MOST],
        [
            (_("Paid (provider's clock)"), lambda payment: when(payment.paid_at)),
            (_("Provider transaction"), lambda payment: link(payment, number(payment.transaction_id))),
            (_("Charged (yuan)"), lambda payment: yuan(payment.amount_minor, payment.currency)),
            (_("List price (yuan)"), lambda payment: yuan(order.amount_minor, order.currency)),
            (_("Proved by"), lambda payment: payment.get_source_display()),
            (_("Used for this order"), lambda payment: with_play_mark(use_mark(payment), payment, order)),
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
