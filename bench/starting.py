"""How long a start takes: the embedded PostgreSQL from nothing and again, and `manage.py run` twice."""

import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.stack import ROOT, answers, free_ports

_RUN_WITHIN_S = 90.0
# Its start alone: a fresh interpreter, but not the interpreter's own start.
_ONCE = """
import sys, time
from pathlib import Path
from payments_site import embedded_postgres
began = time.perf_counter()
embedded_postgres.start(Path(sys.argv[1]))
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class Starts:
    """Seconds."""

    cold: float
    warm: float


def embedded_starts(home: Path) -> Starts:
    """Start PostgreSQL in a new directory, end it with its process, start it again; medians of three."""
    cold, warm = zip(*((_once(home / name), _once(home / name)) for name in "abc"), strict=True)
    return Starts(statistics.median(cold), statistics.median(warm))


def _once(home: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _ONCE, str(home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(done.stdout.split()[-1])


def run_starts(home: Path) -> Starts:
    """Seconds from `manage.py run` to /readyz: the first time (migrations, demo game) and the second."""
    return Starts(*(_run_once(home) for _ in range(2)))


def _run_once(home: Path) -> float:
    port = free_ports(1)[0]
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "STREAM_PORT")}
    environment |= {
        "DEBUG": "1",
        "PAYMENTS_DATA_DIR": str(home),
        "PORT": str(port),
        "PYTHONWARNINGS": "ignore",
    }
    log = home.parent / "run.log"
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run"], cwd=ROOT, env=environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            if process.poll() is not None or time.monotonic() - began > _RUN_WITHIN_S:
                raise RuntimeError(f"`manage.py run` did not become ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - began
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
