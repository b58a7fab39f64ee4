"""Asking providers about silent payments, so that a purchase completes although no notification ever arrives.

Every open attempt carries the time it is asked about next. The worker claims what is due, a few per account
at a time: a provider that hangs holds only its own threads.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from channels_app.providers.base import Standing
from orders.attempts import StillOpen, ask_provider, close_at_provider, is_over, mark_closed
from orders.cases import open_case
from orders.confirming import confirm, waits_for_confirmation
from orders.limits import refuse_above
from orders.models import ATTEMPT_ALIVE, AttemptState, CaseKind, EventKind, Order, OrderState, PaymentAttempt
from orders.timeline import record

CLIENT_RESULTS = ("success", "failed", "cancelled")
_HINTS_PER_MINUTE = 10
# A provider that still says neither yes nor no this long after the end will not say it to a program.
_PATIENCE = timedelta(hours=24)
# A claimed attempt comes back after this time if the worker that claimed it died.
_LEASE = timedelta(seconds=60)

_CLAIM = """
    UPDATE orders_paymentattempt
    SET next_query_at = %(leased_until)s, queries = queries + 1
    WHERE id IN (
        SELECT id FROM orders_paymentattempt
        WHERE account_id = %(account)s AND next_query_at <= %(now)s
        ORDER BY next_query_at LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""


def accounts_due(*, now: datetime) -> list[int]:
    """Accounts with attempts to be asked about."""
    return list(
        PaymentAttempt.objects.filter(next_query_at__lte=now)
        .order_by("account")
        .values_list("account", flat=True)
        .distinct()
    )


def claim_due(*, account_id: int, limit: int, now: datetime) -> list[int]:
    """Take up to `limit` due attempts of one account; no other worker gets them while the lease runs."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"account": account_id, "now": now, "limit": limit, "leased_until": now + _LEASE})
        return [pk for (pk,) in cursor.fetchall()]


def tend(attempt_id: int) -> None:
    """Find out about one claimed attempt: ask while its order waits, close it when nobody waits any more."""
    attempt = PaymentAttempt.objects.select_related("order", "account").get(pk=attempt_id)
    now = timezone.now()
    order = attempt.order
    if attempt.state in (AttemptState.PAID, AttemptState.CLOSED):
        if attempt.state == AttemptState.PAID and waits_for_confirmation(attempt) and not confirm(attempt, now=now):
            _schedule(attempt, now)
        else:
            PaymentAttempt.objects.filter(pk=attempt_id).update(next_query_at=None)
        return
    waited_for = order.state == OrderState.PENDING and order.expires_at > now
    if waited_for:
        ask_provider(attempt, actor="query")
    else:
        _wind_up(attempt, now)
    _schedule(attempt, now)


def _wind_up(attempt: PaymentAttempt, now: datetime) -> None:
    """Close an attempt nobody waits for; when its own time limit has long passed, that is final too."""
    if attempt.state != AttemptState.FAILED and not is_over(attempt, now):
        _close(attempt)
        return
    answer = ask_provider(attempt, actor="query").answer
    if answer is None or not is_over(attempt, now):
        return  # asked again by the schedule
    if answer.standing is Standing.UNKNOWN:
        mark_closed(attempt, said="never opened", actor="query")
    elif answer.standing is Standing.WAITING:
        _close(attempt)
    elif answer.standing is Standing.UNDECIDED and attempt.expires_at + _PATIENCE < now:
        _put_before_a_person(attempt, said=answer.said, now=now)


def _put_before_a_person(attempt: PaymentAttempt, *, said: str, now: datetime) -> None:
    order = attempt.order
    open_case(
        kind=CaseKind.UNDECIDED,
        subject=f"attempt:{attempt.account.code}:{attempt.attempt_no}",
        environment=order.environment,
        now=now,
        game_id=order.game_id,
        order_id=order.pk,
        account_id=attempt.account_id,
        amount_minor=order.amount_minor,
        currency=order.currency,
        detail=f"the provider says {said}",
    )


def _close(attempt: PaymentAttempt) -> None:
    try:
        close_at_provider(attempt, actor="worker")
    except StillOpen:
        return  # asked again by the schedule


def _schedule(attempt: PaymentAttempt, now: datetime) -> None:
    """When to ask next: the ladder's rung, but never sleeping over the order's or the attempt's end."""
    ladder = settings.QUERY_LADDER_S
    rung = now + timedelta(seconds=ladder[min(attempt.queries, len(ladder) - 1)])
    ends = [end for end in (attempt.order.expires_at, attempt.expires_at) if end > now]
    PaymentAttempt.objects.filter(pk=attempt.pk, next_query_at__isnull=False).update(
        next_query_at=min(rung, *(end + timedelta(seconds=1) for end in ends)) if ends else rung
    )


def report_client_result(*, order: Order, result: str, detail: str, actor: str, now: datetime) -> None:
    """Record what the client says (never proof). After `success` the providers are asked, now and again soon.

    Raises Problem(429) for a client that reports too often.
    """
    refuse_above(_HINTS_PER_MINUTE, key=f"client-result:{order.order_no}")
    record(
        order_id=order.pk, kind=EventKind.CLIENT_RESULT, actor=actor, now=now, data={"result": result, "detail": detail}
    )  # fmt: skip
    if result != "success" or order.state == OrderState.PAID:
        return
    attempts = PaymentAttempt.objects.filter(order=order, state__in=ATTEMPT_ALIVE).select_related("account")
    # The ladder starts anew: the player has just paid, or thinks so.
    attempts.update(queries=0, next_query_at=now + timedelta(seconds=settings.QUERY_LADDER_S[0]))
    for attempt in attempts.order_by("-pk")[:3]:
        ask_provider(attempt, actor="client result")
