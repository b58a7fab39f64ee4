"""The first page, put together for one person: what waits, whether the money is normal, whether it is us or them,
where it comes from, how fast the goods follow.

Who may not see totals sees what waits and whether everything works, without turnover.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from channels_app.console import charts
from channels_app.console.charts import Line, Series
from channels_app.console.words import money_in_prose
from channels_app.models import Channel
from channels_app.providers import METHODS
from payments_site.console.home import cases, health, words
from payments_site.console.home.cases import Queue, address_of
from payments_site.console.home.figures import Day, Hours, Today, day_began, read_hours, today
from payments_site.console.home.health import Cell
from payments_site.console.home.hours import is_up_to_date
from payments_site.console.home.speed import BUCKETS, GOAL, Speed, p95, speed
from payments_site.console.home.stores import stores
from payments_site.console.home.undelivered import Undelivered, undelivered
from payments_site.console.scope import Scope, scope_of

BY_CHANNEL, BY_METHOD = "channel", "method"


@dataclass(frozen=True, slots=True)
class Compared:
    """One line of figures: today, and the two days it stands beside with how far today is from them."""

    name: str
    now: str
    before: str
    before_change: str
    earlier: str
    earlier_change: str
    address: str = ""
    leads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TodayPanel:
    """Whether the money is normal."""

    until: str
    weekday: str
    lines: Sequence[Compared]
    chart: SafeString
    others: str
    began: bool


@dataclass(frozen=True, slots=True)
class Share:
    """One channel or method in the table beside the bars."""

    swatch: SafeString
    name: str
    money: str
    orders: str
    share: str
    before_change: str
    earlier_change: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesPanel:
    """Where the money comes from."""

    by: str
    chart: SafeString
    rows: Sequence[Share]
    total: Share
    currency: str
    weekday: str
    revenue_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedPanel:
    """How fast goods follow payments, and what has not arrived."""

    speed: Speed
    half: str
    most: str
    within: str
    goal: str
    orders: str
    rows: Sequence[tuple[str, SafeString, str, str]]
    missing: Undelivered
    missing_where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The first page as one person sees it; a panel is None for who may not see it."""

    lead: SafeString
    queue: Queue | None = None
    today: TodayPanel | None = None
    # Why there are no figures now: the sums are far behind, and a wrong figure is worse than none.
    no_figures: str = ""
    cells: Sequence[tuple[Cell, SafeString]] = field(default_factory=tuple)
    shares: SharesPanel | None = None
    speed: SpeedPanel | None = None


def home(request: HttpRequest, *, now: datetime) -> Home:
    """The first page as this person may see it."""
    may: Any = request.user.has_perm
    scope = scope_of(request)
    sees_orders = may("orders.view_order") and bool(scope.games)
    hours = read_hours(scope, now=now) if is_up_to_date() else None
    heard = health.messages(scope, now=now)
    missing = undelivered(scope, now=now) if sees_orders else None
    failing = [one.refused_since for one in heard if one.fail and one.refused_since]
    queue = cases.queue(request.user, scope, now=now, failing_since=failing, undelivered=missing)
    cells = _cells(scope, hours, heard, now) if sees_orders else []
    sees_totals = may("orders.view_totals") and bool(scope.games)
    money = today(scope, hours) if hours and sees_totals else None
    by = BY_METHOD if request.GET.get("by") == BY_METHOD else BY_CHANNEL
    return Home(
        lead=_lead(queue, cells, missing),
        queue=queue if queue.people or queue.idle or queue.system else None,
        today=_today_panel(scope, money) if money else None,
        cells=[
            (cell, charts.spark(cell.trend, name=_("%(name)s, last hours") % {"name": cell.name})) for cell in cells
        ],
        shares=_shares_panel(scope, money, by) if money else None,
        speed=_speed_panel(scope, missing, now) if missing is not None else None,
        no_figures=_no_figures() if hours is None and sees_totals else "",
    )


def _no_figures() -> str:
    since = health.unfolded_since()
    return _("Figures are being added up anew; what was paid since %(time)s is still missing, so none are shown.") % {
        "time": health.at(since) if since else words.NOTHING
    }


def _cells(scope: Scope, hours: Hours | None, heard: Sequence[health.Messages], now: datetime) -> list[Cell]:
    providers = health.providers(scope, hours.recent() if hours else [], heard, now=now)
    return [
        *providers,
        *stores(scope, now=now),
        health.game_servers(scope, now=now),
        health.ourselves(providers, now=now),
    ]


# --- the sentence --------------------------------------------------------------------------------------------
def _lead(queue: Queue, cells: Sequence[Cell], missing: Undelivered | None) -> SafeString:
    troubles = [cell.sentence for cell in cells if cell.sentence]
    if missing is not None and missing.count:
        retried = ngettext("%(count)s order is being retried", "%(count)s orders are being retried", missing.count)
        troubles.append(retried % {"count": missing.count_words})
    if not troubles:
        standing = _("Providers and game servers are as usual.") if cells else ""
    elif missing is not None:
        standing = _("%(troubles)s; nothing is lost.") % {"troubles": _("; ").join(troubles)}
    else:
        standing = _("%(troubles)s.") % {"troubles": _("; ").join(troubles)}
    return format_html("{} {}", _waiting(queue), standing)


def _waiting(queue: Queue) -> SafeString:
    if not queue.total:
        return format_html("{}", _("Nothing waits for a person.") if queue.idle else "")
    count = ngettext("%(count)d case", "%(count)d cases", queue.total) % {"count": queue.total}
    strong = format_html('<strong class="decide">{}</strong>', count)
    rest = ngettext("waits for a person", "wait for a person", queue.total)
    if queue.sums:
        return format_html(_("{} {} ({})."), strong, rest, " + ".join(queue.sums))
    return format_html(_("{} {}."), strong, rest)


# --- today ---------------------------------------------------------------------------------------------------
def _today_panel(scope: Scope, money: Today) -> TodayPanel:
    now, before, earlier = money.days
    figures = [day.until_cut for day in money.days]
    pace = [p95(scope, until=day.cut) for day in money.days]

    def say(amount: int) -> str:
        return money_in_prose(amount, money.currency)

    def counted(name: str, value: Any, shown: Any, address: str = "", *, leads: bool = False) -> Compared:
        today_, before_, earlier_ = (value(one) for one in figures)
        return Compared(
            name, shown(today_), shown(before_), words.change(today_, before_), shown(earlier_),
            words.change(today_, earlier_), address, leads,
        )  # fmt: skip

    rates = [(one.made_paid, one.made) for one in figures]
    paid_list = address_of("orders_order_changelist", _PAID_TODAY)
    refund_list = address_of("orders_order_changelist", "view=refunded&period=7days")
    made_list = address_of("orders_order_changelist", "period=today")
    lines = [
        counted(pgettext("money", "Received"), lambda one: one.gross, say, paid_list, leads=True),
        counted(_("Orders made"), lambda one: one.made, _number, made_list),
        counted(_("Paid orders"), lambda one: one.paid, _number, paid_list),
        Compared(
            _("Success rate"), words.rate(*rates[0]), words.rate(*rates[1]), words.points(rates[0], rates[1]),
            words.rate(*rates[2]), words.points(rates[0], rates[2]),
        ),
        Compared(_("Refunds"), *_without_change(say(-one.refunded) for one in figures), refund_list),
        Compared(_("Goods 95%, last hour"), *_without_change(_pace(one) for one in pace)),
    ]  # fmt: skip
    return TodayPanel(
        until=now.cut.strftime("%H:%M"),
        weekday=_last_weekday(earlier.began),
        lines=lines,
        chart=_running_total(scope, now, before, earlier, say),
        others=", ".join(
            ngettext("%(money)s in %(count)s order", "%(money)s in %(count)s orders", count)
            % {"money": money_in_prose(gross, currency), "count": f"{count:,}"}
            for currency, gross, count in money.others
        ),
        began=any(one.made or one.paid for one in figures),
    )


def _without_change(shown: Iterable[str]) -> tuple[str, str, str, str, str]:
    """Today and the two days beside it, where a difference in percent would say nothing."""
    now, before, earlier = shown
    return now, before, "", earlier, ""


_PAID_TODAY = "view=paid&period=today&by=paid"


def _number(value: int) -> str:
    return f"{value:,}"


def _pace(length: float | None) -> str:
    return words.NOTHING if length is None else words.seconds(length)


def _last_weekday(day: datetime) -> str:
    return str(
        [
            _("Last Mon"), _("Last Tue"), _("Last Wed"), _("Last Thu"), _("Last Fri"), _("Last Sat"), _("Last Sun"),
        ][day.weekday()]
    )  # fmt: skip


def _running_total(scope: Scope, now: Day, before: Day, earlier: Day, say: Any) -> SafeString:
    return charts.lines(
        [
            Line(_last_weekday(earlier.began), "earlier", _sums(earlier.gross_by_hour())),
            Line(_("Yesterday"), "before", _sums(before.gross_by_hour())),
            Line(_("Today"), "now", _until_now(now)),
        ],
        name=_("Received since the day began: today, yesterday and the same weekday last week"),
        span=24,
        labels=[(hour, _hour(scope, hour)) for hour in range(0, 25, 4)],
        say=say,
    )


def _hour(scope: Scope, hour: int) -> str:
    """An hour of the business day as the clock says it. A day that turns at midnight ends at 24."""
    return str(hour if scope.turns_at_hour == 0 else (hour + scope.turns_at_hour) % 24)


def _sums(hours: Sequence[int]) -> list[tuple[float, int]]:
    points, total = [(0.0, 0)], 0
    for place, amount in enumerate(hours, start=1):
        total += amount
        points.append((float(place), total))
    return points


def _until_now(day: Day) -> list[tuple[float, int]]:
    whole = _sums(day.gross_by_hour())[: day.hour + 1]
    return [*whole, (day.hour + (day.cut.minute + day.cut.second / 60) / 60, day.until_cut.gross)]


# --- where from ----------------------------------------------------------------------------------------------
def _shares_panel(scope: Scope, money: Today, by: str) -> SharesPanel:
    names, hues, address = _by_method(money) if by == BY_METHOD else _by_channel()
    now, before, earlier = (day.by_method if by == BY_METHOD else day.by_channel for day in money.days)
    day = money.days[0]

    def say(amount: int) -> str:
        return money_in_prose(amount, money.currency)

    shown: dict[str, list[str]] = {}
    for key in names:
        if key in now or key in before or key in earlier:
            shown.setdefault(hues.get(key, charts.OTHER), []).append(key)
    rows, series = [], []
    for hue, keys in sorted(shown.items()):
        name = names[keys[0]] if len(keys) == 1 else _("%(count)d others") % {"count": len(keys)}
        sums = [_added(one, keys) for one in (now, before, earlier)]
        leads_to = address(keys[0]) if len(keys) == 1 else ""
        rows.append(_share(hue, name, sums, day.until_cut.gross, say, leads_to))
        series.append(Series(name, hue, _by_hour(day, by, set(keys))))
    totals = [(one.until_cut.gross, one.until_cut.paid) for one in money.days]
    ticks = money.days[1].gross_by_hour()
    return SharesPanel(
        by=by,
        chart=charts.stacked_bars(
            [_hour(scope, hour) for hour in range(24)],
            series,
            name=_("Received per hour today; tick marks: yesterday"),
            say=say,
            ticks=ticks if any(ticks) else (),
            ticks_name=_("Yesterday"),
            unfinished=day.hour,
            label_every=2,
        ),
        rows=rows,
        total=_share("", _("Total"), totals, day.until_cut.gross, say),
        currency=money.currency,
        weekday=_last_weekday(money.days[2].began),
        revenue_address=address_of("revenue"),
    )


def _by_channel() -> tuple[dict[str, str], dict[str, str], Any]:
    """Names and colours of channels by code, and where a name leads."""
    channels = list(Channel.objects.order_by("pk"))
    keys = {channel.code: channel.pk for channel in channels}

    def address(code: str) -> str:
        return address_of("orders_order_changelist", f"{_PAID_TODAY}&channel={keys[code]}")

    return {channel.code: channel.name for channel in channels}, charts.channel_hues(), address


def _by_method(money: Today) -> tuple[dict[str, str], dict[str, str], Any]:
    """Names of methods; the four that brought most on these days have a colour, in the order of the registry."""
    sums = {code: sum(day.by_method.get(code, (0, 0))[0] for day in money.days) for code in METHODS}
    best = sorted((code for code in sums if sums[code]), key=lambda code: -sums[code])[: charts.HUES]
    hues = {code: str(place) for place, code in enumerate((code for code in METHODS if code in best), start=1)}

    def address(code: str) -> str:
        return address_of("orders_order_changelist", f"{_PAID_TODAY}&method={code}")

    return {code: str(method.label) for code, method in METHODS.items()}, hues, address


def _added(figures: dict[str, tuple[int, int]], keys: Sequence[str]) -> tuple[int, int]:
    found = [figures.get(key, (0, 0)) for key in keys]
    return sum(gross for gross, _orders in found), sum(orders for _gross, orders in found)


def _share(
    hue: str, name: str, sums: Sequence[tuple[int, int]], whole: int, say: Callable[[int], str], address: str = ""
) -> Share:
    """`sums`: gross and orders of today and of the two days beside it; `whole`: the gross of today in all."""
    (gross, orders), before, earlier = sums
    return Share(
        swatch=charts.swatch(hue) if hue else SafeString(""),
        name=name,
        money=say(gross),
        orders=_number(orders),
        share=words.rate(gross, whole),
        before_change=words.change(gross, before[0]),
        earlier_change=words.change(gross, earlier[0]),
        address=address,
    )


def _by_hour(day: Day, by: str, keys: set[str]) -> list[int]:
    sums = [0] * 24
    for row in day.hours:
        if (row.method if by == BY_METHOD else row.channel_code) in keys and row.hour <= day.hour:
            sums[row.hour] += row.gross_minor
    return sums


# --- how fast ------------------------------------------------------------------------------------------------
def _speed_panel(scope: Scope, missing: Undelivered, now: datetime) -> SpeedPanel:
    found = speed(scope, since=day_began(scope, now), now=now)
    drawn = charts.bars(
        (f"{name}: {count:,}", count) for (name, *_edges), count in zip(BUCKETS, found.counts, strict=True)
    )
    counted = ngettext("%(count)s order today", "%(count)s orders today", found.paid)
    if found.capped:
        counted = ngettext("newest %(count)s order of today", "newest %(count)s orders of today", found.paid)
    return SpeedPanel(
        speed=found,
        half=_pace(found.half),
        most=_pace(found.most),
        within=words.rate(found.within_goal, found.judged, 2),
        goal=words.percent(GOAL, 2),
        orders=counted % {"count": f"{found.paid:,}"},
        rows=[
            (str(name), bar, f"{count:,}", words.rate(count, found.paid))
            for (name, *_edges), bar, count in zip(BUCKETS, drawn, found.counts, strict=True)
        ],
        missing=missing,
        missing_where=_where(missing),
    )


def _where(missing: Undelivered) -> str:
    if not missing.count:
        return ""
    parts = []
    if missing.zones:
        parts.append(_("all in zone %(zones)s") % {"zones": ", ".join(missing.zones)})
    if missing.next_try is not None:
        parts.append(_("next try %(time)s") % {"time": timezone.localtime(missing.next_try).strftime("%H:%M")})
    return pgettext("parts of a sentence", ", ").join(parts)
