"""The stream process on a real socket, and listeners that speak HTTP to it."""

import asyncio
import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager

from django.db import connection
from granian.constants import Interfaces
from granian.server.embed import Server

from fulfillment.streaming import application, room
from orders.authentication import client_token


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def stream_server():
    """The application behind the server it has in production; yields its port."""
    port = free_port()
    running: list[tuple[asyncio.AbstractEventLoop, Server]] = []

    async def serve():
        server = Server(
            application, "127.0.0.1", port, interface=Interfaces.ASGI, websockets=False, log_enabled=False
        )  # fmt: skip
        running.append((asyncio.get_running_loop(), server))
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        until(lambda: answers(port))
        yield port
    finally:
        for loop, server in running:
            loop.call_soon_threadsafe(server.stop)
        thread.join(10)


def answers(port: int) -> bool:
    """Whether the server is up."""
    try:
        return call(port, "/healthz")[0] == 200
    except OSError:
        return False


def until(holds, *, seconds: float = 8.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def listeners() -> int:
    """How many hold a place in this process."""
    return room.taken


def connections() -> int:
    """Connections of this process besides the test's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]


def call(port: int, path: str, *, method: str = "GET", bearer: str = "", **headers: str):
    """One whole exchange: (status, headers, body)."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request(method, path, headers=_headers(bearer, headers))
        answer = line.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        line.close()


def token_of(order) -> str:
    """The client token of an order."""
    return client_token(order_no=order.order_no, expires_at=order.expires_at)


def path_of(order) -> str:
    """The stream's address."""
    return f"/api/v1/orders/{order.order_no}/stream"


class Listener:
    """A game client that listens to the stream of an order."""

    def __init__(self, port: int, path: str, *, bearer: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
        self._connection.request("GET", path, headers=_headers(bearer, headers))
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.headers = self._answer.headers

    def block(self) -> dict[str, str] | None:
        """The next block of lines by field name; a comment is named "". None when the stream has ended."""
        found: dict[str, str] = {}
        while line := self._answer.readline():
            text = line.decode().rstrip("\n")
            if not text:
                return found
            name, _, value = text.partition(":")
            found[name] = value.removeprefix(" ")
        return None

    def event(self) -> tuple[str, str, dict]:
        """The next event: (id, type, data)."""
        while (block := self.block()) is not None:
            if "event" in block:
                return block["id"], block["event"], json.loads(block["data"])
        raise AssertionError("the stream ended")

    def rest(self) -> list[str]:
        """Types of all events until the stream ends."""
        kinds = []
        while (block := self.block()) is not None:
            kinds += [block["event"]] if "event" in block else []
        return kinds

    def leave(self) -> None:
        """Hang up."""
        self._answer.close()
        self._connection.close()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


def _headers(bearer: str, headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {**({"Authorization": f"Bearer {bearer}"} if bearer else {}), **named}
