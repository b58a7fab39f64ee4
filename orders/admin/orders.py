"""Orders: found by any number, told from beginning to end, exported; and the timelines of all of them."""

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from channels_app.console.filters import PeriodFilter
from channels_app.console.pages import ReadOnlyAdmin
from channels_app.console.words import column
from orders.admin.exports import Exporting
from orders.admin.order_list import OrderList
from orders.admin.order_page import OrderPage
from orders.casefile.timeline import event_words
from orders.exporting.reports import ORDERS, REFUNDS
from orders.models import Order, OrderEvent


@admin.register(Order)
class OrderAdmin(OrderPage, OrderList, Exporting[Order]):
    """Orders: found by any number, told from beginning to end, exported."""

    reports = (ORDERS, REFUNDS)


class EventPeriod(PeriodFilter):
    """When it happened."""

    column = "at"


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin[OrderEvent]):
    """Timelines of all orders, one line each."""

    game_path = "order__game"
    list_display = ("at", "order", "words", "actor")
    list_filter = (EventPeriod,)
    list_permission = "orders.list_orders"
    list_select_related = ("order",)
    fields = ("order", "at", "kind", "words", "actor", "data")
    search_help_text = gettext_lazy("Order number, exactly.")
    words = column(gettext_lazy("what happened"), lambda event: event_words(event, event.order))

    def find(self, term: str) -> list[QuerySet[OrderEvent]]:
        """The lines of one order."""
        return [OrderEvent.objects.filter(order__in=Order.objects.filter(order_no=term))]
