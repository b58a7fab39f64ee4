"""The keys that Alipay signs with: its public key, or its certificates proved against the root bundle.

In certificate mode both sides name certificates by a number of Alipay's own (SN): the MD5 of the issuer's
name and the serial number in decimal. Alipay's certificate file holds the signing certificate and the one
that issued it; while Alipay moves to a new certificate it may hold both signing certificates. The root
bundle also holds roots with national Chinese algorithms, which our library refuses: those are passed over.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from django.utils.translation import gettext_lazy as _

from channels_app.providers import rsa
from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import text_of
from channels_app.providers.fields import PEM, CredentialField, FieldKind

FIELDS = (
    CredentialField(
        name="app_id",
        label=_("Application id"),
        help=_("APPID of the application on Alipay's open platform, sixteen digits."),
    ),
    CredentialField(
        name="seller_id",
        label=_("Seller id (PID)"),
        help=_("Begins with 2088, sixteen digits: the account that receives the money."),
    ),
    CredentialField(
        name="app_private_key",
        label=_("Private key of the application"),
        help=_("Made by Alipay's key tool on your computer (RSA2). Its public half is uploaded to Alipay."),
        kind=FieldKind.PRIVATE_KEY,
    ),
    CredentialField(
        name="alipay_public_key",
        label=_("Alipay's public key"),
        help=_("Shown by Alipay after you upload yours. Alipay's key, not your own. Empty in certificate mode."),
        kind=FieldKind.PUBLIC_KEY,
        required=False,
    ),
    CredentialField(
        name="app_cert",
        label=_("Application certificate"),
        help=_(
            "appCertPublicKey_….crt. The three certificates go together; they are needed for refunds of some kinds."
        ),
        kind=FieldKind.CERTIFICATE,
        required=False,
    ),
    CredentialField(
        name="alipay_cert",
        label=_("Alipay's certificate"),
        help=_("alipayCertPublicKey_RSA2.crt, with everything in the file."),
        kind=FieldKind.CERTIFICATE,
        required=False,
    ),
    CredentialField(
        name="alipay_root_cert",
        label=_("Alipay's root certificates"),
        help=_("alipayRootCert.crt, with everything in the file."),
        kind=FieldKind.CERTIFICATE,
        required=False,
    ),
    CredentialField(
        name="gateway",
        label=_("Address to call"),
        help=_("Leave empty for Alipay itself. Only a sandbox or simulator stands elsewhere."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)
CERTIFICATE_FILES = ("app_cert", "alipay_cert", "alipay_root_cert")

_RSA_SIGNATURES = "1.2.840.113549.1.1."
_SHORTEST_KEY_BITS = 2048
_LONGEST_CHAIN = 5
# Alipay repeats a notification, the same bytes, for 25 hours: its certificate may run out meanwhile.
_REPEATED_FOR = timedelta(hours=26)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipayKey:
    """A key that Alipay signs with. One that came without a certificate has no period of validity."""

    key: RSAPublicKey
    not_before: datetime | None = None
    not_after: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        """Whether the key may vouch for something that arrived at this time."""
        return (self.not_before is None or self.not_before <= at) and (
            self.not_after is None or at <= self.not_after + _REPEATED_FOR
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipayKeys:
    """Every key a message of Alipay may be signed with."""

    by_sn: Mapping[str, AlipayKey]
    without_sn: Sequence[AlipayKey]

    def for_message(self, sn: str, *, at: datetime) -> list[AlipayKey]:
        """The keys that may have signed a message naming this certificate ("": none named).

        Empty when no such certificate is known. Without certificates there is one key, whatever is named.
        """
        if sn and self.by_sn:
            chosen = [self.by_sn[sn]] if sn in self.by_sn else []
        else:
            chosen = [*self.by_sn.values(), *self.without_sn]
        return [each for each in chosen if each.is_valid(at)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateNames:
    """How requests name the certificates they are to be verified with, and answers signed with."""

    app_cert_sn: str
    alipay_root_cert_sn: str


def read_keys(credentials: Mapping[str, Any], app_key: RSAPrivateKey) -> tuple[AlipayKeys, CertificateNames | None]:
    """Alipay's keys, and in certificate mode the names that requests carry. Raises CredentialsInvalid.

    Certificates and public key together mean certificate mode, with the public key still believed: a merchant
    moves from one mode to the other while messages are under way.
    """
    public: list[AlipayKey] = []
    with_certificates = any(credentials.get(name) is not None for name in CERTIFICATE_FILES)
    if credentials.get("alipay_public_key") is not None or not with_certificates:
        public = [AlipayKey(key=_alipay_public_key(credentials, app_key))]
    if not with_certificates:
        return AlipayKeys(by_sn={}, without_sn=public), None
    app, roots = _app_certificate(credentials, app_key), _roots(credentials)
    names = CertificateNames(app_cert_sn=certificate_sn(app), alipay_root_cert_sn=root_bundle_sn(roots))
    return AlipayKeys(by_sn=_signing_keys(credentials, roots), without_sn=public), names


def certificate_sn(certificate: x509.Certificate) -> str:
    """Alipay's name for a certificate."""
    text = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def root_bundle_sn(roots: Iterable[x509.Certificate]) -> str:
    """Alipay's name for a root bundle: its certificates with RSA signatures, in the order of the file."""
    return "_".join(certificate_sn(root) for root in roots if _is_rsa_signed(root))


def _alipay_public_key(credentials: Mapping[str, Any], app_key: RSAPrivateKey) -> RSAPublicKey:
    key = rsa.public_key(text_of(credentials, "alipay_public_key"), name="alipay_public_key")
    # The usual mix-up: Alipay's page shows both. With our own key nothing would ever verify.
    if key.public_numbers() == app_key.public_key().public_numbers():
        raise CredentialsInvalid("alipay_public_key is the application's own public key, not Alipay's")
    return key


def _app_certificate(credentials: Mapping[str, Any], app_key: RSAPrivateKey) -> x509.Certificate:
    certificate = _first_certificate(credentials, "app_cert")
    if _rsa_key(certificate, "app_cert").public_numbers() != app_key.public_key().public_numbers():
        raise CredentialsInvalid("app_cert does not belong to app_private_key")
    return certificate


def _roots(credentials: Mapping[str, Any]) -> list[x509.Certificate]:
    roots = _certificates(text_of(credentials, "alipay_root_cert"))
    if not any(_is_rsa_signed(root) for root in roots):
        raise CredentialsInvalid("alipay_root_cert holds no certificate signed with RSA")
    return roots


def _signing_keys(credentials: Mapping[str, Any], roots: Sequence[x509.Certificate]) -> dict[str, AlipayKey]:
    first = _first_certificate(credentials, "alipay_cert")
    bundled = _certificates(text_of(credentials, "alipay_cert"))
    keys = {}
    for certificate in (first, *(each for each in bundled if not _is_authority(each))):
        if not _chains(certificate, bundled, roots):
            raise CredentialsInvalid("alipay_cert was not issued under alipay_root_cert")
        keys[certificate_sn(certificate)] = AlipayKey(
            key=_rsa_key(certificate, "alipay_cert"),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    return keys


def _first_certificate(credentials: Mapping[str, Any], name: str) -> x509.Certificate:
    """The certificate that a file is about; those behind it only explain it."""
    blocks = PEM.findall(text_of(credentials, name))
    certificate = _parsed(blocks[0]) if blocks else None
    if certificate is None:
        raise CredentialsInvalid(f"{name} does not begin with a PEM certificate")
    return certificate


def _certificates(text: str) -> list[x509.Certificate]:
    parsed = (_parsed(block) for block in PEM.findall(text))
    return [certificate for certificate in parsed if certificate is not None]


def _parsed(block: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(block.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _rsa_key(certificate: x509.Certificate, name: str) -> RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or key.key_size < _SHORTEST_KEY_BITS:
        raise CredentialsInvalid(f"{name} does not hold an RSA key of {_SHORTEST_KEY_BITS} bits or more")
    return key


def _is_rsa_signed(certificate: x509.Certificate) -> bool:
    return certificate.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _chains(
    certificate: x509.Certificate, bundled: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> bool:
    """Whether the roots vouch for a certificate, through authorities of its own file."""
    for _step in range(_LONGEST_CHAIN):
        if any(_is_issued_by(certificate, root) for root in roots):
            return True
        above = [each for each in bundled if _is_authority(each) and _is_issued_by(certificate, each)]
        if not above:
            return False
        certificate = above[0]
    return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
