"""Bad weather: how a call misbehaves although everything asked of it was right."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from channels_app.simulator.alipay_voice import AlipayVoice
from channels_app.simulator.notifying import Notifier
from channels_app.simulator.rows import Weather
from channels_app.simulator.store import Store
from channels_app.simulator.trading import Trading
from channels_app.simulator.wechatpay_voice import WechatPayVoice

if TYPE_CHECKING:  # the parts lean on this module
    from channels_app.simulator.parts import Part

MODES = ("ok", "error500", "error429", "timeout", "garbage", "unsigned", "wrong_signature", "reset", "probe")
# "query" is also the question about a refund; "bill" is also the certificate list.
CALLS = ("create", "query", "close", "refund", "bill")
# Longer than any client waits for an answer.
_SILENCE_S = 40.0
GARBAGE = b'<html><body>502 Bad Gateway</body></html>\x00{"code":'


@dataclass(slots=True, kw_only=True)
class World:
    """What every part of a running simulator leans on."""

    store: Store
    wechatpay: WechatPayVoice
    alipay: AlipayVoice
    parts: Mapping[str, "Part"]
    notifier: Notifier
    trading: Trading
    stopping: asyncio.Event


def spares_the_deed(weather: Weather | None) -> bool:
    """Whether nothing is carried out: an error is said instead."""
    return weather is not None and weather.mode in ("error500", "error429") and not weather.carried_out


async def instead_of_answer(weather: Weather | None, request: web.Request, world: World) -> web.StreamResponse | None:
    """Silence, a cut connection or garbage in place of the answer; None when there is to be one.

    What was asked has been carried out: that is what makes these hard.
    """
    mode = weather.mode if weather else "ok"
    if mode == "timeout":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(world.stopping.wait(), _SILENCE_S)
        mode = "reset"
    if mode == "reset":
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    if mode == "garbage":
        return web.Response(body=GARBAGE, content_type="text/html")
    return None
