"""Stripe's API over HTTP: forms in, JSON out, and what an answer other than yes means.

Facts: docs/providers/stripe.md, sections 1 and 7. A write carries a key of ours: Stripe stores its first answer under
the key for a day, a failure too, and says the same to every repeat.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from channels_app.providers.base import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from channels_app.providers.documents import Unexpected, json_object
from channels_app.providers.stripe_keys import Keys
from channels_app.providers.texts import printable
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

# The version whose words this was written in; without it the account's own default would decide.
VERSION = "2026-10-28.endive"
MISSING = "resource_missing"
KEY_REUSED = "idempotency_error"
_PAGE = 100
_MOST_PAGE_BYTES = 8 << 20
_SECRETS = re.compile(r"\b(?:sk|rk|whsec)_\S+|\bpi_\w+_secret_\w+")
# A definite no would be wrong: the balance that refunds are paid from may be filled.
_LATER = frozenset(
    {"balance_insufficient", "insufficient_funds", "lock_timeout", "rate_limit", "idempotency_key_in_use"}
)

Form = Mapping[str, str | int]


class StoredFailure(ProviderUnavailable):
    """Stripe failed the first time and has stored that under our key: repeating it will say the same for a day."""


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a write."""

    document: dict[str, Any]
    is_replayed: bool  # it is the stored answer to an earlier one: what it says may be history


class StripeApi:
    """The calls of one account. Safe for many threads."""

    def __init__(self, keys: Keys) -> None:
        """`keys` says who asks, and where."""
        self._base = keys.base_url
        self._headers = {
            "Authorization": f"Bearer {keys.secret_key}",
            "Stripe-Version": VERSION,
            "Accept": "application/json",
            "User-Agent": "payments",
        }
        self._transport = Transport()

    def read(
        self, path: str, asked: list[tuple[str, str]] | None = None, *, limit: int | None = None
    ) -> dict[str, Any]:
        """The object at a path. Raises ProviderError."""
        target = f"{path}?{urlencode(asked)}" if asked else path
        answer = self._transport.send("GET", self._base + target, headers=self._headers, limit=limit)
        return _document(answer, f"GET {path}")

    def write(self, path: str, form: Form, *, key: str = "") -> Written:
        """Do something. `key` makes repeating it safe. Raises ProviderError."""
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        if key:
            headers["Idempotency-Key"] = key
        answer = self._transport.send("POST", self._base + path, headers=headers, body=urlencode(form).encode())
        is_replayed = answer.headers.get("idempotent-replayed") == "true"
        if is_replayed and answer.status >= 500:
            raise StoredFailure(f"http_{answer.status}", "stored under our key")
        return Written(_document(answer, f"POST {path}"), is_replayed)

    def items(self, path: str, asked: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """Every object of a list, the newest first, page by page. Raises ProviderError."""
        after = ""
        while True:
            turned = [*asked, ("limit", str(_PAGE)), *([("starting_after", after)] if after else [])]
            page = self.read(path, turned, limit=_MOST_PAGE_BYTES)
            found = page.get("data")
            if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
                raise ProviderUnavailable("answer_shape", "data is not a list of objects")
            yield from found
            if page.get("has_more") is not True:
                return
            last = found[-1].get("id") if found else None
            if not isinstance(last, str) or last == after:
                raise ProviderUnavailable("answer_shape", "the list never ends")
            after = last


def _document(answer: HttpAnswer, call: str) -> dict[str, Any]:
    logger.log(
        logging.INFO if answer.status < 300 else logging.WARNING,
        "stripe answered: call=%s status=%d request=%s",
        call,
        answer.status,
        printable(answer.headers.get("request-id"), 40),
    )
    if answer.status != 200:
        raise _error_of(answer)
    try:
        return json_object(answer.body)
    except Unexpected as error:
        raise ProviderUnavailable("answer_shape", error.detail) from None


def _error_of(answer: HttpAnswer) -> ProviderError:
    """By its HTTP status first, by Stripe's words second."""
    code, message = _said(answer.body)
    if answer.status in (409, 429) or code in _LATER:
        return ProviderBusy(code or f"http_{answer.status}", message)
    # A 4xx in no words of Stripe's is some machine in between: what became of the call is not known.
    if not 400 <= answer.status < 500 or not code:
        return ProviderUnavailable(code or f"http_{answer.status}", message)
    if answer.status == 401:  # its message shows the end of the key
        return ProviderRejected("unauthenticated", "Stripe does not accept this key")
    return ProviderRejected(code, message)


def _said(body: bytes) -> tuple[str, str]:
    """Code (else type) and message of an error; empty when it is none of Stripe's."""
    try:
        error = json_object(body).get("error")
    except Unexpected:
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    code = error.get("decline_code") or error.get("code") or error.get("type")
    return printable(code, 60), _SECRETS.sub("…", printable(error.get("message"), 200))
