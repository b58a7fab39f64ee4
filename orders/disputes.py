"""Payments that a buyer's bank disputes (拒付): a case with the bank's deadline, closed when the bank has decided."""

from datetime import datetime

from django.db import transaction

from channels_app.models import MerchantAccount
from channels_app.providers.base import DisputeNotice
from orders.cases import Decision, close_by_fact, open_case
from orders.models import Case, CaseKind, EventKind
from orders.refund_notices import order_behind
from orders.timeline import record_once


@transaction.atomic
def note_dispute(*, account: MerchantAccount, notice: DisputeNotice, actor: str, now: datetime) -> None:
    """Record where a dispute stands. One dispute is one case; the bank's decision closes it."""
    order = order_behind(account, attempt_no=notice.attempt_no, transaction_id=notice.transaction_id)
    subject = f"dispute:{account.code}:{notice.dispute_id}"
    if order is not None:
        is_news = record_once(
            order_id=order.pk, kind=EventKind.DISPUTE, actor=actor, now=now,
            data={
                "dispute_id": notice.dispute_id, "said": notice.said, "reason": notice.reason,
                "amount": notice.amount.amount_minor, "currency": notice.amount.currency,
            },
        )  # fmt: skip
        if not is_news:
            return
    if notice.is_over:
        decision = Decision.WON if notice.is_won else Decision.LOST
        fact = f"the bank decided: {notice.said}"
        closed = close_by_fact(
            kind=CaseKind.DISPUTE, subject=subject, decision=decision, fact=fact, actor=actor, now=now
        )  # fmt: skip
        # Lost before we ever heard of it: somebody has to know, once.
        if closed or notice.is_won or Case.objects.filter(kind=CaseKind.DISPUTE, subject=subject).exists():
            return
    open_case(
        kind=CaseKind.DISPUTE,
        subject=subject,
        environment=account.environment,
        now=now,
        game_id=order.game_id if order else None,
        order_id=order.pk if order else None,
        account_id=account.pk,
        transaction_id=notice.transaction_id,
        amount_minor=notice.amount.amount_minor,
        currency=notice.amount.currency,
        detail=f"{notice.reason}: {notice.said}",
        due_at=notice.due_by,
    )
