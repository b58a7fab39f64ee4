"""How a file is made of an export: its head, its lines, and for finance staff the foot that says what it is."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from orders.exporting.asking import Export, in_chinese
from orders.exporting.cells import flat, harmless, line, major, on_clock
from orders.exporting.profiles import BYTE_ORDER_MARK, END_MARK, Format, Profile
from orders.exporting.reports import Report
from orders.exporting.snapshot import Figures, Totals, copied, snapshot, totals_of
from orders.exporting.spreadsheet import to_spreadsheet

_NO_LIMIT = 1 << 62


class RowsDiffer(Exception):
    """The rows that came and the rows that were counted are not the same number: the file must not exist."""


@dataclass(frozen=True, slots=True)
class Part:
    """One finished file on this machine's disk."""

    path: Path
    name: str
    rows: int
    size: int
    sha256: str


def stream(export: Export) -> Iterator[bytes]:
    """The file in blocks, as it is made. Finance files end with a mark: one without it was cut off."""
    yield head(export)
    with snapshot() as raw:
        totals = totals_of(raw, export) if export.profile == Profile.FINANCE else None
        count = 0
        with closing(copied(raw, export, per_part=_NO_LIMIT)) as blocks:
            for rows, block in blocks:
                count += rows
                yield block
    if totals is not None:
        _check(count, totals)
        yield foot(export, totals, part=1, parts=1, rows=count)


def write_parts(
    export: Export, folder: Path, *, per_part: int, progress: Callable[[int, int | None], None]
) -> list[Part]:
    """All files of an export, in `folder`; none longer than `per_part` rows. Raises what `progress` raises."""
    progress(0, None)
    drafts: list[tuple[Path, int]] = []
    with snapshot() as raw:
        totals = totals_of(raw, export)
        parts = max(1, -(-totals.rows // per_part))
        done = 0
        with closing(copied(raw, export, per_part=per_part)) as blocks:
            for part in range(1, parts + 1):
                path = folder / f"{part}.csv"
                with path.open("wb") as out:
                    rows = _write_part(
                        out,
                        export,
                        blocks,
                        at_most=min(per_part, totals.rows - done),
                        totals=totals,
                        place=(part, parts),
                        report=partial(_report, progress, done, totals.rows),
                    )
                done += rows
                drafts.append((path, rows))
            if next(blocks, None) is not None:
                raise RowsDiffer
    still_there = partial(progress, done, totals.rows)
    return [
        _finished(export, path, rows, export.part_name(part, parts), progress=still_there)
        for part, (path, rows) in enumerate(drafts, start=1)
    ]


def _report(progress: Callable[[int, int | None], None], before: int, total: int, rows: int) -> None:
    progress(before + rows, total)


def _write_part(
    out: BinaryIO,
    export: Export,
    blocks: Iterator[tuple[int, bytes]],
    *,
    at_most: int,
    totals: Totals,
    place: tuple[int, int],
    report: Callable[[int], None],
) -> int:
    """Head, `at_most` lines, foot. Blocks never reach over the end of a part."""
    out.write(head(export))
    rows = 0
    while rows < at_most:
        count, block = next(blocks, (0, b""))
        if not count:
            raise RowsDiffer
        rows += count
        out.write(block)
        report(rows)
    if export.profile == Profile.FINANCE:
        out.write(foot(export, totals, part=place[0], parts=place[1], rows=rows))
    return rows


def _finished(export: Export, path: Path, rows: int, name: str, *, progress: Callable[[], None]) -> Part:
    if export.format == Format.XLSX:
        path = to_spreadsheet(path, export.report.columns, rows=rows, progress=progress)
    with path.open("rb") as made:
        digest = hashlib.file_digest(made, "sha256").hexdigest()
    return Part(path=path, name=name, rows=rows, size=path.stat().st_size, sha256=digest)


def _check(count: int, totals: Totals) -> None:
    if count != totals.rows:
        raise RowsDiffer


def head(export: Export) -> bytes:
    """What stands before the rows."""
    if export.profile == Profile.FINANCE:
        return BYTE_ORDER_MARK + line((column.heading for column in export.report.columns), export.profile)
    return line((column.name for column in export.report.columns), export.profile)


def foot(export: Export, totals: Totals, *, part: int, parts: int, rows: int) -> bytes:
    """What stands behind the rows of a finance file: what it is, its totals, and the mark that it is whole."""
    since, until = export.period
    safe = flat if export.look.typed else harmless  # for what people typed
    asked = export.asked_at.astimezone(export.zone)
    lines: list[list[object]] = [
        [],
        ["报表", export.report.heading],
        ["游戏", safe(export.game_code) or "全部游戏"],
        ["环境", in_chinese(export.environment.label)],
        [
            "期间",
            on_clock(since, export.zone) if since else "最早",
            on_clock(until, export.zone) if until else "导出时",
        ],
        ["筛选条件", safe("；".join(export.filters)) or "无"],
        ["时区", f"{export.time_zone} (UTC{asked:%z})"],
        ["导出时间", on_clock(export.asked_at, export.zone)],
        ["个人信息", "完整" if export.personal else "已脱敏"],
        ["行数", rows],
    ]
    if parts > 1:
        lines += [["文件", f"第 {part} 个，共 {parts} 个"], ["全部文件行数", totals.rows]]
    headings = _sum_headings(export.report)
    lines.append(["合计", export.report.grouped_by, *headings])
    lines += [["合计", safe(figures.of), *_sums(export.report, figures)] for figures in totals.figures]
    lines.append([END_MARK])
    return b"".join(line(cells, export.profile) for cells in lines)


def _sum_headings(report: Report) -> list[str]:
    return [one.heading for section in report.sections for one in section.sums]


def _sums(report: Report, figures: Figures) -> list[str]:
    """Every figure of the report for one currency, zero where a section has no row in it."""
    return [
        major(figures.values.get(one.heading, 0), figures.of)
        if one.is_money
        else str(figures.values.get(one.heading, 0))
        for section in report.sections
        for one in section.sums
    ]
