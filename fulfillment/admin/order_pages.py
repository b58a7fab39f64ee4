"""What this floor adds to the pages of orders, products and games."""

from copy import deepcopy
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console import reach
from channels_app.console.cells import when
from channels_app.console.pages import Panel, table
from channels_app.console.proposing import FormProposal
from channels_app.console.words import link, mark, number
from fulfillment import product_changes
from fulfillment.admin.finding import deliveries_numbered, messages_about
from fulfillment.admin.redelivering import DELIVER
from fulfillment.admin.states import EVENT_NAMES, delivery_mark, lines_in_words, message_mark
from fulfillment.case_facts import CASE_FILE, answer_words, ledger_of, succeeded
from fulfillment.models import DeliveryMode, DeliveryPolicy, Item, ProductGrant, WebhookAttempt
from orders.admin.catalogue import ProductAdmin
from orders.admin.games import GameAdmin
from orders.admin.orders import OrderAdmin
from orders.casefile import prose
from orders.casefile.facts import register
from orders.casefile.timeline import event_words
from orders.models import EventKind, Game, Order, Product

_TRIES_SHOWN = 50


def _deliveries(request: HttpRequest, order: Order) -> Panel:
    return table(
        _("Deliveries"),
        deliveries_numbered(order.order_no).prefetch_related("lines__item").order_by("pk"),
        [
            (_("Created"), lambda delivery: link(delivery, when(delivery.created_at))),
            (_("Goods"), lines_in_words),
            (_("To"), lambda delivery: prose.place(delivery.zone_id, delivery.role_id) or order.uid),
            (_("Who holds the goods"), lambda delivery: delivery.get_mode_display()),
            (_("Game's receipt"), lambda delivery: number(delivery.receipt)),
            (_("State"), delivery_mark),
        ],
        empty=_("No goods have left yet. Once the money is here this shows what was delivered, line by line."),
    )


def _messages(request: HttpRequest, order: Order) -> Panel:
    about = messages_about(order.order_no).select_related("event").order_by("pk")
    return table(
        _("What the game server is told"),
        about[:_TRIES_SHOWN],
        [
            (_("Event"), lambda message: link(message, EVENT_NAMES.get(message.event.type, message.event.type))),
            (_("Message"), lambda message: number(message.event.event_id)),
            (_("Attempts"), lambda message: message.attempts),
            (_("Next attempt"), lambda message: when(message.next_attempt_at)),
            (_("State"), message_mark),
        ],
        empty=_("Nothing was sent: the game has no webhook endpoint, or nothing has happened yet."),
    )


def _tries(request: HttpRequest, order: Order) -> Panel:
    about = WebhookAttempt.objects.filter(message__in=messages_about(order.order_no)).select_related("message__event")
    return table(
        _("Tries at the game server"),
        about.order_by("pk")[:_TRIES_SHOWN],
        [
            (_("When"), lambda attempt: when(attempt.at)),
            (_("Event"), lambda attempt: EVENT_NAMES.get(attempt.message.event.type, attempt.message.event.type)),
            (_("Answer"), lambda attempt: attempt.status or "–"),
            (_("Took"), lambda attempt: _("%(ms)s ms") % {"ms": attempt.duration_ms}),
            (_("Words"), lambda attempt: number(answer_words(attempt))),
            (_("Result"), _result),
        ],
        empty=_("Nothing was sent yet. Every try and what came back would stand here."),
    )


def _result(attempt: WebhookAttempt) -> object:
    if succeeded(attempt):
        return mark(_("taken"), "done")
    return mark(_("no answer") if attempt.status is None else _("turned down"), "working")


def _ledger(request: HttpRequest, order: Order) -> Panel:
    in_ledger = order.fulfilment_mode == DeliveryMode.LEDGER
    promised = _("Nothing is credited yet. Once it is, this shows: %(goods)s.") % {"goods": prose.promised(order)}
    return table(
        _("Goods ledger"),
        ledger_of(order),
        [
            (_("When"), lambda entry: link(entry, when(entry.at))),
            (_("Item"), lambda entry: entry.item.name),
            (_("Paid quantity"), lambda entry: f"{entry.paid:+,d}"),
            (_("Free quantity"), lambda entry: f"{entry.free:+,d}"),
            (_("Balance after"), lambda entry: f"{entry.paid_after:,} + {entry.free_after:,}"),
        ],
        empty=promised if in_ledger else _("None: the game server holds these goods, not our ledger."),
    )


def _refunds(request: HttpRequest, order: Order) -> Panel:
    notices = order.events.filter(kind__in=(EventKind.REFUNDED, EventKind.REFUND_NOTICE)).order_by("pk")
    return table(
        _("Refunds"),
        notices,
        [
            (_("When"), lambda event: when(event.at)),
            (_("What happened"), lambda event: event_words(event, order)),
        ],
        empty=_("No money was given back. What a provider tells of a refund would stand here."),
    )


class ItemChoice(forms.ModelChoiceField[Item]):
    """Items are named with their game: two games may call different things the same."""

    def label_from_instance(self, item: Item) -> str:
        """Game, code and name."""
        return f"{item.game.code} · {item.item_id} ({item.name})"


class GrantForm(forms.ModelForm[ProductGrant]):
    """An item, and how much of it."""

    item = ItemChoice(
        label=gettext_lazy("item"),
        queryset=Item.objects.select_related("game").order_by("game__code", "item_id"),
    )

    class Meta:
        model = ProductGrant
        fields = ("item", "quantity", "bonus")


class GrantsOfOneGame(forms.BaseInlineFormSet[ProductGrant, Product, forms.ModelForm[ProductGrant]]):
    """A product gives items of its own game: the players of this game could not use others."""

    def clean(self) -> None:
        """Refuse another game's item."""
        super().clean()
        for form in self.forms:
            item = getattr(form, "cleaned_data", {}).get("item")
            if item is not None and item.game_id != self.instance.game_id:
                form.add_error("item", _("This item belongs to another game."))


class GrantInline(admin.TabularInline[ProductGrant, Product]):
    """What one piece of a product gives. Holds for orders made from then on."""

    model = ProductGrant
    form = GrantForm
    formset = GrantsOfOneGame
    extra = 0
    ordering = ("pk",)

    def get_formset(self, request: HttpRequest, obj: Product | None = None, **kwargs: Any) -> Any:
        """Offers items of the product's game; of a new product, of the games this person works for."""
        formset: Any = super().get_formset(request, obj, **kwargs)
        fields = formset.form.base_fields
        fields["item"] = deepcopy(fields["item"])
        items = reach.within(fields["item"].queryset, request.user, "game")
        fields["item"].queryset = items.filter(game=obj.game_id) if obj else items
        return formset


class DeliveryPolicyInline(admin.TabularInline[DeliveryPolicy, Game]):
    """Who holds the goods of orders made from then on. Without a row it is our ledger."""

    model = DeliveryPolicy
    extra = 0
    can_delete = False


register(CASE_FILE)
OrderAdmin.evidence_beside = (_tries, _deliveries, _ledger, _messages, _refunds, *OrderAdmin.evidence_beside)
OrderAdmin.acts = (DELIVER, *OrderAdmin.acts)
OrderAdmin.act_lines = {**OrderAdmin.act_lines, DELIVER.name: lambda: _("Safe: credited once at most")}
ProductAdmin.inlines = (*ProductAdmin.inlines, GrantInline)
GameAdmin.inlines = (*GameAdmin.inlines, DeliveryPolicyInline)
ProductAdmin.proposing = FormProposal(product_changes.KIND, product_changes.snapshot, product_changes.describe)
