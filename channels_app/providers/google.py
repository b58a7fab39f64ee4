"""Google Play Billing, one-time products. Wire facts and sources: docs/providers/google.md.

Nothing is opened at Google: the player's device buys a product there and names our attempt. What it gets, and what
Google Play tells us, is a purchase token, which proves nothing: the Play Developer API is asked about it, every time.
Google sets the price, and gives back what nobody has confirmed within three days.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.providers.base import (
    Ack,
    AttemptRef,
    Claims,
    CloseAnswer,
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
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    QueryAnswer,
    RawNotification,
    RefundAnswer,
    RefundAsked,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Reply,
    Standing,
)
from channels_app.providers.fields import CredentialField
from channels_app.providers.google_api import NoSuch, NotOffered, PublisherApi
from channels_app.providers.google_hints import RefundReview, Voided, hint_in, told_in
from channels_app.providers.google_keys import FIELDS, read_keys
from channels_app.providers.google_push import Push
from channels_app.providers.google_voids import notice_of, of_one_forgotten, refund_no, token_and_time
from channels_app.providers.google_wire import (
    ORDER_ID,
    PRODUCT_ID,
    SAID,
    TOKEN,
    Order,
    Purchase,
    State,
    Unexpected,
    in_figures,
    in_words,
    milliseconds,
    moment,
    order_of,
    proof_of,
)
from channels_app.providers.texts import printable
from channels_app.providers.transport import Transport

logger = logging.getLogger(__name__)

_LONGEST_ID = 64  # of what a purchase says about player and attempt
_NOBODYS_TOKEN = "nobody-has-bought-this-"  # noqa: S105  # what is asked about to see who answers
_NOBODYS_ORDER = "GPA.0000-0000-0000-00000"
_ORDER_NUMBER = re.compile(r"GPA\.[0-9.-]{1,60}")
_SHORTEST_TOKEN = 40  # of those that Google makes; shorter ones are typing mistakes

_CLOCKS_DIFFER = timedelta(minutes=2)
_LISTED_LATE = timedelta(days=1)  # between a voiding and its place in Google's list
_REFUNDS: Mapping[str, RefundStanding] = {
    "REFUNDED": RefundStanding.SUCCEEDED,
    "PENDING_REFUND": RefundStanding.PROCESSING,
    "PROCESSED": RefundStanding.UNKNOWN,
    "PENDING": RefundStanding.UNKNOWN,
    "CANCELED": RefundStanding.UNKNOWN,  # never paid
    "PARTIALLY_REFUNDED": RefundStanding.UNKNOWN,  # not by us: we give back all or nothing
}


class GoogleAdapter:
    """One app on Google Play."""

    code: ClassVar[str] = "google"
    label: ClassVar[StrOrPromise] = _("Google Play")
    notifies_by: ClassVar[str] = "POST"
    keeps_authorization: ClassVar[bool] = True  # the token in that header is all that proves a message
    # Google lists 30 days; a little less, because its clock is not ours.
    reaches_back: ClassVar[timedelta] = timedelta(days=30) - timedelta(hours=1)
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS
    methods: ClassVar[Mapping[str, Method]] = {
        "google_play": Method(
            code="google_play",
            label=_("Google Play"),
            kind=PayKind.STORE,
            currencies=(),
            calls_provider=False,
            sells_products=True,
            evidence=("purchase_token", "store_product_id"),
            confirms=True,
        )
    }

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse the keys of a credentials file. Raises CredentialsInvalid."""
        keys = read_keys(credentials, live=live)
        self._live = live
        self._package_name = keys.package_name
        self._subscription = keys.push_subscription
        self._push = Push(keys)
        self._api = PublisherApi(keys, Transport())

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """What the app hands to the billing library. Asks nobody; the same request gives the same."""
        if max(len(request.player), len(request.attempt_no)) > _LONGEST_ID:
            raise ProviderRejected("id_too_long", f"Google takes {_LONGEST_ID} characters")
        # Google will tell of this payment soon: its keys are fetched meanwhile.
        self._push.certificates.prepare()
        params = {
            "product_id": request.store_product_id,
            "obfuscated_account_id": request.player,
            "obfuscated_profile_id": request.attempt_no,
            "quantity": request.quantity,
        }
        return OpenedPayment(kind=PayKind.STORE, params=params, payer=request.player)

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask about the purchase that was told for an attempt; Google cannot be asked by our number."""
        if not attempt.handle:
            return QueryAnswer(standing=Standing.UNKNOWN, said="no purchase told yet")
        try:
            purchase = self._purchase(attempt.handle, attempt.store_product_id)
        except NoSuch as error:
            return QueryAnswer(standing=Standing.UNKNOWN, said=str(error)[:SAID])
        if purchase.number not in ("", attempt.attempt_no):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another attempt")
        return self._answer(purchase)

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask by the order number on the buyer's mail from Google, or by a purchase token."""
        number = transaction_id.strip()
        try:
            token = self._token_of(number.upper()) if _ORDER_NUMBER.fullmatch(number.upper()) else number
            if not TOKEN.fullmatch(token) or len(token) < _SHORTEST_TOKEN:
                return QueryAnswer(standing=Standing.UNKNOWN, said="not a number of Google's")
            return self._answer(self._purchase(token))
        except NoSuch as error:
            return QueryAnswer(standing=Standing.UNKNOWN, said=str(error)[:SAID])

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a purchase and an order that nobody has made, and for the keys of pushes. No answer is signed."""
        said = self._no_to(f"/purchases/productsv2/tokens/{_NOBODYS_TOKEN}{quote(attempt_no, safe='')}")
        try:
            self._no_to(f"/orders/{_NOBODYS_ORDER}")
        except ProviderRejected as error:
            said += f" (orders may not be seen, so prices and refunds are not told: {error.code})"
        self._push.certificates.fetch()
        return ProbeAnswer(said=said, verified=False)

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Nothing can be closed at Google: what was begun there ends by being paid, or by its buyer."""
        if not attempt.handle:
            return CloseAnswer.UNKNOWN
        return {
            Standing.PAID: CloseAnswer.PAID,
            Standing.CLOSED: CloseAnswer.CLOSED,
            Standing.UNKNOWN: CloseAnswer.UNKNOWN,
        }.get(self.query(attempt).standing, CloseAnswer.CANNOT)

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give all of it back and take the product away. Given back already, it is that refund and no second one."""
        if request.amount != request.paid:
            raise ProviderRejected("not_offered", "Google gives back a whole order; parts only in Play Console")
        path = self._order_path(request.transaction_id)
        try:
            self._api.ask("POST", f"{path}:refund?revoke=true")
        except ProviderRejected:
            answer = self.query_refund(request)
            if answer.standing is RefundStanding.UNKNOWN:
                raise
            return answer
        try:
            answer = self.query_refund(request)
        except ProviderError:
            answer = RefundAnswer(standing=RefundStanding.UNKNOWN, said="accepted", refund_no=request.refund_no)
        # Google has accepted it, whatever the order still says.
        return replace(answer, standing=RefundStanding.PROCESSING) if answer.succeeded_at is None else answer

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Whether Google has given this order back."""
        order = order_of(self._api.ask("GET", self._order_path(request.transaction_id)))
        standing = _REFUNDS.get(order.state, RefundStanding.PROCESSING)
        is_over = standing is RefundStanding.SUCCEEDED
        return RefundAnswer(
            standing=standing,
            said=order.state or "no state",
            refund_no=request.refund_no,
            provider_refund_id=refund_no(request.transaction_id) if is_over else "",
            amount=order.refunded_total if is_over else None,
            succeeded_at=(order.refunded_at or datetime.now(UTC)) if is_over else None,
        )

    def confirm(self, attempt: AttemptRef, *, transaction_id: str) -> None:
        """The goods were delivered: use the purchase up, which acknowledges it too and lets it be bought again."""
        if not attempt.handle or not attempt.store_product_id:
            raise ProviderRejected("no_token", "the purchase token or the product was never told")
        product, token = (quote(text, safe="") for text in (attempt.store_product_id, attempt.handle))
        try:
            self._api.ask("POST", f"/purchases/products/{product}/tokens/{token}:consume")
        except ProviderRejected:
            # A second time is a no to some; what counts is that it was used up.
            if not self._purchase(attempt.handle, attempt.store_product_id).is_consumed:
                raise

    # --- what was bought, by whatever way it is told ----------------------------------------------------------
    def prove(self, evidence: Mapping[str, str]) -> Message:
        """The purchase token that the billing library gave the app, for the product it was told to buy."""
        token, product_id = evidence.get("purchase_token", ""), evidence.get("store_product_id", "")
        if not TOKEN.fullmatch(token) or not PRODUCT_ID.fullmatch(product_id):
            raise NotificationRefused("form", "no purchase token and product of Google Play")
        purchase = self._purchase(token, product_id)
        if purchase.items and product_id not in [item.product_id for item in purchase.items]:
            raise NotificationRefused("product", "the purchase is of another product")
        return self._message(purchase)

    def follow(self, hint: Hint) -> Message:
        """Ask the API what is behind a push."""
        if isinstance(hint, RefundReview):
            return self._refund_asked(hint)
        if isinstance(hint, Voided) and (entry := self._voiding(hint)) is not None:
            return self._voided(entry)
        return self._message(self._purchase(hint.about.handle, hint.about.store_product_id))

    def read_notification(self, raw: RawNotification) -> Message:
        """Verify who pushed it, then say whom to ask. Every sending carries a token of its own hour."""
        self._push.verify(raw.headers, at=raw.received_at)
        told = told_in(raw.body, subscription=self._subscription)
        if told.package_name != self._package_name:
            return Foreign(said=f"for {printable(told.package_name, SAID)}")
        return hint_in(told)

    def happenings(self, *, since: datetime, until: datetime) -> Iterator[Message]:
        """What was voided: given back by Google, by the buyer's bank, in Play Console."""
        seen = set()
        # Google refuses a time that its own clock has not reached; without one it lists up to now.
        end = None if until > datetime.now(UTC) - _CLOCKS_DIFFER else milliseconds(until)
        for entry in self._api.voided(since_ms=milliseconds(since), until_ms=end):
            try:
                name = token_and_time(entry)
                if name not in seen:
                    yield self._voided(entry)
                seen.add(name)
            except Unexpected as error:
                # One that we cannot read must not keep us from those behind it.
                logger.warning("google listed a voided purchase that we cannot read: %s", error)

    def claims(self, raw: RawNotification) -> Claims:
        """Stamp and key as the token names them."""
        header, said = self._push.unverified(raw.headers)
        issued = said.get("iat")
        sent_at = moment(issued * 1000) if type(issued) is int else None
        return Claims(sent_at=sent_at, key=header.get("kid", ""), known_keys=self._push.certificates.names())

    def reply(self, ack: Ack) -> Reply:
        """204 when it is ours; Pub/Sub sends anything else again, for a week."""
        status = {Ack.DONE: 204, Ack.REFUSED: 401, Ack.LATER: 503}[ack]
        return Reply(status=status, body=b"", content_type="text/plain")

    # --- reading a purchase -----------------------------------------------------------------------------------
    def _purchase(self, token: str, product_id: str = "") -> Purchase:
        """A purchase as it stands now. Raises ProviderError."""
        try:
            found = in_words(self._api.ask("GET", f"/purchases/productsv2/tokens/{quote(token, safe='')}"), token)
        except NotOffered:
            if not product_id:
                raise
            return self._in_figures(token, product_id)
        if found.state is State.PURCHASED and not found.order_id and len(found.items) == 1:
            # Without an order nobody may have paid, and only the older method says so.
            return replace(found, not_paid=self._not_paid(token, found.items[0].product_id))
        return found

    def _not_paid(self, token: str, product_id: str) -> str:
        try:
            return self._in_figures(token, product_id).not_paid
        except ProviderRejected as error:
            return f"an unknown way ({error.code})"

    def _in_figures(self, token: str, product_id: str) -> Purchase:
        path = f"/purchases/products/{quote(product_id, safe='')}/tokens/{quote(token, safe='')}"
        return in_figures(self._api.ask("GET", path), token, product_id)

    def _order(self, purchase: Purchase) -> Order | None:
        """The order behind a purchase; None when it cannot be had. No purchase waits for its price."""
        if not purchase.order_id:
            return None
        try:
            order = order_of(self._api.ask("GET", self._order_path(purchase.order_id)))
        except ProviderError as error:
            logger.warning("google order %s not read: %s", purchase.order_id, error.code)
            return None
        if order.token not in ("", purchase.token):
            logger.warning("google order %s is of another purchase", purchase.order_id)
            return None
        return order

    def _message(self, purchase: Purchase) -> Message:
        """What a purchase says, for whoever was told of it."""
        if self._is_foreign(purchase):
            return Foreign(said=_REAL_MONEY, attempt_no=purchase.number)
        if purchase.state is State.PURCHASED:
            return self._proof(purchase)
        if purchase.state is State.CANCELLED and purchase.was_paid:
            return self._refunded(purchase)
        return NothingToDo(said=purchase.said or "no state", attempt_no=purchase.number, handle=purchase.token)

    def _answer(self, purchase: Purchase) -> QueryAnswer:
        """What a purchase says, for whoever asked."""
        said = purchase.said or "no state"
        if self._is_foreign(purchase):
            return QueryAnswer(standing=Standing.UNDECIDED, said=_REAL_MONEY)
        if purchase.state is State.PURCHASED or (purchase.state is State.CANCELLED and purchase.was_paid):
            return QueryAnswer(standing=Standing.PAID, said=said, proof=self._proof(purchase))
        standing = {State.PENDING: Standing.WAITING, State.CANCELLED: Standing.CLOSED}.get(purchase.state)
        return QueryAnswer(standing=standing or Standing.UNDECIDED, said=said)

    def _is_foreign(self, purchase: Purchase) -> bool:
        return not self._live and not purchase.is_test

    def _proof(self, purchase: Purchase) -> PaymentProof:
        return proof_of(purchase, self._order(purchase), live=self._live)

    # --- money that goes back ---------------------------------------------------------------------------------
    def _refunded(self, purchase: Purchase) -> RefundNotice:
        """A purchase that was paid and is cancelled now: all of it was given back."""
        order = self._order(purchase)
        proof = proof_of(purchase, order, live=self._live)
        return RefundNotice(
            attempt_no=proof.attempt_no,
            transaction_id=proof.transaction_id,
            refund_no=refund_no(proof.transaction_id),
            standing=RefundStanding.SUCCEEDED,
            said=purchase.said,
            amount=(order.refunded_total if order else None) or proof.paid,
            at=order.refunded_at if order else None,
            payment=proof,
        )

    def _voiding(self, hint: Voided) -> dict[str, Any] | None:
        """The newest entry about a token in Google's list, if it stands there already."""
        since = milliseconds(max(hint.at - _LISTED_LATE, datetime.now(UTC) - self.reaches_back))
        listed = [
            entry for entry in self._api.voided(since_ms=since) if entry.get("purchaseToken") == hint.about.handle
        ]
        return max(listed, key=lambda entry: str(entry.get("voidedTimeMillis", "")), default=None)

    def _voided(self, entry: Mapping[str, Any]) -> Message:
        """An entry of Google's list, with the purchase that it names."""
        token, at = token_and_time(entry)
        try:
            purchase = self._purchase(token)
        except NoSuch:
            return of_one_forgotten(entry, token, at)
        if self._is_foreign(purchase):
            return Foreign(said=_REAL_MONEY, attempt_no=purchase.number)
        proof = replace(self._proof(purchase), given_back=True)
        return notice_of(entry, at, proof, proof.transaction_id, of=sum(item.quantity for item in purchase.items))

    def _refund_asked(self, hint: RefundReview) -> Message:
        try:
            purchase = self._purchase(self._token_of(hint.order_id))
        except ProviderRejected as error:
            return NothingToDo(said=f"{hint.said}; the order cannot be read: {error.code}"[:200])
        if self._is_foreign(purchase):
            return Foreign(said=_REAL_MONEY, attempt_no=purchase.number)
        proof = self._proof(purchase)
        return RefundAsked(
            attempt_no=proof.attempt_no,
            transaction_id=proof.transaction_id,
            said=f"{hint.said}; answer in Play Console",
            due_by=hint.due_by,
            payment=proof,
        )

    def _token_of(self, order_id: str) -> str:
        """The purchase token of an order. Raises ProviderError."""
        token = order_of(self._api.ask("GET", self._order_path(order_id))).token
        if not token:
            raise ProviderUnavailable("answer_shape", "purchaseToken is missing")
        return token

    @staticmethod
    def _order_path(order_id: str) -> str:
        """Where an order is asked about. Raises ProviderRejected for a purchase that has none."""
        if not ORDER_ID.fullmatch(order_id) or order_id.startswith("token:"):
            raise ProviderRejected("no_order", "Google has no order for this purchase")
        return f"/orders/{quote(order_id, safe='')}"

    def _no_to(self, path: str) -> str:
        """Google's no to a question about what does not exist. Raises ProviderError."""
        try:
            self._api.ask("GET", path)
        except NoSuch as error:
            return str(error)
        raise ProviderUnavailable("answer_not_ours", "it knows what does not exist")


_REAL_MONEY = "real money at a sandbox account"
