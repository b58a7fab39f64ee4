"""Periods of lists: business days turned into moments, and into bounds of primary keys.

A list of millions of rows is read by primary key, newest first. Keys rise with time, nearly: a transaction takes its
key a moment before or after another with an earlier clock. So the time decides which rows belong to a period, and
keys only say where to begin reading and where to stop, with an hour to spare on both sides.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet, UUIDField
from django.utils import timezone

_M = TypeVar("_M", bound=Model)

ANY, CUSTOM = "any", "custom"
LONGEST = timedelta(days=92)
# How far keys and clocks may disagree: hosts' clocks, transactions that run long.
_DISORDER = timedelta(hours=1)
# Below so many keys looking for a bound costs more than it spares.
_WORTH_BOUNDING = 10_000
_CLOSE_ENOUGH = 512


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` up to, not including, `until`; None: open on that side."""

    since: datetime | None = None
    until: datetime | None = None


def business_day(at: datetime, *, turns_at_hour: int = 0) -> date:
    """The business day of a moment on the console's clock."""
    return (timezone.localtime(at) - timedelta(hours=turns_at_hour)).date()


def day_begins(day: date, *, turns_at_hour: int = 0) -> datetime:
    """When a business day begins on the console's clock."""
    return datetime.combine(day, time(turns_at_hour), tzinfo=timezone.get_current_timezone())


def named_period(name: str, *, now: datetime, turns_at_hour: int = 0) -> Period:
    """One of the preset periods."""
    today = business_day(now, turns_at_hour=turns_at_hour)
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    since, until = {
        "today": (today, None),
        "yesterday": (today - timedelta(days=1), today),
        "7days": (today - timedelta(days=6), None),
        "30days": (today - timedelta(days=29), None),
        "month": (this_month, None),
        "last_month": (last_month, this_month),
        ANY: (None, None),
    }[name]
    return Period(*(day_begins(day, turns_at_hour=turns_at_hour) if day else None for day in (since, until)))


def custom_period(first: str, last: str, *, now: datetime, turns_at_hour: int = 0) -> Period | None:
    """Whole business days `first` to `last` (ISO dates), LONGEST at most, the end being kept; None for no dates."""
    begin, end = _day(first), _day(last)
    if begin is None and end is None:
        return None
    end = end or business_day(now, turns_at_hour=turns_at_hour)
    begin = begin or end
    begin, end = min(begin, end), max(begin, end)
    begin = max(begin, end - LONGEST + timedelta(days=1))
    try:
        return Period(*(day_begins(day, turns_at_hour=turns_at_hour) for day in (begin, end + timedelta(days=1))))
    except OverflowError:
        return None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Beyond these years a moment in another zone cannot be told any more.
    return day if 1970 <= day.year <= 9000 else None


def within(
    rows: QuerySet[_M], period: Period, *, column: str, early: timedelta = timedelta(0), keys_follow: str = ""
) -> QuerySet[_M]:
    """Rows whose time `column` lies in the period, read from the right place on.

    Keys follow the time `keys_follow` (`column` itself unless said); a row of the period may have been made up to
    `early` before its own time.
    """
    if period.since:
        rows = rows.filter(**{f"{column}__gte": period.since})
    if period.until:
        rows = rows.filter(**{f"{column}__lt": period.until})
    since = period.since - early - _DISORDER if period.since else None
    until = period.until + _DISORDER if period.until else None
    low, high = _key_bounds(rows.model, keys_follow or column, since, until)
    if low is not None:
        rows = rows.filter(pk__gte=low)
    if high is not None:
        rows = rows.filter(pk__lt=high)
    return rows


def _key_bounds(
    model: type[Model], column: str, since: datetime | None, until: datetime | None
) -> tuple[object | None, object | None]:
    if isinstance(model._meta.pk, UUIDField):
        return _first_uuid(since), _first_uuid(until)
    low = _bracket(model, column, since)[0] if since else None
    high = _bracket(model, column, until)[1] if until else None
    return low, high


def _first_uuid(at: datetime | None) -> UUID | None:
    """The smallest UUIDv7 of a moment."""
    return UUID(int=max(int(at.timestamp() * 1000), 0) << 80) if at else None


# Binary search among the keys, in one statement: every step looks at the first row from the middle on.
_SEARCH = """
    WITH RECURSIVE search(low, high) AS (
        SELECT min({key}), max({key}) + 1 FROM {table}
        UNION ALL
        SELECT CASE WHEN seen.at < %(at)s THEN seen.key ELSE search.low END,
               CASE WHEN seen.at < %(at)s THEN search.high ELSE middle.key END
        FROM search
        CROSS JOIN LATERAL (SELECT (search.low + search.high) / 2 AS key) middle
        LEFT JOIN LATERAL (
            SELECT {key} AS key, {time} AS at FROM {table} WHERE {key} >= middle.key ORDER BY {key} LIMIT 1
        ) seen ON true
        WHERE search.high - search.low > {enough}
    )
    SELECT (SELECT max({key}) - min({key}) FROM {table}), low, high FROM search ORDER BY high - low LIMIT 1
"""


def _bracket(model: type[Model], column: str, at: datetime) -> tuple[int | None, int | None]:
    """Two keys between which the rows of the moment `at` begin; (None, None) where it is not worth knowing."""
    quoted = connection.ops.quote_name
    names = {
        "key": quoted(str(model._meta.pk.column)),
        "table": quoted(model._meta.db_table),
        "time": quoted(column),
        "enough": _CLOSE_ENOUGH,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SEARCH.format(**names), {"at": at})
        span, low, high = cursor.fetchone() or (None, None, None)
    return (low, high) if span is not None and span >= _WORTH_BOUNDING else (None, None)
