"""What Google's list of voided purchases says: given back by whom and why, in full or in part."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels_app.providers.base import Message, NothingToDo, PaymentProof, RefundNotice, RefundStanding
from channels_app.providers.google_wire import ORDER_ID, TOKEN, Unexpected, milliseconds, moment

_SOURCES: Mapping[object, str] = {0: "by the buyer", 1: "by us", 2: "by Google"}
_REASONS: Mapping[object, str] = {
    0: "other reason",
    1: "remorse",
    2: "not received",
    3: "defective",
    4: "accidental purchase",
    5: "fraud",
    6: "friendly fraud",
    7: "chargeback",
    8: "not confirmed within three days",
}


def token_and_time(entry: Mapping[str, Any]) -> tuple[str, datetime]:
    """Which purchase, and when. Raises Unexpected."""
    token, at = entry.get("purchaseToken"), moment(entry.get("voidedTimeMillis"))
    if not isinstance(token, str) or not TOKEN.fullmatch(token) or at is None:
        raise Unexpected("a voided purchase")
    return token, at


def notice_of(
    entry: Mapping[str, Any], at: datetime, proof: PaymentProof | None, transaction_id: str, *, of: int
) -> RefundNotice:
    """What an entry of Google's list says. A purchase has one full refund, and may have several in part."""
    count = entry.get("voidedQuantity")
    in_part = type(count) is int and 0 < count < of
    source, reason = _word(_SOURCES, entry, "voidedSource"), _word(_REASONS, entry, "voidedReason")
    return RefundNotice(
        attempt_no=proof.attempt_no if proof else "",
        transaction_id=transaction_id,
        refund_no=refund_no(transaction_id, f":{milliseconds(at)}" if in_part else ""),
        standing=RefundStanding.SUCCEEDED,
        said=f"{reason}, {source}" + (f", {count} of {of}" if in_part else ""),
        amount=proof.paid if proof and not in_part else None,
        at=at,
        payment=proof,
    )


def of_one_forgotten(entry: Mapping[str, Any], token: str, at: datetime) -> Message:
    """An entry about a purchase that the API does not know any more: its order number is all that names it."""
    order_id = entry.get("orderId")
    if not isinstance(order_id, str) or not ORDER_ID.fullmatch(order_id):
        return NothingToDo(said="voided, and no longer known", handle=token)
    return notice_of(entry, at, None, order_id, of=0)


def _word(words: Mapping[object, str], entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return words.get(value, f"{name} {value}") if type(value) is int else f"no {name}"


def refund_no(transaction_id: str, which: str = "") -> str:
    """Google gives refunds no number of their own."""
    return f"google:{transaction_id}{which}"
