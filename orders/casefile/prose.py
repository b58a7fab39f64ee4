"""How a case file says amounts, moments, goods and places inside a sentence, in the language that is active.

Times are said on the active clock (the console's business time), without the day when it is today's.
"""

from datetime import datetime, timedelta

from django.utils import formats, timezone
from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

from channels_app.console.words import money_in_prose
from channels_app.providers import ADAPTERS, METHODS, PROVIDER_OF_METHOD
from orders import narrating
from orders.models import Order

amount = money_in_prose


def provider(code: str) -> str:
    """wechatpay → WeChat Pay. One that is no more is called by its code."""
    return str(ADAPTERS[code].label) if code in ADAPTERS else code


def provider_of_method(method: str) -> str:
    """wechatpay_native → WeChat Pay."""
    return provider(PROVIDER_OF_METHOD.get(method, method))


def method_name(method: str) -> str:
    """wechatpay_native → WeChat Pay (QR code)."""
    return str(METHODS[method].label) if method in METHODS else method


def moment(at: datetime, *, now: datetime) -> str:
    """14:07:11 of today; 27 March 14:07:11 of any other day."""
    local = timezone.localtime(at)
    if local.date() == timezone.localtime(now).date():
        return local.strftime("%H:%M:%S")
    return dated(at, now=now)


def dated(at: datetime, *, now: datetime) -> str:
    """27 March 14:07:11, with the year when it is not this one: for what may be read on another day."""
    local = timezone.localtime(at)
    if local.year == timezone.localtime(now).year:
        return formats.date_format(local, pgettext("date format", "j F H:i:s"))
    return formats.date_format(local, pgettext("date format", "j F Y H:i:s"))


def until_minute(at: datetime, *, now: datetime) -> str:
    """27 March 14:07: a limit, which nobody counts in seconds."""
    local = timezone.localtime(at)
    if local.date() == timezone.localtime(now).date():
        return local.strftime("%H:%M")
    return until_minute_dated(at)


def until_minute_dated(at: datetime) -> str:
    """27 March 14:07, whatever day it is read on."""
    local = timezone.localtime(at)
    return formats.date_format(local, pgettext("date format", "j F H:i"))


def wait(length: timedelta) -> str:
    """About 5 minutes: how long something is still off, rounded the way people say it."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 90:
        return ngettext("%(count)s second", "%(count)s seconds", seconds) % {"count": seconds}
    minutes = round(seconds / 60)
    if minutes < 90:
        return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}
    hours = round(seconds / 3600)
    if hours < 48:
        return ngettext("%(count)s hour", "%(count)s hours", hours) % {"count": hours}
    days = round(seconds / 86400)
    return ngettext("%(count)s day", "%(count)s days", days) % {"count": days}


def step(length: timedelta) -> str:
    """+6 ms, +1.6 s, 14 min: how long one step took."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 1:
        return f"+{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"+{seconds:.1f} s"
    return f"+{wait(length)}"


def goods(order: Order) -> str:
    """What was bought, as the player knows it."""
    return narrating.goods(order)


def promised(order: Order) -> str:
    """What comes out of it: "Gem × 60 + 6"."""
    return narrating.contents(order.contents)


def place(zone_id: str, role_id: str) -> str:
    """Role and zone of somebody's goods; empty when the order names neither."""
    zone = zone_name(zone_id)
    if zone and role_id:
        return _("role %(role)s in %(zone)s") % {"role": role_id, "zone": zone}
    return (_("role %(role)s") % {"role": role_id}) if role_id else zone


def zone_name(zone_id: str) -> str:
    """A bare number becomes "zone 3"; a zone that has a name is called by it."""
    return _("zone %(zone)s") % {"zone": zone_id} if zone_id.isascii() and zone_id.isalnum() else zone_id


def receiver(order: Order) -> str:
    """Where the goods of an order go, for people: its role and zone, else the player's id."""
    said = place(order.zone_id, order.role_id) or _("player %(uid)s") % {"uid": order.uid}
    # Between a Chinese character and a figure or Latin letter stands a space.
    return f" {said}" if in_chinese() and said[0].isascii() else said


def together(*sentences: str) -> str:
    """Sentences one after another; Chinese needs no space between them."""
    return ("" if in_chinese() else " ").join(sentence for sentence in sentences if sentence)


def in_chinese() -> bool:
    """Whether the active language is Chinese."""
    return (get_language() or "").startswith("zh")
