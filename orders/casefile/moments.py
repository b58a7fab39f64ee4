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

    Moments with the same `repeats`, and nothing but repeats between them, are one line, worded by `folded` with their
    number; then `until` is when the last of them was. `raw` is what a program wrote, folded away on the page.
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
    """In order of time, with repeats folded into one line each.

    Repeats of different things may alternate; each still is one line, until something else happens.
    """
    lines: list[list[Moment]] = []
    repeating: dict[str, list[Moment]] = {}
    for moment in sorted(moments, key=lambda moment: (moment.future, moment.at)):
        if not moment.repeats:
            repeating.clear()
        elif moment.repeats in repeating:
            repeating[moment.repeats].append(moment)
            continue
        lines.append([moment])
        if moment.repeats:
            repeating[moment.repeats] = lines[-1]
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
