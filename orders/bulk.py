"""One act on many orders: chosen by a filter, done by the worker one order after another, with a result for each.

An act must be safe to repeat: a job that is taken over begins where the rows of its results end, and the order at
which it was interrupted may be acted on twice. Floors above add their acts (`offer`).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from orders.jobs import RUNNERS, JobImpossible, Progress
from orders.models import Job, JobKind, JobRow, Order

logger = logging.getLogger(__name__)

# More than so many are not acted on at once: a person looks at the results before going on.
AT_MOST = 5_000
# After so many failures one after another the cause is not in the orders.
_GIVES_UP_AFTER = 5

UNKNOWN_ACT = gettext_noop("This act is not known any more.")
GAVE_UP = gettext_noop("Several orders in a row could not be done; the rest was left alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of one order. `failed`: it could not be tried now, and might work later."""

    acted: bool
    words: str
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAct:
    """Something that may be asked for on many orders.

    `effect` says what will happen and what not; `concerned` are the rows on which something will be done, as a
    database can tell in one read; `hindrance` says of one order exactly why it is left alone ("": it is not).
    """

    name: str
    label: str | Promise
    permission: str
    effect: Sequence[str | Promise]
    concerned: Callable[[QuerySet[Order]], QuerySet[Order]]
    hindrance: Callable[[Order], str]
    perform: Callable[[Order, str], Done]


BULK_ACTS: dict[str, BulkAct] = {}


def offer(act: BulkAct) -> BulkAct:
    """Put an act on offer."""
    BULK_ACTS[act.name] = act
    return act


def what_is_asked(
    *, act: BulkAct, orders: Sequence[int], reason: str, filters: Sequence[str], zone: str
) -> dict[str, Any]:
    """A job's order sheet: the orders themselves, so that what was shown is what is done."""
    return {
        "act": act.name,
        "orders": list(orders),
        "reason": reason,
        "filters": list(filters),
        # Results are read by whoever asked: in their language, on their clock.
        "language": translation.get_language() or "en",
        "zone": zone,
    }


def run_bulk(job: Job, progress: Progress) -> None:
    """Do a job, or what is left of it. Raises JobImpossible when it makes no sense to go on."""
    act = BULK_ACTS.get(job.asked["act"])
    if act is None:
        raise JobImpossible(UNKNOWN_ACT)
    keys: list[int] = job.asked["orders"]
    finished = set(JobRow.objects.filter(job=job).values_list("order", flat=True))
    failures = 0
    with translation.override(job.asked["language"]), timezone.override(ZoneInfo(job.asked["zone"])):
        for number, key in enumerate(keys):
            progress(number, len(keys))
            if key in finished:
                continue
            done = _do(act, Order.objects.get(pk=key), actor=f"staff {job.requested_by}")
            JobRow.objects.get_or_create(job=job, order_id=key, defaults={"acted": done.acted, "words": done.words})
            failures = failures + 1 if done.failed else 0
            if failures >= _GIVES_UP_AFTER:
                raise JobImpossible(f"{GAVE_UP}: {done.words}"[:300])
    progress(len(keys), len(keys))


def _do(act: BulkAct, order: Order, *, actor: str) -> Done:
    why_not = act.hindrance(order)
    if why_not:
        return Done(acted=False, words=why_not[:300])
    try:
        done = act.perform(order, actor)
    except DatabaseError:
        raise  # the job is tried again, from this order on
    except Exception:  # one order must not hold up the others
        logger.exception("bulk act %s broke at order %s", act.name, order.order_no)
        return Done(acted=False, words=_("Something unexpected went wrong with this order."), failed=True)
    return Done(acted=done.acted, words=done.words[:300], failed=done.failed)


RUNNERS[JobKind.BULK] = run_bulk
