"""Refunds that a provider tells us about and that we did not start: kept on the timeline, put before a person."""

from datetime import datetime

from django.db import transaction

from channels_app.models import MerchantAccount
from channels_app.providers.base import RefundNotice
from orders.cases import open_case
from orders.models import CaseKind, EventKind, Payment, PaymentAttempt
from orders.timeline import record


@transaction.atomic
def note_refund(*, account: MerchantAccount, notice: RefundNotice, actor: str, now: datetime) -> None:
    """Record a genuine refund notice. Repeats of one refund open one case."""
    payment = (
        Payment.objects.select_related("order").filter(account=account, transaction_id=notice.transaction_id).first()
    )
    attempt = (
        PaymentAttempt.objects.select_related("order").filter(account=account, attempt_no=notice.attempt_no).first()
    )
    order = payment.order if payment else attempt.order if attempt else None
    amount = notice.amount or notice.refunded_total
    said = f"{notice.standing.value}: {notice.said}"
    if order is not None:
        record(
            order_id=order.pk, kind=EventKind.REFUND_NOTICE, actor=actor, now=now,
            data={
                "refund_no": notice.refund_no, "standing": notice.standing.value, "said": notice.said,
                "amount": amount.amount_minor if amount else None,
            },
        )  # fmt: skip
    open_case(
        kind=CaseKind.PROVIDER_REFUND,
        subject=f"refund:{account.code}:{notice.transaction_id}:{notice.refund_no}",
        environment=account.environment,
        now=now,
        game_id=order.game_id if order else None,
        order_id=order.pk if order else None,
        account_id=account.pk,
        transaction_id=notice.transaction_id,
        amount_minor=amount.amount_minor if amount else None,
        currency=amount.currency if amount else "",
        detail=said,
    )
