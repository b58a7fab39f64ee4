"""Deliveries: the goods of paid orders on their way."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.lists import ColumnFilter
from channels_app.console.pages import Panel, ReadOnlyAdmin, table
from channels_app.console.words import column, link, number
from fulfillment.admin.finding import deliveries_numbered, players_called
from fulfillment.admin.states import delivery_mark
from fulfillment.models import Delivery, DeliveryStatus, LedgerAccount, LedgerEntry
from orders import narrating


class WaitingFilter(ColumnFilter):
    """Deliveries on their way: what an index keeps."""

    title = gettext_lazy("state")
    parameter_name = "waiting"
    column = "state"
    offered = (DeliveryStatus.PENDING, DeliveryStatus.PARKED)


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
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    """The goods of paid orders on their way."""

    list_display = (
        "created_at",
        "bought",
        "receiver",
        "mode",
        "standing",
        "delivered_at",
    )
    list_display_links = ("created_at",)
    list_select_related = ("order", "player")
    list_filter = (WaitingFilter,)
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

    def find(self, term: str) -> list[QuerySet[Delivery]]:
        """By order or player."""
        return [deliveries_numbered(term), Delivery.objects.filter(player__in=players_called(term))]
