"""The goods ledger: every movement, and the balances that follow from them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from channels_app.console.bearings import bearings_of
from channels_app.console.cells import when
from channels_app.console.filters import ColumnFilter, PeriodFilter
from channels_app.console.pages import ReadOnlyAdmin
from channels_app.console.words import column
from fulfillment.admin.finding import deliveries_numbered, players_called
from fulfillment.exporting import LEDGER
from fulfillment.models import Balance, Item, LedgerAccount, LedgerEntry
from orders.admin.exports import Exporting


def _holder(entry: LedgerEntry) -> object:
    """The player, or the house's account."""
    return entry.player if entry.account == LedgerAccount.PLAYER else entry.get_account_display()


class MovedPeriod(PeriodFilter):
    """When the goods moved."""

    column = "at"


class ItemFilter(ColumnFilter):
    """What moved."""

    title = gettext_lazy("item")
    parameter_name = "item"
    column = "item"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The items of the games looked at."""
        games = bearings_of(request).games
        items = Item.objects.filter(**({} if games is None else {"game__in": games}))
        return [(str(pk), name) for pk, name in items.order_by("name", "pk").values_list("pk", "name")[:500]]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(Exporting[LedgerEntry]):
    """Every movement of goods. Each has its counter-entry; together they are zero."""

    reports = (LEDGER,)
    game_path = "item__game"
    list_display = ("moved", "whose", "item", "paid", "free", "paid_after", "free_after", "reason", "order_no")
    list_select_related = ("player", "item")
    list_filter = (MovedPeriod, ItemFilter)
    list_permission = "orders.list_orders"
    fields = (
        "at",
        "whose",
        "item",
        "paid",
        "free",
        "paid_after",
        "free_after",
        "reason",
        "delivery",
        "order_no",
        "transfer",
    )
    search_help_text = gettext_lazy("Order number or player, exactly.")
    moved = column(gettext_lazy("when"), lambda entry: when(entry.at))
    whose = column(gettext_lazy("account"), _holder)

    def find(self, term: str) -> list[QuerySet[LedgerEntry]]:
        """By order or player."""
        return [
            LedgerEntry.objects.filter(delivery__in=deliveries_numbered(term)),
            LedgerEntry.objects.filter(player__in=players_called(term), player__isnull=False),
        ]


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin[Balance]):
    """What players own. Moves only with a ledger entry."""

    game_path = "player__game"
    list_display = ("player", "item", "paid", "free")
    list_select_related = ("player", "item")
    search_help_text = gettext_lazy("Player, exactly.")

    def find(self, term: str) -> list[QuerySet[Balance]]:
        """By player."""
        return [Balance.objects.filter(player__in=players_called(term))]
