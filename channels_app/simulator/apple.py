"""Apple as an app's server and a buyer's device meet it: the App Store Server API, and StoreKit's purchase.

Weather of its own, in what `buy` is asked: `price` (minor units) and `currency`; `product_id`, `quantity`, `type` and
`offer` of what is bought instead; `without_token`, or `token` for somebody else's; `environment` (Sandbox, Production,
Xcode, whose purchases a developer's machine signs); `evidence` (genuine, unsigned, wrong_chain): what the device hands
over. `notify: reordered` holds the charge's notification until a REFUND has overtaken it. What Apple's customers do
later is posted to `/control/apple/{out_trade_no}/{refund-reversed|consumption-request}`; the other deeds are those of
every provider, where refunding with status CLOSED is a refund that Apple declines.
"""

import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator.acting import telling_of
from channels_app.simulator.apple_chain import UNSIGNED, read_token, signed, token_is_by
from channels_app.simulator.apple_voice import AppleVoice, transaction
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import FORGED, GENUINE, Merchant, Notice, Payment, Trade
from channels_app.simulator.trading import Refused
from channels_app.simulator.voices import News, Subject
from channels_app.simulator.weather import World, instead_of_answer, spares_the_deed

_AUDIENCE = "appstoreconnect-v1"
_TOKEN_LIVES_S = 3600
_PAGE = 20
_REACHES_BACK_S = 180 * 86400.0
_PRICE_OF_ONE = 600
_PAYABLE_S = 86400.0
_ENVIRONMENTS = ("Sandbox", "Production", "Xcode")
_EVIDENCE = {"genuine": GENUINE, "unsigned": UNSIGNED, "wrong_chain": FORGED}
_ASKED = (
    "notify", "delay_s", "price", "currency", "product_id", "quantity", "type", "offer", "without_token", "token",
    "environment", "evidence",
)  # fmt: skip

Document = dict[str, Any]
Deed = Callable[[web.Request, Merchant, str], Awaitable[Document]]


class Fault(Exception):
    """A no, as Apple says it."""

    def __init__(self, status: int, code: int, message: str) -> None:
        """`code` is Apple's errorCode; 0 for the one no that is a plain text."""
        super().__init__(message)
        self.status = status
        self.code = code


class ApplePart:
    """The simulated Apple."""

    code: ClassVar[str] = "apple"
    label: ClassVar[StrOrPromise] = _("Apple")
    # A purchase is paid when it comes to be, and never closed.
    lacks: ClassVar[frozenset[str]] = frozenset({"pay", "pay-late", "wrong-amount", "close"})
    own_acts: ClassVar[Mapping[str, StrOrPromise]] = {
        "refund-reversed": _("Take the refund back"),
        "consumption-request": _("Ask about a refund"),
    }

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the certificates."""
        self.voice = AppleVoice(platform)

    def routes(self, world: World) -> list[web.RouteDef]:
        """The App Store Server API, and what customers do later."""
        desk = _Desk(world, self.voice)
        return [
            web.get("/inApps/v1/transactions/{number}", desk.call("query", desk.look_up)),
            web.get("/inApps/v1/lookup/{number}", desk.call("query", desk.order)),
            web.get("/inApps/v2/refund/lookup/{number}", desk.call("query", desk.refunds)),
            web.post("/inApps/v1/notifications/history", desk.call("bill", desk.history)),
            web.post("/control/apple/{out_trade_no}/refund-reversed", desk.refund_reversed),
            web.post("/control/apple/{out_trade_no}/consumption-request", desk.consumption_request),
        ]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """The buyer taps Buy and authenticates; StoreKit hands the app a signed transaction. Raises Refused."""
        if unknown := sorted(set(asked) - set(_ASKED)):
            raise Refused("unknown_field", f"buying takes {', '.join(_ASKED)}, not {', '.join(unknown)}")
        how = _EVIDENCE.get(asked.get("evidence", "genuine"))
        if how is None or asked.get("environment", "Sandbox") not in _ENVIRONMENTS:
            raise Refused(
                "invalid_field", f"evidence is {', '.join(_EVIDENCE)}, environment {', '.join(_ENVIRONMENTS)}"
            )
        trade = self._trade(world, merchant, params, asked)
        is_local = trade.terms["environment"] == "Xcode"
        telling = telling_of(asked)
        if is_local or not trade.notify_url:
            telling = replace(telling, mode="lost")
        payment, notice = world.trading.pay(trade, anyhow=True, telling=telling)
        trade = world.store.trade(trade.id)
        bought = transaction(Subject(merchant=merchant, trade=trade, payment=payment))
        evidence = signed(self.voice.platform, _stamped(bought), FORGED if is_local else how)
        return Purchase(trade=trade, evidence={"signed_transaction": evidence}, notices=[notice])

    @staticmethod
    def _trade(world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]) -> Trade:
        """What is bought under one token; bought again it is the same once more."""
        terms = _terms(params, asked)
        number = uuid.UUID(terms["token"]).hex if terms["token"] else f"none-{uuid.uuid4().hex}"
        known = world.store.trade_by_number(merchant, number)
        if known is not None:
            return known
        return world.store.add_trade(
            merchant,
            out_trade_no=number,
            product="iap",
            amount=_whole(asked, "price", _PRICE_OF_ONE * terms["quantity"], least=0),
            subject=terms["product_id"],
            attach="",
            notify_url=merchant.about.get("notify_url", ""),
            return_url="",
            opened=True,
            expires_at=time.time() + _PAYABLE_S,
            terms=terms,
        )


@dataclass(frozen=True, slots=True)
class _Desk:
    """Answers calls."""

    world: World
    voice: AppleVoice

    # --- the frame of every call ----------------------------------------------------------------------------
    def call(self, name: str, deed: Deed) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A deed behind the check of who asks, in today's weather."""

        async def answer(request: web.Request) -> web.StreamResponse:
            weather = None
            try:
                merchant = self._caller(request)
                weather = self.world.store.take_weather("apple", name)
                mode = weather.mode if weather else "ok"
                if spares_the_deed(weather):
                    raise _weather_fault(mode)
                how = {"unsigned": UNSIGNED, "wrong_signature": FORGED}.get(mode, GENUINE)
                status, document = 200, await deed(request, merchant, how)
                if mode in ("error500", "error429"):
                    raise _weather_fault(mode)
            except Fault as fault:
                if not fault.code:
                    return web.Response(status=fault.status, text=str(fault))
                status, document = fault.status, {"errorCode": fault.code, "errorMessage": str(fault)}
            other = await instead_of_answer(weather, request, self.world)
            return other or web.json_response(document, status=status)

        return answer

    def _caller(self, request: web.Request) -> Merchant:
        """Whose key signed the bearer token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        read = read_token(token) if scheme == "Bearer" else None
        if read is not None:
            header, claims = read
            for merchant in self.world.store.merchants():
                if merchant.provider == "apple" and _is_right(header, claims, merchant):
                    if token_is_by(merchant.about["private_key"], token):
                        return merchant
                    break
        raise Fault(401, 0, "Unauthenticated")

    # --- the server API -------------------------------------------------------------------------------------
    async def look_up(self, request: web.Request, merchant: Merchant, how: str) -> Document:
        """One transaction."""
        return {"signedTransactionInfo": self._signed(merchant, self._payment(request, merchant), how)}

    async def order(self, request: web.Request, merchant: Merchant, how: str) -> Document:
        """By the number on the customer's mail: M and the number of the transaction."""
        payment = self._find(merchant, request.match_info["number"].removeprefix("M"))
        if payment is None:
            return {"status": 1, "signedTransactions": []}
        return {"status": 0, "signedTransactions": [self._signed(merchant, payment, how)]}

    async def refunds(self, request: web.Request, merchant: Merchant, how: str) -> Document:
        """What was given back in this app; the simulator has one customer."""
        self._payment(request, merchant)
        store = self.world.store
        given = [each for each in store.refunds_between(merchant, 0.0, time.time() + 1) if each.state == "SUCCESS"]
        payments = [store.payment(number) for number in dict.fromkeys(each.payment_id for each in given)]
        page, following = _page(payments, request.query.get("revision", ""))
        return {
            "signedTransactions": [self._signed(merchant, each, how) for each in page],
            "hasMore": bool(following),
            "revision": following or str(len(payments)),
        }

    async def history(self, request: web.Request, merchant: Merchant, how: str) -> Document:
        """Every notification of a time, delivered or not."""
        asked = await _read_json(request)
        start, end = (asked.get(name) for name in ("startDate", "endDate"))
        if type(start) is not int or type(end) is not int or start >= end:
            raise Fault(400, 4000015, "Invalid request. The end date must be after the start date.")
        if start / 1000 < time.time() - _REACHES_BACK_S:
            raise Fault(400, 4000013, "Invalid request. The start date is earlier than the allowed start date.")
        told = [each for each in self._notices(merchant) if start <= each.created_at * 1000 < end]
        page, following = _page(told, request.query.get("paginationToken", ""))
        document: Document = {
            "notificationHistory": [
                {"signedPayload": self.voice.signed_payload(each, how), "sendAttempts": self._sendings(each)}
                for each in page
            ],
            "hasMore": bool(following),
        }
        return {**document, "paginationToken": following} if following else document

    def _notices(self, merchant: Merchant) -> list[Notice]:
        """What Apple really meant to tell this merchant, the oldest first."""
        store = self.world.store
        return [
            notice
            for notice in reversed(store.notices(limit=100_000))
            if notice.provider == "apple"
            and notice.how == GENUINE
            and store.trade(notice.trade_id).merchant_id == merchant.id
        ]

    def _sendings(self, notice: Notice) -> list[Document]:
        return [
            {
                "attemptDate": int(each.at * 1000),
                "sendAttemptResult": "SUCCESS" if each.acknowledged else "UNSUCCESSFUL_HTTP_RESPONSE_CODE",
            }
            for each in self.world.store.attempts(notice)
        ]

    def _payment(self, request: web.Request, merchant: Merchant) -> Payment:
        number = request.match_info["number"]
        if not re.fullmatch(r"[0-9]{1,20}", number):
            raise Fault(400, 4000006, "Invalid transaction id.")
        payment = self._find(merchant, number)
        if payment is None:
            raise Fault(404, 4040010, "Transaction id not found.")
        return payment

    def _find(self, merchant: Merchant, number: str) -> Payment | None:
        """A purchase in this merchant's app; this is Apple's sandbox, so no other environment's."""
        payment = self.world.store.payment_by_transaction(number)
        trade = self.world.store.trade(payment.trade_id) if payment else None
        is_here = trade is not None and trade.merchant_id == merchant.id and trade.terms["environment"] == "Sandbox"
        return payment if is_here else None

    def _signed(self, merchant: Merchant, payment: Payment, how: str) -> str:
        about = self._about(merchant, self.world.store.trade(payment.trade_id), payment)
        return signed(self.voice.platform, _stamped(transaction(about)), how)

    def _about(self, merchant: Merchant, trade: Trade, payment: Payment) -> Subject:
        """A purchase with its refund, if it has one that holds."""
        given = [each for each in self.world.store.refunds(payment) if each.state == "SUCCESS"]
        return Subject(
            merchant=merchant,
            trade=trade,
            payment=payment,
            refund=given[-1] if given else None,
            refunded=sum(each.amount for each in given),
        )

    # --- what customers do later ----------------------------------------------------------------------------
    async def refund_reversed(self, request: web.Request) -> web.Response:
        """The customer has disputed a refund away: Apple takes the money again."""
        merchant, trade, payment = self._purchase(request)
        given = [each for each in self.world.store.refunds(payment) if each.state == "SUCCESS"]
        if not given:
            raise _bad("there is no refund to reverse")
        for each in given:
            self.world.store.move_refund(each, "CLOSED")
        return self._tell(trade, self.voice.news("REFUND_REVERSED", self._about(merchant, trade, payment)))

    async def consumption_request(self, request: web.Request) -> web.Response:
        """The customer asks Apple for the money back, and Apple asks the merchant what became of the goods."""
        merchant, trade, payment = self._purchase(request)
        about = self._about(merchant, trade, payment)
        news = self.voice.news("CONSUMPTION_REQUEST", about, consumptionRequestReason="UNINTENDED_PURCHASE")
        return self._tell(trade, news)

    def _purchase(self, request: web.Request) -> tuple[Merchant, Trade, Payment]:
        store = self.world.store
        for trade in store.trades(provider="apple", out_trade_no=request.match_info["out_trade_no"]):
            for payment in store.payments(trade):
                return store.merchant_of(trade), trade, payment
        raise web.HTTPNotFound(text="no such purchase")

    def _tell(self, trade: Trade, news: News) -> web.Response:
        if not trade.notify_url:
            raise _bad("the merchant has typed no address for notifications into the console")
        number = self.voice.new_notice_number()
        self.world.store.add_notice(trade, number=number, event=news.event, content=news.content)
        self.world.notifier.wake()
        return web.json_response({"done": f"told {news.event}", "notification": number})


def _terms(params: Mapping[str, Any], asked: Mapping[str, Any]) -> Document:
    """What is bought: what the pay call said, unless somebody asked for other weather."""
    token = "" if asked.get("without_token") else str(asked.get("token", params.get("app_account_token", "")))
    try:
        token = str(uuid.UUID(token)) if token else ""
    except ValueError:
        raise Refused("invalid_field", "StoreKit takes a UUID for appAccountToken") from None
    product_id = asked.get("product_id", params.get("product_id"))
    currency = asked.get("currency", "CNY")
    if not isinstance(product_id, str) or not product_id or not re.fullmatch(r"[A-Z]{3}", str(currency)):
        raise Refused("invalid_field", "product_id is a product, currency three letters")
    return {
        "product_id": product_id,
        "quantity": _whole(asked if "quantity" in asked else params, "quantity", 1, least=1),
        "type": str(asked.get("type", "Consumable")),
        "offer": str(asked.get("offer", "")),
        "environment": asked.get("environment", "Sandbox"),
        "currency": currency,
        "token": token,
    }


def _whole(asked: Mapping[str, Any], name: str, default: int, *, least: int) -> int:
    value = asked.get(name, default)
    if type(value) is not int or value < least:
        raise Refused("invalid_field", f"{name} is a whole number from {least}")
    return value


def _is_right(header: Document, claims: Document, merchant: Merchant) -> bool:
    """Whether a token's header and claims are those of a merchant, and of this hour."""
    about, now = merchant.about, time.time()
    issued, ends = claims.get("iat"), claims.get("exp")
    return (
        header.get("alg") == "ES256"
        and header.get("kid") == about["key_id"]
        and claims.get("iss") == about["issuer_id"]
        and claims.get("aud") == _AUDIENCE
        and claims.get("bid") == about["bundle_id"]
        and isinstance(issued, int)
        and isinstance(ends, int)
        and issued <= now < ends <= issued + _TOKEN_LIVES_S
    )


def _page(rows: list[Any], after: str) -> tuple[list[Any], str]:
    """The rows behind a token, and the token of those behind them ("" when there are none)."""
    start = int(after) if after.isdigit() else 0
    end = start + _PAGE
    return rows[start:end], str(end) if end < len(rows) else ""


def _stamped(document: Document) -> Document:
    return {**document, "signedDate": int(time.time() * 1000)}


def _weather_fault(mode: str) -> Fault:
    if mode == "error429":
        return Fault(429, 4290000, "Rate limit exceeded.")
    return Fault(500, 5000000, "An unknown error occurred.")


async def _read_json(request: web.Request) -> Document:
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Fault(400, 4000000, "Bad request.")
    return document


def _bad(message: str) -> web.HTTPException:
    return web.HTTPConflict(text=message)
