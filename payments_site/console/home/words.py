"""How the first page says lengths of time, shares and changes: short, and the same everywhere on it."""

from datetime import timedelta

from django.utils.translation import gettext as _

NOTHING = "–"


def age(length: timedelta) -> str:
    """5,400 s → "1 h 30 m". Days stand alone: nobody waits for the minutes of the third day."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    if minutes < 1:
        return _("%(seconds)d s") % {"seconds": max(int(length.total_seconds()), 0)}
    if minutes < 60:
        return _("%(minutes)d m") % {"minutes": minutes}
    if minutes < 48 * 60:
        return _("%(hours)d h %(minutes)02d m") % {"hours": minutes // 60, "minutes": minutes % 60}
    return _("%(days)d d") % {"days": minutes // (24 * 60)}


def limit_words(limit: timedelta) -> str:
    """The time within which something has to be done."""
    hours = int(limit.total_seconds()) // 3600
    if hours <= 24:
        return _("limit %(hours)d h") % {"hours": hours}
    return _("limit %(days)d d") % {"days": hours // 24}


def seconds(length: float) -> str:
    """0.94 → "0.9 s"; from a minute on in minutes."""
    if length < 60:
        return _("%(seconds).1f s") % {"seconds": length}
    return _("%(minutes).0f min") % {"minutes": length / 60}


def percent(part: float, digits: int = 1) -> str:
    """0.931 → "93.1%"."""
    return f"{part * 100:.{digits}f}%"


def rate(part: int, whole: int, digits: int = 1) -> str:
    """A share of something; a dash when there is nothing to share."""
    return percent(part / whole, digits) if whole else NOTHING


def change(now: int, before: int) -> str:
    """How far `now` is from `before`: "−1.0%"; empty when there was nothing before."""
    return signed((now - before) / before * 100, "%") if before else ""


def points(now: tuple[int, int], before: tuple[int, int]) -> str:
    """How far one share (part, whole) is from another, in percentage points."""
    if not now[1] or not before[1]:
        return ""
    return signed((now[0] / now[1] - before[0] / before[1]) * 100, " " + _("pt"))


def signed(value: float, unit: str) -> str:
    """A change with its sign; the minus is a true one."""
    return f"{'−' if round(value, 1) < 0 else '+'}{abs(value):.1f}{unit}"
