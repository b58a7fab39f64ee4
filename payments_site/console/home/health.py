"""Is it them or us: the providers, the game servers and this system, each judged by what its rows say.

A provider is compared with itself at this hour of this weekday. Only what is clearly off is called so: a rate with
few payments behind it moves by itself. Every cell that is off names whose problem it is, and since when.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import sqrt
from uuid import UUID

from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from channels_app.models import AccountState, MerchantAccount, Notification, RefusedTally, Verdict
from channels_app.providers import ADAPTERS, PROVIDER_OF_METHOD
from fulfillment.models import EndpointState, WebhookAttempt, WebhookEndpoint
from orders.models import ATTEMPT_ALIVE, Order, OrderEvent, OrderState, Payment, ProofSource, RevenueCursor, RevenueHour
from payments_site.console.home.figures import HourAt
from payments_site.console.home.words import NOTHING, age, percent
from payments_site.console.scope import Scope

_WEEKS_BACK = (7, 14, 21, 28)
_SPARK_HOURS = 12
# Below so many attempts a rate says nothing.
_ENOUGH = 20
_POINTS_OFF = 0.05
_SIGMAS_OFF = 3.0
_LOOKED_AT = timedelta(hours=1)
_MESSAGES_READ = 1_000
_REFUSALS_MATTER = 3
_REFUSED_SHARE = 0.2
_ASKED_MATTERS = 3
_PAYMENTS_READ = 500
_TRIES_READ = 500
# What the worker does by itself is done within seconds.
_WORK_LATE = timedelta(minutes=5)
_COUNTED_AT_MOST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One part of the chain. `tone` as of marks; `sentence` is for the top of the page, empty when all is well."""

    name: str
    tone: str
    state: str
    figure: str
    usual: str
    last: str
    trend: Sequence[float | None] = ()
    sentence: str = ""

    @property
    def is_off(self) -> bool:
        """Whether somebody should look at it."""
        return self.tone in ("working", "decide")


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What one account's messages of the last hour came to."""

    provider: str
    taken: int
    refused: int
    asked_for: int  # payments of the last hour that we found by asking, and nobody told us of
    told: int  # payments of the last hour that a message told us of
    refused_since: datetime | None
    newest: datetime | None

    @property
    def fail(self) -> bool:
        """Whether so many do not verify that the keys are to be looked at."""
        return self.refused >= _REFUSALS_MATTER and self.refused > (self.refused + self.taken) * _REFUSED_SHARE

    @property
    def cannot_reach_us(self) -> bool:
        """Whether payments are found only by asking."""
        return self.asked_for >= _ASKED_MATTERS and not self.told


# --- messages of providers -----------------------------------------------------------------------------------
def messages(scope: Scope, *, now: datetime) -> list[Messages]:
    """The messages of every account of this environment."""
    accounts = MerchantAccount.objects.filter(environment=scope.environment).exclude(state=AccountState.CLOSED)
    refusals = dict(
        RefusedTally.objects.filter(account__environment=scope.environment, minute__gt=now - _LOOKED_AT)
        .order_by()
        .values_list("account")
        .annotate(Sum("refused"))
    )
    sources = _sources(scope, now)
    first = UUID(int=int((now - _LOOKED_AT).timestamp() * 1000) << 80)  # keys are made of time (UUIDv7)
    found = []
    for account in accounts.order_by("pk"):
        newest = Notification.objects.filter(account=account).order_by("-pk")
        genuine = newest.exclude(verdict__in=(Verdict.REFUSED, Verdict.UNREADABLE))
        taken = list(genuine.filter(pk__gte=first).values_list("received_at", flat=True)[:_MESSAGES_READ])
        refused = refusals.get(account.pk, 0)
        # A provider that only hints tells us as well, though it is by asking that we learn what was paid.
        hinted = len(taken) if hasattr(ADAPTERS[account.provider], "follow") else 0
        found.append(
            Messages(
                provider=account.provider,
                taken=len(taken),
                refused=refused,
                asked_for=sources[account.pk, ProofSource.QUERY],
                told=sources[account.pk, ProofSource.NOTIFICATION] + hinted,
                refused_since=_refused_since(account, now) if refused else None,
                newest=taken[0] if taken else _newest_genuine(account),
            )
        )
    return found


def _sources(scope: Scope, now: datetime) -> Counter[tuple[int, str]]:
    """How we learnt of the payments of the last hour, among the newest: by account."""
    newest = Payment.objects.order_by("-pk").values_list("account", "source", "environment", "received_at")
    return Counter(
        (account, source)
        for account, source, environment, at in newest[:_PAYMENTS_READ]
        if environment == scope.environment and at > now - _LOOKED_AT
    )


def _newest_genuine(account: MerchantAccount) -> datetime | None:
    # Refused messages are kept in limited numbers, so a few steps find one that is genuine.
    newest = Notification.objects.filter(account=account).order_by("-pk").values_list("received_at", "verdict")[:100]
    return next((at for at, verdict in newest if verdict not in (Verdict.REFUSED, Verdict.UNREADABLE)), None)


def _refused_since(account: MerchantAccount, now: datetime) -> datetime | None:
    tallies = RefusedTally.objects.filter(account=account, minute__gt=now - _LOOKED_AT).order_by("minute")
    return tallies.values_list("minute", flat=True).first()


# --- providers -----------------------------------------------------------------------------------------------
def providers(scope: Scope, recent: Sequence[HourAt], heard: Sequence[Messages], *, now: datetime) -> list[Cell]:
    """A cell per provider that this environment uses. `recent`: the hours until now, oldest
    first; none while the sums are behind.
    """
    names = sorted({one.provider for one in heard}, key=list(ADAPTERS).index)
    usual = _usual(scope, recent[-2:])
    return [_provider(name, recent, usual, [one for one in heard if one.provider == name], now) for name in names]


def _usual(scope: Scope, hours: Sequence[HourAt]) -> Counter[tuple[str, str]]:
    """Attempts and payments of the providers at these hours of the same weekday, four weeks back."""
    wanted = Q(pk__in=())
    for hour in hours:
        local = hour.began.astimezone(scope.zone) - timedelta(hours=scope.turns_at_hour)
        days = [local.date() - timedelta(days=back) for back in _WEEKS_BACK]
        wanted |= Q(day__in=days, hour=local.hour)
    rows = RevenueHour.objects.filter(wanted, game__in=scope.game_ids, environment=scope.environment)
    sums = rows.order_by().values_list("method").annotate(Sum("attempts"), Sum("paid"))
    return _by_provider(sums)


def _by_provider(rows: Iterable[tuple[str, int, int]]) -> Counter[tuple[str, str]]:
    counted = Counter[tuple[str, str]]()
    for method, attempts, paid in rows:
        provider = PROVIDER_OF_METHOD.get(method, "")
        counted[provider, "attempts"] += attempts
        counted[provider, "paid"] += paid
    return counted


def _counted(hour: HourAt) -> Counter[tuple[str, str]]:
    return _by_provider((row.method, row.attempts, row.paid) for row in hour.rows)


def _provider(
    provider: str, recent: Sequence[HourAt], usual: Counter[tuple[str, str]], heard: Sequence[Messages], now: datetime
) -> Cell:
    name = str(ADAPTERS[provider].label)
    by_hour = [(hour.began, *_pair(_counted(hour), provider)) for hour in recent]
    attempts = sum(tried for _began, tried, _paid in by_hour[-2:])
    paid = sum(paid for _began, _tried, paid in by_hour[-2:])
    usually = _pair(usual, provider)
    newest = max((one.newest for one in heard if one.newest), default=None)
    normal = Cell(
        name=name,
        tone="done",
        state=_("Normal"),
        figure=percent(min(paid / attempts, 1)) if attempts else NOTHING,
        usual=_usually(usually),
        last=_last(newest, now),
        trend=[min(paid / tried, 1) if tried else None for _began, tried, paid in by_hour[-_SPARK_HOURS:]],
    )
    failing = [one.refused_since for one in heard if one.fail and one.refused_since]
    if failing:
        since = min(failing)
        words = _("%(provider)s’s messages do not verify since %(time)s") % {"provider": name, "time": at(since)}
        state = _("Signatures fail: our keys")
        return replace(normal, tone="decide", state=state, last=_since(since), sentence=words)
    if any(one.cannot_reach_us for one in heard):
        words = _("%(provider)s’s messages do not reach us") % {"provider": name}
        return replace(normal, tone="decide", state=_("Cannot reach us"), sentence=words)
    if is_low((paid, attempts), (usually[1], usually[0])):
        words = _("%(provider)s is below normal") % {"provider": name}
        since = _low_since(by_hour, usually)
        return replace(normal, tone="working", state=_("Low: theirs"), last=_since(since), sentence=words)
    if not recent:
        return replace(normal, tone="quiet", state=_("Rate not known now"))
    if not attempts:
        return replace(normal, tone="quiet", state=_("Nobody has paid lately"))
    return normal


def _usually(usual: tuple[int, int]) -> str:
    attempts, paid = usual
    if attempts < _ENOUGH:
        return _("no usual rate yet")
    return _("usual %(rate)s") % {"rate": percent(min(paid / attempts, 1))}


def _pair(counted: Counter[tuple[str, str]], provider: str) -> tuple[int, int]:
    return counted[provider, "attempts"], counted[provider, "paid"]


def is_low(now: tuple[int, int], usual: tuple[int, int]) -> bool:
    """Whether a share (part, whole) is clearly below the usual one: by points that matter, and not by chance."""
    if now[1] < _ENOUGH or usual[1] < _ENOUGH:
        return False
    expected, seen = min(usual[0] / usual[1], 1), now[0] / now[1]
    by_chance = sqrt(max(expected * (1 - expected), 0.01) / now[1])
    return expected - seen > max(_POINTS_OFF, _SIGMAS_OFF * by_chance)


def _low_since(by_hour: Sequence[tuple[datetime, int, int]], usually: tuple[int, int]) -> datetime:
    """The beginning of the oldest of the hours in a row that were low; hours with few attempts do not end the run."""
    since = by_hour[-1][0]
    for began, tried, paid in reversed(by_hour):
        if tried >= _ENOUGH and not is_low((paid, tried), (usually[1], usually[0])):
            break
        if tried:
            since = began
    return since


# --- game servers --------------------------------------------------------------------------------------------
def game_servers(scope: Scope, *, now: datetime) -> Cell:
    """The servers of the games looked at, judged by the worst of them."""
    endpoints = list(
        WebhookEndpoint.objects.filter(game__in=scope.game_ids).select_related("game").order_by("failing_since", "pk")
    )
    name = _("Game servers")
    if not endpoints:
        return Cell(
            name=name, tone="quiet", state=_("None set up"), figure=NOTHING, usual=_("goods are kept here"), last=""
        )
    good, tried = _answers(scope)
    success = max((one.last_success_at for one in endpoints if one.last_success_at), default=None)
    normal = Cell(
        name=name,
        tone="done",
        state=_("Normal"),
        figure=percent(good / tried) if tried else NOTHING,
        usual=ngettext("of the last %(count)d message", "of the last %(count)d messages", tried) % {"count": tried},
        last=_last(success, now, what=_("answered %(age)s ago")),
    )
    off = [one for one in endpoints if one.state != EndpointState.ACTIVE]
    if off:
        paused = off[0].state == EndpointState.PAUSED
        state = _("%(game)s is paused") if paused else _("%(game)s switched itself off")
        words = state % {"game": off[0].game.name}
        return replace(normal, tone="decide", state=words, sentence=words)
    failing = [one for one in endpoints if one.failures_in_a_row]
    if failing:
        first, answer = failing[0], _answer(failing[0].last_error)
        since = first.failing_since or now
        words = _("%(game)s’s server refuses messages since %(time)s (%(answer)s)") % {
            "game": first.game.name,
            "time": at(since),
            "answer": answer,
        }
        return replace(normal, tone="working", state=answer, last=_since(since), sentence=words)
    return normal


def _answers(scope: Scope) -> tuple[int, int]:
    """How many of the newest tries were answered well, and how many there were."""
    newest = WebhookAttempt.objects.order_by("-pk").values_list("status", "message__endpoint__game")[:_TRIES_READ]
    statuses = [status for status, game in newest if game in scope.game_ids]
    return sum(1 for status in statuses if status is not None and 200 <= status < 300), len(statuses)


def _answer(error: str) -> str:
    """ "HTTP 503" → "answers 503"; anything else in its own words."""
    code = error.removeprefix("HTTP ")
    return _("answers %(code)s") % {"code": code[:3]} if code[:3].isdigit() else _("does not answer")


# --- this system ---------------------------------------------------------------------------------------------
def ourselves(cells: Sequence[Cell], *, now: datetime) -> Cell:
    """The worker, judged by what it should have done by now. `cells`: the providers, for what only we can cause."""
    behind, unfolded = _overdue(now), unfolded_since()
    normal = Cell(
        name=_("This system"),
        tone="done",
        state=_("Normal"),
        figure=_("%(count)d overdue") % {"count": behind},
        usual=_("messages and expiries"),
        last=_("sums up to date") if unfolded is None else _("sums of %(age)s ago") % {"age": age(now - unfolded)},
    )
    if behind:
        words = ngettext(
            "%(count)d thing is overdue in this system", "%(count)d things are overdue in this system", behind
        )
        state = _("Worker behind: ours")
        return replace(normal, tone="decide", state=state, sentence=words % {"count": behind})
    if unfolded is not None and now - unfolded > _WORK_LATE:
        words = _("the worker has added nothing to the sums since %(time)s") % {"time": at(unfolded)}
        return replace(normal, tone="working", state=_("Sums behind: ours"), sentence=words)
    judged = [cell for cell in cells if cell.tone != "quiet"]
    if len(judged) > 1 and all(cell.tone == "working" for cell in judged):
        words = _("every provider is low: look at our own network and keys first")
        return replace(normal, tone="working", state=_("All are low: ours?"), sentence=words)
    return normal


def _overdue(now: datetime) -> int:
    """Messages not judged and orders not closed, as far as anybody counts: small indexes.

    An order with a living attempt waits for its provider, and payments to be asked about may wait for a provider that
    hangs: neither is our fault.
    """
    late = now - _WORK_LATE
    unjudged = Notification.objects.filter(verdict=Verdict.RECEIVED, received_at__lt=late)
    unclosed = Order.objects.filter(state=OrderState.PENDING, expires_at__lt=late)
    expired = unclosed.exclude(attempts__state__in=ATTEMPT_ALIVE)
    return sum(rows.order_by()[:_COUNTED_AT_MOST].count() for rows in (unjudged, expired))


def unfolded_since() -> datetime | None:
    """The time of the first line that is in no sum yet; None when all are."""
    folded = RevenueCursor.objects.filter(pk=1).values_list("folded_to", flat=True).first() or 0
    return OrderEvent.objects.filter(pk__gt=folded).order_by("pk").values_list("at", flat=True).first()


# --- words ---------------------------------------------------------------------------------------------------
def at(moment: datetime) -> str:
    """A moment of today by its time, others with their day."""
    local = timezone.localtime(moment)
    return local.strftime("%H:%M" if local.date() == timezone.localdate() else "%m-%d %H:%M")


def _since(moment: datetime) -> str:
    return _("since %(time)s") % {"time": at(moment)}


def _last(moment: datetime | None, now: datetime, what: str = "") -> str:
    if moment is None:
        return ""
    return (what or _("told us %(age)s ago")) % {"age": age(now - moment)}
