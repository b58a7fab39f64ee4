"""A Huawei credentials file: the application, its secret, the key that Huawei signs with, where to call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.utils.translation import gettext_lazy as _

from channels_app.providers import rsa
from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import matching, text_of
from channels_app.providers.documents import base_url_of
from channels_app.providers.fields import CredentialField, FieldKind

FIELDS = (
    CredentialField(
        name="app_id",
        label=_("App ID"),
        help=_("AppGallery Connect, project settings, general information, application: a number."),
    ),
    CredentialField(
        name="app_secret",
        label=_("Client secret"),
        help=_("On the same page, OAuth 2.0 client ID: the client secret of the application, not of the project."),
        kind=FieldKind.SECRET,
    ),
    CredentialField(
        name="client_id",
        label=_("OAuth client ID"),
        help=_("Beside the secret. Leave empty when it is the App ID, as it is for most applications."),
        required=False,
    ),
    CredentialField(
        name="package_name",
        label=_("Package name"),
        help=_("Of the game, like com.example.game.huawei: what is bought in another one is not yours."),
    ),
    CredentialField(
        name="public_key",
        label=_("IAP public key"),
        help=_("AppGallery Connect, in-app purchases, settings: the public key, one long line. Huawei's, not yours."),
        kind=FieldKind.PUBLIC_KEY,
    ),
    CredentialField(
        name="site",
        label=_("Site"),
        help=_("china, europe, asia or russia: where the data of your application is processed."),
    ),
    CredentialField(
        name="base_url",
        label=_("Address to call"),
        help=_("Leave empty for Huawei itself. Only a sandbox account may call a simulator instead."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)

OAUTH = "https://oauth-login.cloud.huawei.com"
SITES: Mapping[str, str] = {
    "china": "https://orders-drcn.iap.cloud.huawei.com.cn",
    "europe": "https://orders-dre.iap.cloud.huawei.eu",
    "asia": "https://orders-dra.iap.cloud.huawei.asia",
    "russia": "https://orders-drru.iap.cloud.huawei.ru",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A credentials file, parsed."""

    app_id: str
    client_id: str
    secret: str = field(repr=False)
    package: str
    public_key: RSAPublicKey
    oauth: str
    orders: str
    is_real: bool  # whether it calls Huawei itself


def read_keys(credentials: Mapping[str, Any], *, live: bool) -> Keys:
    """Raises CredentialsInvalid."""
    site = text_of(credentials, "site")
    if site not in SITES:
        raise CredentialsInvalid(f"site is one of {', '.join(sorted(SITES))}")
    app_id, base_url = matching(credentials, "app_id", r"[0-9]{1,18}"), base_url_of(credentials, live=live)
    has_client_id = bool(credentials.get("client_id"))
    return Keys(
        app_id=app_id,
        client_id=matching(credentials, "client_id", r"[0-9A-Za-z_-]{1,64}") if has_client_id else app_id,
        secret=matching(credentials, "app_secret", r"[!-~]{16,200}"),
        package=matching(credentials, "package_name", r"[0-9A-Za-z_.]{1,128}"),
        public_key=rsa.public_key(text_of(credentials, "public_key"), name="public_key"),
        oauth=base_url or OAUTH,
        orders=base_url or SITES[site],
        is_real=not base_url,
    )
