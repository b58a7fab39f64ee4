"""A TapTap credentials file: the game, the secrets it shares with TapTap, where to call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import matching, text_of
from channels_app.providers.documents import base_url_of, secrets_of
from channels_app.providers.fields import CredentialField, FieldKind

FIELDS = (
    CredentialField(
        name="client_id",
        label=_("Client ID"),
        help=_("TapTap developer centre, your game, game services, application configuration."),
    ),
    CredentialField(
        name="server_secrets",
        label=_("Server secret"),
        help=_(
            "TapPayment, products and orders, API keys. While it is being changed, the new and the old one, "
            "each on a line: the first signs our calls, all are believed."
        ),
        kind=FieldKind.SECRETS,
    ),
    CredentialField(
        name="region",
        label=_("Region"),
        help=_("china or global, as the game was published in the developer centre."),
    ),
    CredentialField(
        name="base_url",
        label=_("Address to call"),
        help=_("Leave empty for TapTap itself. Only a sandbox account may call a simulator instead."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)

_HOSTS: Mapping[str, str] = {
    "china": "https://cloud-payment.tapapis.cn",
    "global": "https://cloud-payment.tapapis.com",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A credentials file, read."""

    client_id: str
    secrets: tuple[bytes, ...] = field(repr=False)  # the first signs our calls, all are believed
    base: str


def read_keys(credentials: Mapping[str, Any], *, live: bool) -> Keys:
    """Raises CredentialsInvalid."""
    region = text_of(credentials, "region")
    if region not in _HOSTS:
        raise CredentialsInvalid(f"region is one of {', '.join(sorted(_HOSTS))}")
    return Keys(
        client_id=matching(credentials, "client_id", r"[0-9A-Za-z_-]{1,64}"),
        secrets=secrets_of(credentials, "server_secrets"),
        base=base_url_of(credentials, live=live) or _HOSTS[region],
    )
