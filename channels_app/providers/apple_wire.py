"""What a verified transaction of Apple's means to us: which attempt, what was bought, what was charged, given back.

Apple counts money in thousandths of the currency's unit and time in milliseconds. Anything genuine of another shape
raises NotificationUnreadable, which names the place and never shows the value.
"""

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from appstoreserverlibrary.models.JWSTransactionDecodedPayload import JWSTransactionDecodedPayload as Transaction

from channels_app.money import Money, from_thousandths
from channels_app.providers.base import (
    NotificationUnreadable,
    PaymentProof,
    RefundNotice,
    RefundStanding,
    StoreGoods,
)

# Play money at an account of real money has ids of a range of its own, which may meet the other's.
PLAY = "sandbox:"
_TRANSACTION_ID = re.compile(r"[0-9]{1,50}")
_PRODUCT_ID = re.compile(r"[!-~]{1,255}")
_TOKEN = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CURRENCY = re.compile(r"[A-Z]{3}")
# What is paid once. Subscriptions that renew themselves are no orders of ours; a type we do not know proves nothing.
_PAID_ONCE = frozenset({"Consumable", "Non-Consumable", "Non-Renewing Subscription"})
_BOUGHT = frozenset({None, "PURCHASED"})  # what a family member shares was paid by somebody else
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_MS = 4_102_444_800_000  # the year 2100
# Far above any payment, far below what a database integer holds.
_MOST_THOUSANDTHS = 10**15
_WHOLE = 100_000  # 100 %, in thousandths of a per cent


def is_purchase(transaction: Transaction) -> bool:
    """Whether somebody has paid once for something."""
    return transaction.rawType in _PAID_ONCE and transaction.rawInAppOwnershipType in _BOUGHT


def kind_of(transaction: Transaction) -> str:
    """What it is when it is no purchase, for people."""
    return f"{transaction.rawType or 'no type'}, {transaction.rawInAppOwnershipType or 'no owner'}"


def proof_of(transaction: Transaction, *, live: bool) -> PaymentProof:
    """What a purchase proves; the price is the customer's, in the currency of the storefront."""
    number = transaction_id_of(transaction, live=live)
    return PaymentProof(
        attempt_no=attempt_no_of(transaction),
        transaction_id=number,
        paid=_price_of(transaction),
        paid_at=moment(transaction.purchaseDate, "purchaseDate"),
        given_back=transaction.revocationDate is not None,
        bought=_goods_of(transaction),
        handle=number,
        test=_is_play(transaction, live=live),
    )


def attempt_no_of(transaction: Transaction) -> str:
    """Our number of the attempt; empty when the purchase names none (an offer code, a promoted purchase)."""
    token = transaction.appAccountToken
    return uuid.UUID(token).hex if token and _TOKEN.fullmatch(token) else ""


def transaction_id_of(transaction: Transaction, *, live: bool) -> str:
    """Apple's number, marked when it is play money at an account of real money."""
    number = transaction.transactionId
    if not number or not _TRANSACTION_ID.fullmatch(number):
        raise NotificationUnreadable("shape", "transactionId is not a number")
    return f"{PLAY}{number}" if _is_play(transaction, live=live) else number


def refund_of(
    transaction: Transaction, *, standing: RefundStanding, said: str, at: datetime, live: bool
) -> RefundNotice:
    """A refund that Apple gave, or took back. One purchase has one refund, which its number names."""
    proof = proof_of(transaction, live=live)
    if standing is RefundStanding.SUCCEEDED:
        proof = replace(proof, given_back=True)
    return RefundNotice(
        attempt_no=proof.attempt_no,
        transaction_id=proof.transaction_id,
        refund_no=f"apple:{proof.transaction_id}",
        standing=standing,
        said=said,
        amount=_given_back(transaction, proof.paid),
        at=at,
        payment=proof,
    )


def moment(milliseconds: int | None, name: str) -> datetime:
    """A time of Apple's. Raises NotificationUnreadable naming `name`."""
    if milliseconds is None or not 0 < milliseconds < _MOST_MS:
        raise NotificationUnreadable("shape", f"{name} is not a time")
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(at: datetime) -> int:
    """A time as Apple writes it."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _is_play(transaction: Transaction, *, live: bool) -> bool:
    return live and transaction.rawEnvironment == "Sandbox"


def _price_of(transaction: Transaction) -> Money | None:
    """Of the whole quantity, offers included. Old transactions tell none."""
    price, currency = transaction.price, transaction.currency
    if price is None or currency is None:
        return None
    if not 0 <= price <= _MOST_THOUSANDTHS or not _CURRENCY.fullmatch(currency):
        raise NotificationUnreadable("shape", "price and currency are no amount")
    return from_thousandths(price, currency)


def _goods_of(transaction: Transaction) -> StoreGoods:
    product_id = transaction.productId
    if not product_id or not _PRODUCT_ID.fullmatch(product_id):
        raise NotificationUnreadable("shape", "productId is not a product")
    quantity = 1 if transaction.quantity is None else transaction.quantity
    if not 0 < quantity < 1_000_000:
        raise NotificationUnreadable("shape", "quantity is not a number of things")
    return StoreGoods(product_id=product_id, quantity=quantity)


def _given_back(transaction: Transaction, paid: Money | None) -> Money | None:
    """All of it, unless Apple names a share."""
    share = transaction.revocationPercentage
    if paid is None or share is None or not 0 <= share <= _WHOLE:
        return paid
    return Money((paid.amount_minor * share + _WHOLE // 2) // _WHOLE, paid.currency)
