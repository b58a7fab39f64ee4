"""Alipay's open gateway for direct merchants (支付宝). Wire facts and sources: docs/providers/alipay.md.

Requests are signed with the application's key. Whatever Alipay says is verified with Alipay's public key, or
in certificate mode with the certificate it names, always as RSA2 (SHA-256), whatever the message asks for.
For the app and the browser nothing is sent: the client is handed a signed text, and the trade exists at
Alipay only after the buyer has logged in there. Hence every payment carries its time limit.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.money import Money, yuan_from_fen
from channels_app.providers import alipay_wire as wire
from channels_app.providers import rsa
from channels_app.providers.alipay_certificates import FIELDS, read_keys
from channels_app.providers.alipay_wire import Malformed
from channels_app.providers.base import (
    Ack,
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    Claims,
    CloseAnswer,
    Foreign,
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
    ProviderBusy,
    ProviderError,
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

logger = logging.getLogger(__name__)

OFFICIAL_GATEWAY = "https://openapi.alipay.com/gateway.do"

_OPENED_BY_CLIENT: Mapping[str, tuple[str, str]] = {
    "alipay_app": ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY"),
    "alipay_wap": ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    "alipay_page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
}
_QR = "alipay_qr"
_SUCCEEDED = "10000"
_MOST_FEN = 10_000_000_000  # Alipay's ceiling of one payment: 100 million yuan

# The pages say 256 without saying of what. Bytes never exceed either reading.
_SUBJECT_BYTES = 256
_REASON_BYTES = 256
# `/ = &` Alipay asks to avoid; a comma would split a column of its unquoted bills.
_NOT_IN_SUBJECT = str.maketrans(dict.fromkeys("/=&,", " "))

_STANDINGS: Mapping[str, Standing] = {
    "WAIT_BUYER_PAY": Standing.WAITING,
    "TRADE_SUCCESS": Standing.PAID,
    "TRADE_FINISHED": Standing.PAID,
    "TRADE_CLOSED": Standing.CLOSED,  # unless marks of a payment say that it was paid, and given back
}
_PAID_STATES = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
_CLOSED_STATE = "TRADE_CLOSED"
_REFUND_STANDINGS: Mapping[str, RefundStanding] = {"REFUND_SUCCESS": RefundStanding.SUCCEEDED}

# Alipay puts different prefixes before its sub_codes (`ACQ.`, `aop.ACQ.`, none): they are looked for inside.
_UNKNOWN_RESULT = ("SYSTEM_ERROR", "unknow-error")
_MEANINGS: tuple[tuple[str, type[ProviderError]], ...] = (
    ("TRADE_HAS_SUCCESS", AlreadyPaid),
    ("TRADE_HAS_CLOSE", AttemptUnusable),
    ("CONTEXT_INCONSISTENT", AttemptUnusable),
    ("SELLER_BALANCE_NOT_ENOUGH", ProviderBusy),  # what refunds are paid from: later
)
_NO_SUCH_TRADE = "TRADE_NOT_EXIST"
# A no to closing that says only: this is not an unpaid trade. What it is, the query tells.
_NOT_UNPAID = (
    "TRADE_STATUS_ERROR",
    "REASON_TRADE_STATUS_INVALID",
    "REASON_ILLEGAL_STATUS",
    "TRADE_HAS_SUCCESS",
    "TRADE_HAS_FINISHED",
    "TRADE_HAS_CLOSE",
)
_CLOSE_ANSWERS: Mapping[Standing, CloseAnswer] = {
    Standing.PAID: CloseAnswer.PAID,
    Standing.CLOSED: CloseAnswer.CLOSED,
    Standing.UNKNOWN: CloseAnswer.UNKNOWN,
}
_BUSY_CODE = "40005"
_EXPLICIT_NO = frozenset({"20001", "40001", "40002", "40003", "40004", "40006"})

_TRADE_NOTIFICATION = "trade_status_sync"
_REPLIES: Mapping[Ack, tuple[int, bytes]] = {
    Ack.DONE: (200, b"success"),
    Ack.REFUSED: (401, b"fail"),
    Ack.LATER: (503, b"fail"),
}
_LINK = re.compile(r"[!-~]{1,2048}")


class AlipayAdapter:
    """One application (app_id) of one seller (PID)."""

    code: ClassVar[str] = "alipay"
    label: ClassVar[StrOrPromise] = _("Alipay")
    notifies_by: ClassVar[str] = "POST"
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS
    methods: ClassVar[Mapping[str, Method]] = {
        method.code: method
        for method in (
            Method(code="alipay_app", label=_("Alipay (app)"), kind=PayKind.SDK, calls_provider=False),
            Method(code="alipay_wap", label=_("Alipay (mobile browser)"), kind=PayKind.REDIRECT, calls_provider=False),
            Method(code="alipay_page", label=_("Alipay (computer)"), kind=PayKind.REDIRECT, calls_provider=False),
            Method(code="alipay_qr", label=_("Alipay (QR code)"), kind=PayKind.QR),
        )
    }

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse the keys of a credentials file. Raises CredentialsInvalid."""
        self._app_id = matching(credentials, "app_id", r"[0-9A-Za-z]{1,32}")
        self._seller_id = matching(credentials, "seller_id", r"2088[0-9]{12}")
        self._app_key = rsa.private_key(text_of(credentials, "app_private_key"), name="app_private_key")
        self._alipay_keys, self._certificates = read_keys(credentials, self._app_key)
        self._gateway = _gateway(credentials)
        self._transport = Transport()

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """Open a payment. Only the QR code needs Alipay for it; the other methods are signed here."""
        if request.due.currency != "CNY" or not 0 < request.due.amount_minor <= _MOST_FEN:
            raise ProviderRejected("amount_not_taken", "Alipay takes 0.01 to 100000000.00 yuan")
        kind = self.methods[request.method].kind
        if request.method == _QR:
            return OpenedPayment(kind=kind, params={"qr_code": self._precreate(request)})
        method, product = _OPENED_BY_CLIENT[request.method]
        content = _order(request) | {"product_code": product}
        common = {"notify_url": request.notify_url}
        if kind is PayKind.REDIRECT and (back := request.inputs.get("return_url")):
            common["return_url"] = back
            if request.method == "alipay_wap":
                content["quit_url"] = back
        signed = wire.query_string(self._signed(method, content, **common))
        if kind is PayKind.REDIRECT:
            return OpenedPayment(kind=kind, params={"url": f"{self._gateway}?{signed}"})
        return OpenedPayment(kind=kind, params={"order_string": signed})

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask what became of an attempt. Unknown at Alipay means: no buyer has opened it yet."""
        return self._query("out_trade_no", attempt.attempt_no)

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask by Alipay's own number."""
        return self._query("trade_no", transaction_id)

    def _query(self, name: str, number: str) -> QueryAnswer:
        try:
            trade = self._call("alipay.trade.query", {name: number})
        except ProviderRejected as refusal:
            if _NO_SUCH_TRADE in refusal.code:
                return QueryAnswer(standing=Standing.UNKNOWN, said=refusal.code)
            raise
        _same(trade, {name: number}, required=name)
        try:
            said = wire.number(trade, "trade_status")
            standing = _standing(trade, said)
            proof = _proof_of_query(trade) if standing is Standing.PAID else None
        except Malformed as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        return QueryAnswer(standing=standing, said=said, proof=proof)

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a number that cannot exist. Alipay signs its no."""
        answer = self._query("out_trade_no", attempt_no)
        if answer.standing is not Standing.UNKNOWN:
            raise ProviderUnavailable("answer_not_ours", "it knows a number that does not exist")
        return ProbeAnswer(said=answer.said, verified=True)

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Make an attempt unpayable."""
        try:
            closed = self._call("alipay.trade.close", {"out_trade_no": attempt.attempt_no})
        except ProviderRejected as refusal:
            if _NO_SUCH_TRADE in refusal.code:
                return CloseAnswer.UNKNOWN
            if any(word in refusal.code for word in _NOT_UNPAID):
                return self._close_by_query(attempt)
            raise
        _same(closed, {"out_trade_no": attempt.attempt_no})
        return CloseAnswer.CLOSED

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back. The same `refund_no` with the same amount again is the same refund."""
        content = _whose(request.attempt_no, request.transaction_id) | {
            "refund_amount": yuan_from_fen(request.amount.amount_minor),
            "out_request_no": request.refund_no,
        }
        if reason := cut(request.reason, _REASON_BYTES):
            content["refund_reason"] = reason
        refund = self._call("alipay.trade.refund", content)
        _same(refund, {"out_trade_no": request.attempt_no, "trade_no": request.transaction_id})
        # 10000: the call worked. Only fund_change Y says that money moved; N may be a repeat, and the
        # refund query tells. refund_fee is the sum of all refunds of the trade: nothing about this one.
        if refund.get("fund_change") != "Y":
            return RefundAnswer(standing=RefundStanding.PROCESSING, said="fund_change N", refund_no=request.refund_no)
        try:
            at = wire.time(refund, "gmt_refund_pay")
        except Malformed as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        return RefundAnswer(
            standing=RefundStanding.SUCCEEDED,
            said="fund_change Y",
            refund_no=request.refund_no,
            amount=request.amount,
            succeeded_at=at,
        )

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask what became of a refund; not sooner than ten seconds after it was asked for."""
        content = _whose(request.attempt_no, request.transaction_id) | {
            "out_request_no": request.refund_no,
            "query_options": ["gmt_refund_pay"],
        }
        try:
            refund = self._call("alipay.trade.fastpay.refund.query", content)
        except ProviderRejected as refusal:
            if _NO_SUCH_TRADE in refusal.code:
                return RefundAnswer(standing=RefundStanding.UNKNOWN, said=refusal.code, refund_no=request.refund_no)
            raise
        _same(
            refund,
            {
                "out_request_no": request.refund_no,
                "out_trade_no": request.attempt_no,
                "trade_no": request.transaction_id,
            },
            required="out_request_no" if refund.get("refund_status") else "",
        )
        try:
            return _refund_answer(refund, request.refund_no)
        except Malformed as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    # --- notifications --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the form, then translate it. Repeats carry their first date: age refuses nothing."""
        try:
            form = wire.read_form(raw.body)
        except Malformed as error:
            raise NotificationRefused(error.step, error.detail) from None
        self._verify(form, raw.received_at)
        fields = form.fields
        attempt_no = printable(fields.get("out_trade_no"), 64)
        for name, ours in (
            ("app_id", self._app_id),
            ("auth_app_id", self._app_id),
            ("seller_id", self._seller_id),
        ):
            if fields.get(name) and fields[name] != ours:
                return Foreign(said=f"for {name} {printable(fields[name], 40)}", attempt_no=attempt_no)
        if not fields.get("app_id") and not fields.get("auth_app_id"):
            return Foreign(said="for no application", attempt_no=attempt_no)
        kind = fields.get("notify_type") or _TRADE_NOTIFICATION
        if kind != _TRADE_NOTIFICATION:
            return NothingToDo(said=printable(kind, 60), attempt_no=attempt_no)
        try:
            return _trade_message(fields, attempt_no, raw.received_at)
        except Malformed as error:
            raise NotificationUnreadable(error.step, error.detail) from None

    def claims(self, raw: RawNotification) -> Claims:
        """When the notification says it was sent, its certificate's number, and the numbers in use."""
        try:
            fields = wire.read_form(raw.body).fields
            sent_at = wire.time(fields, "notify_time")
        except Malformed:
            fields, sent_at = {}, None
        return Claims(
            sent_at=sent_at,
            key=printable(fields.get("alipay_cert_sn"), 64),
            known_keys=tuple(sorted(self._alipay_keys.by_sn)),
        )

    def reply(self, ack: Ack) -> Reply:
        """Seven bytes, `success`, when it is ours; after anything else Alipay sends it again for 25 hours."""
        status, body = _REPLIES[ack]
        return Reply(status=status, body=body, content_type="text/plain")

    def _verify(self, form: wire.Form, at: datetime) -> None:
        sn, sign = form.fields.get("alipay_cert_sn", ""), form.fields.get("sign", "")
        if not sign:
            raise NotificationRefused("signature", "not signed")
        keys = self._alipay_keys.for_message(sn, at=at)
        if not keys:
            raise NotificationRefused("serial", f"no valid Alipay certificate {printable(sn, 64)}")
        texts = form.signed_texts()
        if not any(rsa.verifies(each.key, text, sign) for each in keys for text in texts):
            raise NotificationRefused("signature", "not the signature of these fields")

    # --- speaking -------------------------------------------------------------------------------------------
    def _signed(self, method: str, content: Mapping[str, Any], **common: str) -> dict[str, str]:
        parameters = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": _beijing(datetime.now(UTC)),
            "version": "1.0",
            "biz_content": wire.compact_json(content),
            **{name: value for name, value in common.items() if value},
        }
        if self._certificates is not None:
            parameters["app_cert_sn"] = self._certificates.app_cert_sn
            parameters["alipay_root_cert_sn"] = self._certificates.alipay_root_cert_sn
        return {**parameters, "sign": rsa.sign(self._app_key, wire.request_text(parameters))}

    def _call(self, method: str, content: Mapping[str, Any], **common: str) -> Mapping[str, Any]:
        """One call; returns the verified node of a call that succeeded. Raises ProviderError."""
        answer = self._transport.send(
            "POST",
            f"{self._gateway}?charset=utf-8",
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
            body=wire.query_string(self._signed(method, content, **common)).encode(),
        )
        if answer.status != 200:  # the gateway's own errors come with 200
            raise ProviderUnavailable(f"http_{answer.status}")
        try:
            parts = wire.read_answer(answer.body, method)
        except Malformed as error:
            raise ProviderUnavailable(f"answer_{error.step}", error.detail) from None
        self._believe(parts, method)
        error_of_it = _error_of(parts.node)
        if error_of_it is not None:
            raise error_of_it
        return parts.node

    def _believe(self, answer: wire.Answer, method: str) -> None:
        """Raises ProviderUnavailable unless Alipay signed the answer: without that not even a no is one."""
        keys = self._alipay_keys.for_message(answer.cert_sn, at=datetime.now(UTC))
        texts = answer.signed_texts()
        if not answer.sign:
            # The gateway answers so when it does not know who asks. Its word is worth showing, not believing.
            step = _said(answer.node) if answer.node.get("code") != _SUCCEEDED else "unverified_unsigned"
        elif not keys:
            step = "unverified_serial"
        elif not any(rsa.verifies(each.key, text, answer.sign) for each in keys for text in texts):
            step = "unverified_signature"
        else:
            return
        logger.error("alipay answer not believed: app_id=%s method=%s said=%s", self._app_id, method, step)
        raise ProviderUnavailable(step, "the answer is not signed by a key of Alipay's that we know")

    def _precreate(self, request: OpenRequest) -> str:
        order = self._call("alipay.trade.precreate", _order(request), notify_url=request.notify_url)
        _same(order, {"out_trade_no": request.attempt_no})
        link = order.get("qr_code")
        if not isinstance(link, str) or not _LINK.fullmatch(link):
            raise ProviderUnavailable("answer_shape", "qr_code is not a link")
        return link

    def _close_by_query(self, attempt: AttemptRef) -> CloseAnswer:
        answer = self.query(attempt)
        if answer.standing not in _CLOSE_ANSWERS:
            raise ProviderUnavailable("close_undecided", f"not closed, and the trade is {answer.said}")
        return _CLOSE_ANSWERS[answer.standing]


# --- credentials ------------------------------------------------------------------------------------------
def _gateway(credentials: Mapping[str, Any]) -> str:
    if credentials.get("gateway") is None:
        return OFFICIAL_GATEWAY
    return address_of(credentials, "gateway", like="https://host/gateway.do")


# --- what we ask ------------------------------------------------------------------------------------------
def _order(request: OpenRequest) -> dict[str, Any]:
    # Repeated with the same request this is the same document: another one would be refused.
    subject = cut(request.subject.translate(_NOT_IN_SUBJECT), _SUBJECT_BYTES)
    return {
        "out_trade_no": request.attempt_no,
        "total_amount": yuan_from_fen(request.due.amount_minor),
        "subject": subject or request.attempt_no,
        "time_expire": _beijing(request.expires_at),
    }


def _whose(attempt_no: str, transaction_id: str) -> dict[str, Any]:
    return {"trade_no": transaction_id} if transaction_id else {"out_trade_no": attempt_no}


def _beijing(at: datetime) -> str:
    return at.astimezone(wire.BEIJING).strftime("%Y-%m-%d %H:%M:%S")


# --- what Alipay answers ----------------------------------------------------------------------------------
def _error_of(node: Mapping[str, Any]) -> ProviderError | None:
    """The error a signed answer means; None when the call succeeded."""
    code, said = printable(node.get("code"), 20), _said(node)
    if code == _SUCCEEDED:
        return None
    message = printable(node.get("sub_msg") or node.get("msg"), 200)
    if any(word in said for word in _UNKNOWN_RESULT):
        return ProviderUnavailable(said, message)
    if code == _BUSY_CODE:
        return ProviderBusy(said, message)
    if code not in _EXPLICIT_NO:  # 20000, 10003, and words nobody has told us: no yes and no no
        return ProviderUnavailable(said, message)
    kinds: Iterator[type[ProviderError]] = (kind for word, kind in _MEANINGS if word in said)
    return next(kinds, ProviderRejected)(said, message)


def _said(node: Mapping[str, Any]) -> str:
    """The most telling code of an answer that is no success."""
    return printable(node.get("sub_code"), 60) or printable(node.get("code"), 60) or "no_code"


def _same(node: Mapping[str, Any], asked: Mapping[str, str], *, required: str = "") -> None:
    """Raises ProviderUnavailable when a signed answer is the answer to another question."""
    for name, ours in asked.items():
        told = node.get(name)
        if (told or name == required) and ours and told != ours:
            raise ProviderUnavailable("answer_not_ours", f"the answer is about another {name}")


def _standing(trade: Mapping[str, Any], said: str) -> Standing:
    standing = _STANDINGS.get(said, Standing.UNDECIDED)
    if standing is Standing.CLOSED:
        if wire.time(trade, "send_pay_date") is not None:
            return Standing.PAID  # and given back: what comes after a payment does not undo that it was made
        if any(_is_amount(trade, name) for name in ("receipt_amount", "buyer_pay_amount")):
            return Standing.UNDECIDED  # somebody paid something, and nothing says when
    return standing


def _is_amount(trade: Mapping[str, Any], name: str) -> bool:
    return trade.get(name) not in (None, "") and wire.money(trade, name).amount_minor > 0


def _proof_of_query(trade: Mapping[str, Any]) -> PaymentProof:
    # The pay date is not promised. Money without it is still money, and was paid before this moment.
    proof = _proof(trade, wire.time(trade, "send_pay_date") or datetime.now(UTC))
    return replace(proof, given_back=trade.get("trade_status") == _CLOSED_STATE)


def _proof(trade: Mapping[str, Any], paid_at: datetime) -> PaymentProof:
    """What a paid trade proves. `total_amount` is the price; the buyer pays less when coupons help."""
    paid = wire.money(trade, "total_amount")
    if not paid.amount_minor:
        raise Malformed("shape", "total_amount is nothing")
    return PaymentProof(
        attempt_no=wire.number(trade, "out_trade_no"),
        transaction_id=wire.number(trade, "trade_no"),
        paid=paid,
        paid_at=paid_at,
    )


def _refund_answer(refund: Mapping[str, Any], refund_no: str) -> RefundAnswer:
    is_known, has_amount = bool(refund.get("out_request_no")), bool(refund.get("refund_amount"))
    said = printable(refund.get("refund_status"), 60)
    if said:
        # An unknown word is no end: the refund stays under way and is asked about again.
        standing = _REFUND_STANDINGS.get(said, RefundStanding.PROCESSING)
    elif is_known and has_amount:
        standing = RefundStanding.SUCCEEDED  # how it was said before there was a refund_status
    else:
        standing = RefundStanding.PROCESSING if is_known else RefundStanding.UNKNOWN
    return RefundAnswer(
        standing=standing,
        said=said or ("without refund_status" if is_known else "no such refund"),
        refund_no=refund_no,
        amount=wire.money(refund, "refund_amount") if has_amount else None,
        succeeded_at=wire.time(refund, "gmt_refund_pay"),
    )


# --- what Alipay tells ------------------------------------------------------------------------------------
def _trade_message(fields: Mapping[str, str], attempt_no: str, received_at: datetime) -> Message:
    """Payment, refund, or nothing: told apart by the marks, because the states repeat themselves.

    A partial refund says TRADE_SUCCESS once more; a full one says TRADE_CLOSED, as an unpaid closing does.
    """
    said = printable(fields.get("trade_status"), 60)
    is_refund = bool(fields.get("gmt_refund")) or _refunded(fields) > 0
    if said in _PAID_STATES and not is_refund:
        paid_at = wire.time(fields, "gmt_payment") or wire.time(fields, "notify_time") or received_at
        return _proof(fields, paid_at)
    if said in _PAID_STATES or (said == _CLOSED_STATE and (is_refund or fields.get("gmt_payment"))):
        return RefundNotice(
            attempt_no=wire.number(fields, "out_trade_no"),
            transaction_id=wire.number(fields, "trade_no"),
            refund_no=printable(fields.get("out_biz_no"), 64),
            standing=RefundStanding.SUCCEEDED,
            said=said,
            refunded_total=_refunded_total(fields),
            at=wire.time(fields, "gmt_refund"),
        )
    return NothingToDo(said=said or "no trade_status", attempt_no=attempt_no)


def _refunded_total(fields: Mapping[str, str]) -> Money | None:
    """All refunds of the trade together: what one of them was, a notification does not say."""
    return wire.money(fields, "refund_fee") if fields.get("refund_fee") else None


def _refunded(fields: Mapping[str, str]) -> int:
    total = _refunded_total(fields)
    return total.amount_minor if total else 0
