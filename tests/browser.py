"""A real Chromium for tests, spoken to over its DevTools protocol: no driver to install, no version to match.

Every call runs the event loop just as long as it needs, so a test reads like a person's clicks. What a page
logs as an error of its own (a script that throws, a content security violation) is kept in `Page.faults`.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp

WITHIN_S = 15.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0",
)  # fmt: skip
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Mobile Safari/537.36"
)


def chromium() -> str | None:
    """Where a Chromium is installed, if one is."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One Chromium with a profile of its own. A context manager."""

    def __init__(self, binary: str):
        self._profile = Path(tempfile.mkdtemp(prefix="browser-"))
        self._process = subprocess.Popen(
            [binary, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._loop = asyncio.new_event_loop()
        self._numbers = 0
        self._answers = {}
        self._pages = {}
        self._session = self._socket = self._reader = None

    def __enter__(self):
        self.run(self._connect())
        return self

    def __exit__(self, *_):
        try:
            self.run(self._close())
            self._loop.close()
        finally:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            shutil.rmtree(self._profile, ignore_errors=True)

    def run(self, coroutine):
        """Run the loop until this is done."""
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, WITHIN_S * 2))

    def page(self, *, width=1440, height=900, mobile=False, language="zh-CN", dark=False, scripts=True) -> "Page":
        """A new tab on a device of this kind; it shares nothing with others."""
        return self.run(self._page(width, height, mobile, language, dark, scripts))

    async def send(self, method, session=None, **params):
        """One command; its result."""
        self._numbers += 1
        number = self._numbers
        answer = self._answers[number] = self._loop.create_future()
        message = {"id": number, "method": method, "params": params}
        await self._socket.send_str(json.dumps({**message, "sessionId": session} if session else message))
        return await answer

    async def _connect(self):
        port_file = self._profile / "DevToolsActivePort"
        until = time.monotonic() + WITHIN_S
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert self._process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < until, "Chromium did not open its DevTools port"
            await asyncio.sleep(0.05)
        port, path = port_file.read_text().split("\n")[:2]
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0)
        self._reader = self._loop.create_task(self._read())

    async def _read(self):
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answer(said)
            elif page := self._pages.get(said.get("sessionId")):
                page.heard(said["method"], said["params"])

    def _answer(self, said):
        future = self._answers.pop(said["id"])
        if future.done():  # given up
            return
        if "error" in said:
            future.set_exception(AssertionError(f"DevTools: {said['error']['message']}"))
        else:
            future.set_result(said["result"])

    async def _page(self, width, height, mobile, language, dark, scripts):
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        target = (await self.send("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable", session)
        agent = (await self.send("Browser.getVersion"))["userAgent"].replace("Headless", "")
        await self.send(
            "Emulation.setUserAgentOverride",
            session,
            userAgent=PHONE if mobile else agent,
            acceptLanguage=language,
        )
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        await self.send("Emulation.setTouchEmulationEnabled", session, enabled=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", session, features=[scheme])
        await self.send("Emulation.setScriptExecutionDisabled", session, value=not scripts)
        return page

    async def close_page(self, page):
        """Close a tab, with its cookies and its connections."""
        await self.send("Target.disposeBrowserContext", browserContextId=page.context)
        self._pages.pop(page.session, None)

    async def _close(self):
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._socket:
            await self._socket.close()
        if self._session:
            await self._session.close()


class Page:
    """One tab."""

    def __init__(self, browser, session, context):
        self.browser, self.session, self.context = browser, session, context
        self.faults = []

    def heard(self, method, params):
        """An event of this tab."""
        if method == "Runtime.exceptionThrown":
            self.faults.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif method == "Log.entryAdded" and params["entry"]["source"] in (
            "security",
            "javascript",
            "violation",
        ):
            self.faults.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.faults.append(str([each.get("value") for each in params["args"]]))

    def _send(self, method, **params):
        return self.browser.run(self.browser.send(method, self.session, **params))

    def goto(self, url: str) -> None:
        """Open an address and wait until it has loaded."""
        answer = self._send("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer.get('errorText')}"
        self.until("document.readyState === 'complete'", f"{url} to load")

    def evaluate(self, expression: str):
        """The value of an expression in the page."""
        answer = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def text(self) -> str:
        """What a person reads."""
        return self.evaluate("document.body.innerText")

    @property
    def address(self) -> str:
        """Where the tab is."""
        return self.evaluate("location.href")

    def until(self, expression: str, what: str = "") -> None:
        """Wait until an expression holds in the page; navigation in between is fine."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                if self.evaluate(f"Boolean({expression})"):
                    return
            except AssertionError as error:  # the page is being replaced
                last = str(error)
            else:
                last = ""
            assert time.monotonic() < deadline, f"waited for {what or expression} {last}; the page says:\n{self.text}"
            self.browser.run(asyncio.sleep(0.05))

    def until_text(self, words: str) -> None:
        """Wait until a person can read these words."""
        self.until(f"document.body && document.body.innerText.includes({json.dumps(words)})", f"the words {words!r}")

    def click(self, selector: str) -> None:
        """Press what is at a selector, with the mouse, where it really is on the screen."""
        wanted = json.dumps(selector)
        self.until(f"document.querySelector({wanted})", f"something at {selector}")
        x, y = self.evaluate(
            f"(() => {{ const it = document.querySelector({wanted}); it.scrollIntoView({{block: 'center'}});"
            " const box = it.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: str | Path, *, whole: bool = False) -> None:
        """Keep a picture, for people."""
        shot = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Close the tab."""
        self.browser.run(self.browser.close_page(self))
