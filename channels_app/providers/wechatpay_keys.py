"""A WeChat Pay credentials file: the merchant's key, the platform's keys in both modes, where to call."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.utils.translation import gettext_lazy as _

from channels_app.providers import rsa
from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import address_of, matching, text_of
from channels_app.providers.fields import CredentialField, FieldKind

FIELDS = (
    CredentialField(
        name="mchid",
        label=_("Merchant number"),
        help=_("商户号, ten digits: WeChat Pay merchant platform, account centre, merchant information."),
    ),
    CredentialField(
        name="appid",
        label=_("Application id"),
        help=_("The AppID (wx…) of the app, mini program or official account, bound to the merchant number."),
    ),
    CredentialField(
        name="serial_no",
        label=_("Serial number of the merchant certificate"),
        help=_("Account centre, API security, API certificate: forty characters of 0-9 and A-F."),
    ),
    CredentialField(
        name="private_key",
        label=_("Private key of the merchant certificate"),
        help=_("The whole text of apiclient_key.pem, which the certificate tool wrote on your computer."),
        kind=FieldKind.PRIVATE_KEY,
    ),
    CredentialField(
        name="api_v3_key",
        label=_("APIv3 key"),
        help=_("The 32 characters that you set yourself under account centre, API security."),
        kind=FieldKind.SECRET,
    ),
    CredentialField(
        name="public_key_id",
        label=_("Id of the WeChat Pay public key"),
        help=_("Begins with PUB_KEY_ID_. Newer merchants have this; older ones have platform certificates below."),
        required=False,
    ),
    CredentialField(
        name="public_key",
        label=_("WeChat Pay public key"),
        help=_("The whole text of pub_key.pem, downloaded beside its id. WeChat Pay's key, not yours."),
        kind=FieldKind.PUBLIC_KEY,
        required=False,
    ),
    CredentialField(
        name="platform_certificates",
        label=_("Platform certificates"),
        help=_("One below the other, old and new together while WeChat Pay changes over."),
        kind=FieldKind.CERTIFICATES,
        required=False,
    ),
    CredentialField(
        name="base_url",
        label=_("Address to call"),
        help=_("Leave empty for WeChat Pay itself. Only a simulator or your own relay stands elsewhere."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
    CredentialField(
        name="second_base_url",
        label=_("Second address to call"),
        help=_("Called when the first does not answer; empty for WeChat Pay's own second host."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)

OFFICIAL_HOSTS = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformKey:
    """A key that WeChat Pay signs with. A public key has no period of validity."""

    key: RSAPublicKey
    not_before: datetime | None = None
    not_after: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        """Whether the key may vouch for something said at this time."""
        return (self.not_before is None or self.not_before <= at) and (self.not_after is None or at <= self.not_after)


def api_v3_key(credentials: Mapping[str, Any]) -> bytes:
    """The key that notifications are encrypted with: 32 bytes. Raises CredentialsInvalid."""
    key = text_of(credentials, "api_v3_key").encode("utf-8", "surrogatepass")
    if len(key) != 32:
        raise CredentialsInvalid("api_v3_key must have exactly 32 bytes")
    return key


def platform_keys(credentials: Mapping[str, Any]) -> tuple[str, dict[str, PlatformKey]]:
    """The public key's id ("" without one), and every platform key by its serial."""
    keys: dict[str, PlatformKey] = {}
    public_key_id = ""
    if credentials.get("public_key") is not None or credentials.get("public_key_id") is not None:
        public_key_id = matching(credentials, "public_key_id", r"PUB_KEY_ID_[0-9A-Za-z]{1,64}")
        key = rsa.public_key(text_of(credentials, "public_key"), name="public_key")
        keys[serial_as_compared(public_key_id)] = PlatformKey(key=key)
    pems = credentials.get("platform_certificates") or []
    if not isinstance(pems, list):
        raise CredentialsInvalid("platform_certificates must be a list of PEM texts")
    for certificate, key in _certificates(pems):
        keys[serial_as_compared(format(certificate.serial_number, "X"))] = PlatformKey(
            key=key, not_before=certificate.not_valid_before_utc, not_after=certificate.not_valid_after_utc
        )
    if not keys:
        raise CredentialsInvalid("public_key with public_key_id, or platform_certificates, is missing")
    return public_key_id, keys


def _certificates(pems: list[Any]) -> Iterator[tuple[x509.Certificate, RSAPublicKey]]:
    for number, pem in enumerate(pems):
        name = f"platform_certificates[{number}]"
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            key = certificate.public_key()
        except (AttributeError, ValueError, UnsupportedAlgorithm):
            raise CredentialsInvalid(f"{name} is not a PEM certificate") from None
        if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
            raise CredentialsInvalid(f"{name} does not hold an RSA key of 2048 bits or more")
        yield certificate, key


def serial_as_compared(text: str) -> str:
    """A serial as it is compared: tools disagree about case and leading zeros."""
    return text.upper().lstrip("0")


def hosts_of(credentials: Mapping[str, Any]) -> tuple[str, ...]:
    """Where to call, the first choice first. Raises CredentialsInvalid."""
    names = [name for name in ("base_url", "second_base_url") if credentials.get(name) is not None]
    if names == ["second_base_url"]:
        raise CredentialsInvalid("second_base_url is of use only together with base_url")
    return tuple(address_of(credentials, name, like="https://host").rstrip("/") for name in names) or OFFICIAL_HOSTS
