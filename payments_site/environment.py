"""Reading the process environment: one function per shape, each refusing nonsense with the variable's name."""

import base64
import binascii
import os

from django.core.exceptions import ImproperlyConfigured

VAULT_KEY_BYTES = 32


def text(name: str, default: str = "") -> str:
    """A plain value."""
    return os.environ.get(name, default).strip()


def flag(name: str, *, default: bool = False) -> bool:
    """`1/true/yes/on` or `0/false/no/off`."""
    value = text(name).lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value:
        raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}")
    return default


def whole(name: str, default: int, *, least: int = 1) -> int:
    """A whole number, at least `least`."""
    value = text(name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit()) or int(value) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def one_of(name: str, known: tuple[str, ...]) -> str:
    """One of these words, or "" when the variable is not set."""
    value = text(name)
    if value and value not in known:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(known)}, not {value!r}")
    return value


def ladder(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """Comma-separated seconds; the last rung repeats."""
    value = text(name)
    if not value:
        return default
    rungs = [rung.strip() for rung in value.split(",")]
    if not all(rung.isascii() and rung.isdigit() and int(rung) > 0 for rung in rungs):
        raise ImproperlyConfigured(f"{name} must be seconds separated by commas, not {value!r}")
    return tuple(int(rung) for rung in rungs)


def vault_keys(name: str) -> list[tuple[str, bytes]]:
    """`id:base64,id:base64`, newest first; each key 32 bytes. The values are never shown."""
    keys: list[tuple[str, bytes]] = []
    for entry in filter(None, text(name).split(",")):
        key_id, _, encoded = entry.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not (key_id.isascii() and key_id.isalnum() and len(key_id) <= 20) or len(key) != VAULT_KEY_BYTES:
            raise ImproperlyConfigured(f"{name}: write id:base64 of {VAULT_KEY_BYTES} random bytes for every key")
        keys.append((key_id, key))
    if len({key_id for key_id, _ in keys}) < len(keys):
        raise ImproperlyConfigured(f"{name}: two keys have the same id")
    return keys
