"""What this floor adds to the pages of orders, products and games."""

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Panel, table
from channels_app.console.words import link, number
from fulfillment.admin.finding import deliveries_numbered, messages_about
from fulfillment.admin.states import delivery_mark, lines_in_words, message_mark, tries_in_words
from fulfillment.models import DeliveryPolicy, Item, ProductGrant
from orders import narrating
from orders.admin.catalogue import ProductAdmin
from orders.admin.games import GameAdmin
from orders.admin.orders import OrderAdmin
from orders.models import Game, Order, Product

_MESSAGES_SHOWN = 50


def _deliveries(request: HttpRequest, order: Order) -> Panel:
    return table(
        _("Deliveries"),
        deliveries_numbered(order.order_no).prefetch_related("lines__item").order_by("pk"),
        [
            (_("Created"), lambda delivery: delivery.created_at),
            (_("Delivery"), lambda delivery: link(delivery, number(delivery.pk))),
            (_("Goods"), lines_in_words),
            (_("To"), lambda delivery: narrating.receiver(order)),
            (_("Who holds the goods"), lambda delivery: delivery.get_mode_display()),
            (_("State"), delivery_mark),
            (_("Delivered"), lambda delivery: delivery.delivered_at),
            (_("Game's receipt"), lambda delivery: number(delivery.receipt)),
        ],
        empty=_("No goods have left yet. Once the money is here this shows what was delivered, line by line."),
    )


def _messages(request: HttpRequest, order: Order) -> Panel:
    about = messages_about(order.order_no).select_related("event").prefetch_related("tries").order_by("pk")
    return table(
        _("What the game server was told"),
        about[:_MESSAGES_SHOWN],
        [
            (_("Event"), lambda message: message.event.type),
            (_("Message"), lambda message: link(message, number(message.event.event_id))),
            (_("State"), message_mark),
            (_("Attempts"), tries_in_words),
            (_("Next attempt"), lambda message: message.next_attempt_at),
        ],
        empty=_("Nothing was sent: the game has no webhook endpoint, or nothing has happened yet."),
    )


class ItemChoice(forms.ModelChoiceField[Item]):
    """Items are named with their game: two games may call different things the same."""

    def label_from_instance(self, item: Item) -> str:
        """Game, code and name."""
        return f"{item.game.code} · {item.item_id} ({item.name})"


class GrantForm(forms.ModelForm[ProductGrant]):
    """A product gives items of its own game."""

    item = ItemChoice(
        label=gettext_lazy("item"),
        queryset=Item.objects.select_related("game").order_by("game__code", "item_id"),
    )

    class Meta:
        model = ProductGrant
        fields = ("item", "quantity", "bonus")

    def clean_item(self) -> Item:
        """Refuse another game's item: the players of this game could not use it."""
        item: Item = self.cleaned_data["item"]
        if item.game_id != self.instance.product.game_id:
            raise ValidationError(_("This item belongs to another game."))
        return item


class GrantInline(admin.TabularInline[ProductGrant, Product]):
    """What one piece of a product gives. Holds for orders made from then on."""

    model = ProductGrant
    form = GrantForm
    extra = 0
    ordering = ("pk",)


class DeliveryPolicyInline(admin.TabularInline[DeliveryPolicy, Game]):
    """Who holds the goods of orders made from then on. Without a row it is our ledger."""

    model = DeliveryPolicy
    extra = 0
    can_delete = False


OrderAdmin.panels = (*OrderAdmin.panels[:1], _deliveries, *OrderAdmin.panels[1:], _messages)
ProductAdmin.inlines = (*ProductAdmin.inlines, GrantInline)
GameAdmin.inlines = (*GameAdmin.inlines, DeliveryPolicyInline)
