"""Whom we believe to be UnionPay: a signing certificate travels in every message, and has to prove itself.

It was issued by the configured middle certificate, that one by the configured root; it is valid at the time; and its
name says 中国银联股份有限公司. Without the name anybody would pass whom the same authority has given a certificate,
and every merchant has one. UnionPay's test environment uses another name and SHA-1: both only for accounts that are
not live.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID
from django.utils.translation import gettext_lazy as _

from channels_app.providers import rsa
from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.credentials import text_of
from channels_app.providers.fields import PEM, CredentialField, FieldKind
from channels_app.providers.texts import printable
from channels_app.providers.unionpay_wire import signed_text

FIELDS = (
    CredentialField(
        name="mer_id",
        label=_("Merchant number"),
        help=_("merId, fifteen digits. Test merchants begin with 777 and belong to the sandbox."),
    ),
    CredentialField(
        name="cert_id",
        label=_("Number of your signing certificate"),
        help=_("Its serial number in decimal digits, not in hexadecimal ones."),
    ),
    CredentialField(
        name="private_key",
        label=_("Private key of your signing certificate"),
        help=_("Out of the .pfx file that you exported from the CFCA certificate, as PEM."),
        kind=FieldKind.PRIVATE_KEY,
    ),
    CredentialField(
        name="root_cert",
        label=_("UnionPay's root certificate"),
        help=_("acp_prod_root.cer of UnionPay's package; acp_test_root.cer for the sandbox."),
        kind=FieldKind.CERTIFICATE,
    ),
    CredentialField(
        name="middle_cert",
        label=_("UnionPay's middle certificate"),
        help=_("acp_prod_middle.cer of the same package. While UnionPay changes over, both behind each other."),
        kind=FieldKind.CERTIFICATE,
    ),
    CredentialField(
        name="base_url",
        label=_("Gateway"),
        help=_("Where calls go. Empty for UnionPay's own; only a sandbox account may name another."),
        kind=FieldKind.ADDRESS,
        required=False,
    ),
)

_VERSION = "5.1.0"
_BY_CERTIFICATE = "01"
_NAME = "中国银联股份有限公司"
_TEST_NAME = "00040000:SIGN"
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_SHORTEST_KEY_BITS = 2048
_LONGEST_PEM = 8192
# UnionPay has one or two at a time; whoever spells the same one in other ways gains nothing.
_MOST_REMEMBERED = 16


class Untrusted(Exception):
    """A message has not proved that it is UnionPay's. `step` names the check that failed."""

    def __init__(self, step: str, detail: str) -> None:
        """Remember the check and a sentence for people."""
        super().__init__(detail)
        self.step = step
        self.detail = detail


class UnionPayKeys:
    """The roots of one account, and the signing certificates that have proved themselves. Safe for many threads."""

    def __init__(self, credentials: Mapping[str, Any], *, live: bool) -> None:
        """Raises CredentialsInvalid."""
        self._sha1, self._names = not live, (_NAME,) if live else (_NAME, _TEST_NAME)
        roots = _configured(credentials, "root_cert")
        self._middles = _configured(credentials, "middle_cert")
        if any(_basic_constraints(root) is False for root in roots):
            raise CredentialsInvalid("root_cert is no certificate of an authority")
        for middle in self._middles:
            if _basic_constraints(middle) is not True:
                raise CredentialsInvalid("middle_cert is no certificate of an authority")
            if not any(_is_issued_by(middle, root, sha1=self._sha1) for root in roots):
                raise CredentialsInvalid("middle_cert was not issued under root_cert")
        self._lock = threading.Lock()
        self._proved: dict[str, tuple[x509.Certificate, x509.Certificate]] = {}

    @property
    def issuers(self) -> tuple[str, ...]:
        """The names of the authorities that may have issued UnionPay's certificate."""
        return tuple(name_of(middle.subject) for middle in self._middles)

    def verify(self, fields: Mapping[str, str], *, at: datetime) -> None:
        """Whether UnionPay has signed these fields. Raises Untrusted. `at`: when the certificate has to be valid."""
        if fields.get("version") != _VERSION:
            raise Untrusted("version", f"not of version {_VERSION}")
        if fields.get("signMethod") != _BY_CERTIFICATE:
            raise Untrusted("sign_method", "not signed with a certificate")
        signature = fields.get("signature", "")
        if not signature:
            raise Untrusted("signature", "not signed")
        leaf = self._leaf(fields.get("signPubKeyCert", ""), at)
        if not rsa.verifies(_key(leaf), signed_text(fields), signature):
            raise Untrusted("signature", "not the signature of these fields")

    def _leaf(self, pem: str, at: datetime) -> x509.Certificate:
        """The signing certificate in a message, once it has proved itself; its dates count every time."""
        found = self._proved.get(pem)
        leaf, middle = found or self._prove(pem)
        if not all(each.not_valid_before_utc <= at <= each.not_valid_after_utc for each in (leaf, middle)):
            raise Untrusted("certificate_dates", "the certificate is not valid at this time")
        if found is None:
            with self._lock:
                if len(self._proved) >= _MOST_REMEMBERED:
                    self._proved.clear()
                self._proved[pem] = (leaf, middle)
        return leaf

    def _prove(self, pem: str) -> tuple[x509.Certificate, x509.Certificate]:
        leaf = read_certificate(pem)
        if leaf is None or not _is_strong(leaf):
            raise Untrusted("certificate", f"no certificate with an RSA key of {_SHORTEST_KEY_BITS} bits or more")
        middle = next((each for each in self._middles if _is_issued_by(leaf, each, sha1=self._sha1)), None)
        if middle is None:
            raise Untrusted("certificate_chain", "not issued under the configured certificates")
        parts = name_of(leaf.subject).split("@")
        if len(parts) < 3 or parts[2] not in self._names:
            raise Untrusted("certificate_name", "the certificate is not UnionPay's")
        return leaf, middle


def read_certificate(pem: str) -> x509.Certificate | None:
    """The one certificate in a text of a message; None when it is anything else."""
    text = pem.strip()
    if len(text) > _LONGEST_PEM or PEM.findall(text) != [text]:
        return None
    return _parsed(text)


def name_of(name: x509.Name) -> str:
    """The common name; empty when there is none, or several."""
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return printable(names[0].value, 200) if len(names) == 1 else ""


def _configured(credentials: Mapping[str, Any], field: str) -> Sequence[x509.Certificate]:
    found = [_parsed(block) for block in PEM.findall(text_of(credentials, field))]
    certificates = [each for each in found if each is not None and _is_strong(each)]
    if not certificates or len(certificates) != len(found):
        raise CredentialsInvalid(f"{field} is not a PEM certificate with an RSA key")
    return certificates


def _parsed(block: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(block.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _key(certificate: x509.Certificate) -> RSAPublicKey:
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise TypeError("only certificates with RSA keys come so far")
    return key


def _is_strong(certificate: x509.Certificate) -> bool:
    try:
        return _key(certificate).key_size >= _SHORTEST_KEY_BITS
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _basic_constraints(certificate: x509.Certificate) -> bool | None:
    """Whether a certificate says that it is an authority's; None when it says nothing."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return None
    except (x509.DuplicateExtension, ValueError):
        return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate, *, sha1: bool) -> bool:
    """As `verify_directly_issued_by`, which takes no SHA-1, not even for a test environment that has nothing else."""
    allowed = (*_HASHES, hashes.SHA1) if sha1 else _HASHES
    try:
        algorithm = certificate.signature_hash_algorithm
        scheme = certificate.signature_algorithm_parameters
        if certificate.issuer != issuer.subject or not isinstance(algorithm, allowed):
            return False
        if not isinstance(scheme, padding.PKCS1v15):
            return False
        _key(issuer).verify(certificate.signature, certificate.tbs_certificate_bytes, scheme, algorithm)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
