"""Charts, drawn here as small SVG: bars of several series, lines, single bars and sparks.

Colours are classes (console/charts.css), so that a page in the dark needs no other drawing and no style attribute;
text takes the page's font. Every mark has a title, every chart a name, the axis begins at zero and has at most four
grid lines. A chart always stands with the table whose swatches are its legend. Values are plain integers; `unit` of
them make one on the axis (100 for fen in yuan).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from channels_app.models import Channel

HUES = 4
OTHER = "other"
_GRID_LINES = 4
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of stacked bars: a value per column (None: nothing known)."""

    label: object
    hue: str
    values: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line through points (x, value). Looks: "now" (thick, ends in a dot), "before" (thin), "earlier" (dashed)."""

    label: object
    look: str
    points: Sequence[tuple[float, int]]


def channel_hues() -> dict[str, str]:
    """The colour of each channel by its code, the same on every page: the four oldest have one, others are grey."""
    codes = Channel.objects.order_by("pk").values_list("code", flat=True)
    return {code: str(place) if place <= HUES else OTHER for place, code in enumerate(codes, start=1)}


def swatch(hue: str) -> SafeString:
    """The square before a name in the table beside a chart: its legend."""
    return format_html('<span class="swatch hue-{}"></span>', hue)


def stacked_bars(
    columns: Sequence[object],
    series: Sequence[Series],
    *,
    name: object,
    say: Callable[[int], object] = str,
    ticks: Sequence[int | None] = (),
    ticks_name: object = "",
    unfinished: int | None = None,
    label_every: int = 1,
    unit: int = 100,
    size: tuple[int, int] = (628, 108),
) -> SafeString:
    """A bar per column, its series from the bottom up; ticks compare, the `unfinished` column is labelled bold."""
    sums = [sum(_drawn(one.values, place) for one in series) for place in range(len(columns))]
    frame = _Frame(size, top=max([*sums, *(tick or 0 for tick in ticks)], default=0), unit=unit)
    step = frame.width / max(len(columns), 1)
    thick = max(step * 0.78, 1)
    marks: list[SafeString] = []
    for place, column in enumerate(columns):
        left = frame.left + step * place + (step - thick) / 2
        below = 0
        for one in series:
            value = _drawn(one.values, place)
            if value:
                marks.append(_bar(frame, left, thick, below, value, one, f"{column} · {one.label}: {say(value)}"))
            below += value
        tick = ticks[place] if place < len(ticks) else None
        if tick is not None:
            marks.append(_tick(frame, left, thick, tick, f"{column} · {ticks_name}: {say(tick)}"))
        if place % label_every == 0 or place == unfinished:
            running = place == unfinished
            marks.append(frame.label(left + thick / 2, column, "axis unfinished" if running else "axis"))
    return frame.drawing(name, marks)


def lines(
    drawn: Sequence[Line],
    *,
    name: object,
    span: float,
    labels: Sequence[tuple[float, object]],
    say: Callable[[int], object] = str,
    unit: int = 100,
    size: tuple[int, int] = (480, 86),
) -> SafeString:
    """Lines over the same stretch from 0 to `span`; `labels` stand under the axis. Put the most important line last."""
    top = max((value for line in drawn for _x, value in line.points), default=0)
    frame = _Frame(size, top=top, unit=unit, grid_lines=2)
    across = frame.width / span
    marks = [frame.label(frame.left + across * at, text, "axis") for at, text in labels]
    for line in drawn:
        if not line.points:
            continue
        spots = " ".join(f"{frame.left + across * x:.1f},{frame.y(value):.1f}" for x, value in line.points)
        last_x, last = line.points[-1]
        title = f"{line.label}: {say(last)}"
        marks.append(
            format_html('<polyline class="line-{}" points="{}"><title>{}</title></polyline>', line.look, spots, title)
        )
        if line.look == "now":
            marks.append(
                format_html(
                    '<circle class="dot" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>',
                    f"{frame.left + across * last_x:.1f}",
                    f"{frame.y(last):.1f}",
                    title,
                )
            )
    return frame.drawing(name, marks)


def bars(rows: Iterable[tuple[object, int]], *, width: int = 240) -> list[SafeString]:
    """One bar per (title, value), all to the same scale: each for a cell of a table, which says the number."""
    known = list(rows)
    most = max((value for _title, value in known), default=0)
    return [_single(title, value, most, width) for title, value in known]


def spark(values: Sequence[float | None], *, name: object, size: tuple[int, int] = (52, 12)) -> SafeString:
    """A small line without axis, from 0 to 1 (a rate); missing values are skipped. Colour: that of its cell."""
    width, height = size
    step = (width - 2) / max(len(values) - 1, 1)
    spots = " ".join(
        f"{1 + step * place:.1f},{1 + (height - 2) * (1 - min(max(value, 0), 1)):.1f}"
        for place, value in enumerate(values)
        if value is not None
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        '<polyline points="{}"/></svg>',
        *(width, height, width, height, name, name, spots),
    )


def short(value: float) -> str:
    """A round number as an axis says it: 15000 is 1.5万 in Chinese and 15k in English."""
    chinese = (get_language() or "").startswith("zh")
    scales = ((10**8, "亿"), (10**4, "万")) if chinese else ((10**9, "G"), (10**6, "M"), (10**3, "k"))
    for scale, word in scales:
        if value >= scale:
            return f"{value / scale:.6g}{word}"
    return f"{value:,.6g}"


def grid(top: float, grid_lines: int = _GRID_LINES) -> list[float]:
    """Where the grid lines stand: round numbers above zero, as few as reach `top`."""
    if top <= 0:
        return [1]
    size = 10 ** floor(log10(top / grid_lines))
    step = next(size * one for one in _STEPS if size * one * grid_lines >= top)
    return [step * place for place in range(1, max(ceil(top / step), 1) + 1)]


class _Frame:
    """The axis of a chart, and where a value stands in it."""

    def __init__(self, size: tuple[int, int], *, top: int, unit: int, grid_lines: int = _GRID_LINES) -> None:
        self.size = size
        self.left, self.above, below = 44, 8, 20
        self.width = size[0] - self.left - 6
        self.foot = size[1] - below
        self.unit = unit
        self.empty = top <= 0
        self.grid = [line * unit for line in grid(top / unit, grid_lines)]

    def y(self, value: float) -> float:
        return self.foot - (self.foot - self.above) * value / self.grid[-1]

    def label(self, x: float, text: object, look: str) -> SafeString:
        return format_html('<text class="{}" x="{}" y="{}">{}</text>', look, f"{x:.1f}", self.foot + 14, text)

    def drawing(self, name: object, marks: Iterable[SafeString]) -> SafeString:
        shown = [] if self.empty else self.grid
        rules = [(0.0, "rule base")] + [(value, "rule") for value in shown]
        ground = format_html_join(
            "",
            '<line class="{0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/><text class="axis left" x="{4}" y="{5}">{6}</text>',
            (
                (
                    look,
                    self.left,
                    self.left + self.width,
                    f"{self.y(value):.1f}",
                    self.left - 8,
                    f"{self.y(value) + 4:.1f}",
                    short(value / self.unit),
                )
                for value, look in rules
            ),
        )
        return format_html(
            '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>',
            *(*self.size, name, ground, SafeString("".join(marks))),
        )


def _drawn(values: Sequence[int | None], place: int) -> int:
    # The axis begins at zero: a day on which more was given back than taken draws no bar at all.
    return max(values[place] or 0, 0) if place < len(values) else 0


def _bar(frame: _Frame, left: float, thick: float, below: int, value: int, series: Series, title: str) -> SafeString:
    foot, head = frame.y(below), frame.y(below + value)
    # One pixel of ground between segments, but never so much that a small one disappears.
    height = max(foot - head - (1 if below else 0), 0.5)
    return format_html(
        '<rect class="hue-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        *(series.hue, f"{left:.1f}", f"{head:.1f}", f"{thick:.1f}", f"{height:.1f}", title),
    )


def _tick(frame: _Frame, left: float, thick: float, value: int, title: str) -> SafeString:
    return format_html(
        '<rect class="tick" x="{}" y="{}" width="{}" height="2"><title>{}</title></rect>',
        *(f"{left - 1:.1f}", f"{frame.y(value) - 1:.1f}", f"{thick + 2:.1f}", title),
    )


def _single(title: object, value: int, most: int, width: int) -> SafeString:
    # What is there is seen, however small its share.
    length = max(width * value / most, 1) if value > 0 else 0
    return format_html(
        '<svg class="bar" viewBox="0 0 {} 10" width="{}" height="10" role="img" aria-label="{}"><title>{}</title>'
        '<rect class="hue-1" width="{}" height="10"/></svg>',
        *(width, width, title, title, f"{length:.1f}"),
    )
