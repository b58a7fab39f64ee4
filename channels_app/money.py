"""Money: an integer of minor units and its ISO 4217 currency. Yuan strings become fen here and nowhere else."""

import re
from dataclasses import dataclass

# ISO 4217 currencies without a minor unit, as far as stores sell in them. All others here have two decimals.
WITHOUT_DECIMALS = ("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF")
# ISO 4217 for "no currency": what was charged is not told, or is in no currency that we know.
NO_CURRENCY = "XXX"
_YUAN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency, in its minor unit (fen for CNY)."""

    amount_minor: int
    currency: str


def fen_from_yuan(text: str) -> int:
    """`"6.00"` → 600. Raises ValueError for anything but plain ASCII digits with at most two decimals."""
    match = _YUAN.fullmatch(text)
    if match is None:
        raise ValueError(f"not an amount in yuan: {text[:40]!r}")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def yuan_from_fen(fen: int) -> str:
    """600 → `"6.00"`. `fen` must not be negative."""
    if fen < 0:
        raise ValueError("a provider amount is never negative")
    return f"{fen // 100}.{fen % 100:02d}"


def from_thousandths(thousandths: int, currency: str) -> Money:
    """4990 thousandths of a dollar → 499 cents; 600000 thousandths of a yen → 600 yen. Halves are rounded up."""
    unit = 1000 if currency in WITHOUT_DECIMALS else 10
    return Money((thousandths + unit // 2) // unit, currency)
