"""The certificates of the simulated Apple, and what is signed with them: JSON web signatures with the chain inside."""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from channels_app.simulator.rows import FORGED

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform

UNSIGNED = "unsigned"  # one more way to send something: without any signature
_LEAF, _INTERMEDIATE = "1.2.840.113635.100.6.11.1", "1.2.840.113635.100.6.2.1"
_VALID_FOR = timedelta(days=5 * 365)
_BYTES = 32
_UNUSED = (
    "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only",
)  # fmt: skip


class Certificates:
    """Root, intermediate and leaf of one signer: Apple, or a stranger who has everything but Apple's keys."""

    def __init__(self, platform: "Platform", owner: str) -> None:
        """All are made when first needed, and kept."""
        self._platform = platform
        self._owner = owner

    @property
    def root(self) -> str:
        """The root, PEM."""
        return self._platform.kept(
            f"{self._owner} root", lambda: _certificate(self.key("root"), "Simulated Apple Root CA", is_ca=True)
        )

    @property
    def intermediate(self) -> str:
        """What the root has issued, PEM."""
        return self._platform.kept(
            f"{self._owner} intermediate",
            lambda: _certificate(
                self.key("intermediate"),
                "Simulated Worldwide Developer Relations",
                is_ca=True,
                mark=_INTERMEDIATE,
                issuer=(self.key("root"), self.root),
            ),
        )

    @property
    def leaf(self) -> str:
        """What signs, PEM."""
        return self._platform.kept(
            f"{self._owner} leaf",
            lambda: _certificate(
                self.key("leaf"),
                "Simulated App Store Receipt Signing",
                is_ca=False,
                mark=_LEAF,
                issuer=(self.key("intermediate"), self.intermediate),
            ),
        )

    def key(self, name: str) -> str:
        """A private key, PEM: P-256 for the leaf, P-384 for those above it."""
        curve = ec.SECP256R1() if name == "leaf" else ec.SECP384R1()
        return self._platform.kept(f"{self._owner} {name} key", lambda: new_private_pem(curve))

    def chain(self) -> list[str]:
        """As it travels: standard base64 of DER, the leaf first."""
        return [_base64_of(pem) for pem in (self.leaf, self.intermediate, self.root)]


def signed(platform: "Platform", payload: Mapping[str, Any], how: str) -> str:
    """What Apple says, signed: by Apple, by a stranger with a chain of their own (FORGED), or by nobody."""
    certificates = Certificates(platform, "apple stranger" if how == FORGED else "apple")
    header: dict[str, Any] = {"alg": "ES256", "x5c": certificates.chain()}
    if how == UNSIGNED:
        return f"{_part({**header, 'alg': 'none'})}.{_part(payload)}."
    text = f"{_part(header)}.{_part(payload)}"
    r, s = decode_dss_signature(_key(certificates.key("leaf")).sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{_base64url(r.to_bytes(_BYTES, 'big') + s.to_bytes(_BYTES, 'big'))}"


def read_token(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims of a bearer token, unverified; None when it is none."""
    try:
        head, claims, _ = (_unbase64url(part) for part in token.split("."))
        found = json.loads(head), json.loads(claims)
    except (ValueError, binascii.Error, RecursionError):
        return None
    return found if all(isinstance(each, dict) for each in found) else None


def token_is_by(pem: str, token: str) -> bool:
    """Whether the owner of this private key signed a bearer token."""
    text, _, signature = token.rpartition(".")
    raw = _unbase64url(signature)
    if len(raw) != 2 * _BYTES:
        return False
    r, s = int.from_bytes(raw[:_BYTES], "big"), int.from_bytes(raw[_BYTES:], "big")
    try:
        _key(pem).public_key().verify(encode_dss_signature(r, s), text.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def new_private_pem(curve: ec.EllipticCurve) -> str:
    """A fresh key, PKCS#8, as a .p8 file holds it."""
    return (
        ec.generate_private_key(curve)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _certificate(pem: str, name: str, *, is_ca: bool, mark: str = "", issuer: tuple[str, str] | None = None) -> str:
    """A certificate of a key, PEM; `issuer` is its key and certificate, without one it signs itself."""
    key, by = _key(pem), _key(issuer[0] if issuer else pem)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above = x509.load_pem_x509_certificate(issuer[1].encode()).subject if issuer else subject
    now = datetime.now(UTC)
    usage = dict.fromkeys(_UNUSED, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(secrets.token_bytes(16), "big") >> 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca and issuer else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, **usage), critical=True
        )
        # Apple's library looks strictly: without the identifiers of both keys a chain is refused.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if mark:
        null = x509.UnrecognizedExtension(x509.ObjectIdentifier(mark), b"\x05\x00")
        builder = builder.add_extension(null, critical=False)
    return builder.sign(by, hashes.SHA384()).public_bytes(serialization.Encoding.PEM).decode()


@lru_cache(maxsize=64)
def _key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("Apple's keys are elliptic keys")
    return key


@lru_cache(maxsize=64)
def _base64_of(pem: str) -> str:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    return base64.b64encode(der).decode()


def _part(document: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
