"""How today is going, to the minute: the same figures of today, yesterday and the same weekday last week, all cut at
the same clock time.

Whole hours come from the sums of `orders.revenue`, which equal the raw rows. Of the hour under way on a day in the
past, what came after the cut is read from the orders themselves and taken off: they were made within that hour or a
little before, so a short run of keys holds them. One currency at a time; the others are named beside it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from channels_app.console.periods import Period, within
from orders.models import EventKind, Order, OrderEvent, OrderState
from orders.play_money import paid_with_play_money
from payments_site.console.home.hours import HourSum, hours_of
from payments_site.console.scope import Scope

DAYS_AGO = (0, 1, 7)
# How long before the hour under way an order may have been made that was paid in it. Nearly all are found with the
# first; the sums of the hour tell when rows are missing, and then it is looked further back, as far as an order lives.
_REACHES = (timedelta(hours=1), timedelta(days=1), timedelta(days=8))


@dataclass(frozen=True, slots=True)
class HourAt:
    """Sums of one hour, and when it began."""

    began: datetime
    rows: Sequence[HourSum]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One day until the cut, in one currency."""

    made: int = 0
    made_paid: int = 0
    paid: int = 0
    gross: int = 0
    refunds: int = 0
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One business day: the clock time it is cut at, its figures until then, and its whole hours."""

    began: datetime
    cut: datetime
    hours: Sequence[HourSum]
    until_cut: Figures
    # Until the cut: (gross, orders paid) by channel and by method.
    by_channel: dict[str, tuple[int, int]]
    by_method: dict[str, tuple[int, int]]

    @property
    def hour(self) -> int:
        """The hour of the business day in which the cut falls."""
        return hour_of(self.cut, self.began)

    def gross_by_hour(self) -> list[int]:
        """Gross of every hour of the day, 0 to 23."""
        sums = Counter[int]()
        for row in self.hours:
            sums[row.hour] += row.gross_minor
        return [sums[hour] for hour in range(24)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Today beside yesterday and the same weekday last week."""

    currency: str
    days: tuple[Day, Day, Day]
    # What came in other currencies until now: (currency, gross, orders).
    others: list[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of today, yesterday and the same weekday last week in all currencies; where each day is cut."""

    days: Sequence[tuple[datetime, datetime, list[HourSum]]]  # when it began, the cut, its hours

    def recent(self) -> list[HourAt]:
        """Every hour since yesterday began until now, oldest first."""
        (began, cut, rows), (began_before, _cut, rows_before), _week = self.days
        return [*_hours_at(began_before, rows_before, 23), *_hours_at(began, rows, hour_of(cut, began))]


def read_hours(scope: Scope, *, now: datetime) -> Hours:
    """What the first page counts with, read at once."""
    cuts = [(day_began(scope, now, days_ago), same_clock(scope, now, days_ago)) for days_ago in DAYS_AGO]
    known = hours_of(scope.game_ids, scope.environment, [began.date() for began, _cut in cuts])
    return Hours([(began, cut, known[began.date()]) for began, cut in cuts])


def today(scope: Scope, hours: Hours) -> Today:
    """The figures of what is looked at. The currency is the one in which most was done on these days."""
    done = Counter[str]()
    for row in (row for _began, _cut, rows in hours.days for row in rows):
        done[row.currency] += row.paid + row.made
    currency = done.most_common(1)[0][0] if done else "CNY"
    days = [
        _day(scope, began, cut, [row for row in rows if row.currency == currency], currency, past=place > 0)
        for place, (began, cut, rows) in enumerate(hours.days)
    ]
    return Today(currency=currency, days=(days[0], days[1], days[2]), others=_others(hours.days[0][2], currency))


def _hours_at(began: datetime, rows: Iterable[HourSum], last: int) -> list[HourAt]:
    by_hour: dict[int, list[HourSum]] = {hour: [] for hour in range(last + 1)}
    for row in rows:
        by_hour.setdefault(row.hour, []).append(row)
    return [HourAt(began + timedelta(hours=hour), by_hour[hour]) for hour in range(last + 1)]


def day_began(scope: Scope, now: datetime, days_ago: int = 0) -> datetime:
    """When the business day began, on the scope's clock."""
    turned = same_clock(scope, now, days_ago) - timedelta(hours=scope.turns_at_hour)
    return turned.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=scope.turns_at_hour)


def same_clock(scope: Scope, now: datetime, days_ago: int = 0) -> datetime:
    """The same time on the wall some days ago (arithmetic within one zone moves the hands, not the seconds)."""
    return now.astimezone(scope.zone) - timedelta(days=days_ago)


def hour_of(at: datetime, began: datetime) -> int:
    """Which hour of the business day a moment falls in, both on the same wall."""
    return (at.hour - began.hour) % 24


def _day(scope: Scope, began: datetime, cut: datetime, rows: list[HourSum], currency: str, *, past: bool) -> Day:
    hour = hour_of(cut, began)
    until = [row for row in rows if row.hour <= hour]
    after = _after_cut(scope, cut, until, currency, hour) if past else _NOTHING_AFTER
    figures = Figures(
        made=sum(row.made for row in until) - after.made,
        made_paid=sum(row.made_paid for row in until) - after.made_paid,
        paid=sum(row.paid for row in until) - sum(after.paid.values()),
        gross=sum(row.gross_minor for row in until) - sum(after.gross.values()),
        refunds=sum(row.refunds for row in until) - after.refunds,
        refunded=sum(row.refunded_minor for row in until) - after.refunded,
    )
    return Day(
        began=began,
        cut=cut,
        hours=rows,
        until_cut=figures,
        by_channel=_by(until, after, lambda channel, _method: channel),
        by_method=_by(until, after, lambda _channel, method: method),
    )


def _by(until: Iterable[HourSum], after: "_AfterCut", key: Callable[[str, str], str]) -> dict[str, tuple[int, int]]:
    gross, paid = Counter[str](), Counter[str]()
    for row in until:
        gross[key(row.channel_code, row.method)] += row.gross_minor
        paid[key(row.channel_code, row.method)] += row.paid
    for (channel, method), amount in after.gross.items():
        gross[key(channel, method)] -= amount
        paid[key(channel, method)] -= after.paid[channel, method]
    return {name: (gross[name], paid[name]) for name in paid if paid[name]}


def _others(rows: Iterable[HourSum], currency: str) -> list[tuple[str, int, int]]:
    gross, paid = Counter[str](), Counter[str]()
    for row in rows:
        gross[row.currency] += row.gross_minor
        paid[row.currency] += row.paid
    return [(other, gross[other], paid[other]) for other in sorted(paid) if other != currency and paid[other]]


# --- the hour under way, on a day in the past ----------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class _AfterCut:
    """What the sums of the hours until the cut hold that came after it. By (channel, method)."""

    made: int
    made_paid: int
    paid: Counter[tuple[str, str]]
    gross: Counter[tuple[str, str]]
    refunds: int
    refunded: int


_NOTHING_AFTER = _AfterCut(made=0, made_paid=0, paid=Counter(), gross=Counter(), refunds=0, refunded=0)


def _after_cut(scope: Scope, cut: datetime, until: Sequence[HourSum], currency: str, hour: int) -> _AfterCut:
    begins = cut.replace(minute=0, second=0, microsecond=0)
    ends = begins + timedelta(hours=1)
    known = sum(row.paid for row in until if row.hour == hour)
    rows: list[Any] = []
    for reach in _REACHES:
        rows = list(_orders_around(scope, cut, begins, ends, currency, reach))
        if sum(row["paid_in_hour"] for row in rows) >= known:
            break
    refunds = list(_refunds_after(scope, cut, ends, currency)) if _has_refunds(until, hour) else []
    return _AfterCut(
        made=sum(row["made"] for row in rows),
        made_paid=sum(row["made_paid"] for row in rows),
        paid=Counter({(row["channel_code"], row["method"]): row["paid"] for row in rows}),
        gross=Counter({(row["channel_code"], row["method"]): row["gross"] or 0 for row in rows}),
        refunds=len(refunds),
        refunded=sum(int(event.data["amount"]) for event in refunds),
    )


def _orders_around(
    scope: Scope, cut: datetime, begins: datetime, ends: datetime, currency: str, reach: timedelta
) -> Any:
    """Orders made since `reach` before the hour, by channel and method: what of them came after the cut."""
    # What was paid with play money is in no sum, so nothing of it may be taken off.
    paid = Q(state=OrderState.PAID) & ~Q(pk__in=paid_with_play_money(scope.game_ids))
    after = paid & Q(paid_at__gte=cut, paid_at__lt=ends)
    return (
        within(orders_of(scope), Period(begins - reach, ends), column="created_at")
        .filter(currency=currency)
        .values("channel_code", "method")
        .annotate(
            made=Count("pk", filter=Q(created_at__gte=cut)),
            made_paid=Count("pk", filter=paid & (Q(created_at__gte=cut) | Q(paid_at__gte=cut))),
            paid=Count("pk", filter=after),
            gross=Sum("amount_minor", filter=after),
            paid_in_hour=Count("pk", filter=paid & Q(paid_at__gte=begins, paid_at__lt=ends)),
        )
    )


def orders_of(scope: Scope) -> QuerySet[Order]:
    """The orders of what is looked at."""
    return Order.objects.filter(game__in=scope.game_ids, environment=scope.environment).order_by()


def _has_refunds(until: Iterable[HourSum], hour: int) -> bool:
    return any(row.refunds for row in until if row.hour == hour)


def _refunds_after(scope: Scope, cut: datetime, ends: datetime, currency: str) -> QuerySet[OrderEvent]:
    events = OrderEvent.objects.filter(
        kind=EventKind.REFUNDED,
        order__game__in=scope.game_ids,
        order__environment=scope.environment,
        order__currency=currency,
    )
    return within(events, Period(cut, ends), column="at").order_by()
