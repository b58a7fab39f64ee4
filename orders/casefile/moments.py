"""One line of a timeline, and how repeats become one line."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any


class Tone(StrEnum):
    """The one meaning of a colour (see console.css)."""

    DONE = "done"
    WORKING = "working"
    DECIDE = "decide"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened, or is going to (`future`).

    Moments in a row with the same `repeats` are one line, worded by `folded` with their number; then `until` is when
    the last of them was. `raw` is what a program wrote, folded away on the page.
    """

    at: datetime
    words: str
    who: str = ""
    tone: Tone = Tone.QUIET
    raw: Sequence[Any] = ()
    future: bool = False
    until: datetime | None = None
    repeats: str = ""
    folded: Callable[[int], str] | None = field(default=None, compare=False)


def fold(moments: Iterable[Moment]) -> list[Moment]:
    """In order of time, with repeats folded into one line each."""
    lines: list[list[Moment]] = []
    for moment in sorted(moments, key=lambda moment: (moment.future, moment.at)):
        if lines and moment.repeats and lines[-1][0].repeats == moment.repeats:
            lines[-1].append(moment)
        else:
            lines.append([moment])
    return [_one(line) for line in lines]


def _one(line: Sequence[Moment]) -> Moment:
    first, last = line[0], line[-1]
    if len(line) == 1 or first.folded is None:
        return first
    return replace(
        first,
        words=first.folded(len(line)),
        until=last.at,
        raw=[entry for moment in line for entry in moment.raw],
    )
