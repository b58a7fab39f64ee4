"""A report in words: rows and totals, each figure with the link to the orders behind it, and the chart above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from channels_app.console import charts, periods
from channels_app.console.cells import yuan
from channels_app.console.charts import HUES, OTHER, Series
from channels_app.console.words import money_in_prose
from channels_app.money import WITHOUT_DECIMALS
from orders.revenue.periods import Days, Grain
from orders.revenue.report import Figures, Group, Payers, Report
from payments_site.console.home import words
from payments_site.console.revenue.asking import Question, against_in_words

# A table of more rows than this is read by nobody; the rest is one row.
MOST_ROWS = 100
NOTHING = words.NOTHING
_NO_SWATCH = SafeString("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure as it is shown; with the address of its orders where a list can show them."""

    shown: str
    address: str = ""
    why: object = ""  # why there is no figure, or what the linked list is

    def __str__(self) -> str:
        """As a table holds it: safe to put into a page."""
        if self.address:
            return format_html('<a href="{}"{}>{}</a>', self.address, self._title(), self.shown)
        if self.why:
            return format_html("<span{}>{}</span>", self._title(), self.shown)
        return format_html("{}", self.shown)

    def _title(self) -> SafeString:
        return format_html(' title="{}"', self.why) if self.why else SafeString("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: its name, and its figures in the order of the columns."""

    name: object
    swatch: SafeString
    made: Cell
    paid: Cell
    rate: Cell
    gross: Cell
    refunds: Cell
    net: Cell
    payers: Cell
    per_payer: Cell
    new_payers: Cell
    share: str
    change: str
    running: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Everything the page shows of a report."""

    rows: Sequence[Row]
    total: Row
    chart: SafeString
    legend: Sequence[tuple[SafeString, object]]


class Teller:
    """Puts one report into words."""

    def __init__(self, question: Question, report: Report) -> None:
        self.question, self.report, self.asked = question, report, question.asked
        self.columns = self.asked.days.columns(self.asked.width)
        self.hues = self._hues()

    def table(self) -> Table:
        """The table and its chart."""
        keys = self.row_keys()
        rows = [self._row(key) for key in keys[:MOST_ROWS]]
        if len(keys) > MOST_ROWS:
            rows.append(self._rest(keys[MOST_ROWS:]))
        return Table(rows, self.total(), self.chart(), self.legend())

    def row_keys(self) -> list[Any]:
        """The rows: columns of days in their order, everything else by gross."""
        now = self.report.now.rows
        if self.asked.by_time:
            return [column.first for column in self.columns]
        return sorted(now, key=lambda key: (-now[key].gross_minor, -now[key].made, str(key)))

    # --- rows ---------------------------------------------------------------------------------------------
    def total(self) -> Row:
        """The last row, which is the strip above."""
        report = self.report
        before = report.before.total.gross_minor if report.before else None
        return self._told(
            _("Total"), report.now.total, before, days=self.asked.days, given={}, payers=_count(report.payers),
            knows_made=self.asked.knows_made,
        )  # fmt: skip

    def _row(self, key: Any) -> Row:
        asked, report = self.asked, self.report
        days = self._days(key) if asked.by_time else asked.days
        given = {} if asked.by_time else self._narrowed_to(key)
        return self._told(
            self.name(key),
            report.now.rows.get(key, Figures()),
            self.before(key),
            days=days,
            given=given,
            payers=report.payers.rows.get(key, 0) if report.payers else None,
            knows_made=asked.knows_made and asked.group is not Group.METHOD,
            swatch=self._swatch(key),
            running=asked.by_time and days.last >= self.question.today,
        )

    def _rest(self, keys: Sequence[Any]) -> Row:
        figures, before = Figures(), 0
        for key in keys:
            figures.add(self.report.now.rows[key])
            before += self.before(key) or 0
        name = _("%(count)d more") % {"count": len(keys)}
        return self._told(
            name, figures, before if self.report.before else None, days=self.asked.days, given=None, payers=None,
            knows_made=self.asked.knows_made and self.asked.group is not Group.METHOD,
            swatch=charts.swatch(OTHER),
        )  # fmt: skip

    def _told(
        self,
        name: object,
        figures: Figures,
        before: int | None,
        *,
        days: Days,
        given: dict[str, str] | None,
        payers: int | None,
        knows_made: bool,
        swatch: SafeString = _NO_SWATCH,
        running: bool = False,
    ) -> Row:
        made = self._orders(days, given)
        paid = self._orders(days, given, by="paid", view="paid")
        why_not = _("No method is chosen yet when an order is made.")
        whole = self.report.now.total.gross_minor
        counted = Figures(gross_minor=figures.gross_minor, payers=payers)
        return Row(
            name=name,
            swatch=swatch,
            running=running,
            made=Cell(shown=f"{figures.made:,}", address=made if figures.made else "")
            if knows_made
            else Cell(shown=NOTHING, why=why_not),
            paid=Cell(shown=f"{figures.paid:,}", address=paid if figures.paid else ""),
            rate=self._rate(figures, days, given) if knows_made else Cell(shown=NOTHING, why=why_not),
            gross=Cell(shown=self._amount(figures.gross_minor), address=paid if figures.gross_minor else ""),
            refunds=self._refunds(figures, days, given),
            net=Cell(shown=self._amount(figures.net_minor)),
            payers=self._payers(payers),
            per_payer=Cell(shown=NOTHING if counted.per_payer_minor is None else self._amount(counted.per_payer_minor)),
            new_payers=Cell(shown=f"{figures.new_payers:,}"),
            share=words.rate(figures.gross_minor, whole),
            change=words.change(figures.gross_minor, before) or NOTHING if before is not None else "",
        )

    def _rate(self, figures: Figures, days: Days, given: dict[str, str] | None) -> Cell:
        rate = figures.paid_rate
        said = _("%(paid)s of the %(made)s orders made in this period are paid by now") % {
            "paid": f"{figures.made_paid:,}",
            "made": f"{figures.made:,}",
        }
        address = self._orders(days, given, view="paid") if figures.made_paid else ""
        return Cell(shown=NOTHING) if rate is None else Cell(shown=words.percent(rate), address=address, why=said)

    def _refunds(self, figures: Figures, days: Days, given: dict[str, str] | None) -> Cell:
        if not figures.refunded_minor:
            return Cell(shown=self._amount(0))
        said = _("%(count)s refunds given back in this period; the list shows refunded orders that were paid in it") % {
            "count": f"{figures.refunds:,}"
        }
        address = self._orders(days, given, by="paid", view="refunded")
        return Cell(shown=self._amount(-figures.refunded_minor), address=address, why=said)

    def _payers(self, payers: int | None) -> Cell:
        if payers is not None:
            return Cell(shown=f"{payers:,}")
        said = _("Players cannot be added over days; counting them reads every order of the period.")
        return Cell(shown=NOTHING, why=said)

    # --- names, colours and links -------------------------------------------------------------------------
    def name(self, key: Any) -> object:
        """What a row is called."""
        if self.asked.by_time:
            return days_in_words(self._days(key), self.asked.width, self.asked.days)
        return self.question.names.of(self.asked.column, key, self.question.scope)

    def _swatch(self, key: Any) -> SafeString:
        return _NO_SWATCH if self.asked.by_time else charts.swatch(self.hues.get(key, OTHER))

    def _days(self, begin: date) -> Days:
        return next(column for column in self.columns if column.first == begin)

    def before(self, key: Any) -> int | None:
        """Gross of the same row in the period it is held against; columns of days by their place."""
        before = self.report.before
        if before is None:
            return None
        if not self.asked.by_time:
            return before.rows[key].gross_minor if key in before.rows else 0
        place = self.columns.index(self._days(key))
        compared = self._compared_columns()
        return before.rows[compared[place].first].gross_minor if place < len(compared) else None

    def _compared_columns(self) -> list[Days]:
        compared = self.question.compared
        return compared.columns(self.asked.width) if compared else []

    def _narrowed_to(self, key: Any) -> dict[str, str] | None:
        """The list's filter for one row; None where the list has none."""
        asked, names = self.asked, self.question.names
        if asked.group is Group.CHANNEL and key in names.channels:
            return {"channel": str(names.channels[key].pk)}
        if asked.group is Group.METHOD and key in names.methods:
            return {"method": key}
        if asked.group is Group.PRODUCT and key in names.products:
            return {"product": key}
        if asked.group is Group.ZONE and key:
            return {"zone": key}
        if asked.group is Group.GAME:
            return {"books": f"{key}.{asked.environment.value}"}
        return None

    def _orders(self, days: Days, given: dict[str, str] | None, **more: str) -> str:
        """The list of the orders behind a figure; "" where the list cannot show exactly those."""
        asked, names = self.asked, self.question.names
        if given is None or asked.zone == "":
            return ""
        if len(days) > periods.LONGEST.days:
            return self._by_month(given)
        filters = {
            "channel": str(names.channels[asked.channel].pk) if asked.channel else "",
            "method": asked.method,
            "product": asked.product,
            "zone": asked.zone or "",
            "currency": asked.currency if len(self.question.currencies) > 1 else "",
        }
        said = {
            "period": periods.CUSTOM,
            "from": days.first.isoformat(),
            "to": days.last.isoformat(),
            **filters,
            **given,
            **more,
        }
        chosen = {name: value for name, value in said.items() if value}
        return f"{reverse('admin:orders_order_changelist')}?{urlencode(chosen)}"

    def _by_month(self, given: dict[str, str]) -> str:
        """Longer than a list goes: the same figures by month, whose orders can be listed."""
        channel = next(
            (code for code, one in self.question.names.channels.items() if str(one.pk) == given.get("channel")), ""
        )
        if "books" in given:
            return ""
        return self.question.address(group=Group.MONTH.value, **{**given, **({"channel": channel} if channel else {})})

    def _amount(self, minor: int) -> str:
        return yuan(minor, self.asked.currency)

    # --- the chart ----------------------------------------------------------------------------------------
    def chart(self) -> SafeString:
        """Bars per column of days, stacked by what has a colour; a tick for what each is held against."""
        gross = self.report.now.gross
        series = []
        for hue, label, keys in self._stack():
            values = [sum(gross.get((column.first, key), 0) for key in keys) for column in self.columns]
            series.append(Series(label, hue, values))
        running = [place for place, column in enumerate(self.columns) if column.last >= self.question.today]
        return charts.stacked_bars(
            [_on_axis(column, self.asked.width, self.columns) for column in self.columns],
            series,
            name=_("Gross by %(grain)s") % {"grain": _grain_in_words(self.asked.width)},
            say=lambda minor: money_in_prose(minor, self.asked.currency),
            ticks=self._ticks(),
            ticks_name=against_in_words(self.question.against),
            unfinished=running[0] if running else None,
            label_every=max(1, -(-len(self.columns) // 31)),
            unit=1 if self.asked.currency in WITHOUT_DECIMALS else 100,
            size=(1130, 236),
        )

    def legend(self) -> list[tuple[SafeString, object]]:
        """The colours of the chart."""
        return [(charts.swatch(hue), label) for hue, label, _keys in self._stack()]

    def _ticks(self) -> list[int | None]:
        before = self.report.before
        if before is None:
            return []
        sums: dict[date, int] = {}
        for (column, _key), minor in before.gross.items():
            sums[column] = sums.get(column, 0) + minor
        compared = self._compared_columns()
        places = range(len(self.columns))
        return [sums.get(compared[place].first, 0) if place < len(compared) else None for place in places]

    def _stack(self) -> list[tuple[str, object, list[Any]]]:
        """From the bottom up: (colour, name, the values that have it)."""
        keys = {key for _column, key in self.report.now.gross if key != "" or self.asked.column != "method"}
        named = sorted((hue, key) for key, hue in self.hues.items() if key in keys and hue != OTHER)
        column, scope = self.asked.column, self.question.scope
        stack: list[tuple[str, object, list[Any]]] = [
            (hue, self.question.names.of(column, key, scope), [key]) for hue, key in named
        ]
        rest = sorted(keys - {key for _hue, key in named}, key=str)
        if rest:
            stack.append((OTHER, _("Others"), rest))
        return stack

    def _hues(self) -> dict[Any, str]:
        """Channels keep their colours on all pages; of everything else the four that brought most have one."""
        if self.asked.column == "channel_code":
            return dict(charts.channel_hues())
        rows = self.report.now.rows
        best = sorted((key for key in rows if rows[key].gross_minor), key=lambda key: -rows[key].gross_minor)
        return {key: str(place) for place, key in enumerate(best[:HUES], start=1)}


def days_in_words(days: Days, grain: Grain, whole: Days) -> str:
    """A column of days as its row is called; the year only where the period crosses one."""
    crosses = whole.first.year != whole.last.year
    if grain is Grain.MONTH:
        return date_format(days.first, "YEAR_MONTH_FORMAT")
    day = "Y-m-d" if crosses else "m-d"
    if grain is Grain.DAY or len(days) == 1:
        return date_format(days.first, f"{day} D")
    return f"{date_format(days.first, day)} – {date_format(days.last, day)}"


def _on_axis(days: Days, grain: Grain, columns: Sequence[Days]) -> str:
    """As short as the axis is narrow: the day of the month, or where the week or month begins."""
    if grain is Grain.MONTH:
        return f"{days.first:%Y-%m}" if columns[0].first.year != columns[-1].last.year else f"{days.first.month}"
    if grain is Grain.DAY and columns[0].first.replace(day=1) == columns[-1].first.replace(day=1):
        return str(days.first.day)
    return f"{days.first.month}/{days.first.day}"


def _grain_in_words(grain: Grain) -> str:
    return {Grain.DAY: _("day"), Grain.WEEK: _("week"), Grain.MONTH: _("month")}[grain]


def _count(payers: Payers | None) -> int | None:
    return payers.total if payers else None
