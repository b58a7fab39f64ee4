"""Orders: found by any number, told from beginning to end, exported; and the timelines of all of them."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Panels, ReadOnlyAdmin
from channels_app.console.words import column, environment_mark, money, number
from orders import narrating
from orders.admin import order_panels
from orders.admin.asking import ASK
from orders.admin.exports import OrderExporting
from orders.admin.order_filters import BooksFilter, ChannelFilter, PaymentFilter, PeriodFilter, UndeliveredFilter
from orders.admin.states import delivery_mark, order_mark
from orders.finding import order_places
from orders.models import Order, OrderEvent


@admin.register(Order)
class OrderAdmin(OrderExporting):
    """Orders: found by any number, told from beginning to end, exported."""

    list_display = (
        "created_at",
        "numbered",
        "payment",
        "delivery",
        "player",
        "goods",
        "amount",
        "channel_code",
        "method",
        "where",
    )
    list_display_links = ("numbered",)
    list_filter = (PeriodFilter, PaymentFilter, UndeliveredFilter, BooksFilter, ChannelFilter)
    search_help_text = gettext_lazy(
        "Order number, attempt number, the game's reference, provider transaction or player, exactly."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("numbered", "where", "reference"),
                    ("payment", "delivery", "amount"),
                    ("player", "goods", "refunded"),
                    ("channel", "method", "transaction"),
                )
            },
        ),
        (
            gettext_lazy("Times"),
            {
                "fields": (
                    ("created_at", "paid_at", "settled_at", "delivered_at"),
                    ("expires_at", "cancelled_at", "cancel_reason"),
                )
            },
        ),
        (
            gettext_lazy("More"),
            {
                "classes": ("collapse",),
                "fields": (
                    ("game", "product", "promised"),
                    ("fulfilment_mode", "client_ip", "attach", "version"),
                ),
            },
        ),
    )
    panels: ClassVar[Panels] = (
        order_panels.timeline,
        order_panels.attempts,
        order_panels.payments,
        order_panels.notifications,
        order_panels.cases,
    )
    acts = (ASK,)

    numbered = column(gettext_lazy("order number"), lambda order: number(order.order_no))
    player = column(gettext_lazy("player"), narrating.receiver)
    goods = column(gettext_lazy("product"), narrating.goods)
    amount = column(gettext_lazy("amount"), lambda order: money(order.amount_minor, order.currency))
    refunded = column(gettext_lazy("refunded"), lambda order: money(order.refunded_minor, order.currency))
    payment = column(gettext_lazy("payment"), order_mark)
    delivery = column(gettext_lazy("delivery"), delivery_mark)
    reference = column(gettext_lazy("game's reference"), lambda order: number(order.client_ref))
    transaction = column(gettext_lazy("provider transaction"), lambda order: number(order.transaction_id))
    promised = column(gettext_lazy("contents"), lambda order: narrating.contents(order.contents))
    where = column(gettext_lazy("environment"), lambda order: environment_mark(order.environment))

    def find(self, term: str) -> list[QuerySet[Order]]:
        """Every number a person may hold."""
        return order_places(term)

    def headline(self, row: Order) -> str:
        """The order in one sentence."""
        return narrating.headline(row, row.cases.filter(closed_at__isnull=True))


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin[OrderEvent]):
    """Timelines of all orders, one line each."""

    list_display = ("at", "order", "words", "actor")
    list_select_related = ("order",)
    fields = ("order", "at", "kind", "words", "actor", "data")
    search_help_text = gettext_lazy("Order number, exactly.")
    words = column(gettext_lazy("what happened"), narrating.line)

    def find(self, term: str) -> list[QuerySet[OrderEvent]]:
        """The lines of one order."""
        return [OrderEvent.objects.filter(order__in=Order.objects.filter(order_no=term))]
