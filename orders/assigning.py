"""A store purchase that names no order of ours, given to the order it was made for, by people.

The store is asked again first, outside any lock: what it says today is what is settled, through the ordinary door.
Nothing here writes money, and the purchase pays one order once: settling takes the kept payment into use as the row
it is.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from channels_app.models import MerchantAccount
from channels_app.providers import ADAPTERS
from channels_app.providers.base import Numbers, PaymentProof, ProviderError, StoreGoods
from orders.attempts import adapter_for
from orders.models import (
    ATTEMPT_ALIVE,
    AttemptState,
    HoldReason,
    Order,
    OrderState,
    Payment,
    PaymentAttempt,
    ProofSource,
    Reviewer,
)
from orders.order_numbers import ATTEMPTS_PER_ACCOUNT, attempt_no
from orders.settling import Outcome, Proof, settle_payment


class CannotAssign(ValueError):
    """The purchase and the order do not fit; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What was bought, and the order it would pay."""

    payment: Payment
    order: Order
    proof: PaymentProof
    bought: StoreGoods
    method: str


def look(*, payment_id: int, order_no: str) -> Fit:
    """Ask the store about a kept purchase and hold it against an order. Raises CannotAssign."""
    payment = Payment.objects.select_related("account").get(pk=payment_id)
    order = Order.objects.select_related("product").filter(order_no=order_no.strip().upper()).first()
    if payment.applied or payment.hold_reason != HoldReason.UNMATCHED:
        raise CannotAssign(_("This purchase waits for no order any more."))
    if order is None:
        raise CannotAssign(_("There is no order with this number."))
    if order.environment != payment.account.environment:
        raise CannotAssign(_("Production and sandbox never mix."))
    if order.state != OrderState.PENDING:
        raise CannotAssign(_("This order waits for no payment. Let the player make a new one, and assign to that."))
    proof, bought = _ask(payment.account, payment.transaction_id)
    if proof.test and not Reviewer.objects.filter(game=order.game_id, uid=order.uid, until__gt=timezone.now()).exists():
        raise CannotAssign(_("It was bought with play money, and the order's player is no listed reviewer."))
    return Fit(payment, order, proof, bought, _method_of(payment.account, order, bought))


def assign(*, payment_id: int, order_no: str, by: str, now: datetime) -> Outcome:
    """Let a kept purchase pay an order, exactly once; DUPLICATE: somebody was faster. Raises CannotAssign."""
    fit = look(payment_id=payment_id, order_no=order_no)
    attempt = _attempt_for(fit, now=now)
    # The people who assign it answer for whose it is: what linked it to somebody is what was missing.
    proof = replace(fit.proof, attempt_no=attempt.attempt_no, payer="", opened_at=None)
    return settle_payment(
        Proof(account=fit.payment.account, payment=proof, source=ProofSource.QUERY, actor=f"staff {by}")
    )


def _ask(account: MerchantAccount, transaction_id: str) -> tuple[PaymentProof, StoreGoods]:
    try:
        answer = adapter_for(account).find(transaction_id)
    except ProviderError as error:
        raise CannotAssign(_("The store could not be asked (%(said)s).") % {"said": error.code}) from error
    proof = answer.proof
    if proof is None or proof.bought is None or proof.transaction_id != transaction_id:
        raise CannotAssign(_("The store does not say that it was paid (%(said)s).") % {"said": answer.said})
    if proof.given_back:
        raise CannotAssign(_("The store has given the money back."))
    if proof.review:
        raise CannotAssign(_("The store is not sure of it itself (%(said)s).") % {"said": proof.review})
    named = PaymentAttempt.objects.filter(account=account, attempt_no=proof.attempt_no).select_related("order").first()
    if named is not None:
        raise CannotAssign(_("The store now names order %(order)s for it.") % {"order": named.order.order_no})
    return proof, proof.bought


def _method_of(account: MerchantAccount, order: Order, bought: StoreGoods) -> str:
    """The method by which this account sells what was bought, which must be what the order is for."""
    of_store = [method.code for method in ADAPTERS[account.provider].methods.values() if method.sells_products]
    method = next((code for code in of_store if order.product.store_ids.get(code) == bought.product_id), None)
    if method is None:
        wanted = ", ".join(order.product.store_ids.get(code, "–") for code in of_store)
        raise CannotAssign(
            _("The store sold %(sold)s; the order is for %(wanted)s.") % {"sold": bought.product_id, "wanted": wanted}
        )
    if bought.quantity != order.quantity:
        raise CannotAssign(
            _("The store sold %(sold)s of it; the order is for %(wanted)s.")
            % {"sold": bought.quantity, "wanted": order.quantity}
        )
    return method


def _attempt_for(fit: Fit, *, now: datetime) -> PaymentAttempt:
    """The order's living attempt to buy this product at this account, or one made for the purchase."""
    account, order = fit.payment.account, fit.order
    at_account = PaymentAttempt.objects.filter(order=order, account=account)
    living = at_account.filter(method=fit.method, store_product_id=fit.bought.product_id, state__in=ATTEMPT_ALIVE)
    return living.order_by("-pk").first() or _made(fit, nth=at_account.count() + 1, now=now)


def _made(fit: Fit, *, nth: int, now: datetime) -> PaymentAttempt:
    account, order = fit.payment.account, fit.order
    if nth > ATTEMPTS_PER_ACCOUNT:
        raise CannotAssign(_("This order was tried too often; let the player make a new one."))
    by_uuid = ADAPTERS[account.provider].methods[fit.method].numbers is Numbers.UUID
    made, _created = PaymentAttempt.objects.get_or_create(
        account=account,
        attempt_no=uuid.uuid4().hex if by_uuid else attempt_no(order.order_no, nth),
        defaults={
            "order": order,
            "method": fit.method,
            "state": AttemptState.OPEN,
            "inputs_sha256": "",
            "store_product_id": fit.bought.product_id,
            "expires_at": max(order.expires_at, now),
            "next_query_at": now,
            "created_at": now,
        },
    )
    return made
