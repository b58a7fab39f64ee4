"""Long work that somebody asked for (exports, acts on many orders): asked here, done by the worker, one at a time.

A job is a row. A worker claims it (`SKIP LOCKED`: two workers never take the same), holds it by a lease that it
extends while it works, and takes over what a dead worker left once the lease is over. `tries` is counted up by each
claim, so whoever held the job before can no longer write to it. After the third try a job is failed, with its problem
in words; a person may ask for it again.

What is to be done is known to the floors above and beside: they put a runner for their kind into `RUNNERS`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import close_old_connections, connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from channels_app.models import Environment
from orders.models import Game, Job, JobKind, JobState

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
Runner = Callable[[Job, Progress], None]
RUNNERS: dict[JobKind, Runner] = {}

LEASE = timedelta(seconds=60)
TRIES = 3
RESTS = timedelta(seconds=20)  # after a failure, times the tries so far
# A runner that has said nothing for so long hangs: its lease is no longer extended.
_SILENT_AT_MOST_S = 15 * 60.0
_WRITTEN_EVERY_S = 1.0
_LOOKS_EVERY_S = 2.0

DIED = gettext_noop("The process that did it ended three times in a row.")
BROKE = gettext_noop("Something unexpected went wrong")
CANCELLED = gettext_noop("Cancelled by")


class JobLost(Exception):
    """Somebody else holds this job now, or it was cancelled: nothing more may be done for it."""


class JobGivenBack(Exception):
    """The worker is ending; another one begins the job anew."""


class JobImpossible(Exception):
    """It will never work, however often it is tried. Its sentence (a `gettext_noop`) is shown."""


def request_job(
    *,
    kind: JobKind,
    asked: Mapping[str, Any],
    title: str,
    game: Game | None,
    environment: Environment,
    by: str,
    now: datetime,
) -> Job:
    """Write a job down; a worker takes it within seconds of the commit."""
    return Job.objects.create(
        kind=kind,
        asked=dict(asked),
        title=title[:300],
        game=game,
        environment=environment,
        requested_by=by,
        created_at=now,
    )


def run_due_jobs(*, stop: threading.Event | None = None) -> int:
    """Do every job that is due, one after another, until none is left or `stop` is set. Returns how many."""
    ran = 0
    while not (stop is not None and stop.is_set()):
        job = claim_job(now=timezone.now())
        if job is None:
            break
        _run(job, stop)
        ran += 1
    return ran


def work_off_jobs(stop: threading.Event) -> None:
    """Do jobs as they come, until `stop` is set: the life of a thread of its own beside the worker's rounds."""
    while not stop.is_set():
        close_old_connections()
        try:
            run_due_jobs(stop=stop)
        except Exception:  # the worker must outlive any one job, and a database that is being restarted
            logger.exception("jobs could not be looked for; they are tried again")
        stop.wait(_LOOKS_EVERY_S)
    connection.close()


def claim_job(*, now: datetime) -> Job | None:
    """The oldest job that nobody holds, now held by the caller. Jobs that killed three workers are failed instead."""
    while True:
        with transaction.atomic():
            job = (
                Job.objects.select_for_update(skip_locked=True)
                .filter(Q(state__in=(JobState.QUEUED, JobState.RUNNING)))  # the words of the partial index
                .filter(Q(leased_until__isnull=True) | Q(leased_until__lte=now))
                .order_by("created_at", "pk")
                .first()
            )
            if job is None:
                return None
            if job.tries >= TRIES:
                _fail(job, job.problem or DIED, now=now)
                continue
            job.state = JobState.RUNNING
            job.tries += 1
            job.done = 0
            job.leased_until = now + LEASE
            job.started_at = job.started_at or now
            job.save(update_fields=["state", "tries", "done", "leased_until", "started_at"])
            return job


def cancel_job(job: Job, *, by: str, now: datetime) -> bool:
    """End a job that is not finished; whoever works on it stops at its next step. False if it was finished.

    Its lease stays: asked for again, it waits until the worker that may still be at it must have noticed.
    """
    unfinished = Job.objects.filter(pk=job.pk, state__in=(JobState.QUEUED, JobState.RUNNING))
    return bool(unfinished.update(state=JobState.FAILED, finished_at=now, problem=f"{CANCELLED}: {by}"))


def try_job_again(job: Job) -> bool:
    """Queue a failed job anew. False if it has not failed."""
    failed = Job.objects.filter(pk=job.pk, state=JobState.FAILED)
    return bool(failed.update(state=JobState.QUEUED, tries=0, done=0, finished_at=None, problem=""))


def problem_in_words(job: Job) -> str:
    """What went wrong, in the reader's language; what stands behind a colon is a name or a detail."""
    sentence, colon, detail = job.problem.partition(": ")
    return f"{_(sentence)}{colon}{detail}" if sentence else ""


# --- the work itself --------------------------------------------------------------------------------------------
def _run(job: Job, stop: threading.Event | None) -> None:
    hold = _Hold(job, stop)
    try:
        with hold.kept_alive():
            RUNNERS[JobKind(job.kind)](job, hold.progress)
            hold.finish()
    except JobLost:
        logger.warning("job %s was lost to another worker or cancelled", job.pk)
    except JobGivenBack:
        hold.give_back()
    except JobImpossible as impossible:
        hold.fail(str(impossible))
    except Exception as broken:
        logger.exception("job %s broke (try %s)", job.pk, job.tries)
        hold.rest(f"{BROKE}: {type(broken).__name__}")


class _Hold:
    """One claim of one job: everything it writes, it writes only while the claim still holds."""

    def __init__(self, job: Job, stop: threading.Event | None) -> None:
        self._job, self._stop = job, stop
        self._lost = threading.Event()
        self._said = time.monotonic()
        self._written = float("-inf")

    def progress(self, done: int, total: int | None) -> None:
        """Note how far the work has come, extend the lease. Raises JobLost, JobGivenBack."""
        self._said = time.monotonic()
        if self._lost.is_set():
            raise JobLost
        if self._stop is not None and self._stop.is_set():
            raise JobGivenBack
        if self._said - self._written >= _WRITTEN_EVERY_S or done == total:
            self._written = self._said
            self._write(done=done, total=total, leased_until=timezone.now() + LEASE)

    def finish(self) -> None:
        """The work is done."""
        self._write(state=JobState.DONE, leased_until=None, problem="", finished_at=timezone.now())

    def fail(self, problem: str) -> None:
        """It will never be done."""
        self._end(state=JobState.FAILED, leased_until=None, problem=problem[:300], finished_at=timezone.now())

    def rest(self, problem: str) -> None:
        """Not this time: again after a while, or never after the last try."""
        if self._job.tries >= TRIES:
            self.fail(problem)
            return
        until = timezone.now() + RESTS * self._job.tries
        self._end(state=JobState.QUEUED, leased_until=until, problem=problem[:300])

    def give_back(self) -> None:
        """Nobody's fault: another worker takes it at once, and this try does not count."""
        self._end(state=JobState.QUEUED, leased_until=None, tries=self._job.tries - 1)

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Extend the lease from a thread beside, for stretches in which the work has nothing to report."""
        over = threading.Event()
        heart = threading.Thread(target=self._beat, args=(over,), name=f"job-{self._job.pk}", daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(LEASE.total_seconds() / 3):
            if time.monotonic() - self._said > _SILENT_AT_MOST_S:
                break
            try:
                self._write(leased_until=timezone.now() + LEASE)
            except JobLost:
                self._lost.set()
                break
            except Exception:  # the database is away for a moment: the lease lasts for two beats more
                logger.exception("the lease of job %s could not be extended", self._job.pk)
        connection.close()

    def _write(self, **columns: Any) -> None:
        """Write to the job as its holder. Raises JobLost."""
        held = Job.objects.filter(pk=self._job.pk, state=JobState.RUNNING, tries=self._job.tries)
        if self._lost.is_set() or not held.update(**columns):
            raise JobLost

    def _end(self, **columns: Any) -> None:
        try:
            self._write(**columns)
        except JobLost:
            logger.warning("job %s was lost before it ended", self._job.pk)


def _fail(job: Job, problem: str, *, now: datetime) -> None:
    job.state, job.problem, job.finished_at, job.leased_until = JobState.FAILED, problem, now, None
    job.save(update_fields=["state", "problem", "finished_at", "leased_until"])
