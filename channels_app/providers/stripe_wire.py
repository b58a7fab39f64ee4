"""What Stripe's objects say, in their documented shapes: payments, sessions, refunds, disputes.

Money is read from nowhere but `amount_received` of an intent that succeeded, or from a charge. A genuine object of
another shape raises Unexpected, which names the place and never shows the value.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from channels_app.money import Money
from channels_app.providers.base import (
    DisputeNotice,
    PaymentProof,
    RefundNotice,
    RefundStanding,
    Standing,
)
from channels_app.providers.documents import Unexpected, object_in, text_in
from channels_app.providers.stripe_money import from_stripe
from channels_app.providers.texts import printable

INTENT = re.compile(r"pi_[0-9A-Za-z]{1,60}")
SESSION = re.compile(r"cs_[0-9A-Za-z_]{1,250}")
SECRET = re.compile(r"pi_[0-9A-Za-z]{1,60}_secret_[0-9A-Za-z]{1,100}")
ADDRESS = re.compile(r"https?://[!-~]{1,4000}")
ID = re.compile(r"[0-9A-Za-z_]{1,64}")
_WORD = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_OUR_NUMBER = re.compile(r"[0-9A-Za-z_-]{1,64}")
_LATEST = 253402300799  # the last second of the year 9999

# Numbers that a person may have instead of the payment's, and where to ask about them.
_PATHS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("ch", "py"), "/v1/charges"),
        **dict.fromkeys(("re", "pyr"), "/v1/refunds"),
        **dict.fromkeys(("du", "dp"), "/v1/disputes"),
    }
)
_NUMBERED = re.compile(r"([a-z]{2,3})_[0-9A-Za-z]{1,60}")

# A failed card leads back to requires_payment_method: the same intent may still be paid.
_STANDINGS: Mapping[str, Standing] = MappingProxyType(
    {
        "requires_payment_method": Standing.WAITING,
        "requires_confirmation": Standing.WAITING,
        "requires_action": Standing.WAITING,
        "requires_capture": Standing.WAITING,
        "processing": Standing.WAITING,
        "succeeded": Standing.PAID,
        "canceled": Standing.CLOSED,
    }
)
_SESSIONS: Mapping[str, Standing] = MappingProxyType({"open": Standing.WAITING, "expired": Standing.CLOSED})
# Where a payment stands that nobody can go on with, once its page is used up: a bank's no that came days later to a
# completed page, anything unfinished on an expired one. (A voucher to be paid in a shop is requires_action.)
_ENDED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "complete": frozenset({"requires_payment_method", "canceled"}),
        "expired": frozenset({"requires_payment_method", "requires_confirmation", "requires_action", "canceled"}),
    }
)

_REFUNDS: Mapping[str, RefundStanding] = MappingProxyType(
    {
        "pending": RefundStanding.PROCESSING,
        "requires_action": RefundStanding.PROCESSING,
        "succeeded": RefundStanding.SUCCEEDED,
        "failed": RefundStanding.CLOSED,
        "canceled": RefundStanding.CLOSED,
    }
)
_DISPUTES_OVER = frozenset({"won", "lost", "prevented", "warning_closed"})
# An inquiry that ended without a dispute cost nothing. What was prevented was given back instead.
_DISPUTES_WON = frozenset({"won", "warning_closed"})


# --- members ------------------------------------------------------------------------------------------------
def word_in(document: Mapping[str, Any], name: str) -> str:
    """A state or kind. Raises Unexpected."""
    return text_in(document, name, _WORD)


def time_in(document: Mapping[str, Any], name: str) -> datetime:
    """A moment told in seconds. Raises Unexpected."""
    value = document.get(name)
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise Unexpected("shape", f"{name} is not a time")
    return datetime.fromtimestamp(value, UTC)


def money_in(document: Mapping[str, Any], name: str) -> Money:
    """An amount above nothing. Raises Unexpected."""
    money = from_stripe(document.get(name), document.get("currency"))
    if money.amount_minor <= 0:
        raise Unexpected("amount", f"{name} is not above nothing")
    return money


def ours_in(document: Mapping[str, Any], name: str = "order_no") -> str:
    """A number that we wrote on an object; empty on the objects of other systems at the same account."""
    metadata = document.get("metadata")
    value = metadata.get(name) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) and _OUR_NUMBER.fullmatch(value) else ""


def mode_of(document: Mapping[str, Any], *, otherwise: object) -> object:
    """Whether an object is of live mode; refunds alone do not say and have the mode of what tells of them."""
    return otherwise if document.get("object") == "refund" else document.get("livemode")


def expanded(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A member that we asked to be the object itself; None where there is none, or only its id."""
    value = document.get(name)
    return value if isinstance(value, dict) else None


def path_of(number: str) -> str:
    """Where a charge, refund or dispute is asked about; empty for what is none."""
    found = _NUMBERED.fullmatch(number)
    return _PATHS.get(found[1], "") if found else ""


# --- payments -----------------------------------------------------------------------------------------------
def standing_of_intent(intent: Mapping[str, Any]) -> tuple[Standing, str]:
    """Where a payment stands, and Stripe's word for it."""
    said = word_in(intent, "status")
    standing = _STANDINGS.get(said, Standing.UNDECIDED)
    if standing is Standing.PAID and not intent.get("amount_received"):
        return Standing.UNDECIDED, f"{said} without money"
    return standing, said


def standing_of_session(session: Mapping[str, Any], intent: Mapping[str, Any] | None) -> tuple[Standing, str]:
    """Where a page and its payment stand: money decides before the page does."""
    page = word_in(session, "status")
    of_page = _SESSIONS.get(page, Standing.UNDECIDED)
    if intent is None:
        return of_page, page
    standing, status = standing_of_intent(intent)
    if status in _ENDED.get(page, ()):
        standing = Standing.CLOSED
    elif standing is Standing.CLOSED:  # a page that is open makes itself another intent
        standing = of_page
    return standing, f"{page}, {status}"


def proof_of(intent: Mapping[str, Any], *, paid_at: datetime | None = None, given_back: bool = False) -> PaymentProof:
    """What an intent that succeeded proves. Its charge says more, where we asked for it or an old version tells it."""
    number = text_in(intent, "id", INTENT)
    charge = expanded(intent, "latest_charge")
    if charge is not None:
        paid_at = time_in(charge, "created")
        given_back = given_back or charge.get("refunded") is True or bool(charge.get("amount_refunded"))
    return PaymentProof(
        attempt_no=ours_in(intent),
        transaction_id=number,
        paid=money_in(intent, "amount_received"),
        paid_at=paid_at or time_in(intent, "created"),
        given_back=given_back,
        handle=number,
        review="the buyer's bank disputes this payment" if charge and charge.get("disputed") is True else "",
    )


def charge_given_back(charge: Mapping[str, Any]) -> PaymentProof:
    """The payment behind a charge of which something was refunded."""
    number = text_in(charge, "payment_intent", INTENT)
    return PaymentProof(
        attempt_no=ours_in(charge),
        transaction_id=number,
        paid=money_in(charge, "amount_captured" if charge.get("amount_captured") else "amount"),
        paid_at=time_in(charge, "created"),
        given_back=True,
        handle=number,
    )


# --- refunds and disputes -----------------------------------------------------------------------------------
def standing_of_refund(refund: Mapping[str, Any]) -> tuple[RefundStanding, str]:
    """How far a refund has come, and Stripe's words for it. An unknown word is no end."""
    status = word_in(refund, "status")
    why = printable(refund.get("failure_reason"), 60)
    return _REFUNDS.get(status, RefundStanding.PROCESSING), f"{status}: {why}" if why else status


def refund_notice(refund: Mapping[str, Any], intent: Mapping[str, Any]) -> RefundNotice:
    """A refund, ours or the Dashboard's, with the payment that it is of."""
    number = text_in(refund, "id", ID)
    standing, said = standing_of_refund(refund)
    is_paid = standing_of_intent(intent)[0] is Standing.PAID
    return RefundNotice(
        attempt_no=ours_in(intent),
        transaction_id=text_in(intent, "id", INTENT),
        refund_no=ours_in(refund, "refund_no") or number,
        standing=standing,
        said=said,
        amount=money_in(refund, "amount"),
        provider_refund_id=number,
        at=time_in(refund, "created"),
        payment=proof_of(intent, given_back=standing is not RefundStanding.CLOSED) if is_paid else None,
    )


def dispute_notice(dispute: Mapping[str, Any], intent: Mapping[str, Any]) -> DisputeNotice:
    """Where a dispute stands. Its amount may be another than the payment's."""
    status = word_in(dispute, "status")
    evidence = object_in(dispute, "evidence_details")
    return DisputeNotice(
        attempt_no=ours_in(intent),
        transaction_id=text_in(intent, "id", INTENT),
        dispute_id=text_in(dispute, "id", ID),
        said=status,
        reason=word_in(dispute, "reason"),
        amount=money_in(dispute, "amount"),
        due_by=time_in(evidence, "due_by") if evidence.get("due_by") else None,
        is_over=status in _DISPUTES_OVER,
        is_won=status in _DISPUTES_WON,
    )
