"""Stripe as a merchant and a buyer meet it: forms in, JSON out, a page to pay on, keys that make repeats safe.

Bad weather of its own: `card` in what `buy` is asked is `succeeds`, `declined` or `processing`; the last is decided by
the act `pay`. What only happens here is posted to `/control/stripe/{out_trade_no}/…`: `dispute`, `dispute-won`,
`dispute-lost`, `refund-fails-later` (a refund that had succeeded comes back).
"""

import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from channels_app.simulator import formats, page
from channels_app.simulator.acting import Done, telling_of
from channels_app.simulator.merchants import Platform
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import (
    CLOSED,
    FOREIGN,
    FORGED,
    PAID,
    WAITING,
    Merchant,
    Notice,
    Payment,
    Refund,
    Trade,
    Weather,
)
from channels_app.simulator.stripe_forms import (
    AMOUNT,
    Fault,
    Form,
    answer_of,
    check_fields,
    metadata_in,
    missing,
    money_in,
    page_of,
    period,
    wants_whole,
    weather_fault,
)
from channels_app.simulator.stripe_voice import (
    Document,
    StripeVoice,
    charge_of,
    dispute_of,
    event_of,
    intent_of,
    new_id,
    refund_of,
    session_of,
)
from channels_app.simulator.trading import Refused, Telling
from channels_app.simulator.voices import Voice
from channels_app.simulator.weather import World, instead_of_answer, spares_the_deed

_INTENT_LIVES_S = 365 * 24 * 3600.0
_VISIT_S = 3600.0
_PAGE_LIVES_S = (30 * 60, 24 * 3600)
_CARDS = ("succeeds", "declined", "processing")
_INTENT_FIELDS = {"amount", "currency", "automatic_payment_methods[enabled]", "description"}
_PRICE = "line_items[0][price_data]"
_SESSION_FIELDS = {
    "mode", "client_reference_id", "payment_intent_data[description]", f"{_PRICE}[currency]", f"{_PRICE}[unit_amount]",
    f"{_PRICE}[product_data][name]", "line_items[0][quantity]", "adaptive_pricing[enabled]", "success_url",
    "cancel_url", "expires_at",
}  # fmt: skip
_REFUND_FIELDS = {"payment_intent", "amount", "reason"}

Deed = Callable[[web.Request, Merchant, Form], Document]
OwnAct = Callable[[Trade], Done]


class StripePart:
    """The simulated Stripe."""

    code: ClassVar[str] = "stripe"
    label: ClassVar[StrOrPromise] = _("Stripe (bank cards)")
    own_acts: ClassVar[Mapping[str, StrOrPromise]] = {
        "dispute": _("Dispute the payment"),
        "dispute-won": _("Decide the dispute for the merchant"),
        "dispute-lost": _("Decide the dispute for the buyer"),
        "refund-fails-later": _("Let a refund come back"),
    }

    def __init__(self, platform: Platform) -> None:
        """`platform` holds what is kept."""
        self._voice = StripeVoice(platform)
        self.voice: Voice = self._voice

    def routes(self, world: World) -> list[web.RouteDef]:
        """The API, and the page where a buyer pays."""
        desk = _Desk(world, self._voice)
        intent, session = "/v1/payment_intents", "/v1/checkout/sessions"
        return [
            web.post(intent, desk.call("create", desk.open_intent)),
            web.get(f"{intent}/{{id}}", desk.call("query", desk.show_intent)),
            web.post(f"{intent}/{{id}}/cancel", desk.call("close", desk.cancel)),
            web.post(session, desk.call("create", desk.open_session)),
            web.get(f"{session}/{{id}}", desk.call("query", desk.show_session)),
            web.post(f"{session}/{{id}}/expire", desk.call("close", desk.expire)),
            web.get("/v1/charges/{id}", desk.call("query", desk.show_charge)),
            web.post("/v1/refunds", desk.call("refund", desk.refund)),
            web.get("/v1/refunds", desk.call("query", desk.list_refunds)),
            web.get("/v1/refunds/{id}", desk.call("query", desk.show_refund)),
            web.get("/v1/disputes/{id}", desk.call("query", desk.show_dispute)),
            web.get("/v1/events", desk.call("query", desk.list_events)),
            web.get("/v1/balance_transactions", desk.call("bill", desk.list_balance)),
            web.get("/c/pay/{id}", desk.show_page),
            web.post("/cashier/stripe/{visit}/{choice:pay|decline|leave}", desk.choose),
            web.post("/control/stripe/{out_trade_no}/dispute", desk.act(desk.dispute)),
            web.post("/control/stripe/{out_trade_no}/dispute-won", desk.act(desk.dispute_won)),
            web.post("/control/stripe/{out_trade_no}/dispute-lost", desk.act(desk.dispute_lost)),
            web.post("/control/stripe/{out_trade_no}/refund-fails-later", desk.act(desk.refund_fails_later)),
        ]

    async def buy(
        self, world: World, merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """The SDK with its secret, or the page at its address; then the card does what `card` says."""
        desk = _Desk(world, self._voice)
        trade = desk.visited(params)
        if trade is None or trade.merchant_id != merchant.id:
            raise Refused("not_found", "nothing of this merchant can be paid so")
        card = str(asked.get("card", "succeeds"))
        if card not in _CARDS:
            raise Refused("invalid_field", f"card is {', '.join(_CARDS)}")
        notices = desk.use_card(trade, card, telling_of(asked))
        return Purchase(trade=world.store.trade(trade.id), notices=notices)


class _Desk:
    """What the API, the page and the acts do."""

    def __init__(self, world: World, voice: StripeVoice) -> None:
        self._world = world
        self._store = world.store
        self._voice = voice

    # --- the frame of every call ----------------------------------------------------------------------------
    def call(self, name: str, deed: Deed) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """One call of the API."""

        async def answer(request: web.Request) -> web.StreamResponse:
            form = dict(parse_qsl((await request.read()).decode("utf-8", "replace"), keep_blank_values=True))
            weather: Weather | None = None
            is_replayed = False
            try:
                merchant = self._caller(request)
                weather = self._store.take_weather("stripe", name)
                if spares_the_deed(weather):
                    raise weather_fault(weather)
                status, document, is_replayed = self._once(request, merchant, form, deed, weather)
            except Fault as fault:
                status, document = fault.status, fault.document
            other = await instead_of_answer(weather, request, self._world)
            return other or answer_of(status, document, is_replayed=is_replayed)

        return answer

    def _caller(self, request: web.Request) -> Merchant:
        scheme, _space, key = request.headers.get("Authorization", "").partition(" ")
        for merchant in self._store.merchants():
            if scheme == "Bearer" and merchant.provider == "stripe" and merchant.about["secret_key"] == key:
                return merchant
        raise Fault(401, "", f"Invalid API Key provided: {key[:8]}****{key[-4:]}")

    def _once(
        self, request: web.Request, merchant: Merchant, form: Form, deed: Deed, weather: Weather | None
    ) -> tuple[int, Document, bool]:
        """Status and document, and whether they are the stored ones of an earlier request under the same key."""
        key = request.headers.get("Idempotency-Key", "")
        if request.method != "POST" or not key:
            return (*self._done(request, merchant, form, deed, weather), False)
        said = hashlib.sha256(json.dumps([request.path, sorted(form.items())]).encode()).hexdigest()
        is_first = False

        def do() -> str:
            nonlocal is_first
            is_first = True
            return json.dumps([said, *self._done(request, merchant, form, deed, weather)])

        known, status, document = json.loads(self._store.platform.kept(f"stripe key {merchant.id} {key}", do))
        if known != said:
            fault = Fault(400, "", "Keys for idempotent requests can only be used with the same parameters.")
            fault.document["error"]["type"] = "idempotency_error"
            raise fault
        return status, document, not is_first

    def _done(
        self, request: web.Request, merchant: Merchant, form: Form, deed: Deed, weather: Weather | None
    ) -> tuple[int, Document]:
        try:
            document = deed(request, merchant, form)
        except Fault as fault:
            if not fault.is_kept:
                raise
            return fault.status, fault.document
        if weather and weather.mode in ("error500", "error429"):
            trouble = weather_fault(weather)
            return trouble.status, trouble.document
        return 200, document

    # --- payments -------------------------------------------------------------------------------------------
    def open_intent(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """A payment for the SDK."""
        check_fields(form, _INTENT_FIELDS)
        amount, currency = money_in(form, "amount", "currency")
        terms = {
            "currency": currency.upper(),
            "metadata": metadata_in(form, "metadata"),
            "secret": secrets.token_hex(12),
        }
        trade = self._new_trade(
            merchant, "intent", amount, terms, subject=form.get("description", ""),
            expires_at=time.time() + _INTENT_LIVES_S, return_url="",
        )  # fmt: skip
        return intent_of(trade)

    def open_session(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """A page."""
        check_fields(form, _SESSION_FIELDS)
        amount, currency = money_in(form, f"{_PRICE}[unit_amount]", f"{_PRICE}[currency]")
        ends = form.get("expires_at", "")
        lives_s = int(ends) - time.time() if ends.isdigit() else 0
        if not _PAGE_LIVES_S[0] <= lives_s <= _PAGE_LIVES_S[1]:
            raise Fault(400, "", "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.")
        if form.get("mode") != "payment" or form.get("line_items[0][quantity]") != "1":
            raise Fault(400, "parameter_invalid", "mode and line_items are not as they must be")
        if not urlsplit(form.get("success_url", "")).hostname:
            raise Fault(400, "url_invalid", "Not a valid URL")
        number = f"cs_test_{secrets.token_hex(24)}"
        terms = {
            "currency": currency.upper(),
            "metadata": metadata_in(form, "payment_intent_data[metadata]"),
            "page_metadata": metadata_in(form, "metadata"),
            "reference": form.get("client_reference_id"),
            "session": number,
            "secret": secrets.token_hex(12),
            "cancel_url": form.get("cancel_url", ""),
            "url": f"http://{request.host}/c/pay/{number}",
        }
        trade = self._new_trade(
            merchant, "session", amount, terms, subject=form.get(f"{_PRICE}[product_data][name]", ""),
            expires_at=float(ends), return_url=form["success_url"],
        )  # fmt: skip
        self._store.add_code(trade, number, lives_s=lives_s)
        return session_of(trade)

    def _new_trade(self, merchant: Merchant, product: str, amount: int, terms: Document, **about: Any) -> Trade:
        """Known by our number while that is free: Stripe takes any number of payments with the same metadata."""
        intent, order_no = new_id("pi"), str(terms["metadata"].get("order_no", ""))
        is_free = order_no and self._store.trade_by_number(merchant, order_no) is None
        trade = self._store.add_trade(
            merchant,
            out_trade_no=order_no if is_free else intent,
            product=product,
            amount=amount,
            attach="",
            notify_url=merchant.about["notify_url"],
            opened=True,
            trade_no=intent,
            terms=terms,
            **about,
        )
        self._store.add_code(trade, f"{intent}_secret_{terms['secret']}", lives_s=_INTENT_LIVES_S)
        return trade

    def show_intent(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """A payment by its number."""
        return self._expanded(*self._intent(request, merchant), wants_whole(request))

    def show_session(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """A page by its number."""
        trade = self._session(request, merchant)
        payment = next(iter(self._store.payments(trade)), None)
        document = session_of(trade, payment=payment, is_processing=self._is_processing(trade))
        if document["payment_intent"] and any(each.startswith("payment_intent") for each in wants_whole(request)):
            deeper = {each.removeprefix("payment_intent.") for each in wants_whole(request)}
            document["payment_intent"] = self._expanded(trade, payment, deeper)
        return document

    def show_charge(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """The charge of a payment."""
        number = request.match_info["id"].replace("ch_", "pi_", 1)
        payment = self._store.payment_by_transaction(number)
        trade = self._store.trade(payment.trade_id) if payment else None
        if payment is None or trade is None or trade.merchant_id != merchant.id:
            raise missing("charge", request.match_info["id"])
        return self._charge(trade, payment)

    def cancel(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """Make an intent unpayable."""
        trade, payment = self._intent(request, merchant)
        is_stuck = trade.product == "session" or self._is_processing(trade) or trade.state != WAITING
        if is_stuck:
            shown = intent_of(trade, payment=payment, is_processing=self._is_processing(trade))
            message = f"You cannot cancel this PaymentIntent because it has a status of {shown['status']}."
            raise Fault(400, "payment_intent_unexpected_state", message, is_kept=True, payment_intent=shown)
        return intent_of(self._world.trading.close(trade))

    def expire(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """Make a page unpayable."""
        trade = self._session(request, merchant)
        if trade.state != WAITING or self._is_processing(trade):
            raise Fault(400, "", "Only Checkout Sessions with a status in [open] can be expired.", is_kept=True)
        return session_of(self._world.trading.close(trade))

    def _intent(self, request: web.Request, merchant: Merchant) -> tuple[Trade, Payment | None]:
        """By the number of an intent: a trade's own, or that of a payment made once more."""
        number = request.match_info["id"]
        payment = self._store.payment_by_transaction(number)
        trade = self._store.trade(payment.trade_id) if payment else self._store.trade_by_trade_no(merchant, number)
        if trade is None or trade.merchant_id != merchant.id:
            raise missing("payment_intent", number)
        return self._world.trading.current(trade), payment

    def _session(self, request: web.Request, merchant: Merchant) -> Trade:
        found = self._store.trade_by_code(request.match_info["id"])
        if found is None or found[0].merchant_id != merchant.id or found[0].product != "session":
            raise missing("checkout.session", request.match_info["id"])
        return self._world.trading.current(found[0])

    def _expanded(self, trade: Trade, payment: Payment | None, expands: set[str]) -> Document:
        document = intent_of(trade, payment=payment, is_processing=self._is_processing(trade))
        if payment and "latest_charge" in expands:
            document["latest_charge"] = self._charge(trade, payment)
        return document

    def _charge(self, trade: Trade, payment: Payment) -> Document:
        refunded = self._world.trading.refunded(payment)
        return charge_of(trade, payment, refunded=refunded, is_disputed=self._last_dispute(trade) is not None)

    def _is_processing(self, trade: Trade) -> bool:
        return trade.state == WAITING and bool(self._store.code_of(trade, _processing(trade)))

    # --- buying ---------------------------------------------------------------------------------------------
    def visited(self, params: Mapping[str, Any]) -> Trade | None:
        """What the SDK's secret or the page's address stands for."""
        code = str(params.get("client_secret") or urlsplit(str(params.get("url", ""))).path.rpartition("/")[2])
        found = self._store.trade_by_code(code)
        return self._world.trading.current(found[0]) if found else None

    def use_card(self, trade: Trade, card: str, telling: Telling) -> list[Notice]:
        """Pay, or try to."""
        if card == "succeeds":
            payment, notice = self._world.trading.pay(trade, telling=telling)
            return [*self._tell_page(self._store.trade(trade.id), payment=payment), notice]
        if trade.state != WAITING:
            raise Refused(trade.state, f"the trade is {trade.state}")
        if card == "declined":
            return [self._tell(trade, "payment_intent.payment_failed", intent_of(trade, error="generic_decline"))]
        self._store.add_code(trade, _processing(trade), lives_s=0)
        told = self._tell(trade, "payment_intent.processing", intent_of(trade, is_processing=True))
        return [*self._tell_page(trade, is_processing=True), told]

    def _tell_page(self, trade: Trade, **how: Any) -> list[Notice]:
        is_page = trade.product == "session"
        return [self._tell(trade, "checkout.session.completed", session_of(trade, **how))] if is_page else []

    def _tell(self, trade: Trade, event: str, about: Document) -> Notice:
        notice = self._store.add_notice(
            trade,
            number=self._voice.new_notice_number(),
            event=event,
            content=about,
            url=self._store.merchant_of(trade).about["notify_url"],
        )
        self._world.notifier.wake()
        return notice

    # --- refunds --------------------------------------------------------------------------------------------
    def refund(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """Give money back: pending at first, told at once and when it is done."""
        check_fields(form, _REFUND_FIELDS)
        payment, trade = self._payment(merchant, form.get("payment_intent", ""))
        left = payment.amount - self._world.trading.refunded(payment)
        if not left:
            raise Fault(400, "charge_already_refunded", "Charge has already been refunded.", is_kept=True)
        if not AMOUNT.fullmatch(form.get("amount", str(left))):
            raise Fault(400, "parameter_invalid_integer", "Invalid integer", param="amount")
        metadata = metadata_in(form, "metadata")
        try:
            refund, _notice = self._world.trading.refund(
                payment,
                amount=int(form.get("amount", left)),
                number=metadata.get("refund_no", ""),
                state="PROCESSING",
                reason=json.dumps(metadata),
                notify_url=merchant.about["notify_url"],
            )
        except Refused:
            raise Fault(
                400, "amount_too_large", "Refund amount is greater than unrefunded amount.", is_kept=True
            ) from None
        document = refund_of(refund, payment, trade)
        self._tell(trade, "refund.created", document)
        return document

    def list_refunds(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """Those of one payment, the newest first."""
        payment, trade = self._payment(merchant, request.query.get("payment_intent", ""))
        refunds = [self._world.trading.ripe(each) for each in reversed(self._store.refunds(payment))]
        return page_of(request, [refund_of(each, payment, trade) for each in refunds])

    def show_refund(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """A refund by its number."""
        refund = self._store.refund_by_refund_id(request.match_info["id"])
        payment = self._store.payment(refund.payment_id) if refund else None
        trade = self._store.trade(payment.trade_id) if payment else None
        if refund is None or payment is None or trade is None or trade.merchant_id != merchant.id:
            raise missing("refund", request.match_info["id"])
        document = refund_of(self._world.trading.ripe(refund), payment, trade)
        return self._with_intent(document, trade, payment, request)

    def _payment(self, merchant: Merchant, number: str) -> tuple[Payment, Trade]:
        payment = self._store.payment_by_transaction(number)
        trade = self._store.trade(payment.trade_id) if payment else None
        if payment is None or trade is None or trade.merchant_id != merchant.id:
            raise missing("payment_intent", number)
        return payment, trade

    def _with_intent(self, document: Document, trade: Trade, payment: Payment, request: web.Request) -> Document:
        expands = {each.removeprefix("payment_intent.") for each in wants_whole(request)}
        return {**document, "payment_intent": self._expanded(trade, payment, expands)} if expands else document

    # --- disputes -------------------------------------------------------------------------------------------
    def show_dispute(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """As it was told last."""
        found = self._store.trade_by_code(request.match_info["id"])
        dispute = self._last_dispute(found[0]) if found and found[0].merchant_id == merchant.id else None
        if found is None or dispute is None:
            raise missing("dispute", request.match_info["id"])
        payment = self._store.payment_by_transaction(str(dispute["payment_intent"]))
        return self._with_intent(dispute, found[0], payment, request) if payment else dispute

    def _last_dispute(self, trade: Trade) -> Document | None:
        told = (each.content for each in self._store.notices(trade=trade) if each.event.startswith("charge.dispute."))
        return next(told, None)

    def act(self, deed: OwnAct) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """An act of Stripe's own, as it is posted."""

        async def answer(request: web.Request) -> web.StreamResponse:
            number = request.match_info["out_trade_no"]
            trade = next(iter(self._store.trades(provider="stripe", out_trade_no=number)), None)
            if trade is None:
                raise web.HTTPNotFound(text="no such trade")
            try:
                done = deed(self._world.trading.current(trade))
            except Refused as refusal:
                raise web.HTTPConflict(text=str(refusal)) from None
            return web.json_response({"done": done.said, "events": [notice.number for notice in done.notices]})

        return answer

    def dispute(self, trade: Trade) -> Done:
        """The buyer's bank takes the money back, for now."""
        payments = self._store.payments(trade)
        if not payments:
            raise Refused("not_paid", "nothing was paid")
        number = new_id("dp")
        self._store.add_code(trade, number, lives_s=0)
        about = dispute_of(trade, payments[0], number=number, status="needs_response", began=time.time())
        events = ("created", "funds_withdrawn")
        return Done(f"disputed as {number}", [self._tell(trade, f"charge.dispute.{each}", about) for each in events])

    def dispute_won(self, trade: Trade) -> Done:
        """The bank gives the money back to the merchant."""
        return self._decide(trade, "won", ("closed", "funds_reinstated"))

    def dispute_lost(self, trade: Trade) -> Done:
        """The bank keeps it."""
        return self._decide(trade, "lost", ("closed",))

    def _decide(self, trade: Trade, status: str, events: tuple[str, ...]) -> Done:
        dispute = self._last_dispute(trade)
        if dispute is None:
            raise Refused("nothing_to_tell", "nobody has disputed this payment")
        about = {**dispute, "status": status}
        return Done(f"dispute {status}", [self._tell(trade, f"charge.dispute.{each}", about) for each in events])

    def refund_fails_later(self, trade: Trade) -> Done:
        """The bank of a closed card sends a refund back that had succeeded."""
        for payment in self._store.payments(trade):
            for refund in self._store.refunds(payment):
                if self._world.trading.ripe(refund).state == "SUCCESS":
                    return self._fail(trade, payment, refund)
        raise Refused("nothing_to_tell", "no refund of this payment has succeeded")

    def _fail(self, trade: Trade, payment: Payment, refund: Refund) -> Done:
        failed = self._store.move_refund(refund, "CLOSED")
        return Done(
            f"refund {refund.number} came back",
            [self._tell(trade, "refund.failed", refund_of(failed, payment, trade))],
        )

    # --- lists ----------------------------------------------------------------------------------------------
    def list_events(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """Everything that happened, told or lost on the way, the newest first."""
        types, since, until = request.query.getall("types[]", []), *period(request)
        events = [
            event_of(notice)
            for notice in self._store.notices()
            if notice.provider == "stripe"
            and notice.how not in (FORGED, FOREIGN)
            and (not types or notice.event in types)
            and since <= int(notice.created_at) <= until
            and self._store.trade(notice.trade_id).merchant_id == merchant.id
        ]
        return page_of(request, events)

    def list_balance(self, request: web.Request, merchant: Merchant, form: Form) -> Document:
        """Payments and refunds with their fees, the newest first. There are no payouts here."""
        if request.query.get("payout"):
            raise missing("payout", request.query["payout"])
        since, until = period(request)
        lines = [self._taken(payment) for payment in self._store.payments_between(merchant, since, until + 1)]
        lines += [self._given_back(refund) for refund in self._store.refunds_between(merchant, since, until + 1)]
        if "data.source" not in wants_whole(request):
            lines = [{**line, "source": line["source"]["id"]} for line in lines]
        return page_of(request, sorted(lines, key=lambda line: (line["created"], line["id"]), reverse=True))

    def _taken(self, payment: Payment) -> Document:
        source = self._charge(self._store.trade(payment.trade_id), payment)
        return _movement(source, payment.amount, fee=payment.amount * 29 // 1000 + 30, kind="charge")

    def _given_back(self, refund: Refund) -> Document:
        payment = self._store.payment(refund.payment_id)
        source = refund_of(refund, payment, self._store.trade(payment.trade_id))
        return _movement(source, -refund.amount, fee=0, kind="refund")

    # --- the page -------------------------------------------------------------------------------------------
    async def show_page(self, request: web.Request) -> web.StreamResponse:
        """Where the session's address leads."""
        weather = self._store.take_weather("stripe", "create")
        other = await instead_of_answer(weather, request, self._world)
        if other is not None:
            return other
        trade = self.visited({"url": request.path})
        if trade is None:
            return page.render(request, "cashier_refused.html", {"reason": "not_found"}, status=404)
        return self._shown(request, trade)

    def _shown(self, request: web.Request, trade: Trade, *, is_declined: bool = False) -> web.Response:
        visit = secrets.token_urlsafe(18)
        self._store.add_code(trade, f"visit:{visit}", lives_s=_VISIT_S)
        return page.render(
            request,
            "stripe_page.html",
            {
                "trade": trade,
                "amount": formats.money(*_as_shown(trade)),
                "merchant": self._store.merchant_of(trade),
                "visit": visit,
                "is_declined": is_declined,
            },
        )

    async def choose(self, request: web.Request) -> web.StreamResponse:
        """The buyer paid, was declined, or left."""
        found = self._store.trade_by_code(f"visit:{request.match_info['visit']}")
        if found is None:
            return page.render(request, "cashier_refused.html", {"reason": "not_found"}, status=404)
        trade, choice = self._world.trading.current(found[0]), request.match_info["choice"]
        if choice == "leave":
            return _to(trade.terms["cancel_url"])
        if trade.state == CLOSED:
            return page.render(request, "cashier_refused.html", {"reason": "closed"}, status=400)
        if choice == "decline" and trade.state == WAITING:
            self.use_card(trade, "declined", Telling())
            return self._shown(request, trade, is_declined=True)
        if trade.state != PAID:  # a second press of the button leads the same way
            self.use_card(trade, "succeeds", Telling())
        return _to(trade.return_url)


# --- shapes -----------------------------------------------------------------------------------------------
def _to(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address})


def _movement(source: Document, amount: int, *, fee: int, kind: str) -> Document:
    return {
        "id": f"txn_{source['id'].partition('_')[2]}",
        "object": "balance_transaction",
        "amount": amount,
        "available_on": source["created"] + 2 * 86400,
        "created": source["created"],
        "currency": source["currency"],
        "exchange_rate": None,
        "fee": fee,
        "net": amount - fee,
        "reporting_category": kind,
        "source": source,
        "status": "pending",
        "type": kind,
    }


def _processing(trade: Trade) -> str:
    return f"stripe processing {trade.id}."


def _as_shown(trade: Trade) -> tuple[int, str]:
    """Amount and currency for people: of crowns of Iceland Stripe's last two digits are nothing."""
    return trade.amount // (100 if trade.currency == "ISK" else 1), trade.currency
