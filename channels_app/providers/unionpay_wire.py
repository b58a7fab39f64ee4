"""How UnionPay's messages are written: signed texts, forms, answers, values. No keys, no meaning.

One text is signed in both directions: the fields without `signature`, sorted, `name=value` joined by `&`, nothing
escaped. Amounts are fen as digits; times are Beijing time without saying so. A blank field is as good as none.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlencode

from channels_app.money import NO_CURRENCY, Money

BEIJING = timezone(timedelta(hours=8))

# A notification has some thirty; more than this is a stranger's.
_MOST_FIELDS = 200
_FORM = re.compile(rb"[!-~]+")
# Brackets may hold what separates fields; UnionPay's own parser closes them at the first closing one.
_FIELD = re.compile(r"([^=&]+)=((?:[^&{\[]++|\{[^}]*+\}?|\[[^\]]*+\]?)*+)(?:&|\Z)")
_NUMBER = re.compile(r"[0-9A-Za-z]{1,64}")
_AMOUNT = re.compile(r"[0-9]{1,12}")
_TIME = re.compile(r"[0-9]{14}")
_TIME_OF_YEAR = re.compile(r"[0-9]{10}")
_CNY = "156"


class Malformed(Exception):
    """A text is not written as documented. `step` names the check; `detail` never shows a value."""

    def __init__(self, step: str, detail: str) -> None:
        """Remember the check and a sentence for people."""
        super().__init__(detail)
        self.step = step
        self.detail = detail


# --- what is signed ---------------------------------------------------------------------------------------
def signed_text(fields: Mapping[str, str]) -> bytes:
    """What goes into the signature, which hashes it once more: the digest in lower-case hexadecimal digits.

    Blanks are no part of it: `fields` holds none.
    """
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature")
    return hashlib.sha256(text.encode()).hexdigest().encode()


# --- requests ---------------------------------------------------------------------------------------------
def form(fields: Mapping[str, str]) -> bytes:
    """The fields as they travel."""
    return urlencode(fields).encode()


def beijing(at: datetime) -> str:
    """A time as UnionPay writes it."""
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


# --- answers and notifications ----------------------------------------------------------------------------
def read_answer(body: bytes) -> dict[str, str]:
    """The fields of an answer, which is a form that nobody has escaped. Raises Malformed."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("garbled", "not text in UTF-8") from None
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _FIELD.match(text, at)
        if found is None:
            raise Malformed("garbled", "not fields joined by &")
        pairs.append((found[1], found[2]))
        at = found.end()
    return _fields(pairs, step="garbled")


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a notification. Raises Malformed."""
    if not _FORM.fullmatch(body):
        raise Malformed("form", "not a form")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict",
            max_num_fields=_MOST_FIELDS,
        )  # fmt: skip
    except UnicodeDecodeError:
        raise Malformed("charset", "not text in UTF-8") from None
    except ValueError:
        raise Malformed("form", "not a form") from None
    return _fields(pairs, step="form")


def _fields(pairs: list[tuple[str, str]], *, step: str) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed(step, "a field comes twice")
    if fields.get("encoding", "").upper() not in ("", "UTF-8"):
        raise Malformed("charset", "not in UTF-8, which we ask for")
    return {name: value for name, value in fields.items() if value}


# --- values -----------------------------------------------------------------------------------------------
def number(fields: Mapping[str, str], name: str) -> str:
    """A number of ours or of UnionPay's. Whatever passes can be stored, compared and logged safely."""
    value = fields.get(name, "")
    if not _NUMBER.fullmatch(value):
        raise Malformed("shape", f"{name} is not a number as documented")
    return value


def money(fields: Mapping[str, str]) -> Money:
    """`txnAmt`, in its currency."""
    value = fields.get("txnAmt", "")
    if not _AMOUNT.fullmatch(value) or not int(value):
        raise Malformed("shape", "txnAmt is not an amount in fen")
    # Another currency than ours never pays an order, whatever it is called.
    return Money(int(value), "CNY" if fields.get("currencyCode", _CNY) == _CNY else NO_CURRENCY)


def time(fields: Mapping[str, str], name: str) -> datetime:
    """A full time, in UTC."""
    at = _moment(fields.get(name, ""))
    if at is None:
        raise Malformed("shape", f"{name} is not a time")
    return at


def time_of_year(text: str, *, near: datetime) -> datetime | None:
    """A time written without its year: the one nearest to another moment, in UTC. None when it is no time."""
    if not _TIME_OF_YEAR.fullmatch(text):
        return None
    year = near.astimezone(BEIJING).year
    possible = [at for each in (year - 1, year, year + 1) if (at := _moment(f"{each:04d}{text}")) is not None]
    return min(possible, key=lambda at: abs(at - near), default=None)


def _moment(text: str) -> datetime | None:
    """None when it is no time, as the 29th of February is none in most years."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
