"""The real system as `make run` starts it, on ports and data of its own; found, killed and stopped by its mark."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "postgres": r"(^|/)postgres(\s|:|$)",
    "web": r"manage\.py web",
    "stream": r"manage\.py stream",
    "worker": r"manage\.py worker",
    "dispatcher": r"manage\.py dispatcher",
    "simulator": r"manage\.py simulator",
    "run": r"manage\.py run",
}
# Short ladders, so that a test sees in seconds what operators see in minutes.
QUICK = {
    "QUERY_LADDER_S": "1,1,2,2,4",
    "WEBHOOK_LADDER_S": "1,1,2,2,4",
    "WEBHOOK_PROBE_INTERVAL_S": "1",
    "SWEEP_INTERVAL_S": "1",
    "ORDERS_PER_PLAYER_PER_MINUTE": "100000",
}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = []
    for _ in range(count):
        held.append(socket.socket())
        held[-1].bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def until(condition: Callable[[], object], *, seconds: float, what: str) -> object:
    """What `condition` returns once it is true. Fails with `what` when it is not within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Stack:
    """One running system."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.mark = f"STACK_{secrets.token_hex(8)}"
        self.directory = directory
        self.log = directory / "run.log"
        port, stream, simulator = free_ports(3)
        self.base = f"http://127.0.0.1:{port}"
        self.simulator = f"http://127.0.0.1:{simulator}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PUBLIC_BASE_URL")},
            **QUICK, "DEBUG": "1", "PAYMENTS_DATA_DIR": str(directory / "data"), "PORT": str(port),
            "STREAM_PORT": str(stream), "SIMULATOR_PORT": str(simulator), "TEST_STACK": self.mark, **environment,
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------------------
    def start(self) -> "Stack":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run"], cwd=ROOT, env=self.environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        until(self.is_ready, seconds=60, what=f"ready; its log ends:\n{self.tail()}")
        return self

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the system ended by itself:\n{self.tail()}")
        try:
            return requests.get(f"{self.base}/readyz", timeout=2).ok and requests.get(self.simulator, timeout=2).ok
        except requests.RequestException:
            return False

    def interrupt(self) -> None:
        """Ctrl-C: the whole foreground process group hears it."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(30)

    def stop(self) -> None:
        """End it, and whatever a test left of it."""
        if self.process is not None and self.process.poll() is None:
            self.interrupt()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def restart_if_down(self) -> None:
        """As a service manager would after a kill: what comes back by itself is waited for, else all is started anew."""
        try:
            self.process.wait(8)
        except subprocess.TimeoutExpired:
            until(self.is_ready, seconds=30, what=f"up again; its log ends:\n{self.tail()}")
        else:
            until(lambda: not self.processes("web"), seconds=20, what="the old processes are gone")
            self.start()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    # --- processes --------------------------------------------------------------------------------------
    def processes(self, kind: str = "") -> dict[int, str]:
        """Our living processes, of one kind or all: pid → command line."""
        found = {}
        for place in Path("/proc").iterdir():
            try:
                if place.name.isdigit() and f"TEST_STACK={self.mark}".encode() in (place / "environ").read_bytes():
                    line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if line and (not kind or re.search(KINDS[kind], line)):
                        found[int(place.name)] = line
            except OSError:
                continue
        return found

    def kill(self, kind: str) -> int:
        """kill -9 every process of a kind. Returns how many."""
        pids = self.processes(kind)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    # --- use --------------------------------------------------------------------------------------------
    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, text=True, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip

    def access(self) -> dict[str, str]:
        """The demo game's key and names."""
        return json.loads((self.directory / "data" / "demo.json").read_text())

    def api(
        self, verb: str, path: str, body: object = None, *, token: str = "", timeout: float = 30
    ) -> requests.Response:
        """One API call; with the demo game's key unless another token is given."""
        token = token or self.access()["api_key"]
        return requests.request(
            verb,
            f"{self.base}/api/v1/{path}",
            json=body,
            timeout=timeout,
            headers={"Authorization": f"Bearer {token}"},
        )

    def order(self, **changes: object) -> dict:
        """A new order of the demo game."""
        body = {
            "client_ref": secrets.token_hex(8), "uid": secrets.token_hex(6), "product_id": "gems_60",
            "channel_id": "official", **changes,
        }  # fmt: skip
        answer = self.api("POST", "orders", body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def opened(self, method: str) -> dict:
        """An order with a payment opened; for Alipay the buyer has the cashier before him."""
        order = self.order()
        answer = self.api(
            "POST",
            f"orders/{order['order_no']}/pay",
            {"method": method, "openid": "o1", "client_ip": "203.0.113.7"},
        )
        assert answer.status_code == 200, answer.text
        opened = answer.json()
        presented = opened["params"].get("order_string") or opened["params"].get("url")
        if method.startswith("alipay") and presented:
            self.control("present", {"provider": "alipay", "order_string": presented})
        return {**order, **opened}

    def control(self, path: str, body: object = None) -> dict:
        """One call of the simulator's control API."""
        answer = requests.post(f"{self.simulator}/control/{path}", json=body or {}, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def trade(self, opened: dict, action: str, **about: object) -> dict:
        """Something happens to an opened payment at the provider."""
        provider = opened["method"].partition("_")[0]
        return self.control(f"trades/{provider}/{opened['attempt_no']}/{action}", about)

    def state(self, order_no: str) -> dict:
        return self.api("GET", f"orders/{order_no}").json()
