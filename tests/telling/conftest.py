"""Game servers of flesh and blood: HTTP on 127.0.0.1 in threads of its own, and dispatchers that run against them."""

import base64
import hashlib
import hmac
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fulfillment.dispatching import run_dispatcher
from fulfillment.endpoints import set_endpoint
from fulfillment.models import WebhookEndpoint, WebhookMessage
from orders.models import Game
from tests.buying import attempt_at, make_order, settle

DEADLINE_S = 15.0


def wait_for(what, *, within=DEADLINE_S):
    """Poll until `what()` is truthy, and return it; fail at the deadline."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {within} s")


@dataclass
class Received:
    """One request as it arrived."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict:
        return json.loads(self.body)

    @property
    def order_no(self) -> str:
        return self.document["data"]["order_no"]

    def signed_by(self, secret: str) -> bool:
        """Standard Webhooks by hand."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return expected in self.headers["webhook-signature"].split(" ")


@dataclass
class GameServer:
    """Answers as `answer(received)` says: a status, or (status, body), or (status, body, headers), or None to cut."""

    answer: object = 200
    received: list[Received] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)  # ids, each once, as a good game server does
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self):
        server = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(headers, body, time.monotonic())
                with lock:
                    server.received.append(received)
                answer = server.answer(received) if callable(server.answer) else server.answer
                if answer is None:
                    self.close_connection = True
                    return
                given = answer if isinstance(answer, tuple) else (answer,)
                status, text, more = given + ("", {})[len(given) - 1 :]
                with lock:
                    if 200 <= status < 300 and received.id not in server.granted:
                        server.granted.append(received.id)
                try:
                    self.send_response(status)
                    if callable(text):
                        self.send_header("connection", "close")
                        self.end_headers()
                        self.close_connection = True
                        text(self.wfile)
                        return
                    for name, value in more.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(text.encode())))
                    self.end_headers()
                    self.wfile.write(text.encode())
                except OSError:
                    self.close_connection = True

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/hook"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def hang(self, received):
        """An answer that does not come until the test is over."""
        self.release.wait(30)
        return 200

    def of(self, kind: str) -> list[Received]:
        """What arrived of one type."""
        return [message for message in list(self.received) if message.document["type"] == kind]

    def ids(self) -> set[str]:
        return {message.id for message in list(self.received)}

    def close(self):
        self.release.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def servers():
    """Starts game servers and ends them."""
    started = []

    def start(answer=200) -> GameServer:
        started.append(GameServer(answer))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(servers) -> GameServer:
    """One game server, answering 200."""
    return servers()


@dataclass
class Told:
    """A game with its endpoint and the secret it was given."""

    game: Game
    endpoint: WebhookEndpoint
    secret: str


@pytest.fixture
def told(transactional_db, settings, game, server) -> Told:
    """The demo game, told at `server`; impatient settings, and no tries but those a test asks for."""
    settings.WEBHOOK_PRIVATE_TARGETS = True
    settings.WEBHOOK_LADDER_S = (3600,)
    settings.WEBHOOK_PROBE_INTERVAL_S = 0.2
    made = set_endpoint(game=game, url=server.url)
    return Told(game, made.endpoint, made.secret)


@pytest.fixture
def buy(client, told, api_key, wechat_account, settings):
    """Buy something, all the way to paid; returns the order."""
    settings.ORDERS_PER_PLAYER_PER_MINUTE = 10_000

    def once(**changes):
        order = make_order(client, changes.pop("api_key", api_key), **changes)
        settle(attempt_at(order, wechat_account))
        return order

    return once


@contextmanager
def dispatching(count=1):
    """Dispatchers in threads, as their processes run them."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def body():
        try:
            run_dispatcher(stop)
        except BaseException as error:  # noqa: BLE001  # raised below
            failures.append(error)

    threads = [threading.Thread(target=body) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


def states() -> dict[str, int]:
    """How many messages are in which state."""
    counts: dict[str, int] = {}
    for state in WebhookMessage.objects.values_list("state", flat=True):
        counts[state] = counts.get(state, 0) + 1
    return counts


def all_told(count: int):
    """A condition for `wait_for`: exactly that many messages, all told."""
    return lambda: states() == {"delivered": count}
