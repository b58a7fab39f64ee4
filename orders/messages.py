"""What a provider's verified message does, however it came: a notification, an answer, a client's receipt, a list.

Everything here may happen again and changes nothing then. Money goes through settling and nowhere else.
"""

import uuid
from dataclasses import dataclass

from django.utils import timezone

from channels_app import inbox
from channels_app.inbox import Judgement
from channels_app.models import MerchantAccount, Verdict
from channels_app.providers.base import (
    DisputeNotice,
    Foreign,
    Hint,
    Message,
    NothingToDo,
    PaymentProof,
    RefundAsked,
    RefundNotice,
)
from orders.disputes import note_dispute
from orders.models import PaymentAttempt, ProofSource
from orders.refund_notices import note_refund, note_refund_asked
from orders.settling import Outcome, Proof, settle_payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a message reached us."""

    account: MerchantAccount
    source: ProofSource
    actor: str  # the cause, as the timeline names it
    notification_id: uuid.UUID | None = None  # the kept message that it came with, to be marked


def take(message: Message, arrival: Arrival) -> Outcome | None:
    """Act on a verified message, exactly once. Returns what settling did, when the message is a payment."""
    match message:
        case PaymentProof():
            return _settle(message, arrival, marks=True)
        case RefundNotice() | RefundAsked():
            if message.payment is not None:
                # Told before the payment itself, it would otherwise be delivered when that arrives.
                _settle(message.payment, arrival, marks=False)
            if isinstance(message, RefundNotice):
                note_refund(account=arrival.account, notice=message, actor=arrival.actor, now=timezone.now())
            else:
                note_refund_asked(account=arrival.account, asked=message, actor=arrival.actor, now=timezone.now())
            _conclude(arrival, Verdict.HELD, message.said, message.attempt_no)
        case DisputeNotice():
            note_dispute(account=arrival.account, notice=message, actor=arrival.actor, now=timezone.now())
            _conclude(arrival, Verdict.HELD, message.said, message.attempt_no)
        case NothingToDo():
            if message.handle:
                remember_handle(arrival.account, message.attempt_no, message.handle)
            _conclude(arrival, Verdict.NO_OP, message.said, message.attempt_no)
        case Foreign():
            _conclude(arrival, Verdict.FOREIGN, message.said, message.attempt_no)
        case Hint():
            raise TypeError("a hint is followed, not taken")
    return None


def remember_handle(account: MerchantAccount, attempt_no: str, handle: str) -> None:
    """Keep what the provider calls an attempt, so that it can be asked about."""
    PaymentAttempt.objects.filter(account=account, attempt_no=attempt_no, handle="").update(handle=handle)


def _settle(payment: PaymentProof, arrival: Arrival, *, marks: bool) -> Outcome:
    judgement = Judgement(arrival.notification_id) if marks and arrival.notification_id else None
    return settle_payment(
        Proof(
            account=arrival.account,
            payment=payment,
            source=arrival.source,
            actor=arrival.actor,
            judgement=judgement,
        )
    )


def _conclude(arrival: Arrival, verdict: Verdict, said: str, attempt_no: str) -> None:
    if arrival.notification_id is not None:
        inbox.conclude(
            arrival.notification_id, verdict=verdict, now=timezone.now(), detail=said, attempt_no=attempt_no
        )  # fmt: skip
