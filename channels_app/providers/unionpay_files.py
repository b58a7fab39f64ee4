"""UnionPay's settlement file (对账文件): unpacked with a limit, its lines cut by bytes.

A file is a ZIP inside a zlib stream inside base64. Of its members, `…ZM_…` lists the transactions of one clearing day
(23:00 to 23:00, Beijing time): 42 columns of fixed width in GBK, joined by blanks, CRLF. Times in it have no year.
"""

import base64
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from channels_app.money import Money
from channels_app.providers.unionpay_wire import BEIJING, Malformed, time_of_year

# Some hundred thousand transactions. A studio with more of them in a day has outgrown one merchant number.
INFLATED_LIMIT_BYTES = 64 << 20

_WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2,
    6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
)  # fmt: skip
_LINE_BYTES = sum(_WIDTHS) + len(_WIDTHS) - 1
_TRANSACTIONS = re.compile(r"INN[0-9]{6}88ZM_[0-9A-Za-z]+")
_DIGITS = re.compile(r"[0-9]{12}")
_SIGNED = re.compile(r"([CD]?)([0-9]{12})")
_NOTHING = "0" * 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledLine:
    """One transaction of a clearing day. `fee` and `settled` are above zero when they are to our good."""

    kind: str  # 交易代码
    transaction_id: str  # queryId
    attempt_no: str  # orderId of the payment, refund or undoing, cut to 32 characters
    original_transaction_id: str  # of a refund or an undoing
    txn_type: str
    trace_no: str
    traced_at: datetime
    amount: Money
    fee: Money
    settled: Money
    account: str  # the card, masked
    note: str  # reqReserved


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementFile:
    """The file of one clearing day, as it came and as it reads."""

    day: date
    name: str
    content: bytes
    lines: tuple[SettledLine, ...]


def read_settlement_file(encoded: str, *, name: str, day: date) -> SettlementFile:
    """Unpack `fileContent` and read its transactions. Raises Malformed."""
    content = _inflated(encoded)
    members = list(_transactions(content))
    if not members:
        raise Malformed("file_packing", "no list of transactions in it")
    lines = [line for member in members for line in read_lines(member, day=day)]
    return SettlementFile(day=day, name=name, content=content, lines=tuple(lines))


def read_lines(content: bytes, *, day: date) -> Iterator[SettledLine]:
    """The lines of one ZM member. Raises Malformed, naming the line."""
    for number, line in enumerate(content.split(b"\r\n"), start=1):
        if not line:
            continue
        try:
            yield _line(line, day)
        except ValueError as error:
            raise Malformed("file_line", f"line {number} is not as documented: {error}") from None


def _inflated(encoded: str) -> bytes:
    try:
        packed = base64.b64decode(encoded, validate=True)
        inflating = zlib.decompressobj()
        content = inflating.decompress(packed, INFLATED_LIMIT_BYTES)
    except (ValueError, zlib.error):
        raise Malformed("file_packing", "fileContent is not deflated base64") from None
    if not inflating.eof:
        raise Malformed("file_size", "fileContent is cut, or larger than a settlement file can be")
    return content


def _transactions(content: bytes) -> Iterator[bytes]:
    """The transaction members of the ZIP."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if _TRANSACTIONS.fullmatch(member.filename):
                    yield _unpacked(archive, member)
    # NotImplementedError: a compression that zipfile does not know; RuntimeError: a member that wants a password.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
        raise Malformed("file_packing", "the file is not a sound ZIP") from None


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # What the directory says of a member's size is the sender's word; what comes out is counted.
    with archive.open(member) as unpacking:
        content = unpacking.read(INFLATED_LIMIT_BYTES + 1)
    if len(content) > INFLATED_LIMIT_BYTES:
        raise Malformed("file_size", "a member is larger than a settlement file can be")
    return content


def _line(line: bytes, day: date) -> SettledLine:
    cells = _cells(line)
    return SettledLine(
        kind=cells[0],
        transaction_id=cells[9],
        attempt_no=cells[11],
        original_transaction_id=cells[26],
        txn_type=cells[19],
        trace_no=cells[3],
        traced_at=_traced_at(cells[4], day),
        amount=_amount(cells[6]),
        fee=_to_our_good(cells[15]),
        settled=_to_our_good(cells[16]),
        account=cells[5],
        note=cells[34],
    )


def _cells(line: bytes) -> list[str]:
    """Cut by bytes: a Chinese character is two of them. Raises ValueError."""
    if len(line) != _LINE_BYTES:
        raise ValueError(f"{len(line)} bytes instead of {_LINE_BYTES}")
    cells: list[str] = []
    at = 0
    for width in _WIDTHS:
        if at and line[at - 1 : at] != b" ":
            raise ValueError(f"column {len(cells) + 1} does not begin where it should")
        cells.append(line[at : at + width].decode("gbk").strip())
        at += width + 1
    return cells


def _traced_at(text: str, day: date) -> datetime:
    """The clearing day's year, or the neighbour's: the file of 1 January begins on 31 December."""
    at = time_of_year(text, near=datetime.combine(day, time(11), tzinfo=BEIJING))
    if at is None:
        raise ValueError("the time is none")
    return at


def _amount(text: str) -> Money:
    if not _DIGITS.fullmatch(text):
        raise ValueError("the amount is none")
    return Money(int(text), "CNY")


def _to_our_good(text: str) -> Money:
    """`C` and twelve digits: credited to the merchant; `D`: charged; blank or zeros: nothing of the kind."""
    found = _SIGNED.fullmatch(text or _NOTHING)
    if found is None or not (found[1] or text in ("", _NOTHING)):
        raise ValueError("an amount with a sign is none")
    return Money(int(found[2]) * (-1 if found[1] == "D" else 1), "CNY")
