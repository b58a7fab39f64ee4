"""What a number looks like: whose it is and from which day, before anybody is asked.

People paste what a player sent: with a label before it, in full-width digits, in quotes, cut into groups, with the
invisible characters of a chat program.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

LONGEST = 128
_QUOTES = "\"'`“”‘’「」『』《》<>()[]【】,;，；。"
# "Order number: 2026…": words before a colon, a number behind it.
_LABEL = re.compile(r"^[^\W\d_][^:]{0,19}:\s*(?=[0-9A-Za-z][0-9A-Za-z_.|*@ -]{5,}$)")
_GROUPED = re.compile(r"[0-9A-Za-z_|*@.-]+(?:[\s\u3000]+[0-9A-Za-z_|*@.-]+)+")


def cleaned(text: str) -> str:
    """The number in what somebody pasted; "" when nothing is left."""
    plain = unicodedata.normalize("NFKC", text[: 4 * LONGEST])
    # Control, format (zero width) and surrogate characters, and what no database text may hold.
    plain = "".join(" " if sign.isspace() else sign for sign in plain if sign.isspace() or _is_seen(sign))
    plain = plain.strip().strip(_QUOTES).strip()
    plain = _LABEL.sub("", plain)
    if _GROUPED.fullmatch(plain):
        plain = re.sub(r"\s+", "", plain)
    return plain[:LONGEST]


def _is_seen(sign: str) -> bool:
    return not unicodedata.category(sign).startswith("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a number looks like. `provider`: who could be asked about it; `words`: as a sentence without full stop."""

    code: str
    words: Callable[[date | None], str]
    provider: str = ""
    day: date | None = None

    def in_words(self) -> str:
        """The likeness in the reader's language."""
        return self.words(self.day)


_WECHAT = re.compile(r"4200\d{6}(\d{8})\d{10}")
_ALIPAY = re.compile(r"(20\d{6})\d{20}")
_UNIONPAY = re.compile(r"(\d{8})\d{13}")
_OURS = re.compile(r"(20\d{6})G[0-9A-HJKMNP-TV-Z]{21}(\d\d)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Look:
    """A number that is known by its look alone."""

    code: str
    looks: re.Pattern[str]
    words: Callable[[], str]
    provider: str = ""


_LOOKS = (
    _Look("google", re.compile(r"GPA\.\d{4}-\d{4}-\d{4}-\d{5}.*", re.IGNORECASE),
          lambda: _("an order number of Google Play"), "google"),
    _Look("apple", re.compile(r"M[A-Z0-9]{9,11}", re.IGNORECASE),
          lambda: _("an Apple order id (M and ten characters)"), "apple"),
    _Look("apple", re.compile(r"\d{14,18}"), lambda: _("a transaction of Apple (about 15 digits)"), "apple"),
    # A payment, a charge, a Checkout session, a refund, a dispute.
    _Look("stripe", re.compile(r"(pi|ch|py|cs|re|pyr|du|dp)_(test_|live_)?[A-Za-z0-9]{10,}"),
          lambda: _("a number of Stripe (two letters, an underscore, then letters and digits)"), "stripe"),
    _Look("token", re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE),
          lambda: _("the number by which a store knows an attempt to pay an order of ours (a UUID)")),
    _Look("player", re.compile(r"\d{4,12}"), lambda: _("a UID")),
)  # fmt: skip


def shape_of(number: str) -> Shape | None:
    """What a (cleaned) number looks like; None when it looks like nothing we know."""
    if found := _WECHAT.fullmatch(number):
        return Shape(code="wechatpay", words=_wechat, provider="wechatpay", day=_day(found[1]))
    if (found := _ALIPAY.fullmatch(number)) and (day := _day(found[1])):
        return Shape(code="alipay", words=_alipay, provider="alipay", day=day)
    if found := _UNIONPAY.fullmatch(number):
        return Shape(code="unionpay", words=_unionpay, provider="unionpay", day=_day(found[1]))
    if found := _OURS.fullmatch(number):
        return Shape(code="ours", words=_attempt if found[2] else _ours, day=_day(found[1]))
    look = next((look for look in _LOOKS if look.looks.fullmatch(number)), None)
    return Shape(code=look.code, words=lambda day: look.words(), provider=look.provider) if look else None


def _day(digits: str) -> date | None:
    try:
        return date.fromisoformat(digits)
    except ValueError:
        return None


def _wechat(day: date | None) -> str:
    if day is None:
        return _("a WeChat Pay transaction (28 digits, begins with 4200), but its date cannot be right")
    return _("a WeChat Pay transaction (28 digits, begins with 4200, of %(day)s)") % {"day": day.isoformat()}


def _alipay(day: date | None) -> str:
    return _("an Alipay transaction (28 digits, begins with its date, %(day)s)") % {
        "day": day.isoformat() if day else ""
    }


def _unionpay(day: date | None) -> str:
    return _("a UnionPay transaction (21 digits)")


def _ours(day: date | None) -> str:
    return _("an order number of ours, of %(day)s") % {"day": day.isoformat() if day else "?"}


def _attempt(day: date | None) -> str:
    return _("the number of a second or later attempt to pay an order of ours, of %(day)s") % {
        "day": day.isoformat() if day else "?"
    }
