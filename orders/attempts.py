"""Payment attempts: asking the provider about one, closing it, and writing down what came of it.

No database lock is held while a provider is called.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from channels_app.accounts import adapter_of
from channels_app.models import MerchantAccount
from channels_app.providers.base import (
    AttemptRef,
    CloseAnswer,
    ProviderAdapter,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    QueryAnswer,
    Standing,
)
from channels_app.vault import VaultClosed
from orders.models import (
    ATTEMPT_ALIVE,
    AttemptState,
    EventKind,
    PaymentAttempt,
    ProofSource,
)
from orders.settling import Outcome, Proof, settle_payment
from orders.timeline import record

logger = logging.getLogger(__name__)

# After its own expiry an attempt is asked about this much longer: the provider's clock is not ours.
_AFTERMATH = timedelta(seconds=30)


# --- opening at a provider: see orders.opening ------------------------------------------------------------
def notify_url(account: MerchantAccount) -> str:
    """Where a provider tells us about this account."""
    return f"{settings.PUBLIC_BASE_URL}/notify/{account.provider}/{account.code}"


def mark_failed(attempt: PaymentAttempt, *, said: str, actor: str) -> None:
    """Write down that a provider would not open an attempt. It may have been paid all the same, and is asked about."""
    PaymentAttempt.objects.filter(pk=attempt.pk, state__in=ATTEMPT_ALIVE).update(
        state=AttemptState.FAILED, provider_said=said[:60]
    )
    record(
        order_id=attempt.order_id, kind=EventKind.ATTEMPT_FAILED, actor=actor, now=timezone.now(),
        data={"attempt_no": attempt.attempt_no, "method": attempt.method, "said": said[:60]},
    )  # fmt: skip


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
        answer = adapter_for(account).query(reference(attempt))
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


class UnderWay(StillOpen):
    """Somebody is paying it, and the provider closes nothing meanwhile."""


def close_at_provider(attempt: PaymentAttempt, *, actor: str) -> Outcome | None:
    """Make an attempt unpayable. Returns what settling did when it turned out to be paid, else None.

    Raises StillOpen, UnderWay. An attempt the provider does not know (Alipay: nobody has opened it) counts as closed
    for the caller, but goes on being asked about until its time limit has passed there.
    """
    account = attempt.account
    try:
        answer = adapter_for(account).close(reference(attempt))
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
    if answer is CloseAnswer.CANNOT:
        raise UnderWay
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


def reference(attempt: PaymentAttempt) -> AttemptRef:
    """An attempt as its provider is told about it."""
    return AttemptRef(
        attempt_no=attempt.attempt_no,
        method=attempt.method,
        opened_at=attempt.created_at,
        expires_at=attempt.expires_at,
        handle=attempt.handle,
        store_product_id=attempt.store_product_id,
        payer=attempt.payer,
    )


def adapter_for(account: MerchantAccount) -> ProviderAdapter:
    """The adapter of an account. Raises ProviderBusy when our keys for it cannot be opened."""
    try:
        return adapter_of(account)
    except VaultClosed as error:
        logger.error("account %s: its credentials cannot be opened: %s", account.code, error)  # noqa: TRY400
        raise ProviderBusy("account_unavailable", "our keys for this account cannot be opened") from error
