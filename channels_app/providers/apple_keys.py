"""An Apple credentials file: the app, the In-App Purchase key, and whose signatures are believed."""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from django.utils.translation import gettext_lazy as _

from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import address_of, matching, text_of
from channels_app.providers.fields import CredentialField, FieldKind

PRODUCTION_URL = "https://api.storekit.apple.com"
SANDBOX_URL = "https://api.storekit-sandbox.apple.com"

FIELDS = (
    CredentialField(
        name="bundle_id",
        label=_("Bundle id"),
        help=_("Like com.example.game: App Store Connect, your app, App Information."),
    ),
    CredentialField(
        name="app_apple_id",
        label=_("Apple ID of the app"),
        help=_("The number on the same page. Not the Apple ID that a person logs in with."),
    ),
    CredentialField(
        name="issuer_id",
        label=_("Issuer id"),
        help=_("App Store Connect, Users and Access, Integrations, In-App Purchase: above the list of keys."),
    ),
    CredentialField(
        name="key_id",
        label=_("Key id"),
        help=_("Ten characters, beside the In-App Purchase key on the same page."),
    ),
    CredentialField(
        name="private_key",
        label=_("In-App Purchase key"),
        help=_("The whole text of SubscriptionKey_….p8. Apple lets you download it once."),
        kind=FieldKind.PRIVATE_KEY,
    ),
    CredentialField(
        name="root_certificates",
        label=_("Root certificates"),
        help=_(
            "Leave empty: Apple's own root is built in. Only a sandbox account that talks to a simulator has others."
        ),
        kind=FieldKind.CERTIFICATES,
        required=False,
    ),
    CredentialField(
        name="base_url",
        label=_("Address to call"),
        help=_("Leave empty for Apple itself. Only a sandbox account may call a simulator instead."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)

# Apple Root CA - G3, as published at www.apple.com/certificateauthority; valid until 2039-04-30, SHA-256 of the DER
# 63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179.
APPLE_ROOT = base64.b64decode(
    "MIICQzCCAcmgAwIBAgIILcX8iNLFS5UwCgYIKoZIzj0EAwMwZzEbMBkGA1UEAwwSQXBwbGUgUm9vdCBDQSAtIEczMSYwJAYDVQQLDB1BcHBsZSBD"
    "ZXJ0aWZpY2F0aW9uIEF1dGhvcml0eTETMBEGA1UECgwKQXBwbGUgSW5jLjELMAkGA1UEBhMCVVMwHhcNMTQwNDMwMTgxOTA2WhcNMzkwNDMwMTgx"
    "OTA2WjBnMRswGQYDVQQDDBJBcHBsZSBSb290IENBIC0gRzMxJjAkBgNVBAsMHUFwcGxlIENlcnRpZmljYXRpb24gQXV0aG9yaXR5MRMwEQYDVQQK"
    "DApBcHBsZSBJbmMuMQswCQYDVQQGEwJVUzB2MBAGByqGSM49AgEGBSuBBAAiA2IABJjpLz1AcqTtkyJygRMc3RCV8cWjTnHcFBbZDuWmBSp3ZHtf"
    "TjjTuxxEtX/1H7YyYl3J6YRbTzBPEVoA/VhYDKX1DyxNB0cTddqXl5dvMVztK517IDvYuVTZXpmkOlEKMaNCMEAwHQYDVR0OBBYEFLuw3qFYM4ia"
    "pIqZ3r6966/ayySrMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMDA2gAMGUCMQCD6cHEFl4aXTQY2e3v9GwOAEZL"
    "uN+yRhHFD/3meoyhpmvOwgPUnPWTxnS4at+qIxUCMG1mihDK1A3UT82NQz60imOlM27jbdoXt2QfyFMm+YhidDkLF1vLUagM6BgD56KyKA=="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A credentials file, parsed."""

    bundle_id: str
    app_apple_id: int
    issuer_id: str
    key_id: str
    private_key: EllipticCurvePrivateKey = field(repr=False)
    roots: tuple[bytes, ...]  # DER; whatever chains to one of them is Apple's word
    production_url: str
    sandbox_url: str


def read_keys(credentials: Mapping[str, Any], *, live: bool) -> Keys:
    """Raises CredentialsInvalid. An account of real money believes Apple's own root and calls Apple, nobody else."""
    if live:
        _refuse_for_real_money(credentials)
    base_url = _base_url(credentials)
    return Keys(
        bundle_id=matching(credentials, "bundle_id", r"[0-9A-Za-z.-]{1,155}"),
        app_apple_id=int(matching(credentials, "app_apple_id", r"[0-9]{1,18}")),
        issuer_id=_issuer_id(credentials),
        key_id=matching(credentials, "key_id", r"[0-9A-Za-z]{1,32}"),
        private_key=_private_key(text_of(credentials, "private_key")),
        roots=_roots(credentials),
        production_url=base_url or PRODUCTION_URL,
        sandbox_url=base_url or SANDBOX_URL,
    )


def _refuse_for_real_money(credentials: Mapping[str, Any]) -> None:
    for name in ("root_certificates", "base_url"):
        if credentials.get(name):
            raise CredentialsInvalid(f"{name} is for sandbox accounts only")


def _base_url(credentials: Mapping[str, Any]) -> str:
    if credentials.get("base_url") is None:
        return ""
    return address_of(credentials, "base_url", like="https://host").rstrip("/")


def _issuer_id(credentials: Mapping[str, Any]) -> str:
    """A UUID; team keys have one for the whole company."""
    text = matching(credentials, "issuer_id", r"[0-9A-Fa-f-]{36}")
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise CredentialsInvalid("issuer_id does not look like one") from None


def _private_key(pem: str) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise CredentialsInvalid("private_key is not the text of a .p8 file (an elliptic key on P-256)")
    return key


def _roots(credentials: Mapping[str, Any]) -> tuple[bytes, ...]:
    pems = credentials.get("root_certificates") or []
    if not isinstance(pems, list):
        raise CredentialsInvalid("root_certificates must be a list of PEM texts")
    return tuple(_root(pem, f"root_certificates[{number}]") for number, pem in enumerate(pems)) or (APPLE_ROOT,)


def _root(pem: Any, name: str) -> bytes:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except (AttributeError, ValueError, UnsupportedAlgorithm):
        raise CredentialsInvalid(f"{name} is not a PEM certificate") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise CredentialsInvalid(f"{name} does not hold an elliptic key")
    return certificate.public_bytes(Encoding.DER)
