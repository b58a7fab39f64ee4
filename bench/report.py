"""The table at the end: each figure beside its floor, its target, and whether it was met."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # which need Django, and not every trial does
    from bench.trials import Sample


@dataclass(frozen=True, slots=True)
class Target:
    """What one trial must reach."""

    code: str
    what: str
    floor: str = ""  # which floor the share is of
    share: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    def words(self) -> str:
        """The target, for people."""
        parts = [f"≥ {self.share:.0%} of {self.floor}"] if self.share else []
        parts += [f"p50 ≤ {self.p50_ms:g} ms, p99 ≤ {self.p99_ms:g} ms"] if self.p50_ms else []
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    code: str
    what: str
    ours: str
    latency: str
    floor: str
    share: str
    target: str
    met: bool | None  # None: no target
    facts: dict[str, Any] = field(default_factory=dict)


def lines_of(target: Target, samples: "Sequence[Sample]") -> list[Line]:
    """The lines of one trial: the first beside the floor that counts, then its other floors."""
    rate = statistics.median(sample.rate for sample in samples)
    p50, p99 = (statistics.median(getattr(sample, name) for sample in samples) for name in ("p50_ms", "p99_ms"))
    shares = {
        name: statistics.median(sample.rate / sample.floors[name] for sample in samples) for name in samples[0].floors
    }
    floors = {name: statistics.median(sample.floors[name] for sample in samples) for name in shares}
    names = sorted(shares, key=lambda name: name != target.floor)
    met = (shares[target.floor] >= target.share if target.share else True) and (
        not target.p50_ms or (p50 <= target.p50_ms and p99 <= target.p99_ms)
    )
    has_target = bool(target.share or target.p50_ms)
    facts = {"rounds": [asdict(sample) for sample in samples], "shares": shares}
    lines = []
    for place, name in enumerate(names):
        first = place == 0
        lines.append(
            Line(
                code=target.code if first else "",
                what=target.what if first else "",
                ours=f"{rate:,.0f}/s" if first else "",
                latency=f"{p50:.1f} / {p99:.1f}" if first and p50 else "",
                floor=f"{name} {floors[name]:,.0f}/s",
                share=f"{shares[name]:.1%}",
                target=target.words() if first else "",
                met=met if first and has_target else None,
                facts=facts if first else {},
            )
        )
    return lines


_HEADS = ("", "what", "ours", "p50 / p99 ms", "floor of the same run", "share", "target", "met")


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table, aligned for a terminal."""
    marks = {True: "yes", False: "NO", None: ""}
    rows = [_HEADS] + [
        (line.code, line.what, line.ours, line.latency, line.floor, line.share, line.target, marks[line.met])
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    printed = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    printed.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(printed)
