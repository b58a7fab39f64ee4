"""The simulator as a process, and as a part of a test: one event loop, one port, everything at its root."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from aiohttp import web

from channels_app.simulator.acting import Acting
from channels_app.simulator.alipay import BILL_PATH, Alipay, download_bill
from channels_app.simulator.alipay_voice import AlipayVoice
from channels_app.simulator.cashier import Cashier
from channels_app.simulator.control import Control
from channels_app.simulator.notifying import Notifier
from channels_app.simulator.page import Page
from channels_app.simulator.parts import PARTS
from channels_app.simulator.store import Store
from channels_app.simulator.trading import Trading
from channels_app.simulator.voices import Voice
from channels_app.simulator.weather import World
from channels_app.simulator.wechatpay import WechatPay
from channels_app.simulator.wechatpay_voice import WechatPayVoice

HOST = "127.0.0.1"
_BODY_LIMIT_BYTES = 1 << 20
_LAST_ANSWERS_S = 2.0
_READY_WITHIN_S = 15.0
# Only our own page and programs may drive the simulator, not some other site in the same browser.
_DRIVEN = ("/control/", "/act", "/weather", "/cashier/")

OnReady = Callable[[str], None]


def serve(directory: Path, port: int, *, speed: float = 1.0, on_ready: OnReady | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `speed` shortens every wait of the providers' ladders by that factor."""
    asyncio.run(_serve_until_told(directory, port, speed=speed, on_ready=on_ready))


class RunningSimulator:
    """A simulator in a thread, for tests: `with RunningSimulator(directory) as simulator: … simulator.url`."""

    def __init__(self, directory: Path, *, port: int = 0, speed: float = 1.0) -> None:
        """Port 0 takes a free one."""
        self.store = Store(directory)
        self.url = ""
        self._port = port
        self._speed = speed
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def __enter__(self) -> "RunningSimulator":
        """Start; returns when it listens."""
        self._thread.start()
        if not self._ready.wait(_READY_WITHIN_S) or self._failure is not None:
            raise RuntimeError("the simulator did not start") from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; returns when nothing of it runs any more."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_READY_WITHIN_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001  # told to the thread that waits for us
            self._failure = failure
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with _running(self.store, self._port, speed=self._speed) as url:
            self.url = url
            self._ready.set()
            await self._stop.wait()


async def _serve_until_told(directory: Path, port: int, *, speed: float, on_ready: OnReady | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with _running(Store(directory), port, speed=speed) as url:
        if on_ready is not None:
            on_ready(url)
        await stop.wait()


@asynccontextmanager
async def _running(store: Store, port: int, *, speed: float) -> AsyncIterator[str]:
    """Listening and sending, from here to the end of the block."""
    world = _world(store, speed)
    runner = web.AppRunner(_application(world), access_log=None, shutdown_timeout=_LAST_ANSWERS_S)
    await runner.setup()
    background: list[asyncio.Task[None]] = []
    try:
        site = web.TCPSite(runner, HOST, port, backlog=1024)
        await site.start()
        background += [asyncio.create_task(work()) for work in (world.notifier.run, world.trading.keep_house)]
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        # Whoever is kept waiting by bad weather is let go first, or the server would wait for them.
        world.stopping.set()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()


def _world(store: Store, speed: float) -> World:
    wechatpay, alipay = WechatPayVoice(store.platform), AlipayVoice(store.platform)
    parts = {code: kind(store.platform) for code, kind in PARTS.items()}
    telling: dict[str, Voice] = {"wechatpay": wechatpay, "alipay": alipay}
    telling |= {code: part.voice for code, part in parts.items()}
    notifier = Notifier(store, telling, speed=speed)
    trading = Trading(store, telling, notifier, speed=speed)
    return World(
        store=store,
        wechatpay=wechatpay,
        alipay=alipay,
        parts=parts,
        notifier=notifier,
        trading=trading,
        stopping=asyncio.Event(),
    )


def _application(world: World) -> web.Application:
    application = web.Application(middlewares=[_own_pages_only], client_max_size=_BODY_LIMIT_BYTES)
    alipay, acting = Alipay(world), Acting(world)
    application.add_routes(WechatPay(world).routes())
    application.add_routes(Cashier(world, alipay).routes())
    application.add_routes(Control(world, acting, alipay).routes())
    application.add_routes(Page(world, acting).routes())
    application.add_routes([web.get(BILL_PATH, download_bill)])
    for part in world.parts.values():
        application.add_routes(part.routes(world))
    return application


@web.middleware
async def _own_pages_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    origin = request.headers.get("Origin")
    is_ours = not origin or urlsplit(origin).netloc == request.host
    if request.method == "POST" and not is_ours and request.path.startswith(_DRIVEN):
        raise web.HTTPForbidden(text="not from another site")
    return await handler(request)
