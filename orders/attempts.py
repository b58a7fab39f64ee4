"""Payment attempts: opening one at a provider, asking about it, closing it.

No database lock is held while a provider is called: the attempt's row is committed before the call, so a
notification that arrives before the call returns finds it, and a crash in between leaves something to ask
about.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_app.accounts import adapter_of
from channels_app.models import AccountState, ChannelMethod, MerchantAccount
from channels_app.money import Money
from channels_app.providers import METHODS
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptUnusable,
    CloseAnswer,
    Method,
    OpenedPayment,
    OpenRequest,
    ProviderAdapter,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    QueryAnswer,
    Standing,
)
from channels_app.vault import VaultClosed
from orders.documents import rfc3339
from orders.models import (
    ATTEMPT_ALIVE,
    AttemptState,
    EventKind,
    Order,
    OrderState,
    PaymentAttempt,
    ProofSource,
)
from orders.order_numbers import ATTEMPTS_PER_ACCOUNT, attempt_no
from orders.problems import Problem
from orders.settling import Outcome, Proof, settle_payment
from orders.timeline import record

logger = logging.getLogger(__name__)

# WeChat Pay takes a time limit no nearer than one minute; a little more for the call itself.
_SHORTEST_AT_PROVIDER = timedelta(seconds=65)
# After its own expiry an attempt is asked about this much longer: the provider's clock is not ours.
_AFTERMATH = timedelta(seconds=30)


# --- opening --------------------------------------------------------------------------------------------
def open_payment(
    *, order: Order, method: str, inputs: Mapping[str, str], actor: str, now: datetime
) -> dict[str, Any]:
    """Open (or open again) a payment of an order. Returns the answer of the pay call.

    Repeating it with the same method and inputs keeps the attempt number. Raises Problem.
    """
    _refuse_unpayable(order, now)
    offer = _offer(order, method)
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        attempt = _attempt_for(order, offer, inputs, now)
        try:
            opened = _call(attempt, order, offer, inputs)
        except AttemptUnusable as error:
            # The number is spent at the provider (closed there, or frozen with other inputs): take the next.
            _failed(attempt, error, actor)
            continue
        except AlreadyPaid:
            ask_provider(attempt, actor="provider said paid")
            raise Problem(409, "order_paid", "This order has been paid.") from None
        except ProviderError as error:
            raise _not_opened(attempt, error, actor) from None
        return _opened(attempt, order, opened, actor)
    raise Problem(409, "too_many_attempts", "This order was tried too often; make a new one.")


def _refuse_unpayable(order: Order, now: datetime) -> None:
    if order.state == OrderState.PAID:
        raise Problem(409, "order_paid", "This order has been paid.")
    if order.state == OrderState.CANCELLED:
        raise Problem(409, "order_cancelled", "This order was cancelled.")
    if order.expires_at <= now:
        raise Problem(409, "order_expired", "This order was not paid in time; make a new one.")


def _offer(order: Order, method: str) -> ChannelMethod:
    offer = (
        ChannelMethod.objects.select_related("account")
        .filter(channel=order.channel_id, environment=order.environment, method=method, is_enabled=True)
        .first()
    )
    if offer is None or offer.account.state != AccountState.ACTIVE:
        raise Problem(400, "method_not_offered", "This channel does not offer that payment method now.")
    if order.currency not in METHODS[method].currencies:
        raise Problem(400, "method_not_offered", f"That payment method does not take {order.currency}.")
    return offer


def needed_inputs(method: Method, inputs: Mapping[str, str]) -> list[str]:
    """Inputs the provider needs for a method and the caller did not send."""
    return [name for name in method.needs if not inputs.get(name)]


def _attempt_for(
    order: Order, offer: ChannelMethod, inputs: Mapping[str, str], now: datetime
) -> PaymentAttempt:
    """The living attempt for this method and these inputs, or a new one under the order's lock."""
    frozen = hashlib.sha256(json.dumps([offer.method, sorted(inputs.items())]).encode()).hexdigest()
    with transaction.atomic():
        current = Order.objects.select_for_update(of=("self",)).only("state", "expires_at", "order_no").get(pk=order.pk)
        _refuse_unpayable(current, now)
        at_account = list(
            PaymentAttempt.objects.filter(order=order, account=offer.account_id).order_by("pk")
        )
        for attempt in at_account:
            if attempt.state in ATTEMPT_ALIVE and attempt.inputs_sha256 == frozen and attempt.expires_at > now:
                return attempt
        if len(at_account) >= ATTEMPTS_PER_ACCOUNT:
            raise Problem(409, "too_many_attempts", "This order was tried too often; make a new one.")
        return PaymentAttempt.objects.create(
            order=order,
            account=offer.account,
            method=offer.method,
            attempt_no=attempt_no(order.order_no, len(at_account) + 1),
            inputs_sha256=frozen,
            expires_at=max(order.expires_at, now + _SHORTEST_AT_PROVIDER),
            next_query_at=now + timedelta(seconds=settings.QUERY_LADDER_S[0]),
            created_at=now,
        )


def _call(
    attempt: PaymentAttempt, order: Order, offer: ChannelMethod, inputs: Mapping[str, str]
) -> OpenedPayment:
    return _adapter(offer.account).open_payment(
        OpenRequest(
            method=attempt.method,
            attempt_no=attempt.attempt_no,
            due=Money(order.amount_minor, order.currency),
            subject=order.product_name,
            notify_url=notify_url(offer.account),
            expires_at=attempt.expires_at,
            inputs=inputs,
        )
    )


def notify_url(account: MerchantAccount) -> str:
    """Where a provider tells us about this account."""
    return f"{settings.PUBLIC_BASE_URL}/notify/{account.provider}/{account.code}"


def _opened(attempt: PaymentAttempt, order: Order, opened: OpenedPayment, actor: str) -> dict[str, Any]:
    # Only from `opening`: a notification may have been faster than this answer.
    if PaymentAttempt.objects.filter(pk=attempt.pk, state=AttemptState.OPENING).update(state=AttemptState.OPEN):
        record(
            order_id=order.pk, kind=EventKind.ATTEMPT_OPENED, actor=actor, now=timezone.now(),
            data={"attempt_no": attempt.attempt_no, "method": attempt.method},
        )  # fmt: skip
    return {
        "order_no": order.order_no,
        "attempt_no": attempt.attempt_no,
        "method": attempt.method,
        "kind": opened.kind.value,
        "params": dict(opened.params),
        "expires_at": rfc3339(attempt.expires_at),
    }


def _failed(attempt: PaymentAttempt, error: ProviderError, actor: str) -> None:
    now = timezone.now()
    PaymentAttempt.objects.filter(pk=attempt.pk, state__in=ATTEMPT_ALIVE).update(
        state=AttemptState.FAILED, provider_said=error.code[:60]
    )  # the number may still have been paid: it goes on being asked about
    record(
        order_id=attempt.order_id, kind=EventKind.ATTEMPT_FAILED, actor=actor, now=now,
        data={"attempt_no": attempt.attempt_no, "method": attempt.method, "said": error.code[:60]},
    )  # fmt: skip


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
    _failed(attempt, error, actor)
    return Problem(502, "provider_refused", f"The payment provider refused to open this payment ({error.code[:60]}).")


# --- asking ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking a provider about an attempt."""

    answer: QueryAnswer | None  # None: the provider could not be asked
    outcome: Outcome | None = None  # what settling did, when it was paid


def ask_provider(attempt: PaymentAttempt, *, actor: str) -> Asked:
    """Ask what became of an attempt; a proved payment is settled at once."""
    account = attempt.account
    try:
        answer = _adapter(account).query(attempt.attempt_no)
    except ProviderError as error:
        logger.warning("query failed: account=%s attempt_no=%s said=%s", account.code, attempt.attempt_no, error.code)
        return Asked(None)
    if answer.standing is Standing.PAID and answer.proof is not None:
        proof = Proof(account=account, payment=answer.proof, source=ProofSource.QUERY, actor=actor)
        return Asked(answer, settle_payment(proof))
    said = answer.said[:60]
    rows = PaymentAttempt.objects.filter(pk=attempt.pk)
    if answer.standing is Standing.CLOSED:
        mark_closed(attempt, said=said, actor=actor)
    elif attempt.provider_said != said:
        rows.update(provider_said=said)
    return Asked(answer)


def is_over(attempt: PaymentAttempt, now: datetime) -> bool:
    """Whether nobody can pay an attempt any more, though the provider never said a final word."""
    return attempt.expires_at + _AFTERMATH < now


# --- closing --------------------------------------------------------------------------------------------
class StillOpen(Exception):
    """The provider could not be reached, or did not say yes or no: the attempt may still be paid."""


def close_at_provider(attempt: PaymentAttempt, *, actor: str) -> Outcome | None:
    """Make an attempt unpayable. Returns what settling did when it turned out to be paid, else None.

    Raises StillOpen. An attempt the provider does not know (Alipay: nobody has opened it) counts as closed for
    the caller, but goes on being asked about until its time limit has passed there.
    """
    account = attempt.account
    try:
        answer = _adapter(account).close(attempt.attempt_no)
    except ProviderRejected as error:
        logger.warning("close refused: account=%s attempt_no=%s said=%s", account.code, attempt.attempt_no, error.code)
        answer = CloseAnswer.PAID  # a no to closing: only the query can tell why
    except ProviderError as error:
        logger.warning("close failed: account=%s attempt_no=%s said=%s", account.code, attempt.attempt_no, error.code)
        raise StillOpen from error
    if answer is CloseAnswer.CLOSED:
        mark_closed(attempt, said="closed", actor=actor)
        return None
    if answer is CloseAnswer.UNKNOWN:
        return None
    asked = ask_provider(attempt, actor=actor)
    if asked.outcome is None and (asked.answer is None or asked.answer.standing is not Standing.CLOSED):
        raise StillOpen
    return asked.outcome


def mark_closed(attempt: PaymentAttempt, *, said: str, actor: str) -> None:
    """Write down that nobody can pay an attempt any more."""
    now = timezone.now()
    if (
        PaymentAttempt.objects.filter(pk=attempt.pk)
        .exclude(state__in=(AttemptState.PAID, AttemptState.CLOSED))
        .update(state=AttemptState.CLOSED, closed_at=now, next_query_at=None, provider_said=said[:60])
    ):
        record(
            order_id=attempt.order_id, kind=EventKind.ATTEMPT_CLOSED, actor=actor, now=now,
            data={"attempt_no": attempt.attempt_no, "method": attempt.method, "said": said[:60]},
        )  # fmt: skip


def _adapter(account: MerchantAccount) -> ProviderAdapter:
    try:
        return adapter_of(account)
    except VaultClosed as error:
        logger.error("account %s: its credentials cannot be opened: %s", account.code, error)  # noqa: TRY400
        raise ProviderBusy("account_unavailable", "our keys for this account cannot be opened") from error


