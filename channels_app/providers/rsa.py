"""RSA as the Chinese providers use it: keys as their tools write them, PKCS#1 v1.5 or PSS, SHA-256, strict base64."""

import base64
import binascii
import re

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels_app.providers.base import CredentialsInvalid

Scheme = padding.PKCS1v15 | padding.PSS
PKCS1: Scheme = padding.PKCS1v15()
# Of any salt: how long it is says nothing about who has signed.
PSS: Scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
_SHORTEST_KEY_BITS = 2048


def private_key(text: str, *, name: str) -> RSAPrivateKey:
    """A private key as PEM or bare base64, PKCS#8 or PKCS#1. Raises CredentialsInvalid naming `name`."""
    for der in _ders(text):
        try:
            key = serialization.load_der_private_key(der, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, RSAPrivateKey) and key.key_size >= _SHORTEST_KEY_BITS:
            return key
    raise CredentialsInvalid(f"{name} is not an RSA private key of {_SHORTEST_KEY_BITS} bits or more")


def public_key(text: str, *, name: str) -> RSAPublicKey:
    """A public key (SubjectPublicKeyInfo) as PEM or bare base64. Raises CredentialsInvalid naming `name`."""
    for der in _ders(text):
        try:
            key = serialization.load_der_public_key(der)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= _SHORTEST_KEY_BITS:
            return key
    raise CredentialsInvalid(f"{name} is not an RSA public key of {_SHORTEST_KEY_BITS} bits or more")


def sign(key: RSAPrivateKey, text: bytes) -> str:
    """The base64 signature of `text`."""
    return base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def verifies(key: RSAPublicKey, text: bytes, signature: str, *, scheme: Scheme = PKCS1) -> bool:
    """Whether `signature` (canonical base64, nothing else) is the key's signature of `text`."""
    try:
        raw = base64.b64decode(signature.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return False
    # The decoder takes several spellings of the last character; one signature has one.
    if base64.b64encode(raw).decode() != signature:
        return False
    try:
        key.verify(raw, text, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _ders(text: str) -> list[bytes]:
    """The DER bytes inside a PEM block, or of a bare base64 line."""
    blocks = re.findall(r"-----BEGIN [A-Z0-9 ]+-----([A-Za-z0-9+/=\s]+)-----END", text) or [text]
    ders = []
    for block in blocks:
        try:
            ders.append(base64.b64decode("".join(block.split()), validate=True))
        except (ValueError, binascii.Error):
            continue
    return ders
