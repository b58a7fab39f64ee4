"""Sending one message to a game server, and judging the answer. Network only; no rows in here.

What counts as told: a 2xx whose first 10 seconds brought the answer's head and whose body ended within 15 s, unless the
body says failure by itself (`says_failure`). Redirects are not followed. Of a body 64 kB are read; a longer one is
judged by its status.
"""

import asyncio
import json
import ssl
import time
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
from django.utils import timezone

from fulfillment import signing
from fulfillment.outbox import Claimed, Outcome, Verdict
from fulfillment.targets import JudgingResolver, TargetRefused, check_url, open_judged_socket

ANSWER_WITHIN_S = 10.0
ENDED_WITHIN_S = 15.0
BODY_LIMIT_BYTES = 64 * 1024
# What a server asks for with Retry-After is honoured, within the ten minutes in which an outage must be over for us.
RETRY_AFTER_LIMIT_S = 600.0
# Shorter than what servers keep by habit (5 s), so that seldom a connection is used that is just being closed.
_KEPT_OPEN_S = 4.0
_ANSWER_KEPT = 500
_ERROR_KEPT = 200
_RECEIPT_KEPT = 200
_USER_AGENT = "payments-webhooks/1"

# A 2xx body says failure when it is one of these words alone, or a JSON object in which one of these members has one
# of these values. Everything else is success: numbers in `code` mean too many things to too many servers.
_FAILURE_WORDS = frozenset({"fail", "failed", "failure", "error"})
_NO_MEMBERS = ("success", "ok")
_WORD_MEMBERS = ("code", "status", "result")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Any
    body: bytes
    whole: bool


class Sender:
    """The connections to all game servers. An async context manager; used from one event loop."""

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._resolver = JudgingResolver()
        reuse = aiohttp.TraceConfig()
        reuse.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=open_judged_socket,
                ssl=ssl.create_default_context(),
                limit=0,  # bounded per endpoint by the claims; a common limit would let one endpoint starve others
                ttl_dns_cache=10,
                keepalive_timeout=_KEPT_OPEN_S,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # nothing was asked to be compressed; a bomb stays small
            trust_env=False,  # no proxy of the machine: it would resolve the name again
            timeout=aiohttp.ClientTimeout(total=ENDED_WITHIN_S),
            trace_configs=[reuse],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._session.close()
        await self._resolver.close()

    async def send(self, message: Claimed) -> Outcome:
        """Try once. Never raises for what a server does; cancelling it leaves nothing behind."""
        at, started = timezone.now(), time.monotonic()
        verdict = Verdict.FAILED
        about: dict[str, Any] = {}
        try:
            answer = await self._post(message)
        except TimeoutError:
            about["error"] = "no whole answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            about["error"] = _clean(_network_error(error), _ERROR_KEPT)
        else:
            verdict, about = _judge(answer, now=at)
        took = int((time.monotonic() - started) * 1000)
        return Outcome(message=message, verdict=verdict, at=at, duration_ms=took, **about)

    async def _post(self, message: Claimed) -> _Answer:
        target = message.target
        url = check_url(target.url)
        if not target.secrets:
            raise ValueError("the endpoint's secrets cannot be opened")
        body = message.body.encode()
        headers = {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "accept-encoding": "identity",
            **signing.sign(secrets=target.secrets, message_id=message.event_id, timestamp=int(time.time()), body=body),
        }
        async with asyncio.timeout(ENDED_WITHIN_S):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                response = await self._open(url, headers, body)
            try:
                content, whole = await _read(response)
            except BaseException:
                response.close()
                raise
            response.release() if whole else response.close()
            return _Answer(response.status, response.headers, content, whole)

    async def _open(self, url: str, headers: dict[str, str], body: bytes) -> aiohttp.ClientResponse:
        while True:
            connection = SimpleNamespace(reused=False)
            try:
                return await self._session.post(
                    url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=connection
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # The server closed a kept connection as we wrote to it: not its failure. A fresh one decides.
                if not connection.reused:
                    raise


async def _note_reuse(session: Any, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.reused = True


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > BODY_LIMIT_BYTES:
            return bytes(content[:BODY_LIMIT_BYTES]), False
    return bytes(content), True


def _judge(answer: _Answer, *, now: datetime) -> tuple[Verdict, dict[str, Any]]:
    text = answer.body.decode("utf-8", "replace")
    document = _json(text) if answer.whole else None
    about: dict[str, Any] = {"status": answer.status, "answer": _clean(text, _ANSWER_KEPT)}
    match answer.status:
        case status if 200 <= status < 300:
            if says_failure(text, document):
                return Verdict.REFUSED, {**about, "error": "the answer says failure"}
            return Verdict.TOLD, {**about, "receipt": _receipt(document)}
        case 410:
            return Verdict.GONE, {**about, "error": "answered 410: switched off"}
        case status if 300 <= status < 400:
            return Verdict.FAILED, {**about, "error": f"answered {status}; redirects are not followed"}
        case 408 | 425 | 429 | 503:
            about["retry_after_s"] = retry_after_s(answer.headers.get("Retry-After", ""), now=now)
            return Verdict.FAILED, {**about, "error": f"answered {answer.status}"}
        case status if 400 <= status < 500:
            return Verdict.REFUSED, {**about, "error": f"answered {status}"}
        case status:
            return Verdict.FAILED, {**about, "error": f"answered {status}"}


def says_failure(text: str, document: object) -> bool:
    """Whether the body of a 2xx takes it back; `document` is the body as JSON, None when it is none."""
    if not isinstance(document, dict):
        word = document if isinstance(document, str) else text
        return len(word) < 20 and word.strip().lower() in _FAILURE_WORDS
    said_no = any(document.get(name) is False for name in _NO_MEMBERS)
    words = [document[name] for name in _WORD_MEMBERS if isinstance(document.get(name), str)]
    return said_no or any(word.strip().lower() in _FAILURE_WORDS for word in words)


def retry_after_s(value: str, *, now: datetime) -> float:
    """The seconds that `Retry-After` asks for (a number or a date), at most ten minutes; 0 when it asks for nothing."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_LIMIT_S)
    try:
        at = parsedate_to_datetime(value)
        return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT_S)
    except (TypeError, ValueError, OverflowError):  # not a date, or a date without a zone
        return 0.0


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _receipt(document: object) -> str:
    receipt = document.get("receipt") if isinstance(document, dict) else None
    is_one = isinstance(receipt, (str, int)) and not isinstance(receipt, bool)
    return _clean(str(receipt), _RECEIPT_KEPT) if is_one else ""


def _network_error(error: Exception) -> str:
    # A refusal of ours comes wrapped in the connector's own error.
    inner = getattr(error, "os_error", error)
    if isinstance(inner, TargetRefused):
        return f"refused: {inner}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"certificate: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError)):
        return "cut before the answer was whole"
    if isinstance(error, aiohttp.ClientError):
        return f"not an HTTP answer: {type(error).__name__}"
    return str(error)


def _clean(text: str, limit: int) -> str:
    """Text of a stranger, fit for a row and a page: no control characters, no halves of surrogate pairs."""
    kept = (" " if character in "\r\n\t" else character for character in text[: limit * 4])
    return "".join(character for character in kept if unicodedata.category(character) not in ("Cc", "Cs"))[:limit]
