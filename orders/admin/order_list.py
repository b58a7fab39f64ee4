"""The list of orders: what each column says, which rows somebody should look at, and the search.

Payment and delivery are two columns: whether the money is here, and whether the goods are there. A row is tinted only
when a person must decide or the system is still at it; cancelled orders are greyed, not hidden.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.cells import tail, when, yuan
from channels_app.console.words import column, copy_button, link, mark, money_in_prose, number
from orders import narrating
from orders.admin.order_bulk import OrderBulk
from orders.admin.order_filters import ORDER_FILTERS
from orders.admin.states import DELIVERY_TONES, order_mark
from orders.casefile import prose
from orders.finding import order_places
from orders.models import CancelReason, Case, CaseKind, DeliveryState, Order, OrderState
from orders.number_shapes import cleaned

# Kinds of cases that say something about the money of an order; the others are about its goods.
_ABOUT_MONEY = (
    CaseKind.SECOND_PAYMENT,
    CaseKind.LATE_PAYMENT,
    CaseKind.AMOUNT_DIFFERS,
    CaseKind.GIVEN_BACK,
    CaseKind.PURCHASE_DIFFERS,
    CaseKind.TEST_MONEY,
    CaseKind.REVIEW,
    CaseKind.DISPUTE,
    CaseKind.REFUND_ASKED,
    CaseKind.UNDECIDED,
    CaseKind.PROVIDER_REFUND,
)
_SHOWN = 10
_A_SECOND = timedelta(seconds=1)
_GOODS = {
    DeliveryState.PENDING: gettext_lazy("on the way"),
    DeliveryState.DELIVERED: gettext_lazy("delivered"),
    DeliveryState.PARKED: gettext_lazy("stopped"),
    DeliveryState.REVOKED: gettext_lazy("taken back"),
}


def open_cases(order: Any) -> list[Case]:
    """What waits for a person about an order of the list (read for the whole page at once)."""
    cases: list[Case] = order.open_cases
    return cases


def _numbered(order: Order) -> object:
    """The end of it: its beginning is the day, which stands beside it."""
    return format_html("{}{}", link(order, number(f"…{order.order_no[-_SHOWN:]}")), copy_button(order.order_no))


def _player(order: Order) -> object:
    return format_html('{} <span class="quiet">{}</span>', order.uid, order.role_id) if order.role_id else order.uid


def _way(order: Order) -> object:
    """How it was paid, with the end of the provider's number."""
    if not order.method:
        return ""
    return format_html("{} {}", prose.provider_of_method(order.method), tail(order.transaction_id))


def _payment(order: Order) -> object:
    about_money = next((case for case in open_cases(order) if case.kind in _ABOUT_MONEY), None)
    return mark(CaseKind(about_money.kind).label, "decide") if about_money else order_mark(order)


def _delivery(order: Order) -> object:
    if order.delivery_state == DeliveryState.NONE:
        return "–" if order.state != OrderState.PAID else mark(_("nothing to deliver"), "quiet")
    state = DeliveryState(order.delivery_state)
    return mark(_GOODS[state], DELIVERY_TONES[state])


def _lately(order: Order) -> object:
    """The last thing that happened, or the next that will."""
    if open_cases(order):
        return _("waits for a decision")
    if order.refunded_minor:
        return _("refunded %(amount)s") % {"amount": money_in_prose(order.refunded_minor, order.currency)}
    if order.state == OrderState.CANCELLED:
        return CancelReason(order.cancel_reason).label
    if order.state == OrderState.PENDING:
        left = order.expires_at - timezone.now()
        return _("closes in %(time)s") % {"time": prose.wait(left)} if left.total_seconds() > 0 else _("closing")
    if order.delivered_at and order.settled_at:
        return _("after %(time)s") % {"time": prose.wait(max(order.delivered_at - order.settled_at, _A_SECOND))}
    if order.settled_at and order.delivery_state == DeliveryState.PENDING:
        return _("for %(time)s") % {"time": prose.wait(timezone.now() - order.settled_at)}
    return ""


class OrderList(OrderBulk):
    """The list half of the orders' admin."""

    game_path = "game"
    list_display = (
        "made",
        "order_numbered",
        "buyer",
        "zone",
        "bought",
        "amount_in_yuan",
        "channel_name",
        "way",
        "payment_state",
        "goods_state",
        "lately",
    )
    list_display_links = None
    list_select_related = ("channel",)
    list_filter = ORDER_FILTERS
    list_permission = "orders.list_orders"
    list_prefetch = (
        Prefetch("cases", queryset=Case.objects.filter(closed_at__isnull=True).order_by("pk"), to_attr="open_cases"),
    )
    list_empty = gettext_lazy("No order fits. Take away a filter, or choose a longer period.")
    search_help_text = gettext_lazy(
        "Paste an order number, the game's reference, a provider transaction, a UID or a role id"
    )

    made = column(gettext_lazy("ordered"), lambda order: when(order.created_at))
    order_numbered = column(gettext_lazy("order number"), _numbered)
    buyer = column(gettext_lazy("player"), _player)
    zone = column(gettext_lazy("zone"), lambda order: prose.zone_name(order.zone_id))
    bought = column(gettext_lazy("product"), narrating.goods)
    amount_in_yuan = column(gettext_lazy("amount (yuan)"), lambda order: yuan(order.amount_minor, order.currency))
    channel_name = column(gettext_lazy("channel"), lambda order: order.channel.name)
    way = column(gettext_lazy("paid by"), _way)
    payment_state = column(gettext_lazy("payment"), _payment)
    goods_state = column(gettext_lazy("delivery"), _delivery)
    lately = column(gettext_lazy("last change"), _lately)

    def find(self, term: str) -> list[QuerySet[Order]]:
        """Every number a person may hold."""
        return order_places(cleaned(term))

    def row_tone(self, row: Order) -> str:
        """Red where a person must decide, amber while goods are on their way, grey when it is over unpaid."""
        if open_cases(row) or row.delivery_state == DeliveryState.PARKED:
            return "decide"
        if row.delivery_state == DeliveryState.PENDING:
            return "working"
        return "quiet" if row.state == OrderState.CANCELLED else ""
