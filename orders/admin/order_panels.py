"""The tables on the page of an order: its timeline, and every row that belongs to it on this floor."""

from django.http import HttpRequest
from django.utils.translation import gettext as _

from channels_app.admin.notifications import verdict_mark
from channels_app.console.pages import Panel, table
from channels_app.console.words import clock, link, money, number
from channels_app.models import Notification
from orders import narrating
from orders.admin.states import attempt_mark, case_mark, use_mark
from orders.models import Order

_NOTIFICATIONS_SHOWN = 100


def timeline(request: HttpRequest, order: Order) -> Panel:
    """What happened, oldest first."""
    return table(
        _("Timeline"),
        order.events.order_by("pk"),
        [
            (_("When"), lambda event: event.at),
            (_("What happened"), narrating.line),
            (_("Who"), lambda event: number(event.actor)),
        ],
        empty=_("Nothing has happened yet."),
        note=_("Oldest first, on our clock. The time of payment above is the provider's."),
    )


def attempts(request: HttpRequest, order: Order) -> Panel:
    """Every try at a provider."""
    return table(
        _("Payment attempts"),
        order.attempts.select_related("account").order_by("pk"),
        [
            (_("Opened"), lambda attempt: attempt.created_at),
            (_("Attempt number"), lambda attempt: link(attempt, number(attempt.attempt_no))),
            (_("Payment method"), lambda attempt: attempt.method),
            (_("Account"), lambda attempt: link(attempt.account)),
            (_("State"), attempt_mark),
            (_("Provider said"), lambda attempt: attempt.provider_said),
            (_("Asked next"), lambda attempt: attempt.next_query_at),
        ],
        empty=_("The player has not chosen a way to pay yet. Every try at a provider would stand here."),
    )


def payments(request: HttpRequest, order: Order) -> Panel:
    """Money that arrived, used or held."""
    return table(
        _("Payments"),
        order.payments.select_related("account").order_by("pk"),
        [
            (_("Paid"), lambda payment: payment.paid_at),
            (_("Provider transaction"), lambda payment: link(payment, number(payment.transaction_id))),
            (_("Amount"), lambda payment: money(payment.amount_minor, payment.currency)),
            (_("Account"), lambda payment: link(payment.account)),
            (_("Used for this order"), use_mark),
            (_("Proved by"), lambda payment: payment.get_source_display()),
        ],
        empty=_("No money has arrived for this order. Every payment would stand here, used or held."),
    )


def notifications(request: HttpRequest, order: Order) -> Panel:
    """What providers said about its attempts. (The exclusion names the partial index.)"""
    numbers = list(order.attempts.values_list("attempt_no", flat=True))
    about = Notification.objects.filter(attempt_no__in=numbers).exclude(attempt_no="")
    return table(
        _("Notifications"),
        about.select_related("account").order_by("pk")[:_NOTIFICATIONS_SHOWN],
        [
            (_("Received"), lambda message: link(message, clock(message.received_at))),
            (_("Account"), lambda message: link(message.account)),
            (_("Verdict"), verdict_mark),
            (_("Failed step"), lambda message: message.failed_step),
            (_("Provider transaction"), lambda message: number(message.transaction_id)),
        ],
        empty=_("The provider has sent nothing about this order that could be read."),
    )


def cases(request: HttpRequest, order: Order) -> Panel:
    """What needed a person."""
    return table(
        _("Cases"),
        order.cases.order_by("closed_at", "pk"),
        [
            (_("Kind"), lambda case: link(case, case.get_kind_display())),
            (_("Opened"), lambda case: case.opened_at),
            (_("Money"), lambda case: money(case.amount_minor, case.currency)),
            (_("Detail"), narrating.why),
            (_("State"), case_mark),
            (_("Why"), lambda case: case.note),
        ],
        empty=_("Nothing about this order needs a person."),
    )
