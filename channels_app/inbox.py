"""The notification inbox: a provider's message is on disk before anything in it is believed.

`keep` writes the raw message in a transaction of its own; a verdict follows. A flood of forged messages
cannot fill the disk: above a ceiling per account and minute the refused message is forgotten again and only
counted.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection, transaction

from channels_app import vault
from channels_app.accounts import raw_cell
from channels_app.ids import uuid7
from channels_app.models import MerchantAccount, Notification, RefusedTally, Verdict
from channels_app.providers import ADAPTERS
from channels_app.providers.base import RawNotification

# Never kept: they say nothing about a provider and may carry somebody's session. One provider proves itself by the
# second, and can only be read again with it; what is kept is sealed.
_DROPPED_HEADERS = frozenset({"cookie", "authorization"})

# This commit alone does not wait for the disk. The log is written in order, so the next commit, which carries the
# verdict and without which nobody is answered, brings it there; a crash before that loses a message that the provider
# was not thanked for and sends again.
INSERT = """
    INSERT INTO channels_app_notification
        (id, account_id, received_at, remote_addr, raw_sealed, body_sha256, body_size,
         verdict, failed_step, detail, attempt_no, transaction_id)
    SELECT %s, %s, %s, %s, %s, %s, %s, 'received', '', '', '', ''
    FROM set_config('synchronous_commit', 'off', true)
"""
# One verdict per message: a judged row is not judged again.
JUDGE = """
    UPDATE channels_app_notification
    SET verdict = %s, attempt_no = %s, transaction_id = %s, judged_at = %s, ask_at = NULL
    WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a kept message, written inside the transaction that acts on it."""

    notification_id: uuid.UUID

    def write(
        self, raw: psycopg.Connection[Any], *, verdict: Verdict, attempt_no: str, transaction_id: str, now: datetime
    ) -> None:
        """Queue the verdict on the connection (pipelined with the rest of the transaction)."""
        raw.execute(JUDGE, (verdict.value, attempt_no[:64], transaction_id[:64], now, self.notification_id))


def keep(raw: RawNotification, *, account: MerchantAccount, remote_addr: str) -> uuid.UUID:
    """Write a message down, sealed, committed. Returns its id."""
    notification_id = uuid7()
    keeps = {"authorization"} if getattr(ADAPTERS[account.provider], "keeps_authorization", False) else frozenset()
    headers = {name: value for name, value in raw.headers.items() if name not in _DROPPED_HEADERS - keeps}
    sealed = vault.seal(json.dumps(headers).encode() + b"\n" + raw.body, at=raw_cell(notification_id))
    digest = hashlib.sha256(raw.body).hexdigest()
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT,
            (notification_id, account.pk, raw.received_at, remote_addr[:45], sealed, digest, len(raw.body)),
        )
    return notification_id


def open_raw(notification: Notification) -> tuple[dict[str, str], bytes]:
    """The headers and the very bytes of a kept message. Raises vault.VaultClosed."""
    opened = vault.unseal(notification.raw_sealed, at=raw_cell(notification.pk))
    headers, _, body = opened.partition(b"\n")
    kept: dict[str, str] = json.loads(headers)
    return kept, body


def as_received(notification: Notification) -> RawNotification:
    """A kept message, to be read again as of the moment it arrived."""
    headers, body = open_raw(notification)
    return RawNotification(headers=headers, body=body, received_at=notification.received_at)


def conclude(
    notification_id: uuid.UUID,
    *,
    verdict: Verdict,
    now: datetime,
    failed_step: str = "",
    detail: str = "",
    attempt_no: str = "",
) -> None:
    """Write a verdict that moves nothing."""
    Notification.objects.filter(pk=notification_id).update(
        verdict=verdict, failed_step=failed_step[:40], detail=detail[:300], attempt_no=attempt_no[:64], judged_at=now,
        ask_at=None,
    )  # fmt: skip


def ask_about(notification_id: uuid.UUID, *, attempt_no: str, detail: str, now: datetime) -> None:
    """Leave a hint to the worker, which asks the provider about it."""
    Notification.objects.filter(pk=notification_id).update(
        verdict=Verdict.ASKING, attempt_no=attempt_no[:64], detail=detail[:300], ask_at=now
    )  # fmt: skip


def forget(notification_id: uuid.UUID) -> None:
    """Delete a message that the provider is asked to send again, for want of room to work on it."""
    Notification.objects.filter(pk=notification_id).delete()


@transaction.atomic
def refuse(notification_id: uuid.UUID, *, account: MerchantAccount, step: str, detail: str, now: datetime) -> None:
    """Record a refusal; beyond the ceiling of this minute the message is forgotten and only counted."""
    minute = now.replace(second=0, microsecond=0)
    # One atomic statement: counters read and written apart let a flood through.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO channels_app_refusedtally AS t (account_id, minute, refused) VALUES (%s, %s, 1)"
            " ON CONFLICT (account_id, minute) DO UPDATE SET refused = t.refused + 1 RETURNING refused",
            (account.pk, minute),
        )
        (refused,) = cursor.fetchone() or (0,)
    if refused > settings.REFUSED_KEPT_PER_MINUTE:
        Notification.objects.filter(pk=notification_id).delete()
    else:
        conclude(notification_id, verdict=Verdict.REFUSED, now=now, failed_step=step, detail=detail)


def forget_refused(*, before: datetime) -> int:
    """Delete refused messages and tallies older than `before`. Returns how many messages."""
    RefusedTally.objects.filter(minute__lt=before).delete()
    deleted, _ = Notification.objects.filter(verdict=Verdict.REFUSED, received_at__lt=before).delete()
    return deleted


def unjudged(*, before: datetime, limit: int) -> list[Notification]:
    """Messages whose process died before it reached a verdict, oldest first."""
    return list(
        Notification.objects.filter(verdict=Verdict.RECEIVED, received_at__lt=before)
        .select_related("account")
        .order_by("received_at", "pk")[:limit]
    )
