"""The worker: what must happen although nobody calls. Several workers may run; each row is claimed by one.

Every round it hands due payment attempts, hints and lists to small per-account thread pools (a provider that hangs
holds only its own), closes expired orders, judges messages a dead process left behind, and now and then forgets what
need not be kept.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from channels_app.inbox import forget_refused
from orders.asking import accounts_due, claim_due, tend
from orders.cancelling import expire_orders
from orders.hints import accounts_with_hints, claim_hints, follow
from orders.jobs import work_off_jobs
from orders.listing import accounts_to_list, read_list
from orders.models import IdempotencyRecord, RateCounter
from orders.notifying import judge_unfinished
from orders.revenue.folding import fold_round

logger = logging.getLogger(__name__)

ASKED_AT_ONCE_PER_ACCOUNT = 4
_HOUSEKEEPING_EVERY_S = 600.0
_HURRY_S = 1.0
# A job that is in the middle of something longer is left to its lease: another worker takes it over.
_JOB_ENDS_WITHIN_S = 15.0
_REFUSED_KEPT = timedelta(days=30)

Chore = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to find out at a provider: whose turn it is, taking some of it, doing one of it."""

    accounts: Callable[..., list[int]]
    claim: Callable[..., list[Any]]
    run: Callable[[Any], None]


ERRANDS = (Errand(accounts_with_hints, claim_hints, follow), Errand(accounts_due, claim_due, tend))


class Worker:
    """One worker process."""

    def __init__(self, *, housekeeping: Sequence[Chore] = ()) -> None:
        """`housekeeping`: further chores for every ten minutes, from the floors above."""
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._busy: dict[int, int] = defaultdict(int)
        self._list_after: dict[int, float] = {}
        self._lock = threading.Lock()
        self._housekeeping = (forget_old_requests, *housekeeping)
        self._next_housekeeping = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what is under way."""
        # Long work has a thread of its own: asking providers never waits for an export. It gives back what it holds.
        jobs = threading.Thread(target=work_off_jobs, args=(stop,), name="jobs", daemon=True)
        jobs.start()
        while not stop.is_set():
            self.round()
            self._pause(stop)
        jobs.join(_JOB_ENDS_WITHIN_S)
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
        connection.close()

    def _pause(self, stop: threading.Event) -> None:
        """Until the next round. A player waits behind a hint and behind a store that is to be told: those go sooner."""
        until = time.monotonic() + settings.SWEEP_INTERVAL_S
        while not stop.wait(min(_HURRY_S, max(until - time.monotonic(), 0.0))) and time.monotonic() < until:
            _safely(self.hand_out)

    def round(self) -> None:
        """One round; a chore that fails is logged and does not keep the others from their turn."""
        chores: list[Chore] = [self.hand_out, lambda: expire_orders(now=timezone.now()), judge_unfinished, fold_round]
        if time.monotonic() >= self._next_housekeeping:
            self._next_housekeeping = time.monotonic() + _HOUSEKEEPING_EVERY_S
            chores += self._housekeeping
        for chore in chores:
            _safely(chore)

    def hand_out(self) -> int:
        """Claim what is due and give it to the accounts' threads. Returns how many errands."""
        now = timezone.now()
        handed_out = 0
        for errand in ERRANDS:
            for account_id in errand.accounts(now=now):
                room = ASKED_AT_ONCE_PER_ACCOUNT * 2 - self._busy[account_id]
                if room <= 0:
                    continue
                for key in errand.claim(account_id=account_id, limit=room, now=now):
                    self._send(account_id, partial(errand.run, key))
                    handed_out += 1
        return handed_out + self._hand_out_lists()

    def _hand_out_lists(self) -> int:
        """One reading at a time per account; one that failed is not tried again at once."""
        now = time.monotonic()
        due = [each for each in accounts_to_list(now=timezone.now()) if self._list_after.get(each, now) <= now]
        for account_id in due:
            self._list_after[account_id] = now + settings.LISTING_INTERVAL_S
            self._send(account_id, partial(read_list, account_id, now=timezone.now()))
        return len(due)

    def _send(self, account_id: int, errand: Chore) -> None:
        pool = self._pools.get(account_id)
        if pool is None:
            pool = self._pools[account_id] = ThreadPoolExecutor(
                ASKED_AT_ONCE_PER_ACCOUNT, thread_name_prefix=f"account-{account_id}"
            )
        with self._lock:
            self._busy[account_id] += 1
        pool.submit(_run_safely, errand).add_done_callback(self._done(account_id))

    def _done(self, account_id: int) -> Callable[["Future[None]"], None]:
        def count_down(_: "Future[None]") -> None:
            with self._lock:
                self._busy[account_id] -= 1

        return count_down


def run_worker(stop: threading.Event, *, housekeeping: Sequence[Chore] = ()) -> None:
    """Run a worker until `stop` is set."""
    Worker(housekeeping=housekeeping).run(stop)


def forget_old_requests() -> None:
    """Delete what has served: answers of old idempotency keys, counters, old refusals."""
    now = timezone.now()
    IdempotencyRecord.objects.filter(started_at__lt=now - timedelta(days=settings.IDEMPOTENCY_KEPT_DAYS)).delete()
    RateCounter.objects.filter(window__lt=now - timedelta(hours=1)).delete()
    forget_refused(before=now - _REFUSED_KEPT)


def _run_safely(errand: Chore) -> None:
    try:
        _safely(errand)
    finally:
        connection.close()


def _safely(chore: Chore) -> None:
    close_old_connections()
    try:
        chore()
    except Exception:  # the worker must outlive any one row
        logger.exception("a chore of the worker failed; it is tried again")
