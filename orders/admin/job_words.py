"""A job in a few words: its state as a mark, how far it has come, where it stands."""

from datetime import datetime

from django.utils.translation import gettext as _

from channels_app.console.words import clock, mark
from orders.jobs import problem_in_words
from orders.models import Job, JobState

TONES = {
    JobState.QUEUED: "working",
    JobState.RUNNING: "working",
    JobState.DONE: "done",
    JobState.FAILED: "decide",
}
UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def state_mark(job: Job) -> object:
    """The state of a job as a mark."""
    return mark(job.get_state_display(), TONES[JobState(job.state)])


def how_far(job: Job) -> str:
    """ "12,000 of 300,000"; the first number alone while the rows are still being counted."""
    if job.total is None:
        return f"{job.done:,}" if job.done else ""
    return _("%(done)s of %(total)s") % {"done": f"{job.done:,}", "total": f"{job.total:,}"}


def sentence(job: Job) -> str:
    """Where a job stands, in one sentence."""
    match JobState(job.state):
        case JobState.QUEUED if job.problem:
            return _("It did not work and is tried again at %(at)s.") % {"at": _at(job.leased_until)}
        case JobState.QUEUED:
            return _("It waits for a worker; it begins within seconds when one is free.")
        case JobState.RUNNING if job.total is None:
            return _("It has begun; the rows are being counted.")
        case JobState.RUNNING:
            return _("%(how_far)s rows so far. You may close this page, it goes on.") % {"how_far": how_far(job)}
        case JobState.DONE:
            return _("Done at %(at)s: %(done)s rows.") % {"at": _at(job.finished_at), "done": f"{job.done:,}"}
        case _:
            return problem_in_words(job)


def _at(moment: datetime | None) -> str:
    return clock(moment) if moment else ""
