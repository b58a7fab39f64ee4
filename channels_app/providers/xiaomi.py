"""Xiaomi game centre (小米游戏, joint operation). Wire facts and sources: docs/providers/xiaomi.md.

The player pays inside Xiaomi's SDK; Xiaomi then calls our address with GET. Its parameters, those to come included,
are signed with the AppSecret over what they mean after URL decoding. There is no time stamp in it: an old message can
be sent again for ever, and only the uniqueness of Xiaomi's order number keeps it from paying twice. Amounts are fen.
"""

import hmac
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote_plus, urlencode

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.money import Money
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
    Reply,
    Standing,
)
from channels_app.providers.credentials import matching
from channels_app.providers.documents import (
    SAID,
    Unexpected,
    base_url_of,
    is_one_of,
    no_answer,
    our_number,
    secrets_of,
    text_in,
    whole_in,
)
from channels_app.providers.fields import CredentialField, FieldKind
from channels_app.providers.joint import JointAdapter
from channels_app.providers.texts import cut, printable
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

_HOST = "https://mis.migc.xiaomi.com"
_QUERY = "/api/biz/service/queryOrder.do"
_CHINA = timezone(timedelta(hours=8))
_PAY_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_UID = re.compile(r"[!-~]{1,128}")
_MOST_PARAMETERS = 100
_MOST_FEN = 10**13
_NAME_BYTES = 100

_DONE, _WRONG_SIGNATURE, _NOT_CONSISTENT = 200, 1525, 3515
# Xiaomi has no such order of such a player: nobody has begun to pay, or the game named another player's uid.
_NO_SUCH = frozenset({"1506", "1516"})
_NOT_ACCEPTED = frozenset({"1515", "1525"})
_PAID = "TRADE_SUCCESS"
_STANDINGS: Mapping[str, Standing] = {_PAID: Standing.PAID, "WAIT_BUYER_PAY": Standing.WAITING}
# An order that nobody pays waits at Xiaomi without end, and its cashier closes with the game. What was not paid a day
# after our own end is given up; should it be paid after all, the money is kept as late.
_GIVEN_UP_AFTER = timedelta(days=1)


class XiaomiAdapter(JointAdapter):
    """One game at Xiaomi."""

    code: ClassVar[str] = "xiaomi"
    label: ClassVar[StrOrPromise] = _("Xiaomi")
    notifies_by: ClassVar[str] = "GET"
    methods: ClassVar[Mapping[str, Method]] = {
        "xiaomi_pay": Method(
            code="xiaomi_pay",
            label=_("Xiaomi game centre"),
            kind=PayKind.SDK,
            needs=("channel_uid",),
            calls_provider=False,
        )
    }
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            name="app_id",
            label=_("AppID"),
            help=_("The number of the game: Xiaomi developer site, your game, application information."),
        ),
        CredentialField(
            name="app_secrets",
            label=_("AppSecret"),
            help=_(
                "On the same page. Not the AppKey, which is built into the game. "
                "While it is being changed, the new and the old one, each on a line."
            ),
            kind=FieldKind.SECRETS,
        ),
        CredentialField(
            name="base_url",
            label=_("Address to call"),
            help=_("Leave empty for Xiaomi itself. Only a sandbox account may call a simulator instead."),
            kind=FieldKind.ADDRESS,
            required=False,
        ),
    )

    def __init__(self, credentials: Mapping[str, Any], *, live: bool = True) -> None:
        """Read a credentials file. Raises CredentialsInvalid."""
        self._app_id = matching(credentials, "app_id", r"[0-9]{1,32}")
        self._secrets = secrets_of(credentials, "app_secrets")
        self._base = base_url_of(credentials, live=live) or _HOST
        self._transport = Transport()

    # --- calls ----------------------------------------------------------------------------------------------
    def open_payment(self, request: OpenRequest) -> OpenedPayment:
        """What the game hands to Xiaomi's SDK. Asks nobody."""
        uid = request.inputs.get("channel_uid", "")
        if not _UID.fullmatch(uid):
            raise ProviderRejected("input_missing", f"{request.method} needs channel_uid, the player's uid at Xiaomi")
        params = {
            "cpOrderId": request.attempt_no,
            "uid": uid,
            "feeValue": request.due.amount_minor,
            "productName": cut(request.subject, _NAME_BYTES) or request.attempt_no,
        }
        return OpenedPayment(kind=PayKind.SDK, params=params, payer=uid)

    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask by our number and the player's at Xiaomi, which belong together there."""
        if not attempt.payer:
            return QueryAnswer(standing=Standing.UNKNOWN, said="no uid told")
        asked = {"appId": self._app_id, "cpOrderId": attempt.attempt_no, "uid": attempt.payer}
        said = self._ask(asked)
        if said.get("errcode") in _NO_SUCH:
            return QueryAnswer(standing=Standing.UNKNOWN, said=said["errcode"])
        if any(said.get(name) != value for name, value in asked.items()):
            raise ProviderUnavailable("answer_not_ours", "the answer is about another order")
        return _answer(said, gives_up=_is_given_up(attempt))

    def find(self, transaction_id: str) -> QueryAnswer:
        """Xiaomi cannot be asked by a number of its own."""
        raise ProviderRejected("not_asked_so", "Xiaomi finds a payment by the merchant's number only")

    def probe(self, attempt_no: str) -> ProbeAnswer:
        """Ask about an order that cannot exist. Xiaomi leaves a no unsigned."""
        said = self._ask({"appId": self._app_id, "cpOrderId": attempt_no, "uid": "1"})
        if said.get("errcode") not in _NO_SUCH:
            raise ProviderUnavailable("answer_not_ours", "it knows an order that does not exist")
        return ProbeAnswer(said=said["errcode"], verified=False)

    # --- notifications --------------------------------------------------------------------------------------
    def read_notification(self, raw: RawNotification) -> Message:
        """Verify the parameters, then translate."""
        said = _parameters(raw.body)
        if not self._is_signed(said):
            raise NotificationRefused("signature", "not the signature of these parameters")
        try:
            return self._message(said)
        except Unexpected as error:
            raise NotificationUnreadable(error.step, error.detail) from None

    def claims(self, raw: RawNotification) -> Claims:
        """The game that it says to be about, which chooses the secret. Messages bear no stamp."""
        try:
            app_id = _parameters(raw.body).get("appId", "")
        except NotificationRefused:
            app_id = ""
        return Claims(sent_at=None, key=printable(app_id, 64), known_keys=(self._app_id,))

    def reply(self, ack: Ack) -> Reply:
        """200 when it is ours; all else is sent again, every minute ten times and then every hour."""
        status, errcode, message = {
            Ack.DONE: (200, _DONE, ""),
            Ack.REFUSED: (401, _WRONG_SIGNATURE, "signature error"),
            Ack.LATER: (503, _NOT_CONSISTENT, "try again later"),
        }[ack]
        body = {"errcode": errcode, **({"errMsg": message} if message else {})}
        return Reply(status=status, body=json.dumps(body).encode(), content_type="application/json")

    def _message(self, said: Mapping[str, str]) -> Message:
        attempt_no, state = our_number(said.get("cpOrderId")), text_in(said, "orderStatus")
        if said.get("appId") != self._app_id:
            return Foreign(said=f"for game {printable(said.get('appId'), SAID)}", attempt_no=attempt_no)
        if state != _PAID:
            return NothingToDo(said=state, attempt_no=attempt_no)
        return _proof(said)

    # --- HTTP and signatures --------------------------------------------------------------------------------
    def _ask(self, asked: Mapping[str, str]) -> dict[str, str]:
        """The verified answer about one order, or only its errcode. Raises ProviderError."""
        query = urlencode({**asked, "signature": _digest(asked, self._secrets[0])})
        answer = self._transport.send(
            "GET", f"{self._base}{_QUERY}?{query}", headers={"Accept": "application/json", "User-Agent": "payments"}
        )
        raw = _members(answer)
        errcode = raw.get("errcode", str(_DONE))
        logger.info("xiaomi answered: app=%s status=%d errcode=%s", self._app_id, answer.status, printable(errcode, 20))
        if errcode in _NOT_ACCEPTED:
            raise ProviderRejected(errcode, printable(raw.get("errMsg"), 200))
        if errcode in _NO_SUCH:
            return {"errcode": errcode}
        if errcode != str(_DONE):
            raise ProviderUnavailable(printable(errcode, 20) or "answer_shape", printable(raw.get("errMsg"), 200))
        # Texts are URL-encoded in the documented example, and what is signed is decoded. Both spellings are tried.
        decoded = {name: unquote_plus(value) for name, value in raw.items()}
        for said in (decoded, raw):
            if self._is_signed(said):
                return said
        raise ProviderUnavailable("unverified_signature", "the answer is not signed with our AppSecret")

    def _is_signed(self, said: Mapping[str, str]) -> bool:
        return is_one_of(said.get("signature", ""), [_digest(said, secret) for secret in self._secrets])


def _digest(parameters: Mapping[str, str], secret: bytes) -> str:
    """HMAC-SHA1 over every parameter that has a value; a fixed list would lose orders with vouchers."""
    text = "&".join(
        f"{name}={value}" for name, value in sorted(parameters.items()) if value and name != "signature"
    )  # fmt: skip
    return hmac.new(secret, text.encode(errors="surrogatepass"), "sha1").hexdigest()


def _parameters(query: bytes) -> dict[str, str]:
    """The parameters of a query string, decoded. Raises NotificationRefused; a name told twice has two meanings."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )  # fmt: skip
    except ValueError:
        raise NotificationRefused("form", "not the parameters of an address, in UTF-8") from None
    said = dict(pairs)
    if len(said) < len(pairs):
        raise NotificationRefused("form", "a parameter appears twice")
    return said


def _members(answer: HttpAnswer) -> dict[str, str]:
    """The members of an answer as the texts they are signed as: numbers digit by digit. Raises ProviderError."""
    if answer.status != 200:
        raise no_answer(answer)
    try:
        # A float would not keep the digits.
        document = json.loads(answer.body.decode(), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise no_answer(answer) from None
    if not isinstance(document, dict):
        raise no_answer(answer)
    return {name: value for name, value in document.items() if isinstance(value, str)}


def _answer(said: Mapping[str, str], *, gives_up: bool) -> QueryAnswer:
    try:
        state = text_in(said, "orderStatus")
        standing = _STANDINGS.get(state, Standing.UNDECIDED)
        if standing is Standing.WAITING and gives_up:
            return QueryAnswer(standing=Standing.CLOSED, said=f"{state}, given up")
        proof = _proof(said) if standing is Standing.PAID else None
    except Unexpected as error:
        raise ProviderUnavailable("answer_shape", error.detail) from None
    return QueryAnswer(standing=standing, said=state, proof=proof)


def _proof(said: Mapping[str, str]) -> PaymentProof:
    fen = whole_in(said, "payFee")
    if not 0 < fen <= _MOST_FEN:
        raise Unexpected("amount", "payFee is not an amount in fen")
    return PaymentProof(
        attempt_no=our_number(said.get("cpOrderId")),
        transaction_id=text_in(said, "orderId"),
        paid=Money(fen, "CNY"),
        paid_at=_moment(said.get("payTime", "")),
        payer=text_in(said, "uid", _UID),
    )


def _moment(text: str) -> datetime:
    """A time without zone: the document names none, and Xiaomi's clock is China's."""
    try:
        at = datetime.strptime(text, "%Y-%m-%d %H:%M:%S") if _PAY_TIME.fullmatch(text) else None  # noqa: DTZ007
    except ValueError:
        at = None
    if at is None:
        raise Unexpected("shape", "payTime is not a time")
    return at.replace(tzinfo=_CHINA).astimezone(UTC)


def _is_given_up(attempt: AttemptRef) -> bool:
    return attempt.expires_at is not None and attempt.expires_at + _GIVEN_UP_AFTER < datetime.now(UTC)
