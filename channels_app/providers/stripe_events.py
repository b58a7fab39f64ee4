"""Stripe's events: what a webhook carries, and what the list of events holds. One reader for both.

An event tells how its object was when it happened; none has to arrive in order. A payment that succeeded stays so, and
what was refunded of a charge only grows: those are believed as they come. A refund may fail after it succeeded and a
dispute may be over before its beginning is told, and neither bears our number: those are asked about (a hint).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from channels_app.providers.base import (
    AttemptRef,
    Foreign,
    Hint,
    Message,
    NothingToDo,
    RefundNotice,
    RefundStanding,
)
from channels_app.providers.documents import Unexpected, object_in, text_in
from channels_app.providers.stripe_wire import (
    ID,
    INTENT,
    SESSION,
    charge_given_back,
    mode_of,
    money_in,
    ours_in,
    proof_of,
    time_in,
)
from channels_app.providers.texts import printable

_TYPE = re.compile(r"[0-9a-z_.]{1,80}")
_PAID = "payment_intent.succeeded"
_GIVEN_BACK = "charge.refunded"
DISPUTES, REFUNDS = "charge.dispute.", ("refund.", "charge.refund.")

# What an endpoint has to be told, and what is looked for in the list. `charge.refunded` says again what the refund's
# own events say; it is understood, and not asked for.
TYPES = (
    _PAID,
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.canceled",
    "checkout.session.completed",
    "checkout.session.expired",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)

Reading = Callable[[Mapping[str, Any], str, datetime], Message]


def message_of(event: Mapping[str, Any], *, live: bool) -> Message:
    """What a verified event means. Raises Unexpected."""
    if event.get("object") == "v2.core.event":
        raise Unexpected("thin_event", "a thin event: the endpoint must be set to snapshot payloads")
    if event.get("object") != "event":
        raise Unexpected("shape", "not an event")
    said = text_in(event, "type", _TYPE)
    thing = object_in(object_in(event, "data"), "object")
    if event.get("livemode") is not live or mode_of(thing, otherwise=live) is not live:
        return Foreign(said=f"{said} of {'test' if live else 'live'} mode")
    if event.get("account") is not None:
        return Foreign(said=f"{said} of a connected account")
    reading = _reading(said)
    return NothingToDo(said=said) if reading is None else reading(thing, said, time_in(event, "created"))


def _reading(said: str) -> Reading | None:
    if said.startswith((DISPUTES, *REFUNDS)):
        return _hint
    if said.startswith("payment_intent."):
        return _of_intent
    if said.startswith("checkout.session."):
        return _of_session
    return _of_refunded_charge if said == _GIVEN_BACK else None


def _of_intent(intent: Mapping[str, Any], said: str, at: datetime) -> Message:
    attempt_no = ours_in(intent)
    if not attempt_no:
        return Foreign(said=f"{said} of another system")
    if said == _PAID:
        return proof_of(intent, paid_at=at)
    error = intent.get("last_payment_error")
    why = (error.get("decline_code") or error.get("code")) if isinstance(error, dict) else None
    detail = f"{said}: {printable(why, 40)}" if said.endswith("failed") and why else said
    return NothingToDo(said=detail, attempt_no=attempt_no, handle=text_in(intent, "id", INTENT))


def _of_session(session: Mapping[str, Any], said: str, at: datetime) -> Message:
    """The page only; its payment has events of its own."""
    attempt_no = ours_in(session)
    if not attempt_no:
        return Foreign(said=f"{said} of another system")
    return NothingToDo(said=said, attempt_no=attempt_no, handle=text_in(session, "id", SESSION))


def _of_refunded_charge(charge: Mapping[str, Any], said: str, at: datetime) -> Message:
    if not ours_in(charge):
        return Foreign(said=f"{said} of another system")
    payment = charge_given_back(charge)
    return RefundNotice(
        attempt_no=payment.attempt_no,
        transaction_id=payment.transaction_id,
        refund_no="",
        standing=RefundStanding.SUCCEEDED,
        said=said,
        refunded_total=money_in(charge, "amount_refunded"),
        at=at,
        payment=payment,
    )


def _hint(thing: Mapping[str, Any], said: str, at: datetime) -> Message:
    return Hint(said=said, about=AttemptRef(attempt_no="", handle=text_in(thing, "id", ID)))
