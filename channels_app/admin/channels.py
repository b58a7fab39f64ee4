"""Sales channels, and what each offers through which account."""

from collections import defaultdict
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.accounts import AccountRefused, enable_method
from channels_app.console.filters import SwitchFilter
from channels_app.console.pages import Act, ActRefused, ConsoleAdmin
from channels_app.models import AccountState, Channel, ChannelMethod, Environment, MerchantAccount
from channels_app.providers import ADAPTERS, METHODS


def _offer_form(channel: Channel) -> type[forms.Form]:
    """Every method of every active account that this channel does not offer through it yet."""
    offered = set(ChannelMethod.objects.filter(channel=channel).values_list("account_id", "method"))
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for account in MerchantAccount.objects.filter(state=AccountState.ACTIVE).order_by("environment", "code"):
        heading = f"{account.code} · {ADAPTERS[account.provider].label} · {Environment(account.environment).label}"
        groups[heading] += [
            (f"{account.pk}:{method.code}", str(method.label))
            for method in ADAPTERS[account.provider].methods.values()
            if (account.pk, method.code) not in offered
        ]
    choices = [(heading, methods) for heading, methods in groups.items() if methods]
    field = forms.MultipleChoiceField(
        label=_("Methods, by account"),
        choices=choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("A method that goes through another account already changes over to the one you tick."),
    )
    return type("OfferForm", (forms.Form,), {"methods": field})


def _offer(request: HttpRequest, channel: Channel, given: dict[str, Any]) -> str:
    try:
        for choice in given["methods"]:
            account_id, _colon, method = choice.partition(":")
            enable_method(channel=channel, method=method, account=MerchantAccount.objects.get(pk=account_id))
    except AccountRefused as refusal:
        raise ActRefused(str(refusal)) from refusal
    names = ", ".join(str(METHODS[choice.partition(":")[2]].label) for choice in given["methods"])
    return _("Now on offer: %(methods)s.") % {"methods": names}


class ChannelMethodInline(admin.TabularInline[ChannelMethod, Channel]):
    """What a channel offers, switched on and off. What it offers more is the act "Offer methods"."""

    model = ChannelMethod
    extra = 0
    can_delete = False
    fields = ("method", "account", "environment", "is_enabled", "position")
    readonly_fields = ("method", "account", "environment")
    ordering = ("environment", "position", "pk")

    def has_add_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """The act adds, and checks that account and method fit."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChannelMethod]:
        """With the accounts it shows."""
        return super().get_queryset(request).select_related("account")


class ActiveFilter(SwitchFilter):
    """Whether it sells."""

    title = gettext_lazy("active")
    parameter_name = "active"
    column = "is_active"


@admin.register(Channel)
class ChannelAdmin(ConsoleAdmin[Channel]):
    """Sales channels: named, switched on and off, never deleted. Switching a method off is one person's act: it may
    have to happen at night; a new account for it takes two.
    """

    step_up_changes = True

    game_path = ""
    list_display = ("code", "name", "is_active", "created_at")
    list_filter = (ActiveFilter,)
    inlines = (ChannelMethodInline,)
    list_note = gettext_lazy("Where orders come from: a shop, a store, the official site. Never a payment provider.")
    acts = (
        Act(
            name="offer",
            label=gettext_lazy("Offer methods"),
            permission="channels_app.edit_account",
            step_up=True,
            effect=lambda channel: [
                _("Players who buy on this channel are offered what you tick, from the next order on."),
                _("An order uses accounts of its own environment only: production and sandbox never mix."),
            ],
            hindrance=lambda channel: (
                ""
                if MerchantAccount.objects.filter(state=AccountState.ACTIVE).exists()
                else _("There is no active merchant account yet: make one first.")
            ),
            perform=_offer,
            form=_offer_form,
            two_people=True,
            shown=lambda channel, given: [(_("on offer"), "", ", ".join(given["methods"]))],
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """Orders and game servers refer to a channel by its code: it never changes."""
        return ("code", "created_at") if obj else ("created_at",)
