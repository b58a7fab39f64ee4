"""What Google Play says of a purchase and of its order, in either spelling of its API, and what that proves to us.

`purchases.productsv2` writes words, the older `purchases.products` numbers for the same states; both become one
Purchase. Prices stand only in the order. Anything of another shape raises Unexpected, which names the place and never
shows the value.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from channels_app.money import Money, from_thousandths
from channels_app.providers.base import PaymentProof, ProviderUnavailable, StoreGoods
from channels_app.providers.texts import printable

SAID = 60  # characters of what Google says, as they are kept
TOKEN = re.compile(r"[0-9A-Za-z._~-]{1,1000}")
PRODUCT_ID = re.compile(r"[0-9A-Za-z._-]{1,200}")
ORDER_ID = re.compile(r"[!-~]{1,64}")
_NUMBER = re.compile(r"[0-9A-Z]{1,64}")  # our own, of an attempt
_PLAYER = re.compile(r"[!-~]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_UNITS = re.compile(r"[0-9]{1,12}")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_MOST_OF_ONE = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unexpected(ProviderUnavailable):
    """An answer of another shape than the documented one: what it says is not known."""

    def __init__(self, what: str) -> None:
        """Names the place."""
        super().__init__("answer_shape", f"{what} is not as documented")


class State(StrEnum):
    """Where a purchase stands, however Google spells it."""

    PURCHASED = "purchased"
    CANCELLED = "cancelled"
    PENDING = "pending"
    UNKNOWN = "unknown"  # a word that we do not know decides nothing


_WORDS: Mapping[str, State] = {
    "PURCHASED": State.PURCHASED,
    "CANCELLED": State.CANCELLED,
    "PENDING": State.PENDING,
    "0": State.PURCHASED,
    "1": State.CANCELLED,
    "2": State.PENDING,
}
_TEST = "0"
# How somebody came by goods that nobody has paid for.
_FREE: Mapping[str, str] = {"1": "a promo code", "2": "a reward for watching an advertisement"}

# States of an order in which its money is, or is about to be, with the buyer again.
_GIVEN_BACK = frozenset({"REFUNDED", "PARTIALLY_REFUNDED", "PENDING_REFUND", "CANCELED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing of a purchase."""

    product_id: str
    quantity: int
    refundable: int | None  # of the quantity, what was not given back yet; None where Google does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A purchase as the API answers it."""

    token: str
    state: State
    said: str  # Google's word for the state
    order_id: str  # "" while pending, and of purchases that nobody paid
    items: tuple[Item, ...]
    is_consumed: bool
    is_test: bool
    not_paid: str  # how it was come by, when nobody paid for it; only the older spelling says
    number: str  # obfuscatedExternalProfileId: ours of the attempt, or ""
    player: str  # obfuscatedExternalAccountId, or ""
    completed_at: datetime | None

    @property
    def transaction_id(self) -> str:
        """Google's order number; without one, a name that the token alone makes."""
        return self.order_id or f"token:{hashlib.sha256(self.token.encode()).hexdigest()[:32]}"

    @property
    def was_paid(self) -> bool:
        """Whether it was completed once: a pending one that was cancelled never was."""
        return self.completed_at is not None or bool(self.order_id)

    @property
    def is_refunded_in_part(self) -> bool:
        """Whether some of it, or all, was given back while it stays purchased."""
        return any(item.refundable is not None and item.refundable < item.quantity for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Google's order: the price, and what became of the money."""

    token: str
    state: str
    total: Money | None
    created_at: datetime | None
    refunded_total: Money | None
    refunded_at: datetime | None

    @property
    def is_given_back(self) -> bool:
        """Whether money of it is with the buyer again."""
        return self.state in _GIVEN_BACK


def in_words(document: Mapping[str, Any], token: str) -> Purchase:
    """A ProductPurchaseV2. Raises Unexpected."""
    said = printable(_member(document, "purchaseStateContext").get("purchaseState"), SAID)
    lines = document.get("productLineItem", [])
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Unexpected("productLineItem")
    offers = [_member(line, "productOfferDetails") if "productOfferDetails" in line else {} for line in lines]
    return Purchase(
        token=token,
        state=_WORDS.get(said, State.UNKNOWN),
        said=said,
        order_id=_text(document, "orderId", ORDER_ID),
        items=tuple(_item(line.get("productId"), offer) for line, offer in zip(lines, offers, strict=True)),
        is_consumed=any(offer.get("consumptionState") == "CONSUMPTION_STATE_CONSUMED" for offer in offers),
        is_test=document.get("testPurchaseContext") is not None,
        not_paid="",
        number=_text(document, "obfuscatedExternalProfileId", _NUMBER),
        player=_text(document, "obfuscatedExternalAccountId", _PLAYER),
        completed_at=_time(document, "purchaseCompletionTime"),
    )


def in_figures(document: Mapping[str, Any], token: str, product_id: str) -> Purchase:
    """A ProductPurchase; the product is the one that was asked about. Raises Unexpected."""
    said, how = _figure(document, "purchaseState"), _figure(document, "purchaseType")
    state = _WORDS.get(said, State.UNKNOWN)
    order_id = _text(document, "orderId", ORDER_ID)
    return Purchase(
        token=token,
        state=state,
        said=f"purchaseState {said}",
        order_id=order_id,
        items=(_item(product_id, document),),
        is_consumed=document.get("consumptionState") == 1,
        is_test=how == _TEST,
        not_paid="" if how in ("", _TEST) else _FREE.get(how, f"purchaseType {how}"),
        number=_text(document, "obfuscatedExternalProfileId", _NUMBER),
        player=_text(document, "obfuscatedExternalAccountId", _PLAYER),
        # Stamped while pending as well.
        completed_at=moment(document.get("purchaseTimeMillis")) if state is State.PURCHASED or order_id else None,
    )


def order_of(document: Mapping[str, Any]) -> Order:
    """An Order. What of it has another shape is left out: the price of a purchase decides nothing."""
    history = document.get("orderHistory")
    refund = history.get("refundEvent") if isinstance(history, dict) else None
    refund = refund if isinstance(refund, dict) else {}
    details = refund.get("refundDetails")
    return Order(
        token=_text(document, "purchaseToken", TOKEN),
        state=printable(document.get("state"), SAID),
        total=money(document.get("total")),
        created_at=_time(document, "createTime"),
        refunded_total=money(details.get("total")) if isinstance(details, dict) else None,
        refunded_at=_time(refund, "eventTime"),
    )


def proof_of(purchase: Purchase, order: Order | None, *, live: bool) -> PaymentProof:
    """What a completed purchase proves. Raises Unexpected."""
    paid_at = purchase.completed_at or (order.created_at if order else None)
    if paid_at is None or not purchase.items:
        raise Unexpected("what was bought, or when,")
    given_back = purchase.state is State.CANCELLED or purchase.is_refunded_in_part
    return PaymentProof(
        # Our client buys one thing at a time: whose the others would be, nobody can tell.
        attempt_no=purchase.number if len(purchase.items) == 1 else "",
        transaction_id=purchase.transaction_id,
        paid=order.total if order else None,
        paid_at=paid_at,
        given_back=given_back or (order is not None and order.is_given_back),
        bought=_goods_of(purchase),
        payer=purchase.player,
        handle=purchase.token,
        test=live and purchase.is_test,
        review=_doubt_about(purchase),
    )


def json_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object in a text; None when it holds none."""
    try:
        document = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def moment(milliseconds: Any) -> datetime | None:
    """A time that Google writes in milliseconds, as a number or as its digits; None for anything else."""
    digits = str(milliseconds) if type(milliseconds) is int else milliseconds
    if not isinstance(digits, str) or not re.fullmatch(r"[0-9]{1,13}", digits):
        return None
    return _EPOCH + timedelta(milliseconds=int(digits))


def milliseconds(at: datetime) -> int:
    """A time as Google writes it."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def money(value: Any) -> Money | None:
    """An amount {currencyCode, units, nanos}, which may leave out its zeros; None for what is no amount."""
    if not isinstance(value, dict):
        return None
    currency, units, nanos = value.get("currencyCode"), value.get("units", "0"), value.get("nanos", 0)
    units = str(units) if type(units) is int else units
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return None
    if not isinstance(units, str) or not _UNITS.fullmatch(units):
        return None
    if type(nanos) is not int or not 0 <= nanos < 10**9:
        return None
    return from_thousandths(int(units) * 1000 + nanos // 10**6, currency)


def _doubt_about(purchase: Purchase) -> str:
    """Why a purchase may not be delivered by a program. Booked before, it is the same payment and nothing happens."""
    if purchase.not_paid:
        return f"nobody paid: it was come by with {purchase.not_paid}"
    if purchase.is_consumed:
        return "Google says that it was used up already: its goods were delivered once, by us or by the game itself"
    return ""


def _goods_of(purchase: Purchase) -> StoreGoods:
    names = " + ".join(item.product_id for item in purchase.items)
    return StoreGoods(product_id=names[:255], quantity=sum(item.quantity for item in purchase.items))


def _item(product_id: Any, details: Mapping[str, Any]) -> Item:
    if not isinstance(product_id, str) or not PRODUCT_ID.fullmatch(product_id):
        raise Unexpected("productId")
    quantity = _count(details, "quantity")
    return Item(
        product_id=product_id,
        quantity=1 if quantity is None else quantity,
        refundable=_count(details, "refundableQuantity"),
    )


def _count(details: Mapping[str, Any], name: str) -> int | None:
    value = details.get(name)
    if value is not None and (type(value) is not int or not 0 <= value < _MOST_OF_ONE):
        raise Unexpected(name)
    return value


def _figure(document: Mapping[str, Any], name: str) -> str:
    """One of the numbers that stand for words; "" for none."""
    value = document.get(name)
    return "" if value is None else printable(str(value), 20)


def _member(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise Unexpected(name)
    return value


def _text(document: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    """A text of a certain form; "" for none and for any other: it names nothing of ours."""
    value = document.get(name)
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _time(document: Mapping[str, Any], name: str) -> datetime | None:
    """A time in RFC 3339, which Google writes with up to nine decimals. None for anything else."""
    value = document.get(name)
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(f"{found[1]}{(found[2] or '.0')[:7]}{found[3].replace('Z', '+00:00')}")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
