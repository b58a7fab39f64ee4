"""Stripe's side of the wire, for tests: reads our forms, answers in its objects, signs events.

Written from the documented facts alone; shares no code with the adapter.
"""

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests import keys

SECRET_KEY, PUBLISHABLE_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc", "pk_test_TYooMQauvdEDq54NiTphI7jx"
WHSEC, OLD_WHSEC = "whsec_Kq7TnPz3vR1sXb9c", "whsec_oldEr2b8Lw0yHd5f"
VERSION = "2026-10-28.endive"
INTENT, SESSION, CHARGE = (
    "pi_3MtwBwLkdIwHu7ix28a3tqPa",
    "cs_test_a11YYufWQzNY63zpQ6QSNRQhkUpVph4W",
    "ch_3MmlLrLkdIwHu7ix0snN0B15",
)
REFUND, DISPUTE, EVENT = "re_1Nispe2eZvKYlo2Cd31jOCgZ", "dp_1MuLbRLkdIwHu7ixLGcQ7kjH", "evt_1NG8Du2eZvKYlo2CUI79vXWy"
PAID_AT = 1764000000


def credentials(**changes) -> dict:
    """A credentials file of test mode; `...` takes a field away."""
    whole = {
        "secret_key": SECRET_KEY, "publishable_key": PUBLISHABLE_KEY, "webhook_secrets": [WHSEC],
        "base_url": keys.NOWHERE, **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not ...}


# --- objects ------------------------------------------------------------------------------------------------
def _changed(document: dict, changes: dict) -> dict:
    return {name: value for name, value in {**document, **changes}.items() if value is not ...}


def intent(order_no: str = "", /, **changes) -> dict:
    """A PaymentIntent that succeeded; `...` takes a member away."""
    about = {
        "id": INTENT, "object": "payment_intent", "amount": 600, "amount_capturable": 0, "amount_received": 600,
        "automatic_payment_methods": {"enabled": True}, "cancellation_reason": None, "capture_method": "automatic_async",
        "client_secret": f"{INTENT}_secret_YrKJUKribcBjcG8HVhfZluoGH", "created": PAID_AT - 60, "currency": "usd",
        "last_payment_error": None, "latest_charge": CHARGE, "livemode": False, "status": "succeeded",
        "metadata": {"order_no": order_no} if order_no else {}, "a_field_of_tomorrow": {"x": [1.5]},
    }  # fmt: skip
    return _changed(about, changes)


def waiting(order_no: str = "", /, **changes) -> dict:
    """One that nobody has paid."""
    unpaid = {"status": "requires_payment_method", "amount_received": 0, "latest_charge": None}
    return intent(order_no, **{**unpaid, **changes})


def session(order_no: str = "", /, **changes) -> dict:
    """A Checkout Session that is open."""
    about = {
        "id": SESSION, "object": "checkout.session", "amount_total": 600, "client_reference_id": order_no or None,
        "created": PAID_AT - 60, "currency": "usd", "expires_at": PAID_AT + 3600, "livemode": False, "mode": "payment",
        "metadata": {"order_no": order_no} if order_no else {}, "payment_intent": None, "payment_status": "unpaid",
        "status": "open", "url": f"https://checkout.stripe.com/c/pay/{SESSION}#fidkdWxOYHwnPyd1blpx",
    }  # fmt: skip
    return _changed(about, changes)


def charge(order_no: str = "", /, **changes) -> dict:
    """The charge of a payment."""
    about = {
        "id": CHARGE, "object": "charge", "amount": 600, "amount_captured": 600, "amount_refunded": 0, "captured": True,
        "created": PAID_AT, "currency": "usd", "disputed": False, "livemode": False, "paid": True, "refunded": False,
        "metadata": {"order_no": order_no} if order_no else {}, "payment_intent": INTENT, "status": "succeeded",
    }  # fmt: skip
    return _changed(about, changes)


def refund(refund_no: str = "", /, **changes) -> dict:
    """A refund of two dollars."""
    about = {
        "id": REFUND, "object": "refund", "amount": 200, "balance_transaction": "txn_1Nispe2eZvKYlo2CYezqFhEx",
        "charge": CHARGE, "created": PAID_AT + 600, "currency": "usd", "failure_reason": ...,
        "metadata": {"refund_no": refund_no} if refund_no else {}, "payment_intent": INTENT, "reason": None,
        "status": "succeeded",
    }  # fmt: skip
    return _changed(about, changes)


def dispute(**changes) -> dict:
    """A dispute that waits for evidence."""
    about = {
        "id": DISPUTE, "object": "dispute", "amount": 600, "charge": CHARGE, "created": PAID_AT + 900, "currency": "usd",
        "evidence_details": {"due_by": PAID_AT + 864000, "has_evidence": False, "past_due": False, "submission_count": 0},
        "livemode": False, "metadata": {}, "payment_intent": INTENT, "reason": "fraudulent", "status": "needs_response",
    }  # fmt: skip
    return _changed(about, changes)


def listed(*objects: dict, more: bool = False) -> dict:
    """A page of a list."""
    return {"object": "list", "data": list(objects), "has_more": more, "url": "/v1/somewhere"}


def event(kind: str, about: dict, **changes) -> dict:
    """An event around an object."""
    whole = {
        "id": EVENT, "object": "event", "api_version": VERSION, "created": PAID_AT + 5, "data": {"object": about},
        "livemode": False, "pending_webhooks": 1, "request": {"id": "req_1", "idempotency_key": None}, "type": kind,
    }  # fmt: skip
    return _changed(whole, changes)


# --- webhooks -----------------------------------------------------------------------------------------------
def body_of(document: object) -> bytes:
    """As Stripe writes it: indented."""
    return json.dumps(document, indent=2).encode()


def v1(body: bytes, *, secret: str = WHSEC, stamp: object = None) -> str:
    """A signature."""
    stamp = int(time.time()) if stamp is None else stamp
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def header(body: bytes, *, secret: str = WHSEC, stamp: object = None) -> str:
    """The Stripe-Signature of a body."""
    stamp = int(time.time()) if stamp is None else stamp
    v0 = hmac.new(b"test", body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={v1(body, secret=secret, stamp=stamp)},v0={v0}"


# --- the API over HTTP --------------------------------------------------------------------------------------
@dataclass
class Call:
    """One request that reached Stripe."""

    method: str
    path: str
    query: list[tuple[str, str]]
    form: dict[str, str]
    headers: dict[str, str]

    @property
    def what(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    """What Stripe sends back. `raw` replaces everything after the request was read."""

    document: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


def replayed(answer: Answer) -> Answer:
    """The stored answer to an earlier request."""
    return Answer(answer.document, answer.status, {"Idempotent-Replayed": "true"}, answer.body)


def no(status: int, code: str = "", *, kind: str = "invalid_request_error", message: str = "No.", **more) -> Answer:
    """An error in Stripe's words."""
    error = {"type": kind, "message": message, "doc_url": "https://stripe.com/docs/error-codes", **more}
    return Answer({"error": {**error, **({"code": code} if code else {})}}, status)


MISSING = no(404, "resource_missing", message=f"No such payment_intent: '{INTENT}'", param="intent")


class StripeSide:
    """Answers what the test lays ready, the last answer for ever."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._answers: list[Answer | Callable[[Call], Answer]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def will(self, *answers: dict | Answer | Callable[[Call], Answer]) -> None:
        """Lay answers ready; a document is answered with 200."""
        self._answers = [Answer(each) if isinstance(each, dict) else each for each in answers]

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Complain about what is not said as documented, else answer as laid ready."""
        address = urlsplit(target)
        try:
            form = _form(method, headers, body)
            assert re.fullmatch(r"(/[0-9A-Za-z_]+)+", address.path), "not a path of the API"
        except (AssertionError, KeyError, ValueError) as complaint:
            self.complaints.append(f"{method} {target}: {complaint}")
            return Answer({"error": {"type": "invalid_request_error", "code": "complaint", "message": "?"}}, 400)
        call = Call(method, address.path, parse_qsl(address.query, keep_blank_values=True), form, headers)
        self.calls.append(call)
        chosen = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return chosen(call) if callable(chosen) else chosen

    def _handler(side):  # noqa: N805  # `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body go out one after the other, and nobody waits 40 ms

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = side.answer(self.command, self.path, headers, body)
                if answer.raw:
                    self.close_connection = True
                    answer.raw(self)
                    return
                sent = body_of(answer.document) if answer.body is None else answer.body
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Request-Id", "req_EXAMPLE")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = _do  # noqa: N815

            def log_message(self, *_args) -> None:
                pass

        return Handler


def _form(method: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
    """The form of a POST. Fails when a request is not made as documented."""
    assert headers["authorization"] == f"Bearer {SECRET_KEY}", "not our key"
    assert headers["stripe-version"] == VERSION, "no version"
    if method == "GET":
        assert not body
        return {}
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body))
    assert len(dict(pairs)) == len(pairs), "a field comes twice"
    assert len(headers.get("idempotency-key", "k")) <= 255
    return dict(pairs)
