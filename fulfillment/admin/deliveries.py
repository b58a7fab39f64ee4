"""Deliveries: the goods of paid orders on their way."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.cells import when
from channels_app.console.filters import ColumnFilter, PeriodFilter, View, ViewsFilter
from channels_app.console.pages import Panel, table
from channels_app.console.words import column, link, number
from fulfillment.admin.finding import deliveries_numbered, players_called
from fulfillment.admin.states import delivery_mark
from fulfillment.exporting import DELIVERIES
from fulfillment.models import Delivery, DeliveryMode, DeliveryStatus, LedgerAccount, LedgerEntry
from orders import narrating
from orders.admin.exports import Exporting
from orders.admin.order_filters import BooksFilter, ZoneFilter


class WaitingViews(ViewsFilter):
    """Deliveries on their way have an index of their own; the others are found within the period."""

    parameter_name = "waiting"
    views = (
        View(code=DeliveryStatus.PENDING, label=DeliveryStatus.PENDING.label, tone="working", timeless=True,
             rows=lambda deliveries: deliveries.filter(state=DeliveryStatus.PENDING)),
        View(code=DeliveryStatus.PARKED, label=DeliveryStatus.PARKED.label, tone="decide", timeless=True,
             rows=lambda deliveries: deliveries.filter(state=DeliveryStatus.PARKED)),
        View(code=DeliveryStatus.REVOKED, label=DeliveryStatus.REVOKED.label,
             rows=lambda deliveries: deliveries.filter(state=DeliveryStatus.REVOKED)),
    )  # fmt: skip


class DeliveryBooks(BooksFilter):
    """A delivery's books are its player's."""

    game_column, environment_column = "player__game", "player__environment"


class ModeFilter(ColumnFilter):
    """Who holds the goods."""

    title = gettext_lazy("who holds the goods")
    parameter_name = "mode"
    column = "mode"
    offered = tuple(DeliveryMode)


def _lines(request: HttpRequest, delivery: Delivery) -> Panel:
    return table(
        _("Lines"),
        delivery.lines.select_related("item").order_by("pk"),
        [
            (_("Item"), lambda line: link(line.item, line.item.name)),
            (_("Quantity"), lambda line: line.quantity),
            (_("Bonus"), lambda line: line.bonus),
        ],
        empty=_("This product grants nothing."),
    )


def _entries(request: HttpRequest, delivery: Delivery) -> Panel:
    return table(
        _("Ledger entries"),
        delivery.entries.select_related("item", "player").order_by("pk"),
        [
            (_("When"), lambda entry: entry.at),
            (_("Account"), _account),
            (_("Item"), lambda entry: entry.item.name),
            (_("Paid quantity"), lambda entry: f"{entry.paid:+d}"),
            (_("Free quantity"), lambda entry: f"{entry.free:+d}"),
        ],
        empty=_("None: the game server holds these goods, or they have not left yet."),
    )


def _account(entry: LedgerEntry) -> object:
    """Whose account an entry stands on."""
    return link(entry.player) if entry.account == LedgerAccount.PLAYER else entry.get_account_display()


@admin.register(Delivery)
class DeliveryAdmin(Exporting[Delivery]):
    """The goods of paid orders on their way."""

    reports = (DELIVERIES,)
    game_path = "order__game"
    list_display = (
        "made",
        "bought",
        "receiver",
        "goods",
        "mode",
        "standing",
        "arrived",
    )
    list_display_links = ("made",)
    list_select_related = ("order", "player")
    list_filter = (PeriodFilter, WaitingViews, DeliveryBooks, ModeFilter, ZoneFilter)
    list_permission = "orders.list_orders"
    search_help_text = gettext_lazy("Order number or player, exactly.")
    fields = (
        "numbered",
        "order",
        "player",
        "zone_id",
        "role_id",
        "mode",
        "standing",
        "receipt",
        "created_at",
        "delivered_at",
    )
    panels = (_lines, _entries)

    bought = column(gettext_lazy("order"), lambda delivery: link(delivery.order, number(delivery.order)))
    receiver = column(gettext_lazy("player"), lambda delivery: narrating.receiver(delivery.order))
    numbered = column(gettext_lazy("delivery"), lambda delivery: number(delivery.pk))
    standing = column(gettext_lazy("state"), delivery_mark)
    made = column(gettext_lazy("created"), lambda delivery: when(delivery.created_at))
    arrived = column(gettext_lazy("delivered"), lambda delivery: when(delivery.delivered_at))
    goods = column(gettext_lazy("product"), lambda delivery: narrating.goods(delivery.order))

    def row_tone(self, row: Delivery) -> str:
        """Tinted while the goods are not there."""
        return {DeliveryStatus.PARKED.value: "decide", DeliveryStatus.PENDING.value: "working"}.get(row.state, "")

    def find(self, term: str) -> list[QuerySet[Delivery]]:
        """By order or player."""
        return [deliveries_numbered(term), Delivery.objects.filter(player__in=players_called(term))]
