"""What a credentials file is made of, so that a person can fill it in: fields in words, and what may be shown of them.

Every adapter lists its fields; the console makes its form of them. A secret goes in and never comes out: what is
shown is a fingerprint (enough to tell two keys apart) and when a certificate runs out.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from django_stubs_ext import StrOrPromise

from channels_app.providers import rsa
from channels_app.providers.base import CredentialsInvalid

# A certificate as text; a file may hold several.
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_FINGERPRINT_DIGITS = 16


class FieldKind(StrEnum):
    """What a field holds, which decides how it is asked for and what is shown of it."""

    TEXT = "text"  # a number or name; shown
    SECRET = "secret"  # noqa: S105  # a word, not a secret
    SECRETS = "secrets"  # a list of them in the file, one in a line of the form
    KEY_FILE = "key_file"  # the JSON file of a service account: an object in the file, its text in the form
    PRIVATE_KEY = "private_key"
    PUBLIC_KEY = "public_key"
    CERTIFICATE = "certificate"  # PEM, one or several behind each other
    CERTIFICATES = "certificates"  # a list of PEM texts in the file, one text in the form
    ADDRESS = "address"  # where to call, when not the provider's own


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialField:
    """One key of a credentials file."""

    name: str
    label: StrOrPromise
    help: StrOrPromise
    kind: FieldKind = FieldKind.TEXT
    required: bool = True

    @property
    def is_sealed(self) -> bool:
        """Whether its value may never be shown again."""
        return self.kind in (FieldKind.SECRET, FieldKind.SECRETS, FieldKind.KEY_FILE, FieldKind.PRIVATE_KEY)

    @property
    def is_long(self) -> bool:
        """Whether it is a text of several lines."""
        return self.kind in (
            FieldKind.PRIVATE_KEY,
            FieldKind.PUBLIC_KEY,
            FieldKind.CERTIFICATE,
            FieldKind.CERTIFICATES,
            FieldKind.SECRETS,
            FieldKind.KEY_FILE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFact:
    """What may be shown of one key: which field, its fingerprint, when it runs out (None: never, or not known)."""

    field: str
    fingerprint: str
    expires_at: datetime | None = None


def key_facts(fields: Iterable[CredentialField], credentials: Mapping[str, Any]) -> list[KeyFact]:
    """The facts of every key in credentials that an adapter has accepted."""
    return [fact for field in fields for fact in _facts(field, credentials.get(field.name))]


def from_form(field: CredentialField, typed: str) -> Any:
    """What belongs into the credentials file for what a person typed; None for nothing."""
    text = typed.strip()
    if not text:
        return None
    if field.kind is FieldKind.CERTIFICATES:
        return PEM.findall(text) or [text]
    if field.kind is FieldKind.SECRETS:
        return text.split()
    return _object(text) if field.kind is FieldKind.KEY_FILE else text


def to_form(field: CredentialField, value: Any) -> str:
    """What a form shows of a stored value: nothing of what is sealed."""
    if field.is_sealed or value is None:
        return ""
    return "\n".join(value) if isinstance(value, list) else str(value)


def _object(text: str) -> Any:
    """The JSON in a text; what is none stays a text, which an adapter refuses by name."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _facts(field: CredentialField, value: Any) -> Sequence[KeyFact]:
    if not value or field.kind in (FieldKind.TEXT, FieldKind.ADDRESS):
        return ()
    if field.kind is FieldKind.SECRET:
        return (KeyFact(field=field.name, fingerprint=_short(str(value).encode())),)
    if field.kind is FieldKind.SECRETS:
        return [KeyFact(field=field.name, fingerprint=_short(str(each).encode())) for each in value]
    if field.kind is FieldKind.KEY_FILE:
        return (KeyFact(field=field.name, fingerprint=_short(json.dumps(value, sort_keys=True).encode())),)
    if field.kind in (FieldKind.CERTIFICATE, FieldKind.CERTIFICATES):
        texts = value if isinstance(value, list) else PEM.findall(str(value))
        return [fact for text in texts if (fact := _certificate_fact(field.name, text))]
    key = _public_key(field, value)
    return () if key is None else (KeyFact(field=field.name, fingerprint=_of_key(key)),)


def _public_key(field: CredentialField, value: str) -> RSAPublicKey | EllipticCurvePublicKey | None:
    private = field.kind is FieldKind.PRIVATE_KEY
    try:
        if private:
            return rsa.private_key(value, name=field.name).public_key()
        return rsa.public_key(value, name=field.name)
    except CredentialsInvalid:
        pass
    try:
        loaded = load_pem_private_key(value.encode(), password=None).public_key() if private else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return loaded if isinstance(loaded, EllipticCurvePublicKey) else None


def _certificate_fact(name: str, pem: str) -> KeyFact | None:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None  # root bundles hold certificates of algorithms that our library does not know
    serial = format(certificate.serial_number, "X")
    return KeyFact(field=name, fingerprint=serial, expires_at=certificate.not_valid_after_utc)


def _of_key(key: RSAPublicKey | EllipticCurvePublicKey) -> str:
    return _short(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_FINGERPRINT_DIGITS]
