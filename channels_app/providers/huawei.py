"""Huawei AppGallery in-app purchases (HMS IAP, Android). Wire facts and sources: docs/providers/huawei.md.

The player buys a product of AppGallery Connect inside Huawei's SDK, which carries our number as developerPayload. What
was bought is proved by Huawei's Order service alone, which signs it: the notification of an order has no signature, so
anybody can send one. It is a hint to ask, and the client's token is another. A purchase is confirmed after delivery.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.providers.base import (
    Ack,
    AttemptRef,
    Claims,
    Foreign,
    Hint,
    Message,
    Method,
    NothingToDo,
    NotificationRefused,
    OpenedPayment,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProbeAnswer,
    ProviderRejected,
    ProviderUnavailable,
    QueryAnswer,
    RawNotification,
    RefundNotice,
    RefundStanding,
    Reply,
    Standing,
    StoreGoods,
)
from channels_app.providers.documents import (
    PRODUCT_ID,
    SAID,
    Unexpected,
    exactly,
    json_object,
    object_in,
    our_number,
    text_in,
    whole_in,
)
from channels_app.providers.fields import CredentialField
from channels_app.providers.huawei_api import OrderService, Tokens
from channels_app.providers.huawei_keys import FIELDS, read_keys
from channels_app.providers.joint import JointAdapter
from channels_app.providers.texts import printable
from channels_app.providers.transport import Transport

logger = logging.getLogger(__name__)

_TOKEN = re.compile(r"[!-~]{1,512}")
_HUNDREDTHS = 100
_CONSUMABLE = 0
_PAID_ONCE = frozenset({_CONSUMABLE, 1})  # subscriptions (2) that renew themselves are no orders of ours
_PURCHASED, _CANCELLED, _REFUNDED = 0, 1, 2
_STANDINGS: Mapping[int, Standing] = {
    -1: Standing.WAITING,
    _PURCHASED: Standing.PAID,
    _CANCELLED: Standing.CLOSED,
    _REFUNDED: Standing.PAID,  # what was given back was paid
    3: Standing.WAITING,
}
_WORDS: Mapping[int, str] = {
    -1: "initialised",
    _PURCHASED: "purchased",
    _CANCELLED: "cancelled",
    _REFUNDED: "refunded",
    3: "pending",
}
_PLAY = 0
_BY: Mapping[int, str] = {0: "the buyer", 1: "the developer", 2: "Huawei"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_MS = 4_102_444_800_000  # the year 2100


class HuaweiAdapter(JointAdapter):
    """One application in AppGallery."""

    code: ClassVar[str] = "huawei"
    label: ClassVar[StrOrPromise] = _("Huawei AppGallery")
    notifies_by: ClassVar[str] = "POST"
    # Without a start Huawei lists a month; further back is said nowhere.
    reaches_back: ClassVar[timedelta] = timedelta(days=30)
    methods: ClassVar[Mapping[str, Method]] = {
        "huawei_iap": Method(
            code="huawei_iap",
            label=_("Huawei in-app purchase"),
            kind=PayKind.SDK,
            currencies=(),
            calls_provider=False,
            sells_products=True,
            evidence=("purchase_token", "store_product_id"),
            confirms=True,
        )
    }
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse the key of a credentials file. Raises CredentialsInvalid."""
        keys, transport = read_keys(credentials, live=live), Transport()
        self._live = live
        self._app_id, self._package = keys.app_id, keys.package
        # Huawei has one list for play money and real money: it is read by the account of the real money.
        self._lists = live or not keys.is_real
        tokens = Tokens(base=keys.oauth, client_id=keys.client_id, secret=keys.secret, transport=transport)
        self._orders = OrderService(base=keys.orders, tokens=tokens, key=keys.public_key, transport=transport)

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """What the game hands to Huawei's SDK. Asks nobody."""
        if request.quantity != 1:
            raise ProviderRejected("quantity", "Huawei sells one thing at a time")
        params = {
            "productId": request.store_product_id,
            "priceType": _CONSUMABLE,
            "developerPayload": request.attempt_no,
        }
        return OpenedPayment(kind=PayKind.SDK, params=params)

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask about the purchase that was told for an attempt; Huawei cannot be asked by our number."""
        if not attempt.handle:
            return QueryAnswer(standing=Standing.UNKNOWN, said="no purchase told yet")
        try:
            purchase = self._purchase(attempt.handle, attempt.store_product_id)
            answer = self._answer(purchase)
        except ProviderRejected as error:
            # Known once, and no purchase of that buyer now: it may have been consumed as well as given back.
            return QueryAnswer(standing=Standing.UNDECIDED, said=str(error)[:SAID])
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        if our_number(purchase.get("developerPayload")) not in ("", attempt.attempt_no):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another attempt")
        return answer

    def find(self, transaction_id: str) -> QueryAnswer:
        """Huawei is asked by purchase token and product, which no person has."""
        raise ProviderRejected("not_asked_so", "Huawei finds a purchase by its token and product only")

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a token that cannot exist. Huawei leaves a no unsigned."""
        try:
            self._orders.purchase(attempt_no, "check")
        except ProviderRejected as error:
            return ProbeAnswer(said=str(error)[:SAID], verified=False)
        raise ProviderUnavailable("answer_not_ours", "it knows a purchase that does not exist")

    def confirm(self, attempt: AttemptRef, *, transaction_id: str) -> None:
        """Tell Huawei that the goods were delivered: only then can the player buy this product again."""
        if not attempt.handle:
            raise ProviderRejected("no_token", "no purchase token was told for this attempt")
        self._orders.confirm(attempt.handle, attempt.store_product_id)

    # --- what was bought, by whatever way it is told ----------------------------------------------------------
    def prove(self, evidence: Mapping[str, str]) -> Message:
        """The token of a purchase that Huawei's SDK gave the game."""
        token, product_id = evidence.get("purchase_token", ""), evidence.get("store_product_id", "")
        if not _TOKEN.fullmatch(token) or not PRODUCT_ID.fullmatch(product_id):
            raise NotificationRefused("form", "this is no purchase token of a product")
        return self._told(token, product_id)

    def follow(self, hint: Hint) -> Message:
        """What Huawei itself says about the purchase of a hint."""
        return self._told(hint.about.handle, hint.about.store_product_id)

    def happenings(self, *, since: datetime, until: datetime) -> Iterator[Message]:
        """Purchases that were cancelled or given back."""
        if not self._lists:
            return
        start, end = ((at - _EPOCH) // timedelta(milliseconds=1) for at in (since, until))
        for row in self._orders.cancelled(start_ms=start, end_ms=end):
            try:
                yield _listed(row)
            except Unexpected as error:
                # One that we cannot read must not keep us from those behind it.
                logger.warning("huawei listed a purchase that we cannot read: %s", error.detail)

    # --- notifications --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """What to ask Huawei about. Nothing else of an unsigned message is used, and all others are refused."""
        try:
            document = json_object(raw.body)
            if document.get("eventType") == "SUBSCRIPTION":
                return self._about_subscription(object_in(document, "subNotification"))
            return self._about_order(document)
        except Unexpected as error:
            raise NotificationRefused(error.step, error.detail) from None

    def claims(self, raw: RawNotification) -> Claims:
        """The stamp in the message, and the application that it says to be about."""
        try:
            document = json_object(raw.body)
            sent_at: datetime | None = _moment(document, "notifyTime")
        except Unexpected:
            document, sent_at = {}, None
        key = printable(str(document.get("applicationId", "")), 64)
        return Claims(sent_at=sent_at, key=key, known_keys=(self._app_id,))

    def reply(self, ack: Ack) -> Reply:
        """200 when it is ours; anything else is sent again."""
        status = {Ack.DONE: 200, Ack.REFUSED: 401, Ack.LATER: 503}[ack]
        return Reply(status=status, body=b"", content_type="text/plain")

    def _about_order(self, document: Mapping[str, Any]) -> Hint:
        """Token and product, and nothing more. Raises Unexpected."""
        if document.get("eventType") != "ORDER":
            raise Unexpected("event", "not the event of an order, and not signed")
        if str(document.get("applicationId")) != self._app_id:
            raise Unexpected("application", "for another application, and not signed")
        order = object_in(document, "orderNotification")
        about = AttemptRef(
            attempt_no="",
            handle=text_in(order, "purchaseToken", _TOKEN),
            store_product_id=text_in(order, "productId", PRODUCT_ID),
        )
        return Hint(said=f"ORDER {printable(str(order.get('notificationType')), 20)}", about=about)

    def _about_subscription(self, told: Mapping[str, Any]) -> NothingToDo:
        """Subscriptions are no orders of ours; their messages are signed."""
        text = told.get("statusUpdateNotification")
        if not isinstance(text, str):
            raise Unexpected("form", "there is no statusUpdateNotification")
        self._orders.verify(text, told.get("notificationSignature"), told.get("signatureAlgorithm"))
        return NothingToDo(said="SUBSCRIPTION")

    # --- a verified purchase ----------------------------------------------------------------------------------
    def _told(self, token: str, product_id: str) -> Message:
        try:
            return self._message(self._purchase(token, product_id))
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    def _purchase(self, token: str, product_id: str) -> dict[str, Any]:
        """The verified purchase of a token. Raises ProviderError."""
        purchase = self._orders.purchase(token, product_id)
        # The signature does not cover the question: it must be the answer to this very one.
        if (purchase.get("purchaseToken"), purchase.get("productId")) != (token, product_id):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another purchase")
        return purchase

    def _message(self, purchase: Mapping[str, Any]) -> Message:
        attempt_no = our_number(purchase.get("developerPayload"))
        if not self._is_ours(purchase):
            return Foreign(said="in another application", attempt_no=attempt_no)
        state = _state_of(purchase)
        if not _is_purchase(purchase) or state not in (_PURCHASED, _REFUNDED):
            handle = text_in(purchase, "purchaseToken", _TOKEN)
            return NothingToDo(said=_word(purchase), attempt_no=attempt_no, handle=handle)
        proof = self._proof(purchase)
        return _refund(proof) if state == _REFUNDED else proof

    def _answer(self, purchase: Mapping[str, Any]) -> QueryAnswer:
        said = _word(purchase)
        if not self._is_ours(purchase) or not _is_purchase(purchase):
            return QueryAnswer(standing=Standing.UNDECIDED, said=said)
        standing = _STANDINGS.get(_state_of(purchase), Standing.UNDECIDED)
        proof = self._proof(purchase) if standing is Standing.PAID else None
        return QueryAnswer(standing=standing, said=said, proof=proof)

    def _is_ours(self, purchase: Mapping[str, Any]) -> bool:
        return (str(purchase.get("applicationId")), purchase.get("packageName")) == (self._app_id, self._package)

    def _proof(self, purchase: Mapping[str, Any]) -> PaymentProof:
        kind = purchase.get("purchaseType")  # absent when it was bought with money
        return PaymentProof(
            attempt_no=our_number(purchase.get("developerPayload")),
            transaction_id=text_in(purchase, "orderId"),
            paid=exactly(purchase, "price", per_unit=_HUNDREDTHS),
            paid_at=_moment(purchase, "purchaseTime"),
            given_back=_state_of(purchase) == _REFUNDED,
            # AppGallery holds the price: it must be ours all the same.
            bought=StoreGoods(
                product_id=text_in(purchase, "productId", PRODUCT_ID), quantity=1, store_sets_price=False
            ),
            handle=text_in(purchase, "purchaseToken", _TOKEN),
            test=self._live and kind == _PLAY,
            review="" if kind in (None, _PLAY) else f"purchase type {printable(str(kind), 20)}",
        )


def _state_of(purchase: Mapping[str, Any]) -> int:
    state = purchase.get("purchaseState")
    if type(state) is not int:
        raise Unexpected("shape", "purchaseState is not a number")
    return state


def _is_purchase(purchase: Mapping[str, Any]) -> bool:
    return purchase.get("kind") in _PAID_ONCE


def _word(purchase: Mapping[str, Any]) -> str:
    state = _state_of(purchase)
    word = _WORDS.get(state, f"purchase state {state}")
    return word if _is_purchase(purchase) else f"kind {printable(str(purchase.get('kind')), 20)}, {word}"


def _refund(proof: PaymentProof) -> RefundNotice:
    """One purchase has one refund."""
    return RefundNotice(
        attempt_no=proof.attempt_no,
        transaction_id=proof.transaction_id,
        refund_no=f"huawei:{proof.transaction_id}",
        standing=RefundStanding.SUCCEEDED,
        said=_WORDS[_REFUNDED],
        amount=proof.paid,
        payment=replace(proof, given_back=True),
    )


def _listed(row: Mapping[str, Any]) -> RefundNotice:
    """A purchase in Huawei's list of those cancelled or given back. It is not signed, and opens a case at most."""
    transaction_id = text_in(row, "orderId")
    by = _BY.get(whole_in(row, "cancelledSource"), "somebody") if "cancelledSource" in row else "somebody"
    return RefundNotice(
        attempt_no="",
        transaction_id=transaction_id,
        refund_no=f"huawei:{transaction_id}",
        standing=RefundStanding.SUCCEEDED,
        said=f"cancelled by {by}, reason {printable(str(row.get('cancelledReason', 'not told')), 20)}",
        at=_moment(row, "cancelledTime"),
    )


def _moment(document: Mapping[str, Any], name: str) -> datetime:
    milliseconds = whole_in(document, name)
    if not 0 < milliseconds < _MOST_MS:
        raise Unexpected("shape", f"{name} is not a time")
    return _EPOCH + timedelta(milliseconds=milliseconds)
