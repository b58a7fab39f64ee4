"""A finance file as an Excel workbook: cells are text, so nothing is run, rounded or turned into a date; quantities
and money are numbers, so that they add up.

Made from a CSV whose cells need no protection; row by row, with constant memory.
"""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import xlsxwriter

from orders.exporting.reports import Column

_SAID_EVERY = 2_000
_WIDTH = 18
# What a double holds exactly to the last decimal.
_NUMBER = re.compile(r"-?[0-9]{1,13}(\.[0-9]{2})?")


def to_spreadsheet(path: Path, columns: Sequence[Column], *, rows: int, progress: Callable[[], None]) -> Path:
    """Write `path` (head, `rows` lines, foot) again as a workbook beside it, delete it, and return the workbook."""
    made = path.with_suffix(".xlsx")
    counting = {place for place, column in enumerate(columns) if column.counts}
    options = {"constant_memory": True, "tmpdir": str(path.parent)}
    with xlsxwriter.Workbook(str(made), options) as book, path.open(encoding="utf-8-sig", newline="") as lines:
        text, bold = book.add_format({"num_format": "@"}), book.add_format({"num_format": "@", "bold": True})
        numbers = {False: book.add_format({"num_format": "#,##0"}), True: book.add_format({"num_format": "#,##0.00"})}
        sheet = book.add_worksheet()
        sheet.set_column(0, len(columns) - 1, _WIDTH)
        sheet.freeze_panes(1, 0)
        for number, cells in enumerate(csv.reader(lines)):
            for place, cell in enumerate(cells):
                if place in counting and 0 < number <= rows and _NUMBER.fullmatch(cell):
                    sheet.write_number(number, place, float(cell), numbers["." in cell])
                elif cell:
                    sheet.write_string(number, place, cell, text if number else bold)
            if number % _SAID_EVERY == 0:
                progress()
    path.unlink()
    return made
