"""Asking a provider about a number of its own, which a player sent and we do not know.

The provider may never have told us of a payment: then its answer proves it, and it is settled as any other. What a
store sold in our own application without naming an order is kept, and put before a person. A payment that is none of
ours (another system's at the same merchant number, or a number somebody made up) moves nothing.
"""

import logging
from dataclasses import dataclass, replace

from channels_app.models import AccountState, Environment, MerchantAccount
from channels_app.providers.base import ProviderError, Standing
from orders.attempts import adapter_for
from orders.models import Order, PaymentAttempt, ProofSource
from orders.settling import Outcome, Proof, settle_payment

logger = logging.getLogger(__name__)

# A provider may take thirteen seconds to say nothing.
ASKED_AT_ONCE = 3
_ORDER_OF_STATES = [AccountState.ACTIVE, AccountState.DRAINING, AccountState.CLOSED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one account said about the number."""

    account: MerchantAccount
    standing: Standing | None = None  # None: it could not be asked
    never: bool = False  # it cannot be asked by such a number at all, and asking again is pointless
    said: str = ""
    order: Order | None = None  # whose payment it is
    outcome: Outcome | None = None  # what settling did, when it is ours and paid
    attempt_no: str = ""  # what the provider says our number is


def ask_by_transaction(*, transaction_id: str, provider: str, environment: Environment, actor: str) -> list[Told]:
    """Ask the accounts of a provider, one after another, until one knows the number; what is ours is settled."""
    told = []
    accounts = MerchantAccount.objects.filter(provider=provider, environment=environment).order_by("pk")
    for account in sorted(accounts, key=lambda one: _ORDER_OF_STATES.index(AccountState(one.state)))[:ASKED_AT_ONCE]:
        answer = ask_account(account, transaction_id, actor=actor)
        told.append(answer)
        if answer.standing not in (None, Standing.UNKNOWN):
            break
    return told


def ask_account(account: MerchantAccount, transaction_id: str, *, actor: str) -> Told:
    """Ask one account about a number of its provider's; what is ours is settled."""
    try:
        answer = adapter_for(account).find(transaction_id)
    except ProviderError as error:
        logger.warning("find failed: account=%s transaction_id=%s said=%s", account.code, transaction_id, error.code)
        return Told(account=account, said=error.code, never=not error.retryable)
    proof = answer.proof
    if answer.standing is not Standing.PAID or proof is None:
        return Told(account=account, standing=answer.standing, said=answer.said)
    attempt = (
        PaymentAttempt.objects.filter(account=account, attempt_no=proof.attempt_no).select_related("order").first()
    )
    told = Told(
        account=account,
        standing=answer.standing,
        said=answer.said,
        order=attempt.order if attempt else None,
        attempt_no=proof.attempt_no,
    )
    if attempt is None and proof.bought is None:
        return told
    outcome = settle_payment(Proof(account=account, payment=proof, source=ProofSource.QUERY, actor=actor))
    return replace(told, outcome=outcome)
