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
from typing import Any, NamedTuple

import psycopg
from django.utils import timezone

from channels_app.inbox import Judgement
from channels_app.models import Environment, MerchantAccount, Verdict
from channels_app.money import NO_CURRENCY, Money
from channels_app.providers import METHODS
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
# database's clock is the one that counts (I-35): web hosts may disagree by minutes. Where a provider knows an attempt
# by number and time together, the same number of another time is not that attempt.
_LOCK = f"""
    SELECT clock_timestamp(), a.id, a.method, a.store_product_id, a.payer, {_ORDER_LIST}
    FROM orders_paymentattempt a JOIN orders_order o ON o.id = a.order_id
    WHERE a.account_id = %s AND a.attempt_no = %s AND coalesce(date_trunc('second', a.created_at) = %s, true)
    FOR UPDATE OF o
"""  # noqa: S608  # column names of our own model
_BOOKED = """
    SELECT id, order_id, hold_reason FROM orders_payment WHERE account_id = %s AND transaction_id = %s FOR UPDATE
"""
_REVIEWER = "SELECT 1 FROM orders_reviewer WHERE game_id = %s AND uid = %s AND until > %s"
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
            next_query_at = CASE WHEN id = %(attempt)s THEN %(confirm_at)s
                                 WHEN next_query_at IS NULL THEN NULL ELSE %(now)s END,
            handle = CASE WHEN id = %(attempt)s AND %(handle)s <> '' THEN %(handle)s ELSE handle END,
            queries = CASE WHEN id = %(attempt)s THEN 0 ELSE queries END
        WHERE order_id = %(order)s
    )
    UPDATE orders_order
    SET state = 'paid', method = %(method)s, transaction_id = %(transaction)s, paid_at = %(paid_at)s,
        settled_at = %(now)s, delivery_state = %(delivery_state)s, delivered_at = %(delivered_at)s,
        version = version + 1
    WHERE id = %(order)s
"""
# A payment kept without an order, or for want of a permission, is taken into use as the row it is.
_ADOPT = """
    WITH adopted AS (
        UPDATE orders_payment SET applied = true, hold_reason = '', order_id = %(order)s, attempt_id = %(attempt)s
        WHERE id = %(payment)s
    )
    UPDATE orders_case
    SET closed_at = %(now)s, decision = 'delivered', closed_by = left(%(actor)s, 80),
        note = 'the purchase now pays order ' || %(order_no)s
    WHERE payment_id = %(payment)s AND closed_at IS NULL
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


class _Attempt(NamedTuple):
    """What the lock tells of the attempt that a proof names."""

    pk: int
    method: str
    store_product_id: str
    payer: str


class _Booked(NamedTuple):
    """A transaction that is booked already."""

    pk: int
    order_id: int | None
    hold_reason: str


# Kept because nobody knew the order, or nobody had listed the reviewer: the same proof, given again, may now pay.
_RECONSIDERED = (HoldReason.UNMATCHED, HoldReason.TEST_MONEY)


def _settle(proof: Proof, *, ask_first: bool = False) -> Outcome:
    with pipelined_transaction() as raw:
        payment = proof.payment
        found = raw.execute(_LOCK, (proof.account.pk, payment.attempt_no, payment.opened_at)).fetchone()
        booked = _booked(raw, proof) if ask_first else None
        if booked is not None and (found is None or booked.hold_reason not in _RECONSIDERED):
            now, outcome = timezone.now(), Outcome.DUPLICATE
        elif found is None:
            now = timezone.now()
            outcome = _keep_orphan(raw, proof, now)
        else:
            now, *record = found
            attempt, record = _Attempt(*record[: len(_Attempt._fields)]), record[len(_Attempt._fields) :]
            outcome = _decide(raw, proof, now, attempt, order_from_record(record), booked)
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
    raw: psycopg.Connection[Any], proof: Proof, now: datetime, attempt: _Attempt, order: Order, booked: _Booked | None
) -> Outcome:
    """The rules, under the order's lock."""
    if order.transaction_id == proof.payment.transaction_id and order.state == OrderState.PAID:
        return Outcome.DUPLICATE
    reason = _reason_to_hold(raw, proof.payment, now, attempt, order)
    if reason is None and (booked is None or booked.order_id in (None, order.pk)):
        _apply(raw, proof, now, attempt, order, booked)
        return Outcome.APPLIED
    if booked is not None or reason is None or _booked(raw, proof) is not None:
        return Outcome.DUPLICATE
    _hold(raw, proof, now, reason, attempt_id=attempt.pk, order=order)
    return Outcome.HELD


def _reason_to_hold(
    raw: psycopg.Connection[Any], payment: PaymentProof, now: datetime, attempt: _Attempt, order: Order
) -> HoldReason | None:
    """Why this money may not be applied by a program; the first that holds."""
    if payment.given_back:
        return HoldReason.GIVEN_BACK
    if payment.review:
        return HoldReason.REVIEW
    if not _goods_fit(payment, attempt, order):
        return HoldReason.PURCHASE_DIFFERS
    if not _amount_fits(payment, order):
        return HoldReason.AMOUNT_DIFFERS
    if order.state != OrderState.PENDING:
        return HoldReason.SECOND_PAYMENT if order.state == OrderState.PAID else HoldReason.LATE_PAYMENT
    if payment.test and raw.execute(_REVIEWER, (order.game_id, order.uid, now)).fetchone() is None:
        return HoldReason.TEST_MONEY
    return None


def _goods_fit(payment: PaymentProof, attempt: _Attempt, order: Order) -> bool:
    if payment.payer and attempt.payer and payment.payer != attempt.payer:
        return False
    bought = payment.bought
    return bought is None or (bought.product_id, bought.quantity) == (attempt.store_product_id, order.quantity)


def _amount_fits(payment: PaymentProof, order: Order) -> bool:
    if payment.bought is not None and payment.bought.store_sets_price:
        return True
    return payment.paid == Money(order.amount_minor, order.currency)


def _apply(
    raw: psycopg.Connection[Any], proof: Proof, now: datetime, attempt: _Attempt, order: Order, booked: _Booked | None
) -> None:
    payment = proof.payment
    order.state = OrderState.PAID
    order.method = attempt.method
    order.transaction_id = payment.transaction_id
    order.paid_at = payment.paid_at
    order.settled_at = now
    if booked is None:
        raw.execute(_PAYMENT, _payment_row(proof, now, attempt.pk, order, applied=True, reason=""))
    else:
        raw.execute(
            _ADOPT,
            {
                "payment": booked.pk, "order": order.pk, "order_no": order.order_no, "attempt": attempt.pk, "now": now,
                "actor": proof.actor,
            },
        )  # fmt: skip
    raw.execute(_EVENT, (order.pk, EventKind.PAID.value, now, proof.actor, _facts(proof, order)))
    fulfilment().on_order_paid(raw, order=order, now=now)
    raw.execute(
        _ORDER_PAID,
        {
            "attempt": attempt.pk,
            "order": order.pk,
            "method": attempt.method,
            "handle": payment.handle,
            # The worker tells the store as soon as the goods are the player's.
            "confirm_at": now if _wants_to_be_told(attempt.method) else None,
            "transaction": payment.transaction_id,
            "paid_at": payment.paid_at,
            "now": now,
            "delivery_state": order.delivery_state,
            "delivered_at": order.delivered_at,
        },
    )


def _wants_to_be_told(code: str) -> bool:
    method = METHODS.get(code)  # an attempt may be older than the list of methods
    return method is not None and method.confirms


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
    money = _counted(payment, order)
    raw.execute(_PAYMENT, _payment_row(proof, now, attempt_id, order, applied=False, reason=reason.value))
    if attempt_id is not None:
        raw.execute(
            "UPDATE orders_paymentattempt SET state = %s, next_query_at = NULL,"
            " handle = CASE WHEN handle = '' THEN %s ELSE handle END WHERE id = %s",
            (AttemptState.PAID.value, payment.handle, attempt_id),
        )
    if order is not None:
        facts = _facts(proof, order, reason=reason.value)
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
            amount_minor=money.amount_minor,
            currency=money.currency,
            detail=_why(reason, payment, order),
        ),
    )


def _keep_orphan(raw: psycopg.Connection[Any], proof: Proof, now: datetime) -> Outcome:
    if _booked(raw, proof) is not None:
        return Outcome.DUPLICATE
    reason = HoldReason.UNMATCHED if proof.payment.bought else HoldReason.UNKNOWN_ORDER
    _hold(raw, proof, now, reason, attempt_id=None, order=None)
    return Outcome.ORPHAN


def _booked(raw: psycopg.Connection[Any], proof: Proof) -> _Booked | None:
    row = raw.execute(_BOOKED, (proof.account.pk, proof.payment.transaction_id)).fetchone()
    return _Booked(*row) if row else None


# A store may not say what was charged for a purchase that is none of our orders.
_UNTOLD = Money(0, NO_CURRENCY)


def _counted(payment: PaymentProof, order: Order | None) -> Money:
    """What was charged; where a store does not say, what the order asks."""
    return payment.paid or (Money(order.amount_minor, order.currency) if order else _UNTOLD)


def _payment_row(
    proof: Proof, now: datetime, attempt_id: int | None, order: Order | None, *, applied: bool, reason: str
) -> tuple[object, ...]:
    payment = proof.payment
    money = _counted(payment, order)
    environment = Environment.SANDBOX if payment.test else proof.account.environment
    return (
        proof.account.pk, environment, payment.transaction_id, payment.attempt_no, attempt_id,
        order.pk if order else None, money.amount_minor, money.currency, applied, reason, proof.source.value,
        payment.paid_at, now,
    )  # fmt: skip


def _facts(proof: Proof, order: Order, **more: str) -> str:
    money = _counted(proof.payment, order)
    facts: dict[str, object] = {
        "account": proof.account.code,
        "transaction_id": proof.payment.transaction_id,
        "amount": money.amount_minor,
        "currency": money.currency,
        "source": proof.source.value,
        **more,
    }
    if proof.payment.test:
        facts["test"] = True
    return json.dumps(facts)


def _why(reason: HoldReason, payment: PaymentProof, order: Order | None) -> str:
    if reason == HoldReason.REVIEW:
        return payment.review
    if order is None:
        named = f"attempt number {payment.attempt_no}" if payment.attempt_no else "it names no order"
        return f"{named}; {_sold(payment)}" if payment.bought else named
    if reason == HoldReason.AMOUNT_DIFFERS and payment.paid:
        return (
            f"received {payment.paid.amount_minor} {payment.paid.currency},"
            f" the order asks {order.amount_minor} {order.currency}"
        )
    if reason == HoldReason.PURCHASE_DIFFERS:
        return f"{_sold(payment)}; the order is {order.quantity} of {order.product_code}"
    return f"the order was {order.state}"


def _sold(payment: PaymentProof) -> str:
    if payment.bought is None:
        return f"paid by {payment.payer}"
    buyer = f" to {payment.payer}" if payment.payer else ""
    return f"the store sold {payment.bought.quantity} of {payment.bought.product_id}{buyer}"


def order_from_record(record: list[Any]) -> Order:
    """An Order of the columns ORDER_COLUMNS as psycopg returns them (Django leaves jsonb as text)."""
    record[_CONTENTS] = json.loads(record[_CONTENTS])
    return Order.from_db(None, ORDER_COLUMNS, record)
