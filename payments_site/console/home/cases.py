"""What waits for people: open cases by kind, proposals that need a second person, accounts whose messages do not
verify, work that stopped; and below them what the system is still at by itself.

Every kind says within what time it has to be handled, by whom and how; kinds with nothing open are named too, so
that people see they were looked at. Counts come from small partial indexes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min, Q, QuerySet, Sum
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.words import money_in_prose
from channels_app.proposals import waiting_for
from orders.cases import LIMIT_HOURS
from orders.models import Case, CaseKind, Job, JobState
from payments_site.console.home.undelivered import Undelivered
from payments_site.console.home.words import age, limit_words
from payments_site.console.scope import Scope

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

COUNTED_AT_MOST = 1_000
# Waiting work of the office is taken up within seconds; nobody is at it after this long.
_JOB_STANDS_AFTER = timedelta(minutes=15)
_FAILED_WITHIN = timedelta(days=1)
_NEWEST_JOBS = 200
_NEWEST_CASES = 200


@dataclass(frozen=True, slots=True)
class Duty:
    """How one kind of case is handled: who does it, within what time, and the verb that says how."""

    name: "StrPromise"
    hours: int
    owner: "StrPromise"
    verb: "StrPromise"


_SUPPORT = gettext_lazy("Support")
_FINANCE = gettext_lazy("Finance")
_OPERATIONS = gettext_lazy("Operations")
_ENGINEER = gettext_lazy("Engineers")


def _duty(kind: CaseKind, name: "StrPromise", owner: "StrPromise", verb: "StrPromise") -> tuple[CaseKind, Duty]:
    return kind, Duty(name, LIMIT_HOURS[kind], owner, verb)


# In the order in which they are shown: whose money is at stake comes first.
DUTIES: Mapping[CaseKind, Duty] = dict(
    (
        _duty(CaseKind.SECOND_PAYMENT, gettext_lazy("Paid twice"), _SUPPORT, gettext_lazy("Decide each")),
        _duty(CaseKind.LATE_PAYMENT, gettext_lazy("Paid after cancel"), _SUPPORT, gettext_lazy("Deliver or refund")),
        _duty(CaseKind.AMOUNT_DIFFERS, gettext_lazy("Amount differs"), _FINANCE, gettext_lazy("Check the bill")),
        _duty(CaseKind.UNKNOWN_ORDER, gettext_lazy("Unknown payments"), _FINANCE, gettext_lazy("Trace it")),
        _duty(CaseKind.GIVEN_BACK, gettext_lazy("Given back early"), _FINANCE, gettext_lazy("Look into it")),
        _duty(CaseKind.DISPUTE, gettext_lazy("Disputed by banks"), _FINANCE, gettext_lazy("Send evidence")),
        _duty(CaseKind.REFUND_ASKED, gettext_lazy("Store asks us"), _SUPPORT, gettext_lazy("Look into it")),
        _duty(CaseKind.UNMATCHED, gettext_lazy("Store, no order"), _SUPPORT, gettext_lazy("Assign it")),
        _duty(CaseKind.PURCHASE_DIFFERS, gettext_lazy("Store sold another"), _SUPPORT, gettext_lazy("Decide each")),
        _duty(CaseKind.REVIEW, gettext_lazy("Provider not sure"), _FINANCE, gettext_lazy("Check the bill")),
        _duty(CaseKind.TEST_MONEY, gettext_lazy("Play money"), _OPERATIONS, gettext_lazy("Is it a reviewer?")),
        _duty(CaseKind.DELIVERY_PARKED, gettext_lazy("Parked deliveries"), _OPERATIONS, gettext_lazy("Deliver again")),
        _duty(CaseKind.HANDED_OVER, gettext_lazy("Handed over"), _SUPPORT, gettext_lazy("Reply to it")),
        _duty(CaseKind.UNDECIDED, gettext_lazy("Provider undecided"), _FINANCE, gettext_lazy("Ask the provider")),
        _duty(CaseKind.PROVIDER_REFUND, gettext_lazy("Provider refunds"), _FINANCE, gettext_lazy("Check it")),
        _duty(CaseKind.WEBHOOK_PARKED, gettext_lazy("Game not told"), _OPERATIONS, gettext_lazy("Tell it again")),
        _duty(CaseKind.UNCONFIRMED, gettext_lazy("Stores not told"), _ENGINEER, gettext_lazy("Check the account")),
        _duty(
            CaseKind.UNREADABLE_NOTIFICATION, gettext_lazy("Unreadable messages"), _ENGINEER, gettext_lazy("Open it")
        ),
    )
)
_APPROVAL = Duty(gettext_lazy("For a second person"), 8, gettext_lazy("A colleague"), gettext_lazy("Approve"))
_KEYS = Duty(gettext_lazy("Signature failures"), 1, _ENGINEER, gettext_lazy("Look at them"))
_WORK = Duty(gettext_lazy("Stopped work"), 4, _ENGINEER, gettext_lazy("Try again"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One line of the panel. `late` says that the time for it is over."""

    name: str
    count: int
    count_words: str
    money: str
    oldest: str
    limit: str
    late: bool
    owner: str
    verb: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Everything that waits: for people first, for the system below; the names of kinds with nothing open."""

    people: list[Waiting]
    system: list[Waiting]
    idle: list[str]
    total: int
    sums: list[str]
    last_closed: datetime | None
    all_address: str


def open_cases(scope: Scope) -> QuerySet[Case]:
    """Open cases of what is looked at. Money for no order belongs to no game: who works for all games sees it."""
    games = Q(game__in=scope.game_ids)
    if scope.sees_all_games:
        games |= Q(game__isnull=True)
    return Case.objects.filter(games, closed_at__isnull=True, environment=scope.environment).order_by()


def waiting_for_people(scope: Scope) -> int:
    """How many cases are open: the badge in the navigation."""
    return open_cases(scope)[:COUNTED_AT_MOST].count()


def queue(
    user: Any, scope: Scope, *, now: datetime, failing_since: Sequence[datetime], undelivered: Undelivered | None
) -> Queue:
    """What waits, as far as this person may see it. `failing_since` has a moment for every account whose messages do
    not verify.
    """
    may = user.has_perm
    rows = _case_rows(scope) if may("orders.view_case") else []
    people, idle = _cases(rows, now) if may("orders.view_case") else ([], [])
    others = []
    if may("channels_app.view_proposal"):
        others.append((_APPROVAL, *_proposals(user), address_of("channels_app_proposal_changelist")))
    if may("channels_app.view_notification"):
        refused = address_of("channels_app_notification_changelist", "verdict=refused")
        others.append((_KEYS, len(failing_since), min(failing_since, default=None), refused))
    if may("orders.manage_jobs"):
        others.append((_WORK, *_stopped_jobs(now), address_of("orders_job_changelist")))
    for duty, count, oldest, address in others:
        if count:
            people.append(_waiting(duty, count, "", oldest, address, now))
        else:
            idle.append(str(duty.name))
    money: dict[str, int] = {}
    for row in rows:
        if _is_real_money(row):
            money[row["currency"]] = money.get(row["currency"], 0) + row["amount"]
    return Queue(
        people=people,
        system=[_on_their_way(undelivered, now)] if undelivered is not None and undelivered.count else [],
        idle=[*idle, *([_("Paid, no goods yet")] if undelivered is not None and not undelivered.count else [])],
        total=sum(row.count for row in people),
        sums=[money_in_prose(amount, currency) for currency, amount in sorted(money.items())],
        last_closed=None if people else _last_closed(scope),
        all_address=address_of("orders_case_changelist") if may("orders.view_case") else "",
    )


def address_of(name: str, query: str = "") -> str:
    """A page of the console; empty while nobody has put it there."""
    try:
        address = reverse(f"admin:{name}")
    except NoReverseMatch:
        return ""
    return f"{address}?{query}" if query else address


def _case_rows(scope: Scope) -> list[Any]:
    return list(
        open_cases(scope)
        .values("kind", "currency")
        .annotate(count=Count("pk"), amount=Sum("amount_minor"), oldest=Min("opened_at"), due=Min("due_at"))
    )


def _is_real_money(row: Any) -> bool:
    return bool(row["amount"]) and row["kind"] != CaseKind.TEST_MONEY


def _cases(rows: list[Any], now: datetime) -> tuple[list[Waiting], list[str]]:
    shown, idle = [], []
    for kind, duty in DUTIES.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        if not of_kind:
            idle.append(str(duty.name))
            continue
        sums = " + ".join(money_in_prose(row["amount"], row["currency"]) for row in of_kind if _is_real_money(row))
        count, oldest = sum(row["count"] for row in of_kind), min(row["oldest"] for row in of_kind)
        address = address_of("orders_case_changelist", f"status={kind.value}")
        due = min((row["due"] for row in of_kind if row["due"]), default=None)
        shown.append(_waiting(duty, count, sums, oldest, address, now, due=due))
    return shown, idle


def _waiting(
    duty: Duty, count: int, sums: str, oldest: datetime | None, address: str, now: datetime, due: datetime | None = None
) -> Waiting:
    """`due`: the next deadline of somebody outside, a store or a bank."""
    limit = timedelta(hours=duty.hours)
    ours = oldest + limit if oldest else None
    by = min((moment for moment in (ours, due) if moment), default=None)
    return Waiting(
        name=str(duty.name),
        count=count,
        count_words=f"{count:,}",
        money=sums,
        oldest=age(now - oldest) if oldest else "",
        limit=_deadline(due, now) if due is not None and due == by else limit_words(limit),
        late=by is not None and by < now,
        owner=str(duty.owner),
        verb=str(duty.verb),
        address=address,
    )


def _deadline(due: datetime, now: datetime) -> str:
    if due <= now:
        return _("outside deadline over")
    return _("due in %(age)s") % {"age": age(due - now)}


def _proposals(user: Any) -> tuple[int, datetime | None]:
    """What this very person could approve."""
    row = waiting_for(user).order_by().aggregate(count=Count("pk"), oldest=Min("requested_at"))
    return row["count"], row["oldest"]


def _stopped_jobs(now: datetime) -> tuple[int, datetime | None]:
    """Among the newest jobs those nobody has taken up or goes on with, and those that failed today."""
    newest = Job.objects.order_by("-pk").only("state", "created_at", "leased_until", "finished_at")[:_NEWEST_JOBS]
    stopped = [job.created_at for job in newest if _stands(job, now) or _failed_lately(job, now)]
    return len(stopped), min(stopped, default=None)


def _stands(job: Job, now: datetime) -> bool:
    unfinished = job.state in (JobState.QUEUED, JobState.RUNNING)
    held = job.leased_until is not None and job.leased_until >= now
    return unfinished and not held and job.created_at < now - _JOB_STANDS_AFTER


def _failed_lately(job: Job, now: datetime) -> bool:
    return job.state == JobState.FAILED and job.finished_at is not None and job.finished_at > now - _FAILED_WITHIN


def _on_their_way(undelivered: Undelivered, now: datetime) -> Waiting:
    return Waiting(
        name=_("Paid, no goods yet"),
        count=undelivered.count,
        count_words=undelivered.count_words,
        money=undelivered.money,
        oldest=age(now - undelivered.oldest) if undelivered.oldest else "",
        limit=_("retrying"),
        late=False,
        owner=_("System"),
        verb=_("Watch"),
        address=address_of("fulfillment_delivery_changelist", "waiting=pending"),
    )


def _last_closed(scope: Scope) -> datetime | None:
    """When the last of the newest cases was closed. Filtered here: the newest by key are read, whatever they are."""
    newest = Case.objects.order_by("-pk").values_list("closed_at", "environment", "game")[:_NEWEST_CASES]
    games = {*scope.game_ids, *([None] if scope.sees_all_games else [])}
    closed = (at for at, environment, game in newest if at and environment == scope.environment and game in games)
    return max(closed, default=None)
