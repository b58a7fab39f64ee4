"""A game's own clock: when its business day began. Days turn at the game's hour, in the game's time zone."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def day_began(*, now: datetime, time_zone: str, turns_at_hour: int = 0, days_ago: int = 0) -> datetime:
    """When the business day of `now` began, or the day `days_ago` before it. Aware, in the game's zone."""
    day = business_day(now, time_zone=time_zone, turns_at_hour=turns_at_hour) - timedelta(days=days_ago)
    return day_begins(day, time_zone=time_zone, turns_at_hour=turns_at_hour)


def business_day(at: datetime, *, time_zone: str, turns_at_hour: int = 0) -> date:
    """The business day a moment belongs to."""
    return (at.astimezone(ZoneInfo(time_zone)) - timedelta(hours=turns_at_hour)).date()


def day_begins(day: date, *, time_zone: str, turns_at_hour: int = 0) -> datetime:
    """When a business day begins. Aware, in the game's zone."""
    return datetime.combine(day, time(turns_at_hour), tzinfo=ZoneInfo(time_zone))
