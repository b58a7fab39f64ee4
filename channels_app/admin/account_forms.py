"""The forms of a merchant account: made of the fields that its provider's adapter lists. Keys go in and never out."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from channels_app.accounts import is_live, merged_credentials
from channels_app.models import Environment, MerchantAccount
from channels_app.providers import ADAPTERS, build_adapter
from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.fields import CredentialField, from_form, to_form
from channels_app.vault import VaultClosed

_LONGEST = 20_000


class CredentialsForm(forms.Form):
    """What every provider's form does: read the fields, try the keys, say at which field they fail."""

    provider: str
    account: MerchantAccount | None = None

    def clean(self) -> dict[str, Any]:
        """Build the adapter of what was typed: nothing that does not parse is ever stored."""
        cleaned = super().clean() or {}
        typed = {
            field.name: from_form(field, cleaned.get(field.name) or "") for field in ADAPTERS[self.provider].fields
        }
        try:
            credentials = merged_credentials(self.account, typed) if self.account else _given(typed)
            build_adapter(self.provider, credentials, live=is_live(self._environment(cleaned)))
        except CredentialsInvalid as error:
            self._refuse(str(error))
        except VaultClosed:
            self.add_error(None, _("The keys stored now cannot be opened: their vault key is missing."))
        else:
            cleaned["credentials"] = credentials
        return cleaned

    def _environment(self, cleaned: Mapping[str, Any]) -> str:
        return self.account.environment if self.account else str(cleaned.get("environment", ""))

    def _refuse(self, said: str) -> None:
        """Put an adapter's refusal beside the field it names."""
        name = said.split(" ", 1)[0].split("[", 1)[0]
        label = self.fields[name].label if name in self.fields else ""
        words = _("%(field)s does not fit: %(said)s.") % {"field": label or _("Something"), "said": said}
        self.add_error(name if name in self.fields else None, words)


def new_account_form(provider: str) -> type[CredentialsForm]:
    """The form that makes an account of a provider."""
    about: Mapping[str, forms.Field] = {
        "code": forms.SlugField(
            label=pgettext_lazy("merchant account", "Code"),
            max_length=40,
            help_text=gettext_lazy(
                "Your own short name, like wx-main. It stands in the notification address and never changes."
            ),
        ),
        "environment": forms.ChoiceField(
            label=gettext_lazy("Environment"),
            choices=Environment.choices,
            help_text=gettext_lazy("Real money or play money. It never changes either."),
        ),
    }
    return _form(provider, None, {**about, **_fields(provider, stored={}, replacing=False)})


def keys_form(account: MerchantAccount) -> type[CredentialsForm]:
    """The form that replaces an account's keys; what is sealed stays as it is where the field is left empty."""
    try:
        stored = account.credentials()
    except VaultClosed:
        stored = {}
    return _form(account.provider, account, _fields(account.provider, stored=stored, replacing=True))


def _form(provider: str, account: MerchantAccount | None, fields: Mapping[str, forms.Field]) -> type[CredentialsForm]:
    return type(f"{provider.title()}Form", (CredentialsForm,), {"provider": provider, "account": account, **fields})


def _fields(provider: str, *, stored: Mapping[str, Any], replacing: bool) -> dict[str, forms.Field]:
    return {
        field.name: _field(field, stored.get(field.name), replacing=replacing) for field in ADAPTERS[provider].fields
    }


def _field(field: CredentialField, stored: Any, *, replacing: bool) -> forms.CharField:
    keeps = replacing and field.is_sealed
    attributes = {"autocomplete": "off", "spellcheck": "false"}
    if keeps and stored:
        attributes["placeholder"] = _("Stored. Leave empty to keep it.")
    if field.is_long:
        widget: forms.Widget = forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField number", **attributes})
    elif field.is_sealed:
        widget = forms.PasswordInput(attrs={"class": "vTextField", **attributes, "autocomplete": "new-password"})
    else:
        widget = forms.TextInput(attrs={"class": "vTextField", **attributes})
    return forms.CharField(
        label=field.label,
        help_text=field.help,
        required=field.required and not (keeps and stored),
        max_length=_LONGEST,
        widget=widget,
        initial=to_form(field, stored),
    )


def _given(typed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in typed.items() if value is not None}
