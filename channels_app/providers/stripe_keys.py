"""A Stripe credentials file: keys of one mode, the secrets of the webhook endpoint, where to call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import matching
from channels_app.providers.documents import base_url_of, secrets_of
from channels_app.providers.fields import CredentialField, FieldKind

STRIPE = "https://api.stripe.com"

FIELDS = (
    CredentialField(
        name="secret_key",
        label=_("Secret key"),
        help=_(
            "Developers, API keys: a restricted key rk_… with the permissions of our guide, or the secret key sk_…."
            " Of test mode for a sandbox account, of live mode for one of real money."
        ),
        kind=FieldKind.SECRET,
    ),
    CredentialField(
        name="publishable_key",
        label=_("Publishable key"),
        help=_("Developers, API keys: pk_…, of the same mode. The game's client gets it."),
    ),
    CredentialField(
        name="webhook_secrets",
        label=_("Signing secrets of the webhook endpoint"),
        help=_("Developers, Webhooks, the endpoint: whsec_…. While you roll it, the old one below the new one."),
        kind=FieldKind.SECRETS,
    ),
    CredentialField(
        name="base_url",
        label=_("Address to call"),
        help=_("Leave empty for Stripe itself. Only the sandbox account of a simulator calls elsewhere."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one account in one mode."""

    secret_key: str = field(repr=False)
    publishable_key: str
    webhook_secrets: tuple[bytes, ...] = field(repr=False)
    base_url: str


def read_keys(credentials: Mapping[str, Any], *, live: bool) -> Keys:
    """The keys of a credentials file. Raises CredentialsInvalid, above all for keys of the other mode."""
    secret_key = matching(credentials, "secret_key", r"(sk|rk)_(test|live)_[0-9A-Za-z]{8,250}")
    publishable_key = matching(credentials, "publishable_key", r"pk_(test|live)_[0-9A-Za-z]{8,250}")
    for name, key in (("secret_key", secret_key), ("publishable_key", publishable_key)):
        _refuse_other_mode(name, key, live=live)
    webhook_secrets = secrets_of(credentials, "webhook_secrets")
    if not all(secret.startswith(b"whsec_") for secret in webhook_secrets):
        raise CredentialsInvalid("webhook_secrets holds something that does not begin with whsec_")
    return Keys(
        secret_key=secret_key,
        publishable_key=publishable_key,
        webhook_secrets=webhook_secrets,
        base_url=base_url_of(credentials, live=live) or STRIPE,
    )


def _refuse_other_mode(name: str, key: str, *, live: bool) -> None:
    if ("_live_" in key[:8]) is not live:
        account = "an account of real money" if live else "a sandbox account"
        raise CredentialsInvalid(f"{name} is of {'test' if live else 'live'} mode, and this is {account}")
