"""UnionPay's side of the wire, for tests: checks our signatures, signs its answers, writes notifications and files.

Written from the documented facts alone; shares no code with the adapter.
"""

import base64
import hashlib
import io
import re
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import NameOID

from tests import keys

BEIJING = timezone(timedelta(hours=8))
MER_ID = "898340183980105"
CERT_ID = "69903319369"
CN = "041@8310000000083040@中国银联股份有限公司@00016495"
TEST_CN = "041@Z12@00040000:SIGN@00000062"
ROOT, MIDDLE, UNIONPAY = "unionpay root", "unionpay middle", "unionpay"


def beijing(at: datetime) -> str:
    """A time as UnionPay writes it."""
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


# --- certificates -------------------------------------------------------------------------------------------
def _named(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "China Financial Certification Authority"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@cache
def certificate(
    name: str, *, issuer: str = "", cn: str = "", ca: bool | None = False, days: tuple[int, int] = (-1, 30),
    issuer_cn: str = "", key: str = "", sha1: bool = False,
) -> x509.Certificate:  # fmt: skip
    """A certificate of `name`'s key, issued by `issuer`'s (default: by itself), valid from day to day."""
    today = datetime.now(UTC)
    owner = ec.generate_private_key(ec.SECP256R1()) if key == "elliptic" else keys.key(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(cn or name))
        .issuer_name(_named(issuer_cn or issuer or cn or name))
        .public_key(owner.public_key())
        .serial_number(int(hashlib.sha256(f"{name}{cn}{days}".encode()).hexdigest()[:12], 16))
        .not_valid_before(today + timedelta(days=days[0]))
        .not_valid_after(today + timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=False)
    made = builder.sign(keys.key(issuer or name), hashes.SHA256())
    return _older(made, issuer or name) if sha1 else made


def _older(made: x509.Certificate, issuer: str) -> x509.Certificate:
    """The same signed with SHA-1, which the library does not make any more: another algorithm, another signature."""
    sha256, sha1 = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))
    der = made.public_bytes(serialization.Encoding.DER)
    signed = made.tbs_certificate_bytes.replace(sha256, sha1)
    der = der.replace(made.tbs_certificate_bytes, signed).replace(sha256, sha1)
    signature = keys.key(issuer).sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    return x509.load_der_x509_certificate(der.replace(made.signature, signature))


def pem(*certificates: x509.Certificate) -> str:
    """A file of certificates."""
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def root(**about) -> x509.Certificate:
    return certificate(ROOT, ca=True, days=(-1000, 3000), **about)


def middle(**about) -> x509.Certificate:
    return certificate(MIDDLE, **{"issuer": ROOT, "ca": True, "days": (-900, 2000), **about})


def leaf(cn: str = CN, **about) -> x509.Certificate:
    """The certificate that UnionPay signs with."""
    return certificate(about.pop("name", UNIONPAY), **{"issuer": MIDDLE, "cn": cn, **about})


def credentials(**changes) -> dict:
    """A merchant's credentials file; `...` takes a field away."""
    whole = {
        "mer_id": MER_ID,
        "cert_id": CERT_ID,
        "private_key": keys.private_pem("unionpay merchant"),
        "root_cert": pem(root()),
        "middle_cert": pem(middle()),
        "base_url": keys.NOWHERE,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


# --- signing ------------------------------------------------------------------------------------------------
def signed_text(fields: dict[str, str]) -> str:
    """What is signed: sorted, without the signature and without blanks."""
    return "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if name != "signature" and value)


def signature(fields: dict[str, str], *, by: str = UNIONPAY, how: str = "twice") -> str:
    """`by`'s signature; `how` gives the spellings that are mistaken for it."""
    text = signed_text(fields).encode()
    digest = hashlib.sha256(text).hexdigest()
    message = {"twice": digest.encode(), "once": text, "upper case": digest.upper().encode(),
               "raw digest": hashlib.sha256(text).digest(), "sha1": hashlib.sha1(text).hexdigest().encode()}[how]  # fmt: skip  # noqa: S324
    algorithm = hashes.SHA1() if how == "sha1" else hashes.SHA256()  # noqa: S303
    return base64.b64encode(keys.key(by).sign(message, padding.PKCS1v15(), algorithm)).decode()


def request_fields(body: bytes | dict) -> dict[str, str]:
    """The fields of a signed request. Fails when they are not as documented, or not rightly signed."""
    fields = body if isinstance(body, dict) else _read(body)
    raw = base64.b64decode(fields["signature"], validate=True)
    digest = hashlib.sha256(signed_text(fields).encode()).hexdigest().encode()
    try:
        keys.key("unionpay merchant").public_key().verify(raw, digest, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise AssertionError("wrong signature") from None
    fixed = {"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "certId": CERT_ID, "accessType": "0"}
    assert {name: fields.get(name) for name in fixed} == fixed
    assert fields["merId"] == MER_ID
    assert all(value and value == value.strip() for value in fields.values()), "a blank or padded value"
    return fields


def _read(body: bytes) -> dict[str, str]:
    assert re.fullmatch(rb"[!-~]+", body), "not a form"
    assert not re.search(rb"%[0-9]?[a-f]", body), "UnionPay's file host refuses escapes in lower case"
    pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), "a field comes twice"
    return dict(pairs)


def sealed(fields: dict[str, str], *, by: str = UNIONPAY, how: str = "twice", cert: str | None = None) -> dict:
    """The fields with UnionPay's certificate and signature; `...` as certificate leaves it out."""
    whole = {**fields, "signPubKeyCert": pem(leaf()) if cert is None else cert}
    if cert is ...:
        del whole["signPubKeyCert"]
    return {**whole, "signature": signature(whole, by=by, how=how)}


def form(fields: dict[str, str]) -> bytes:
    """The body of a notification."""
    return urlencode(fields).encode()


# --- notifications ------------------------------------------------------------------------------------------
def paid(order_id: str, /, **changes) -> dict[str, str]:
    """The fields of a payment's notification; `...` takes a field away."""
    fields = {
        "accessType": "0",
        "accNo": "6226********0048",
        "bizType": "000201",
        "currencyCode": "156",
        "encoding": "UTF-8",
        "exchangeRate": "0",
        "merId": MER_ID,
        "orderId": order_id,
        "payCardType": "01",
        "queryId": "202601021104051234567",
        "respCode": "00",
        "respMsg": "成功[0000000]",
        "settleAmt": "600",
        "settleCurrencyCode": "156",
        "settleDate": "0102",
        "signMethod": "01",
        "traceNo": "123456",
        "traceTime": "0102110405",
        "txnAmt": "600",
        "txnSubType": "01",
        "txnTime": "20260102110301",
        "txnType": "01",
        "version": "5.1.0",
        "aFieldOfTomorrow": " kept as it is & = + ",
    }
    return {name: value for name, value in {**fields, **changes}.items() if value is not ...}


def refunded(order_id: str, /, **changes) -> dict[str, str]:
    """The fields of a refund's notification: the order number is the refund's."""
    marks = {"txnType": "04", "txnSubType": "00", "txnAmt": "200", "origQryId": "202601021104051234567"}
    return paid(order_id, **{**marks, "queryId": "202601031104057654321", **changes})


# --- the gateway over HTTP ----------------------------------------------------------------------------------
@dataclass
class Call:
    """One request that reached the gateway."""

    path: str
    fields: dict[str, str]


@dataclass
class Answer:
    """What the gateway sends back. `raw` replaces everything after the request was read."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


_ECHOED = ("accessType", "bizType", "encoding", "merId", "orderId", "signMethod", "txnAmt", "txnSubType", "txnTime",
           "txnType", "version", "origQryId")  # fmt: skip


def joined(fields: dict[str, str]) -> bytes:
    """The body of an answer: a form that nobody has escaped."""
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


def says(code: str = "00", *, seal: Callable[[dict], dict] = sealed, **changes) -> Callable[[Call], Answer]:
    """A signed answer that echoes the question; `...` takes a field away."""

    def answer(call: Call) -> Answer:
        fields = {name: call.fields[name] for name in _ECHOED if name in call.fields}
        fields |= {"respCode": code, "respMsg": "成功[0000000]" if code == "00" else "不行[6100030]"}
        told = {name: value for name, value in {**fields, **changes}.items() if value is not ...}
        return Answer(joined(seal(told)))

    return answer


def tells(code: str = "00", **changes) -> Callable[[Call], Answer]:
    """The answer to a query about a payment that was asked about rightly: `code` is the payment's."""
    about = {
        "origRespCode": code, "origRespMsg": "成功[0000000]", "txnType": "01", "txnSubType": "01", "txnAmt": "600",
        "currencyCode": "156", "queryId": "202601021104051234567", "traceNo": "123456", "traceTime": "0102110405",
        "settleAmt": "600", "settleCurrencyCode": "156", "settleDate": "0102", "payCardType": "01",
        "accNo": "cDg4jpD9tKx/I4si91lomXcSjQeOyOxE+FLmMc9BLmsJrLPMqg==",
    }  # fmt: skip
    return says("00", **{**about, **changes})


class UnionPaySide:
    """The gateway and the file host at one address. Answers what the test lays ready, the last answer for ever."""

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

    def will(self, *answers: Answer | Callable[[Call], Answer]) -> None:
        """Lay answers ready."""
        self._answers = list(answers)

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Complain about what is not signed by the merchant as documented, else answer as laid ready."""
        try:
            assert headers["content-type"] == "application/x-www-form-urlencoded;charset=UTF-8"
            fields = request_fields(body)
        except (AssertionError, KeyError, ValueError) as complaint:
            self.complaints.append(str(complaint))
            return Answer(b"?", 400)
        call = Call(path, fields)
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
                self.send_header("Content-Type", "text/html;charset=UTF-8")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_args) -> None:
                pass

        return Handler


# --- settlement files ---------------------------------------------------------------------------------------
# Widths of the 42 columns of a ZM line, as the official sample file has them.
_ZM = (3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32,
       13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98)  # fmt: skip


def zm_line(order_id: str, **columns: str) -> bytes:
    """A line of a settlement file: a consume of 6.00 yuan with a fee of 0.04, unless told otherwise by column number."""
    told = {
        1: "S56", 2: "00010000", 3: "00010000", 4: "123456", 5: "0102110405", 6: "6226********0048", 7: "000000000600",
        8: "5816", 9: "07", 10: "202601021104051234567", 12: order_id, 13: "01", 16: "D000000000004",
        17: "C000000000596", 18: "0001", 20: "01", 21: "01", 22: "000201", 28: MER_ID, 31: "某某游戏", 35: "bm90ZQ==",
        **{int(name.removeprefix("c")): value for name, value in columns.items()},
    }  # fmt: skip
    cells = [told.get(at, "").encode("gbk").ljust(width) for at, width in enumerate(_ZM, start=1)]
    return b" ".join(cells)


def file_content(*lines: bytes, name: str = f"INN26010288ZM_{MER_ID}") -> str:
    """`fileContent` of a settlement file: its ZIP, deflated, in base64."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"RD2026010201_{MER_ID}", "汇总".encode("gbk"))
        archive.writestr(name, b"".join(line + b"\r\n" for line in lines))
        archive.writestr(f"INN26010288ZME_{MER_ID}", b"")
    return deflated(packed.getvalue())


def deflated(content: bytes) -> str:
    """Bytes as `fileContent` carries them."""
    return base64.b64encode(zlib.compress(content)).decode()
