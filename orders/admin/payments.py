"""Attempts to pay, and the money that arrived."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.admin.accounts import AccountFilter
from channels_app.console.cells import shortened, when, yuan
from channels_app.console.filters import AmountFilter, ExactFilter, PeriodFilter, View, ViewsFilter
from channels_app.console.pages import ReadOnlyAdmin
from channels_app.console.words import column, copy_button, environment_mark, link, money, number
from orders.admin.exports import Exporting
from orders.admin.order_filters import BooksFilter, MethodFilter
from orders.admin.states import attempt_mark, use_mark, with_play_mark
from orders.exporting.reports import PAYMENTS
from orders.finding import attempts_numbered, transactions
from orders.models import AttemptState, HoldReason, Order, Payment, PaymentAttempt


class AskedFilter(ExactFilter):
    """Attempts the provider is still asked about."""

    title = gettext_lazy("still asked about")
    parameter_name = "asked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Yes, or all."""
        return [("yes", _("yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PaymentAttempt]) -> QuerySet[PaymentAttempt]:
        """Attempts with a next question."""
        return queryset.filter(next_query_at__isnull=False) if self.chosen() else queryset


class AttemptBooks(BooksFilter):
    """Attempts reach their books through the order."""

    game_column, environment_column = "order__game", "order__environment"


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnlyAdmin[PaymentAttempt]):
    """Every try to pay an order at an account."""

    game_path = "order__game"
    list_display = (
        "opened",
        "numbered",
        "order_no",
        "method",
        "account",
        "standing",
        "provider_said",
        "asked_next",
    )
    list_display_links = ("numbered",)
    list_select_related = ("order", "account")
    list_filter = (PeriodFilter, AttemptBooks, AccountFilter, MethodFilter, AskedFilter)
    list_permission = "orders.list_orders"
    search_help_text = gettext_lazy("Attempt number or order number, exactly.")
    fields = (
        "numbered",
        "order",
        "account",
        "method",
        "standing",
        "provider_said",
        "queries",
        "next_query_at",
        "created_at",
        "expires_at",
        "closed_at",
        "store_product_id",
        "payer",
        "called",
        "confirmed_at",
    )

    order_no = column(gettext_lazy("order"), lambda attempt: link(attempt.order, number(attempt.order)))
    numbered = column(gettext_lazy("attempt number"), lambda attempt: number(attempt.attempt_no))
    standing = column(gettext_lazy("state"), attempt_mark)
    opened = column(gettext_lazy("opened"), lambda attempt: when(attempt.created_at))
    called = column(gettext_lazy("provider's name for it"), lambda attempt: shortened(attempt.handle))
    asked_next = column(gettext_lazy("asked next"), lambda attempt: when(attempt.next_query_at))

    def row_tone(self, row: PaymentAttempt) -> str:
        """Grey when nobody can pay it any more."""
        return "quiet" if row.state in (AttemptState.CLOSED, AttemptState.FAILED) else ""

    def find(self, term: str) -> list[QuerySet[PaymentAttempt]]:
        """By its own number, or its order's."""
        return [
            attempts_numbered(term),
            PaymentAttempt.objects.filter(order__in=Order.objects.filter(order_no=term)),
        ]


class ReceivedPeriod(PeriodFilter):
    """When we wrote the money down."""

    column = "received_at"


class PaymentBooks(BooksFilter):
    """A payment knows its environment; its game is its order's, and money of no order belongs to none."""

    def of_games(self, rows: QuerySet[Payment], games: Sequence[int]) -> QuerySet[Payment]:
        """Their orders' payments, and money of no order."""
        return rows.filter(Q(order__game__in=games) | Q(order__isnull=True))


OF_NO_ORDER = (HoldReason.UNKNOWN_ORDER, HoldReason.UNMATCHED)


class PaymentViews(ViewsFilter):
    """What became of the money."""

    views = (
        View(code="held", label=gettext_lazy("held"), rows=lambda payments: payments.filter(applied=False)),
        View(code="orphan", label=HoldReason.UNKNOWN_ORDER.label,
             rows=lambda payments: payments.filter(hold_reason__in=OF_NO_ORDER)),
        View(code="applied", label=gettext_lazy("used for its order"),
             rows=lambda payments: payments.filter(applied=True)),
    )  # fmt: skip


@admin.register(Payment)
class PaymentAdmin(Exporting[Payment]):
    """Money that arrived, used or held."""

    reports = (PAYMENTS,)
    game_path = "order__game"
    list_display = ("paid", "received", "told", "amount_in_yuan", "account", "order_no", "used", "source")
    list_display_links = None
    list_select_related = ("account", "order")
    list_filter = (ReceivedPeriod, PaymentViews, PaymentBooks, AccountFilter, AmountFilter)
    list_permission = "orders.list_orders"
    search_help_text = gettext_lazy("Provider transaction, attempt number or order number, exactly.")
    fields = (
        "numbered",
        "amount",
        "listed",
        "account",
        "where",
        "attempt_no",
        "attempt",
        "order",
        "used",
        "source",
        "paid_at",
        "received_at",
    )

    order_no = column(gettext_lazy("order"), lambda payment: link(payment.order, number(payment.order)))
    numbered = column(gettext_lazy("provider transaction"), lambda payment: number(payment.transaction_id))
    amount = column(gettext_lazy("amount"), lambda payment: money(payment.amount_minor, payment.currency))
    listed = column(
        gettext_lazy("list price"),
        lambda payment: money(payment.order.amount_minor, payment.order.currency) if payment.order else "",
    )
    used = column(
        gettext_lazy("used for its order"), lambda payment: with_play_mark(use_mark(payment), payment, payment.order)
    )
    paid = column(gettext_lazy("paid"), lambda payment: when(payment.paid_at))
    received = column(gettext_lazy("received"), lambda payment: when(payment.received_at))
    told = column(
        gettext_lazy("provider transaction"),
        lambda payment: format_html(
            "{}{}", link(payment, number(payment.transaction_id)), copy_button(payment.transaction_id)
        ),
    )
    amount_in_yuan = column(gettext_lazy("amount (yuan)"), lambda payment: yuan(payment.amount_minor, payment.currency))

    def row_tone(self, row: Payment) -> str:
        """Held money waits for a person."""
        return "" if row.applied else "decide"

    where = column(gettext_lazy("environment"), lambda payment: environment_mark(payment.environment))

    def find(self, term: str) -> list[QuerySet[Payment]]:
        """By transaction, attempt or order."""
        payments = Payment.objects
        return [
            payments.filter(transaction_id__in=transactions(term)),
            payments.filter(attempt__in=attempts_numbered(term)),
            payments.filter(order__in=Order.objects.filter(order_no=term), order__isnull=False),
        ]
