"""Alipay's side of the wire, for tests: checks our signatures, signs its answers, writes notifications.

Written from the documented facts alone; shares no code with the adapter.
"""

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import NameOID

from tests import keys

MERCHANT = keys.alipay_credentials()
BEIJING = timezone(timedelta(hours=8))


def now() -> str:
    """The time as Alipay writes it."""
    return datetime.now(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def signature(text: bytes, *, by: str = "alipay", algorithm: hashes.HashAlgorithm | None = None) -> str:
    """`by`'s signature of a text, RSA2 unless another algorithm is asked for."""
    return base64.b64encode(keys.key(by).sign(text, padding.PKCS1v15(), algorithm or hashes.SHA256())).decode()


def request_parameters(query: str) -> dict[str, str]:
    """The parameters of a signed request. Fails when they are not as documented, or not rightly signed."""
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    parameters = dict(pairs)
    assert len(parameters) == len(pairs), "a parameter comes twice"
    text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if name != "sign")
    raw = base64.b64decode(parameters["sign"], validate=True)
    try:
        keys.key("alipay merchant").public_key().verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise AssertionError("wrong signature") from None
    fixed = {"app_id": MERCHANT["app_id"], "format": "JSON", "charset": "utf-8", "sign_type": "RSA2"}
    assert {name: parameters.get(name) for name in fixed} == fixed
    assert parameters["version"] == "1.0"
    assert all(parameters.values()), "an empty value is not part of the signed text"
    at = datetime.strptime(parameters["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=5), "the clock is wrong"
    return parameters


# --- certificates -------------------------------------------------------------------------------------------
def _named(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ant Financial"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Certification Authority"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@cache
def certificate(
    name: str, *, issuer: str = "", serial: int = 4660, ca: bool = False, days: tuple[int, int] = (-1, 30)
) -> x509.Certificate:
    """A certificate of `name`'s key, issued by `issuer`'s (default: by itself), valid from day to day."""
    today = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer or name))
        .public_key(keys.key(name).public_key())
        .serial_number(serial)
        .not_valid_before(today + timedelta(days=days[0]))
        .not_valid_after(today + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(keys.key(issuer or name), hashes.SHA256())
    )


@cache
def elliptic_root() -> x509.Certificate:
    """A root that is not signed with RSA: it has no part in the name of the bundle."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("Ant Financial Certification Authority E1")
    today = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(99)
        .not_valid_before(today)
        .not_valid_after(today + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )


# What a parser meets that does not know the algorithm: a certificate it cannot read.
UNREADABLE = (
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVegAwIBAgIIaeL+wBcKxnswDAYIKoEcz1UBg3UFADAuMQsw\n-----END CERTIFICATE-----\n"
)


def pem(*certificates: x509.Certificate | str) -> str:
    """A file of certificates; a text stands in it as it is."""
    return "".join(
        each if isinstance(each, str) else each.public_bytes(serialization.Encoding.PEM).decode()
        for each in certificates
    )


def sn(name: str, issuer: str, serial: int = 4660) -> str:
    """Alipay's name for a certificate, spelt out from the documented words."""
    text = f"CN={issuer},OU=Certification Authority,O=Ant Financial,C=CN{serial}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


ROOT, ISSUING, ALIPAY = "Ant Root R1", "Ant Class 2 R1", "alipay"
ALIPAY_SN = sn(ALIPAY, ISSUING)


def certificate_mode(**changes):
    """Credentials of a merchant in certificate mode, with a bundle as awkward as Alipay's."""
    issuing = certificate(ISSUING, issuer=ROOT, ca=True)
    whole = keys.alipay_credentials(
        app_cert=pem(certificate("alipay merchant", issuer=ISSUING, serial=77), issuing),
        alipay_cert=pem(certificate(ALIPAY, issuer=ISSUING), issuing),
        alipay_root_cert=pem(UNREADABLE, certificate(ROOT, ca=True, serial=1), elliptic_root()),
    )
    del whole["alipay_public_key"]
    return {name: value for name, value in {**whole, **changes}.items() if value is not ...}


# --- notifications -----------------------------------------------------------------------------------------
def trade(out_trade_no: str, /, **changes) -> dict[str, str]:
    """The fields of a payment notification; `...` takes a field away."""
    fields = {
        "notify_time": now(),
        "notify_type": "trade_status_sync",
        "notify_id": secrets.token_hex(17),
        "app_id": MERCHANT["app_id"],
        "auth_app_id": MERCHANT["app_id"],
        "charset": "utf-8",
        "version": "1.0",
        "sign_type": "RSA2",
        "trade_no": f"2026{out_trade_no}"[:32],
        "out_trade_no": out_trade_no,
        "buyer_id": "2088102122524333",
        "buyer_logon_id": "159****5620",
        "seller_id": MERCHANT["seller_id"],
        "seller_email": "pay***@example.com",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "6.00",
        "receipt_amount": "6.00",
        "buyer_pay_amount": "5.00",
        "point_amount": "1.00",
        "subject": "钻石 60&+=%",
        "body": "",
        "gmt_create": now(),
        "gmt_payment": now(),
        "passback_params": "merchantBizType%3dgame%26x%3d1",
        "fund_bill_list": '[{"amount":"6.00","fundChannel":"ALIPAYACCOUNT"}]',
        "a_field_of_tomorrow": " kept as it is ",
    }
    return {name: value for name, value in {**fields, **changes}.items() if value is not ...}


def partial_refund(out_trade_no: str, /, **changes) -> dict[str, str]:
    """A partial refund: the payment's status once more, with the marks of a refund."""
    marks = {"refund_fee": "2.00", "gmt_refund": f"{now()}.123", "out_biz_no": "R1"}
    return trade(out_trade_no, **{**marks, **changes})


def full_refund(out_trade_no: str, /, **changes) -> dict[str, str]:
    """A full refund: closed, with the marks of a refund and of the payment."""
    marks = {"trade_status": "TRADE_CLOSED", "refund_fee": "6.00", "gmt_refund": f"{now()}.123"}
    return trade(out_trade_no, **{**marks, "gmt_close": now(), "out_biz_no": "R1", **changes})


def unpaid_closing(out_trade_no: str, /, **changes) -> dict[str, str]:
    """A trade closed because nobody paid it."""
    marks = {"trade_status": "TRADE_CLOSED", "gmt_payment": ..., "gmt_close": now()}
    nothing = {"receipt_amount": ..., "buyer_pay_amount": ..., "point_amount": ..., "fund_bill_list": ...}
    return trade(out_trade_no, **{**nothing, **marks, **changes})


def signed_text(fields: dict[str, str], *, without: tuple[str, ...] = ("sign", "sign_type")) -> str:
    """What a notification's signature covers."""
    return "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if name not in without)


def form(fields: dict[str, str], *, charset: str = "utf-8") -> bytes:
    """The body of a notification."""
    return urlencode(fields, encoding=charset).encode()


def sealed(
    fields: dict[str, str],
    *,
    by: str = "alipay",
    charset: str = "utf-8",
    without: tuple[str, ...] = ("sign", "sign_type"),
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """The body of a notification, signed."""
    text = signed_text(fields, without=without).encode(charset)
    return form({**fields, "sign": signature(text, by=by, algorithm=algorithm)}, charset=charset)


# --- the gateway over HTTP ---------------------------------------------------------------------------------
@dataclass
class Call:
    """One request that reached the gateway."""

    method: str
    parameters: dict[str, str]

    @property
    def content(self) -> dict:
        """`biz_content`."""
        return json.loads(self.parameters["biz_content"])


@dataclass
class Answer:
    """What the gateway sends back. `raw` replaces everything after the request was read."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


def node_of(method: str) -> str:
    """The name of the answer to a method."""
    return method.replace(".", "_") + "_response"


def body_of(
    method: str,
    node: str,
    *,
    by: str = "alipay",
    cert_sn: str = "",
    sign: str | None = None,
    name: str = "",
    signed_as: str | None = None,
) -> bytes:
    """An answer's bytes around the very text of its node. `sign=""` leaves it unsigned."""
    members = [f'"{name or node_of(method)}":{node}']
    if cert_sn:
        members.append(f'"alipay_cert_sn":"{cert_sn}"')
    sign = signature((signed_as or node).encode(), by=by) if sign is None else sign
    if sign:
        members.append(f'"sign":"{sign}"')
    return ("{" + ",".join(members) + "}").encode()


def says(document: dict | str, **about) -> Callable[[Call], Answer]:
    """A signed answer; a text is the node as it stands. `about` goes to `body_of`."""
    node = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return lambda call: Answer(body_of(call.method, node, **about))


def succeeds(**fields) -> Callable[[Call], Answer]:
    """A signed answer to a call that worked."""
    return says({"code": "10000", "msg": "Success", **fields})


def refuses(sub_code: str, *, code: str = "40004", **about) -> Callable[[Call], Answer]:
    """A signed error."""
    return says({"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "不行"}, **about)


class AlipaySide:
    """The gateway at an address of its own. Answers what the test lays ready, the last answer for ever."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._answers: list[Answer | Callable[[Call], Answer]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.gateway = f"http://127.0.0.1:{self._server.server_address[1]}/gateway.do"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def will(self, *answers: Answer | Callable[[Call], Answer]) -> None:
        """Lay answers ready."""
        self._answers = list(answers)

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Complain about what is not signed by the merchant as documented, else answer as laid ready."""
        try:
            assert path == "/gateway.do?charset=utf-8", f"POST to {path}"
            assert headers["content-type"] == "application/x-www-form-urlencoded;charset=utf-8"
            assert re.fullmatch(rb"[!-~]+", body), "not a form"
            parameters = request_parameters(body.decode())
        except (AssertionError, KeyError, ValueError) as complaint:
            self.complaints.append(str(complaint))
            return Answer(b"?", 400)
        call = Call(parameters["method"], parameters)
        self.calls.append(call)
        chosen = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return chosen(call) if callable(chosen) else chosen

    def _handler(side):  # noqa: N805  # `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # head and body go out one after the other, and nobody waits 40 ms
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = side.answer(self.path, headers, body)
                if answer.raw:
                    self.close_connection = True
                    answer.raw(self)
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", "text/html;charset=utf-8")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_args) -> None:
                pass

        return Handler


def percent(text: str) -> str:
    """Every byte escaped: another spelling of the same form value."""
    return "".join(f"%{byte:02X}" for byte in text.encode()) if text else quote(text)
