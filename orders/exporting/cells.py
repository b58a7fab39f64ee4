"""How one value is written into a file: as SQL for the rows, in Python for the few lines of our own.

A cell is a function from the `Look` of a file to an SQL expression. Everything a player, a game or a provider typed
goes through `text` or `person`; in the finance profile those cells cannot be run as a formula (an apostrophe stands
in front), rounded, shortened or taken for a date (a tab stands behind), or break a line (line breaks become spaces).
The Python half (`harmless`, `flat`, `major`, `line`) follows the same rules.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import translation
from psycopg import sql

from channels_app.money import WITHOUT_DECIMALS
from orders.exporting.profiles import Profile

CLOCK = "%Y-%m-%d %H:%M:%S"

_FORMULA = r"^[\s\u00a0\u3000]*[=+\-@＝＋－＠]|^[\t\r\n]"
# Dates, times, decimals and powers: a spreadsheet would make something else of them.
_SOMETHING_ELSE = r"^[0-9]+[-/:.,eE][-0-9/:.,eE ]*$"
_ROUNDED = r"^(0[0-9]+|[0-9]{16,})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a file's cells depend on.

    `personal`: players, roles and addresses whole instead of masked. `typed`: the file itself says that a cell is
    text (a workbook), so a cell needs neither apostrophe nor tab.
    """

    profile: Profile
    time_zone: str
    personal: bool = False
    typed: bool = False

    @property
    def is_finance(self) -> bool:
        """Whether people open it in a spreadsheet."""
        return self.profile == Profile.FINANCE


Cell = Callable[[Look], str]


# --- cells of rows ------------------------------------------------------------------------------------------------
def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return sql.Literal(text).as_string(None)


def plain(expression: str) -> Cell:
    """A value that cannot be hostile: a whole number, or a word of ours."""
    return lambda look: expression


def text(expression: str) -> Cell:
    """Whatever somebody typed. (Line breaks are taken out of whole blocks of lines, see `snapshot`.)"""
    return lambda look: _neutral(expression) if look.is_finance and not look.typed else expression


def _neutral(x: str) -> str:
    """Almost every cell passes the first two, cheap looks: it begins with a letter, or is a short number."""
    is_word = f"ascii({x}) BETWEEN 65 AND 122 OR ascii({x}) BETWEEN 19968 AND 40959 OR {x} = ''"
    is_rounded = f"octet_length({x}) > 15 OR (ascii({x}) = 48 AND octet_length({x}) > 1)"
    return (
        f"CASE WHEN {is_word} THEN {x}"
        f" WHEN {x} !~ '[^0-9]' THEN CASE WHEN {is_rounded} THEN {x} || E'\\t' ELSE {x} END"
        f" WHEN {x} ~ '{_FORMULA}' THEN '''' || {x}"
        f" WHEN {x} ~ '{_SOMETHING_ELSE}' THEN {x} || E'\\t' ELSE {x} END"
    )


def person(expression: str) -> Cell:
    """A player or a role: the last four characters unless the file may hold personal data."""

    def cell(look: Look) -> str:
        if look.personal:
            return text(expression)(look)
        tail = f"CASE WHEN length({expression}) > 4 THEN right({expression}, 4) ELSE '' END"
        return f"CASE WHEN {expression} = '' THEN '' ELSE '****' || {tail} END"

    return cell


def address(expression: str) -> Cell:
    """A network address: the /24 (IPv6: the /48) it belongs to unless the file may hold personal data."""
    masked = (
        f"CASE WHEN {expression} = '' THEN ''"
        f" WHEN strpos({expression}, '.') > 0 THEN rtrim({expression}, '0123456789') || '0/24'"
        f" ELSE rtrim(coalesce(substring({expression} from '^[0-9A-Fa-f]+:[0-9A-Fa-f]*:[0-9A-Fa-f]*'), ''), ':')"
        " || '::/48' END"
    )
    return lambda look: text(expression)(look) if look.personal else masked


def amount(minor: str, currency: str) -> Cell:
    """Money: yuan with two decimals (currencies without decimals whole), or minor units."""
    without = ", ".join(quoted(code) for code in WITHOUT_DECIMALS)
    # The usual currency first: nine comparisons for every cell would be felt.
    major = (
        f"CASE WHEN {currency} = 'CNY' THEN ({minor}) * 0.01"
        f" WHEN {currency} IN ({without}) THEN ({minor})::numeric ELSE ({minor}) * 0.01 END"
    )
    return lambda look: major if look.is_finance else f"({minor})"


def moment(expression: str) -> Cell:
    """A time: on the business clock to the second, or ISO 8601 in UTC."""

    def cell(look: Look) -> str:
        if look.is_finance:
            return f"date_trunc('second', timezone({quoted(look.time_zone)}, {expression}))"
        return f"replace(timezone('UTC', {expression})::text, ' ', 'T') || 'Z'"

    return cell


def label(expression: str, choices: Sequence[tuple[str, Any]]) -> Cell:
    """A state: its Chinese word, or its code."""

    def cell(look: Look) -> str:
        if not look.is_finance:
            return expression
        with translation.override("zh-hans"):
            whens = [f"WHEN {quoted(str(code))} THEN {quoted(str(words))}" for code, words in choices]
        return f"CASE {expression} {' '.join(whens)} ELSE {expression} END"

    return cell


def word(chinese: str, code: str) -> Cell:
    """The same word in every row."""
    return lambda look: quoted(chinese if look.is_finance else code)


def nothing(look: Look) -> str:
    """A cell that stays empty."""
    return "NULL"


# --- lines of our own ---------------------------------------------------------------------------------------------
def harmless(value: object) -> str:
    """A value as a cell of the finance profile."""
    typed = str(value)
    formula = "'" if re.search(_FORMULA, typed) else ""
    number = "\t" if re.search(f"{_ROUNDED}|{_SOMETHING_ELSE}", typed) else ""
    return f"{formula}{flat(typed)}{number}"


def flat(typed: str) -> str:
    """A text on one line."""
    return typed.replace("\r", " ").replace("\n", " ")


def major(amount_minor: int, currency: str) -> str:
    """600, "CNY" → "6.00"; -5 → "-0.05"; currencies without decimals whole."""
    if currency in WITHOUT_DECIMALS:
        return str(amount_minor)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def on_clock(at: datetime, zone: ZoneInfo) -> str:
    """A moment as the finance profile writes it."""
    return at.astimezone(zone).strftime(CLOCK)


def line(cells: Iterable[object], profile: Profile) -> bytes:
    """One line of a file. Amounts and times come as text, made by `major` and `on_clock`; None is an empty cell.

    The cells are written as they are: pass what somebody typed through `harmless` in the finance profile.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(["" if cell is None else cell for cell in cells])
    return out.getvalue().encode() + profile.newline
