"""Google Play as a game's server and a buyer's device meet it: access tokens, the Play Developer API, the purchase.

Weather of its own, in what `buy` is asked: `price` (minor units) and `currency`, which Play Console sets; `product_id`
and `quantity` bought instead; `real`: with money, not by a licence tester; `promo`: with a code, for nothing;
`without_profile`: naming no order; `pending`: with cash, which the deed `pay` ends, or the deed `close`. What nobody
has acknowledged after three days is given back, which is looked after whenever the API is called. The rest is posted:
`/control/google/{out_trade_no}/lapse` (three days are over now), `…/refund-review` (Google asks about a refund),
`/control/google/rotate-keys` (Google signs with a new key). Consuming and refunding have the weather of `close` and
`refund`, the list of voided purchases that of `bill`, access tokens that of `create`, everything else that of `query`.
"""

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator.google_voice import GoogleVoice, is_signed_by, read, token_of, trade_of, voided_quantity
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
    payments_of,
    refuse_unknown,
    text_of,
    whole,
)
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import CLOSED, Merchant, Payment, Refund, Trade
from channels_app.simulator.trading import Refused
from channels_app.simulator.voices import Subject
from channels_app.simulator.weather import World

_SCOPE = "https://www.googleapis.com/auth/androidpublisher"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_LIVES_S = 3600
_LONGEST_ID = 64
_UNACKNOWLEDGED_S = 3 * 86400.0
_REACHES_BACK_S = 30 * 86400.0
_CLOCKS_DIFFER_S = 60.0
# Why a refund was given: voidedSource and voidedReason. Without a word it was the buyer's wish.
_DEVELOPER, _UNACKNOWLEDGED = "developer", "unacknowledged"
_WHY = {_DEVELOPER: (1, 0), _UNACKNOWLEDGED: (2, 8)}
_BY_THE_BUYER = (0, 1)


class GooglePart:
    """The simulated Google Play."""

    code: ClassVar[str] = "google"
    label: ClassVar[StrOrPromise] = _("Google Play")
    own_acts: ClassVar[Mapping[str, StrOrPromise]] = {
        "lapse": _("Let three days pass"),
        "refund-review": _("Ask about a refund"),
    }

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys that pushes are signed with."""
        self.voice = GoogleVoice(platform)

    def routes(self, world: World) -> list[web.RouteDef]:
        """Who gives out access tokens and certificates, the API, and what happens later."""
        self.voice.store = world.store
        desk = _Desk(world, self.voice)
        app = "/androidpublisher/v3/applications/{package}"
        products = f"{app}/purchases/products/{{product}}/tokens/{{token:[^:/]+}}"

        def answers(name: str, deed: Any) -> Any:
            return call(world, self.code, name, deed, _trouble)

        return [
            web.post("/token", answers("create", desk.token)),
            web.get("/oauth2/v1/certs", desk.certificates),
            web.get(f"{app}/purchases/productsv2/tokens/{{token}}", answers("query", desk.in_words)),
            web.get(products, answers("query", desk.in_figures)),
            web.post(f"{products}:consume", answers("close", desk.consume)),
            web.get(f"{app}/purchases/voidedpurchases", answers("bill", desk.voided)),
            web.get(f"{app}/orders/{{order}}", answers("query", desk.order)),
            web.post(f"{app}/orders/{{order:[^:/]+}}:refund", answers("refund", desk.refund)),
            web.post("/control/google/rotate-keys", desk.rotate_keys),
            web.post("/control/google/{out_trade_no}/lapse", desk.lapse),
            web.post("/control/google/{out_trade_no}/refund-review", desk.refund_review),
        ]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """The buyer's device; its billing library gets a purchase token. Raises Refused."""
        refuse_unknown(
            asked,
            ("price", "currency", "product_id", "quantity", "real", "promo", "without_profile", "pending"),
        )
        number, player = text_of(params, "obfuscated_profile_id"), text_of(params, "obfuscated_account_id")
        if max(len(number), len(player)) > _LONGEST_ID:
            raise Refused("invalid_field", "the billing library takes 64 characters")
        product_id = str(asked.get("product_id") or text_of(params, "product_id"))
        quantity = whole(asked if "quantity" in asked else params, "quantity", 1)
        trade = begun(
            world,
            merchant,
            number=number,
            amount=whole(asked, "price", PRICE_OF_ONE * quantity),
            currency=currency_of(asked),
            subject=product_id,
            terms={
                "product_id": product_id,
                "quantity": quantity,
                "profile": "" if asked.get("without_profile") else number,
                "player": player,
                "kind": "promo" if asked.get("promo") else "real" if asked.get("real") else "test",
            },
        )
        evidence = {"purchase_token": token_of(world.store, trade, None), "store_product_id": product_id}
        if asked.get("pending"):
            return Purchase(trade=trade, evidence=evidence)
        _payment, bought = paid(world, trade, asked)
        return Purchase(trade=bought.trade, evidence=evidence, notices=bought.notices)


class _Desk:
    """Answers calls."""

    def __init__(self, world: World, voice: GoogleVoice) -> None:
        self._world = world
        self._store = world.store
        self._voice = voice

    # --- who asks -------------------------------------------------------------------------------------------
    async def token(self, request: web.Request, mode: str) -> Document:
        """An access token for an assertion that a service account has signed."""
        form = await request.post()
        assertion = str(form.get("assertion", ""))
        said = read(assertion) if form.get("grant_type") == _GRANT else None
        merchant = self._account(*said, request.path) if said is not None else None
        if merchant is not None and is_signed_by(merchant.about["private_key"], assertion):
            return {"access_token": _access_token(merchant), "expires_in": _TOKEN_LIVES_S, "token_type": "Bearer"}
        raise Fault(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})

    def _account(self, header: Document, claims: Document, path: str) -> Merchant | None:
        """Whose service account an assertion names."""
        callers = (each for each in self._store.merchants() if each.provider == "google")
        return next((each for each in callers if _is_right(header, claims, each, path)), None)

    async def certificates(self, request: web.Request) -> web.Response:
        """The keys that pushes are signed with; nobody has to say who asks."""
        return web.json_response(self._voice.certificates(), headers={"Cache-Control": "public, max-age=600"})

    def _caller(self, request: web.Request) -> Merchant:
        """Whose access token a call bears, for which app. Raises Fault."""
        said = request.headers.get("Authorization", "")
        callers = [each for each in self._store.merchants() if each.provider == "google"]
        merchant = next((each for each in callers if said == f"Bearer {_access_token(each)}"), None)
        if merchant is None:
            raise _no(401, "authError", "UNAUTHENTICATED", "Invalid Credentials")
        if merchant.number != request.match_info["package"]:
            raise _no(403, "permissionDenied", "PERMISSION_DENIED", "The caller does not have permission")
        self._look_after(merchant)
        return merchant

    # --- purchases ------------------------------------------------------------------------------------------
    async def in_words(self, request: web.Request, mode: str) -> Document:
        """purchases.productsv2.getproductpurchasev2."""
        trade, payment = self._purchase(request)
        terms = trade.terms
        given = self._given_back(payment)
        quantity = int(terms["quantity"])
        document: Document = {
            "kind": "androidpublisher#productPurchaseV2",
            "purchaseStateContext": {"purchaseState": _word(trade, payment, given)},
            "acknowledgementState": f"ACKNOWLEDGEMENT_STATE_{'ACKNOWLEDGED' if self._is_used(payment) else 'PENDING'}",
            "regionCode": "US",
            "productLineItem": [
                {
                    "productId": terms["product_id"],
                    "productOfferDetails": {
                        "quantity": quantity,
                        "refundableQuantity": quantity - _pieces(trade, payment, given),
                        "consumptionState": (
                            "CONSUMPTION_STATE_CONSUMED"
                            if self._is_used(payment)
                            else "CONSUMPTION_STATE_YET_TO_BE_CONSUMED"
                        ),
                        "purchaseOptionId": "buy",
                    },
                }
            ],
            **_named(trade),
        }
        if payment is not None:
            document |= _order_id(trade, payment) | {"purchaseCompletionTime": _rfc3339(payment.paid_at)}
        return document | ({"testPurchaseContext": {"fopType": "TEST"}} if terms["kind"] == "test" else {})

    async def in_figures(self, request: web.Request, mode: str) -> Document:
        """purchases.products.get."""
        trade, payment = self._purchase(request)
        if request.match_info["product"] != trade.terms["product_id"]:
            raise _no(404, "purchaseTokenDoesNotMatchProductId", "NOT_FOUND", "The purchase token does not match.")
        given = self._given_back(payment)
        state = {"PURCHASED": 0, "CANCELLED": 1, "PENDING": 2}[_word(trade, payment, given)]
        document: Document = {
            "kind": "androidpublisher#productPurchase",
            "purchaseTimeMillis": str(int((payment.paid_at if payment else trade.created_at) * 1000)),
            "purchaseState": state,
            "consumptionState": int(self._is_used(payment)),
            "acknowledgementState": int(self._is_used(payment)),
            "regionCode": "US",
            **_named(trade),
        }
        if trade.terms["quantity"] != 1:
            document["quantity"] = trade.terms["quantity"]
        if payment is not None:
            document |= _order_id(trade, payment)
        kind = {"test": 0, "promo": 1}.get(trade.terms["kind"])
        return document if kind is None else {**document, "purchaseType": kind}

    async def consume(self, request: web.Request, mode: str) -> Document:
        """purchases.products.consume: acknowledges as well."""
        trade, payment = self._purchase(request)
        is_owned = payment is not None and _word(trade, payment, self._given_back(payment)) == "PURCHASED"
        if payment is None or not is_owned or request.match_info["product"] != trade.terms["product_id"]:
            raise _no(400, "productNotOwnedByUser", "FAILED_PRECONDITION", "The product is not owned by the user.")
        if not is_confirmed(self._world, payment):
            confirm(self._world, payment)
        return {}

    def _purchase(self, request: web.Request) -> tuple[Trade, Payment | None]:
        """The purchase of a token, as it stands now. Raises Fault."""
        merchant = self._caller(request)
        found = trade_of(self._store, request.match_info["token"])
        if found is None or found[0].merchant_id != merchant.id:
            raise _no(404, "purchaseTokenNotFound", "NOT_FOUND", "The purchase token was not found.")
        return self._world.trading.current(found[0]), found[1]

    def _is_used(self, payment: Payment | None) -> bool:
        return payment is not None and is_confirmed(self._world, payment)

    # --- orders and refunds ---------------------------------------------------------------------------------
    async def order(self, request: web.Request, mode: str) -> Document:
        """orders.get."""
        trade, payment = self._order(request)
        given = self._given_back(payment)
        refunded = sum(each.amount for each in given)
        history: Document = {"processedEvent": {"eventTime": _rfc3339(payment.paid_at)}}
        if refunded >= payment.amount:
            total = _money(refunded, trade.currency)
            history["refundEvent"] = {
                "eventTime": _rfc3339(given[-1].created_at), "refundReason": "OTHER", "refundDetails": {"total": total},
            }  # fmt: skip
        state = "PROCESSED" if not refunded else "REFUNDED" if refunded >= payment.amount else "PARTIALLY_REFUNDED"
        return {
            "orderId": payment.transaction_id,
            "purchaseToken": token_of(self._store, trade, payment),
            "state": state,
            "createTime": _rfc3339(payment.paid_at),
            "total": _money(payment.amount, trade.currency),
            "orderHistory": history,
        }

    async def refund(self, request: web.Request, mode: str) -> Document:
        """orders.refund: the whole order, once."""
        trade, payment = self._order(request)
        if request.query.get("revoke") != "true":
            raise _no(400, "invalid", "INVALID_ARGUMENT", "The simulator takes the product back with the money.")
        if self._given_back(payment):
            raise _no(400, "orderNotRefundable", "FAILED_PRECONDITION", "The order was refunded.")
        self._give_back(trade, payment, _DEVELOPER)
        return {}

    async def voided(self, request: web.Request, mode: str) -> Document:
        """purchases.voidedpurchases.list."""
        merchant, now = self._caller(request), time.time()
        asked = request.query
        start, end = (float(asked.get(name, at * 1000)) / 1000 for name, at in
                      (("startTime", now - _REACHES_BACK_S), ("endTime", now)))  # fmt: skip
        if end > now or start < now - _REACHES_BACK_S - _CLOCKS_DIFFER_S:
            raise _no(400, "invalid", "INVALID_ARGUMENT", "startTime or endTime is out of range.")
        entries = [self._entry(each) for each in self._store.refunds_between(merchant, start, end + 0.001)]
        if asked.get("includeQuantityBasedPartialRefund") != "true":
            entries = [each for each in entries if "voidedQuantity" not in each]
        first = int(asked.get("token", 0))
        last = first + min(int(asked.get("maxResults", 1000)), 1000)
        page: Document = {"voidedPurchases": entries[first:last]}
        return {**page, "tokenPagination": {"nextPageToken": str(last)}} if last < len(entries) else page

    def _entry(self, refund: Refund) -> Document:
        payment = self._store.payment(refund.payment_id)
        trade = self._store.trade(payment.trade_id)
        source, reason = _WHY.get(refund.reason, _BY_THE_BUYER)
        entry = {
            "kind": "androidpublisher#voidedPurchase",
            "purchaseToken": token_of(self._store, trade, payment),
            "orderId": payment.transaction_id,
            "purchaseTimeMillis": str(int(payment.paid_at * 1000)),
            "voidedTimeMillis": str(int(refund.created_at * 1000)),
            "voidedSource": source,
            "voidedReason": reason,
        }
        pieces = voided_quantity(trade, payment, refund)
        return {**entry, "voidedQuantity": pieces} if pieces else entry

    def _order(self, request: web.Request) -> tuple[Trade, Payment]:
        """What an order number stands for. Raises Fault."""
        merchant = self._caller(request)
        payment = self._store.payment_by_transaction(request.match_info["order"])
        trade = self._store.trade(payment.trade_id) if payment else None
        if payment is None or trade is None or trade.merchant_id != merchant.id or trade.terms["kind"] == "promo":
            raise _no(404, "orderNotFound", "NOT_FOUND", "The order was not found.")
        return trade, payment

    def _given_back(self, payment: Payment | None) -> list[Refund]:
        return [] if payment is None else [each for each in self._store.refunds(payment) if each.state == "SUCCESS"]

    def _give_back(self, trade: Trade, payment: Payment, reason: str) -> None:
        self._world.trading.refund(
            payment,
            amount=payment.amount - self._world.trading.refunded(payment),
            reason=reason,
            notify_url=trade.notify_url,
        )

    def _look_after(self, merchant: Merchant) -> None:
        """Give back what nobody has acknowledged in time."""
        before = time.time() - _UNACKNOWLEDGED_S / self._world.trading.speed
        for payment in payments_of(self._world, merchant):
            if payment.paid_at < before and not self._is_used(payment) and not self._given_back(payment):
                self._give_back(self._store.trade(payment.trade_id), payment, _UNACKNOWLEDGED)

    # --- what happens later ---------------------------------------------------------------------------------
    async def rotate_keys(self, request: web.Request) -> web.Response:
        """Google signs with a new key from now on."""
        return web.json_response({"key": self._voice.rotate()})

    async def lapse(self, request: web.Request) -> web.Response:
        """Three days are over for a purchase that nobody has acknowledged."""
        trade, payment = self._sold(request)
        if self._is_used(payment) or self._given_back(payment):
            raise web.HTTPConflict(text="it was acknowledged, or given back")
        self._give_back(trade, payment, _UNACKNOWLEDGED)
        return web.json_response({"done": "given back, because nobody has acknowledged it"})

    async def refund_review(self, request: web.Request) -> web.Response:
        """The buyer's bank asks Google, and Google asks the merchant."""
        trade, payment = self._sold(request)
        if not trade.notify_url:
            raise web.HTTPConflict(text="the merchant has no push subscription")
        about = Subject(merchant=self._store.merchant_of(trade), trade=trade, payment=payment)
        news = self._voice.refund_review(about, reason=7)
        self._store.add_notice(
            trade, number=self._voice.new_notice_number(), event=news.event, content=news.content
        )  # fmt: skip
        self._world.notifier.wake()
        return web.json_response({"done": "asked about a refund"})

    def _sold(self, request: web.Request) -> tuple[Trade, Payment]:
        for trade in self._store.trades(provider="google", out_trade_no=request.match_info["out_trade_no"]):
            for payment in self._store.payments(trade):
                return trade, payment
        raise web.HTTPNotFound(text="no such purchase")


def _word(trade: Trade, payment: Payment | None, given: list[Refund]) -> str:
    """Where a purchase stands, in the newer spelling."""
    if payment is None:
        return "CANCELLED" if trade.state == CLOSED else "PENDING"
    return "CANCELLED" if sum(each.amount for each in given) >= payment.amount else "PURCHASED"


def _pieces(trade: Trade, payment: Payment | None, given: list[Refund]) -> int:
    """How many pieces were given back."""
    if payment is None:
        return 0
    return sum(voided_quantity(trade, payment, each) or int(trade.terms["quantity"]) for each in given)


def _named(trade: Trade) -> Document:
    """What the game's client said about player and order."""
    named = {"obfuscatedExternalAccountId": trade.terms["player"]}
    return {**named, "obfuscatedExternalProfileId": trade.terms["profile"]} if trade.terms["profile"] else named


def _order_id(trade: Trade, payment: Payment) -> Document:
    """Nobody's order where nobody paid."""
    return {} if trade.terms["kind"] == "promo" else {"orderId": payment.transaction_id}


def _money(minor: int, currency: str) -> Document:
    """As Google writes amounts: whole units, and billionths of one."""
    units, rest = divmod(minor, 1 if currency in WHOLE_CURRENCIES else 100)
    money = {"currencyCode": currency, "units": str(units)}
    return {**money, "nanos": rest * 10_000_000} if rest else money


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _access_token(merchant: Merchant) -> str:
    return f"ya29.{hashlib.sha256(merchant.about['private_key'].encode()).hexdigest()}"


def _is_right(header: Document, claims: Document, merchant: Merchant, path: str) -> bool:
    """Whether an assertion's header and claims are those of a merchant's service account, and of this hour."""
    issued, ends = claims.get("iat"), claims.get("exp")
    return (
        header.get("alg") == "RS256"
        and header.get("kid") == merchant.about["private_key_id"]
        and claims.get("iss") == merchant.about["client_email"]
        and claims.get("scope") == _SCOPE
        and str(claims.get("aud")).endswith(path)
        and type(issued) is int
        and type(ends) is int
        and issued <= time.time() < ends <= issued + _TOKEN_LIVES_S
    )


def _no(status: int, reason: str, word: str, message: str) -> Fault:
    errors = [{"message": message, "domain": "androidpublisher", "reason": reason}]
    return Fault(status, {"error": {"code": status, "message": message, "status": word, "errors": errors}})


def _trouble(status: int) -> Fault:
    if status == 429:
        return _no(429, "rateLimitExceeded", "RESOURCE_EXHAUSTED", "Rate Limit Exceeded")
    return _no(status, "backendError", "INTERNAL", "Internal error encountered.")
