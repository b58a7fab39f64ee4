"""The Google Play Developer API: access tokens of a service account, and what an answer other than yes means."""

import json
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from channels_app.providers.base import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from channels_app.providers.google_keys import TOKEN_URL, Keys
from channels_app.providers.google_wire import json_object
from channels_app.providers.texts import printable
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

_SCOPE = "https://www.googleapis.com/auth/androidpublisher"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIVES_S = 3600
_CLOCK_TOLERANCE_S = 60  # an assertion from the future would be refused
_RENEWED_BEFORE_S = 300
_ACCESS_TOKEN = re.compile(r"[!-~]{1,4000}")
_PAGE = 1000
_MOST_PAGES = 1000

UNAUTHENTICATED = "unauthenticated"
_QUOTA = frozenset(
    {"quotaexceeded", "ratelimitexceeded", "userratelimitexceeded", "dailylimitexceeded", "resource_exhausted"}
)
_NO_SUCH_APP = frozenset({"applicationnotfound", "packagenotfound"})


class NoSuch(ProviderRejected):
    """Google has no such purchase or order in this app, or no longer."""


class NotOffered(ProviderUnavailable):
    """Whoever answered does not know this method of the API."""


class AccessTokens:
    """Access tokens of one service account, each used until five minutes before its end."""

    def __init__(self, keys: Keys, transport: Transport) -> None:
        """`keys` holds the service account."""
        self._keys = keys
        self._transport = transport
        self._lock = threading.Lock()
        self._token = ""
        self._use_until = float("-inf")

    def current(self) -> str:
        """A token that is valid for minutes to come. Raises ProviderError."""
        with self._lock:
            if time.monotonic() < self._use_until:
                return self._token
        # Fetched outside the lock: behind a Google that hangs, nobody queues longer than its own time limit.
        token, lives_s = self._fetched()
        with self._lock:
            self._token, self._use_until = token, time.monotonic() + lives_s - _RENEWED_BEFORE_S
        return token

    def forget(self, token: str) -> None:
        """Google did not take it: the next one is fetched anew."""
        with self._lock:
            if token == self._token:
                self._use_until = float("-inf")

    def _fetched(self) -> tuple[str, float]:
        form = urlencode({"grant_type": _GRANT, "assertion": self._assertion(int(time.time()))}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = self._transport.send("POST", self._keys.token_url, headers=headers, body=form)
        said = json_object(answer.body) or {}
        if answer.status != 200:
            raise _token_refusal(answer.status, said)
        token, lives_s = said.get("access_token"), said.get("expires_in")
        if not isinstance(token, str) or not _ACCESS_TOKEN.fullmatch(token) or type(lives_s) is not int:
            raise ProviderUnavailable("answer_shape", "no access token in the answer")
        return token, float(lives_s)

    def _assertion(self, now: int) -> str:
        account = self._keys.service_account
        claims = {
            "iss": account.email,
            "scope": _SCOPE,
            # Whoever else is shown it cannot use it at Google, and a simulator's is of no use there.
            "aud": self._keys.token_url,
            "iat": now - _CLOCK_TOLERANCE_S,
            "exp": now - _CLOCK_TOLERANCE_S + _ASSERTION_LIVES_S,
        }
        return jwt.encode(claims, account.key, algorithm="RS256", headers={"kid": account.key_id})


class PublisherApi:
    """What is asked about one app."""

    def __init__(self, keys: Keys, transport: Transport) -> None:
        """`keys` says which app, who asks, and where."""
        self._app = f"{keys.api_url}/androidpublisher/v3/applications/{quote(keys.package_name, safe='')}"
        self._tokens = AccessTokens(keys, transport)
        self._transport = transport

    def ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The object that Google answers, {} for nothing. Raises ProviderError."""
        token = self._tokens.current()
        answer = self._send(method, path, document, token)
        if answer.status == 401:  # revoked, or lost at their side: once more with a fresh one
            self._tokens.forget(token)
            answer = self._send(method, path, document, self._tokens.current())
        if not 200 <= answer.status < 300:
            raise _error_of(answer)
        said = json_object(answer.body) if answer.body.strip() else {}
        if said is None:
            raise ProviderUnavailable("answer_shape", "not a JSON object")
        return said

    def voided(self, *, since_ms: int, until_ms: int | None = None) -> Iterator[dict[str, Any]]:
        """Every purchase that was voided in that time (up to now), page by page. Raises ProviderError."""
        asked = {"startTime": since_ms, "maxResults": _PAGE, "type": 0, "includeQuantityBasedPartialRefund": "true"}
        if until_ms is not None:
            asked["endTime"] = until_ms
        after = ""
        for _ in range(_MOST_PAGES):
            page = self.ask("GET", f"/purchases/voidedpurchases?{urlencode({**asked, **_token(after)})}")
            listed = page.get("voidedPurchases", [])
            if not isinstance(listed, list):
                raise ProviderUnavailable("answer_shape", "voidedPurchases is not a list")
            yield from (each for each in listed if isinstance(each, dict))
            pagination = page.get("tokenPagination")
            following = pagination.get("nextPageToken") if isinstance(pagination, dict) else None
            if not isinstance(following, str) or not following:
                return
            if following == after:
                break
            after = following
        raise ProviderUnavailable("answer_shape", "the list never ends")

    def _send(self, method: str, path: str, document: Mapping[str, Any] | None, token: str) -> HttpAnswer:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": "payments"}
        body = b""
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        answer = self._transport.send(method, self._app + path, headers=headers, body=body)
        level = logging.INFO if answer.status < 300 else logging.WARNING
        # The path names what was bought by a token, which is the right to use it.
        logger.log(level, "google answered: call=%s %s status=%d", method, path.split("/tokens/")[0], answer.status)
        return answer


def _token(after: str) -> dict[str, str]:
    return {"token": after} if after else {}


def _error_of(answer: HttpAnswer) -> ProviderError:
    """The error an answer means: by its HTTP status first, by Google's reason second."""
    said = json_object(answer.body) or {}
    error = said.get("error")
    if not isinstance(error, dict):
        # Not Google's API: some machine in between, or a method that the host does not know.
        return (NotOffered if answer.status in (404, 405, 501) else ProviderUnavailable)(f"http_{answer.status}")
    code, message = _reason(error), printable(error.get("message"), 200)
    if answer.status == 401:
        return ProviderRejected(UNAUTHENTICATED, "Google does not accept the service account")
    if answer.status == 429 or code.lower() in _QUOTA:
        return ProviderBusy(code, message)
    if answer.status == 409 or not 400 <= answer.status < 500:  # 409: somebody else changes it at this moment
        return ProviderUnavailable(code, message)
    if answer.status == 403 or code.lower() in _NO_SUCH_APP:
        return ProviderRejected(code, message)
    return (NoSuch if answer.status in (400, 404, 410) else ProviderRejected)(code, message)


def _reason(error: Mapping[str, Any]) -> str:
    """Google's word for an error: the first reason, else the status."""
    errors = error.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return printable(first.get("reason"), 60) or printable(error.get("status"), 60) or "error"


def _token_refusal(status: int, said: Mapping[str, Any]) -> ProviderError:
    code = printable(said.get("error"), 60)
    if status == 429:
        return ProviderBusy(code or "http_429")
    if not 400 <= status < 500 or not code:
        return ProviderUnavailable(code or f"http_{status}", TOKEN_URL)
    return ProviderRejected(code, printable(said.get("error_description"), 200))
