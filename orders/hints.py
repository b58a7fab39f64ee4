"""Hints: messages of a provider that prove nothing and say whom to ask. They are kept, acknowledged, and followed here.

The worker claims what is due, a few per account at a time, as it does with attempts: a provider that hangs holds only
its own threads. A hint is asked about on the ladder of silent payments until the provider has said something.
"""

import logging
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from channels_app import inbox
from channels_app.models import MerchantAccount, Notification, Verdict
from channels_app.providers.base import (
    Following,
    Hint,
    KeyNotKnown,
    Message,
    NotificationRefused,
    NotificationUnreadable,
    ProviderError,
    ProviderUnavailable,
)
from orders.attempts import adapter_for
from orders.cases import open_case
from orders.messages import Arrival, take
from orders.models import CaseKind, ProofSource

logger = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)
# A provider that cannot be asked for so long needs a person, who then has as long again in most stores.
_PATIENCE = timedelta(hours=24)
_CLAIM = """
    UPDATE channels_app_notification SET ask_at = %(leased_until)s, asked = asked + 1
    WHERE id IN (
        SELECT id FROM channels_app_notification
        WHERE account_id = %(account)s AND ask_at <= %(now)s
        ORDER BY ask_at LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""


def accounts_with_hints(*, now: datetime) -> list[int]:
    """Accounts whose hints are to be followed."""
    due = Notification.objects.filter(ask_at__lte=now)
    return list(due.order_by("account").values_list("account", flat=True).distinct())


def claim_hints(*, account_id: int, limit: int, now: datetime) -> list[uuid.UUID]:
    """Take up to `limit` due hints of one account; no other worker gets them while the lease runs."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"account": account_id, "now": now, "limit": limit, "leased_until": now + _LEASE})
        return [pk for (pk,) in cursor.fetchall()]


def follow(notification_id: uuid.UUID) -> None:
    """Ask the provider about one claimed hint and act on what it says."""
    kept = Notification.objects.select_related("account").get(pk=notification_id)
    if kept.verdict != Verdict.ASKING:
        return
    try:
        message = _answer_to(kept)
    except KeyNotKnown as missing:
        # This process has not fetched the provider's keys yet.
        _not_answered(kept, ProviderUnavailable(missing.step, missing.detail))
        return
    except (NotificationRefused, NotificationUnreadable) as error:
        # It was read when it arrived: the keys have been changed since.
        _put_before_a_person(kept, said=str(error))
        return
    except ProviderError as error:
        _not_answered(kept, error)
        return
    arrival = Arrival(
        account=kept.account, source=ProofSource.QUERY, actor=f"notification {kept.pk}", notification_id=kept.pk
    )
    take(message, arrival)


def _answer_to(kept: Notification) -> Message:
    adapter = adapter_for(kept.account)
    hint = adapter.read_notification(inbox.as_received(kept))
    if not isinstance(hint, Hint):
        return hint
    if not isinstance(adapter, Following):
        raise TypeError(f"{adapter.code} gives hints and does not follow them")
    return adapter.follow(hint)


def _not_answered(kept: Notification, error: ProviderError) -> None:
    logger.warning("hint %s of %s not followed: %s", kept.pk, kept.account.code, error.code)
    now = timezone.now()
    if not error.retryable:
        # An explicit no: the provider does not know what it is about.
        inbox.conclude(kept.pk, verdict=Verdict.NO_OP, now=now, detail=f"the provider says {error.code}")
    elif kept.received_at + _PATIENCE < now:
        _put_before_a_person(kept, said=error.code)
    else:
        ladder = settings.QUERY_LADDER_S
        wait = ladder[min(kept.asked, len(ladder)) - 1]
        Notification.objects.filter(pk=kept.pk, verdict=Verdict.ASKING).update(ask_at=now + timedelta(seconds=wait))


def _put_before_a_person(kept: Notification, *, said: str) -> None:
    now = timezone.now()
    inbox.conclude(kept.pk, verdict=Verdict.UNREADABLE, now=now, failed_step="asking", detail=said)
    account: MerchantAccount = kept.account
    open_case(
        kind=CaseKind.UNREADABLE_NOTIFICATION,
        subject=f"account:{account.code}:asking",
        environment=account.environment,
        now=now,
        account_id=account.pk,
        detail=said,
    )
