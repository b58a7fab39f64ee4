"""The load generator: HTTP/1.1 over raw keep-alive sockets, in a process of its own, with little but socket work
inside the measured time.

A connection holds a conversation: a generator that yields the bytes of a request and is sent the answer.
Plain requests are read from a file, ready to send; a purchase makes its next request from the last answer.

    python -m bench.load PORT CONNECTIONS requests FILE
    python -m bench.load PORT CONNECTIONS purchases FILE

Prints one JSON object (see Tally.document).
"""

import json
import select
import socket
import struct
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import alipay

Answer = tuple[int, bytes]  # status and body
Conversation = Generator[tuple[str, bytes], Answer, None]  # yields (what it is, request)

_ANSWER_WITHIN_S = 30.0
# Which worker a connection falls to is chance; new ones now and then keep one throw from deciding a run.
_REQUESTS_PER_CONNECTION = 50
_SIZE = struct.Struct("!I")


@dataclass
class Tally:
    """What a run of load saw."""

    seconds: float = 0.0
    latencies_ns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[str] = field(default_factory=Counter)
    complaint: str = ""  # the first answer that was not 2xx
    signing_s: float = 0.0

    def document(self) -> dict[str, Any]:
        """The tally as JSON."""
        return {
            "seconds": self.seconds,
            "statuses": dict(self.statuses),
            "complaint": self.complaint,
            "signing_s": self.signing_s,
            "steps": {name: _quantiles(values) for name, values in self.latencies_ns.items()},
        }


def _quantiles(values_ns: Sequence[int]) -> dict[str, float]:
    """Exact: every latency is kept and sorted."""
    ordered = sorted(values_ns)
    return {
        "count": len(ordered),
        "p50_ms": ordered[len(ordered) // 2] / 1e6,
        "p99_ms": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1e6,
    }


class _Connection:
    def __init__(self, port: int, conversation: Conversation) -> None:
        self._port = port
        self.conversation = conversation
        self.label = ""
        self.sent_at = 0
        self._sent = 0
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=_ANSWER_WITHIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    @property
    def is_worn(self) -> bool:
        return self._sent % _REQUESTS_PER_CONNECTION == 0

    def send(self, label: str, request: bytes) -> None:
        self.label = label
        self._sent += 1
        self.sent_at = time.perf_counter_ns()
        self.socket.sendall(request)

    def answer(self) -> Answer | None:
        """Read what has arrived; the answer when it is whole."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"the server closed the connection during {self.label!r}")
        self.received += data
        head, mark, body = self.received.partition(b"\r\n\r\n")
        if not mark:
            return None
        whole = _body(head, body)
        if whole is None:
            return None
        self.received = b""
        return int(head[9:12]), whole


def _body(head: bytes, body: bytes) -> bytes | None:
    """The body when it has arrived whole. No pipelining: nothing follows it."""
    lower = head.lower()
    _, mark, rest = lower.partition(b"\r\ncontent-length:")
    if mark:
        return body if len(body) >= int(rest.partition(b"\r\n")[0]) else None
    if b"\r\ntransfer-encoding: chunked" in lower:
        return _unchunked(body) if body == b"0\r\n\r\n" or body.endswith(b"\r\n0\r\n\r\n") else None
    return body


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return b"".join(parts)
        parts.append(body[:length])
        body = body[length + 2 :]


def run(port: int, conversations: Iterable[Conversation]) -> Tally:
    """Hold all conversations at once, each on its own connection, until they end."""
    tally = Tally()
    poller = select.epoll()
    open_ones: dict[int, _Connection] = {}
    for conversation in conversations:
        connection = _Connection(port, conversation)
        open_ones[connection.socket.fileno()] = connection
        poller.register(connection.socket.fileno(), select.EPOLLIN)
    began = time.perf_counter_ns()
    for connection in list(open_ones.values()):
        connection.send(*next(connection.conversation))
    while open_ones:
        events = poller.poll(_ANSWER_WITHIN_S)
        if not events:
            raise TimeoutError(f"no answer within {_ANSWER_WITHIN_S:.0f} s")
        for descriptor, _ in events:
            connection = open_ones[descriptor]
            answer = connection.answer()
            if answer is None:
                continue
            now = time.perf_counter_ns()
            tally.latencies_ns[connection.label].append(now - connection.sent_at)
            tally.statuses[str(answer[0])] += 1
            if answer[0] >= 300 and not tally.complaint:
                tally.complaint = f"{connection.label}: {answer[0]} {answer[1][:300]!r}"
            request = _next(connection.conversation, answer)
            if request is None or connection.is_worn:
                poller.unregister(descriptor)
                connection.socket.close()
                del open_ones[descriptor]
            if request is None:
                continue
            if connection.is_worn:
                connection.connect()
                open_ones[connection.socket.fileno()] = connection
                poller.register(connection.socket.fileno(), select.EPOLLIN)
            connection.send(*request)
    tally.seconds = (time.perf_counter_ns() - began) / 1e9
    poller.close()
    return tally


def _next(conversation: Conversation, answer: Answer) -> tuple[str, bytes] | None:
    try:
        return conversation.send(answer)
    except StopIteration:
        return None


# --- plain requests ---------------------------------------------------------------------------------------
def write_requests(path: Path, requests: Iterable[bytes]) -> None:
    """Keep requests for `run_requests`."""
    with path.open("wb") as file:
        for request in requests:
            file.write(_SIZE.pack(len(request)) + request)


def read_requests(path: Path) -> list[bytes]:
    """What `write_requests` kept."""
    data = path.read_bytes()
    requests, at = [], 0
    while at < len(data):
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size + size
        requests.append(data[at - size : at])
    return requests


def one_by_one(requests: Sequence[bytes]) -> Conversation:
    """Send requests, whatever the answers."""
    for request in requests:
        yield "request", request


# --- purchases --------------------------------------------------------------------------------------------
@dataclass
class Bought:
    """What only the buyers' side can tell of whole purchases."""

    durations_ns: list[int] = field(default_factory=list)
    signing_s: float = 0.0


def purchases(script: dict[str, Any], numbers: Iterable[int], bought: Bought) -> Conversation:
    """Whole purchases, one after the other: create, open with alipay_app, the provider's notification."""
    shop = alipay.Shop.from_document(script["shop"])
    for number in numbers:
        order = {
            **script["order"],
            "client_ref": f"{script['run']}-{number:010d}",
            "uid": f"buyer-{number % 20000:06d}",
        }
        began = time.perf_counter_ns()
        _, body = yield "create", alipay.api_post("/api/v1/orders", order, bearer=script["api_key"])
        order_no = json.loads(body)["order_no"]
        yield (
            "pay",
            alipay.api_post(f"/api/v1/orders/{order_no}/pay", {"method": "alipay_app"}, bearer=script["api_key"]),
        )
        # The provider signs on its own machines; here it costs this machine, and is reported.
        sign_from = time.perf_counter()
        notification = shop.notification(order_no=order_no, transaction_id=alipay.transaction_id(number))
        bought.signing_s += time.perf_counter() - sign_from
        yield "notify", notification
        bought.durations_ns.append(time.perf_counter_ns() - began)


def main(arguments: Sequence[str]) -> None:
    """Run one load and print its tally."""
    port, connections, kind, file = int(arguments[0]), int(arguments[1]), arguments[2], Path(arguments[3])
    bought = Bought()
    if kind == "requests":
        requests = read_requests(file)
        conversations = [one_by_one(requests[n::connections]) for n in range(min(connections, len(requests)))]
    else:
        script = json.loads(file.read_text())
        numbers = range(script["start"], script["start"] + script["count"])
        conversations = [purchases(script, numbers[n::connections], bought) for n in range(connections)]
    tally = run(port, conversations)
    if bought.durations_ns:
        tally.latencies_ns["purchase"] = bought.durations_ns
        tally.signing_s = bought.signing_s
    sys.stdout.write(json.dumps(tally.document()))


if __name__ == "__main__":
    main(sys.argv[1:])
