"""UnionPay's gateway (银联全渠道 5.1.0) for merchants with a contract of their own: bank cards in browser and app.

Wire facts and sources: docs/providers/unionpay.md. The merchant number, our number of a payment and `txnTime`, the
moment it was opened, name a transaction together: all three are needed to ask about it. Nothing can be closed there;
a payment is over when its `payTimeout` is. A notification of success is a hint: UnionPay asks merchants to query once
more before they credit, and so does the worker.
"""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.money import Money
from channels_app.providers import rsa
from channels_app.providers import unionpay_codes as codes
from channels_app.providers import unionpay_wire as wire
from channels_app.providers.base import (
    Ack,
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    Claims,
    CloseAnswer,
    CredentialsInvalid,
    Foreign,
    Hint,
    Message,
    Method,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    OpenedPayment,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProbeAnswer,
    ProviderRejected,
    ProviderUnavailable,
    QueryAnswer,
    RawNotification,
    RefundAnswer,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Reply,
    Standing,
)
from channels_app.providers.credentials import address_of, matching, text_of
from channels_app.providers.fields import CredentialField
from channels_app.providers.texts import cut, printable
from channels_app.providers.transport import Transport
from channels_app.providers.unionpay_files import SettlementFile, read_settlement_file
from channels_app.providers.unionpay_keys import FIELDS, UnionPayKeys, Untrusted, name_of, read_certificate
from channels_app.providers.unionpay_wire import Malformed

logger = logging.getLogger(__name__)

GATEWAY = "https://gateway.95516.com"
TEST_GATEWAY = "https://gateway.test.95516.com"
_FILE_HOSTS: Mapping[str, str] = {
    GATEWAY: "https://filedownload.95516.com",
    TEST_GATEWAY: "https://filedownload.test.95516.com",
}
_FRONT, _BACK = "/gateway/api/frontTransReq.do", "/gateway/api/backTransReq.do"
_APP, _QUERY = "/gateway/api/appTransReq.do", "/gateway/api/queryTrans.do"

_GATEWAY_METHOD, _APP_METHOD = "unionpay_gateway", "unionpay_app"
_CONSUME, _UNDO, _REFUND = "01", "31", "04"
_GIVING_BACK = frozenset({_UNDO, _REFUND})
_CARD = "000201"  # bizType of both methods, and of everything that follows from their payments
_COMPUTER, _PHONE = "07", "08"

_MOST_FEN = 999_999_999_999
_ORDER_ID = re.compile(r"[0-9A-Za-z]{8,40}")
_TN = re.compile(r"[0-9A-Za-z]{1,64}")
_COMMODITY_BYTES = 200
_MOST_FILE_BYTES = 32 << 20
# `& = { } [ ]` UnionPay asks to avoid inside a value.
_NOT_IN_VALUE = str.maketrans(dict.fromkeys("&={}[]", " "))

# UnionPay takes no transaction whose txnTime is not about now.
_TXN_TIME_IS_CURRENT = timedelta(minutes=10)
# Whoever was the last to send one in time has had an answer by now, or will never have one.
_TXN_TIME_IS_HISTORY = timedelta(minutes=30)
# After payTimeout the state is final, by a clock that is not ours.
_CLOCKS_DIFFER = timedelta(seconds=20)

_CLOSE_ANSWERS: Mapping[Standing, CloseAnswer] = {
    Standing.PAID: CloseAnswer.PAID,
    Standing.CLOSED: CloseAnswer.CLOSED,
    Standing.UNKNOWN: CloseAnswer.UNKNOWN,
}
_REPLIES: Mapping[Ack, tuple[int, bytes]] = {
    Ack.DONE: (200, b"ok"),
    Ack.REFUSED: (401, b"fail"),
    Ack.LATER: (503, b"fail"),
}


class UnionPayAdapter:
    """One merchant number (merId) with its signing certificate."""

    code: ClassVar[str] = "unionpay"
    label: ClassVar[StrOrPromise] = _("UnionPay (bank cards)")
    notifies_by: ClassVar[str] = "POST"
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS
    methods: ClassVar[Mapping[str, Method]] = {
        method.code: method
        for method in (
            Method(
                code=_GATEWAY_METHOD,
                label=_("UnionPay (browser)"),
                kind=PayKind.FORM,
                needs=("return_url",),
                calls_provider=False,
            ),
            Method(code=_APP_METHOD, label=_("UnionPay (app)"), kind=PayKind.SDK),
        )
    }

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse the keys of a credentials file. Raises CredentialsInvalid."""
        self._mer_id = matching(credentials, "mer_id", r"[0-9]{15}")
        if live and self._mer_id.startswith("777"):
            raise CredentialsInvalid("mer_id is a test merchant's")
        self._cert_id = matching(credentials, "cert_id", r"[0-9]{1,60}")
        self._private_key = rsa.private_key(text_of(credentials, "private_key"), name="private_key")
        self._keys = UnionPayKeys(credentials, live=live)
        self._host = _host(credentials, live=live)
        self._files = _FILE_HOSTS.get(self._host, self._host)
        self._transport = Transport()

    # --- opening --------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """Open a payment: a form that the browser posts, or a number (`tn`) for the app's SDK."""
        if request.due.currency != "CNY" or not 0 < request.due.amount_minor <= _MOST_FEN:
            raise ProviderRejected("amount_not_taken", "UnionPay takes yuan, at least one fen")
        if _is_older(request.opened_at, _TXN_TIME_IS_CURRENT):
            raise AttemptUnusable("txn_time_passed", "UnionPay takes a payment only while it is new")
        if request.method == _APP_METHOD:
            tn = self._tn(request)
            return OpenedPayment(kind=PayKind.SDK, params={"tn": tn}, handle=tn)
        # The same request gives the same form, signature included.
        fields = self._consume(request, _COMPUTER) | {"frontUrl": request.inputs.get("return_url", "")}
        if goods := cut(request.subject.translate(_NOT_IN_VALUE), _COMMODITY_BYTES):
            fields["riskRateInfo"] = f"{{commodityName={goods}}}"
        signed = self._signed(fields)
        return OpenedPayment(kind=PayKind.FORM, params={"action": f"{self._host}{_FRONT}", "fields": signed})

    def _tn(self, request: OpenRequest) -> str:
        asked = self._consume(request, _PHONE)
        try:
            opened = self._call(f"{self._host}{_APP}", asked, "orderId", "txnTime")
        except ProviderRejected as refusal:
            if refusal.code == codes.DUPLICATE:
                raise self._opened_before(request) from None
            raise
        tn = opened.get("tn", "")
        if not _TN.fullmatch(tn):
            raise ProviderUnavailable("answer_shape", "tn is not a number")
        return tn

    def _opened_before(self, request: OpenRequest) -> ProviderRejected:
        """What "duplicate" means for an attempt: that it was paid, or that its tn went to somebody who lost it."""
        attempt = AttemptRef(attempt_no=request.attempt_no, opened_at=request.opened_at)
        if self.query(attempt).standing is Standing.PAID:
            return AlreadyPaid(codes.DUPLICATE)
        return AttemptUnusable(codes.DUPLICATE, "UnionPay gives out its number for an attempt once")

    def _consume(self, request: OpenRequest, channel: str) -> dict[str, str]:
        return self._transaction(_CONSUME, "01", request.attempt_no, request.opened_at) | {
            "channelType": channel,
            "txnAmt": str(request.due.amount_minor),
            "currencyCode": "156",
            "backUrl": request.notify_url,
            "payTimeout": wire.beijing(request.expires_at),
        }

    # --- asking ---------------------------------------------------------------------------------------------
    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask what became of an attempt. Until its time is over, nothing but success is the last word."""
        if attempt.opened_at is None:
            return QueryAnswer(standing=Standing.UNKNOWN, said="never opened")
        is_over = attempt.expires_at is not None and _is_older(attempt.expires_at, _CLOCKS_DIFFER)
        told = self._look_up(attempt.attempt_no, attempt.opened_at)
        said = codes.said(told, "origRespCode")
        standing = codes.standing_of_payment(said, is_over=is_over)
        if standing is not Standing.PAID:
            return QueryAnswer(standing=standing, said=said)
        if told.get("txnType", _CONSUME) not in ("00", _CONSUME):
            raise ProviderUnavailable("answer_not_ours", "the answer is about no payment")
        try:
            return QueryAnswer(standing=standing, said=said, proof=_proof(told, said))
        except Malformed as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    def find(self, transaction_id: str) -> QueryAnswer:
        """UnionPay is asked by our number and time only."""
        raise ProviderRejected("not_asked_so", "UnionPay finds a payment by the merchant's number and its time only")

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a number that cannot exist. UnionPay signs its no."""
        answer = self.query(AttemptRef(attempt_no=attempt_no, opened_at=datetime.now(UTC)))
        if answer.standing is not Standing.UNKNOWN:
            raise ProviderUnavailable("answer_not_ours", "it knows a number that does not exist")
        return ProbeAnswer(said=answer.said, verified=True)

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """UnionPay closes nothing on request: what it says of the attempt, once it has decided."""
        return _CLOSE_ANSWERS.get(self.query(attempt).standing, CloseAnswer.CANNOT)

    def _look_up(self, number: str, at: datetime) -> Mapping[str, str]:
        """The verified answer about one transaction; one that nobody knows has the code of that for its own."""
        asked = self._transaction("00", "00", number, at)
        try:
            return self._call(f"{self._host}{_QUERY}", asked, "orderId", "txnTime")
        except ProviderRejected as refusal:
            if refusal.code == codes.NO_SUCH_TRANSACTION:
                return {"origRespCode": codes.NO_SUCH_TRANSACTION}
            raise

    # --- giving back ----------------------------------------------------------------------------------------
    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back, in part or in full, for eleven months. The same request again is the same refund."""
        return self._give_back(_REFUND, request)

    def undo(self, request: RefundRequest) -> RefundAnswer:
        """Undo a whole payment on its clearing day (which ends at 23:00): quicker than a refund, and free of charge.

        Nothing chooses between the two but the caller: a request that was begun as one can never go on as the other.
        """
        if request.amount != request.paid:
            raise ProviderRejected("amount_not_taken", "only a whole payment can be undone")
        return self._give_back(_UNDO, request)

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask what became of a refund, or of an undoing."""
        told = self._look_up(request.refund_no, request.requested_at)
        if told.get("txnType", "00") not in ("00", *_GIVING_BACK):
            raise ProviderUnavailable("answer_not_ours", "the answer is about no refund")
        said = codes.said(told, "origRespCode")
        standing = codes.standing_of_refund(said)
        try:
            amount = wire.money(told) if told.get("txnAmt") else None
        except Malformed as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        if amount not in (None, request.amount):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another amount")
        return RefundAnswer(
            standing=standing,
            said=said,
            refund_no=request.refund_no,
            provider_refund_id=printable(told.get("queryId"), 64),
            amount=amount,
            succeeded_at=_traced_at(told, request.requested_at) if standing is RefundStanding.SUCCEEDED else None,
        )

    def _give_back(self, kind: str, request: RefundRequest) -> RefundAnswer:
        if _is_older(request.requested_at, _TXN_TIME_IS_CURRENT):
            return self._too_late(request)
        asked = self._transaction(kind, "00", request.refund_no, request.requested_at) | {
            "channelType": _COMPUTER,
            "origQryId": request.transaction_id,
            "txnAmt": str(request.amount.amount_minor),
            "currencyCode": "156",
            "backUrl": request.notify_url,
        }
        try:
            told = self._call(f"{self._host}{_BACK}", asked, "orderId", "txnTime", "origQryId", "txnAmt")
        except ProviderRejected as refusal:
            if refusal.code == codes.DUPLICATE:
                return self.query_refund(request)
            raise
        return RefundAnswer(
            standing=RefundStanding.PROCESSING,  # accepted, no more
            said=codes.said(told, "respCode"),
            refund_no=request.refund_no,
            provider_refund_id=printable(told.get("queryId"), 64),
            amount=request.amount,
        )

    def _too_late(self, request: RefundRequest) -> RefundAnswer:
        """UnionPay would not take it any more: what became of it, or that nothing ever did."""
        answer = self.query_refund(request)
        if answer.standing is not RefundStanding.UNKNOWN:
            return answer
        if not _is_older(request.requested_at, _TXN_TIME_IS_HISTORY):
            raise ProviderUnavailable("txn_time_passed", "whether it reached UnionPay is not known yet")
        raise ProviderRejected("txn_time_passed", "it has not reached UnionPay: ask again under a new number")

    # --- settlement files -----------------------------------------------------------------------------------
    def settlement_file(self, day: date) -> SettlementFile | None:
        """What was cleared on a day, ready at about nine the next morning. None: there is no file (yet).

        Raises ProviderError.
        """
        asked = self._common("76", "01", "000000") | {
            "settleDate": f"{day:%m%d}",
            "fileType": "00",
            "txnTime": wire.beijing(datetime.now(UTC)),
        }
        try:
            told = self._call(f"{self._files}/", asked, limit=_MOST_FILE_BYTES)
            name = printable(told.get("fileName"), 100)
            return read_settlement_file(told.get("fileContent", ""), name=name, day=day)
        except ProviderRejected as refusal:
            if refusal.code == codes.NO_SUCH_FILE:
                return None
            raise
        except Malformed as error:
            raise ProviderUnavailable(f"answer_{error.step}", error.detail) from None

    # --- notifications --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the form, then translate it. Repeats carry their first times: age refuses nothing."""
        try:
            fields = wire.read_form(raw.body)
            self._keys.verify(fields, at=raw.received_at)
        except (Malformed, Untrusted) as error:
            raise NotificationRefused(error.step, error.detail) from None
        attempt_no = printable(fields.get("orderId"), 64)
        if fields.get("merId") != self._mer_id:
            return Foreign(said=f"for merId {printable(fields.get('merId'), 40)}", attempt_no=attempt_no)
        try:
            return _message(fields, attempt_no)
        except Malformed as error:
            raise NotificationUnreadable(error.step, error.detail) from None

    def follow(self, hint: Hint) -> Message:
        """The query that UnionPay asks for before money is credited. Raises ProviderError."""
        money_was_taken = hint.said in codes.MONEY_TAKEN
        try:
            answer = self.query(hint.about)
        except ProviderRejected as refusal:
            if money_was_taken:  # a no to our question is none to the payment
                raise ProviderUnavailable(refusal.code, refusal.message) from None
            raise
        if answer.proof is not None:
            return answer.proof
        if money_was_taken:
            raise ProviderUnavailable("query_disagrees", f"notified as {hint.said}, and the query says {answer.said}")
        return NothingToDo(said=answer.said, attempt_no=hint.about.attempt_no)

    def claims(self, raw: RawNotification) -> Claims:
        """Who has issued the certificate that came along, and who may have. Messages carry no stamp."""
        try:
            certificate = read_certificate(wire.read_form(raw.body).get("signPubKeyCert", ""))
            issuer = name_of(certificate.issuer) if certificate else ""
        except (Malformed, ValueError):  # the parts of a certificate are read only when they are asked for
            issuer = ""
        return Claims(sent_at=None, key=issuer, known_keys=self._keys.issuers)

    def reply(self, ack: Ack) -> Reply:
        """Any 200 will do; after anything else UnionPay sends it again, up to five times within minutes."""
        status, body = _REPLIES[ack]
        return Reply(status=status, body=body, content_type="text/plain")

    # --- speaking -------------------------------------------------------------------------------------------
    def _common(self, kind: str, sub_kind: str, product: str) -> dict[str, str]:
        return {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "txnType": kind,
            "txnSubType": sub_kind,
            "bizType": product,
            "accessType": "0",
            "merId": self._mer_id,
        }

    def _transaction(self, kind: str, sub_kind: str, number: str, at: datetime) -> dict[str, str]:
        if not _ORDER_ID.fullmatch(number):
            raise ProviderRejected("number_not_taken", "UnionPay takes numbers of 8 to 40 letters and digits")
        return self._common(kind, sub_kind, _CARD) | {"orderId": number, "txnTime": wire.beijing(at)}

    def _signed(self, fields: Mapping[str, str]) -> dict[str, str]:
        # UnionPay strips values before it looks at the signature.
        told = {name: value.strip() for name, value in fields.items() if value.strip()} | {"certId": self._cert_id}
        return told | {"signature": rsa.sign(self._private_key, wire.signed_text(told))}

    def _call(self, url: str, fields: Mapping[str, str], *echoed: str, limit: int | None = None) -> Mapping[str, str]:
        """One call; returns the verified fields of an answer that is a yes. Raises ProviderError.

        `echoed`: fields of the question that its answer repeats.
        """
        answer = self._transport.send(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"},
            body=wire.form(self._signed(fields)),
            limit=limit,
        )
        if answer.status != 200:
            raise ProviderUnavailable(f"http_{answer.status}")
        try:
            told = wire.read_answer(answer.body)
        except Malformed as error:
            raise ProviderUnavailable(f"answer_{error.step}", error.detail) from None
        self._believe(told)
        error_of_it = codes.error_of(told)
        for name in ("merId", *echoed):
            # A no may repeat less of the question.
            if told.get(name, fields[name] if error_of_it else "") != fields[name]:
                raise ProviderUnavailable("answer_not_ours", f"the answer is about another {name}")
        if error_of_it is not None:
            raise error_of_it
        return told

    def _believe(self, told: Mapping[str, str]) -> None:
        """Raises ProviderUnavailable unless UnionPay signed the answer: without that not even a no is one."""
        try:
            self._keys.verify(told, at=datetime.now(UTC))
        except Untrusted as error:
            code = codes.said(told, "respCode")
            # Who does not know us may answer without a signature: worth showing, not believing.
            is_unsigned_no = "signature" not in told and code not in ("no_code", *codes.SUCCEEDED)
            step = code if is_unsigned_no else f"unverified_{error.step}"
            logger.error("unionpay answer not believed: merId=%s said=%s", self._mer_id, step)  # noqa: TRY400
            raise ProviderUnavailable(step, error.detail) from None


# --- credentials ------------------------------------------------------------------------------------------
def _host(credentials: Mapping[str, Any], *, live: bool) -> str:
    if credentials.get("base_url") is None:
        return GATEWAY if live else TEST_GATEWAY
    host = address_of(credentials, "base_url", like=GATEWAY).rstrip("/")
    if live and host != GATEWAY:
        raise CredentialsInvalid(f"base_url of an account of real money is {GATEWAY}, or nothing")
    return host


# --- what UnionPay answers --------------------------------------------------------------------------------
def _is_older(moment: datetime, age: timedelta) -> bool:
    return datetime.now(UTC) - moment > age


def _proof(told: Mapping[str, str], said: str) -> PaymentProof:
    opened_at = wire.time(told, "txnTime")
    return PaymentProof(
        attempt_no=wire.number(told, "orderId"),
        transaction_id=wire.number(told, "queryId"),
        paid=wire.money(told),
        paid_at=_traced_at(told, opened_at),
        opened_at=opened_at,
        review=codes.REVIEWS.get(said, ""),
    )


def _traced_at(told: Mapping[str, str], near: datetime) -> datetime:
    """When UnionPay booked it; without that, when it was asked for."""
    return wire.time_of_year(told.get("traceTime", ""), near=near) or near


# --- what UnionPay tells ----------------------------------------------------------------------------------
def _message(fields: Mapping[str, str], attempt_no: str) -> Message:
    """A payment's news is a question to UnionPay; a refund's bears the refund's number, and names its payment."""
    kind, code = printable(fields.get("txnType"), 10), codes.said(fields, "respCode")
    if kind in _GIVING_BACK:
        return _refund_notice(fields, code)
    if kind != _CONSUME:
        return NothingToDo(said=f"txnType {kind}", attempt_no=attempt_no)
    if code in codes.FAILED:
        return NothingToDo(said=code, attempt_no=attempt_no)  # refused: the buyer may try another card
    about = AttemptRef(attempt_no=wire.number(fields, "orderId"), opened_at=wire.time(fields, "txnTime"))
    return Hint(said=code, about=about)


def _refund_notice(fields: Mapping[str, str], code: str) -> RefundNotice:
    asked_at = wire.time(fields, "txnTime")
    return RefundNotice(
        attempt_no="",
        transaction_id=wire.number(fields, "origQryId") if fields.get("origQryId") else "",
        refund_no=wire.number(fields, "orderId"),
        standing=codes.standing_of_refund(code),
        said=code,
        amount=_amount(fields),
        provider_refund_id=printable(fields.get("queryId"), 64),
        at=_traced_at(fields, asked_at),
    )


def _amount(fields: Mapping[str, str]) -> Money | None:
    return wire.money(fields) if fields.get("txnAmt") else None
