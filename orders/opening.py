"""Opening a payment at a provider. Hot path: written-out SQL, one commit before the call and one after it.

No database lock is held while a provider is called: the attempt's row is committed before the call, so a
notification that arrives before the call returns finds it, and a crash in between leaves something to ask
about.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from channels_app.accounts import account_by_id
from channels_app.models import AccountState
from channels_app.money import Money
from channels_app.providers import METHODS
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptUnusable,
    Method,
    Numbers,
    OpenedPayment,
    OpenRequest,
    ProviderBusy,
    ProviderError,
)
from orders.attempts import adapter_for, ask_provider, mark_failed, notify_url
from orders.documents import rfc3339
from orders.models import ATTEMPT_ALIVE, AttemptState, Order, OrderState, PaymentAttempt
from orders.order_numbers import ATTEMPTS_PER_ACCOUNT, attempt_no
from orders.problems import Problem
from orders.sql import only_row, pipelined_transaction, raw_connection, retrying

logger = logging.getLogger(__name__)

# WeChat Pay takes a time limit no nearer than one minute; a little more for the call itself.
_SHORTEST_AT_PROVIDER = timedelta(seconds=65)

_COLUMNS = tuple(field.attname for field in PaymentAttempt._meta.concrete_fields)
# Locks the order: its attempts are numbered one after the other.
_LOOK = """
    SELECT o.state, o.expires_at, offered.account_id, account.state, product.store_ids->>%s
    FROM orders_order o
    JOIN orders_product product ON product.id = o.product_id
    LEFT JOIN channels_app_channelmethod offered
        ON offered.channel_id = o.channel_id AND offered.environment = o.environment AND offered.method = %s
       AND offered.is_enabled
    LEFT JOIN channels_app_merchantaccount account ON account.id = offered.account_id
    WHERE o.id = %s FOR UPDATE OF o
"""
_ATTEMPTS = f"SELECT {', '.join(_COLUMNS)} FROM orders_paymentattempt WHERE order_id = %s ORDER BY id"  # noqa: S608
# When no provider is called, handing out the parameters is the opening.
_INSERT = """
    WITH made AS (
        INSERT INTO orders_paymentattempt
            (order_id, account_id, method, attempt_no, state, inputs_sha256, expires_at, provider_said, queries,
             next_query_at, created_at, store_product_id)
        VALUES (%(order)s, %(account)s, %(method)s, %(attempt_no)s, %(state)s, %(inputs)s, %(expires_at)s, '', 0,
                %(next_query_at)s, %(now)s, %(store_product_id)s)
        RETURNING id
    ), event AS (
        INSERT INTO orders_orderevent (order_id, kind, at, actor, data)
        SELECT %(order)s, 'attempt_opened', %(now)s, %(actor)s, %(facts)s WHERE %(state)s = 'open'
    )
    SELECT id FROM made
"""
# Only from `opening`: a notification may have been faster than the provider's answer.
_OPENED = """
    WITH opened AS (
        UPDATE orders_paymentattempt SET state = 'open' WHERE id = %s AND state = 'opening' RETURNING order_id
    )
    INSERT INTO orders_orderevent (order_id, kind, at, actor, data)
    SELECT order_id, 'attempt_opened', clock_timestamp(), %s, %s FROM opened
"""


_REMEMBER = """
    UPDATE orders_paymentattempt
    SET handle = CASE WHEN handle = '' THEN %s ELSE handle END, payer = CASE WHEN payer = '' THEN %s ELSE payer END
    WHERE id = %s
"""


def open_payment(*, order: Order, method: str, inputs: Mapping[str, str], actor: str, now: datetime) -> dict[str, Any]:
    """Open (or open again) a payment of an order. Returns the answer of the pay call.

    Repeating it with the same method and inputs keeps the attempt number. Raises Problem.
    """
    if not METHODS[method].takes(order.currency):
        raise Problem(400, "method_not_offered", f"That payment method does not take {order.currency}.")
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        attempt = retrying(lambda: _attempt_for(order, method, inputs, actor, now))
        try:
            opened = _call(attempt, order, inputs)
        except AttemptUnusable as error:
            # The number is spent at the provider (closed there, or frozen with other inputs): take the next.
            mark_failed(attempt, said=error.code, actor=actor)
            continue
        except AlreadyPaid:
            ask_provider(attempt, actor="provider said paid")
            raise Problem(409, "order_paid", "This order has been paid.") from None
        except ProviderError as error:
            raise _not_opened(attempt, error, actor) from None
        if opened.handle or opened.payer:
            raw_connection().execute(_REMEMBER, (opened.handle, opened.payer, attempt.pk))
        if attempt.state == AttemptState.OPENING:
            raw_connection().execute(_OPENED, (attempt.pk, actor, _facts(attempt.attempt_no, method)))
        return _answer(attempt, order, opened)
    raise _too_many()


def needed_inputs(method: Method, inputs: Mapping[str, str]) -> list[str]:
    """Inputs the provider needs for a method and the caller did not send."""
    return [name for name in method.needs if not inputs.get(name)]


def _attempt_for(order: Order, method: str, inputs: Mapping[str, str], actor: str, now: datetime) -> PaymentAttempt:
    """The living attempt for this method and these inputs, or a new one; committed."""
    frozen = hashlib.sha256(json.dumps([method, sorted(inputs.items())]).encode()).hexdigest()
    with pipelined_transaction() as raw:
        looked = raw.execute(_LOOK, (method, method, order.pk))
        attempts = raw.execute(_ATTEMPTS, (order.pk,))
        state, expires_at, account_id, account_state, store_product_id = only_row(looked)
        _refuse_unpayable(state, expires_at, now)
        if account_state != AccountState.ACTIVE:
            raise Problem(400, "method_not_offered", "This channel does not offer that payment method now.")
        if METHODS[method].sells_products and not store_product_id:
            raise Problem(400, "no_store_product", "This product is not sold in that store.")
        at_account = [
            attempt
            for attempt in (PaymentAttempt.from_db(None, _COLUMNS, row) for row in attempts.fetchall())
            if attempt.account_id == account_id
        ]
        attempt = next((each for each in at_account if _can_be_used(each, frozen, now)), None)
        if attempt is None:
            if len(at_account) >= ATTEMPTS_PER_ACCOUNT:
                raise _too_many()
            attempt = PaymentAttempt(
                order_id=order.pk,
                account_id=account_id,
                method=method,
                attempt_no=_number(order, method, len(at_account) + 1),
                state=AttemptState.OPENING if METHODS[method].calls_provider else AttemptState.OPEN,
                inputs_sha256=frozen,
                expires_at=max(expires_at, now + _SHORTEST_AT_PROVIDER),
                next_query_at=now + timedelta(seconds=settings.QUERY_LADDER_S[0]),
                created_at=now,
                store_product_id=store_product_id if METHODS[method].sells_products else "",
            )
            (attempt.pk,) = only_row(raw.execute(_INSERT, _row(attempt, actor)))
    attempt.account = account_by_id(attempt.account_id)
    return attempt


def _can_be_used(attempt: PaymentAttempt, frozen: str, now: datetime) -> bool:
    return attempt.state in ATTEMPT_ALIVE and attempt.inputs_sha256 == frozen and attempt.expires_at > now


def _row(attempt: PaymentAttempt, actor: str) -> dict[str, Any]:
    return {
        "order": attempt.order_id,
        "account": attempt.account_id,
        "method": attempt.method,
        "attempt_no": attempt.attempt_no,
        "state": attempt.state,
        "inputs": attempt.inputs_sha256,
        "expires_at": attempt.expires_at,
        "next_query_at": attempt.next_query_at,
        "now": attempt.created_at,
        "store_product_id": attempt.store_product_id,
        "actor": actor,
        "facts": _facts(attempt.attempt_no, attempt.method),
    }


def _facts(number: str, method: str) -> str:
    return json.dumps({"attempt_no": number, "method": method})


def _refuse_unpayable(state: str, expires_at: datetime, now: datetime) -> None:
    if state == OrderState.PAID:
        raise Problem(409, "order_paid", "This order has been paid.")
    if state == OrderState.CANCELLED:
        raise Problem(409, "order_cancelled", "This order was cancelled.")
    if expires_at <= now:
        raise Problem(409, "order_expired", "This order was not paid in time; make a new one.")


def _call(attempt: PaymentAttempt, order: Order, inputs: Mapping[str, str]) -> OpenedPayment:
    return adapter_for(attempt.account).open_payment(
        OpenRequest(
            method=attempt.method,
            attempt_no=attempt.attempt_no,
            due=Money(order.amount_minor, order.currency),
            subject=order.product_name,
            notify_url=notify_url(attempt.account),
            expires_at=attempt.expires_at,
            inputs=inputs,
            opened_at=attempt.created_at,
            store_product_id=attempt.store_product_id,
            quantity=order.quantity,
            player=_player(order),
        )
    )


def _player(order: Order) -> str:
    """A player's id for stores: always the same, and nobody there can tell whose it is."""
    return salted_hmac("store player", f"{order.game_code}:{order.uid}").hexdigest()[:32]


def _number(order: Order, method: str, nth: int) -> str:
    return uuid.uuid4().hex if METHODS[method].numbers is Numbers.UUID else attempt_no(order.order_no, nth)


def _answer(attempt: PaymentAttempt, order: Order, opened: OpenedPayment) -> dict[str, Any]:
    return {
        "order_no": order.order_no,
        "attempt_no": attempt.attempt_no,
        "method": attempt.method,
        "kind": opened.kind.value,
        "params": dict(opened.params),
        "expires_at": rfc3339(attempt.expires_at),
    }


def _not_opened(attempt: PaymentAttempt, error: ProviderError, actor: str) -> Problem:
    logger.warning(
        "payment not opened: provider=%s attempt_no=%s said=%s",
        attempt.account.provider, attempt.attempt_no, error.code,
    )  # fmt: skip
    if isinstance(error, ProviderBusy):
        return Problem(
            503, "provider_busy", "The payment provider asks us to slow down; try again shortly.",
            headers={"Retry-After": "2"},
        )  # fmt: skip
    if error.retryable:
        return Problem(
            503, "provider_unavailable", "The payment provider did not answer; try again or use another method.",
            headers={"Retry-After": "5"},
        )  # fmt: skip
    mark_failed(attempt, said=error.code, actor=actor)
    return Problem(502, "provider_refused", f"The payment provider refused to open this payment ({error.code[:60]}).")


def _too_many() -> Problem:
    return Problem(409, "too_many_attempts", "This order was tried too often; make a new one.")
