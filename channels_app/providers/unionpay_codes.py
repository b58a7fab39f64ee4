"""What UnionPay's two-character codes mean: literal tables. A code that stands in none of them decides nothing."""

from collections.abc import Mapping

from channels_app.providers.base import (
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RefundStanding,
    Standing,
)
from channels_app.providers.texts import printable

OK = "00"
DUPLICATE = "12"
NO_SUCH_TRANSACTION = "34"
NO_SUCH_FILE = "98"

SUCCEEDED = frozenset({OK, "A6"})  # A6: done, with a defect that is none of ours
# The buyer was charged and UnionPay is not done with it: kept, and put before a person.
REVIEWS: Mapping[str, str] = {
    "42": "UnionPay 42: charged after the time allowed for paying",
    "74": "UnionPay 74: charged, and whether that was undone is not known",
    "75": "UnionPay 75: charged, and undoing that has failed",
}
MONEY_TAKEN = SUCCEEDED | frozenset(REVIEWS)

# Opened, and the buyer is on the way: no answer yet.
_ON_THE_WAY = frozenset({"05", "70"})
FAILED = frozenset({
    "01", "30", "33", "35", "36", "38", "39", "40", "45", "46",
    "60", "61", "62", "63", "64", "65", "66", "67", "68", "69", "71", "72", "73", "76", "77", "78",
})  # fmt: skip

_UNKNOWN_RESULT = frozenset({"03", "04", "05", "99"})
_LATER = frozenset({"02", "06", "37", "41"})
_EXPLICIT_NO = FAILED | frozenset({
    "10", "11", DUPLICATE, "13", "14", "31", "32", NO_SUCH_TRANSACTION, "43", NO_SUCH_FILE,
})  # fmt: skip


def error_of(fields: Mapping[str, str]) -> ProviderError | None:
    """The error a verified answer means; None when the call succeeded."""
    code, message = said(fields, "respCode"), printable(fields.get("respMsg"), 200)
    if code in SUCCEEDED:
        return None
    if code in _LATER:
        return ProviderBusy(code, message)
    return ProviderRejected(code, message) if code in _EXPLICIT_NO else ProviderUnavailable(code, message)


def said(fields: Mapping[str, str], name: str) -> str:
    """A code, as people may see it."""
    return printable(fields.get(name), 10) or "no_code"


def standing_of_payment(code: str, *, is_over: bool) -> Standing:
    """What a payment's code decides. Until its time is over, not even a failure is the last word."""
    if code in MONEY_TAKEN:
        return Standing.PAID
    if code in FAILED:
        return Standing.CLOSED if is_over else Standing.WAITING
    if code == NO_SUCH_TRANSACTION:
        return Standing.CLOSED if is_over else Standing.UNKNOWN
    return Standing.WAITING if code in _ON_THE_WAY and not is_over else Standing.UNDECIDED


def standing_of_refund(code: str) -> RefundStanding:
    """What the code of a refund or an undoing decides."""
    if code in SUCCEEDED:
        return RefundStanding.SUCCEEDED
    if code in REVIEWS:
        return RefundStanding.ABNORMAL
    if code == NO_SUCH_TRANSACTION:
        return RefundStanding.UNKNOWN
    return RefundStanding.CLOSED if code in FAILED else RefundStanding.PROCESSING
