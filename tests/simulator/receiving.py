"""A merchant's notification address on 127.0.0.1: keeps what arrives, answers what the test says."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from channels_app.providers.base import RawNotification

WITHIN_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What the merchant says."""

    status: int = 200
    body: bytes = b"success"  # right for both providers


class Receiver:
    """`answer(raw)` decides; default: everything is acknowledged."""

    def __init__(self):
        self.received: list[RawNotification] = []
        self.answer: Callable[[RawNotification], Answer] = lambda raw: Answer()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.take(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self):
                self.take(self.path.partition("?")[2].encode())

            def take(self, body):
                headers = {name.lower(): value for name, value in self.headers.items()}
                headers |= {":method": self.command, ":path": self.path}
                raw = RawNotification(headers=headers, body=body, received_at=datetime.now(UTC))
                receiver.received.append(raw)
                answer = receiver.answer(raw)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # the sender was stopped in the middle

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/notify"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def eventually(condition, *, within_s: float = WITHIN_S):
    """The condition's value as soon as it is true."""
    until = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.01)
    return value
