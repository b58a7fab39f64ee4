"""HTTP to a payment provider: kept connections, hard time limits, a ceiling of calls at once.

The ceiling is a bulkhead: when one provider hangs, at most `ceiling` threads of this process wait for it
(13 s each at worst) and the next caller is told at once, so another provider's traffic never queues
behind it.
"""

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from channels_app.providers.base import ProviderBusy, ProviderUnavailable

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
ANSWER_LIMIT_BYTES = 1 << 20
CALLS_AT_ONCE = 16


class ConnectFailed(ProviderUnavailable):
    """No connection was made, so nothing was sent: another host may be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answer as it arrived. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Bounded:
    """Gives the head of an answer as long as a silent provider gets; a dripping one would send it for ever."""

    sock: socket.socket | None

    def getresponse(self) -> Any:
        late = threading.Event()
        # A little later than the limit for silence, which has its own, better known error.
        cut = threading.Timer(READ_TIMEOUT_S * 1.1, self._cut, (late,))
        cut.daemon = True
        cut.start()
        try:
            answer = super().getresponse()  # type: ignore[misc]  # the connection's
        finally:
            cut.cancel()
        if late.is_set():  # headers that were cut off pass for headers that ended
            answer.close()
            raise TimeoutError("the head of the answer did not end in time")
        return answer

    def _cut(self, late: threading.Event) -> None:
        late.set()
        with suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)


class _HTTPConnection(_Bounded, HTTPConnection):
    pass


class _HTTPSConnection(_Bounded, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


class Transport:
    """The connections of one merchant account. Safe for many threads."""

    def __init__(self, *, ceiling: int = CALLS_AT_ONCE) -> None:
        """`ceiling`: calls that may be under way at once in this process."""
        self._free = threading.BoundedSemaphore(ceiling)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy or .netrc of the machine may see provider traffic
        adapter = _Adapter(pool_connections=4, pool_maxsize=ceiling, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", limit: int | None = None
    ) -> HttpAnswer:
        """One request. Raises ConnectFailed, ProviderUnavailable (result unknown), ProviderBusy.

        Redirects are not followed. An answer above the limit (1 MiB) or slower than the time limits counts as none.
        """
        if not self._free.acquire(blocking=False):
            raise ProviderBusy("too_many_calls", "our own ceiling of calls at once is reached")
        try:
            return self._send(method, url, headers, body, limit or ANSWER_LIMIT_BYTES)
        except requests.ConnectTimeout as error:
            raise ConnectFailed("connect_timeout") from error
        except requests.ReadTimeout as error:
            raise ProviderUnavailable("read_timeout") from error
        except requests.ConnectionError as error:
            # requests has one class for "refused" and "cut in the middle"; only the first sent nothing.
            refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
            raise (ConnectFailed if refused else ProviderUnavailable)("connection_failed") from error
        except (requests.RequestException, HTTPError) as error:  # the second: cut while its body is read
            raise ProviderUnavailable("transport", type(error).__name__) from error
        finally:
            self._free.release()

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, limit: int) -> HttpAnswer:
        # The read timeout of requests is per packet; a dripping answer is ended by the deadline.
        deadline = time.monotonic() + CONNECT_TIMEOUT_S + READ_TIMEOUT_S
        with self._session.request(
            method, url, data=body or None, headers=dict(headers), stream=True, allow_redirects=False,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        ) as response:  # fmt: skip
            chunks: list[bytes] = []
            size = 0
            while chunk := response.raw.read1(65536, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > limit or time.monotonic() > deadline:
                    raise ProviderUnavailable("answer_too_long")
            return HttpAnswer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=b"".join(chunks),
            )
