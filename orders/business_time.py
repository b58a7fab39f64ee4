"""A game's own clock: when its business day began. Days turn at the game's hour, in the game's time zone."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo


def day_began(*, now: datetime, time_zone: str, turns_at_hour: int = 0, days_ago: int = 0) -> datetime:
    """When the business day of `now` began, or the day `days_ago` before it. Aware, in the game's zone."""
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone)
    day = (local - timedelta(hours=turns_at_hour)).date() - timedelta(days=days_ago)
    return datetime.combine(day, time(turns_at_hour), tzinfo=zone)
