"""Stripe: bank cards from everywhere, on Stripe's own page or in the game by Stripe's SDK. No card number comes here.

Wire facts and sources: docs/providers/stripe.md. In the game, a payment is a PaymentIntent of which the client gets the
secret; in a browser (somebody gave a way back) it is a Checkout Session, Stripe's page. Either way our number stands in
the metadata of the intent, and only an intent that succeeded is a payment. Answers are not signed: they are believed
for the sake of TLS, and held against what was asked. Test and live mode are two worlds; an object of the other one is
none of ours.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.providers.base import (
    Ack,
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    Claims,
    CloseAnswer,
    Foreign,
    Hint,
    Message,
    Method,
    NothingToDo,
    NotificationUnreadable,
    OpenedPayment,
    OpenRequest,
    PayKind,
    ProbeAnswer,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    QueryAnswer,
    RawNotification,
    RefundAnswer,
    RefundRequest,
    RefundStanding,
    Reply,
    Standing,
)
from channels_app.providers.documents import Unexpected, json_object, text_in
from channels_app.providers.fields import CredentialField
from channels_app.providers.stripe_api import KEY_REUSED, MISSING, Form, StoredFailure, StripeApi
from channels_app.providers.stripe_books import BalanceLine, balance_lines
from channels_app.providers.stripe_events import DISPUTES, TYPES, message_of
from channels_app.providers.stripe_keys import FIELDS, read_keys
from channels_app.providers.stripe_money import CURRENCIES, to_stripe
from channels_app.providers.stripe_signature import claimed_at, verify
from channels_app.providers.stripe_wire import (
    ADDRESS,
    ID,
    INTENT,
    SECRET,
    SESSION,
    dispute_notice,
    expanded,
    mode_of,
    money_in,
    ours_in,
    path_of,
    proof_of,
    refund_notice,
    standing_of_intent,
    standing_of_refund,
    standing_of_session,
    time_in,
)
from channels_app.providers.texts import cut

logger = logging.getLogger(__name__)

_METHOD = "stripe_card"
_INTENTS, _SESSIONS = "/v1/payment_intents", "/v1/checkout/sessions"
_SUBJECT_BYTES = 200
# Stripe keeps the answers to our keys for a day at least; after that a repeat would make a second payment or refund.
_KEYS_KEPT = timedelta(hours=23)
# A page lives from half an hour to a day, by Stripe's clock, counted from its making.
_PAGE_AT_LEAST, _PAGE_AT_MOST = timedelta(minutes=33), timedelta(hours=23, minutes=50)

_CLOSE_ANSWERS: Mapping[Standing, CloseAnswer] = {
    Standing.PAID: CloseAnswer.PAID,
    Standing.CLOSED: CloseAnswer.CLOSED,
    Standing.UNKNOWN: CloseAnswer.UNKNOWN,
}
_REPLIES: Mapping[Ack, int] = {Ack.DONE: 200, Ack.REFUSED: 401, Ack.LATER: 503}


class StripeAdapter:
    """One Stripe account in one mode."""

    code: ClassVar[str] = "stripe"
    label: ClassVar[StrOrPromise] = _("Stripe (bank cards)")
    notifies_by: ClassVar[str] = "POST"
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS
    reaches_back: ClassVar[timedelta] = timedelta(days=30)
    methods: ClassVar[Mapping[str, Method]] = {
        _METHOD: Method(code=_METHOD, label=_("Bank card (Stripe)"), kind=PayKind.SDK, currencies=CURRENCIES)
    }

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse a credentials file. Raises CredentialsInvalid."""
        self._keys = read_keys(credentials, live=live)
        self._live = live
        self._api = StripeApi(self._keys)

    # --- opening --------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """Open a payment: a secret for the game's SDK, or the address of Stripe's page when there is a way back."""
        if datetime.now(UTC) - request.opened_at > _KEYS_KEPT:
            raise AttemptUnusable("key_expired", "Stripe may have forgotten that this attempt was opened")
        opens = self._open_session if request.inputs.get("return_url") else self._open_intent
        try:
            return opens(request)
        except StoredFailure as failure:
            raise AttemptUnusable(failure.code, failure.message) from None
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    def _open_intent(self, request: OpenRequest) -> OpenedPayment:
        amount, currency = to_stripe(request.due)
        intent = self._opened(
            _INTENTS,
            {
                "amount": amount,
                "currency": currency,
                "automatic_payment_methods[enabled]": "true",
                "metadata[order_no]": request.attempt_no,
                "description": _subject(request),
            },
            key=f"intent-{request.attempt_no}",
        )
        number = text_in(intent, "id", INTENT)
        self._expect(intent, number, attempt_no=request.attempt_no)
        if (intent.get("amount"), intent.get("currency")) != (amount, currency):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another amount")
        _refuse_over(standing_of_intent(intent)[0])
        return OpenedPayment(
            kind=PayKind.SDK,
            params={
                "client_secret": text_in(intent, "client_secret", SECRET),
                "publishable_key": self._keys.publishable_key,
                "payment_intent": number,
            },
            handle=number,
        )

    def _open_session(self, request: OpenRequest) -> OpenedPayment:
        session = self._opened(_SESSIONS, _page(request), key=f"page-{request.attempt_no}", expand="payment_intent")
        number = text_in(session, "id", SESSION)
        self._expect(session, number, attempt_no=request.attempt_no)
        _refuse_over(standing_of_session(session, expanded(session, "payment_intent"))[0])
        if session.get("url") is None:
            raise ProviderUnavailable("under_way", "somebody has paid on this page, and the bank has not decided")
        return OpenedPayment(
            kind=PayKind.REDIRECT, params={"url": text_in(session, "url", ADDRESS)}, handle=number
        )  # fmt: skip

    def _opened(self, path: str, form: Form, *, key: str, expand: str = "") -> dict[str, Any]:
        """What was opened, as it stands now: the answer to a repeat tells how it stood at first."""
        try:
            written = self._api.write(path, form, key=key)
        except ProviderRejected as refusal:
            # Opened with other inputs, or too late for the page's end: a new number is needed.
            if refusal.code == KEY_REUSED or "expires_at" in refusal.message:
                raise AttemptUnusable(refusal.code, refusal.message) from None
            raise
        if not written.is_replayed:
            return written.document
        return self._read(path, text_in(written.document, "id", SESSION if path == _SESSIONS else INTENT), expand)

    # --- asking ---------------------------------------------------------------------------------------------
    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask what became of an attempt; before Stripe has named it there is nothing to ask about."""
        if not attempt.handle:
            return QueryAnswer(standing=Standing.UNKNOWN, said="never opened")
        return self._look_up(attempt.handle, attempt_no=attempt.attempt_no)

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask by any number that stands in Stripe's Dashboard: of a payment, its charge or page, refund, dispute."""
        return self._look_up(transaction_id.strip())

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about an intent that cannot exist. A no is not signed, as nothing is that Stripe answers."""
        try:
            self._api.read(f"{_INTENTS}/pi_{attempt_no}")
        except ProviderRejected as refusal:
            if refusal.code != MISSING:
                raise
            return ProbeAnswer(said=refusal.code, verified=False)
        raise ProviderUnavailable("answer_not_ours", "it knows a payment that does not exist")

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Make an attempt unpayable. Sent without a key: under one, Stripe would repeat a no that is history."""
        try:
            if INTENT.fullmatch(attempt.handle):
                standing = self._cancelled(attempt)
            elif SESSION.fullmatch(attempt.handle):
                standing = self._expired(attempt)
            else:
                return CloseAnswer.UNKNOWN
        except ProviderRejected as refusal:
            # It is over already, or the bank is busy with it: a no does not say which.
            logger.info("stripe does not close %s: %s", attempt.attempt_no, refusal.code)
            standing = self.query(attempt).standing
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        return _CLOSE_ANSWERS.get(standing, CloseAnswer.CANNOT)

    def _cancelled(self, attempt: AttemptRef) -> Standing:
        path = f"{_INTENTS}/{attempt.handle}/cancel"
        intent = self._api.write(path, {"cancellation_reason": "abandoned"}).document
        self._expect(intent, attempt.handle, attempt_no=attempt.attempt_no)
        return standing_of_intent(intent)[0]

    def _expired(self, attempt: AttemptRef) -> Standing:
        session = self._api.write(f"{_SESSIONS}/{attempt.handle}/expire", {}).document
        self._expect(session, attempt.handle, attempt_no=attempt.attempt_no)
        return standing_of_session(session, expanded(session, "payment_intent"))[0]

    def _look_up(self, number: str, *, attempt_no: str = "") -> QueryAnswer:
        try:
            if INTENT.fullmatch(number):
                return self._intent(number, attempt_no)
            if SESSION.fullmatch(number):
                return self._session(number, attempt_no)
            if path := path_of(number):
                return self._behind(path, number)
        except ProviderRejected as refusal:
            if refusal.code != MISSING:
                raise
            return QueryAnswer(standing=Standing.UNKNOWN, said=refusal.code)
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        return QueryAnswer(standing=Standing.UNKNOWN, said="not a number of Stripe's")

    def _intent(self, number: str, attempt_no: str) -> QueryAnswer:
        intent = self._read(_INTENTS, number, "latest_charge", attempt_no=attempt_no)
        return _answer(*standing_of_intent(intent), intent)

    def _session(self, number: str, attempt_no: str) -> QueryAnswer:
        session = self._read(_SESSIONS, number, "payment_intent.latest_charge", attempt_no=attempt_no)
        intent = expanded(session, "payment_intent")
        if intent is not None:
            self._expect(intent, text_in(intent, "id", INTENT), attempt_no=ours_in(session))
        return _answer(*standing_of_session(session, intent), intent or {})

    def _behind(self, path: str, number: str) -> QueryAnswer:
        """The payment behind a charge, refund or dispute."""
        found = self._read(path, number)
        if found.get("payment_intent") is None:
            return QueryAnswer(standing=Standing.UNKNOWN, said="it is of no payment intent")
        return self._intent(text_in(found, "payment_intent", INTENT), "")

    def _read(self, path: str, number: str, expand: str = "", *, attempt_no: str = "") -> dict[str, Any]:
        """An object of Stripe's, held against what was asked. Raises ProviderError."""
        document = self._api.read(f"{path}/{number}", [("expand[]", expand)] if expand else None)
        self._expect(document, number, attempt_no=attempt_no)
        return document

    def _expect(self, document: Mapping[str, Any], number: str, *, attempt_no: str) -> None:
        if document.get("id") != number or mode_of(document, otherwise=self._live) is not self._live:
            raise ProviderUnavailable("answer_not_ours", "the answer is about another object, or of the other mode")
        if attempt_no and ours_in(document) != attempt_no:
            raise ProviderUnavailable("answer_not_ours", "the answer is about another attempt")

    # --- giving back ----------------------------------------------------------------------------------------
    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back, in part or in full. The same `refund_no` again is the same refund, for ever."""
        if datetime.now(UTC) - request.requested_at > _KEYS_KEPT:
            made = self.query_refund(request)
            if made.standing is not RefundStanding.UNKNOWN:
                return made
        amount, _currency = to_stripe(request.amount)
        form: Form = {
            "payment_intent": _payment_of(request),
            "amount": amount,
            "reason": "requested_by_customer",
            "metadata[refund_no]": request.refund_no,
            "metadata[order_no]": request.attempt_no,
        }
        try:
            written = self._api.write("/v1/refunds", form, key=f"refund-{request.refund_no}")
        except StoredFailure as failure:
            made = self.query_refund(request)
            if made.standing is RefundStanding.UNKNOWN:
                raise ProviderUnavailable(failure.code, failure.message) from None
            return made
        if written.is_replayed:  # how it stood at first; it may have failed since
            return self.query_refund(request)
        return self._refund_answer(written.document, request)

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask what became of a refund: the one among the payment's that bears our number."""
        try:
            for refund in self._api.items("/v1/refunds", [("payment_intent", _payment_of(request))]):
                if ours_in(refund, "refund_no") == request.refund_no:
                    return self._refund_answer(refund, request)
        except ProviderRejected as refusal:
            if refusal.code != MISSING:
                raise
        return RefundAnswer(standing=RefundStanding.UNKNOWN, said="no such refund", refund_no=request.refund_no)

    def _refund_answer(self, refund: Mapping[str, Any], request: RefundRequest) -> RefundAnswer:
        try:
            standing, said = standing_of_refund(refund)
            number, amount = text_in(refund, "id", ID), money_in(refund, "amount")
            at = time_in(refund, "created")
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        asked = (request.refund_no, _payment_of(request), request.amount)
        if (ours_in(refund, "refund_no"), refund.get("payment_intent"), amount) != asked:
            raise ProviderUnavailable("answer_not_ours", "the answer is about another refund")
        return RefundAnswer(
            standing=standing,
            said=said,
            refund_no=request.refund_no,
            provider_refund_id=number,
            amount=amount,
            succeeded_at=at if standing is RefundStanding.SUCCEEDED else None,
        )

    # --- what happened --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the bytes, then translate the event in them."""
        verify(raw, self._keys.webhook_secrets)
        try:
            return message_of(json_object(raw.body), live=self._live)
        except Unexpected as error:
            raise NotificationUnreadable(error.step, error.detail) from None

    def follow(self, hint: Hint) -> Message:
        """A refund or dispute as it stands now, with the payment that it is of."""
        is_dispute = hint.said.startswith(DISPUTES)
        path, expand = (
            ("/v1/disputes", "payment_intent") if is_dispute else ("/v1/refunds", "payment_intent.latest_charge")
        )
        try:
            thing = self._read(path, hint.about.handle, expand)
            intent = expanded(thing, "payment_intent")
            if intent is None or not ours_in(intent):
                return Foreign(said=f"{hint.said} of another system")
            self._expect(intent, text_in(intent, "id", INTENT), attempt_no="")
            return dispute_notice(thing, intent) if is_dispute else refund_notice(thing, intent)
        except ProviderRejected as refusal:
            if refusal.code != MISSING:
                raise
            return NothingToDo(said=f"{hint.said}: {refusal.code}")
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    def happenings(self, *, since: datetime, until: datetime) -> Iterator[Message]:
        """Stripe's list of events, the newest first: in no order do they mean anything else."""
        asked = [("types[]", each) for each in TYPES]
        asked += [("created[gte]", str(int(since.timestamp()))), ("created[lte]", str(int(until.timestamp())))]
        for event in self._api.items("/v1/events", asked):
            message = self._listed(event)
            if message is not None:
                yield message

    def _listed(self, event: Mapping[str, Any]) -> Message | None:
        """One that we cannot read, or that Stripe will not explain, must not keep us from those behind it."""
        try:
            message = message_of(event, live=self._live)
            return self.follow(message) if isinstance(message, Hint) else message
        except (Unexpected, ProviderError) as failure:
            if isinstance(failure, ProviderError) and failure.retryable and not failure.code.startswith("answer_"):
                raise
            logger.warning("stripe listed an event that we cannot read: %s", failure)
            return None

    def claims(self, raw: RawNotification) -> Claims:
        """The stamp of the header. Messages name no key."""
        return Claims(sent_at=claimed_at(raw.headers), key="", known_keys=())

    def reply(self, ack: Ack) -> Reply:
        """200 when it is ours; anything else Stripe sends again, for up to three days."""
        return Reply(status=_REPLIES[ack], body=b"", content_type="text/plain")

    # --- books ----------------------------------------------------------------------------------------------
    def balance_lines(
        self, *, since: datetime | None = None, until: datetime | None = None, payout: str = ""
    ) -> Iterator[BalanceLine]:
        """What moved on the balance in a time, or what one payout was made of. Raises ProviderError."""
        return balance_lines(self._api, since=since, until=until, payout=payout)


def _subject(request: OpenRequest) -> str:
    return cut(request.subject, _SUBJECT_BYTES) or request.attempt_no


def _page(request: OpenRequest) -> Form:
    """A page for one payment. Everything in it is the same on every repeat."""
    amount, currency = to_stripe(request.due)
    back, opened = request.inputs["return_url"], request.opened_at
    ends = min(max(request.expires_at, opened + _PAGE_AT_LEAST), opened + _PAGE_AT_MOST)
    price = "line_items[0][price_data]"
    return {
        "mode": "payment",
        "client_reference_id": request.attempt_no,
        "metadata[order_no]": request.attempt_no,
        "payment_intent_data[metadata][order_no]": request.attempt_no,
        "payment_intent_data[description]": _subject(request),
        f"{price}[currency]": currency,
        f"{price}[unit_amount]": amount,
        f"{price}[product_data][name]": _subject(request),
        "line_items[0][quantity]": 1,
        # The buyer pays the order's own amount in its own currency, whatever the account is set to.
        "adaptive_pricing[enabled]": "false",
        "success_url": back,
        "cancel_url": back,
        "expires_at": int(ends.timestamp()),
    }


def _refuse_over(standing: Standing) -> None:
    """What was opened before may be over by now. Raises AlreadyPaid, AttemptUnusable."""
    if standing is Standing.PAID:
        raise AlreadyPaid("succeeded")
    if standing is Standing.CLOSED:
        raise AttemptUnusable("closed", "it cannot be paid any more")


def _answer(standing: Standing, said: str, intent: Mapping[str, Any]) -> QueryAnswer:
    proof = proof_of(intent) if standing is Standing.PAID else None
    return QueryAnswer(standing=standing, said=said, proof=proof)


def _payment_of(request: RefundRequest) -> str:
    """The intent to be refunded. Raises ProviderRejected when there is none."""
    payment = request.transaction_id or request.handle
    if not INTENT.fullmatch(payment):
        raise ProviderRejected("no_such_payment", "a payment at Stripe has a number that begins with pi_")
    return payment
