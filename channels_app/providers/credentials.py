"""Reading a credentials file: required texts, texts of a form, addresses. Names the key at fault, never its value."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from channels_app.providers.base import CredentialsInvalid


def text_of(credentials: Mapping[str, Any], name: str) -> str:
    """A required text. Raises CredentialsInvalid; an empty value never passes for a key."""
    value = credentials.get(name)
    if not isinstance(value, str) or not value.strip():
        raise CredentialsInvalid(f"{name} is missing or empty")
    return value.strip()


def matching(credentials: Mapping[str, Any], name: str, pattern: str) -> str:
    """A required text of a certain form. Raises CredentialsInvalid."""
    value = text_of(credentials, name)
    if not re.fullmatch(pattern, value):
        raise CredentialsInvalid(f"{name} does not look like one")
    return value


def address_of(credentials: Mapping[str, Any], name: str, *, like: str) -> str:
    """A web address to call, without query. Raises CredentialsInvalid."""
    value = text_of(credentials, name)
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"[^!-~]|[?#@]", value):
        raise CredentialsInvalid(f"{name} is not an address like {like}")
    return value
