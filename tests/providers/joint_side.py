"""An app store's server for tests: real HTTP, answers as laid ready, complains of requests that are not as documented."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Call:
    """One request that reached the store."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the store sends back."""

    status: int = 200
    body: bytes = b""


def says(document, status: int = 200) -> Answer:
    """JSON."""
    return Answer(status, json.dumps(document).encode())


class Side:
    """At an address of its own. `check(call)` raises AssertionError for what the document does not allow."""

    def __init__(self, check: Callable[[Call], None]) -> None:
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._check = check
        self._answers: list = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def will(self, *answers) -> None:
        """Lay answers (or functions of the call) ready; the last one for ever."""
        self._answers = list(answers)

    def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        try:
            self._check(call)
        except (AssertionError, KeyError, ValueError) as error:
            self.complaints.append(f"{call.path}: {error!r}")
            return Answer(418)
        chosen = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return chosen(call) if callable(chosen) else chosen

    def _handler(side):  # noqa: N805  # `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # head and body go out one after the other, and nobody waits 40 ms
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body leave together, or each answer waits for an acknowledgement

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = side.answer(Call(self.command, self.path, headers, body))
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do  # noqa: N815  # the library's names

            def log_message(self, *_args) -> None:
                pass

        return Handler
