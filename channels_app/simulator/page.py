"""The simulator's page for people: merchants, trades with a button for everything, what was answered, the weather.

Plain HTML from the templates beside this file; Chinese or English as the browser asks.
"""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from django.template import Context, Engine
from django.utils import translation
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy
from django.utils.translation.trans_real import parse_accept_lang_header

from channels_app.simulator import alipay, control, formats, wechatpay
from channels_app.simulator.acting import NOTIFY_MODES, Acting, Peculiar
from channels_app.simulator.merchants import PROVIDERS
from channels_app.simulator.rows import Notice, Trade
from channels_app.simulator.trading import Refused
from channels_app.simulator.weather import CALLS, MODES, World

_TRADES_SHOWN = 30
_NOTICES_SHOWN = 30
_RECENT_SHOWN = 5
_CODE_PREFIX = {"wechatpay": wechatpay.CODE_PREFIX, "alipay": alipay.CODE_PREFIX}
_engine = Engine(dirs=[str(Path(__file__).parent / "templates")], libraries={"i18n": "django.templatetags.i18n"})

LABELS: Mapping[str, Any] = {
    "wechatpay": gettext_lazy("WeChat Pay"),
    "alipay": gettext_lazy("Alipay"),
    # trades
    "waiting": gettext_lazy("waiting for payment"),
    "paid": gettext_lazy("paid"),
    "closed": gettext_lazy("closed"),
    # notifications
    "due": gettext_lazy("being sent"),
    "held": gettext_lazy("held back"),
    "acknowledged": gettext_lazy("acknowledged"),
    "given_up": gettext_lazy("given up"),
    "lost": gettext_lazy("lost on the way"),
    "genuine": gettext_lazy("genuine"),
    "foreign": gettext_lazy("another merchant's"),
    "probe": gettext_lazy("signature probe"),
    "forged": gettext_lazy("forged"),
    # acts
    "pay": gettext_lazy("Pay"),
    "pay-twice": gettext_lazy("Pay twice"),
    "pay-late": gettext_lazy("Pay although closed"),
    "wrong-amount": gettext_lazy("Pay a wrong amount"),
    "foreign-merchant": gettext_lazy("Another merchant's payment"),
    "close": gettext_lazy("Close the trade"),
    "refund": gettext_lazy("Refund"),
    "notify": gettext_lazy("Notify again"),
    "forged-notice": gettext_lazy("Forged notification"),
    "probe-notice": gettext_lazy("Signature probe"),
    # how a notification travels
    "normal": gettext_lazy("arrives"),
    "delayed": gettext_lazy("arrives late"),
    "reordered": gettext_lazy("arrives after the next one"),
    # weather
    "ok": gettext_lazy("fine"),
    "error500": gettext_lazy("system error"),
    "error429": gettext_lazy("too many calls"),
    "timeout": gettext_lazy("no answer"),
    "garbage": gettext_lazy("garbage"),
    "unsigned": gettext_lazy("unsigned answer"),
    "wrong_signature": gettext_lazy("wrong signature"),
    "reset": gettext_lazy("connection cut"),
    "create": gettext_lazy("opening"),
    "query": gettext_lazy("asking"),
    "bill": gettext_lazy("bills"),
}
_ACT_LABELS = {"forged": "forged-notice", "probe": "probe-notice"}
# Why an act was refused.
_REFUSALS: Mapping[str, Any] = {
    "paid": gettext_lazy("This order is paid."),
    "closed": gettext_lazy("This order is closed and cannot be paid any more."),
    "not_paid": gettext_lazy("Nothing was paid."),
    "too_much": gettext_lazy("That is more than is left of the payment."),
    "nothing_to_tell": gettext_lazy("Nothing has happened yet that the provider would tell."),
    "unknown_action": gettext_lazy("This provider does not do that."),
    "unknown_field": gettext_lazy("A value is not as it must be."),
    "invalid_field": gettext_lazy("A value is not as it must be."),
}
# Why a cashier sends a buyer away.
_REASONS: Mapping[str, Any] = {
    "not_found": gettext_lazy("Nobody knows this code. Open the payment again."),
    "code_expired": gettext_lazy("This code is too old. Open the payment again."),
    "closed": gettext_lazy("This order is closed and cannot be paid any more."),
}


def render(request: web.Request, template: str, content: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """A page in the browser's language."""
    language = _language(request)
    with translation.override(language):
        reason = content.get("reason")
        shown = {**content, "language": language, "reason": _REASONS.get(str(reason), reason)}
        text = _engine.get_template(template).render(Context(shown))
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


class TradeView:
    """A trade as the page shows it."""

    def __init__(self, world: World, acting: Acting, trade: Trade) -> None:
        """Reads only what the template asks for."""
        self._world = world
        self._acting = acting
        self._store = world.store
        self._trading = world.trading
        self.trade = world.trading.current(trade)

    @property
    def amount(self) -> str:
        """With its currency."""
        return formats.money(self.trade.amount, self.trade.currency)

    @cached_property
    def payments(self) -> list[dict[str, Any]]:
        """Taken and given back."""
        return [
            {
                "transaction_id": each.transaction_id,
                "amount": formats.money(each.amount, self.trade.currency),
                "refunded": formats.money(refunded, self.trade.currency)
                if (refunded := self._trading.refunded(each))
                else "",
            }
            for each in self._store.payments(self.trade)
        ]

    @property
    def label(self) -> Any:
        """Its state, in words."""
        return LABELS[self.trade.state]

    @property
    def provider(self) -> Any:
        """Its provider, in words."""
        return _provider_label(self._world, self.trade.provider)

    @property
    def merchant(self) -> str:
        """Whose it is."""
        return self._store.merchant_of(self.trade).code

    @property
    def created(self) -> str:
        """Beijing time."""
        return formats.plain_time(self.trade.created_at)

    @property
    def acts(self) -> list[tuple[str, Any]]:
        """What can happen to it: a name, and what its button says."""
        usual = [(name, _act_label(name)) for name in self._acting.at(self.trade.provider)]
        return [*usual, *_own_acts(self._world, self.trade.provider).items()]

    @property
    def code(self) -> str:
        """The text of its QR code, if it has one."""
        prefix = _CODE_PREFIX.get(self.trade.provider)
        return self._store.code_of(self.trade, prefix) if prefix else ""


class Page:
    """The HTTP side."""

    def __init__(self, world: World, acting: Acting) -> None:
        """`acting` does what the buttons say."""
        self._world = world
        self._store = world.store
        self._acting = acting
        # What was done to which trade, and why it was refused if it was.
        self._recent: deque[tuple[str, Any, Any]] = deque(maxlen=_RECENT_SHOWN)

    def routes(self) -> list[web.RouteDef]:
        """The page and its two forms."""
        return [web.get("/", self._show), web.post("/act", self._act), web.post("/weather", self._set_weather)]

    async def _show(self, request: web.Request) -> web.Response:
        content = {
            "merchants": [(_provider_label(self._world, each.provider), each) for each in self._store.merchants()],
            "trades": [
                TradeView(self._world, self._acting, trade) for trade in self._store.trades(limit=_TRADES_SHOWN)
            ],
            "notices": [self._notice(notice) for notice in self._store.notices(limit=_NOTICES_SHOWN)],
            "weather": [
                {
                    **each,
                    "provider": _provider_label(self._world, each["provider"]),
                    "call": _call_label(each["call"]),
                    "mode": LABELS[each["mode"]],
                }
                for each in control.weather_document(self._store)
            ],
            "notify_modes": [(mode, LABELS[mode]) for mode in NOTIFY_MODES],
            "modes": [(mode, LABELS[mode]) for mode in MODES],
            "calls": [(call, _call_label(call)) for call in CALLS],
            "providers": [(provider, _provider_label(self._world, provider)) for provider in PROVIDERS],
            "recent": list(reversed(self._recent)),
        }
        return render(request, "home.html", content)

    async def _act(self, request: web.Request) -> web.Response:
        """One button of one trade."""
        form = await request.post()
        said = {name: str(value) for name, value in form.items()}
        if not said.get("trade", "").isdigit() or "act" not in said:
            raise web.HTTPBadRequest(text="trade and act are missing")
        trade, name = self._store.trade(int(said["trade"])), said["act"]
        own = _own_acts(self._world, trade.provider)
        if name in own:
            refusal = await self._do_own(request, trade, name)
        else:
            refusal = await self._do(trade, name, self._asked(name, said))
        self._recent.append((trade.out_trade_no, own.get(name) or _act_label(name), refusal))
        return _back()

    def _asked(self, name: str, said: Mapping[str, str]) -> dict[str, Any]:
        """The fields that this act takes, of those that every button sends."""
        wanted = self._acting.fields(name)
        asked: dict[str, Any] = {
            field: int(said[field])
            for field in ("amount", "times", "delay_s")
            if field in wanted and said.get(field, "").isdigit()
        }
        if "notify" in wanted:
            asked["notify"] = said.get("notify", "normal")
        if "new_ids" in wanted:
            asked["new_ids"] = said.get("new_ids") == "1"
        return asked

    async def _do(self, trade: Trade, name: str, asked: Mapping[str, Any]) -> Any:
        """An act of every provider's. Returns why it was refused, if it was."""
        try:
            await self._acting.act(trade, name, asked)
        except Refused as refused:
            return _REFUSALS.get(refused.code, str(refused))
        return None

    @staticmethod
    async def _do_own(request: web.Request, trade: Trade, name: str) -> str | None:
        """An act of this provider's alone, where a program would ask for it too."""
        address = request.url.origin() / "control" / trade.provider / trade.out_trade_no / name
        async with aiohttp.ClientSession() as http, http.post(address) as answer:
            return None if answer.ok else await answer.text()

    async def _set_weather(self, request: web.Request) -> web.Response:
        form = await request.post()
        count = str(form.get("count", ""))
        asked = {
            "provider": form.get("provider"),
            "mode": form.get("mode"),
            "calls": [str(call) for call in form.getall("calls", [])],
            "count": int(count) if count.isdigit() else None,
        }
        try:
            control.set_weather(self._store, asked)
        except Refused as refused:
            self._recent.append(("", gettext_lazy("Weather"), _REFUSALS.get(refused.code, str(refused))))
        return _back()

    def _notice(self, notice: Notice) -> dict[str, Any]:
        attempts = self._store.attempts(notice)
        return {
            "notice": notice,
            "out_trade_no": self._store.trade(notice.trade_id).out_trade_no,
            "how": LABELS[notice.how],
            "state": LABELS[notice.state],
            "sent": len(attempts),
            "last": attempts[-1] if attempts else None,
            "at": formats.plain_time(notice.created_at),
        }


def _provider_label(world: World, provider: str) -> Any:
    """The parts bring their own."""
    return LABELS[provider] if provider in LABELS else world.parts[provider].label


def _own_acts(world: World, provider: str) -> Mapping[str, Any]:
    part = world.parts.get(provider)
    return part.own_acts if isinstance(part, Peculiar) else {}


def _act_label(name: str) -> Any:
    return LABELS[_ACT_LABELS.get(name, name)]


def _call_label(call: str) -> Any:
    return {"close": gettext_lazy("closing"), "refund": gettext_lazy("refunding")}.get(call) or LABELS[call]


def _back() -> web.Response:
    return web.Response(status=303, headers={"Location": "/"})


def _language(request: web.Request) -> str:
    for code, _quality in parse_accept_lang_header(request.headers.get("Accept-Language", "")[:200]):
        if code.startswith("zh"):
            return "zh-hans"
        if code.startswith("en"):
            return "en"
    return "en"
