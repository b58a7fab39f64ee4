"""What the simulated app stores in joint operation share: a purchase inside the SDK, and the frame of their calls."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from channels_app.simulator import formats
from channels_app.simulator.acting import telling_of
from channels_app.simulator.parts import Purchase
from channels_app.simulator.rows import WAITING, Merchant, Payment, Trade, Weather
from channels_app.simulator.trading import Refused
from channels_app.simulator.weather import World, instead_of_answer, spares_the_deed

PRICE_OF_ONE = 600
_PAYABLE_S = 86400.0
WHOLE_CURRENCIES = formats.WHOLE_CURRENCIES
_CONFIRMED = "confirmed "

Document = dict[str, Any]
Deed = Callable[[web.Request, str], Awaitable[Document]]


class Fault(Exception):
    """A no of a store: its HTTP status, and what is in it."""

    def __init__(self, status: int, document: Document) -> None:
        """As the store says it."""
        super().__init__(str(document))
        self.status = status
        self.document = document


def call(
    world: World, provider: str, name: str, deed: Deed, trouble: Callable[[int], Fault]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A deed in today's weather, which it is told of; `trouble(status)` is what the store says when it has some."""

    async def answer(request: web.Request) -> web.StreamResponse:
        weather: Weather | None = None
        try:
            await request.read()
            weather = world.store.take_weather(provider, name)
            mode = weather.mode if weather else "ok"
            status = {"error500": 500, "error429": 429}.get(mode)
            if status and spares_the_deed(weather):
                raise trouble(status)
            document = await deed(request, mode)
            if status:
                raise trouble(status)
            status = 200
        except Fault as fault:
            status, document = fault.status, fault.document
        other = await instead_of_answer(weather, request, world)
        return other or web.json_response(document, status=status)

    return answer


def refuse_unknown(asked: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises Refused for what nobody may ask of a purchase."""
    if unknown := sorted(set(asked) - {"notify", "delay_s", *known}):
        raise Refused("unknown_field", f"buying takes {', '.join(known)}, not {', '.join(unknown)}")


def begun(
    world: World, merchant: Merchant, *, number: str, amount: int, currency: str, subject: str, terms: Document
) -> Trade:
    """The trade of a purchase that the buyer has begun; begun again it is the same."""
    known = world.store.trade_by_number(merchant, number)
    if known is not None:
        return world.trading.current(known)
    return world.store.add_trade(
        merchant,
        out_trade_no=number,
        product="sdk",
        amount=amount,
        subject=subject,
        attach="",
        notify_url=merchant.about["notify_url"],
        return_url="",
        opened=True,
        expires_at=time.time() + _PAYABLE_S,
        terms={**terms, "currency": currency},
    )


def paid(world: World, trade: Trade, asked: Mapping[str, Any]) -> tuple[Payment, Purchase]:
    """The buyer pays; told as the merchant's console says, which may hold no address."""
    if trade.state != WAITING:
        raise Refused(trade.state, f"the trade is {trade.state}")
    telling = telling_of(asked)
    if not trade.notify_url:
        telling = replace(telling, mode="lost")
    payment, notice = world.trading.pay(trade, telling=telling)
    return payment, Purchase(trade=world.store.trade(trade.id), notices=[notice])


def whole(asked: Mapping[str, Any], name: str, default: int) -> int:
    """A whole number above 0 that somebody asked for. Raises Refused."""
    value = asked.get(name, default)
    if type(value) is not int or value <= 0:
        raise Refused("invalid_field", f"{name} is a whole number above 0")
    return value


def currency_of(asked: Mapping[str, Any]) -> str:
    """Three letters. Raises Refused."""
    value = asked.get("currency", "CNY")
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
        raise Refused("invalid_field", "currency is three letters")
    return value


def text_of(params: Mapping[str, Any], name: str) -> str:
    """What the SDK cannot do without. Raises Refused."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise Refused("invalid_field", f"the SDK is given {name}")
    return value


def payments_of(world: World, merchant: Merchant) -> list[Payment]:
    """Everything that a merchant has taken."""
    return world.store.payments_between(merchant, 0.0, time.time() + 1)


def confirm(world: World, payment: Payment) -> None:
    """The merchant says that the goods were delivered."""
    world.store.add_code(world.store.trade(payment.trade_id), f"{_CONFIRMED}{payment.transaction_id}", lives_s=0)


def is_confirmed(world: World, payment: Payment) -> bool:
    """Whether the merchant has said so."""
    return world.store.trade_by_code(f"{_CONFIRMED}{payment.transaction_id}") is not None
