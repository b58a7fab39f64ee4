"""What WeChat Pay says, in its documented shapes: objects, numbers, amounts, times, refusals.

A genuine message of another shape raises Unexpected, which names the place and never shows the value.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from channels_app.money import Money
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptUnusable,
    PaymentProof,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RefundAnswer,
    RefundStanding,
)
from channels_app.providers.documents import Unexpected, json_object, object_in, text_in
from channels_app.providers.texts import printable
from channels_app.providers.transport import HttpAnswer

CHINA = timezone(timedelta(hours=8))
VISIBLE = re.compile(r"[!-~]{1,128}")
LINK = re.compile(r"[!-~]{1,2048}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
# Far above any payment, far below what a database integer holds.
_MOST_FEN = 10**13

REFUND_STANDINGS: Mapping[str, RefundStanding] = {
    "PROCESSING": RefundStanding.PROCESSING,
    "SUCCESS": RefundStanding.SUCCEEDED,
    "CLOSED": RefundStanding.CLOSED,
    "ABNORMAL": RefundStanding.ABNORMAL,
}
# Codes have an old and a new spelling (ORDERPAID, ORDER_PAID): they are compared without underscores.
_REFUSALS: Mapping[str, type[ProviderError]] = {
    "ORDERPAID": AlreadyPaid,
    "ORDERCLOSED": AttemptUnusable,
    "OUTTRADENOUSED": AttemptUnusable,
    "NOTENOUGH": ProviderBusy,  # the balance that refunds are paid from: later
    "FREQUENCYLIMITED": ProviderBusy,
    "RATELIMITEXCEED": ProviderBusy,
    "RATELIMITEXCEEDED": ProviderBusy,
    "SYSTEMERROR": ProviderUnavailable,
    "BANKERROR": ProviderUnavailable,
}
# A definite no, though it comes with status 500.
_REFUSED_WITH_500 = frozenset({"INVALIDTRANSACTIONID", "OPENIDMISMATCH"})
# The number is taken; some endpoints say so only in the message of INVALID_REQUEST ("201 商户订单号重复").
_NUMBER_TAKEN = "商户订单号重复"


def money_in(document: Mapping[str, Any], name: str) -> Money:
    """One of the fen of the member `amount`. Raises Unexpected."""
    amount = object_in(document, "amount")
    fen = amount.get(name)
    if type(fen) is not int or not 0 < fen <= _MOST_FEN:
        raise Unexpected("shape", f"amount.{name} is not an amount in fen")
    currency = "CNY" if amount.get("currency") is None else text_in(amount, "currency", _CURRENCY)
    return Money(fen, currency)


def time_in(document: Mapping[str, Any], name: str) -> datetime:
    """A time, in UTC; one without an offset is China's. Raises Unexpected."""
    value = document.get(name)
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise Unexpected("shape", f"{name} is not a time")
    try:
        at = datetime.fromisoformat(value.upper())
        return (at if at.tzinfo else at.replace(tzinfo=CHINA)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unexpected("shape", f"{name} is not a time") from None


def proof_of(transaction: Mapping[str, Any], *, given_back: bool = False) -> PaymentProof:
    """What a paid transaction proves. `total` is the price; `payer_total` is less when coupons helped."""
    return PaymentProof(
        attempt_no=text_in(transaction, "out_trade_no"),
        transaction_id=text_in(transaction, "transaction_id"),
        paid=money_in(transaction, "total"),
        paid_at=time_in(transaction, "success_time"),
        given_back=given_back,
    )


def refund_answer(refund: Mapping[str, Any], *, refund_no: str, attempt_no: str, transaction_id: str) -> RefundAnswer:
    """What an answer says of the refund that was asked about. Raises ProviderUnavailable for another's."""
    asked = {"out_refund_no": refund_no, "out_trade_no": attempt_no, "transaction_id": transaction_id}
    if any(value and refund.get(name) != value for name, value in asked.items()):
        raise ProviderUnavailable("answer_not_ours", "the answer is about another refund")
    try:
        said = text_in(refund, "status")
        return RefundAnswer(
            # An unknown word is no end: it stays under way and is asked about again.
            standing=REFUND_STANDINGS.get(said, RefundStanding.PROCESSING),
            said=said,
            refund_no=refund_no,
            provider_refund_id=text_in(refund, "refund_id"),
            amount=money_in(refund, "refund"),
            succeeded_at=time_in(refund, "success_time") if refund.get("success_time") else None,
        )
    except Unexpected as error:
        raise ProviderUnavailable("answer_shape", error.detail) from None


# --- errors -----------------------------------------------------------------------------------------------
def error_of(answer: HttpAnswer) -> ProviderError:
    """The error an answer means: by its HTTP status first, by its code second."""
    code, message = _said(answer.body)
    word = spelling(code)
    if answer.status == 429:
        return ProviderBusy(code or "http_429", message)
    if answer.status >= 500 and word in _REFUSED_WITH_500:
        return ProviderRejected(code, message)
    # A 4xx without a code is some machine in between: what became of the call is not known.
    if not 400 <= answer.status < 500 or not code:
        return ProviderUnavailable(code or f"http_{answer.status}", message)
    if word == "INVALIDREQUEST" and _NUMBER_TAKEN in message:
        return AttemptUnusable(code, message)
    return _REFUSALS.get(word, ProviderRejected)(code, message)


def refusal_in(answer: HttpAnswer) -> str:
    """The code of an explicit no, in WeChat Pay's spelling; empty for any other answer."""
    return _said(answer.body)[0] if 400 <= answer.status < 500 else ""


def _said(body: bytes) -> tuple[str, str]:
    """`code` and `message` of an error; empty when it is none of WeChat Pay's."""
    try:
        document = json_object(body)
    except Unexpected:
        return "", ""
    code, message = document.get("code"), document.get("message")
    return (
        printable(code, 60) if isinstance(code, str) else "",
        printable(message, 200) if isinstance(message, str) else "",
    )


def spelling(code: str) -> str:
    """A code as it is compared."""
    return code.replace("_", "").upper()
