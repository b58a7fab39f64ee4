"""The App Store Server API: tokens that say who asks, and what an answer other than yes means."""

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import jwt

from channels_app.providers.apple_keys import Keys
from channels_app.providers.base import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from channels_app.providers.texts import printable
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

_AUDIENCE = "appstoreconnect-v1"
_TOKEN_LIVES_S = 600  # Apple takes up to an hour
_TOKEN_USED_S = 300
_CLOCK_TOLERANCE_S = 60  # a token from the future would be refused
UNAUTHENTICATED = "unauthenticated"
# The number means nothing at Apple: not found, not a transaction's number, no original transaction.
NO_SUCH = frozenset({"4040010", "4000006", "4040005"})
_BUSY = frozenset({"4290000"})
_ASK_AGAIN = frozenset({"4040002", "4040004", "4040006", "5000001"})


class Tokens:
    """Bearer tokens of one In-App Purchase key: each is used for a few minutes."""

    def __init__(self, keys: Keys) -> None:
        """`keys` holds the private key and whose it is."""
        self._keys = keys
        self._lock = threading.Lock()
        self._token = ""
        self._use_until = 0.0

    def current(self) -> str:
        """A token that is valid for minutes to come."""
        with self._lock:
            if time.monotonic() >= self._use_until:
                self._token = self._signed(int(time.time()))
                self._use_until = time.monotonic() + _TOKEN_USED_S
            return self._token

    def forget(self) -> None:
        """Apple did not take it: the next one is signed anew."""
        with self._lock:
            self._use_until = 0.0

    def _signed(self, now: int) -> str:
        claims = {
            "iss": self._keys.issuer_id,
            "iat": now - _CLOCK_TOLERANCE_S,
            "exp": now + _TOKEN_LIVES_S,
            "aud": _AUDIENCE,
            "bid": self._keys.bundle_id,
        }
        return jwt.encode(claims, self._keys.private_key, algorithm="ES256", headers={"kid": self._keys.key_id})


class ServerApi:
    """One environment's server."""

    def __init__(self, base: str, tokens: Tokens, transport: Transport) -> None:
        """`base`: where to call, without a slash at the end."""
        self._base = base
        self._tokens = tokens
        self._transport = transport

    def ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The object that Apple answers, nothing of it verified yet. Raises ProviderError."""
        headers = {
            "Authorization": f"Bearer {self._tokens.current()}",
            "Accept": "application/json",
            "User-Agent": "payments",
        }
        body = b""
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        answer = self._transport.send(method, self._base + path, headers=headers, body=body)
        logger.log(
            logging.INFO if answer.status < 300 else logging.WARNING,
            "apple answered: call=%s %s status=%d",
            method,
            path.partition("?")[0],
            answer.status,
        )
        if answer.status == 401:
            self._tokens.forget()
        if not 200 <= answer.status < 300:
            raise _error_of(answer)
        said = _object(answer.body)
        if said is None:
            raise ProviderUnavailable("answer_shape", "not a JSON object")
        return said

    def pages(
        self, method: str, path: str, token: str, document: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every page of a list; each but the last names the next by the member `token`. Raises ProviderError."""
        after = ""
        while True:
            page = self.ask(method, f"{path}?{token}={quote(after, safe='')}" if after else path, document)
            yield page
            if page.get("hasMore") is not True:
                return
            following = text_in(page, token)
            if following == after:
                raise ProviderUnavailable("answer_shape", "the list never ends")
            after = following


def text_in(document: object, name: str) -> str:
    """A text in an answer. Raises ProviderUnavailable."""
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise ProviderUnavailable("answer_shape", f"{name} is not a text")
    return value


def list_in(document: Mapping[str, Any], name: str) -> list[Any]:
    """A list in an answer, empty when there is none. Raises ProviderUnavailable."""
    value = document.get(name, [])
    if not isinstance(value, list):
        raise ProviderUnavailable("answer_shape", f"{name} is not a list")
    return value


def _error_of(answer: HttpAnswer) -> ProviderError:
    said = _object(answer.body) or {}
    number, message = said.get("errorCode"), printable(said.get("errorMessage"), 200)
    code = str(number) if type(number) is int else ""
    if answer.status == 401:  # a plain text, no JSON
        return ProviderRejected(
            UNAUTHENTICATED,
            "Apple does not accept this key, or has never released the app (then only its sandbox answers)",
        )
    if answer.status == 429 or code in _BUSY:
        return ProviderBusy(code or "http_429", message)
    # A 4xx without a code is some machine in between: it says nothing about what was asked.
    if code in _ASK_AGAIN or not 400 <= answer.status < 500 or not code:
        return ProviderUnavailable(code or f"http_{answer.status}", message)
    return ProviderRejected(code, message)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
