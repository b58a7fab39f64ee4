"""The simulator as a process of its own, which production never has."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.core.management import CommandError, call_command

import channels_app.simulator
from channels_app.simulator.store import Store
from tests.simulator import wire
from tests.simulator.receiving import eventually

ROOM = Path(channels_app.simulator.__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TestCommand:
    """It starts with one command, ends cleanly when told to, and never runs in production."""

    def test_production_refuses_it(self, settings):
        settings.SIMULATOR_ENABLED = False
        with pytest.raises(CommandError, match="production"):
            call_command("simulator", stdout=StringIO())

    def test_a_taken_port_is_said_plainly(self, simulator):
        port = int(simulator.url.rpartition(":")[2])
        with pytest.raises(CommandError, match=f"port {port}"):
            call_command("simulator", port=port, stdout=StringIO())

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_cleanly_even_while_somebody_is_kept_waiting(self, tmp_path, signum):
        merchant = Store(tmp_path).merchant("wechatpay", "waiting")
        with _process(tmp_path) as (process, url):
            requests.post(
                f"{url}/control/weather",
                json={"provider": "wechatpay", "mode": "timeout", "calls": ["query"], "count": 1},
                timeout=5,
            )
            path = f"/v3/pay/transactions/out-trade-no/N1?mchid={merchant['mchid']}"
            with ThreadPoolExecutor(1) as pool:
                kept_waiting = pool.submit(wire.wechat, {**merchant, "base_url": url}, "GET", path)
                # The one bad call is used up: it has arrived, and waits.
                eventually(lambda: requests.get(f"{url}/control/weather", timeout=5).json()["weather"] == [])
                began = time.monotonic()
                process.send_signal(signum)
                _, errors = process.communicate(timeout=10)
                assert (process.returncode, errors) == (0, "")
                assert time.monotonic() - began < 5
                assert isinstance(kept_waiting.exception(), requests.ConnectionError)


@contextmanager
def _process(directory):
    """A simulator of its own and where it listens."""
    port = free_port()
    program = (
        "import sys; from pathlib import Path; from channels_app.simulator.server import serve;"
        f"serve(Path(sys.argv[1]), {port}, on_ready=lambda url: print(url, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=settings.BASE_DIR, env={**os.environ, "DJANGO_SETTINGS_MODULE": "payments_site.settings"},
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


class TestStranger:
    """It shares nothing with the code it tests, and nothing but commands, demo data and tests uses it."""

    def test_it_imports_nothing_of_ours_but_itself(self):
        imported = set()
        for file in ROOM.glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom):
                    imported.add(node.module or "")
                elif isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
        ours = {name for name in imported if re.match(r"(channels_app|orders|fulfillment|payments_site)\b", name)}
        assert {name for name in ours if not name.startswith("channels_app.simulator")} == set()

    def test_only_commands_and_demo_data_import_it(self):
        users = set()
        for app in ("channels_app", "orders", "fulfillment", "payments_site"):
            for file in (settings.BASE_DIR / app).rglob("*.py"):
                if ROOM not in file.parents and re.search(r"(from|import) channels_app\.simulator", file.read_text()):
                    users.add(str(file.relative_to(settings.BASE_DIR)))
        allowed = {name for name in users if "/management/commands/" in name or name.startswith("payments_site/demo")}
        assert users == allowed
        assert "channels_app/management/commands/simulator.py" in users
