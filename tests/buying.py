"""The moves of a purchase, for tests: order, open, prove."""

import itertools
from datetime import datetime, timedelta

from django.utils import timezone

from channels_app.models import MerchantAccount
from channels_app.money import Money
from channels_app.providers.base import PaymentProof
from orders.models import AttemptState, Order, PaymentAttempt, ProofSource
from orders.settling import Outcome, Proof, settle_payment

_numbers = itertools.count(1)


def order_body(**changes: object) -> dict[str, object]:
    """A good request for an order; every call has a reference of its own."""
    body = {
        "client_ref": f"ref-{next(_numbers)}",
        "uid": "10086",
        "product_id": "gems60",
        "channel_id": "official",
    }
    return {**body, **changes}


def post(client, path: str, body: object, *, bearer: str | None = None, **headers: str):
    """POST JSON to the API."""
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    return client.post(f"/api/v1/{path}", body, content_type="application/json", headers=headers)


def get(client, path: str, *, bearer: str | None = None):
    """GET from the API."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
    return client.get(f"/api/v1/{path}", headers=headers)


def make_order(client, api_key: str, **changes: object) -> Order:
    """An order, made through the API."""
    answer = post(client, "orders", order_body(**changes), bearer=api_key)
    assert answer.status_code == 201, answer.content
    return Order.objects.get(order_no=answer.json()["order_no"])


def attempt_at(order: Order, account: MerchantAccount, *, method: str = "wechatpay_app", **changes) -> PaymentAttempt:
    """An open payment attempt, as the pay call leaves it."""
    now = timezone.now()
    about = {
        "order": order, "account": account, "method": method, "attempt_no": order.order_no, "state": AttemptState.OPEN,
        "inputs_sha256": "", "expires_at": order.expires_at, "next_query_at": now + timedelta(seconds=5), "created_at": now,
    }  # fmt: skip
    return PaymentAttempt.objects.create(**{**about, **changes})


def proof_of(
    attempt: PaymentAttempt,
    *,
    transaction_id: str = "",
    amount: int | None = None,
    currency: str = "CNY",
    paid_at: datetime | None = None,
    source: ProofSource = ProofSource.QUERY,
) -> Proof:
    """A provider's proof that an attempt was paid."""
    amount = attempt.order.amount_minor if amount is None else amount
    payment = PaymentProof(
        attempt_no=attempt.attempt_no,
        transaction_id=transaction_id or f"T{attempt.attempt_no}",
        paid=Money(amount, currency),
        paid_at=paid_at or timezone.now(),
    )
    return Proof(account=attempt.account, payment=payment, source=source, actor="test")


def settle(attempt: PaymentAttempt, **about) -> Outcome:
    """Prove and settle."""
    return settle_payment(proof_of(attempt, **about))
