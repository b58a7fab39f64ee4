"""Event streams: what happens to one order, told to its player's client the moment it is committed.

An ASGI application of its own, without Django's request handling: a listener is a coroutine and holds neither
a thread nor a database connection. `orders.waiting` asks for all of them with one query; the few that
something happened to then read their events.

- `GET /api/v1/orders/{order_no}/stream`: server-sent events, for the order's token or a key of its game
- `GET /api/v1/orders/{order_no}?wait=`: the same long poll as the web process answers, for many who wait
- `GET /healthz`
"""

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection
from django.utils import timezone

from fulfillment.asgi_http import (
    Message,
    Receive,
    Scope,
    Send,
    StreamRequest,
    answer,
    answer_json,
    answer_preflight,
    answer_problem,
    begin,
    compact,
)
from fulfillment.telling import ORDER_CANCELLED, ORDER_DELIVERED, ORDER_PAID
from orders.authentication import Caller, GameClient, may_see_orders, read_bearer, read_client_token
from orders.documents import CLIENT_FIELDS, client_document, order_document
from orders.models import Order
from orders.problems import Problem, problem_of
from orders.reading import visible_order
from orders.request_id import current_request_id, request_id_for
from orders.sql import raw_connection
from orders.waiting import order_watch, wait_seconds

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

# What a player's client is told. The talk with the game server (`delivery.requested`) is not its business.
CLIENT_EVENTS = (ORDER_PAID, ORDER_DELIVERED, ORDER_CANCELLED)
HEARTBEAT_S = 15.0
# After the last event the client has this long to leave by itself, which spares it a reconnect.
GRACE_S = 5.0
# A stream opened with an API key, which need not expire, is asked for its key again after this time.
LONGEST_S = 3600.0
# A reader that has had nothing to do for this long gives its connection back.
IDLE_S = 1.0
_RECONNECT_AFTER_MS = 2000
_READ_AGAIN_AFTER_FAILURE_S = 1.0

_PATH = re.compile(r"/api/v1/orders/([0-9A-Za-z]{1,32})(/stream)?")
_EVENT_ID = re.compile(r"evt_[0-9a-f]{32}")
_EVENTS = """
    SELECT seq, event_id, type, body FROM fulfillment_gameevent
    WHERE order_no = %(order_no)s AND order_no <> '' AND type = ANY(%(types)s)
      AND seq > greatest(%(after)s, coalesce(
          (SELECT seq FROM fulfillment_gameevent WHERE event_id = %(last)s AND order_no = %(order_no)s), 0))
    ORDER BY seq
"""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI entry."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    if scope["type"] != "http":
        return
    given = next((value for name, value in scope["headers"] if name.lower() == b"x-request-id"), b"")
    current_request_id.set(request_id_for(given.decode("latin-1")))
    begun = False

    async def noting_send(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        await _route(StreamRequest.of(scope), receive, noting_send)
    except Exception as error:  # noqa: BLE001  # an answer is owed for every error, as long as none has begun
        problem = problem_of(error)
        if not begun:
            await answer_problem(send, problem)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _route(request: StreamRequest, receive: Receive, send: Send) -> None:
    match = _PATH.fullmatch(request.path)
    if request.path != "/healthz" and match is None:
        raise Problem(404, "not_found", "There is nothing at this address.")
    if request.method == "OPTIONS":
        await answer_preflight(send)
    elif request.method != "GET":
        raise Problem(405, "method_not_allowed", "Only GET is answered here.", headers={"Allow": "GET, OPTIONS"})
    elif match is None:
        await answer(send, 200, b"alive\n", {"content-type": "text/plain"})
    elif match[2]:
        await _stream(request, match[1], receive, send)
    else:
        await _poll(request, match[1], receive, send)


# --- reading: in a few threads, with Django's own connections -----------------------------------------------
class _Readers:
    """Short reads in a few threads, each with a connection of its own that it gives back when it is idle."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started = False
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    async def run(self, read: Callable[[], _T]) -> _T:
        """The result of `read`. Raises what it raises."""
        if not self._started:
            self._started = True
            for _ in range(self._threads):
                threading.Thread(target=self._work, name="stream-reader", daemon=True).start()
        future: Future[_T] = Future()
        self._asked.put((future, read))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            try:
                future, read = self._asked.get(timeout=IDLE_S)
            except Empty:
                connection.close()
                future, read = self._asked.get()
            if future.set_running_or_notify_cancel():
                connection.close_if_unusable_or_obsolete()
                try:
                    future.set_result(read())
                except Exception as error:  # noqa: BLE001  # raised again where it is awaited
                    future.set_exception(error)


_readers = _Readers(4)


@dataclass(frozen=True, slots=True)
class _Event:
    seq: int
    event_id: str
    frame: bytes


def _admit(request: StreamRequest, order_no: str, *, in_query: bool) -> tuple[Caller, Order]:
    """Who asks, and the order. Raises Problem 401, 403, 404."""
    credential = request.headers.get("authorization", "")
    scheme, _, bearer = credential.partition(" ")
    caller: Caller | None = None
    if in_query and not credential and "token" in request.query:
        # Only a token of one order may stand in an address, where logs see it; an API key may not.
        caller = read_client_token(request.query["token"], now=timezone.now())
    elif scheme.lower() == "bearer":
        caller = read_bearer(bearer.strip(), request.as_django())
    caller = may_see_orders(caller)
    return caller, visible_order(order_no, caller)


def _events(order_no: str, *, after: int, last: str = "") -> list[_Event]:
    """Events of an order after the number `after` and after the event `last` (unknown: from the first)."""
    about = {"order_no": order_no, "types": list(CLIENT_EVENTS), "after": after, "last": last}
    return [_as_event(*row) for row in raw_connection().execute(_EVENTS, about).fetchall()]


def _as_event(seq: int, event_id: str, kind: str, body: str) -> _Event:
    told = json.loads(body)["data"]
    data = {name: told[name] for name in CLIENT_FIELDS if name in told}
    frame = b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), kind.encode(), compact(data))
    return _Event(seq, event_id, frame)


# --- those who listen ---------------------------------------------------------------------------------------
class _Listener:
    """One who waits for an order to change: stirred by the order watch, or by leaving."""

    def __init__(self) -> None:
        self.gone = False
        self._stir = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Called from the watch's thread; the loop may just have ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stir.set)

    async def stirred(self, *, until: float) -> bool:
        """Whether something happened before `until` (monotonic)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._stir.wait()
        stirred = self._stir.is_set()
        self._stir.clear()
        return stirred

    async def until_gone(self, receive: Receive) -> None:
        """Notice that the client has left."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._stir.set()


@contextmanager
def _listening(order: Order, receive: Receive) -> Iterator[_Listener]:
    """A listener of one order, which knows it as read."""
    listener = _Listener()
    leaving = asyncio.create_task(listener.until_gone(receive))
    try:
        with order_watch.watching(order.order_no, version=order.version, wake=listener.wake):
            yield listener
    finally:
        leaving.cancel()


class _Room:
    """How many may listen in this process. Touched by the event loop's thread alone."""

    taken = 0

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether one more may."""
        free = self.taken < settings.STREAM_LISTENERS_AT_ONCE
        self.taken += free
        try:
            yield free
        finally:
            self.taken -= free


room = _Room()


async def _poll(request: StreamRequest, order_no: str, receive: Receive, send: Send) -> None:
    """`GET orders/{order_no}?wait=`: the order, as soon as it changes."""
    caller, order = await _readers.run(lambda: _admit(request, order_no, in_query=False))
    wait = wait_seconds(request.query.get("wait", "0"))
    with room.place() as free:
        if wait and free and not order.is_final:
            with _listening(order, receive) as listener:
                await listener.stirred(until=time.monotonic() + wait)
            if listener.gone:
                return
            order = await _readers.run(lambda: visible_order(order_no, caller))
    document = client_document if isinstance(caller, GameClient) else order_document
    await answer_json(send, document(order))


async def _stream(request: StreamRequest, order_no: str, receive: Receive, send: Send) -> None:
    """`GET orders/{order_no}/stream`: what has happened after `Last-Event-ID`, then what happens."""
    given = request.headers.get("last-event-id") or request.query.get("last_event_id", "")
    last = given if _EVENT_ID.fullmatch(given) else ""

    def read() -> tuple[Caller, Order, list[_Event]]:
        caller, order = _admit(request, order_no, in_query=True)
        return caller, order, _events(order_no, after=0, last=last)

    with room.place() as free:
        if not free:
            raise Problem(
                503,
                "too_many_listeners",
                "Too many listen here; try again shortly.",
                headers={"Retry-After": "5"},
            )
        caller, order, events = await _readers.run(read)
        if last and order.is_final and not events:
            # A browser would come back for ever; 204 is how a stream says that nothing will follow.
            await answer(send, 204)
            return
        await begin(send, 200, {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"})
        await _Stream(order, caller, send).follow(events, receive)


class _Stream:
    """A stream that has begun: no error may be answered any more, only outlived."""

    def __init__(self, order: Order, caller: Caller, send: Send) -> None:
        self._order = order
        self._caller = caller
        self._send = send
        lifetime = caller.valid_until - timezone.now().timestamp() if isinstance(caller, GameClient) else LONGEST_S
        self._end = time.monotonic() + min(lifetime, LONGEST_S)
        self._heartbeat_at = 0.0
        self._seq = 0

    async def follow(self, events: Sequence[_Event], receive: Receive) -> None:
        """Send `events`, then every later one, until the last of the order or the end of the token."""
        with _listening(self._order, receive) as listener:
            await self._write(b"retry: %d\n\n" % _RECONNECT_AFTER_MS)
            await self._tell(events)
            unread = False
            while time.monotonic() < self._end and not listener.gone:
                again = time.monotonic() + _READ_AGAIN_AFTER_FAILURE_S if unread else self._end
                stirred = await listener.stirred(until=min(self._end, self._heartbeat_at, again))
                if listener.gone:
                    return
                if stirred or unread:
                    unread = not await self._read()
                if time.monotonic() >= self._heartbeat_at:
                    await self._write(b":\n\n")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read(self) -> bool:
        """Read and tell what is new; False when the database could not be asked."""
        try:
            self._order, events = await _readers.run(self._news)
        except Exception as error:  # noqa: BLE001  # the listener stays, and is told later
            problem_of(error)  # logs it
            return False
        await self._tell(events)
        return True

    def _news(self) -> tuple[Order, list[_Event]]:
        order = visible_order(self._order.order_no, self._caller)
        return order, _events(order.order_no, after=self._seq)

    async def _tell(self, events: Sequence[_Event]) -> None:
        if events:
            self._seq = events[-1].seq
            await self._write(b"".join(event.frame for event in events))
        if self._order.is_final:
            self._end = min(self._end, time.monotonic() + GRACE_S)

    async def _write(self, chunk: bytes) -> None:
        self._heartbeat_at = time.monotonic() + HEARTBEAT_S
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
