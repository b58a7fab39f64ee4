"""The one transaction that matters: a proved payment becomes a paid, delivered order, exactly once.

Notifications and active queries both end here; nothing else can make an order paid. The statements are
written out and pipelined (three round trips); the rules stand in Python between them.

    lock the attempt's order → decide → payment, order, timeline, goods, game events, verdict → commit

Whatever proves money but cannot be applied is kept as a payment of its own and opens a case: the provider is
told that it is safely ours, because it is.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from django.utils import timezone

from channels_app.inbox import Judgement
from channels_app.models import MerchantAccount, Verdict
from channels_app.providers.base import PaymentProof
from orders import cases
from orders.fulfilment import fulfilment
from orders.models import (
    AttemptState,
    CaseKind,
    EventKind,
    HoldReason,
    Order,
    OrderState,
    ProofSource,
)
from orders.sql import pipelined_transaction, retrying


class Outcome(StrEnum):
    """What settling did."""

    APPLIED = "applied"  # paid by this proof
    DUPLICATE = "duplicate"  # this very payment was booked before
    HELD = "held"  # money is safe, a person must decide
    ORPHAN = "orphan"  # money is safe, but no attempt of ours has this number


VERDICTS = {
    Outcome.APPLIED: Verdict.APPLIED,
    Outcome.DUPLICATE: Verdict.DUPLICATE,
    Outcome.HELD: Verdict.HELD,
    Outcome.ORPHAN: Verdict.ORPHAN,
}

ORDER_COLUMNS = tuple(field.attname for field in Order._meta.concrete_fields)
_ORDER_LIST = ", ".join(f"o.{name}" for name in ORDER_COLUMNS)
_CONTENTS = ORDER_COLUMNS.index("contents")

# The order is locked before anything about it is believed; its children are reached only through it. The
# database's clock is the one that counts (I-35): web hosts may disagree by minutes.
_LOCK = f"""
    SELECT clock_timestamp(), a.id, a.method, {_ORDER_LIST}
    FROM orders_paymentattempt a JOIN orders_order o ON o.id = a.order_id
    WHERE a.account_id = %s AND a.attempt_no = %s
    FOR UPDATE OF o
"""  # noqa: S608  # column names of our own model
_IS_BOOKED = "SELECT order_id FROM orders_payment WHERE account_id = %s AND transaction_id = %s"
_PAYMENT = """
    INSERT INTO orders_payment
        (account_id, environment, transaction_id, attempt_no, attempt_id, order_id, amount_minor, currency, applied,
         hold_reason, source, paid_at, received_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# `CASE` leaves other attempts of the order to the worker, which closes them at the provider at once.
_ORDER_PAID = """
    WITH attempts AS (
        UPDATE orders_paymentattempt
        SET state = CASE WHEN id = %(attempt)s THEN 'paid' ELSE state END,
            next_query_at = CASE WHEN id = %(attempt)s OR next_query_at IS NULL THEN NULL ELSE %(now)s END
        WHERE order_id = %(order)s
    )
    UPDATE orders_order
    SET state = 'paid', method = %(method)s, transaction_id = %(transaction)s, paid_at = %(paid_at)s,
        settled_at = %(now)s, delivery_state = %(delivery_state)s, delivered_at = %(delivered_at)s,
        version = version + 1
    WHERE id = %(order)s
"""
_EVENT = "INSERT INTO orders_orderevent (order_id, kind, at, actor, data) VALUES (%s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A provider's proof together with how it reached us."""

    account: MerchantAccount
    payment: PaymentProof
    source: ProofSource
    actor: str  # the cause, as the timeline names it
    judgement: Judgement | None = None  # the notification to be marked in the same transaction


def settle_payment(proof: Proof) -> Outcome:
    """Book a proved payment against its order, exactly once, and deliver. Committed when it returns.

    Calling it again with the same proof changes nothing and answers DUPLICATE. Raises psycopg errors when the
    database cannot do it now; then nothing has happened.
    """
    try:
        outcome = retrying(lambda: _settle(proof))
    except psycopg.errors.UniqueViolation:
        # The same transaction is booked for another attempt number, or without any: it pays nothing here (I-04).
        # That a payment is booked is asked only now, because the hot path almost never needs the answer.
        outcome = retrying(lambda: _settle(proof, ask_first=True))
    if outcome is Outcome.APPLIED:
        fulfilment().hurry()
    return outcome


def _settle(proof: Proof, *, ask_first: bool = False) -> Outcome:
    with pipelined_transaction() as raw:
        found = raw.execute(_LOCK, (proof.account.pk, proof.payment.attempt_no)).fetchone()
        if ask_first and _is_booked(raw, proof):
            now, outcome = timezone.now(), Outcome.DUPLICATE
        elif found is None:
            now = timezone.now()
            outcome = _keep_orphan(raw, proof, now)
        else:
            now, attempt_id, method, *record = found
            outcome = _decide(raw, proof, now, attempt_id, method, order_from_record(record))
        if proof.judgement:
            proof.judgement.write(
                raw,
                verdict=VERDICTS[outcome],
                attempt_no=proof.payment.attempt_no,
                transaction_id=proof.payment.transaction_id,
                now=now,
            )
    return outcome


def _decide(
    raw: psycopg.Connection[Any], proof: Proof, now: datetime, attempt_id: int, method: str, order: Order
) -> Outcome:
    """The rules, under the order's lock."""
    paid = proof.payment.paid
    if order.transaction_id == proof.payment.transaction_id and order.state == OrderState.PAID:
        return Outcome.DUPLICATE
    fits = (paid.amount_minor, paid.currency) == (order.amount_minor, order.currency)
    if order.state == OrderState.PENDING and fits and not proof.payment.given_back:
        _apply(raw, proof, now, attempt_id, method, order)
        return Outcome.APPLIED
    if _is_booked(raw, proof):
        return Outcome.DUPLICATE
    if proof.payment.given_back:
        reason = HoldReason.GIVEN_BACK
    elif not fits:
        reason = HoldReason.AMOUNT_DIFFERS
    elif order.state == OrderState.PAID:
        reason = HoldReason.SECOND_PAYMENT
    else:
        reason = HoldReason.LATE_PAYMENT
    _hold(raw, proof, now, reason, attempt_id=attempt_id, order=order)
    return Outcome.HELD


def _apply(
    raw: psycopg.Connection[Any], proof: Proof, now: datetime, attempt_id: int, method: str, order: Order
) -> None:
    payment = proof.payment
    order.state = OrderState.PAID
    order.method = method
    order.transaction_id = payment.transaction_id
    order.paid_at = payment.paid_at
    order.settled_at = now
    raw.execute(_PAYMENT, _payment_row(proof, now, attempt_id, order.pk, applied=True, reason=""))
    raw.execute(_EVENT, (order.pk, EventKind.PAID.value, now, proof.actor, _facts(proof)))
    fulfilment().on_order_paid(raw, order=order, now=now)
    raw.execute(
        _ORDER_PAID,
        {
            "attempt": attempt_id,
            "order": order.pk,
            "method": method,
            "transaction": payment.transaction_id,
            "paid_at": payment.paid_at,
            "now": now,
            "delivery_state": order.delivery_state,
            "delivered_at": order.delivered_at,
        },
    )


def _hold(
    raw: psycopg.Connection[Any],
    proof: Proof,
    now: datetime,
    reason: HoldReason,
    *,
    attempt_id: int | None,
    order: Order | None,
) -> None:
    """Keep money that may not be applied, and put it before a person."""
    payment = proof.payment
    order_id = order.pk if order else None
    raw.execute(_PAYMENT, _payment_row(proof, now, attempt_id, order_id, applied=False, reason=reason.value))
    if attempt_id is not None:
        raw.execute(
            "UPDATE orders_paymentattempt SET state = %s, next_query_at = NULL WHERE id = %s",
            (AttemptState.PAID.value, attempt_id),
        )
    if order is not None:
        facts = _facts(proof, reason=reason.value)
        raw.execute(_EVENT, (order.pk, EventKind.PAYMENT_HELD.value, now, proof.actor, facts))
        # Whoever waits for this order is told by its version that something happened.
        raw.execute("UPDATE orders_order SET version = version + 1 WHERE id = %s", (order.pk,))
    raw.execute(
        cases.OPEN,
        cases.opening(
            kind=CaseKind(reason.value),
            subject=f"payment:{proof.account.code}:{payment.transaction_id}",
            environment=proof.account.environment,
            now=now,
            game_id=order.game_id if order else None,
            order_id=order_id,
            account_id=proof.account.pk,
            transaction_id=payment.transaction_id,
            amount_minor=payment.paid.amount_minor,
            currency=payment.paid.currency,
            detail=_why(reason, payment, order),
        ),
    )


def _keep_orphan(raw: psycopg.Connection[Any], proof: Proof, now: datetime) -> Outcome:
    if _is_booked(raw, proof):
        return Outcome.DUPLICATE
    _hold(raw, proof, now, HoldReason.UNKNOWN_ORDER, attempt_id=None, order=None)
    return Outcome.ORPHAN


def _is_booked(raw: psycopg.Connection[Any], proof: Proof) -> bool:
    return raw.execute(_IS_BOOKED, (proof.account.pk, proof.payment.transaction_id)).fetchone() is not None


def _payment_row(
    proof: Proof, now: datetime, attempt_id: int | None, order_id: int | None, *, applied: bool, reason: str
) -> tuple[object, ...]:
    payment = proof.payment
    return (
        proof.account.pk, proof.account.environment, payment.transaction_id, payment.attempt_no, attempt_id, order_id,
        payment.paid.amount_minor, payment.paid.currency, applied, reason, proof.source.value, payment.paid_at, now,
    )  # fmt: skip


def _facts(proof: Proof, **more: str) -> str:
    return json.dumps(
        {
            "account": proof.account.code,
            "transaction_id": proof.payment.transaction_id,
            "amount": proof.payment.paid.amount_minor,
            "currency": proof.payment.paid.currency,
            "source": proof.source.value,
            **more,
        }
    )


def _why(reason: HoldReason, payment: PaymentProof, order: Order | None) -> str:
    if order is None:
        return f"attempt number {payment.attempt_no}"
    if reason == HoldReason.AMOUNT_DIFFERS:
        return (
            f"received {payment.paid.amount_minor} {payment.paid.currency},"
            f" the order asks {order.amount_minor} {order.currency}"
        )
    return f"the order was {order.state}"


def order_from_record(record: list[Any]) -> Order:
    """An Order of the columns ORDER_COLUMNS as psycopg returns them (Django leaves jsonb as text)."""
    record[_CONTENTS] = json.loads(record[_CONTENTS])
    return Order.from_db(None, ORDER_COLUMNS, record)
