"""The vault: secrets at rest, each bound to the one row and column it belongs to.

Envelope encryption with AES-256-GCM (NIST SP 800-38D): every secret gets a random data key; the data key
is wrapped by a key-encryption key of `settings.PAYMENTS_VAULT_KEYS` (newest first: the first one
encrypts, all of them open). `place` names table, primary key and column and is authenticated with both
layers, so a ciphertext copied into another row does not open. Rotation re-wraps the data key only.

Wire form: version (1) | key id length (1) | key id | nonce (12) | wrapped data key (48) | nonce (12) | ciphertext.
"""

import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

# What a binary column holds: bytes when just sealed, a memoryview when just read.
Sealed = bytes | memoryview

_VERSION = 1
_NONCE = 12
_WRAPPED = 48  # a 32-byte data key and the 16-byte tag


class VaultClosed(Exception):
    """A secret cannot be opened: its key is gone, it was moved to another row, or it was altered."""


def place(table: str, row: object, column: str) -> bytes:
    """The name of one cell, as authenticated with every secret stored in it."""
    return f"{table}:{row}:{column}".encode()


def seal(plain: bytes, *, at: bytes) -> bytes:
    """Encrypt `plain` for the cell `at` under the newest key."""
    data_key = os.urandom(32)
    nonce = os.urandom(_NONCE)
    return _wrap(data_key, at) + nonce + AESGCM(data_key).encrypt(nonce, plain, at)


def unseal(sealed: Sealed, *, at: bytes) -> bytes:
    """Decrypt what `seal` made for the same cell. Raises VaultClosed."""
    data_key, rest = _unwrap(sealed, at)
    try:
        return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], at)
    except (InvalidTag, ValueError) as error:
        raise VaultClosed("the secret was altered or belongs to another row") from error


def rewrap(sealed: Sealed, *, at: bytes) -> bytes:
    """The same secret with its data key under the newest key; the secret itself is not decrypted."""
    data_key, rest = _unwrap(sealed, at)
    return _wrap(data_key, at) + rest


def key_id_of(sealed: Sealed) -> str:
    """Which key-encryption key opens this secret."""
    return bytes(sealed[2 : 2 + sealed[1]]).decode()


def newest_key_id() -> str:
    """The key that encrypts today."""
    return next(iter(_keys()))


def forget_keys() -> None:
    """Read the keys from the settings again (after a rotation, and in tests)."""
    _keys.cache_clear()


@cache
def _keys() -> dict[str, AESGCM]:
    keys = {key_id: AESGCM(key) for key_id, key in settings.PAYMENTS_VAULT_KEYS}
    if not keys:
        raise VaultClosed("PAYMENTS_VAULT_KEYS is empty")
    return keys


def _wrap(data_key: bytes, at: bytes) -> bytes:
    key_id, key = next(iter(_keys().items()))
    name = key_id.encode()
    nonce = os.urandom(_NONCE)
    return bytes([_VERSION, len(name)]) + name + nonce + key.encrypt(nonce, data_key, at)


def _unwrap(stored: Sealed, at: bytes) -> tuple[bytes, bytes]:
    sealed = bytes(stored)
    if len(sealed) < 2 or sealed[0] != _VERSION:
        raise VaultClosed("not a sealed secret")
    start = 2 + sealed[1]
    key_id = sealed[2:start].decode("ascii", "replace")
    key = _keys().get(key_id)
    if key is None:
        raise VaultClosed(f"vault key {key_id!r} is not configured")
    nonce, wrapped = sealed[start : start + _NONCE], sealed[start + _NONCE : start + _NONCE + _WRAPPED]
    try:
        return key.decrypt(nonce, wrapped, at), sealed[start + _NONCE + _WRAPPED :]
    except (InvalidTag, ValueError) as error:
        raise VaultClosed("the secret was altered or belongs to another row") from error
