"""What a game's client holds after a purchase in a store: verified, then settled as any other proof.

The receipt says itself which order it pays. Whoever hands in another's moves nothing for themselves: it pays the order
it names, and the answer says so.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from channels_app.accounts import account_by_id
from channels_app.models import ChannelMethod, MerchantAccount
from channels_app.providers import METHODS
from channels_app.providers.base import (
    Foreign,
    Message,
    NotificationRefused,
    PaymentProof,
    ProviderBusy,
    ProviderError,
    Proving,
    RefundNotice,
)
from orders.attempts import adapter_for
from orders.limits import refuse_above
from orders.messages import Arrival, take
from orders.models import DeliveryState, Order, Payment, PaymentAttempt, ProofSource
from orders.problems import Problem
from orders.settling import Outcome

logger = logging.getLogger(__name__)

_PROOFS_PER_MINUTE = 20


class Proved(StrEnum):
    """What a receipt came to."""

    APPLIED = "applied"  # it has paid this order, now or before
    HELD = "held"  # the money is safe, a person must decide
    WAITING = "waiting"  # bought, not paid yet (cash, a parent's approval)
    GIVEN_BACK = "given_back"  # the store has given the money back: there is nothing to deliver


PROVING_METHODS = tuple(code for code, method in METHODS.items() if method.evidence)


@dataclass(frozen=True, slots=True)
class Proof:
    """The answer to a receipt. `finish`: the client may tell the store's SDK that the purchase is dealt with."""

    result: Proved
    said: str
    finish: bool


def hand_in(*, order: Order, method: str, evidence: Mapping[str, str], actor: str) -> Proof:
    """Verify what the client has got from the store and act on it. Raises Problem.

    Repeating it is safe; a client repeats it at every start until it is told to finish.
    """
    refuse_above(_PROOFS_PER_MINUTE, key=f"proof:{order.order_no}")
    account = _account_of(order, method)
    message = _verified(account, evidence)
    if isinstance(message, Foreign):
        raise Problem(422, "proof_not_ours", "This is a purchase in another application.")
    outcome = take(message, Arrival(account=account, source=ProofSource.CLIENT, actor=actor))
    if isinstance(message, RefundNotice):
        return Proof(Proved.GIVEN_BACK, message.said, finish=True)
    if not isinstance(message, PaymentProof):
        return Proof(Proved.WAITING, message.said, finish=False)
    order.refresh_from_db()
    return _answer(order, account, message, outcome)


def _answer(order: Order, account: MerchantAccount, message: PaymentProof, outcome: Outcome | None) -> Proof:
    if order.transaction_id == message.transaction_id:
        return Proof(Proved.APPLIED, "", finish=order.delivery_state == DeliveryState.DELIVERED)
    payment = Payment.objects.filter(account=account, transaction_id=message.transaction_id).first()
    if payment is not None and payment.order_id not in (None, order.pk):
        # Which order it is stays between the player who bought it and us.
        raise Problem(409, "proof_of_another_order", "This purchase belongs to another order.")
    logger.info("receipt held: order_no=%s transaction_id=%s %s", order.order_no, message.transaction_id, outcome)
    return Proof(Proved.HELD, payment.hold_reason if payment else "", finish=False)


def _account_of(order: Order, method: str) -> MerchantAccount:
    """Where the order was opened with this method; before that, where its channel would open it."""
    attempt = PaymentAttempt.objects.filter(order=order, method=method).order_by("-pk").first()
    if attempt is not None:
        return account_by_id(attempt.account_id)
    offered = ChannelMethod.objects.filter(
        channel=order.channel_id, environment=order.environment, method=method, is_enabled=True
    ).first()
    if offered is None:
        raise Problem(400, "method_not_offered", "This channel does not offer that payment method now.")
    return account_by_id(offered.account_id)


def _verified(account: MerchantAccount, evidence: Mapping[str, str]) -> Message:
    adapter = adapter_for(account)
    if not isinstance(adapter, Proving):
        raise TypeError(f"{adapter.code} lists evidence and proves nothing")
    try:
        return adapter.prove(evidence)
    except NotificationRefused as refusal:
        logger.warning("receipt refused: account=%s %s", account.code, refusal)
        raise Problem(422, "proof_refused", f"This is no genuine receipt ({refusal.step}).") from None
    except ProviderBusy:
        raise Problem(
            503, "provider_busy", "The store asks us to slow down; hand it in again shortly.",
            headers={"Retry-After": "5"},
        ) from None  # fmt: skip
    except ProviderError as error:
        if error.retryable:
            raise Problem(
                503, "provider_unavailable", "The store did not answer; hand it in again shortly.",
                headers={"Retry-After": "5"},
            ) from None  # fmt: skip
        raise Problem(422, "proof_unknown", f"The store does not know this purchase ({error.code[:60]}).") from None
