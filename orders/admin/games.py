"""Games and the keys of their servers."""

from typing import Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_stubs_ext import StrOrPromise

from channels_app.console.pages import Act, ActRefused, ConsoleAdmin, Inlines, ReadOnlyAdmin
from channels_app.console.words import column, environment_mark, mark
from channels_app.models import Environment
from channels_app.proposals import Asked
from orders.authentication import forget_keys, new_api_key
from orders.checkout.links import check_return_url, check_support_url
from orders.models import ApiKey, Game, Scope
from orders.revenue.rebuilding import is_quick, rebuild_revenue

# What decides to which day an order belongs.
CLOCK = frozenset({"time_zone", "day_turns_at_hour"})


class GameForm(forms.ModelForm[Game]):
    """A game, with a time zone that exists."""

    class Meta:
        model = Game
        fields = ("code", "name", "time_zone", "day_turns_at_hour", "return_url", "support_url")
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {"support_url": forms.CharField}
        help_texts: ClassVar[dict[str, StrOrPromise]] = {
            "return_url": gettext_lazy(
                "Where the payment page leads after a purchase: https://… or the app’s own mygame://…; "
                "{order_no} in it becomes the order number. Empty: no button."
            ),
            "support_url": gettext_lazy(
                "Where the payment page’s “Contact customer service” leads: https://…; "
                "{order_no} in it becomes the order number. Empty: no button."
            ),
        }

    def clean_time_zone(self) -> str:
        """Refuse a name that no clock knows: order numbers and business days are made with it."""
        name: str = self.cleaned_data["time_zone"]
        if name not in available_timezones():
            raise ValidationError(_("There is no such time zone; write it like Asia/Shanghai."))
        return name

    def clean(self) -> dict[str, Any]:
        """Refuse another clock where making the sums of revenue anew would take longer than a page may."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk and CLOCK & set(self.changed_data) and not is_quick(self.instance):
            raise ValidationError(
                _("This game has so many orders that its revenue takes minutes to be added up by another clock. "
                  "Use `manage.py rebuild_revenue %(code)s --time-zone … --day-turns-at …`."),
                params={"code": self.instance.code},
            )  # fmt: skip
        return cleaned

    def clean_return_url(self) -> str:
        """Refuse what would not lead into the game: a button of ours goes there."""
        address: str = self.cleaned_data["return_url"]
        if address:
            check_return_url(address)
        return address

    def clean_support_url(self) -> str:
        """As above, for the people who help."""
        address: str = self.cleaned_data["support_url"]
        if address:
            check_support_url(address)
        return address


class KeyForm(forms.Form):
    """What a new key is for."""

    environment = forms.ChoiceField(
        label=gettext_lazy("Environment"),
        choices=Environment.choices,
        help_text=gettext_lazy("Orders made with the key use accounts of this environment only."),
    )
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        help_text=gettext_lazy("Which server will use it, so that it can be revoked without guessing."),
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"),
        choices=Scope.choices,
        initial=list(Scope.values),
        widget=forms.CheckboxSelectMultiple,
    )


def _make_key(request: HttpRequest, game: Game, given: dict[str, Any]) -> Asked:
    key = new_api_key(game=game, environment=given["environment"], scopes=given["scopes"], name=given["name"])
    return Asked(_("A new key works from now on."), secret=key)


MAKE_KEY = Act(
    name="key",
    label=gettext_lazy("Make an API key"),
    permission="orders.change_apikey",
    effect=lambda game: [
        _("The key is shown once, to whoever makes it; only its digest is kept."),
        _("Keys made before go on working until somebody revokes them."),
    ],
    hindrance=lambda game: "",
    perform=_make_key,
    form=KeyForm,
    step_up=True,
    two_people=True,
    shown=lambda game, given: [
        (_("environment"), "", Environment(given["environment"]).label),
        (_("name"), "", given["name"]),
        (_("scopes"), "", ", ".join(given["scopes"])),
    ],
)


@admin.register(Game)
class GameAdmin(ConsoleAdmin[Game]):
    """Games: named once, their clock may be corrected, never deleted."""

    game_path = "pk"
    form = GameForm
    inlines: ClassVar[Inlines] = ()
    list_display = ("code", "name", "time_zone", "day_turns_at_hour", "created_at")
    list_note = gettext_lazy(
        "A game, its first API key and its webhook secret are made by `manage.py create_game CODE --name …`."
    )
    acts = (MAKE_KEY,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """`manage.py create_game` makes a game together with what it needs to start."""
        return False

    def save_model(self, request: HttpRequest, obj: Game, form: Any, change: bool) -> None:  # noqa: FBT001
        """Another clock means other business days: the sums of revenue are made anew, in the same transaction."""
        super().save_model(request, obj, form, change)
        if change and CLOCK & set(form.changed_data):
            rebuild_revenue(obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Game | None = None) -> tuple[str, ...]:
        """The code is copied onto every order."""
        return ("code", "created_at")


def _revoke(request: HttpRequest, key: ApiKey, given: dict[str, Any]) -> str:
    if not ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        raise ActRefused(_("This key was revoked before."))
    forget_keys()
    return _("The key %(key)s is revoked.") % {"key": key}


def _key_mark(key: ApiKey) -> object:
    """Whether it opens anything."""
    if key.revoked_at:
        return mark(_("revoked"), "quiet")
    if key.expires_at and key.expires_at <= timezone.now():
        return mark(_("expired"), "quiet")
    return mark(_("valid"), "done")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Keys of game servers: their beginning, what they may do, when they were last used."""

    game_path = "game"
    list_display = ("prefix", "game", "name", "where", "allowed", "standing", "last_used_at", "created_at")
    list_select_related = ("game",)
    fields = (
        "prefix",
        "game",
        "name",
        "where",
        "allowed",
        "allowed_networks",
        "standing",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "created_at",
    )
    list_note = gettext_lazy("A key is made on the page of its game, and shown once.")
    where = column(gettext_lazy("environment"), lambda key: environment_mark(key.environment))
    allowed = column(gettext_lazy("scopes"), lambda key: ", ".join(key.scopes))
    standing = column(gettext_lazy("state"), _key_mark)
    acts = (
        Act(
            name="revoke",
            label=gettext_lazy("Revoke the key"),
            permission="orders.change_apikey",
            effect=lambda key: [
                _("The game server that uses this key is refused within a few seconds, for ever."),
                _("Make the new key first and let the game server change over: both work side by side."),
                _("Last used: %(at)s.") % {"at": timezone.localtime(key.last_used_at).strftime("%Y-%m-%d %H:%M")}
                if key.last_used_at
                else _("It was never used."),
            ],
            hindrance=lambda key: _("This key was revoked before.") if key.revoked_at else "",
            perform=_revoke,
        ),
    )
