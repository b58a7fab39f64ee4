"""Where a buyer pays: Alipay's cashier, WeChat Pay's mobile page, and a QR code held before a camera."""

import secrets
import time
from urllib.parse import urlsplit

from aiohttp import web

from channels_app.simulator import formats
from channels_app.simulator.alipay import (
    PRESENTED,
    Alipay,
    BusinessFault,
    GatewayFault,
    Parameters,
    read_parameters,
)
from channels_app.simulator.page import render
from channels_app.simulator.rows import Trade
from channels_app.simulator.trading import Refused
from channels_app.simulator.weather import World
from channels_app.simulator.wechatpay import CASHIER_PATH

_VISIT_S = 3600.0
_BROWSED = ("alipay.trade.wap.pay", "alipay.trade.page.pay")


class Cashier:
    """The pages a buyer meets."""

    def __init__(self, world: World, alipay: Alipay) -> None:
        """`alipay` reads what the browser presents."""
        self._world = world
        self._store = world.store
        self._alipay = alipay

    def routes(self) -> list[web.RouteDef]:
        """The gateway too: what a browser brings there becomes a page, everything else a call."""
        return [
            web.get("/gateway.do", self._gateway),
            web.post("/gateway.do", self._gateway),
            web.get(CASHIER_PATH, self._mobile_page),
            web.get("/scan", self._scan),
            web.post("/cashier/{visit}/{choice:pay|cancel}", self._choose),
        ]

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        parameters = await read_parameters(request)
        if parameters.get("method") in _BROWSED:
            return self._alipay_page(request, parameters)
        if request.method == "GET" and not parameters:
            return web.HTTPFound("/")
        return await self._alipay.answer(request, parameters)

    def _alipay_page(self, request: web.Request, parameters: Parameters) -> web.Response:
        try:
            trade = self._alipay.present(parameters)
        except (GatewayFault, BusinessFault) as fault:
            return self._refusal(request, f"{fault.sub_code}: {fault}")
        return self._page(request, trade)

    async def _mobile_page(self, request: web.Request) -> web.Response:
        """Where `h5_url` leads; `redirect_url`, if given, is where the buyer goes afterwards."""
        return self._by_code(request, request.query.get("prepay_id", ""), request.query.get("redirect_url", ""))

    async def _scan(self, request: web.Request) -> web.Response:
        """A phone's camera: `code` is the text of the QR code."""
        code = request.query.get("code", "").strip()
        if not code:
            return render(request, "scan.html", {})
        return self._by_code(request, code, "")

    def _by_code(self, request: web.Request, code: str, return_url: str) -> web.Response:
        found = self._store.trade_by_code(code)
        if found is None:
            return self._refusal(request, "not_found")
        trade, usable_until = found
        trade = self._world.trading.current(trade)
        if usable_until <= time.time() and trade.state == "waiting":
            return self._refusal(request, "code_expired")
        if not trade.opened:
            trade = self._world.trading.open(trade)
        return self._page(request, trade, return_url=return_url)

    def _page(self, request: web.Request, trade: Trade, *, return_url: str = "") -> web.Response:
        visit = f"visit:{secrets.token_urlsafe(18)}"
        self._store.add_code(trade, visit, lives_s=_VISIT_S)
        return render(
            request,
            "cashier.html",
            {
                "trade": trade,
                "amount": formats.yuan(trade.amount),
                "merchant": self._store.merchant_of(trade),
                "visit": visit.removeprefix("visit:"),
                "return_url": return_url,
            },
        )

    async def _choose(self, request: web.Request) -> web.Response:
        """The buyer pressed Pay or Cancel. Cancelling leaves the trade as it is: it can be paid later."""
        found = self._store.trade_by_code(f"visit:{request.match_info['visit']}")
        if found is None:
            return self._refusal(request, "not_found")
        trade = found[0]
        form = await request.post()
        if request.match_info["choice"] == "pay":
            try:
                self._world.trading.pay(trade)
            except Refused as refusal:
                # Paid a moment ago, by a second press of the button: the way back is the same.
                if refusal.code != "paid":
                    return self._refusal(request, refusal.code)
        if back := self._way_back(self._store.trade(trade.id), str(form.get("return_url", ""))):
            return web.Response(status=303, headers={"Location": back})
        return render(request, "cashier_done.html", {"trade": self._store.trade(trade.id)})

    def _way_back(self, trade: Trade, redirect_url: str) -> str:
        """Where the browser goes next; "" shows a page of our own."""
        payments = self._store.payments(trade)
        if trade.provider == "wechatpay":
            return redirect_url if urlsplit(redirect_url).scheme in ("http", "https") else ""
        if not payments:
            quit_url = str(trade.terms.get("quit_url") or trade.return_url)
            return quit_url if urlsplit(quit_url).scheme in ("http", "https") else ""
        if not trade.return_url:
            return ""
        merchant = self._store.merchant_of(trade)
        method = next(method for method, (product, _) in PRESENTED.items() if product == trade.product)
        signed = self._world.alipay.returning(trade, merchant, payments[0], method)
        return f"{trade.return_url}{'&' if '?' in trade.return_url else '?'}{signed}"

    @staticmethod
    def _refusal(request: web.Request, reason: str) -> web.Response:
        return render(request, "cashier_refused.html", {"reason": reason}, status=400)
