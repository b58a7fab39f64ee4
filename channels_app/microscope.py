"""The microscope: one kept message looked at again, with the keys of today and without any effect.

For whoever asks why a message was refused. Reading a message only computes, so it may be read as often as one likes:
as it arrived, as of the moment its sender stamped it, and as of now. The rule about age is never left out; only the
moment it is measured from differs, and every reading says which.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from channels_app import inbox
from channels_app.accounts import adapter_of
from channels_app.models import Notification
from channels_app.providers.base import (
    Claims,
    DisputeNotice,
    Foreign,
    Hint,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    PaymentProof,
    ProviderAdapter,
    RawNotification,
    RefundAsked,
    RefundNotice,
)
from channels_app.vault import VaultClosed


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a message came to. `step` is empty when it is genuine and can be read."""

    step: str
    detail: str
    says: str = ""  # of a genuine message: what it is about, without anything private
    unreadable: bool = False  # genuine, but not to be understood with today's keys

    @property
    def genuine(self) -> bool:
        """Signed by the provider, and understood."""
        return not self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything the microscope sees."""

    intact: bool  # the kept bytes still have the digest that was written down when they arrived
    headers: Sequence[str]  # names only: values may prove who sent it
    claims: Claims
    difference: timedelta | None  # our clock minus the sender's, at arrival
    as_received: Reading
    as_stamped: Reading | None  # None when the message carries no stamp
    as_of_now: Reading


def examine(notification: Notification, *, now: datetime) -> Examination | None:
    """Look at a kept message again. None when the vault does not open it or our keys for its account."""
    try:
        raw = inbox.as_received(notification)
        adapter = adapter_of(notification.account)
    except VaultClosed:
        return None
    claims = adapter.claims(raw)
    return Examination(
        intact=hashlib.sha256(raw.body).hexdigest() == notification.body_sha256,
        headers=sorted(raw.headers),
        claims=claims,
        difference=notification.received_at - claims.sent_at if claims.sent_at else None,
        as_received=_read(adapter, raw, at=notification.received_at),
        as_stamped=_read(adapter, raw, at=claims.sent_at) if claims.sent_at else None,
        as_of_now=_read(adapter, raw, at=now),
    )


def reads_now(notification: Notification) -> bool:
    """Whether a kept message is genuine and readable as it arrived, with the keys of today."""
    try:
        raw = inbox.as_received(notification)
        adapter = adapter_of(notification.account)
    except VaultClosed:
        return False
    return _read(adapter, raw, at=notification.received_at).genuine


def _read(adapter: ProviderAdapter, raw: RawNotification, *, at: datetime) -> Reading:
    """Verify and translate as of a moment; nothing is done with what comes of it."""
    try:
        message = adapter.read_notification(RawNotification(headers=raw.headers, body=raw.body, received_at=at))
    except NotificationRefused as refusal:
        return Reading(refusal.step, refusal.detail)
    except NotificationUnreadable as failure:
        return Reading(failure.step, failure.detail, unreadable=True)
    match message:
        case PaymentProof():
            return Reading("", "", says="payment")
        case RefundNotice() | RefundAsked():
            return Reading("", "", says="refund")
        case DisputeNotice():
            return Reading("", message.said, says="dispute")
        case Hint():
            return Reading("", message.said, says="hint")
        case Foreign():
            return Reading("", message.said, says="foreign")
        case NothingToDo():
            return Reading("", message.said, says="nothing")
