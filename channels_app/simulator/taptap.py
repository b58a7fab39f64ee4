"""TapTap as a game's server and a buyer's device meet it: questions about orders, and the SDK's purchase.

Weather of its own, in what `buy` is asked: `price` (minor units) and `currency`, which TapTap's console sets; `goods`
bought instead; `open_id` of the buyer; `extra` instead of our number; `leave`: the cashier is opened and left.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator.joint import (
    PRICE_OF_ONE,
    Document,
    Fault,
    begun,
    call,
    confirm,
    currency_of,
    is_confirmed,
    paid,
    payments_of,
    refuse_unknown,
    text_of,
    whole,
)
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import CLOSED, Merchant, Payment, Trade
from channels_app.simulator.taptap_voice import TapTapVoice, order, signature, token_of
from channels_app.simulator.voices import Subject
from channels_app.simulator.weather import World

_CLOCK_TOLERANCE_S = 300
_OPEN_ID = "4+Axcl2RFgXbt6MZwdh++w=="


class TapTapPart:
    """The simulated TapTap."""

    code: ClassVar[str] = "taptap"
    label: ClassVar[StrOrPromise] = _("TapTap")

    def __init__(self, platform: Platform) -> None:
        """`platform` holds nothing of TapTap's."""
        self.voice = TapTapVoice(platform)

    def routes(self, world: World) -> list[web.RouteDef]:
        """What TapTap's server is asked."""
        desk = _Desk(world)
        return [
            web.get("/order/v1/info", call(world, self.code, "query", desk.info, _trouble)),
            web.get("/order/v1/unconfirmed", call(world, self.code, "bill", desk.unconfirmed, _trouble)),
            web.post("/order/v1/verify", call(world, self.code, "close", desk.verify, _trouble)),
        ]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """The SDK's cashier. Raises Refused."""
        refuse_unknown(asked, ("price", "currency", "goods", "open_id", "extra", "leave"))
        extra = text_of(params, "obfuscatedAccountId")
        goods = str(asked.get("goods") or text_of(params, "productId"))
        terms = {
            "extra": str(asked.get("extra", extra)),
            "goods": goods,
            "open_id": str(asked.get("open_id", _OPEN_ID)),
            "order_id": self.voice.new_transaction_id(time.time()),
        }
        trade = begun(
            world,
            merchant,
            number=extra,
            amount=whole(asked, "price", PRICE_OF_ONE),
            currency=currency_of(asked),
            subject=goods,
            terms=terms,
        )
        return Purchase(trade=trade) if asked.get("leave") else paid(world, trade, asked)[1]


class _Desk:
    """Answers calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    async def info(self, request: web.Request, mode: str) -> Document:
        """One order."""
        merchant = await self._caller(request)
        number = request.query.get("order_id", "")
        payment = self._find(merchant, number)
        if payment is not None:
            return _yes({"order": self._order(merchant, payment)})
        for trade in self._store.trades(provider="taptap"):
            if trade.merchant_id == merchant.id and trade.terms["order_id"] == number:
                return _yes({"order": self._unpaid(merchant, self._world.trading.current(trade))})
        raise _no(100004, "order not found")

    async def unconfirmed(self, request: web.Request, mode: str) -> Document:
        """Every paid order that waits for delivery."""
        merchant = await self._caller(request)
        orders = [self._order(merchant, payment) for payment in payments_of(self._world, merchant)]
        return _yes({"list": [each for each in orders if each["status"] == "charge.succeeded"]})

    async def verify(self, request: web.Request, mode: str) -> Document:
        """The goods were delivered."""
        merchant = await self._caller(request)
        asked = await request.json()
        payment = self._find(merchant, str(asked.get("order_id")))
        if payment is None:
            raise _no(100004, "order not found")
        if asked.get("purchase_token") != token_of(payment):
            raise _no(100018, "purchase token does not match")
        if self._order(merchant, payment)["status"] != "charge.succeeded":
            raise _no(100018, "order is not to be confirmed")
        confirm(self._world, payment)
        return _yes({"order": self._order(merchant, payment)})

    def _order(self, merchant: Merchant, payment: Payment) -> Document:
        state = "charge.confirmed" if is_confirmed(self._world, payment) else "charge.succeeded"
        refunds = self._store.refunds(payment)
        if refunds:
            state = "refund.succeeded" if refunds[-1].state == "SUCCESS" else "refund.failed"
        trade = self._store.trade(payment.trade_id)
        return order(Subject(merchant=merchant, trade=trade, payment=payment), state=state)

    @staticmethod
    def _unpaid(merchant: Merchant, trade: Trade) -> Document:
        state = "charge.overdue" if trade.state == CLOSED else "charge.pending"
        return order(Subject(merchant=merchant, trade=trade), state=state)

    def _find(self, merchant: Merchant, number: str) -> Payment | None:
        payment = self._store.payment_by_transaction(number)
        trade = self._store.trade(payment.trade_id) if payment else None
        return payment if trade is not None and trade.merchant_id == merchant.id else None

    async def _caller(self, request: web.Request) -> Merchant:
        """Whose secret signed this request, now."""
        merchant = self._store.merchant_by_number("taptap", request.query.get("client_id", ""))
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith("x-tap-")}
        stamp = request.headers.get("X-Tap-Ts", "")
        is_now = stamp.isdigit() and abs(time.time() - int(stamp)) <= _CLOCK_TOLERANCE_S
        body = await request.read()
        if (
            merchant is None
            or not is_now
            or not 6 <= len(request.headers.get("X-Tap-Nonce", "")) <= 60
            or request.headers.get("X-Tap-Sign")
            != signature(request.method, request.raw_path, headers, body, merchant.about["server_secret"])
            or (body and not _is_object(body))
        ):
            raise _no(-1, "invalid request")
        return merchant


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def _yes(data: Document) -> Document:
    return {"data": data, "now": int(time.time()), "success": True}


def _no(code: int, description: str, status: int = 400) -> Fault:
    data = {"code": code, "msg": "Error", "error_description": description}
    return Fault(status, {"data": data, "now": int(time.time()), "success": False})


def _trouble(status: int) -> Fault:
    return _no(100000, "payment service error", status)
