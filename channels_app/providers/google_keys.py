"""A Google Play credentials file: the app, the service account that asks for it, and whose pushes are believed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.utils.translation import gettext_lazy as _

from channels_app.providers import rsa
from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import address_of, matching
from channels_app.providers.fields import CredentialField, FieldKind

API_URL = "https://androidpublisher.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address
CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"

FIELDS = (
    CredentialField(
        name="package_name",
        label=_("Package name"),
        help=_("Like com.example.game: the applicationId of the app, in Play Console below its name."),
    ),
    CredentialField(
        name="service_account",
        label=_("Key of the service account"),
        help=_("The whole JSON file that Google Cloud, IAM, Service accounts, Keys let you download once."),
        kind=FieldKind.KEY_FILE,
    ),
    CredentialField(
        name="push_audience",
        label=_("Audience of the push subscription"),
        help=_("As typed into the Pub/Sub subscription under authentication; best our notify address itself."),
    ),
    CredentialField(
        name="push_email",
        label=_("Service account of the push subscription"),
        help=_("The e-mail address chosen there. It is what proves that a message comes from your subscription."),
    ),
    CredentialField(
        name="push_subscription",
        label=_("Name of the push subscription"),
        help=_("Like projects/…/subscriptions/…. When given, messages of any other subscription are refused."),
        required=False,
    ),
    CredentialField(
        name="base_url",
        label=_("Address to call"),
        help=_("Leave empty for Google itself. Only a sandbox account may call a simulator instead."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)

_PACKAGE = r"[A-Za-z][0-9A-Za-z_]*(\.[A-Za-z][0-9A-Za-z_]*)+"
_EMAIL = r"[!-?A-~]{1,64}@[0-9A-Za-z.-]{1,190}"
_SUBSCRIPTION = r"projects/[!-.0-~]{1,100}/subscriptions/[!-.0-~]{1,255}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """Who asks Google, and the key that proves it."""

    email: str
    key_id: str
    key: RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A credentials file, parsed."""

    package_name: str
    service_account: ServiceAccount
    push_audience: str
    push_email: str
    push_subscription: str  # "": any
    api_url: str
    token_url: str
    certificates_url: str


def read_keys(credentials: Mapping[str, Any], *, live: bool) -> Keys:
    """Raises CredentialsInvalid. An account of real money calls Google, nobody else."""
    base_url = _base_url(credentials, live=live)
    return Keys(
        package_name=matching(credentials, "package_name", _PACKAGE),
        service_account=_service_account(credentials.get("service_account")),
        push_audience=matching(credentials, "push_audience", r"[!-~]{1,500}"),
        push_email=matching(credentials, "push_email", _EMAIL),
        push_subscription=_subscription(credentials),
        api_url=base_url or API_URL,
        token_url=f"{base_url}/token" if base_url else TOKEN_URL,
        certificates_url=f"{base_url}/oauth2/v1/certs" if base_url else CERTIFICATES_URL,
    )


def _base_url(credentials: Mapping[str, Any], *, live: bool) -> str:
    if credentials.get("base_url") is None:
        return ""
    if live:
        raise CredentialsInvalid("base_url is for sandbox accounts only")
    return address_of(credentials, "base_url", like="https://host").rstrip("/")


def _subscription(credentials: Mapping[str, Any]) -> str:
    return matching(credentials, "push_subscription", _SUBSCRIPTION) if credentials.get("push_subscription") else ""


def _service_account(document: Any) -> ServiceAccount:
    """The members we use. The file's own addresses are not: a key is shown to Google at Google's address only."""
    if not isinstance(document, Mapping):
        raise CredentialsInvalid("service_account is missing, or not the JSON of a key file")
    if document.get("type") != "service_account":
        raise CredentialsInvalid("service_account is not the key file of a service account")
    return ServiceAccount(
        email=_member(document, "client_email", _EMAIL),
        key_id=_member(document, "private_key_id", r"[!-~]{1,100}"),
        key=rsa.private_key(_member(document, "private_key", r"(?s).{1,8000}"), name="service_account: private_key"),
    )


def _member(document: Mapping[str, Any], name: str, pattern: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise CredentialsInvalid(f"service_account: {name} is missing or does not look like one")
    return value
