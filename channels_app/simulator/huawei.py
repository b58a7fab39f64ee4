"""Huawei as a game's server and a buyer's device meet it: access tokens, the Order service, and the SDK's purchase.

Weather of its own, in what `buy` is asked: `price` (minor units) and `currency`, which AppGallery sets; `product_id`
bought instead; `payload` instead of our number; `real`: bought with money, not in the sandbox; `pending`: begun and
not paid yet, which the deed `pay` ends.
"""

import base64
import hashlib
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator import formats, keys
from channels_app.simulator.huawei_voice import HuaweiVoice, token_of
from channels_app.simulator.joint import (
    PRICE_OF_ONE,
    WHOLE_CURRENCIES,
    Document,
    Fault,
    begun,
    call,
    confirm,
    currency_of,
    is_confirmed,
    paid,
    refuse_unknown,
    text_of,
    whole,
)
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import CLOSED, Merchant, Payment, Trade
from channels_app.simulator.weather import World

_TOKEN_LIVES_S = 3600
_DEFAULT_DAYS_S = 30 * 86400


class HuaweiPart:
    """The simulated Huawei."""

    code: ClassVar[str] = "huawei"
    label: ClassVar[StrOrPromise] = _("Huawei AppGallery")

    def __init__(self, platform: Platform) -> None:
        """`platform` holds a stranger's key."""
        self._stranger = platform
        self.voice = HuaweiVoice(platform)

    def routes(self, world: World) -> list[web.RouteDef]:
        """Who gives out access tokens, and the Order service."""
        desk = _Desk(world, self._stranger)
        orders = "/applications"
        return [
            web.post("/oauth2/v3/token", call(world, self.code, "create", desk.token, _trouble)),
            web.post(f"{orders}/purchases/tokens/verify", call(world, self.code, "query", desk.verify, _trouble)),
            web.post(f"{orders}/v2/purchases/confirm", call(world, self.code, "close", desk.confirm, _trouble)),
            web.post(f"{orders}/v2/purchases/cancelledList", call(world, self.code, "bill", desk.cancelled, _trouble)),
        ]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """The buyer's device; its SDK gets a purchase token. Raises Refused."""
        refuse_unknown(asked, ("price", "currency", "product_id", "payload", "real", "pending"))
        number = text_of(params, "developerPayload")
        product_id = str(asked.get("product_id") or text_of(params, "productId"))
        trade = begun(
            world,
            merchant,
            number=number,
            amount=whole(asked, "price", PRICE_OF_ONE),
            currency=currency_of(asked),
            subject=product_id,
            terms={
                "product_id": product_id,
                "payload": str(asked.get("payload", number)),
                "is_real": bool(asked.get("real")),
            },
        )
        world.store.add_code(trade, token_of(trade, None), lives_s=0)
        if asked.get("pending"):
            return Purchase(trade=trade, evidence=_evidence(trade, None))
        payment, bought = paid(world, trade, asked)
        return Purchase(trade=bought.trade, evidence=_evidence(trade, payment), notices=bought.notices)


class _Desk:
    """Answers calls."""

    def __init__(self, world: World, platform: Platform) -> None:
        self._world = world
        self._store = world.store
        self._platform = platform

    async def token(self, request: web.Request, mode: str) -> Document:
        """An access token for id and secret."""
        form = await request.post()
        merchant = self._store.merchant_by_number("huawei", str(form.get("client_id", "")))
        if (
            form.get("grant_type") != "client_credentials"
            or merchant is None
            or form.get("client_secret") != merchant.about["client_secret"]
        ):
            error = {"sub_error": 12304, "error_description": "invalid client secret", "error": 1101}
            raise Fault(400, error)
        return {"access_token": _access_token(merchant), "expires_in": _TOKEN_LIVES_S, "token_type": "Bearer"}

    async def verify(self, request: web.Request, mode: str) -> Document:
        """What is behind a purchase token, signed."""
        merchant, asked = await self._asked(request)
        trade, payment = self._find(merchant, asked)
        text = formats.compact_json(self._purchase(merchant, trade, payment, str(asked["purchaseToken"])))
        key = self._platform.key("stranger") if mode == "wrong_signature" else merchant.about["iap_key"]
        answer = {"responseCode": "0", "responseMessage": "success", "purchaseTokenData": text}
        if mode == "unsigned":
            return answer
        return {**answer, "dataSignature": keys.sign(key, text.encode()), "signatureAlgorithm": "SHA256WithRSA"}

    async def confirm(self, request: web.Request, mode: str) -> Document:
        """The goods were delivered."""
        merchant, asked = await self._asked(request)
        _trade, payment = self._find(merchant, asked)
        if payment is None:
            raise _no("8", "the user does not own the product")
        if is_confirmed(self._world, payment) or self._store.refunds(payment):
            raise _no("9", "the product has been consumed or is not owned any more")
        confirm(self._world, payment)
        return {"responseCode": "0", "responseMessage": "success"}

    async def cancelled(self, request: web.Request, mode: str) -> Document:
        """What was given back in a time, a page of rows inside a text."""
        merchant, asked = await self._asked(request)
        end = int(asked.get("endAt") or time.time() * 1000) / 1000
        start = int(asked.get("startAt") or (end - _DEFAULT_DAYS_S) * 1000) / 1000
        given = [each for each in self._store.refunds_between(merchant, start, end) if each.state == "SUCCESS"]
        first = int(asked.get("continuationToken") or 0)
        last = first + min(int(asked.get("maxRows") or 1000), 1000)
        rows = [self._row(self._store.payment(each.payment_id), each.created_at) for each in given[first:last]]
        answer = {
            "responseCode": "0",
            "responseMessage": "success",
            "cancelledPurchaseList": formats.compact_json(rows),
        }
        return {**answer, "continuationToken": str(last)} if last < len(given) else answer

    def _row(self, payment: Payment, at: float) -> Document:
        trade = self._store.trade(payment.trade_id)
        return {
            "orderId": payment.transaction_id,
            "productId": trade.terms["product_id"],
            "purchaseToken": token_of(trade, payment),
            "purchaseTime": int(payment.paid_at * 1000),
            "cancelledTime": int(at * 1000),
            "cancelledSource": 0,
            "cancelledReason": 1,
        }

    def _purchase(self, merchant: Merchant, trade: Trade, payment: Payment | None, token: str) -> Document:
        refunded = payment is not None and any(each.state == "SUCCESS" for each in self._store.refunds(payment))
        amount, at = (payment.amount, payment.paid_at) if payment else (trade.amount, trade.created_at)
        is_over = payment is not None and is_confirmed(self._world, payment)
        document: Document = {
            "autoRenewing": False,
            "applicationId": int(merchant.number),
            "orderId": payment.transaction_id if payment else f"pending.{trade.id}",
            "kind": 0,
            "packageName": merchant.about["package"],
            "productId": trade.terms["product_id"],
            "productName": trade.subject,
            "purchaseTime": int(at * 1000),
            "purchaseState": 2 if refunded else 0 if payment else 1 if trade.state == CLOSED else 3,
            "developerPayload": trade.terms["payload"],
            "purchaseToken": token,
            "consumptionState": int(is_over),
            "confirmed": int(is_over),
            "currency": trade.currency,
            "price": amount * (100 if trade.currency in WHOLE_CURRENCIES else 1),
            "country": "CN",
            "payType": "4",
            "payOrderId": f"pay{trade.id}",
        }
        return document if trade.terms["is_real"] else {**document, "purchaseType": 0}

    def _find(self, merchant: Merchant, asked: Document) -> tuple[Trade, Payment | None]:
        """The purchase of a token and a product. Raises Fault."""
        begins, _dot, number = str(asked.get("purchaseToken", "")).partition(".")
        found = self._store.trade_by_code(begins)
        trade = self._world.trading.current(found[0]) if found else None
        if trade is None or trade.merchant_id != merchant.id or trade.terms["product_id"] != asked.get("productId"):
            raise _no("8", "the token does not match the product")
        payments = [each for each in self._store.payments(trade) if number in ("", each.transaction_id)]
        if number and not payments:
            raise _no("8", "the token does not match the product")
        return trade, payments[0] if payments else None

    async def _asked(self, request: web.Request) -> tuple[Merchant, Document]:
        """Whose access token a call bears, and what it asks. Raises Fault."""
        said = request.headers.get("Authorization", "").removeprefix("Basic ")
        for merchant in self._store.merchants():
            if merchant.provider == "huawei" and said == _authorization(merchant):
                asked = await request.json()
                if not isinstance(asked, dict):
                    raise _no("5", "invalid parameter")
                return merchant, asked
        raise Fault(401, {"responseCode": "2", "responseMessage": "unauthorized"})


def _access_token(merchant: Merchant) -> str:
    return hashlib.sha256(f"access {merchant.about['client_secret']}".encode()).hexdigest()


def _authorization(merchant: Merchant) -> str:
    return base64.b64encode(f"APPAT:{_access_token(merchant)}".encode()).decode()


def _evidence(trade: Trade, payment: Payment | None) -> dict[str, str]:
    return {"purchase_token": token_of(trade, payment), "store_product_id": trade.terms["product_id"]}


def _no(code: str, message: str) -> Fault:
    return Fault(200, {"responseCode": code, "responseMessage": message})


def _trouble(status: int) -> Fault:
    return Fault(status, {"responseCode": "6", "responseMessage": "system error"})
