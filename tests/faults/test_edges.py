"""What arrives at the door of a running system: slow, half-sent, oversized and malformed requests; hanging providers."""

import json
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests


def connect(stack) -> socket.socket:
    where = urlsplit(stack.base)
    return socket.create_connection((where.hostname, where.port), timeout=20)


def answer_of(door: socket.socket) -> tuple[int, bytes]:
    """The status and everything that came back until the server had no more to say."""
    got = b""
    door.settimeout(15)
    while b"\r\n\r\n" not in got:
        piece = door.recv(65536)
        if not piece:
            break
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    while lengths and len(body) < lengths[0]:
        piece = door.recv(65536)
        if not piece:
            break
        body += piece
    return int(got.split(b" ", 2)[1]) if got else 0, body


def order_body() -> dict[str, str]:
    return {"client_ref": secrets.token_hex(8), "uid": "edge", "product_id": "gems_60", "channel_id": "official"}


def head(stack, *lines: str, path: str = "/api/v1/orders") -> bytes:
    key = stack.access()["api_key"]
    first = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
    ]
    return "\r\n".join([*first, *lines, "", ""]).encode()


class TestSlowSenders:
    """Somebody who sends half a request holds nothing that others need."""

    def test_with_half_a_body_delay_nobody(self, stack):
        doors = [connect(stack) for _ in range(100)]
        try:
            for door in doors:
                door.sendall(head(stack, "Content-Length: 1000") + b'{"client_ref": "')
            began = time.monotonic()
            for _ in range(20):
                stack.order()
            assert time.monotonic() - began < 8  # where each held a worker, nobody would be answered at all
        finally:
            for door in doors:
                door.close()

    def test_with_half_a_head_delay_nobody(self, stack):
        doors = [connect(stack) for _ in range(100)]
        try:
            for door in doors:
                door.sendall(b"POST /api/v1/orders HTTP/1.1\r\nHost: 127")
            assert stack.order()["state"] == "pending"
        finally:
            for door in doors:
                door.close()

    def test_who_leave_in_the_middle_make_no_order(self, stack):
        body = json.dumps(order_body()).encode()
        reference = json.loads(body)["client_ref"]
        with connect(stack) as door:
            door.sendall(head(stack, f"Content-Length: {len(body) + 10}") + body)
        time.sleep(0.3)  # no news of it can come
        assert stack.api("GET", f"orders?client_ref={reference}").json()["results"] == []


class TestBodies:
    """A body is taken whole, whatever its framing, or refused in our words."""

    def test_in_chunks_are_read_whole(self, stack):
        body = json.dumps(order_body()).encode()
        chunks = (
            b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:40], body[40:])) + b"0\r\n\r\n"
        )
        with connect(stack) as door:
            door.sendall(head(stack, "Transfer-Encoding: chunked") + chunks)
            status, answer = answer_of(door)
        assert status == 201, answer

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_over_the_limit_are_refused_in_our_words(self, stack, framing):
        body = b'{"uid": "' + b"x" * 3_000_000 + b'"}'
        url = f"{stack.base}/api/v1/orders"
        headers = {"Authorization": f"Bearer {stack.access()['api_key']}", "Content-Type": "application/json"}
        answer = requests.post(url, data=body if framing == "length" else iter([body]), headers=headers, timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n",
            b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /api/v1/orders/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        ],
    )  # fmt: skip
    def test_that_are_not_http_hurt_nobody(self, stack, request_bytes):
        with connect(stack) as door:
            door.sendall(request_bytes)
            door.shutdown(socket.SHUT_WR)
            status, _ = answer_of(door)
        assert status == 0 or 400 <= status < 500
        assert stack.order()["state"] == "pending"


class TestHangingProviders:
    """One provider that hangs holds its own callers, and nobody else's."""

    def test_leave_the_other_provider_alone(self, stack):
        orders = [stack.order() for _ in range(50)]
        stack.control("weather", {"provider": "wechatpay", "mode": "timeout", "calls": ["create"]})

        def hang(order: dict) -> int:
            return stack.api(
                "POST", f"orders/{order['order_no']}/pay", {"method": "wechatpay_native"}, timeout=60
            ).status_code

        try:
            with ThreadPoolExecutor(50) as pool:
                hanging = [pool.submit(hang, order) for order in orders]
                time.sleep(1)
                began = time.monotonic()
                for _ in range(10):
                    opened = stack.opened("alipay_qr")
                    stack.trade(opened, "pay", wait=True)
                    assert stack.state(opened["order_no"])["delivery_state"] == "delivered"
                took = time.monotonic() - began
                still_hanging = sum(not each.done() for each in hanging)
                statuses = {each.result() for each in hanging}
        finally:
            stack.control("weather", {"provider": "wechatpay", "mode": "ok"})
        assert still_hanging > 0, "the provider did not hang long enough to show anything"
        assert took < 8
        assert statuses == {503}
        assert stack.opened("wechatpay_native")["kind"] == "qr"
