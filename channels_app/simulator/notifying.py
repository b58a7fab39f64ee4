"""Sends notifications until they are acknowledged, as long as the provider's ladder reaches; a restart resumes it.

Every sending and its answer is written down. `speed` shortens the ladder: 60 makes a minute of it a second.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping

import aiohttp
from yarl import URL

from channels_app.simulator.rows import (
    ACKNOWLEDGED,
    DUE,
    FORGED,
    GENUINE,
    GIVEN_UP,
    HELD,
    PROBE,
    Attempt,
    Notice,
)
from channels_app.simulator.store import Store
from channels_app.simulator.voices import Voice

logger = logging.getLogger(__name__)

_AT_ONCE = 64
_TAKE = 200
_ANSWER_KEPT_BYTES = 2000
_NAP_S = 30.0
# While one is on its way it is not due again; a process that dies meanwhile leaves it due after this.
_LEASE_S = 12.0


class Notifier:
    """The sender. Lives inside the server's event loop."""

    def __init__(self, store: Store, voices: Mapping[str, Voice], *, speed: float) -> None:
        """`speed` divides every wait of the ladders."""
        self._store = store
        self._voices = voices
        self._speed = speed
        self._wake = asyncio.Event()
        self._answered = asyncio.Condition()
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send what is due, until cancelled. What is on its way then is due again after the next start."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._http:
            try:
                while True:
                    self._wake.clear()
                    self._start_due()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self._until_next())
            finally:
                for task in self._under_way:
                    task.cancel()
                await asyncio.gather(*self._under_way, return_exceptions=True)

    def wake(self) -> None:
        """There is something new to send."""
        self._wake.set()

    async def answers(self, notices: Iterable[Notice], *, within_s: float) -> None:
        """Wait until each notice was sent for real once, or was never meant to be, or the time is over."""
        ids = [notice.id for notice in notices]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._answered:
                await self._answered.wait_for(lambda: all(self._was_sent(notice_id) for notice_id in ids))

    async def send(self, notice: Notice, how: str, *, counts: bool) -> Attempt:
        """One sending, now, written down. `counts`: it is a rung of the ladder."""
        voice = self._voices[notice.provider]
        trade = self._store.trade(notice.trade_id)
        merchant = self._store.merchant_of(trade)
        headers, body = voice.letter(notice, merchant, how)
        began = time.time()
        status, answer = await self._send(voice, notice.url, headers, body)
        attempt = self._store.add_attempt(
            notice,
            counts=counts,
            at=began,
            how=how,
            status=status,
            answer=answer[:_ANSWER_KEPT_BYTES].decode("utf-8", "replace"),
            acknowledged=voice.is_acknowledged(status, answer),
            took_ms=round((time.time() - began) * 1000),
        )
        logger.info(
            "%s told %s of %s (%s), answered %s",
            notice.provider, notice.event, trade.out_trade_no, how, status or "nothing",
        )  # fmt: skip
        return attempt

    async def send_again(self, notice: Notice, *, times: int, at_once: bool) -> None:
        """The same notification several times beside its ladder, together or one after another."""
        if at_once:
            sent = await asyncio.gather(*(self.send(notice, GENUINE, counts=False) for _ in range(times)))
        else:
            sent = [await self.send(notice, GENUINE, counts=False) for _ in range(times)]
        if any(attempt.acknowledged for attempt in sent):
            self._store.move_notice(notice, state=ACKNOWLEDGED)
        self._store.release_held(notice.trade_id, but=notice.id, now=time.time())
        self.wake()

    def _was_sent(self, notice_id: int) -> bool:
        notice = self._store.notice(notice_id)
        if notice.state not in (DUE, HELD):
            return True
        return any(attempt.how != PROBE for attempt in self._store.attempts(notice))

    def _start_due(self) -> None:
        now = time.time()
        for notice in self._store.due_notices(now, _TAKE):
            self._store.move_notice(notice, state=notice.state, due_at=now + _LEASE_S)
            task = asyncio.create_task(self._climb(notice))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _until_next(self) -> float:
        due_at = self._store.next_due_at()
        return _NAP_S if due_at is None else min(max(due_at - time.time(), 0.001), _NAP_S)

    async def _climb(self, notice: Notice) -> None:
        """Send a due notification and decide when it is due again."""
        how = GENUINE if notice.how == PROBE and notice.attempts else notice.how
        try:
            async with self._free:
                attempt = await self.send(notice, how, counts=True)
        except asyncio.CancelledError:
            self._store.move_notice(notice, state=notice.state, due_at=time.time())
            raise
        now = time.time()
        if how == PROBE:
            # The genuine one follows at once, whatever was answered.
            self._store.move_notice(notice, state=DUE, due_at=now)
        elif attempt.acknowledged:
            self._store.move_notice(notice, state=ACKNOWLEDGED)
        else:
            self._next_rung(notice, how, now)
        if notice.state != HELD:
            self._store.release_held(notice.trade_id, but=notice.id, now=now)
        self.wake()
        async with self._answered:
            self._answered.notify_all()

    def _next_rung(self, notice: Notice, how: str, now: float) -> None:
        ladder = self._voices[notice.provider].ladder_s
        # A probe is no rung: it does not shorten the ladder.
        rung = notice.attempts - (1 if notice.how == PROBE else 0)
        if how == FORGED or rung >= len(ladder):
            self._store.move_notice(notice, state=GIVEN_UP)
        else:
            self._store.move_notice(notice, state=DUE, due_at=now + ladder[rung] / self._speed)

    async def _send(self, voice: Voice, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 when no answer came."""
        if voice.verb == "GET":
            url, body = f"{url}?{body.decode()}", b""
        try:
            async with self._http.request(
                voice.verb,
                URL(url, encoded=True),
                data=body or None,
                headers={"User-Agent": "Mozilla/4.0", **headers},
                timeout=aiohttp.ClientTimeout(total=voice.patience_s),
                allow_redirects=False,
            ) as response:
                return response.status, await response.content.read(_ANSWER_KEPT_BYTES)
        except TimeoutError:
            return 0, b"timeout"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, type(error).__name__.encode()
