"""The dispatcher: the process that tells game servers what happened. Several may run; each message is claimed by one.

One event loop sends to all game servers at once. One database thread writes down what came back and claims what is due
(fulfillment.outbox), so rows travel in batches; a few more threads confirm deliveries and release the backlog of an
endpoint that came back. Every endpoint has its own share of messages under way, so one that hangs fills its own share
and nobody else's.

A kill -9 loses nothing: what was claimed is due again when its lease ends, with the same id.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from fulfillment import delivering, outbox, poking, telling
from fulfillment.outbox import Claimed, Outcome, Verdict
from fulfillment.sending import Sender

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
# How long the rows are left alone when nothing was due and nobody poked: shortly while purchases come in.
_BUSY_PAUSE_S, _QUIET_PAUSE_S = 0.05, 0.2
_BUSY_FOR_S = 2.0
# With no more under way than this, the next of an order is claimed by itself, not with the next batch.
_FEW = 4
# How long tries that are under way may still take when the process is told to stop.
DRAIN_S = 4.0
_HELPER_THREADS = 8
_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_TEND_EVERY_S = 5.0
_DATABASE_AWAY = (DatabaseError, InterfaceError, psycopg.Error)


def run_dispatcher(stop: threading.Event) -> None:
    """Tell game servers until `stop` is set; then finish what is under way, or give it back."""
    asyncio.run(_Dispatcher().run(stop))


class _Dispatcher:
    def __init__(self) -> None:
        self._rows = _DatabaseThreads(1, "webhook-rows")
        self._helpers = _DatabaseThreads(_HELPER_THREADS, "webhook-helper")
        self._under_way: dict[int, Claimed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._wake = asyncio.Event()
        self._busy_until = 0.0

    async def run(self, stop: threading.Event) -> None:
        async with Sender() as self._sender:
            tending = asyncio.create_task(self._tend())
            listener = poking.listen()
            if listener is not None:
                asyncio.get_running_loop().add_reader(listener, self._poked, listener)
            troubles = 0
            while not stop.is_set():
                try:
                    claimed = await self._exchange()
                    troubles = 0
                except _DATABASE_AWAY as error:
                    pause = _BACK_OFF_S[min(troubles, len(_BACK_OFF_S) - 1)]
                    troubles += 1
                    logger.warning("database not available (%s), next try in %s s", type(error).__name__, pause)
                    await asyncio.to_thread(stop.wait, pause)
                    continue
                for message in claimed:
                    self._start(message)
                if claimed:
                    self._busy_until = time.monotonic() + _BUSY_FOR_S
                await self._pause()
            tending.cancel()
            if listener is not None:
                asyncio.get_running_loop().remove_reader(listener)
                listener.close()
            await self._finish()
        await self._rows.close()
        await self._helpers.close()

    async def _exchange(self) -> list[Claimed]:
        """Write down what came back, then claim what is due; what could not be written is kept for the next turn."""
        self._wake.clear()
        outcomes, self._outcomes = self._outcomes, []
        written = 0
        try:
            if outcomes:
                await self._rows.run(lambda: _record(outcomes))
            written = len(outcomes)
        finally:
            self._outcomes = outcomes[written:] + self._outcomes
        for outcome in outcomes:
            self._under_way.pop(outcome.message.pk, None)
        busy: dict[int, list[str]] = {}
        for message in self._under_way.values():
            busy.setdefault(message.target.pk, []).append(message.order_no)
        return await self._rows.run(lambda: outbox.claim(busy=busy))

    async def _pause(self) -> None:
        busy = time.monotonic() < self._busy_until
        with suppress(TimeoutError):
            async with asyncio.timeout(_BUSY_PAUSE_S if busy else _QUIET_PAUSE_S):
                await self._wake.wait()

    def _poked(self, listener: socket.socket) -> None:
        poking.hear(listener)
        self._wake.set()

    def _start(self, message: Claimed) -> None:
        self._under_way[message.pk] = message
        task = asyncio.create_task(self._tell_in_turn(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_in_turn(self, message: Claimed) -> None:
        """A message, and at once what follows it of its order; when there is much to tell, the batches do that."""
        following: Claimed | None = message
        while following is not None:
            message, following = following, None
            told = await self._tell(message) is Verdict.TOLD
            if told and message.order_no and len(self._under_way) <= _FEW:
                with suppress(*_DATABASE_AWAY):
                    following = await self._helpers.run(lambda message=message: outbox.claim_next(message))  # type: ignore[misc]
            if following is not None:
                self._under_way[following.pk] = following

    async def _tell(self, message: Claimed) -> Verdict:
        outcome = await self._sender.send(message)
        try:
            if outcome.verdict is Verdict.TOLD:
                await self._act_on(outcome)
        except _DATABASE_AWAY as error:
            # Nothing is written down: the lease runs out and it is sent again, with the same id.
            logger.warning("message %s is sent again: %s", message.event_id, type(error).__name__)
            self._under_way.pop(message.pk, None)
        except Exception:  # one message must not end the others
            logger.exception("what message %s brought about could not be done", message.event_id)
            self._outcomes.append(replace(outcome, verdict=Verdict.REFUSED, error="answered, but not confirmed by us"))
        else:
            self._outcomes.append(outcome)
        self._wake.set()
        return outcome.verdict

    async def _act_on(self, outcome: Outcome) -> None:
        """What a success means, before it is written down: dying in between sends the same id again, and heals."""
        message = outcome.message
        if message.type == telling.DELIVERY_REQUESTED:
            delivery_id, receipt = message.delivery_id(), outcome.receipt
            await self._helpers.run(
                lambda: delivering.confirm(delivery_id=delivery_id, receipt=receipt, actor="game server")
            )
        if message.target.probing:
            released = await self._helpers.run(lambda: outbox.recover(endpoint_id=message.target.pk))
            logger.info("endpoint %s is back; %s messages released", message.target.pk, released)

    async def _tend(self) -> None:
        """Now and then: park what waited too long at failing endpoints, and probe those that have nothing due."""
        knocked: dict[int, float] = {}
        while True:
            park_after = float(settings.WEBHOOK_PARK_AFTER_S)
            await asyncio.sleep(min(_TEND_EVERY_S, park_after / 10))
            try:
                for target in await self._helpers.run(outbox.failing_targets):
                    await self._helpers.run(lambda target=target: outbox.park_overdue(target))  # type: ignore[misc]
                    if time.monotonic() >= knocked.get(target.pk, 0.0):
                        pause = outbox.PROBE_STRETCH * settings.WEBHOOK_PROBE_INTERVAL_S
                        knocked[target.pk] = time.monotonic() + pause
                        parked = await self._helpers.run(lambda target=target: outbox.claim_parked(target))  # type: ignore[misc]
                        if parked is not None:
                            self._start(parked)
            except Exception:  # tried again a few seconds later
                logger.exception("tending the endpoints failed; it is tried again")

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_S)
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        outcomes, left = self._outcomes, dict(self._under_way)
        for outcome in outcomes:
            left.pop(outcome.message.pk, None)
        try:
            await self._rows.run(lambda: _record(outcomes))
            await self._rows.run(lambda: outbox.give_back(list(left.values())))
        except _DATABASE_AWAY as error:
            logger.warning("stopping without the database (%s): leases run out", type(error).__name__)


def _record(outcomes: list[Outcome]) -> None:
    """Write a batch; when the database refuses one of it, write the others."""
    try:
        outbox.record(outcomes)
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
        for outcome in outcomes:
            try:
                outbox.record([outcome])
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
                logger.exception("a try of message %s cannot be written down", outcome.message.event_id)


class _DatabaseThreads:
    """Threads with a database connection each; a connection that had trouble is not used again."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_connection, work)

    async def close(self) -> None:
        """Close every thread's connection: all threads meet, so each runs exactly one of these."""
        meeting = threading.Barrier(self._count)

        def leave() -> None:
            meeting.wait()
            connection.close()

        await asyncio.gather(*(self.run(leave) for _ in range(self._count)))
        self._pool.shutdown()


def _with_connection(work: Callable[[], _T]) -> _T:
    close_old_connections()
    try:
        return work()
    except _DATABASE_AWAY:
        connection.close()
        raise
