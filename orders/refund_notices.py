"""Refunds that a provider tells us about and that we did not start: kept on the timeline, put before a person."""

from datetime import datetime

from django.db import transaction

from channels_app.models import MerchantAccount
from channels_app.providers.base import RefundAsked, RefundNotice, RefundStanding
from orders.cases import Decision, close_by_fact, open_case
from orders.models import CaseKind, EventKind, Order, Payment, PaymentAttempt
from orders.timeline import record_once


@transaction.atomic
def note_refund(*, account: MerchantAccount, notice: RefundNotice, actor: str, now: datetime) -> None:
    """Record a genuine refund notice. Repeats of one refund open one case; taken back again, it closes by itself."""
    order = order_behind(account, attempt_no=notice.attempt_no, transaction_id=notice.transaction_id)
    amount = notice.amount or notice.refunded_total
    subject = f"refund:{account.code}:{notice.transaction_id}:{notice.refund_no}"
    if order is not None:
        record_once(
            order_id=order.pk, kind=EventKind.REFUND_NOTICE, actor=actor, now=now,
            data={
                "refund_no": notice.refund_no, "standing": notice.standing.value, "said": notice.said,
                "amount": amount.amount_minor if amount else None,
            },
        )  # fmt: skip
    if notice.standing is RefundStanding.REVERSED:
        fact = f"the provider took the refund back: {notice.said}"
        if close_by_fact(
            kind=CaseKind.PROVIDER_REFUND,
            subject=subject,
            decision=Decision.TAKEN_BACK,
            fact=fact,
            actor=actor,
            now=now,
        ):
            return  # nobody had acted on the refund yet
        subject += ":reversed"
    open_case(
        kind=CaseKind.PROVIDER_REFUND,
        subject=subject,
        environment=account.environment,
        now=now,
        game_id=order.game_id if order else None,
        order_id=order.pk if order else None,
        account_id=account.pk,
        transaction_id=notice.transaction_id,
        amount_minor=amount.amount_minor if amount else None,
        currency=amount.currency if amount else "",
        detail=f"{notice.standing.value}: {notice.said}",
    )


@transaction.atomic
def note_refund_asked(*, account: MerchantAccount, asked: RefundAsked, actor: str, now: datetime) -> None:
    """Record that a buyer asked a store for the money back: a case with the store's deadline. Nothing has moved."""
    order = order_behind(account, attempt_no=asked.attempt_no, transaction_id=asked.transaction_id)
    if order is not None:
        record_once(
            order_id=order.pk, kind=EventKind.REFUND_ASKED, actor=actor, now=now,
            data={"said": asked.said, "transaction_id": asked.transaction_id, "due_by": asked.due_by.isoformat()},
        )  # fmt: skip
    open_case(
        kind=CaseKind.REFUND_ASKED,
        subject=f"refund asked:{account.code}:{asked.transaction_id}:{asked.due_by:%Y%m%d%H%M}",
        environment=account.environment,
        now=now,
        game_id=order.game_id if order else None,
        order_id=order.pk if order else None,
        account_id=account.pk,
        transaction_id=asked.transaction_id,
        detail=asked.said,
        due_at=asked.due_by,
    )


def order_behind(account: MerchantAccount, *, attempt_no: str, transaction_id: str) -> Order | None:
    """The order that a provider's message about a payment is about: by the payment, else by the attempt."""
    payment = Payment.objects.select_related("order").filter(account=account, transaction_id=transaction_id).first()
    if payment is not None and payment.order is not None:
        return payment.order
    attempt = PaymentAttempt.objects.select_related("order").filter(account=account, attempt_no=attempt_no).first()
    return attempt.order if attempt else None
