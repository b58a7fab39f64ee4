"""Merchant order numbers (商户订单号): unique for ever, sorting by time, not to be guessed.

`YYYYMMDD` of the game's own calendar, the letter G, nine characters of milliseconds since 1970, twelve random
ones: 30 characters of `[0-9A-Z]`, so every provider takes them (WeChat Pay allows 32, Alipay letters and
digits). The letter keeps spreadsheets from reading a number; it is not E, which they would read as a power.
"""

import secrets
from datetime import datetime
from zoneinfo import ZoneInfo

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_RANDOM = 12  # 60 bits
ATTEMPTS_PER_ACCOUNT = 99


def new_order_no(*, now: datetime, time_zone: str) -> str:
    """A new order number for a game whose clock is `time_zone` (IANA name)."""
    day = now.astimezone(ZoneInfo(time_zone)).strftime("%Y%m%d")
    return f"{day}G{_encode(int(now.timestamp() * 1000), 9)}{_encode(secrets.randbits(5 * _RANDOM), _RANDOM)}"


def attempt_no(order_no: str, nth_at_account: int) -> str:
    """The number a provider sees: the order's own for the first attempt at an account, then two digits more."""
    return order_no if nth_at_account == 1 else f"{order_no}{nth_at_account:02d}"


def _encode(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        text = _ALPHABET[number & 31] + text
        number >>= 5
    return text
