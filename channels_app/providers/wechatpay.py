"""WeChat Pay APIv3 for direct merchants (微信支付). Wire facts and sources: docs/providers/wechatpay.md.

Requests are signed with the merchant's key. Whatever WeChat Pay says is verified with a platform key chosen
by the `Wechatpay-Serial` header: the WeChat Pay public key, platform certificates, or both while WeChat Pay
moves a merchant from one to the other (a few per cent at a time, and sometimes back). Amounts are fen on both
sides.
"""

import base64
import binascii
import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.providers import rsa
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
    OpenedPayment,
    OpenRequest,
    PayKind,
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
from channels_app.providers.credentials import matching, text_of
from channels_app.providers.documents import Unexpected, json_object, object_in, text_in
from channels_app.providers.fields import CredentialField
from channels_app.providers.texts import cut, printable
from channels_app.providers.transport import ConnectFailed, HttpAnswer, Transport
from channels_app.providers.wechatpay_keys import (
    FIELDS,
    api_v3_key,
    hosts_of,
    platform_keys,
    serial_as_compared,
)
from channels_app.providers.wechatpay_wire import (
    CHINA,
    LINK,
    REFUND_STANDINGS,
    VISIBLE,
    error_of,
    money_in,
    proof_of,
    refund_answer,
    refusal_in,
    spelling,
    time_in,
)

logger = logging.getLogger(__name__)

_SCHEMA = "WECHATPAY2-SHA256-RSA2048"
# WeChat Pay sends some messages and answers with a deliberately wrong signature, to see who checks.
_PROBE = "WECHATPAY/SIGNTEST/"
_SIGNED_HEADERS = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-signature", "wechatpay-serial")
_CLOCK_TOLERANCE_S = 300
_PAYMENT_EVENT = "TRANSACTION.SUCCESS"
_REFUND_EVENTS = "REFUND."

# The pages say 127 and 80 without saying of what. Bytes never exceed either reading.
_DESCRIPTION_BYTES = 127
_REASON_BYTES = 80

_STANDINGS: Mapping[str, Standing] = {
    "SUCCESS": Standing.PAID,
    "REFUND": Standing.PAID,  # something was given back, so it was paid
    "NOTPAY": Standing.WAITING,
    "USERPAYING": Standing.WAITING,
    "PAYERROR": Standing.WAITING,  # this try failed; the number stays payable until it is closed
    "CLOSED": Standing.CLOSED,
    "REVOKED": Standing.CLOSED,
}
_CLOSE_REFUSALS: Mapping[str, CloseAnswer] = {
    "ORDERPAID": CloseAnswer.PAID,
    "ORDERCLOSED": CloseAnswer.CLOSED,
    "ORDERNOTEXIST": CloseAnswer.UNKNOWN,
    "RESOURCENOTEXISTS": CloseAnswer.UNKNOWN,
}

# What WeChat Pay says to a number that none of its transactions could have.
_NOT_A_NUMBER = "PARAMERROR"

_UNIX_TIME = re.compile(r"[0-9]{1,12}")


class _Fault(NamedTuple):
    """The check that a message failed, and a sentence for people."""

    step: str
    detail: str


class WechatPayAdapter:
    """One merchant number (商户号) with one application."""

    code: ClassVar[str] = "wechatpay"
    label: ClassVar[StrOrPromise] = _("WeChat Pay")
    notifies_by: ClassVar[str] = "POST"
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS
    methods: ClassVar[Mapping[str, Method]] = {
        method.code: method
        for method in (
            Method(code="wechatpay_app", label=_("WeChat Pay (app)"), kind=PayKind.SDK),
            Method(
                code="wechatpay_jsapi",
                label=_("WeChat Pay (inside WeChat)"),
                kind=PayKind.SDK,
                needs=("openid",),
            ),
            Method(
                code="wechatpay_h5",
                label=_("WeChat Pay (mobile browser)"),
                kind=PayKind.REDIRECT,
                needs=("client_ip",),
            ),
            Method(code="wechatpay_native", label=_("WeChat Pay (QR code)"), kind=PayKind.QR),
        )
    }

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Parse the keys of a credentials file. Raises CredentialsInvalid."""
        self._mchid = matching(credentials, "mchid", r"[0-9]{1,32}")
        self._appid = matching(credentials, "appid", r"[0-9A-Za-z_-]{1,32}")
        self._serial_no = matching(credentials, "serial_no", r"[0-9A-Fa-f]{1,64}").upper()
        self._private_key = rsa.private_key(text_of(credentials, "private_key"), name="private_key")
        self._cipher = AESGCM(api_v3_key(credentials))
        self._public_key_id, self._platform_keys = platform_keys(credentials)
        self._hosts = hosts_of(credentials)
        self._transport = Transport()

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """Open a payment. The same request again gives fresh parameters for the same number."""
        product = request.method.removeprefix("wechatpay_")
        exchanged = self._exchange("POST", f"/v3/pay/transactions/{product}", self._order(product, request))
        answer = self._document(exchanged)
        try:
            return self._opened(request, answer)
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask what became of an attempt."""
        exchanged = self._exchange("GET", self._asking_about(attempt.attempt_no))
        return self._answer_about(exchanged, appid=self._appid, out_trade_no=attempt.attempt_no)

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask by WeChat Pay's own number, which it has for paid orders only. Refused numbers are unknown ones."""
        path = f"/v3/pay/transactions/id/{quote(transaction_id, safe='')}?mchid={self._mchid}"
        exchanged = self._exchange("GET", path)
        refusal = refusal_in(exchanged)
        if exchanged.status == 400 and spelling(refusal) == _NOT_A_NUMBER:
            return QueryAnswer(standing=Standing.UNKNOWN, said=refusal)
        return self._answer_about(exchanged, transaction_id=transaction_id)

    def _answer_about(self, exchanged: HttpAnswer, **asked: str) -> QueryAnswer:
        """What an answer says about the payment that was asked about. Raises ProviderError."""
        if exchanged.status == 404 and (refusal := refusal_in(exchanged)):
            return QueryAnswer(standing=Standing.UNKNOWN, said=refusal)
        transaction = self._document(exchanged)
        # The signature covers the body alone: it must also be the answer to this very question.
        ours = {"mchid": self._mchid, **asked}
        if any(transaction.get(name) != value for name, value in ours.items()):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another order")
        try:
            said = text_in(transaction, "trade_state")
            standing = _STANDINGS.get(said, Standing.UNDECIDED)
            proof = proof_of(transaction, given_back=said == "REFUND") if standing is Standing.PAID else None
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        return QueryAnswer(standing=standing, said=said, proof=proof)

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about a number that cannot exist. That a 404 is signed is said nowhere: signed ones are verified."""
        exchanged = self._exchange("GET", self._asking_about(attempt_no))
        refusal = refusal_in(exchanged) if exchanged.status == 404 else ""
        if not refusal:
            self._document(exchanged)
            raise ProviderUnavailable("answer_not_ours", "it knows a number that does not exist")
        signed = bool(exchanged.headers.get("wechatpay-signature"))
        if signed and (fault := self._fault_in(exchanged.headers, exchanged.body, datetime.now(UTC))):
            raise ProviderUnavailable(f"unverified_{fault.step}", fault.detail)
        return ProbeAnswer(said=refusal, verified=signed)

    def _asking_about(self, attempt_no: str) -> str:
        return f"/v3/pay/transactions/out-trade-no/{quote(attempt_no, safe='')}?mchid={self._mchid}"

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Make an attempt unpayable."""
        path = f"/v3/pay/transactions/out-trade-no/{quote(attempt.attempt_no, safe='')}/close"
        exchanged = self._exchange("POST", path, {"mchid": self._mchid})
        known = _CLOSE_REFUSALS.get(spelling(refusal_in(exchanged)))
        if known is not None:
            return known
        self._document(exchanged)
        return CloseAnswer.CLOSED

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back. The same `refund_no` again is the same refund."""
        whose = (
            {"transaction_id": request.transaction_id}
            if request.transaction_id
            else {"out_trade_no": request.attempt_no}
        )
        document: dict[str, Any] = {
            **whose,
            "out_refund_no": request.refund_no,
            "notify_url": request.notify_url,
            "amount": {
                "refund": request.amount.amount_minor,
                "total": request.paid.amount_minor,
                "currency": request.amount.currency,
            },
        }
        if reason := cut(request.reason, _REASON_BYTES):
            document["reason"] = reason
        exchanged = self._exchange("POST", "/v3/refund/domestic/refunds", document)
        return refund_answer(
            self._document(exchanged),
            refund_no=request.refund_no,
            attempt_no=request.attempt_no,
            transaction_id=request.transaction_id,
        )

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask what became of a refund."""
        exchanged = self._exchange("GET", f"/v3/refund/domestic/refunds/{quote(request.refund_no, safe='')}")
        if exchanged.status == 404 and (refusal := refusal_in(exchanged)):
            return RefundAnswer(standing=RefundStanding.UNKNOWN, said=refusal, refund_no=request.refund_no)
        return refund_answer(
            self._document(exchanged),
            refund_no=request.refund_no,
            attempt_no=request.attempt_no,
            transaction_id=request.transaction_id,
        )

    # --- notifications --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the bytes, decrypt what they carry, translate it."""
        fault = self._fault_in(raw.headers, raw.body, raw.received_at)
        if fault is not None:
            raise NotificationRefused(fault.step, fault.detail)
        try:
            envelope = json_object(raw.body)
            event = text_in(envelope, "event_type")
            if event == _PAYMENT_EVENT:
                return self._payment_message(self._decrypted(envelope))
            if event.startswith(_REFUND_EVENTS):
                return self._refund_message(self._decrypted(envelope))
        except Unexpected as error:
            raise NotificationUnreadable(error.step, error.detail) from None
        return NothingToDo(said=event)

    def claims(self, raw: RawNotification) -> Claims:
        """Stamp and serial of the headers, and the serials of the platform keys in use."""
        timestamp = raw.headers.get("wechatpay-timestamp", "")
        try:
            sent_at = datetime.fromtimestamp(int(timestamp), UTC) if _UNIX_TIME.fullmatch(timestamp) else None
        except (ValueError, OverflowError):  # a year that no calendar has
            sent_at = None
        return Claims(
            sent_at=sent_at,
            key=printable(raw.headers.get("wechatpay-serial"), 64),
            known_keys=tuple(sorted(self._platform_keys)),
        )

    def reply(self, ack: Ack) -> Reply:
        """204 when it is ours; anything else makes WeChat Pay send it again (15 times in 24 hours)."""
        if ack is Ack.DONE:
            return Reply(status=204, body=b"", content_type="application/json")
        status, message = (401, "verification failed") if ack is Ack.REFUSED else (503, "try again later")
        body = json.dumps({"code": "FAIL", "message": message}).encode()
        return Reply(status=status, body=body, content_type="application/json")

    def _payment_message(self, transaction: Mapping[str, Any]) -> Message:
        attempt_no = text_in(transaction, "out_trade_no")
        mchid, appid = text_in(transaction, "mchid"), text_in(transaction, "appid")
        if (mchid, appid) != (self._mchid, self._appid):
            return Foreign(said=f"for merchant {mchid}, application {appid}", attempt_no=attempt_no)
        state = text_in(transaction, "trade_state")
        if state != "SUCCESS":
            return NothingToDo(said=state, attempt_no=attempt_no)
        return proof_of(transaction)

    def _refund_message(self, refund: Mapping[str, Any]) -> Message:
        attempt_no = text_in(refund, "out_trade_no")
        mchid = text_in(refund, "mchid")
        if mchid != self._mchid:  # refund messages name no application
            return Foreign(said=f"for merchant {mchid}", attempt_no=attempt_no)
        state = text_in(refund, "refund_status")
        return RefundNotice(
            attempt_no=attempt_no,
            transaction_id=text_in(refund, "transaction_id"),
            refund_no=text_in(refund, "out_refund_no"),
            standing=REFUND_STANDINGS.get(state, RefundStanding.PROCESSING),
            said=state,
            amount=money_in(refund, "refund"),
            provider_refund_id=text_in(refund, "refund_id"),
            at=time_in(refund, "success_time") if refund.get("success_time") else None,
        )

    def _decrypted(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """The object inside `resource`. Raises Unexpected, above all when our APIv3 key is the wrong one."""
        resource = object_in(envelope, "resource")
        algorithm = text_in(resource, "algorithm")
        if algorithm != "AEAD_AES_256_GCM":
            raise Unexpected("algorithm", f"resource is encrypted with {algorithm}")
        nonce, ciphertext = resource.get("nonce"), resource.get("ciphertext")
        associated = resource.get("associated_data") or ""
        if not (isinstance(nonce, str) and isinstance(ciphertext, str) and isinstance(associated, str)):
            raise Unexpected("shape", "resource lacks what decryption needs")
        try:
            opened = self._cipher.decrypt(
                nonce.encode(), base64.b64decode(ciphertext, validate=True), associated.encode()
            )
        except InvalidTag:
            raise Unexpected("decryption", "api_v3_key does not open this message") from None
        except (ValueError, binascii.Error):
            raise Unexpected("decryption", "resource is not encrypted data") from None
        return json_object(opened)

    # --- HTTP and signatures --------------------------------------------------------------------------------
    def _exchange(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> HttpAnswer:
        """Send one signed request and take whatever comes back. Raises ProviderError when nothing does."""
        body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
        answer = self._send(method, path, body)
        if answer.status < 300 and answer.headers.get("wechatpay-signature", "").startswith(_PROBE):
            # Every call of ours may be repeated word for word; the second answer is signed for real.
            answer = self._send(method, path, body)
        return answer

    def _send(self, method: str, path: str, body: bytes) -> HttpAnswer:
        hosts = self._hosts
        try:
            answer = self._send_to(hosts[0], method, path, body)
        except ConnectFailed:
            if len(hosts) == 1:
                raise
            answer = self._send_to(hosts[1], method, path, body)
            # The next caller need not wait for a dead host first.
            self._hosts = (hosts[1], hosts[0])
        logger.log(
            logging.INFO if answer.status < 300 else logging.WARNING,
            "wechatpay answered: merchant=%s call=%s %s status=%d request_id=%s",
            self._mchid,
            method,
            path.partition("?")[0],
            answer.status,
            printable(answer.headers.get("request-id", ""), 64),
        )
        return answer

    def _send_to(self, host: str, method: str, path: str, body: bytes) -> HttpAnswer:
        url = host + path
        headers = {
            "Authorization": self._authorization(method, url, body),
            "Accept": "application/json",
            "User-Agent": "payments",
        }
        if body:
            headers["Content-Type"] = "application/json"
        if self._public_key_id:
            # Asks for an answer signed with the public key; merchants without one must not send it.
            headers["Wechatpay-Serial"] = self._public_key_id
        return self._transport.send(method, url, headers=headers, body=body)

    def _authorization(self, method: str, url: str, body: bytes) -> str:
        at = urlsplit(url)
        target = f"{at.path}?{at.query}" if at.query else at.path
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        signature = rsa.sign(self._private_key, f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n")
        return (
            f'{_SCHEMA} mchid="{self._mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{self._serial_no}"'
        )

    def _document(self, answer: HttpAnswer) -> dict[str, Any]:
        """The verified object of a good answer ({} for one without a body). Raises ProviderError."""
        if answer.status not in (200, 204):
            raise error_of(answer)
        fault = self._fault_in(answer.headers, answer.body, datetime.now(UTC))
        if fault is not None:
            logger.warning("wechatpay answer not believed: merchant=%s step=%s", self._mchid, fault.step)
            raise ProviderUnavailable(f"unverified_{fault.step}", fault.detail)
        try:
            return json_object(answer.body) if answer.status == 200 else {}
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None

    def _fault_in(self, headers: Mapping[str, str], body: bytes, at: datetime) -> _Fault | None:
        """Why a message cannot be believed at the moment `at` to be WeChat Pay's; None when it can."""
        missing = [name for name in _SIGNED_HEADERS if not headers.get(name)]
        if missing:
            return _Fault("headers", f"missing: {', '.join(missing)}")
        timestamp, nonce, signature, serial = (headers[name] for name in _SIGNED_HEADERS)
        # A line break in here would move the border between the signed lines.
        if not VISIBLE.fullmatch(nonce):
            return _Fault("headers", "the nonce is not plain text")
        if not _UNIX_TIME.fullmatch(timestamp):
            return _Fault("timestamp", "not a Unix time")
        if abs(at.timestamp() - int(timestamp)) >= _CLOCK_TOLERANCE_S:
            return _Fault("timestamp", f"{timestamp} is {_CLOCK_TOLERANCE_S} s or more away from our clock")
        if signature.startswith(_PROBE):
            return _Fault("probe", "a deliberate wrong signature of WeChat Pay")
        platform = self._platform_keys.get(serial_as_compared(serial))
        if platform is None:
            return _Fault("serial", f"no platform key with serial {printable(serial, 64)}")
        if not platform.is_valid(at):
            return _Fault("serial", f"the platform certificate {printable(serial, 64)} is not valid now")
        if not rsa.verifies(platform.key, f"{timestamp}\n{nonce}\n".encode() + body + b"\n", signature):
            return _Fault("signature", "not the signature of these bytes")
        return None

    # --- opening --------------------------------------------------------------------------------------------
    def _order(self, product: str, request: OpenRequest) -> dict[str, Any]:
        # Repeated with the same request this is the same document: another one would be refused.
        order: dict[str, Any] = {
            "appid": self._appid,
            "mchid": self._mchid,
            "description": cut(request.subject, _DESCRIPTION_BYTES) or request.attempt_no,
            "out_trade_no": request.attempt_no,
            "time_expire": request.expires_at.astimezone(CHINA).isoformat(timespec="seconds"),
            "notify_url": request.notify_url,
            "amount": {"total": request.due.amount_minor, "currency": request.due.currency},
        }
        if product == "jsapi":
            order["payer"] = {"openid": _input(request, "openid")}
        elif product == "h5":
            order["scene_info"] = {
                "payer_client_ip": _input(request, "client_ip"),
                "h5_info": {"type": "Wap"},
            }
        return order

    def _opened(self, request: OpenRequest, answer: Mapping[str, Any]) -> OpenedPayment:
        kind = self.methods[request.method].kind
        if kind is PayKind.QR:
            return OpenedPayment(kind=kind, params={"code_url": text_in(answer, "code_url", LINK)})
        if kind is PayKind.REDIRECT:
            link = text_in(answer, "h5_url", LINK)
            if back := request.inputs.get("return_url"):
                link += f"{'&' if '?' in link else '?'}redirect_url={quote(back, safe='')}"
            return OpenedPayment(kind=kind, params={"h5_url": link})
        prepay_id = text_in(answer, "prepay_id", VISIBLE)
        is_app = request.method == "wechatpay_app"
        return OpenedPayment(kind=kind, params=self._app(prepay_id) if is_app else self._jsapi(prepay_id))

    def _app(self, prepay_id: str) -> dict[str, str]:
        timestamp, nonce, signature = self._signed_for_client(prepay_id)
        return {
            "appId": self._appid,
            "partnerId": self._mchid,
            "prepayId": prepay_id,
            "packageValue": "Sign=WXPay",
            "nonceStr": nonce,
            "timeStamp": timestamp,
            "sign": signature,
        }

    def _jsapi(self, prepay_id: str) -> dict[str, str]:
        package = f"prepay_id={prepay_id}"
        timestamp, nonce, signature = self._signed_for_client(package)
        return {
            "appId": self._appid,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": signature,
        }

    def _signed_for_client(self, package: str) -> tuple[str, str, str]:
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        text = f"{self._appid}\n{timestamp}\n{nonce}\n{package}\n".encode()
        return timestamp, nonce, rsa.sign(self._private_key, text)


def _input(request: OpenRequest, name: str) -> str:
    value = request.inputs.get(name)
    if not value:
        raise ProviderRejected("input_missing", f"{request.method} needs {name}")
    return value
