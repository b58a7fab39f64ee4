"""Provider notifications: write down, verify, settle, answer; in that order.

The answer is the provider's own words, and only after the commit. A message that proves money is acknowledged
whatever we think of the money, because it is safely ours; a message that is not genuine changes nothing; when
we cannot judge (database away, keys that do not open) the provider is asked to send it again.
"""

import logging
import uuid
from datetime import timedelta

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.utils import timezone

from channels_app import inbox
from channels_app.accounts import account_by_code, adapter_of
from channels_app.models import MerchantAccount, Verdict
from channels_app.providers import ADAPTERS
from channels_app.providers.base import (
    Ack,
    Hint,
    KeyNotKnown,
    NotificationRefused,
    NotificationUnreadable,
    RawNotification,
)
from channels_app.vault import VaultClosed
from orders.authentication import peer_address
from orders.cases import open_case
from orders.limits import refuse_above
from orders.messages import Arrival, take
from orders.models import CaseKind, ProofSource
from orders.problems import Problem, not_found, plain_response

logger = logging.getLogger(__name__)

# A living process needs milliseconds; after this long the one that kept the message is gone.
UNFINISHED_AFTER = timedelta(seconds=30)


def receive_notification(request: HttpRequest, provider: str, account_code: str) -> HttpResponse:
    """`POST /notify/{provider}/{account_code}`: one message of a provider."""
    verb = ADAPTERS[provider].notifies_by if provider in ADAPTERS else "POST"
    if request.method != verb:
        problem = Problem(405, "method_not_allowed", f"This provider sends {verb}.", headers={"Allow": verb})
        return plain_response(problem)
    try:
        body = request.body if verb == "POST" else request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
    except (UnreadablePostError, RawPostDataException):
        return plain_response(Problem(400, "malformed_body", "The body did not arrive whole."))
    try:
        account = account_by_code(provider=provider, code=account_code)
        if account is None:
            return plain_response(not_found("merchant account"))
        adapter = adapter_of(account)
        raw = RawNotification(headers=_headers(request), body=body, received_at=timezone.now())
        notification_id = inbox.keep(raw, account=account, remote_addr=peer_address(request))
        reply = adapter.reply(judge(notification_id, raw, account))
    except (DatabaseError, InterfaceError, psycopg.Error, VaultClosed) as error:
        # Never acknowledged, never refused: the provider sends it again, and what was kept is judged later.
        logger.warning("notification of %s not judged now: %s", account_code, type(error).__name__)
        problem = Problem(503, "busy", "Send it again.", headers={"Retry-After": "5"})
        return plain_response(problem)
    return HttpResponse(reply.body, status=reply.status, content_type=reply.content_type)


def judge(notification_id: uuid.UUID, raw: RawNotification, account: MerchantAccount) -> Ack:
    """Verify a kept message and act on it, exactly once. Returns what to tell the provider."""
    now = timezone.now()
    try:
        message = adapter_of(account).read_notification(raw)
    except NotificationRefused as refusal:
        inbox.refuse(notification_id, account=account, step=refusal.step, detail=refusal.detail, now=now)
        return Ack.REFUSED
    except KeyNotKnown:
        inbox.forget(notification_id)  # nothing is wrong: sent again, it finds the key
        return Ack.LATER
    except NotificationUnreadable as failure:
        _unreadable(notification_id, account, failure)
        return Ack.LATER
    if isinstance(message, Hint):
        return _leave_to_worker(notification_id, message, account)
    take(
        message,
        Arrival(
            account=account,
            source=ProofSource.NOTIFICATION,
            actor=f"notification {notification_id}",
            notification_id=notification_id,
        ),
    )
    return Ack.DONE


def _leave_to_worker(notification_id: uuid.UUID, hint: Hint, account: MerchantAccount) -> Ack:
    """Nobody waits while a provider is asked. A flood of hints (some providers sign none) is turned away unread."""
    try:
        refuse_above(settings.HINTS_PER_MINUTE, key=f"hints:{account.code}")
    except Problem:
        inbox.forget(notification_id)
        return Ack.LATER
    inbox.ask_about(notification_id, attempt_no=hint.about.attempt_no, detail=hint.said, now=timezone.now())
    return Ack.DONE


def judge_unfinished(*, limit: int = 50) -> int:
    """Judge messages whose process died before it could. Returns how many.

    Their age is judged as of their arrival, so a message does not become too old by our own fault.
    """
    before = timezone.now() - UNFINISHED_AFTER
    finished = 0
    for row in inbox.unjudged(before=before, limit=limit):
        try:
            judge(row.pk, inbox.as_received(row), row.account)
        except (DatabaseError, InterfaceError, psycopg.Error, VaultClosed) as error:
            # It waits for the next round; the others must not wait for it.
            logger.warning("notification %s not judged now: %s", row.pk, type(error).__name__)
        else:
            finished += 1
    return finished


def _unreadable(notification_id: uuid.UUID, account: MerchantAccount, failure: NotificationUnreadable) -> None:
    now = timezone.now()
    logger.error("notification %s of %s: %s", notification_id, account.code, failure)  # no secret in it
    inbox.conclude(
        notification_id, verdict=Verdict.UNREADABLE, now=now, failed_step=failure.step, detail=failure.detail
    )
    open_case(
        kind=CaseKind.UNREADABLE_NOTIFICATION,
        subject=f"account:{account.code}:{failure.step}",
        environment=account.environment,
        now=now,
        account_id=account.pk,
        detail=failure.detail,
    )


def _headers(request: HttpRequest) -> dict[str, str]:
    headers = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in request.META.items()
        if name.startswith("HTTP_")
    }
    headers["content-type"] = request.META.get("CONTENT_TYPE", "")
    # What some providers sign beside the body. No header of HTTP can have such a name.
    headers[":method"] = request.method or ""
    headers[":path"] = request.get_full_path()
    return headers
