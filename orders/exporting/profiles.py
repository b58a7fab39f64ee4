"""For whom a file is: people with a spreadsheet, or a program.

`finance`: Chinese headings whoever downloads it, yuan with two decimals, times on the business clock, UTF-8 with a
byte order mark, CRLF, nothing that a spreadsheet runs, rounds or turns into a date; a footer with what the file is.
`machine`: snake_case headings in the same order, minor units, UTC, plain UTF-8, LF; every value as it is in the
books and nothing else: no footer, nothing neutralised. A program that hands such a file to a spreadsheet must
neutralise it itself (docs/exports.md).
"""

from django.db import models

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Written into the file's name; goes up when a column changes its meaning, its place or its name.
MACHINE_VERSION = 1
END_MARK = "文件结束"


class Profile(models.TextChoices):
    """For whom."""

    FINANCE = "finance"
    MACHINE = "machine"

    @property
    def newline(self) -> bytes:
        """How a line ends."""
        return b"\r\n" if self == Profile.FINANCE else b"\n"

    @property
    def in_file_name(self) -> str:
        """The profile with its version."""
        return "finance" if self == Profile.FINANCE else f"machine-v{MACHINE_VERSION}"


class Format(models.TextChoices):
    """What kind of file."""

    CSV = "csv"
    XLSX = "xlsx"
