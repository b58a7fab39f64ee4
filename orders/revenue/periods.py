"""Periods of a report: whole business days, and what they are held against."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

LONGEST_DAYS = 400
CUSTOM = "custom"


class Grain(StrEnum):
    """How long the columns of a report are."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


# A column narrower than this many per period could not be read, nor its table.
MOST_DAYS_BY_GRAIN = {Grain.DAY: 92, Grain.WEEK: LONGEST_DAYS, Grain.MONTH: LONGEST_DAYS}


class Against(StrEnum):
    """What a period is held against."""

    PREVIOUS = "previous"
    LAST_MONTH = "month"
    LAST_YEAR = "year"
    NOTHING = "none"


@dataclass(frozen=True, slots=True)
class Days:
    """Business days from `first` to `last`, both included."""

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def columns(self, grain: Grain) -> list["Days"]:
        """The period cut at the turns of weeks (Monday) or months; the first and the last may be shorter."""
        return list(self._cut(grain))

    def _cut(self, grain: Grain) -> Iterator["Days"]:
        begin = self.first
        while begin <= self.last:
            end = min(_end_of(begin, grain), self.last)
            yield Days(begin, end)
            begin = end + timedelta(days=1)


def named_days(name: str, *, today: date) -> Days | None:
    """One of the preset periods; None for a name that is none."""
    this_month = today.replace(day=1)
    last_month = this_month - timedelta(days=1)
    return {
        "today": Days(today, today),
        "yesterday": Days(today - timedelta(days=1), today - timedelta(days=1)),
        "7days": Days(today - timedelta(days=6), today),
        "month": Days(this_month, today),
        "last_month": Days(last_month.replace(day=1), last_month),
        "12months": Days(_months_earlier(this_month, 11), today),
    }.get(name)


def custom_days(first: str, last: str, *, today: date) -> Days | None:
    """Days typed as ISO dates, in either order; at most LONGEST_DAYS, the last ones. None for what is no date."""
    ends = [_day(text) for text in (first, last)]
    known = [day for day in ends if day is not None]
    if not known:
        return None
    begin, end = min(known), max(known) if len(known) > 1 else max(*known, today)
    return Days(max(begin, end - timedelta(days=LONGEST_DAYS - 1)), end)


def held_against(days: Days, against: Against) -> Days | None:
    """The days a period is compared with; a month's end that the other month has not falls on its last day."""
    if against is Against.PREVIOUS:
        return Days(days.first - timedelta(days=len(days)), days.first - timedelta(days=1))
    months = {Against.LAST_MONTH: 1, Against.LAST_YEAR: 12}.get(against)
    if months is None:
        return None
    return Days(_months_earlier(days.first, months), _months_earlier(days.last, months))


def usual_grain(days: Days) -> Grain:
    """The finest that can be read well."""
    if len(days) <= 62:  # two months of days fill a chart
        return Grain.DAY
    return Grain.WEEK if len(days) <= 26 * 7 else Grain.MONTH


def _end_of(day: date, grain: Grain) -> date:
    if grain is Grain.WEEK:
        return day + timedelta(days=6 - day.weekday())
    if grain is Grain.MONTH:
        return day.replace(day=monthrange(day.year, day.month)[1])
    return day


def _months_earlier(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # What is compared may lie a year earlier, what is read ends a day later.
    return day if 1971 <= day.year <= 9000 else None
