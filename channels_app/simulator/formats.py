"""How providers write times, amounts and JSON. Inside, amounts are minor units (fen) and times Unix seconds."""

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

CHINA = timezone(timedelta(hours=8))
# Currencies whose smallest unit is the whole one, or a thousandth; a hundredth in all others.
WHOLE_CURRENCIES = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_YUAN = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?")


def rfc3339(at: float) -> str:
    """`2026-01-02T03:04:05+08:00`, as WeChat Pay writes times."""
    return datetime.fromtimestamp(at, CHINA).isoformat(timespec="seconds")


def plain_time(at: float) -> str:
    """`2026-01-02 03:04:05`, Beijing time without saying so, as Alipay and all bills write times."""
    return datetime.fromtimestamp(at, CHINA).strftime("%Y-%m-%d %H:%M:%S")


def compact_day(at: float) -> str:
    """`20260102`, the way provider numbers begin."""
    return datetime.fromtimestamp(at, CHINA).strftime("%Y%m%d")


def read_plain_time(text: str) -> float | None:
    """Unix seconds of a Beijing time without offset; None when it is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA).timestamp()
    except ValueError:
        return None


def read_rfc3339(text: str) -> float | None:
    """Unix seconds of a time with offset; None when it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None


def yuan(fen: int) -> str:
    """Fen as yuan with two places: -5 is `-0.05`."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def money(minor: int, currency: str) -> str:
    """For people: `6.00 CNY`, `120 JPY`."""
    if currency in WHOLE_CURRENCIES:
        return f"{minor} {currency}"
    places = 3 if currency in _THOUSANDTHS else 2
    return f"{minor // 10**places}.{minor % 10**places:0{places}d} {currency}"


def read_yuan(text: object) -> int | None:
    """Fen of an amount in yuan; None when it is no amount Alipay would take."""
    found = _YUAN.fullmatch(text) if isinstance(text, str) else None
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else None


def compact_json(document: Any) -> str:
    """JSON as it travels."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
