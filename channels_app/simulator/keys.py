"""RSA keys, certificates and signatures of the simulated world. All are generated; none is a secret of ours."""

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import NameOID

_VALID_FOR = timedelta(days=5 * 365)


def new_private_pem() -> str:
    """A fresh 2048-bit key, PKCS#8."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@lru_cache(maxsize=256)
def private_key(pem: str) -> RSAPrivateKey:
    """The key in a PEM of ours; parsing one takes tens of milliseconds, so they are kept."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("the simulator's keys are RSA keys")
    return key


def public_pem(pem: str) -> str:
    """SubjectPublicKeyInfo PEM of a private key."""
    public = private_key(pem).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def sign(pem: str, text: bytes) -> str:
    """RSA PKCS#1 v1.5 with SHA-256, base64."""
    return base64.b64encode(private_key(pem).sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def verifies(pem: str, text: bytes, signature: str) -> bool:
    """Whether the owner of this private key signed `text`."""
    try:
        raw = base64.b64decode(signature, validate=True)
        private_key(pem).public_key().verify(raw, text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def new_certificate(pem: str, name: str, *, issuer_pem: str = "", issuer: str = "") -> str:
    """A certificate of a key, PEM; without an issuer it signs itself and may sign others."""
    subject = _name(name)
    by = _certificate(issuer).subject if issuer else subject
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(private_key(pem).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca="Authority" in name, path_length=None), critical=True)
    )
    made = builder.sign(private_key(issuer_pem or pem), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


@lru_cache(maxsize=256)
def certificate_serial(certificate: str) -> str:
    """The serial as WeChat Pay writes it: hexadecimal, upper case."""
    return format(_certificate(certificate).serial_number, "X")


def certificate_validity(certificate: str) -> tuple[datetime, datetime]:
    """From when until when it is valid, UTC."""
    parsed = _certificate(certificate)
    return parsed.not_valid_before_utc, parsed.not_valid_after_utc


@lru_cache(maxsize=256)
def certificate_sn(certificates: str) -> str:
    """What Alipay calls a certificate's SN, of the first one: MD5 of issuer and decimal serial."""
    return _sn(_blocks(certificates)[0])


@lru_cache(maxsize=256)
def root_sn(bundle: str) -> str:
    """The SNs of the RSA certificates of a root bundle, joined as Alipay does."""
    return "_".join(_sn(block) for block in _blocks(bundle))


def _sn(block: str) -> str:
    parsed = _certificate(block)
    text = parsed.issuer.rfc4514_string() + str(parsed.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _blocks(bundle: str) -> list[str]:
    return re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", bundle, re.DOTALL)


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Payment Simulator"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Test World"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
