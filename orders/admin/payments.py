"""Attempts to pay, and the money that arrived."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.admin.accounts import AccountFilter
from channels_app.console.lists import ExactFilter
from channels_app.console.pages import ReadOnlyAdmin
from channels_app.console.words import column, environment_mark, link, money, number
from orders.admin.states import attempt_mark, use_mark
from orders.finding import attempts_numbered
from orders.models import Order, Payment, PaymentAttempt


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


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnlyAdmin[PaymentAttempt]):
    """Every try to pay an order at an account."""

    list_display = (
        "created_at",
        "numbered",
        "order_no",
        "method",
        "account",
        "standing",
        "provider_said",
        "next_query_at",
    )
    list_display_links = ("numbered",)
    list_select_related = ("order", "account")
    list_filter = (AskedFilter, AccountFilter)
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
    )

    order_no = column(gettext_lazy("order"), lambda attempt: link(attempt.order, number(attempt.order)))
    numbered = column(gettext_lazy("attempt number"), lambda attempt: number(attempt.attempt_no))
    standing = column(gettext_lazy("state"), attempt_mark)

    def find(self, term: str) -> list[QuerySet[PaymentAttempt]]:
        """By its own number, or its order's."""
        return [
            attempts_numbered(term),
            PaymentAttempt.objects.filter(order__in=Order.objects.filter(order_no=term)),
        ]


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin[Payment]):
    """Money that arrived, used or held."""

    list_display = ("paid_at", "numbered", "amount", "account", "order_no", "used", "source", "where")
    list_display_links = ("numbered",)
    list_select_related = ("account", "order")
    list_filter = (AccountFilter,)
    search_help_text = gettext_lazy("Provider transaction, attempt number or order number, exactly.")
    fields = (
        "numbered",
        "amount",
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
    used = column(gettext_lazy("used for its order"), use_mark)
    where = column(gettext_lazy("environment"), lambda payment: environment_mark(payment.environment))

    def find(self, term: str) -> list[QuerySet[Payment]]:
        """By transaction, attempt or order."""
        payments = Payment.objects
        return [
            payments.filter(transaction_id=term),
            payments.filter(attempt__in=attempts_numbered(term)),
            payments.filter(order__in=Order.objects.filter(order_no=term), order__isnull=False),
        ]
