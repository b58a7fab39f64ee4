"""Xiaomi as a game's server and a buyer's device meet it: the question about an order, and the SDK's payment.

Weather of its own, in what `buy` is asked: `uid` of another player than the game named; `price` (fen) other than the
game asked for; `gift`, fen of it paid with a voucher; `leave`: the cashier is opened and left.
"""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator.joint import Document, Fault, begun, call, paid, refuse_unknown, text_of, whole
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import Merchant
from channels_app.simulator.voices import Subject
from channels_app.simulator.weather import World
from channels_app.simulator.xiaomi_voice import XiaomiVoice, parameters, signature


class XiaomiPart:
    """The simulated Xiaomi."""

    code: ClassVar[str] = "xiaomi"
    label: ClassVar[StrOrPromise] = _("Xiaomi")

    def __init__(self, platform: Platform) -> None:
        """`platform` holds nothing of Xiaomi's."""
        self.voice = XiaomiVoice(platform)

    def routes(self, world: World) -> list[web.RouteDef]:
        """The one question that can be asked."""
        desk = _Desk(world)
        return [web.get("/api/biz/service/queryOrder.do", call(world, self.code, "query", desk.query, _trouble))]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """The SDK's cashier. Raises Refused."""
        refuse_unknown(asked, ("uid", "price", "gift", "leave"))
        trade = begun(
            world,
            merchant,
            number=text_of(params, "cpOrderId"),
            amount=whole(asked, "price", whole(params, "feeValue", 0)),
            currency="CNY",
            subject=text_of(params, "productName"),
            terms={"uid": str(asked.get("uid") or text_of(params, "uid")), "gift": asked.get("gift")},
        )
        return Purchase(trade=trade) if asked.get("leave") else paid(world, trade, asked)[1]


class _Desk:
    """Answers the question."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def query(self, request: web.Request, mode: str) -> Document:
        """One order, signed as a notification is; texts are URL-encoded once more."""
        asked = dict(request.query)
        merchant = self._world.store.merchant_by_number("xiaomi", asked.get("appId", ""))
        if merchant is None:
            raise _no(1515, "appId错误")
        if asked.get("signature") != signature(asked, merchant.about["app_secret"]):
            raise _no(1525, "signature错误")
        trade = self._world.store.trade_by_number(merchant, asked.get("cpOrderId", ""))
        if trade is None:
            raise _no(1506, "cpOrderId错误")
        if asked.get("uid") != trade.terms["uid"]:
            raise _no(1516, "uid错误")
        payment = next(iter(self._world.store.payments(trade)), None)
        about = Subject(merchant=merchant, trade=trade, payment=payment)
        said = parameters(about, state="TRADE_SUCCESS" if payment else "WAIT_BUYER_PAY")
        secret = "a stranger's" if mode == "wrong_signature" else merchant.about["app_secret"]
        document: Document = {name: quote(value) for name, value in said.items()}
        document |= {"payFee": int(said["payFee"]), "productCount": int(said["productCount"])}
        return document if mode == "unsigned" else {**document, "signature": signature(said, secret)}


def _no(errcode: int, message: str) -> Fault:
    return Fault(200, {"errcode": errcode, "errMsg": message})


def _trouble(status: int) -> Fault:
    return Fault(status, {"errcode": 1001, "errMsg": "系统异常"})
