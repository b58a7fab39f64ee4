"""WeChat Pay's side of the wire, for tests: checks our signatures, signs its answers, writes notifications.

Written from the documented facts alone; shares no code with the adapter.
"""

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests import keys

MERCHANT = keys.wechat_credentials()
PUBLIC_KEY_ID = MERCHANT["public_key_id"]
CERTIFICATE_SERIAL = 0x0ABC1234
CHINA = timezone(timedelta(hours=8))


def both_modes(**changes):
    """Credentials of a merchant in the middle of the move from platform certificates to the public key."""
    certificate = keys.certificate_pem("wechat certificate", serial=CERTIFICATE_SERIAL)
    return keys.wechat_credentials(platform_certificates=[certificate], **changes)


def certificate_mode(**changes):
    """Credentials of an old merchant, who has platform certificates only."""
    whole = both_modes(**changes)
    return {name: value for name, value in whole.items() if not name.startswith("public_key")}


def genuine(text: bytes, signature: str, *, of: str) -> bool:
    """Whether `signature` is `of`'s signature of `text`."""
    try:
        raw = base64.b64decode(signature, validate=True)
        keys.key(of).public_key().verify(raw, text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def signed(
    body: bytes,
    *,
    by: str = "wechat platform",
    serial: str = PUBLIC_KEY_ID,
    at: float | None = None,
    probe: bool = False,
    **changes: str,
) -> dict[str, str]:
    """The headers over a body, as WeChat Pay stamps every send. `changes` spoil single ones afterwards."""
    timestamp, nonce = str(int(time.time() if at is None else at)), secrets.token_hex(16)
    raw = keys.key(by).sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", padding.PKCS1v15(), hashes.SHA256())
    signature = base64.b64encode(raw).decode()
    if probe:
        signature = "WECHATPAY/SIGNTEST/" + signature[19:]
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": signature,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
        "Request-ID": secrets.token_hex(12),
        **{f"Wechatpay-{name.capitalize()}": value for name, value in changes.items()},
    }


def by_certificate(body: bytes, **about) -> dict[str, str]:
    """The same, signed with the platform certificate's key."""
    return signed(body, by="wechat certificate", serial=f"{CERTIFICATE_SERIAL:X}", **about)


# --- documents ---------------------------------------------------------------------------------------------
def changed(document: dict, changes: dict) -> dict:
    """A document with single fields replaced; `...` takes one away, "a.b" reaches inside."""
    document = json.loads(json.dumps(document))
    for path, value in changes.items():
        *way, name = path.split(".")
        place = document
        for step in way:
            place = place[step]
        if value is ...:
            place.pop(name)
        else:
            place[name] = value
    return document


def transaction(out_trade_no: str, changes: dict | None = None) -> dict:
    """A paid transaction, as notified and as queried."""
    return changed(
        {
            "mchid": MERCHANT["mchid"],
            "appid": MERCHANT["appid"],
            "out_trade_no": out_trade_no,
            "transaction_id": f"4200{out_trade_no}"[:32],
            "trade_type": "APP",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "bank_type": "CMC",
            "success_time": datetime.now(CHINA).isoformat(timespec="seconds"),
            "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            "amount": {"total": 600, "payer_total": 600, "currency": "CNY", "payer_currency": "CNY"},
        },
        changes or {},
    )


def refund_notice(out_trade_no: str, changes: dict | None = None) -> dict:
    """What a refund message carries: no application, no currency, and the state in `refund_status`."""
    return changed(
        {
            "mchid": MERCHANT["mchid"],
            "transaction_id": f"4200{out_trade_no}"[:32],
            "out_trade_no": out_trade_no,
            "refund_id": "50200207182018070300011301001",
            "out_refund_no": "R1",
            "refund_status": "SUCCESS",
            "success_time": "2026-01-02T04:00:00+08:00",
            "user_received_account": "招商银行信用卡0403",
            "amount": {"total": 600, "refund": 100, "payer_total": 600, "payer_refund": 100},
        },
        changes or {},
    )


def envelope(
    plain: dict | bytes,
    *,
    event: str = "TRANSACTION.SUCCESS",
    api_v3_key: str = MERCHANT["api_v3_key"],
    associated_data: str | None = "transaction",
    outside: dict | None = None,
) -> bytes:
    """The body of a notification: `plain` encrypted inside its envelope, where `outside` changes members."""
    nonce = secrets.token_hex(6)
    clear = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
    aad = (associated_data or "").encode()
    resource = {
        "original_type": event.partition(".")[0].lower(),
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(AESGCM(api_v3_key.encode()).encrypt(nonce.encode(), clear, aad)).decode(),
        "nonce": nonce,
    }
    if associated_data is not None:
        resource["associated_data"] = associated_data
    document = {
        "id": "EV-" + secrets.token_hex(10),
        "create_time": datetime.now(CHINA).isoformat(timespec="seconds"),
        "resource_type": "encrypt-resource",
        "event_type": event,
        "summary": "支付成功",
        "resource": resource,
    }
    return json.dumps(changed(document, outside or {}), ensure_ascii=False).encode()


# --- the provider over HTTP --------------------------------------------------------------------------------
@dataclass
class Call:
    """One request that reached the provider."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict:
        """The JSON that was sent."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What the provider sends back. `raw` replaces everything after the request was read."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


def says(document: dict | None, status: int = 200, **about) -> Answer:
    """An answer signed as usual; `about` goes to `signed`."""
    body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
    return Answer(status, body, signed(body, **about))


def refuses(status: int, code: str, message: str = "不行") -> Answer:
    """An error as WeChat Pay writes it (errors need not be signed)."""
    return Answer(status, json.dumps({"code": code, "message": message}, ensure_ascii=False).encode())


class WechatSide:
    """The provider at an address of its own. Answers what the test lays ready, the last answer for ever."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._answers: list[Answer | Callable[[Call], Answer]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
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

    def answer(self, call: Call) -> Answer:
        """Refuse what is not signed by the merchant, else answer as laid ready."""
        self.calls.append(call)
        complaint = self._complaint(call)
        if complaint:
            self.complaints.append(complaint)
            return refuses(401, "SIGN_ERROR", complaint)
        chosen = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return chosen(call) if callable(chosen) else chosen

    def _complaint(self, call: Call) -> str:
        schema, _, rest = call.headers.get("authorization", "").partition(" ")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if schema != "WECHATPAY2-SHA256-RSA2048" or set(fields) != {
            "mchid", "nonce_str", "signature", "timestamp", "serial_no",
        }:  # fmt: skip
            return "Authorization is not as documented"
        if (fields["mchid"], fields["serial_no"]) != (MERCHANT["mchid"], MERCHANT["serial_no"]):
            return "another merchant"
        if not re.fullmatch(r"[0-9A-Za-z]{1,32}", fields["nonce_str"]):
            return "nonce_str is not as documented"
        if abs(time.time() - int(fields["timestamp"])) > 5:
            return "the clock is wrong"
        text = f"{call.method}\n{call.path}\n{fields['timestamp']}\n{fields['nonce_str']}\n".encode()
        if not genuine(text + call.body + b"\n", fields["signature"], of="wechat merchant"):
            return "wrong signature"
        if call.headers.get("accept") != "application/json" or not call.headers.get("user-agent"):
            return "Accept or User-Agent is missing"
        return ""

    def _handler(side):  # noqa: N805  # `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # head and body go out one after the other, and nobody waits 40 ms
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = side.answer(Call(self.command, self.path, headers, body))
                if answer.raw:
                    self.close_connection = True
                    answer.raw(self)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do  # noqa: N815  # the library's names

            def log_message(self, *_args) -> None:
                pass

        return Handler
