"""Waiting until an order changes: for long polls here, and for the event streams of the floor above.

One thread per process asks PostgreSQL for everyone who waits, a few times a second and only while somebody
does. Not LISTEN/NOTIFY: a notification inside the settling transaction takes a lock that every commit shares,
and would cost each purchase more than it gives. Whatever changes an order moves its `version`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from orders.sql import raw_connection

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 30
_ASK_EVERY_S = 0.2
_ASK_AGAIN_AFTER_FAILURE_S = 1.0
# With very many who wait a question takes longer; it then takes at most this share of the thread's time.
_MOST_OF_THE_TIME = 0.25

_CHANGED = """
    SELECT o.order_no, o.version
    FROM unnest(%s::text[], %s::bigint[]) AS watched (order_no, version)
    JOIN orders_order o ON o.order_no = watched.order_no AND o.version <> watched.version
"""
_VERSION = "SELECT version FROM orders_order WHERE order_no = %s"


def wait_seconds(text: str) -> int:
    """The query parameter `wait`: how long a caller is ready to wait, at most LONGEST_WAIT_S."""
    return min(int(text), LONGEST_WAIT_S) if text.isascii() and text.isdigit() and len(text) < 6 else 0


@dataclass(slots=True, eq=False)
class Watch:
    """One who waits: `wake` is called, by the asking thread, when the order's version is another."""

    order_no: str
    version: int
    wake: Callable[[], None]


class OrderWatch:
    """All who wait in this process, and the thread that asks for them. It ends when nobody waits any more."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None
        self._failing = False

    @contextmanager
    def watching(self, order_no: str, *, version: int, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` at every change of the order after `version`, as long as the block runs."""
        watch = Watch(order_no, version, wake)
        with self._lock:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="order-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._watches.discard(watch)

    def _run(self) -> None:
        try:
            while watches := self._who_waits():
                began = time.monotonic()
                asked = self._ask(watches)
                took = time.monotonic() - began
                time.sleep(max(_ASK_EVERY_S - took, took / _MOST_OF_THE_TIME) if asked else _ASK_AGAIN_AFTER_FAILURE_S)
        finally:
            connection.close()

    def _who_waits(self) -> list[Watch]:
        with self._lock:
            if not self._watches:
                self._thread = None
            return list(self._watches)

    def _ask(self, watches: list[Watch]) -> bool:
        try:
            numbers, versions = [watch.order_no for watch in watches], [watch.version for watch in watches]
            changed = dict(raw_connection().execute(_CHANGED, (numbers, versions)).fetchall())
            for watch in watches:
                version = changed.get(watch.order_no, watch.version)
                if version != watch.version:
                    watch.version = version
                    watch.wake()
        except Exception as error:  # noqa: BLE001  # whoever waits goes on waiting, whatever happened
            if not self._failing:
                logger.warning("cannot ask for changed orders: %s; trying on", type(error).__name__)
            self._failing = True
            connection.close()
        else:
            self._failing = False
        return not self._failing


order_watch = OrderWatch()
_places = threading.Lock()
_waiting = 0


def wait_for_change(order_no: str, *, version: int, seconds: float) -> None:
    """Return when the order has another version, after `seconds`, or at once when too many wait already.

    The caller reads the order again afterwards. Its connection meanwhile stays idle outside any transaction,
    and is looked at again before the next use: 30 s are enough for a database to be restarted.
    """
    with _a_place() as free:
        if not free:
            return
        changed = threading.Event()
        with order_watch.watching(order_no, version=version, wake=changed.set):
            # Asked while the watch stands, so that no change falls between the caller's reading and it.
            row = raw_connection().execute(_VERSION, (order_no,)).fetchone()
            if row == (version,):
                changed.wait(seconds)
    connection.close_if_unusable_or_obsolete()


@contextmanager
def _a_place() -> Iterator[bool]:
    """Whether one more request may hold its thread; the other threads must stay free for everybody else."""
    global _waiting  # a count of this process
    with _places:
        free = _waiting < settings.LONG_POLLS_AT_ONCE
        _waiting += free
    try:
        yield free
    finally:
        with _places:
            _waiting -= free
