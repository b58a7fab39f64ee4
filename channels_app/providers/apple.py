"""Apple In-App Purchase (StoreKit 2). Wire facts and sources: docs/providers/apple.md.

Nothing is opened at Apple: the player's device buys a product there and names our attempt by a UUID. What was bought
comes back as a signed transaction, from the device, in a notification and in answers of the App Store Server API; each
is verified by itself. Apple sets the price and gives money back on its own; neither is ours to decide.
"""

import base64
import binascii
import json
import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from appstoreserverlibrary.models.JWSTransactionDecodedPayload import JWSTransactionDecodedPayload as Transaction
from appstoreserverlibrary.models.ResponseBodyV2DecodedPayload import ResponseBodyV2DecodedPayload as Notification
from cryptography import x509
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.providers.apple_api import NO_SUCH, UNAUTHENTICATED, ServerApi, Tokens, list_in, text_in
from channels_app.providers.apple_keys import FIELDS, read_keys
from channels_app.providers.apple_signed import NotOurs, Signatures, unverified
from channels_app.providers.apple_wire import (
    PLAY,
    attempt_no_of,
    is_purchase,
    kind_of,
    milliseconds,
    moment,
    proof_of,
    refund_of,
)
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    Claims,
    CloseAnswer,
    Foreign,
    Message,
    Method,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    Numbers,
    OpenedPayment,
    OpenRequest,
    PayKind,
    ProbeAnswer,
    ProviderRejected,
    ProviderUnavailable,
    QueryAnswer,
    RawNotification,
    RefundAnswer,
    RefundAsked,
    RefundRequest,
    RefundStanding,
    Reply,
    Standing,
)
from channels_app.providers.fields import CredentialField
from channels_app.providers.texts import printable
from channels_app.providers.transport import Transport

logger = logging.getLogger(__name__)

_SAID = 60  # characters of what Apple says, as it is kept
# What says something about a purchase; everything else, and every type to come, is acknowledged and moves nothing.
_CHARGE, _REFUND, _REVERSED, _DECLINED, _ASKED = (
    "ONE_TIME_CHARGE", "REFUND", "REFUND_REVERSED", "REFUND_DECLINED", "CONSUMPTION_REQUEST",
)  # fmt: skip
_ABOUT_PURCHASES = frozenset({_CHARGE, _REFUND, _REVERSED, _DECLINED, _ASKED})
_HEARD_WITHIN = timedelta(hours=12)  # what is said to a CONSUMPTION_REQUEST later is not heard

_TRANSACTION_ID = re.compile(r"[0-9]{1,50}")
_ORDER_ID = re.compile(r"[A-Z][0-9A-Z]{5,30}")  # on the mail that a customer gets from Apple
_ORDER_IS_VALID = 0
# Apple numbers transactions one after the other, with 15 and 16 digits so far.
_NOBODYS = "9" * 18


class AppleAdapter:
    """One app at one environment of the App Store."""

    code: ClassVar[str] = "apple"
    label: ClassVar[StrOrPromise] = _("Apple")
    notifies_by: ClassVar[str] = "POST"
    # Apple lists 180 days; a little less, because its clock is not ours.
    reaches_back: ClassVar[timedelta] = timedelta(days=180) - timedelta(hours=1)
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS
    methods: ClassVar[Mapping[str, Method]] = {
        "apple_iap": Method(
            code="apple_iap",
            label=_("Apple In-App Purchase"),
            kind=PayKind.STORE,
            currencies=(),
            calls_provider=False,
            sells_products=True,
            numbers=Numbers.UUID,
            evidence=("signed_transaction",),
        )
    }

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse the keys of a credentials file. Raises CredentialsInvalid."""
        keys = read_keys(credentials, live=live)
        self._live = live
        self._signatures = Signatures(keys, live=live)
        self._roots = tuple(sorted(_serial(root) for root in keys.roots))
        tokens, transport = Tokens(keys), Transport()
        self._sandbox = ServerApi(keys.sandbox_url, tokens, transport)
        self._own = ServerApi(keys.production_url, tokens, transport) if live else self._sandbox

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """What the app hands to StoreKit. Asks nobody; the same request gives the same."""
        params = {
            "product_id": request.store_product_id,
            "app_account_token": str(uuid.UUID(request.attempt_no)),
            "quantity": request.quantity,
        }
        return OpenedPayment(kind=PayKind.STORE, params=params)

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask about the transaction that was told for an attempt; Apple cannot be asked by our number."""
        if not attempt.handle:
            return QueryAnswer(standing=Standing.UNKNOWN, said="no transaction told yet")
        answer = self._look_up(attempt.handle)
        if answer.proof is not None and answer.proof.attempt_no not in ("", attempt.attempt_no):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another attempt")
        return answer

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask by Apple's number of a transaction, or by the order number on the customer's mail from Apple."""
        number = transaction_id.strip()
        if _ORDER_ID.fullmatch(number.upper()):
            return self._find_order(number.upper())
        if not _TRANSACTION_ID.fullmatch(number.removeprefix(PLAY)):
            return QueryAnswer(standing=Standing.UNKNOWN, said="not a number of Apple's")
        if not self._live or number.startswith(PLAY):
            return self._look_up(number)
        return self._find_anywhere(number)

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a transaction that nobody has; our number would be none to Apple. A no is not signed."""
        try:
            return self._probe(self._own)
        except ProviderRejected as error:
            if error.code != UNAUTHENTICATED or not self._live:
                raise
            # Before an app's first release only the sandbox knows it: it tells whether the key is right.
            answer = self._probe(self._sandbox)
            return ProbeAnswer(said=f"{answer.said} (sandbox; in production the app is not released)", verified=False)

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Nothing can be closed at Apple: an attempt has a transaction, which was paid, or nobody has begun."""
        return CloseAnswer.PAID if attempt.handle else CloseAnswer.UNKNOWN

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Apple alone gives money back, when its customer asks Apple."""
        raise ProviderRejected(
            "not_offered", "Apple gives money back itself; the customer asks at reportaproblem.apple.com"
        )

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Whether Apple has given this purchase back: one of the refunds of the same customer in this app."""
        api, number = self._where(request.transaction_id)
        for transaction in self._refunded(api, number):
            if transaction.transactionId == number:
                return self._refund_answer(transaction, request)
        return RefundAnswer(standing=RefundStanding.UNKNOWN, said="not refunded", refund_no=request.refund_no)

    # --- what was bought, by whatever way it is told ----------------------------------------------------------
    def prove(self, evidence: Mapping[str, str]) -> Message:
        """The signed transaction that StoreKit gave the app."""
        try:
            transaction = self._signatures.transaction(evidence.get("signed_transaction", ""))
            return self._purchase(transaction)
        except NotOurs as other:
            return Foreign(said=other.said)
        except NotificationUnreadable as failure:
            raise NotificationRefused(failure.step, failure.detail) from None

    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the notification, then the transaction inside, then translate. Repeats carry their first date."""
        return self._message(_signed_payload(raw.body))

    def happenings(self, *, since: datetime, until: datetime) -> Iterator[Message]:
        """What Apple has notified, or tried to."""
        asked = {"startDate": milliseconds(since), "endDate": milliseconds(until)}
        for page in self._own.pages("POST", "/inApps/v1/notifications/history", "paginationToken", asked):
            for entry in list_in(page, "notificationHistory"):
                try:
                    yield self._message(text_in(entry, "signedPayload"))
                except NotificationRefused as refusal:
                    raise ProviderUnavailable(f"unverified_{refusal.step}", refusal.detail) from None
                except NotificationUnreadable as failure:
                    # One that we cannot read must not keep us from those behind it.
                    logger.warning("apple listed a notification that we cannot read: %s", failure)

    def claims(self, raw: RawNotification) -> Claims:
        """Stamp and root certificate as the message names them."""
        try:
            header, payload = unverified(_signed_payload(raw.body))
        except NotificationRefused:
            header, payload = {}, {}
        stamp = payload.get("signedDate")
        try:
            sent_at = moment(stamp if type(stamp) is int else None, "signedDate")
        except NotificationUnreadable:
            sent_at = None
        return Claims(sent_at=sent_at, key=_named_root(header), known_keys=self._roots)

    def reply(self, ack: Ack) -> Reply:
        """200 when it is ours; in production Apple sends anything else again, five times within a week."""
        status = {Ack.DONE: 200, Ack.REFUSED: 401, Ack.LATER: 503}[ack]
        return Reply(status=status, body=b"", content_type="text/plain")

    def _message(self, signed_payload: str) -> Message:
        try:
            notification = self._signatures.notification(signed_payload)
            said = _said(notification)
            if notification.rawNotificationType not in _ABOUT_PURCHASES:
                logger.info("apple notification moves nothing: %s", said)
                return NothingToDo(said=said)
            return self._about_purchase(notification, self._inner(notification), said)
        except NotOurs as other:
            return Foreign(said=other.said)

    def _inner(self, notification: Notification) -> Transaction:
        """The transaction of a notification, which is signed by itself."""
        data = notification.data
        if data is None or not data.signedTransactionInfo:
            raise NotificationUnreadable("shape", "signedTransactionInfo is missing")
        try:
            transaction = self._signatures.transaction(data.signedTransactionInfo)
        except NotificationRefused as refusal:
            raise NotificationRefused(f"transaction_{refusal.step}", refusal.detail) from None
        if transaction.rawEnvironment != data.rawEnvironment:
            raise NotOurs("notification and transaction are of two environments")
        return transaction

    def _about_purchase(self, notification: Notification, transaction: Transaction, said: str) -> Message:
        kind = notification.rawNotificationType
        if kind == _CHARGE:
            return self._purchase(transaction)
        if not is_purchase(transaction):
            return NothingToDo(said=f"{said} of {printable(kind_of(transaction), _SAID)}")
        signed_at = moment(notification.signedDate, "signedDate")
        if kind == _REFUND:
            at = (
                signed_at
                if transaction.revocationDate is None
                else moment(transaction.revocationDate, "revocationDate")
            )
            return refund_of(transaction, standing=RefundStanding.SUCCEEDED, said=said, at=at, live=self._live)
        if kind == _REVERSED:
            return refund_of(transaction, standing=RefundStanding.REVERSED, said=said, at=signed_at, live=self._live)
        if kind == _ASKED:
            return self._asked(notification, transaction, said, signed_at)
        return NothingToDo(said=said, attempt_no=attempt_no_of(transaction))

    def _asked(self, notification: Notification, transaction: Transaction, said: str, at: datetime) -> RefundAsked:
        proof = proof_of(transaction, live=self._live)
        reason = notification.data.rawConsumptionRequestReason if notification.data else None
        return RefundAsked(
            attempt_no=proof.attempt_no,
            transaction_id=proof.transaction_id,
            said=printable(f"{said} {reason}" if reason else said, _SAID),
            due_by=at + _HEARD_WITHIN,
            payment=proof,
        )

    def _purchase(self, transaction: Transaction) -> Message:
        if not is_purchase(transaction):
            return NothingToDo(said=printable(kind_of(transaction), _SAID), attempt_no=attempt_no_of(transaction))
        return proof_of(transaction, live=self._live)

    # --- answers of the server API ----------------------------------------------------------------------------
    def _where(self, number: str) -> tuple[ServerApi, str]:
        """Who knows a transaction of ours, and by what number."""
        return (self._sandbox if number.startswith(PLAY) else self._own), number.removeprefix(PLAY)

    def _look_up(self, number: str) -> QueryAnswer:
        api, bare = self._where(number)
        return self._look_up_at(api, bare)

    def _find_anywhere(self, number: str) -> QueryAnswer:
        """A number that a person has: of production, or of a reviewer's purchase in the sandbox."""
        try:
            answer = self._look_up_at(self._own, number)
        except ProviderRejected as error:
            if error.code != UNAUTHENTICATED:  # the app may not be released yet; if the key is wrong, it says so again
                raise
            answer = None
        if answer is not None and answer.standing is not Standing.UNKNOWN:
            return answer
        return self._look_up_at(self._sandbox, number)

    def _look_up_at(self, api: ServerApi, number: str) -> QueryAnswer:
        try:
            answer = api.ask("GET", f"/inApps/v1/transactions/{quote(number, safe='')}")
        except ProviderRejected as error:
            if error.code not in NO_SUCH:
                raise
            return QueryAnswer(standing=Standing.UNKNOWN, said=str(error)[:_SAID])
        transaction = self._verified(text_in(answer, "signedTransactionInfo"))
        if transaction.transactionId != number:
            raise ProviderUnavailable("answer_not_ours", "the answer is about another transaction")
        return self._answer(transaction)

    def _find_order(self, order_id: str) -> QueryAnswer:
        """The first thing bought with an order of Apple's; an order may hold several."""
        try:
            answer = self._own.ask("GET", f"/inApps/v1/lookup/{order_id}")
        except ProviderRejected as error:
            if error.code not in NO_SUCH:
                raise
            return QueryAnswer(standing=Standing.UNKNOWN, said=str(error)[:_SAID])
        signed = list_in(answer, "signedTransactions") if answer.get("status") == _ORDER_IS_VALID else []
        transactions = [self._verified(each) for each in signed if isinstance(each, str)]
        if not transactions:
            return QueryAnswer(standing=Standing.UNKNOWN, said="no such order in this app")
        return self._answer(next(filter(is_purchase, transactions), transactions[0]))

    def _answer(self, transaction: Transaction) -> QueryAnswer:
        """What a verified transaction says: there is none before it was paid."""
        if not is_purchase(transaction):
            return QueryAnswer(standing=Standing.UNDECIDED, said=printable(kind_of(transaction), _SAID))
        try:
            proof = proof_of(transaction, live=self._live)
        except NotificationUnreadable as failure:
            raise ProviderUnavailable("answer_shape", failure.detail) from None
        return QueryAnswer(standing=Standing.PAID, said="given back" if proof.given_back else "bought", proof=proof)

    def _verified(self, signed: str) -> Transaction:
        """A transaction inside an answer. The answer itself is not signed, so it is verified as any other."""
        try:
            return self._signatures.transaction(signed)
        except NotificationRefused as refusal:
            raise ProviderUnavailable(f"unverified_{refusal.step}", refusal.detail) from None
        except NotOurs as other:
            raise ProviderUnavailable("answer_not_ours", other.said) from None
        except NotificationUnreadable as failure:
            raise ProviderUnavailable("answer_shape", failure.detail) from None

    def _refunded(self, api: ServerApi, number: str) -> Iterator[Transaction]:
        path = f"/inApps/v2/refund/lookup/{quote(number, safe='')}"
        for page in api.pages("GET", path, "revision"):
            for signed in list_in(page, "signedTransactions"):
                if isinstance(signed, str):
                    yield self._verified(signed)

    def _refund_answer(self, transaction: Transaction, request: RefundRequest) -> RefundAnswer:
        try:
            at = moment(transaction.revocationDate, "revocationDate")
            refund = refund_of(transaction, standing=RefundStanding.SUCCEEDED, said="refunded", at=at, live=self._live)
        except NotificationUnreadable as failure:
            raise ProviderUnavailable("answer_shape", failure.detail) from None
        return RefundAnswer(
            standing=refund.standing,
            said=refund.said,
            refund_no=request.refund_no,
            provider_refund_id=refund.refund_no,
            amount=refund.amount,
            succeeded_at=at,
        )

    @staticmethod
    def _probe(api: ServerApi) -> ProbeAnswer:
        try:
            api.ask("GET", f"/inApps/v1/transactions/{_NOBODYS}")
        except ProviderRejected as error:
            if error.code not in NO_SUCH:
                raise
            return ProbeAnswer(said=str(error), verified=False)
        raise ProviderUnavailable("answer_not_ours", "it knows a transaction that does not exist")


def _signed_payload(body: bytes) -> str:
    """What a notification's body carries. Raises NotificationRefused: nothing else comes from Apple."""
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise NotificationRefused("form", "not JSON in UTF-8") from None
    signed = document.get("signedPayload") if isinstance(document, dict) else None
    if not isinstance(signed, str):
        raise NotificationRefused("form", "there is no signedPayload")
    return signed


def _said(notification: Notification) -> str:
    words = (notification.rawNotificationType, notification.rawSubtype)
    return printable(" ".join(word for word in words if word), _SAID) or "no type"


def _named_root(header: Mapping[str, Any]) -> str:
    """The serial of the certificate that a message puts at the top of its chain."""
    chain = header.get("x5c")
    if not isinstance(chain, list) or not chain or not isinstance(chain[-1], str):
        return ""
    try:
        return _serial(base64.b64decode(chain[-1], validate=True))
    except (ValueError, binascii.Error):
        return ""


def _serial(der: bytes) -> str:
    return format(x509.load_der_x509_certificate(der).serial_number, "X")
