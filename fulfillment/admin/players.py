"""Players, what they own, how it got there; and the items there are."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.cells import when
from channels_app.console.filters import PeriodFilter
from channels_app.console.pages import ConsoleAdmin, Panel, ReadOnlyAdmin, table
from channels_app.console.words import column, environment_mark, link, number
from fulfillment.admin.finding import players_called
from fulfillment.admin.states import delivery_mark, lines_in_words
from fulfillment.models import Item, LedgerEntry, Player
from orders.admin.order_filters import BooksFilter
from orders.models import Game

_PANEL_ROWS = 50


def _balances(request: HttpRequest, player: Player) -> Panel:
    return table(
        _("What the player owns"),
        player.balances.select_related("item").order_by("item__item_id"),
        [
            (_("Item"), lambda balance: link(balance.item, balance.item.name)),
            (_("Paid quantity"), lambda balance: balance.paid),
            (_("Free quantity"), lambda balance: balance.free),
            (_("Together"), lambda balance: balance.paid + balance.free),
        ],
        empty=_("Nothing in our ledger. In mode game_server the game itself keeps the goods."),
    )


def _ledger(request: HttpRequest, player: Player) -> Panel:
    return table(
        _("Goods ledger, newest first"),
        LedgerEntry.objects.filter(player=player).select_related("item").order_by("-pk")[:_PANEL_ROWS],
        [
            (_("When"), lambda entry: entry.at),
            (_("Item"), lambda entry: entry.item.name),
            (_("Paid quantity"), lambda entry: f"{entry.paid:+d}"),
            (_("Free quantity"), lambda entry: f"{entry.free:+d}"),
            (_("Balance after"), lambda entry: f"{entry.paid_after} + {entry.free_after}"),
            (_("Reason"), lambda entry: entry.get_reason_display()),
            (_("Order number"), lambda entry: number(entry.order_no)),
        ],
        empty=_("No goods have moved yet."),
    )


def _deliveries(request: HttpRequest, player: Player) -> Panel:
    return table(
        _("Deliveries, newest first"),
        player.deliveries.select_related("order").prefetch_related("lines__item").order_by("-pk")[:_PANEL_ROWS],
        [
            (_("Created"), lambda delivery: delivery.created_at),
            (_("Delivery"), lambda delivery: link(delivery, number(delivery.pk))),
            (_("Goods"), lines_in_words),
            (_("Order"), lambda delivery: link(delivery.order, number(delivery.order.order_no))),
            (_("State"), delivery_mark),
        ],
        empty=_("Nothing was ever delivered to this player."),
    )


class SeenPeriod(PeriodFilter):
    """When a player was first seen: a month, because new players are looked at more rarely than orders."""

    usual = "30days"


@admin.register(Player)
class PlayerAdmin(ReadOnlyAdmin[Player]):
    """Players: what they own, how it got there."""

    game_path = "game"
    list_display = ("uid", "game", "where", "first_seen")
    list_select_related = ("game",)
    list_filter = (SeenPeriod, BooksFilter)
    list_permission = "orders.list_orders"
    search_help_text = gettext_lazy("Player, exactly.")
    fields = ("uid", "game", "where", "created_at")
    panels = (_balances, _ledger, _deliveries)

    where = column(gettext_lazy("environment"), lambda player: environment_mark(player.environment))
    first_seen = column(gettext_lazy("first seen"), lambda player: when(player.created_at))

    def find(self, term: str) -> list[QuerySet[Player]]:
        """By uid."""
        return [players_called(term)]


@admin.register(Item)
class ItemAdmin(ConsoleAdmin[Item]):
    """What a player can own. A name may be corrected; what it is called by code may not."""

    game_path = "game"
    list_display = ("item_id", "name", "kind", "game")
    list_select_related = ("game",)
    search_help_text = gettext_lazy("Item id, exactly.")

    def find(self, term: str) -> list[QuerySet[Item]]:
        """By item id in every game."""
        games = list(Game.objects.order_by("pk").values_list("pk", flat=True))
        return [Item.objects.filter(game__in=games, item_id=term)]

    def get_readonly_fields(self, request: HttpRequest, obj: Item | None = None) -> tuple[str, ...]:
        """The ledger stands on these."""
        return ("game", "item_id", "kind") if obj else ()
