"""How rows leave the database: from one snapshot, on a connection of their own, copied out in blocks.

A connection of its own, because an export runs long: the thread's own stays free for everything else, and nothing
can be written by accident. A reader that goes away closes it, and PostgreSQL stops.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from orders.exporting.asking import Export, named
from orders.exporting.profiles import Profile
from orders.exporting.reports import Section

# An export may run long; a query that hangs may not.
_LONGEST = "15min"
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of totals: what it adds up (a currency, an item) and the figures, by heading."""

    of: str
    values: dict[str, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """How many lines the file will have, and its figures."""

    rows: int
    figures: Sequence[Figures]


@contextmanager
def snapshot() -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees the books as they are now until the block ends, and can only read them."""
    own = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        own.ensure_connection()
        raw: psycopg.Connection[Any] = own.connection
        for statement in (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            f"SET LOCAL statement_timeout = '{_LONGEST}'",
            f"SET LOCAL idle_in_transaction_session_timeout = '{_LONGEST}'",
        ):
            raw.execute(statement.encode())
        yield raw
    finally:
        own.close()


def totals_of(raw: psycopg.Connection[Any], export: Export) -> Totals:
    """Lines and figures of every section, added up by PostgreSQL."""
    rows = 0
    figures: dict[str, dict[str, int]] = {}
    for section in export.report.sections:
        source = section.source.format(rows=named(export.rows, export.report))
        sums = "".join(f", {one.value}" for one in section.sums)
        # Nothing in it is anybody's word but the rows' SELECT, whose values the ORM has written into it.
        statement = f"SELECT {section.by}, count(*){sums} FROM {source} GROUP BY 1 ORDER BY 1"  # noqa: S608
        found = raw.execute(statement.encode())
        for of, count, *values in found.fetchall():
            rows += count
            line = figures.setdefault(str(of), {})
            line.update({one.heading: int(value or 0) for one, value in zip(section.sums, values, strict=True)})
    return Totals(rows, [Figures(of, figures[of]) for of in sorted(figures)])


def statements(export: Export) -> list[str]:
    """The SELECT of every section, cells and all."""
    rows = named(export.rows, export.report)
    return [_select(section, export, rows) for section in export.report.sections]


def _select(section: Section, export: Export, rows: str) -> str:
    cells = ", ".join(cell(export.look) for cell in section.cells)
    return f"SELECT {cells} FROM {section.source.format(rows=rows)} ORDER BY {section.order}"  # noqa: S608  # as above


def copied(raw: psycopg.Connection[Any], export: Export, *, per_part: int) -> Generator[tuple[int, bytes], None, None]:
    """The lines of all sections in blocks: (lines in it, bytes). No block reaches over the end of a part.

    PostgreSQL has written each line as it stands in the file; nothing here looks into one, but into those of a block
    in which somebody typed a line break.
    """
    room = per_part
    finance = export.profile == Profile.FINANCE
    for statement in statements(export):
        with raw.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT WITH (FORMAT csv)".encode()) as copy:
            lines: list[Any] = []
            size = 0
            for line in copy:
                lines.append(line)
                size += len(line)
                if size >= _BLOCK_BYTES or len(lines) == room:
                    yield len(lines), _block(lines, finance=finance)
                    room = room - len(lines) or per_part
                    lines, size = [], 0
            if lines:
                yield len(lines), _block(lines, finance=finance)
                room -= len(lines)


def _block(lines: Sequence[Any], *, finance: bool) -> bytes:
    block = b"".join(lines)
    if not finance:
        return block
    # PostgreSQL ends its lines with LF. Usually no cell holds a line break, and each LF becomes CRLF safely.
    if block.count(b"\n") != len(lines) or b"\r" in block:
        block = b"".join(_flat(bytes(line)) for line in lines)
    return block.replace(b"\n", b"\r\n")


def _flat(line: bytes) -> bytes:
    """A line whose cells hold no line break any more."""
    return line[:-1].replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
