"""The web process's entry: takes requests in whole, then has Django answer each in a thread.

Two kinds of caller would otherwise hold a thread that others need: one who sends half a body and waits, and one who
waits for an order to change (`?wait=`). The first is read here, by the event loop, within a size and a time limit;
the second is answered by `fulfillment.streaming`, as in the stream process, without any thread. What reaches Django
is complete and small, and its plain WSGI application does the rest.
"""

import asyncio
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]  # exported

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payments_site.settings")
_django = get_wsgi_application()

from fulfillment import streaming  # noqa: E402  # needs Django set up
from orders.problems import Problem, plain_response  # noqa: E402

Headers = list[tuple[str, str]]

logger = logging.getLogger(__name__)

# Generous for 256 KiB over any line; a sender that takes longer is not sending.
BODY_WITHIN_S = 10.0
_SENT_WHOLE_BYTES = 1 << 20
_LONG_POLL = re.compile(r"/api/v1/orders/[0-9A-Za-z]{1,32}")


class WebApplication:
    """The RSGI application of one web process (granian's own interface)."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads that Django answers in; they are made when they are needed."""
        self._loop = loop
        self._threads = ThreadPoolExecutor(settings.WEB_THREADS, thread_name_prefix="web")

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let running answers end."""
        self._threads.shutdown(wait=True)

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """Answer one request."""
        if scope.method == "GET" and "wait=" in scope.query_string and _LONG_POLL.fullmatch(scope.path):
            await _Poll(scope, proto).answer()
            return
        try:
            environ = await _environ_of(scope, proto)
        except TimeoutError:
            _send_whole(proto, plain_response(Problem(408, "request_timeout", "The body did not arrive in time.")))
            return
        except (ProtocolError, ProtocolClosed):
            return  # the sender left in the middle
        answered = self._loop.create_future()
        self._threads.submit(self._answer, environ, proto, answered)
        await answered

    def _answer(self, environ: dict[str, Any], proto: HTTPProtocol, answered: "asyncio.Future[None]") -> None:
        """One request, in a thread; the event loop only hears that it is over."""
        try:
            with suppress(ProtocolClosed):  # the caller left; what it asked for is done all the same
                self._respond(environ, proto)
        except Exception:
            logger.exception("a request could not be answered")
        finally:
            with suppress(RuntimeError):  # the process is ending
                self._loop.call_soon_threadsafe(_settle, answered)

    def _respond(self, environ: dict[str, Any], proto: HTTPProtocol) -> None:
        """Have Django answer. A streamed answer is sent from here, piece by piece."""
        begun: list[tuple[int, Headers]] = []

        def start_response(status: str, headers: Headers, exc_info: object = None) -> None:
            begun.append((int(status[:3]), headers))

        response = cast("HttpResponse", _django(environ, cast("Callable[..., Any]", start_response)))
        try:
            status, headers = begun[0]
            if not response.streaming:
                proto.response_bytes(status, headers, response.content)
            elif int(response.headers.get("Content-Length") or _SENT_WHOLE_BYTES + 1) <= _SENT_WHOLE_BYTES:
                proto.response_bytes(status, headers, b"".join(response))  # a static file
            else:
                self._send_stream(proto, status, headers, response)
        finally:
            response.close()

    def _send_stream(self, proto: HTTPProtocol, status: int, headers: Headers, chunks: Iterable[bytes]) -> None:
        async def begin() -> Any:
            return proto.response_stream(status, headers)

        async def send(chunk: bytes) -> None:
            await transport.send_bytes(chunk)

        # Pulled in this thread, which holds the database connection; each piece waits until the last one is gone.
        transport = asyncio.run_coroutine_threadsafe(begin(), self._loop).result()
        for chunk in chunks:
            asyncio.run_coroutine_threadsafe(send(chunk), self._loop).result()


def _settle(answered: "asyncio.Future[None]") -> None:
    if not answered.done():  # cancelled when the process ends
        answered.set_result(None)


@lru_cache(maxsize=1000)  # whoever sends names without end fills nothing
def _environ_key(header: str) -> str:
    """How WSGI names a header; empty for one that would pass for another (`X_Forwarded_For`)."""
    return "" if "_" in header else "HTTP_" + header.upper().replace("-", "_")


async def _environ_of(scope: Scope, proto: HTTPProtocol) -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of a request, with its body read. Raises TimeoutError, ProtocolError."""
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if key := _environ_key(name):
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    length = environ.pop("HTTP_CONTENT_LENGTH", "")
    body = b""
    async with asyncio.timeout(BODY_WITHIN_S):
        if "HTTP_TRANSFER_ENCODING" in environ:
            body = await _read_bounded(proto)
            length = str(len(body))
            del environ["HTTP_TRANSFER_ENCODING"]
        elif length.isdigit() and 0 < int(length) <= settings.REQUEST_BODY_LIMIT_BYTES:
            body = await proto()  # raises when it is cut short: half a request is none
        # A longer body is not read at all: the middleware refuses it by its length.
    environ["CONTENT_LENGTH"] = length
    environ["wsgi.input"] = io.BytesIO(body)
    return environ


async def _read_bounded(proto: HTTPProtocol) -> bytes:
    """A body of unknown length, or as much of it as shows that it is too long."""
    body = bytearray()
    async for chunk in proto:
        body += chunk
        if len(body) > settings.REQUEST_BODY_LIMIT_BYTES:
            break
    return bytes(body)


def _send_whole(proto: HTTPProtocol, response: HttpResponse) -> None:
    proto.response_bytes(response.status_code, list(response.items()), response.content)


class _Poll:
    """A long poll, answered by the stream process's ASGI application."""

    def __init__(self, scope: Scope, proto: HTTPProtocol) -> None:
        self._proto = proto
        self._scope = {
            "type": "http",
            "method": scope.method,
            "path": scope.path,
            "query_string": scope.query_string.encode("latin-1", "replace"),
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in scope.headers.items()],
            "client": (scope.client.rpartition(":")[0].strip("[]"), 0),
        }
        self._start: dict[str, Any] = {}

    async def answer(self) -> None:
        with suppress(ProtocolClosed):
            await streaming.application(self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self._proto.client_disconnect()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._start["headers"]]
        self._proto.response_bytes(self._start["status"], headers, message["body"])


application = WebApplication()
