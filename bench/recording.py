"""What a request asks of PostgreSQL, recorded from one real request and turned into a pgbench script.

The recording is taken in this process, on Django's own connection: every statement with its parameters, and
where transactions begin and end. The script repeats it statement by statement, each with a round trip of its
own, for ever new orders: what was particular to the recorded request (its order, its numbers, its UUIDs) is
computed from a counter, everything else stands as it was.
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from channels_app.ids import uuid7
from orders.sql import raw_connection

_EVENT_ID = re.compile(r"evt_([0-9a-f]{32})")
_PLACEHOLDER = re.compile(r"%%|%s|%\((\w+)\)s")
_QUOTED = re.compile(r"(E?)'((?:[^']|'')*)'")
_UUIDS_PER_REQUEST = 16
_BEGIN, _COMMIT = "begin", "commit"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it was sent."""

    text: str
    parameters: Any = None


@contextmanager
def recording() -> Iterator[list[Statement]]:
    """Record every statement that this thread's connection is asked inside the block."""
    raw = raw_connection()
    statements: list[Statement] = []
    factory, transaction = raw.cursor_factory, raw.transaction

    class RecordingCursor(factory):  # type: ignore[misc, valid-type]  # whatever Django chose
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            if not raw.autocommit:
                raise RuntimeError("a transaction of Django's own: recording knows the hot path's way only")
            statements.append(Statement(str(query), params))
            return super().execute(query, params, **options)

    @contextmanager
    def recorded_transaction(*arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        statements.append(Statement(_BEGIN))
        with transaction(*arguments, **options) as inner:
            yield inner
        statements.append(Statement(_COMMIT))

    raw.cursor_factory = RecordingCursor
    raw.transaction = recorded_transaction  # type: ignore[method-assign]
    try:
        yield statements
    finally:
        raw.cursor_factory = factory
        del raw.transaction


@dataclass
class Translation:
    """Expressions for what is particular to a request. `:i` is the number of the run's request.

    `numbers`: a primary key → a pgbench variable. `texts`: a text → an SQL expression of type text, wherever the
    text occurs in a parameter. Documents (JSON) keep their size and stay as they are.
    """

    numbers: Mapping[int, str]
    texts: Mapping[str, str]
    _uuids: dict[uuid.UUID, str] = field(default_factory=dict)
    # Real ids grow with time and so land at an index's end; these do, too.
    _prefix: str = field(default_factory=lambda: uuid7().hex[:12])

    def script(self, statements: Sequence[Statement]) -> str:
        """The statements as pgbench wants them, each ended by a semicolon."""
        return "\n".join(f"{self._statement(one)};" for one in statements)

    def _statement(self, statement: Statement) -> str:
        parameters = statement.parameters
        in_order = iter(parameters if isinstance(parameters, Sequence) else ())

        def fill(found: re.Match[str]) -> str:
            if found[0] == "%%":
                return "%"
            return self.expression(parameters[found[1]] if found[1] else next(in_order))

        text = _QUOTED.sub(_without_colons, statement.text.strip())
        return _PLACEHOLDER.sub(fill, text) if parameters is not None else text

    def expression(self, value: Any) -> str:
        """An SQL expression for one parameter."""
        if isinstance(value, uuid.UUID):
            return f"{self._uuid(value)}::uuid"
        if isinstance(value, int) and not isinstance(value, bool) and value in self.numbers:
            return self.numbers[value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list) and value and isinstance(value[0], str):
            return f"ARRAY[{', '.join(self._text(one) for one in value)}]"
        return _literal(value)

    def _text(self, value: str) -> str:
        if value.startswith(("{", "[")):
            return _literal(value)
        known = dict(self.texts)
        for found in _EVENT_ID.finditer(value):
            known[found[1]] = self._uuid(uuid.UUID(found[1]))
        for made in list(self._uuids):
            known[str(made)] = f"({self._uuid(made)}::uuid)::text"
        if not any(token in value for token in known):
            return _literal(value)
        pattern = "|".join(re.escape(token) for token in sorted(known, key=len, reverse=True))
        parts = [part for part in re.split(f"({pattern})", value) if part]
        return f"({' || '.join(known.get(part) or _literal(part) for part in parts)})"

    def _uuid(self, value: uuid.UUID) -> str:
        """A text expression of 32 hexadecimal digits, others for every request."""
        if value not in self._uuids:
            nth = len(self._uuids)
            self._uuids[value] = (
                f"('{self._prefix}' || lpad(to_hex(:i::bigint * {_UUIDS_PER_REQUEST} + {nth}), 20, '0'))"
            )
        return self._uuids[value]


def _literal(value: Any) -> str:
    return _QUOTED.sub(_without_colons, sql.Literal(value).as_string(raw_connection()).strip())


def _without_colons(found: re.Match[str]) -> str:
    """pgbench takes `:word` for a variable even inside quotes."""
    escaped, body = found[1], found[2]
    if ":" not in body:
        return found[0]
    return f"E'{(body if escaped else body.replace(chr(92), chr(92) * 2)).replace(':', chr(92) + 'x3a')}'"
