"""What adapters read and check alike: JSON documents, shared secrets, numbers, amounts.

A genuine message of another shape raises Unexpected, which names the place and never shows the value.
"""

import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from channels_app.money import WITHOUT_DECIMALS, Money
from channels_app.providers.base import CredentialsInvalid, ProviderBusy, ProviderError, ProviderUnavailable
from channels_app.providers.credentials import address_of
from channels_app.providers.transport import HttpAnswer

SAID = 60  # characters of what a channel says, as they are kept
NUMBER = re.compile(r"[!-~]{1,64}")
PRODUCT_ID = re.compile(r"[!-~]{1,255}")
UNIX_TIME = re.compile(r"[0-9]{1,12}")
_OUR_NUMBER = re.compile(r"[0-9A-Z]{1,40}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_WHOLE = re.compile(r"[0-9]{1,18}")
# Far above any payment, far below what a database integer holds.
_MOST_MINOR = 10**13
_SECRET = re.compile(r"[!-~]{16,200}")


class Unexpected(Exception):
    """Genuine, but not of the documented shape."""

    def __init__(self, step: str, detail: str) -> None:
        """`step` for the inbox, a sentence for people."""
        super().__init__(detail)
        self.step = step
        self.detail = detail


# --- credentials ------------------------------------------------------------------------------------------
def secrets_of(credentials: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    """Shared secrets, the one that signs first. Raises CredentialsInvalid: with an empty one anybody could sign."""
    value = credentials.get(name)
    if not isinstance(value, list) or not value:
        raise CredentialsInvalid(f"{name} is missing or empty")
    if not all(isinstance(each, str) and _SECRET.fullmatch(each) for each in value):
        raise CredentialsInvalid(f"{name} holds something that is no secret of 16 characters or more")
    return tuple(each.encode() for each in value)


def base_url_of(credentials: Mapping[str, Any], *, live: bool) -> str:
    """Where to call instead of the channel itself, "" for nowhere else. Raises CredentialsInvalid for real money."""
    if not credentials.get("base_url"):
        return ""
    if live:
        raise CredentialsInvalid("base_url is for sandbox accounts only")
    return address_of(credentials, "base_url", like="https://host").rstrip("/")


# --- signatures -------------------------------------------------------------------------------------------
def is_one_of(claimed: str, digests: Iterable[str]) -> bool:
    """Whether a digest is one of those that our secrets make. Takes the same time for every wrong one."""
    said = claimed.encode(errors="replace")
    return sum(hmac.compare_digest(said, digest.encode()) for digest in digests) > 0


# --- documents --------------------------------------------------------------------------------------------
def json_object(text: bytes | str) -> dict[str, Any]:
    """The JSON object in a text. Raises Unexpected."""
    try:
        document = json.loads(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        raise Unexpected("json", "not JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise Unexpected("json", "not a JSON object")
    return document


def object_in(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object. Raises Unexpected."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise Unexpected("shape", f"{name} is not an object")
    return value


def text_in(document: Mapping[str, Any], name: str, pattern: re.Pattern[str] = NUMBER) -> str:
    """A number, state or token. Whatever passes can be stored, compared and logged safely. Raises Unexpected."""
    value = document.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Unexpected("shape", f"{name} is not a text as documented")
    return value


def whole_in(document: Mapping[str, Any], name: str) -> int:
    """A whole number, as a number or as its digits. Raises Unexpected."""
    value = document.get(name)
    if type(value) is int and 0 <= value < 10**18:
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise Unexpected("shape", f"{name} is not a whole number")


def our_number(value: object) -> str:
    """Our number of the attempt out of a field that the game's client fills; empty when it holds none of ours."""
    return value if isinstance(value, str) and _OUR_NUMBER.fullmatch(value) else ""


def exactly(document: Mapping[str, Any], name: str, *, per_unit: int) -> Money:
    """An amount told in parts of the currency's unit (100, a million). Raises Unexpected for a part of a fen."""
    currency = text_in(document, "currency", _CURRENCY)
    minor, rest = divmod(whole_in(document, name) * (1 if currency in WITHOUT_DECIMALS else 100), per_unit)
    if rest or not 0 <= minor <= _MOST_MINOR:
        raise Unexpected("amount", f"{name} is not an amount in whole minor units")
    return Money(minor, currency)


def no_answer(answer: HttpAnswer) -> ProviderError:
    """What an answer means that is none of the channel's: the result is unknown, unless it asks us to slow down."""
    if answer.status == 429:
        return ProviderBusy("http_429")
    return ProviderUnavailable(f"http_{answer.status}" if answer.status != 200 else "answer_shape")
