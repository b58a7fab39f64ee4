"""TapTap in-app purchases (TapPayment). Wire facts and sources: docs/providers/taptap.md.

The player buys a product of TapTap's console inside the SDK, which carries our number in `extra`. TapTap tells us by a
webhook that is signed over verb, address, headers and body; what was missed is in its list of unconfirmed orders. Our
"delivered" confirms an order; one that stays unconfirmed for three days is refunded. Amounts are millionths.
"""

import base64
import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.providers.base import (
    Ack,
    AttemptRef,
    Claims,
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
    NUMBER,
    PRODUCT_ID,
    SAID,
    UNIX_TIME,
    Unexpected,
    exactly,
    is_one_of,
    json_object,
    no_answer,
    object_in,
    our_number,
    text_in,
    whole_in,
)
from channels_app.providers.fields import CredentialField
from channels_app.providers.joint import JointAdapter
from channels_app.providers.taptap_keys import FIELDS, read_keys
from channels_app.providers.texts import printable
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

_CLOCK_TOLERANCE_S = 300
_NONCE = re.compile(r"[!-~]{6,60}")
_TOKEN = re.compile(r"[!-~]{1,900}")
_OPEN_ID = re.compile(r"[!-~]{1,128}")
_MILLION = 1_000_000

_NOT_ACCEPTED, _NO_SUCH, _NOT_CONFIRMED = -1, 100004, 100018
_CONFIRMED = "charge.confirmed"
_GIVEN_BACK = "refund.succeeded"
_STANDINGS: Mapping[str, Standing] = {
    "charge.pending": Standing.WAITING,
    "charge.succeeded": Standing.PAID,
    _CONFIRMED: Standing.PAID,
    "charge.overdue": Standing.CLOSED,
    # Whoever asks for the money back has paid.
    "refund.pending": Standing.PAID,
    _GIVEN_BACK: Standing.PAID,
    "refund.failed": Standing.PAID,
    "refund.rejected": Standing.PAID,
}
_CHARGED = "charge.succeeded"
_REFUNDS: Mapping[str, RefundStanding] = {
    _GIVEN_BACK: RefundStanding.SUCCEEDED,
    "refund.failed": RefundStanding.CLOSED,
}


class TapTapAdapter(JointAdapter):
    """One game at TapTap."""

    code: ClassVar[str] = "taptap"
    label: ClassVar[StrOrPromise] = _("TapTap")
    notifies_by: ClassVar[str] = "POST"
    # What stays unconfirmed for three days is refunded, and is on no list any more.
    reaches_back: ClassVar[timedelta] = timedelta(days=3)
    methods: ClassVar[Mapping[str, Method]] = {
        "taptap_pay": Method(
            code="taptap_pay",
            label=_("TapTap in-app purchase"),
            kind=PayKind.SDK,
            currencies=(),
            calls_provider=False,
            sells_products=True,
            confirms=True,
        )
    }
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Read a credentials file. Raises CredentialsInvalid."""
        keys = read_keys(credentials, live=live)
        self._client_id, self._secrets, self._base = keys.client_id, keys.secrets, keys.base
        self._transport = Transport()

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """What the game hands to TapTap's SDK. Asks nobody."""
        if request.quantity != 1:
            raise ProviderRejected("quantity", "TapTap sells one thing at a time")
        params = {"productId": request.store_product_id, "obfuscatedAccountId": request.attempt_no}
        return OpenedPayment(kind=PayKind.SDK, params=params, payer=request.inputs.get("channel_uid", ""))

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask about the order that was told for an attempt; TapTap cannot be asked by our number."""
        order_id, _token = _parts_of(attempt.handle)
        if not order_id:
            return QueryAnswer(standing=Standing.UNKNOWN, said="no order told yet")
        answer = self.find(order_id)
        if answer.proof is not None and answer.proof.attempt_no not in ("", attempt.attempt_no):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another attempt")
        return answer

    def find(self, transaction_id: str) -> QueryAnswer:
        """Ask by TapTap's number of an order."""
        number = transaction_id.strip()
        if not NUMBER.fullmatch(number):
            return QueryAnswer(standing=Standing.UNKNOWN, said="not a number of TapTap's")
        data, code = self._ask("GET", "/order/v1/info", order_id=number)
        if code == _NO_SUCH:
            return QueryAnswer(standing=Standing.UNKNOWN, said=str(code))
        try:
            order = self._own_order(data, number)
            said = text_in(order, "status")
            standing = _STANDINGS.get(said, Standing.UNDECIDED)
            proof = _proof(order, given_back=said == _GIVEN_BACK) if standing is Standing.PAID else None
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        return QueryAnswer(standing=standing, said=said, proof=proof)

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about an order that cannot exist. TapTap signs no answers."""
        _data, code = self._ask("GET", "/order/v1/info", order_id=attempt_no)
        if code != _NO_SUCH:
            raise ProviderUnavailable("answer_not_ours", "it knows an order that does not exist")
        return ProbeAnswer(said=str(code), verified=False)

    def confirm(self, attempt: AttemptRef, *, transaction_id: str) -> None:
        """Tell TapTap that the goods were delivered (its "verify")."""
        order_id, token = _parts_of(attempt.handle)
        if not token or order_id != transaction_id:
            raise ProviderRejected("no_token", "no purchase token was told for this order")
        data, code = self._ask("POST", "/order/v1/verify", {"order_id": order_id, "purchase_token": token})
        if code == _NOT_CONFIRMED:
            # Said of an order that is confirmed already, too: only its state can tell.
            data, code = self._ask("GET", "/order/v1/info", order_id=order_id)
        if code:
            raise ProviderRejected(str(code))
        try:
            state = text_in(self._own_order(data, order_id), "status")
        except Unexpected as error:
            raise ProviderUnavailable("answer_shape", error.detail) from None
        # An order whose money is on its way back needs no confirmation any more.
        if state != _CONFIRMED and not state.startswith("refund."):
            raise ProviderUnavailable("not_confirmed", printable(state, SAID))

    def happenings(self, *, since: datetime, until: datetime) -> Iterator[Message]:
        """Paid orders that we have not confirmed, all of them: TapTap's list knows no times."""
        data, code = self._ask("GET", "/order/v1/unconfirmed")
        listed = data.get("list")
        if code or not isinstance(listed, list):
            raise ProviderUnavailable(str(code) if code else "answer_shape")
        for order in listed:
            try:
                yield self._about(order if isinstance(order, dict) else {}, _CHARGED)
            except Unexpected as error:
                # One that we cannot read must not keep us from those behind it.
                logger.warning("taptap listed an order that we cannot read: %s", error.detail)

    # --- notifications --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the request, then translate its order."""
        self._check(raw)
        try:
            document = json_object(raw.body)
            return self._about(object_in(document, "order"), text_in(document, "event_type"))
        except Unexpected as error:
            raise NotificationUnreadable(error.step, error.detail) from None

    def claims(self, raw: RawNotification) -> Claims:
        """The stamp of the header, and the game that the order says to be of."""
        stamp = raw.headers.get("x-tap-ts", "")
        try:
            sent_at = datetime.fromtimestamp(int(stamp), UTC) if UNIX_TIME.fullmatch(stamp) else None
        except (ValueError, OverflowError):  # a year that no calendar has
            sent_at = None
        try:
            client_id = object_in(json_object(raw.body), "order").get("client_id")
        except Unexpected:
            client_id = ""
        return Claims(sent_at=sent_at, key=printable(client_id, 64), known_keys=(self._client_id,))

    def reply(self, ack: Ack) -> Reply:
        """SUCCESS when it is ours; anything else is sent again."""
        status, code, message = {
            Ack.DONE: (200, "SUCCESS", ""),
            Ack.REFUSED: (401, "FAIL", "verification failed"),
            Ack.LATER: (503, "FAIL", "try again later"),
        }[ack]
        body = json.dumps({"code": code, "msg": message}).encode()
        return Reply(status=status, body=body, content_type="application/json")

    def _about(self, order: Mapping[str, Any], event: str) -> Message:
        """What an event about an order means. Raises Unexpected."""
        attempt_no = our_number(order.get("extra"))
        client_id = text_in(order, "client_id")
        if client_id != self._client_id:
            return Foreign(said=f"for game {client_id}", attempt_no=attempt_no)
        state = text_in(order, "status")
        proof = _proof(order, given_back=_GIVEN_BACK in (event, state)) if _is_paid(order) else None
        if proof is not None and event == _CHARGED:
            return proof
        if proof is not None and event in _REFUNDS:
            return _refund(proof, event)
        return NothingToDo(said=printable(f"{event} {state}", SAID), attempt_no=attempt_no, handle=_handle(order))

    def _check(self, raw: RawNotification) -> None:
        """Whether TapTap has sent this request now. Raises NotificationRefused."""
        stamp, nonce = raw.headers.get("x-tap-ts", ""), raw.headers.get("x-tap-nonce", "")
        # A header that came twice arrives as one, with a comma between: no time, and not what was signed.
        if not UNIX_TIME.fullmatch(stamp):
            raise NotificationRefused("timestamp", "X-Tap-Ts is not a Unix time")
        if not _NONCE.fullmatch(nonce):
            raise NotificationRefused("headers", "X-Tap-Nonce is not a text of 6 to 60 characters")
        if abs(raw.received_at.timestamp() - int(stamp)) > _CLOCK_TOLERANCE_S:
            raise NotificationRefused("timestamp", f"more than {_CLOCK_TOLERANCE_S} s away from our clock")
        text = _signed_text(raw.headers.get(":method", ""), raw.headers.get(":path", ""), raw.headers, raw.body)
        if not is_one_of(raw.headers.get("x-tap-sign", ""), [_signature(text, secret) for secret in self._secrets]):
            raise NotificationRefused("signature", "not the signature of this request")

    # --- HTTP -----------------------------------------------------------------------------------------------
    def _ask(
        self, method: str, path: str, document: Mapping[str, str] | None = None, **query: str
    ) -> tuple[dict[str, Any], int]:
        """What TapTap answers, and its error code (0 for none). Raises ProviderError."""
        target = f"{path}?{urlencode({'client_id': self._client_id, **query})}"
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"X-Tap-Ts": str(int(time.time())), "X-Tap-Nonce": secrets.token_hex(16)}
        signature = _signature(_signed_text(method, target, headers, body), self._secrets[0])
        sent = {**headers, "X-Tap-Sign": signature, "Accept": "application/json", "User-Agent": "payments"}
        if body:
            sent["Content-Type"] = "application/json; charset=utf-8"
        answer = self._transport.send(method, self._base + target, headers=sent, body=body)
        data, code = _answered(answer)
        logger.info("taptap answered: call=%s %s status=%d code=%d", method, path, answer.status, code)
        return data, code

    def _own_order(self, data: Mapping[str, Any], order_id: str) -> dict[str, Any]:
        """The order in an answer, if it is the one asked about. Raises ProviderUnavailable, Unexpected."""
        order = object_in(data, "order")
        if (order.get("order_id"), order.get("client_id")) != (order_id, self._client_id):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another order")
        return order


def _answered(answer: HttpAnswer) -> tuple[dict[str, Any], int]:
    """`data`, and the code of an explicit no about an order. Raises ProviderError for every other answer."""
    try:
        document = json_object(answer.body)
        data = object_in(document, "data")
    except Unexpected:
        raise no_answer(answer) from None
    if document.get("success") is True and answer.status == 200:
        return data, 0
    code, said = data.get("code"), printable(data.get("error_description"), 200)
    if document.get("success") is not False or type(code) is not int or answer.status == 429:
        raise no_answer(answer)
    if code in (_NO_SUCH, _NOT_CONFIRMED):
        return {}, code
    raise (ProviderRejected if code == _NOT_ACCEPTED else ProviderUnavailable)(str(code), said)


def _signed_text(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """What is signed: verb, address, every X-Tap- header but the signature itself, body."""
    names = {name.lower(): value for name, value in headers.items()}
    told = sorted(name for name in names if name.startswith("x-tap-") and name != "x-tap-sign")
    lines = [method, target, *(f"{name}:{names[name]}" for name in told)]
    return "\n".join(lines).encode(errors="surrogatepass") + b"\n" + body + b"\n"


def _signature(text: bytes, secret: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, text, "sha256")).decode()


def _is_paid(order: Mapping[str, Any]) -> bool:
    return _STANDINGS.get(str(order.get("status"))) is Standing.PAID


def _proof(order: Mapping[str, Any], *, given_back: bool) -> PaymentProof:
    return PaymentProof(
        attempt_no=our_number(order.get("extra")),
        transaction_id=text_in(order, "order_id"),
        paid=exactly(order, "amount", per_unit=_MILLION),
        paid_at=_moment(order),
        given_back=given_back,
        # The console of TapTap holds the price: it must be ours all the same.
        bought=StoreGoods(product_id=text_in(order, "goods_open_id", PRODUCT_ID), quantity=1, store_sets_price=False),
        payer=text_in(order, "open_id", _OPEN_ID),
        handle=_handle(order),
    )


def _refund(proof: PaymentProof, event: str) -> RefundNotice:
    """One order has one refund; one that failed may be tried again."""
    standing = _REFUNDS[event]
    has_failed = standing is RefundStanding.CLOSED
    return RefundNotice(
        attempt_no=proof.attempt_no,
        transaction_id=proof.transaction_id,
        refund_no=f"taptap:{proof.transaction_id}{':failed' if has_failed else ''}",
        standing=standing,
        said=event,
        amount=proof.paid,
        payment=replace(proof, given_back=proof.given_back or not has_failed),
    )


def _moment(order: Mapping[str, Any]) -> datetime:
    seconds = whole_in(order, "pay_time")
    if not 0 < seconds < 4_102_444_800:  # the year 2100
        raise Unexpected("shape", "pay_time is not a time")
    return datetime.fromtimestamp(seconds, UTC)


def _handle(order: Mapping[str, Any]) -> str:
    """What asking and confirming take: TapTap's number, and the token of the purchase where it is told."""
    token = order.get("purchase_token")
    is_told = isinstance(token, str) and _TOKEN.fullmatch(token)
    return f"{text_in(order, 'order_id')} {token if is_told else ''}".strip()


def _parts_of(handle: str) -> tuple[str, str]:
    order_id, _between, token = handle.partition(" ")
    return order_id, token
