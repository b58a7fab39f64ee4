"""UnionPay as a merchant and a buyer meet it: signed forms in, signed answers out, a cashier in the browser.

Bad weather of its own: `resp_code` in what `buy` is asked (A6, 42, 74, 75) is the code that the payment has then.
"""

import base64
import re
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator import formats, keys, page
from channels_app.simulator.acting import telling_of
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import CLOSED, LOST, PAID, WAITING, Merchant, Notice, Payment, Refund, Trade, Weather
from channels_app.simulator.trading import Refused, Telling
from channels_app.simulator.unionpay_bill import clearing_day, settlement_zip
from channels_app.simulator.unionpay_voice import (
    CODES,
    CONSUME,
    REFUND,
    UNDO,
    UnionPayVoice,
    begun_as,
    digest_of,
    read_full_time,
    refund_fields,
)
from channels_app.simulator.voices import Subject, Voice
from channels_app.simulator.weather import World, instead_of_answer, spares_the_deed

_API = "/gateway/api"
_CLOCK_TOLERANCE_S = 900.0
_VISIT_S = 3600.0
_ORDER_ID = re.compile(r"[0-9A-Za-z]{8,40}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,11}")
_PLAYABLE = ("00", "A6", "42", "74", "75")
_ECHOED = ("accessType", "bizType", "merId", "orderId", "txnType", "txnSubType", "txnTime", "txnAmt", "origQryId")

Fields = Mapping[str, str]
Deed = Callable[[Merchant, Fields], dict[str, str]]


class Fault(Exception):
    """A no, as UnionPay says it."""

    def __init__(self, code: str) -> None:
        """One of its codes."""
        super().__init__(CODES[code])
        self.code = code


class UnionPayPart:
    """The simulated UnionPay."""

    code: ClassVar[str] = "unionpay"
    label: ClassVar[StrOrPromise] = _("UnionPay (bank cards)")

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys."""
        self._voice = UnionPayVoice(platform)
        self.voice: Voice = self._voice

    def routes(self, world: World) -> list[web.RouteDef]:
        """The gateway, the file host (at the root) and the cashier."""
        desk = _Desk(world, self._voice)
        return [
            web.post(f"{_API}/frontTransReq.do", desk.front),
            web.post(f"{_API}/appTransReq.do", desk.call("create", desk.app)),
            web.post(f"{_API}/queryTrans.do", desk.call("query", desk.query)),
            web.post(f"{_API}/backTransReq.do", desk.call("refund", desk.back)),
            web.post("/", desk.call("bill", desk.file)),
            web.post("/cashier/unionpay/{visit}/{choice:pay|cancel}", desk.choose),
        ]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """Post the form, or start the app with its tn, and pay."""
        desk = _Desk(world, self._voice)
        trade = desk.visited(params)
        if trade.merchant_id != merchant.id:
            raise Refused("not_found", "that is another merchant's payment")
        code = str(asked.get("resp_code", "00"))
        if code not in _PLAYABLE:
            raise Refused("invalid_field", f"resp_code is {', '.join(_PLAYABLE)}")
        paid, notice = desk.pay(trade, code, telling_of(asked))
        return Purchase(trade=paid, notices=[notice])


class _Desk:
    """What the gateway does."""

    def __init__(self, world: World, voice: UnionPayVoice) -> None:
        self._world = world
        self._store = world.store
        self._voice = voice

    def call(self, name: str, deed: Deed) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """One server-to-server call."""

        async def answer(request: web.Request) -> web.StreamResponse:
            fields = await _read(request)
            weather: Weather | None = None
            try:
                merchant = self._caller(fields)
                weather = self._store.take_weather("unionpay", name)
                told = self._done(deed, merchant, fields, weather)
            except Fault as fault:
                told = _code(fault.code)
            other = await instead_of_answer(weather, request, self._world)
            return other or self._answer(fields, told, weather.mode if weather else "ok")

        return answer

    def _done(self, deed: Deed, merchant: Merchant, fields: Fields, weather: Weather | None) -> dict[str, str]:
        trouble = {"error500": "04", "error429": "37"}.get(weather.mode if weather else "")
        if trouble and spares_the_deed(weather):
            raise Fault(trouble)
        told = deed(merchant, fields)
        return _code(trouble) if trouble else told

    def _answer(self, fields: Fields, told: dict[str, str], mode: str) -> web.Response:
        echoed = {name: fields[name] for name in _ECHOED if name in fields}
        sealed = self._voice.sealed({**echoed, **told}, by="stranger" if mode == "wrong_signature" else "unionpay")
        if mode == "unsigned":
            del sealed["signature"]
        text = "&".join(f"{name}={value}" for name, value in sealed.items())
        return web.Response(text=text, content_type="text/html", charset="UTF-8")

    def _caller(self, fields: Fields) -> Merchant:
        """Whose signature these fields bear."""
        merchant = self._store.merchant_by_number("unionpay", fields.get("merId", ""))
        if merchant is None:
            raise Fault("31")
        fixed = {"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "accessType": "0"}
        if any(fields.get(name) != value for name, value in fixed.items()):
            raise Fault("10")
        if fields.get("certId") != merchant.about["cert_id"] or not keys.verifies(
            merchant.about["private_key"], digest_of(fields), fields.get("signature", "")
        ):
            raise Fault("11")
        return merchant

    # --- payments -------------------------------------------------------------------------------------------
    def app(self, merchant: Merchant, fields: Fields) -> dict[str, str]:
        """A payment for the app's SDK: its number, given out once."""
        if self._store.trade_by_number(merchant, fields.get("orderId", "")) is not None:
            raise Fault("12")
        trade = self._new_trade(merchant, fields, "app")
        tn = self._voice.new_transaction_id(time.time())
        self._store.add_code(trade, tn, lives_s=trade.expires_at - time.time())
        return {**_code("00"), "tn": tn}

    def visited(self, params: Mapping[str, Any]) -> Trade:
        """The trade behind what the client was handed: the form that its browser posts, or the SDK's tn."""
        fields = params.get("fields")
        if isinstance(fields, Mapping):
            try:
                return self._presented({str(name): str(value) for name, value in fields.items()})
            except Fault as fault:
                raise Refused(fault.code, str(fault)) from None
        found = self._store.trade_by_code(str(params.get("tn", "")))
        if found is None or found[1] <= time.time():
            raise Refused("not_found", "no such tn")
        return self._world.trading.open(found[0])

    def _presented(self, fields: Fields) -> Trade:
        merchant = self._caller(fields)
        known = self._store.trade_by_number(merchant, fields.get("orderId", ""))
        if known is None:
            return self._world.trading.open(self._new_trade(merchant, fields, "gateway"))
        if known.terms["txnTime"] != fields.get("txnTime") or str(known.amount) != fields.get("txnAmt"):
            raise Fault("12")
        return self._world.trading.current(known)

    def _new_trade(self, merchant: Merchant, fields: Fields, product: str) -> Trade:
        expires_at = read_full_time(fields.get("payTimeout", ""))
        _check(fields, CONSUME, "01")
        if expires_at is None or expires_at <= time.time() or fields.get("bizType") != "000201":
            raise Fault("10")
        if product == "gateway" and not urlsplit(fields.get("frontUrl", "")).hostname:
            raise Fault("10")
        return self._store.add_trade(
            merchant,
            out_trade_no=fields["orderId"],
            product=product,
            amount=int(fields["txnAmt"]),
            subject=fields.get("riskRateInfo", "").removeprefix("{commodityName=").removesuffix("}"),
            attach=fields.get("reqReserved", ""),
            notify_url=fields["backUrl"],
            return_url=fields.get("frontUrl", ""),
            opened=False,
            expires_at=expires_at,
            terms={"txnTime": fields["txnTime"]},
        )

    def pay(self, trade: Trade, code: str, telling: Telling) -> tuple[Trade, Notice]:
        """Take the money. A code that is no plain success is told, and answered to queries from now on."""
        if code == "00":
            _payment, notice = self._world.trading.pay(trade, telling=telling)
            return self._store.trade(trade.id), notice
        payment, _lost = self._world.trading.pay(trade, telling=Telling(mode=LOST))
        self._store.add_code(trade, f"{_code_prefix(trade)}{code}", lives_s=0)
        paid = self._store.trade(trade.id)
        about = Subject(merchant=self._store.merchant_of(paid), trade=paid, payment=payment)
        notice = self._store.add_notice(
            paid,
            number=self._voice.new_notice_number(),
            event="consume",
            content=self._voice.fields(about, code),
            state=LOST if telling.mode == LOST else "due",
        )
        self._world.notifier.wake()
        return paid, notice

    # --- queries --------------------------------------------------------------------------------------------
    def query(self, merchant: Merchant, fields: Fields) -> dict[str, str]:
        """A transaction by number and time, both of them."""
        number, at = fields.get("orderId", ""), fields.get("txnTime", "")
        trade = self._store.trade_by_number(merchant, number)
        if trade is not None and trade.terms["txnTime"] == at and trade.opened:
            return self._told_of_trade(merchant, self._world.trading.current(trade))
        refund = self._store.refund_by_number(merchant, number)
        if refund is not None and begun_as(refund)[1] == at:
            return self._told_of_refund(merchant, self._world.trading.ripe(refund))
        raise Fault("34")

    def _told_of_trade(self, merchant: Merchant, trade: Trade) -> dict[str, str]:
        payments = self._store.payments(trade)
        if payments:
            code = self._store.code_of(trade, _code_prefix(trade)).removeprefix(_code_prefix(trade)) or "00"
            told = self._voice.fields(Subject(merchant=merchant, trade=trade, payment=payments[0]), code)
            return _as_queried(told)
        told = {"txnType": CONSUME, "txnSubType": "01", "txnAmt": str(trade.amount), "settleAmt": "0"}
        return _as_queried({**told, **_code("01" if trade.state == CLOSED else "05")})

    def _told_of_refund(self, merchant: Merchant, refund: Refund) -> dict[str, str]:
        payment = self._store.payment(refund.payment_id)
        return _as_queried(refund_fields(merchant, refund, payment.transaction_id))

    # --- giving back ----------------------------------------------------------------------------------------
    def back(self, merchant: Merchant, fields: Fields) -> dict[str, str]:
        """A refund, or the undoing of a whole payment on its day; accepted here, told when it is done."""
        kind, number = fields.get("txnType", ""), fields.get("orderId", "")
        if kind not in (REFUND, UNDO):
            raise Fault("10")
        _check(fields, kind, "00")
        if self._store.refund_by_number(merchant, number) or self._store.trade_by_number(merchant, number):
            raise Fault("12")
        payment = self._payment(merchant, fields)
        amount, left = int(fields["txnAmt"]), payment.amount - self._world.trading.refunded(payment)
        if not left:
            raise Fault("45")
        if amount > left or (kind == UNDO and (amount != payment.amount or not _is_of_today(payment))):
            raise Fault("36")
        refund, _notice = self._world.trading.refund(
            payment,
            amount=amount,
            number=number,
            state="PROCESSING",
            reason=f"{kind} {fields['txnTime']}",
            notify_url=fields["backUrl"],
        )
        return {**_code("00"), "queryId": refund.refund_id}

    def _payment(self, merchant: Merchant, fields: Fields) -> Payment:
        payment = self._store.payment_by_transaction(fields.get("origQryId", ""))
        if payment is None or self._store.trade(payment.trade_id).merchant_id != merchant.id:
            raise Fault("35")
        return payment

    # --- settlement files -----------------------------------------------------------------------------------
    def file(self, merchant: Merchant, fields: Fields) -> dict[str, str]:
        """The file of a clearing day."""
        day = _named(fields.get("settleDate", ""))
        if fields.get("txnType") != "76" or fields.get("fileType") != "00" or day is None:
            raise Fault("10")
        packed = settlement_zip(self._store, merchant, day) if _is_ready(day, merchant) else None
        if packed is None:
            raise Fault("98")
        content = base64.b64encode(zlib.compress(packed)).decode()
        return {**_code("00"), "fileName": f"{merchant.number}_{day:%Y%m%d}.zip", "fileContent": content}

    # --- the cashier ----------------------------------------------------------------------------------------
    async def front(self, request: web.Request) -> web.StreamResponse:
        """The form that a browser brings becomes a page."""
        weather = self._store.take_weather("unionpay", "create")
        other = await instead_of_answer(weather, request, self._world)
        if other is not None:
            return other
        try:
            trade = self._presented(await _read(request))
        except Fault as fault:
            return page.render(request, "cashier_refused.html", {"reason": f"{fault.code}: {fault}"}, status=400)
        visit = secrets.token_urlsafe(18)
        self._store.add_code(trade, f"visit:{visit}", lives_s=_VISIT_S)
        merchant = self._store.merchant_of(trade)
        shown = {"trade": trade, "amount": formats.yuan(trade.amount), "merchant": merchant, "visit": visit}
        return page.render(request, "unionpay_cashier.html", shown)

    async def choose(self, request: web.Request) -> web.StreamResponse:
        """The buyer pressed Pay or Cancel; the next page leads back to the merchant, with a form after a payment."""
        found = self._store.trade_by_code(f"visit:{request.match_info['visit']}")
        if found is None:
            return page.render(request, "cashier_refused.html", {"reason": "not_found"}, status=400)
        trade = self._world.trading.current(found[0])
        if request.match_info["choice"] == "pay" and trade.state == WAITING:
            trade, _notice = self.pay(trade, "00", Telling())
        fields: dict[str, str] = {}
        if trade.state == PAID:
            about = Subject(
                merchant=self._store.merchant_of(trade), trade=trade, payment=self._store.payments(trade)[0]
            )
            fields = self._voice.sealed(self._voice.fields(about, "00"))
        return page.render(request, "unionpay_done.html", {"trade": trade, "fields": fields.items()})


async def _read(request: web.Request) -> dict[str, str]:
    return dict(parse_qsl((await request.read()).decode("utf-8", "replace"), keep_blank_values=True))


def _check(fields: Fields, kind: str, sub_kind: str) -> None:
    """What every transaction that moves money has to have. Raises Fault."""
    at = read_full_time(fields.get("txnTime", ""))
    is_sound = (
        (fields.get("txnType"), fields.get("txnSubType")) == (kind, sub_kind)
        and _ORDER_ID.fullmatch(fields.get("orderId", ""))
        and _AMOUNT.fullmatch(fields.get("txnAmt", ""))
        and fields.get("currencyCode") == "156"
        and fields.get("channelType") in ("07", "08")
        and urlsplit(fields.get("backUrl", "")).hostname
        and at is not None
        and abs(time.time() - at) < _CLOCK_TOLERANCE_S
    )
    if not is_sound:
        raise Fault("10")


def _code(code: str) -> dict[str, str]:
    return {"respCode": code, "respMsg": CODES[code]}


def _as_queried(told: dict[str, str]) -> dict[str, str]:
    """In a query's answer the code of what was asked about has another name."""
    return {**told, **_code("00"), "origRespCode": told["respCode"], "origRespMsg": told["respMsg"]}


def _code_prefix(trade: Trade) -> str:
    return f"unionpay code of {trade.id}: "


def _is_of_today(payment: Payment) -> bool:
    return clearing_day(payment.paid_at) == clearing_day(time.time())


def _is_ready(day: date, merchant: Merchant) -> bool:
    """A file is made when its day is over; a merchant may be set to see the present one so far."""
    now = clearing_day(time.time())
    return day < now or (day == now and bool(merchant.about.get("bills_at_once")))


def _named(text: str) -> date | None:
    """A clearing day without its year: the last one of that name."""
    now = clearing_day(time.time())
    for year in (now.year, now.year - 1):
        try:
            day = datetime.strptime(f"{year}{text}", "%Y%m%d").replace(tzinfo=formats.CHINA).date()
        except ValueError:
            continue
        if day <= now:
            return day
    return None
