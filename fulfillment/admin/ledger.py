"""The goods ledger: every movement, and the balances that follow from them."""

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from channels_app.console.pages import ReadOnlyAdmin
from channels_app.console.words import column
from fulfillment.admin.finding import deliveries_numbered, players_called
from fulfillment.models import Balance, LedgerAccount, LedgerEntry


def _holder(entry: LedgerEntry) -> object:
    """The player, or the house's account."""
    return entry.player if entry.account == LedgerAccount.PLAYER else entry.get_account_display()


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin[LedgerEntry]):
    """Every movement of goods. Each has its counter-entry; together they are zero."""

    list_display = ("at", "whose", "item", "paid", "free", "paid_after", "free_after", "reason", "order_no")
    list_select_related = ("player", "item")
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

    list_display = ("player", "item", "paid", "free")
    list_select_related = ("player", "item")
    search_help_text = gettext_lazy("Player, exactly.")

    def find(self, term: str) -> list[QuerySet[Balance]]:
        """By player."""
        return [Balance.objects.filter(player__in=players_called(term))]
