"""The control API (`/control/…`, JSON): see trades, make things happen, change the weather, fetch bills."""

import json
from typing import Any

from aiohttp import web

from channels_app.simulator import bills, formats, keys
from channels_app.simulator.acting import WAIT_S, Acting
from channels_app.simulator.alipay import Alipay, BusinessFault, GatewayFault, read_order_string
from channels_app.simulator.merchants import PROVIDERS
from channels_app.simulator.rows import Merchant, Notice, Payment, Trade
from channels_app.simulator.store import Store
from channels_app.simulator.trading import Refused
from channels_app.simulator.weather import CALLS, MODES, World

_STATUS_OF = {"not_found": 404, "unknown_action": 404, "unknown_field": 400, "invalid_field": 400}
_NOTIFY_KEYS = ("alternating", "public_key", "platform_certificate")


class Control:
    """The HTTP side."""

    def __init__(self, world: World, acting: Acting, alipay: Alipay) -> None:
        """`acting` does it; `alipay` reads what the app presents."""
        self._world = world
        self._store = world.store
        self._acting = acting
        self._alipay = alipay

    def routes(self) -> list[web.RouteDef]:
        """Everything below /control/."""
        return [
            web.get("/control/trades", self._trades),
            web.post("/control/trades/{provider}/{out_trade_no}/{action}", self._act),
            web.post("/control/present", self._present),
            web.post("/control/buy", self._buy),
            web.get("/control/weather", self._weather),
            web.post("/control/weather", self._set_weather),
            web.get("/control/merchants", self._merchants),
            web.post("/control/merchants/{provider}/{code}", self._set_merchant),
            web.get("/control/bills/{provider}", self._bills),
            web.get("/control/bills/{provider}/{code}", self._bill),
        ]

    async def _trades(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "100")
        if not limit.isdigit():
            raise _bad("invalid_field", "limit is a whole number")
        found = self._store.trades(
            provider=request.query.get("provider", ""),
            out_trade_no=request.query.get("out_trade_no", ""),
            limit=int(limit),
        )
        current = [self._world.trading.current(trade) for trade in found]
        return _json({"trades": [trade_document(self._store, trade) for trade in current]})

    async def _act(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        where = request.match_info
        trade = self._find(where["provider"], where["out_trade_no"], asked.get("merchant"))
        try:
            done = await self._acting.act(trade, where["action"], asked)
        except Refused as refusal:
            raise _bad(refusal.code, str(refusal)) from None
        notices = [notice_document(self._store, self._store.notice(notice.id)) for notice in done.notices]
        return _json(
            {
                "done": done.said,
                "notifications": notices,
                "trade": trade_document(self._store, self._store.trade(trade.id)),
            }
        )

    async def _present(self, request: web.Request) -> web.Response:
        """The player's app shows the provider what our side signed."""
        asked = await _object(request)
        if asked.get("provider") == "wechatpay":
            return _json({"trade": trade_document(self._store, self._presented_to_wechat(asked.get("params")))})
        if asked.get("provider") != "alipay" or not isinstance(asked.get("order_string"), str):
            raise _bad("invalid_field", "give provider and order_string (alipay) or params (wechatpay)")
        try:
            trade = self._alipay.present(read_order_string(asked["order_string"]))
        except (GatewayFault, BusinessFault) as fault:
            raise _bad(fault.sub_code, str(fault)) from None
        return _json({"trade": trade_document(self._store, trade)})

    async def _buy(self, request: web.Request) -> web.Response:
        """The player's device with the parameters of a pay call, up to having paid; answers what its SDK gets."""
        asked = await _object(request)
        part = self._world.parts.get(str(asked.pop("provider", "")))
        params, code = asked.pop("params", None), str(asked.pop("merchant", ""))
        if part is None or not isinstance(params, dict):
            raise _bad("invalid_field", f"give provider ({', '.join(self._world.parts)}) and params")
        merchant = self._store.find_merchant(part.code, code)
        if merchant is None:
            raise _bad("not_found", "merchant is the code of the account")
        waits = asked.pop("wait", False)
        try:
            bought = await part.buy(self._world, merchant, params, asked)
        except Refused as refusal:
            raise _bad(refusal.code, str(refusal)) from None
        if waits:
            await self._world.notifier.answers(bought.notices, within_s=WAIT_S)
        notices = [notice_document(self._store, self._store.notice(notice.id)) for notice in bought.notices]
        return _json(
            {
                "trade": trade_document(self._store, self._store.trade(bought.trade.id)),
                "evidence": dict(bought.evidence),
                "notifications": notices,
            }
        )

    def _presented_to_wechat(self, params: Any) -> Trade:
        """The parameters of the app's or page's SDK, signed by the merchant."""
        if not isinstance(params, dict):
            raise _bad("invalid_field", "params are what the SDK was given")
        text = {str(name).lower(): str(value) for name, value in params.items()}
        package = text.get("package", "")
        is_page = package.startswith("prepay_id=")
        prepay_id = package.removeprefix("prepay_id=") if is_page else text.get("prepayid", "")
        found = self._store.trade_by_code(prepay_id)
        if found is None:
            raise _bad("not_found", "no such prepay_id")
        merchant = self._store.merchant_of(found[0])
        signed = [text.get("appid", ""), text.get("timestamp", ""), text.get("noncestr", "")]
        lines = [*signed, package if is_page else prepay_id, ""]
        signature = text.get("paysign" if is_page else "sign", "")
        if signed[0] != merchant.about["appid"] or not keys.verifies(
            merchant.about["private_key"], "\n".join(lines).encode(), signature
        ):
            raise _bad("SIGN_ERROR", "the signature is not the merchant's")
        return found[0]

    # --- weather and merchants ------------------------------------------------------------------------------
    async def _weather(self, _: web.Request) -> web.Response:
        return _json({"weather": weather_document(self._store)})

    async def _set_weather(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        try:
            set_weather(self._store, asked)
        except Refused as refusal:
            raise _bad(refusal.code, str(refusal)) from None
        return _json({"weather": weather_document(self._store)})

    async def _merchants(self, _: web.Request) -> web.Response:
        return _json({"merchants": [merchant_document(each) for each in self._store.merchants()]})

    async def _set_merchant(self, request: web.Request) -> web.Response:
        """`notify_keys` (WeChat Pay: alternating, public_key, platform_certificate), `bills_at_once`."""
        asked = await _object(request)
        merchant = self._merchant(request)
        if unknown := set(asked) - {"notify_keys", "bills_at_once"}:
            raise _bad("unknown_field", f"notify_keys and bills_at_once, not {', '.join(sorted(unknown))}")
        if "notify_keys" in asked and (merchant.provider != "wechatpay" or asked["notify_keys"] not in _NOTIFY_KEYS):
            raise _bad("invalid_field", f"notify_keys is {', '.join(_NOTIFY_KEYS)}, at WeChat Pay")
        if not isinstance(asked.get("bills_at_once", False), bool):
            raise _bad("invalid_field", "bills_at_once is true or false")
        return _json({"merchant": merchant_document(self._store.change_merchant(merchant, **asked))})

    # --- bills ----------------------------------------------------------------------------------------------
    async def _bills(self, request: web.Request) -> web.Response:
        """Which merchants have lines on this day, and where each one's file is."""
        provider = request.match_info["provider"]
        day = bills.read_day(request.query.get("date", ""))
        if day is None or provider not in PROVIDERS:
            raise _bad("invalid_field", "date is YYYY-MM-DD")
        listed = [
            {
                "merchant": merchant.code,
                "lines": bills.count(self._store, merchant, day),
                "download": f"/control/bills/{provider}/{merchant.code}?date={day}",
            }
            for merchant in self._store.merchants()
            if merchant.provider == provider
        ]
        return _json({"provider": provider, "date": str(day), "bills": listed})

    async def _bill(self, request: web.Request) -> web.Response:
        """The file as the provider would give it, of any day, also of today so far."""
        merchant = self._merchant(request)
        day = bills.read_day(request.query.get("date", ""))
        if day is None:
            raise _bad("invalid_field", "date is YYYY-MM-DD")
        is_wechat = merchant.provider == "wechatpay"
        make = bills.wechat_trade_bill if is_wechat else bills.alipay_trade_bill
        content = make(self._store, merchant, day)
        if content is None:
            raise _bad("not_found", "nothing happened that day")
        name = f"{merchant.provider}_{merchant.code}_{day}.{'csv' if is_wechat else 'zip'}"
        return web.Response(
            body=content,
            content_type="text/csv" if is_wechat else "application/zip",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _find(self, provider: str, out_trade_no: str, code: Any) -> Trade:
        for trade in self._store.trades(provider=provider, out_trade_no=out_trade_no):
            if code in (None, self._store.merchant_of(trade).code):
                return trade
        raise _bad("not_found", "no such trade (an Alipay order string must be presented first)")

    def _merchant(self, request: web.Request) -> Merchant:
        merchant = self._store.find_merchant(request.match_info["provider"], request.match_info["code"])
        if merchant is None:
            raise _bad("not_found", "no such merchant")
        return merchant


def set_weather(store: Store, asked: dict[str, Any]) -> None:
    """Change the weather as asked. Raises Refused."""
    if unknown := set(asked) - {"provider", "mode", "calls", "count", "carried_out"}:
        raise Refused("unknown_field", f"not {', '.join(sorted(unknown))}")
    provider, mode = asked.get("provider"), asked.get("mode")
    calls, count = asked.get("calls") or list(CALLS), asked.get("count")
    if provider not in PROVIDERS or mode not in MODES:
        raise Refused("invalid_field", f"provider is {' or '.join(PROVIDERS)}, mode one of {', '.join(MODES)}")
    if mode == "probe" and provider != "wechatpay":
        raise Refused("invalid_field", "only WeChat Pay sends probes")
    if not isinstance(calls, list) or not set(map(str, calls)) <= set(CALLS):
        raise Refused("invalid_field", f"calls are {', '.join(CALLS)}")
    if count is not None and (type(count) is not int or count < 1):
        raise Refused("invalid_field", "count is a whole number above 0")
    with store.together():
        for call in calls:
            store.set_weather(provider, call, mode, remaining=count, carried_out=bool(asked.get("carried_out")))


# --- documents --------------------------------------------------------------------------------------------
def trade_document(store: Store, trade: Trade) -> dict[str, Any]:
    """A trade with everything that happened to it."""
    return {
        "provider": trade.provider,
        "merchant": store.merchant_of(trade).code,
        "out_trade_no": trade.out_trade_no,
        "product": trade.product,
        "amount": trade.amount,
        "subject": trade.subject,
        "attach": trade.attach,
        "notify_url": trade.notify_url,
        "state": trade.state,
        "opened": trade.opened,
        "trade_no": trade.trade_no,
        "created_at": formats.rfc3339(trade.created_at),
        "expires_at": formats.rfc3339(trade.expires_at),
        "payments": [_payment_document(store, payment) for payment in store.payments(trade)],
        "notifications": [notice_document(store, notice) for notice in reversed(store.notices(trade=trade))],
    }


def notice_document(store: Store, notice: Notice) -> dict[str, Any]:
    """A notification and what was answered to it."""
    return {
        "id": notice.number,
        "event": notice.event,
        "how": notice.how,
        "state": notice.state,
        "url": notice.url,
        "attempts": [
            {
                "at": formats.rfc3339(attempt.at),
                "how": attempt.how,
                "status": attempt.status,
                "answer": attempt.answer,
                "acknowledged": attempt.acknowledged,
                "took_ms": attempt.took_ms,
            }
            for attempt in store.attempts(notice)
        ],
    }


def merchant_document(merchant: Merchant) -> dict[str, Any]:
    """A merchant, without its keys."""
    shown = ("appid", "seller_id", "notify_keys", "certificates", "bills_at_once")
    about = {name: merchant.about[name] for name in shown if name in merchant.about}
    return {"provider": merchant.provider, "code": merchant.code, "number": merchant.number, **about}


def weather_document(store: Store) -> list[dict[str, Any]]:
    """What is not well."""
    return [
        {"provider": each.provider, "call": each.call, "mode": each.mode, "remaining": each.remaining}
        for each in store.weather()
    ]


def _payment_document(store: Store, payment: Payment) -> dict[str, Any]:
    return {
        "transaction_id": payment.transaction_id,
        "amount": payment.amount,
        "paid_at": formats.rfc3339(payment.paid_at),
        "refunds": [
            {"number": each.number, "refund_id": each.refund_id, "amount": each.amount, "state": each.state}
            for each in store.refunds(payment)
        ],
    }


# --- HTTP -------------------------------------------------------------------------------------------------
async def _object(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _bad("invalid_body", "the body is one JSON object, or empty")
    return document


def _json(document: dict[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(document, ensure_ascii=False), content_type="application/json")


def _bad(code: str, message: str) -> web.HTTPException:
    body = json.dumps({"code": code, "error": message}, ensure_ascii=False)
    status = _STATUS_OF.get(code, 409)
    kinds = {400: web.HTTPBadRequest, 404: web.HTTPNotFound, 409: web.HTTPConflict}
    return kinds[status](text=body, content_type="application/json")
