"""Huawei's Order service: who we are, what an answer other than yes means, and which purchases it vouches for."""

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from channels_app.providers import rsa
from channels_app.providers.base import ProviderRejected, ProviderUnavailable
from channels_app.providers.documents import Unexpected, json_object, no_answer, text_in, whole_in
from channels_app.providers.texts import printable
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

_VERIFY = "/applications/purchases/tokens/verify"
_CONFIRM = "/applications/v2/purchases/confirm"
_CANCELLED = "/applications/v2/purchases/cancelledList"
_MOST_ROWS = 200

_YES = "0"
_NOT_OURS, GONE, _NO_ACCOUNT, _NOT_NEWEST = "8", "9", "11", "12"
_BAD_PARAMETER = "5"
# Explicit noes about a purchase; every other word of Huawei's is undecided.
NOES = frozenset({_BAD_PARAMETER, _NOT_OURS, GONE, _NO_ACCOUNT, _NOT_NEWEST})
_SCHEMES: Mapping[str, rsa.Scheme] = {"": rsa.PKCS1, "sha256withrsa": rsa.PKCS1, "sha256withrsa/pss": rsa.PSS}

_ANY = re.compile(r".+", re.DOTALL)
_ACCESS_TOKEN = re.compile(r"[!-~]{1,4096}")
_LONGEST_S = 3600
_RENEWED_BEFORE_END_S = 60
# Refused so soon after it was got, a token is not too old; and Huawei counts how many are asked for.
_NOT_RENEWED_WITHIN_S = 60


class Tokens:
    """Access tokens of one application, each used until it ends or is refused. Safe for many threads.

    Nobody waits for another's call: several may be asked for at once, which Huawei allows many times over.
    """

    def __init__(self, *, base: str, client_id: str, secret: str, transport: Transport) -> None:
        """`base`: where tokens are given out."""
        self._url = f"{base}/oauth2/v3/token"
        self._asking = urlencode(
            {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        ).encode()
        self._transport = transport
        self._lock = threading.Lock()
        self._token, self._got_at, self._use_until = "", 0.0, 0.0

    def current(self) -> str:
        """A token that is valid for a while. Raises ProviderError."""
        with self._lock:
            token, use_until = self._token, self._use_until
        return token if time.monotonic() < use_until else self._fetch()

    def refuse(self, token: str) -> None:
        """Huawei did not take it: the next one is asked for, unless this one was new."""
        with self._lock:
            if token == self._token and self._got_at + _NOT_RENEWED_WITHIN_S < time.monotonic():
                self._use_until = 0.0

    def _fetch(self) -> str:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "payments"}
        answer = self._transport.send("POST", self._url, headers=headers, body=self._asking)
        token, lives_s = _token_in(answer)
        now = time.monotonic()
        with self._lock:
            self._token, self._got_at = token, now
            self._use_until = now + max(min(lives_s, _LONGEST_S) - _RENEWED_BEFORE_END_S, 0)
        return token


class OrderService:
    """What can be asked about purchases."""

    def __init__(self, *, base: str, tokens: Tokens, key: RSAPublicKey, transport: Transport) -> None:
        """`key`: what Huawei signs purchases of this application with."""
        self._base = base
        self._tokens = tokens
        self._key = key
        self._transport = transport

    def purchase(self, token: str, product_id: str) -> dict[str, Any]:
        """The purchase behind a token, verified. Raises ProviderError; ProviderRejected has one of NOES as its code."""
        answer = self._ask(_VERIFY, {"purchaseToken": token, "productId": product_id})
        try:
            text = text_in(answer, "purchaseTokenData", _ANY)
            self.verify(text, answer.get("dataSignature"), answer.get("signatureAlgorithm"))
            return json_object(text)
        except Unexpected as error:
            step = "unverified_signature" if error.step == "signature" else "answer_shape"
            raise ProviderUnavailable(step, error.detail) from None

    def verify(self, text: str, signature: object, algorithm: object) -> None:
        """Whether Huawei has signed these very characters. Raises Unexpected."""
        scheme = _SCHEMES.get(str(algorithm or "").lower())
        if scheme is None:
            raise Unexpected("signature", "signed with an algorithm that we do not know")
        try:
            signed = text.encode()
        except UnicodeEncodeError:
            raise Unexpected("signature", "not a text in UTF-8") from None
        if not isinstance(signature, str) or not rsa.verifies(self._key, signed, signature, scheme=scheme):
            raise Unexpected("signature", "not the signature of this purchase")

    def confirm(self, token: str, product_id: str) -> None:
        """Tell that the goods were delivered; what is confirmed already, or gone, needs it no more."""
        try:
            self._ask(_CONFIRM, {"purchaseToken": token, "productId": product_id})
        except ProviderRejected as error:
            if error.code != GONE:
                raise

    def cancelled(self, *, start_ms: int, end_ms: int) -> Iterator[dict[str, Any]]:
        """Purchases that were cancelled or refunded in that time. Raises ProviderError."""
        asked: dict[str, Any] = {"startAt": start_ms, "endAt": end_ms, "maxRows": _MOST_ROWS, "type": 0}
        after = ""
        while True:
            answer = self._ask(_CANCELLED, {**asked, "continuationToken": after} if after else asked)
            yield from _rows_in(answer)
            following = answer.get("continuationToken")
            if not isinstance(following, str) or not following:
                return
            if following == after:
                raise ProviderUnavailable("answer_shape", "the list never ends")
            after = following

    def _ask(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """The object of a yes, nothing in it verified. Raises ProviderError."""
        token = self._tokens.current()
        answer = self._send(path, document, token)
        if answer.status == 401:
            self._tokens.refuse(token)
            answer = self._send(path, document, self._tokens.current())
        said = _said(answer)
        code = printable(said.get("responseCode"), 20)
        logger.info("huawei answered: call=%s status=%d code=%s", path, answer.status, code)
        if code == _YES:
            return said
        message = printable(said.get("responseMessage"), 200)
        raise (ProviderRejected if code in NOES else ProviderUnavailable)(code or "answer_shape", message)

    def _send(self, path: str, document: Mapping[str, Any], token: str) -> HttpAnswer:
        headers = {
            "Authorization": f"Basic {base64.b64encode(f'APPAT:{token}'.encode()).decode()}",
            "Content-Type": "application/json; charset=UTF-8",
            "Accept": "application/json",
            "User-Agent": "payments",
        }
        return self._transport.send("POST", self._base + path, headers=headers, body=json.dumps(document).encode())


def _said(answer: HttpAnswer) -> dict[str, Any]:
    """The object in an answer. Raises ProviderError: what says nothing about the purchase leaves it unknown."""
    if answer.status == 401:
        # No purchase is at fault, so whatever was asked stays to be asked.
        raise ProviderUnavailable("unauthenticated", "Huawei does not accept our access token for this application")
    if answer.status != 200:
        raise no_answer(answer)
    try:
        return json_object(answer.body)
    except Unexpected:
        raise no_answer(answer) from None


def _token_in(answer: HttpAnswer) -> tuple[str, int]:
    """Token and seconds that it lives. Raises ProviderError, retryable: no purchase is at fault."""
    try:
        said = json_object(answer.body)
        if answer.status == 200:
            return text_in(said, "access_token", _ACCESS_TOKEN), whole_in(said, "expires_in")
    except Unexpected:
        raise no_answer(answer) from None
    if 400 <= answer.status < 500 and answer.status != 429 and "error" in said:
        raise ProviderUnavailable("unauthenticated", printable(said.get("error_description"), 200))
    raise no_answer(answer)


def _rows_in(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The list inside an answer, a text of JSON; one row may be a text once more. Raises ProviderUnavailable."""
    text = answer.get("cancelledPurchaseList") or "[]"
    try:
        rows = json.loads(text) if isinstance(text, str) else text
        yield from [row if isinstance(row, dict) else json_object(row) for row in rows]
    except (TypeError, ValueError, RecursionError, Unexpected):
        raise ProviderUnavailable("answer_shape", "cancelledPurchaseList is not as documented") from None
