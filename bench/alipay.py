"""The bytes that cross the wire in a benchmark: calls of a game server, and Alipay's signed notifications.

Knows neither Django nor the adapter: it is the other side. Facts: docs/providers/alipay.md.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_BEIJING = timezone(timedelta(hours=8))


def new_key() -> rsa.RSAPrivateKey:
    """A key pair of an invented party."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS#8 PEM."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """SubjectPublicKeyInfo PEM."""
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode()


def http(method: str, path: str, *, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request, ready to send."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def api_get(path: str, *, bearer: str) -> bytes:
    """A read of a game server."""
    return http("GET", path, headers={"Authorization": f"Bearer {bearer}", "Accept": "application/json"})


def api_post(path: str, document: Mapping[str, Any], *, bearer: str) -> bytes:
    """A write of a game server."""
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    return http("POST", path, headers=headers, body=json.dumps(document).encode())


def transaction_id(number: int) -> str:
    """A number as Alipay gives them: the day, then digits that grow."""
    return f"{datetime.now(_BEIJING):%Y%m%d}2200{number:016d}"


def transaction_id_expression() -> str:
    """The same for pgbench's `:i`."""
    return f"('{datetime.now(_BEIJING):%Y%m%d}2200' || lpad(:i::bigint::text, 16, '0'))"


@dataclass(frozen=True)
class Shop:
    """One merchant as Alipay sees it, with Alipay's own signing key."""

    path: str  # of the notification address
    app_id: str
    seller_id: str
    alipay_key: rsa.RSAPrivateKey
    amount_yuan: str
    subject: str

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> "Shop":
        """The shop that `document` described."""
        key = serialization.load_pem_private_key(document["alipay_key"].encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("an RSA key is needed")
        fields: dict[str, Any] = {**document, "alipay_key": key}
        return cls(**fields)

    def document(self) -> dict[str, str]:
        """The shop as JSON, for the load process."""
        return {**self.__dict__, "alipay_key": private_pem(self.alipay_key)}

    def form(self, *, order_no: str, transaction_id: str) -> bytes:
        """The signed form of a successful payment."""
        now = f"{datetime.now(UTC).astimezone(_BEIJING):%Y-%m-%d %H:%M:%S}"
        fields = {
            "gmt_create": now,
            "charset": "utf-8",
            "seller_email": "pay@bench.example",
            "subject": self.subject,
            "buyer_id": "2088722000000000",
            "invoice_amount": self.amount_yuan,
            "notify_id": f"2026{transaction_id}",
            "fund_bill_list": json.dumps([{"amount": self.amount_yuan, "fundChannel": "ALIPAYACCOUNT"}]),
            "notify_type": "trade_status_sync",
            "trade_status": "TRADE_SUCCESS",
            "receipt_amount": self.amount_yuan,
            "buyer_pay_amount": self.amount_yuan,
            "app_id": self.app_id,
            "auth_app_id": self.app_id,
            "seller_id": self.seller_id,
            "gmt_payment": now,
            "notify_time": now,
            "version": "1.0",
            "out_trade_no": order_no,
            "total_amount": self.amount_yuan,
            "trade_no": transaction_id,
            "buyer_logon_id": "138****0000",
            "point_amount": "0.00",
        }
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode()
        signature = self.alipay_key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return urlencode({**fields, "sign_type": "RSA2", "sign": base64.b64encode(signature).decode()}).encode()

    def notification(self, *, order_no: str, transaction_id: str) -> bytes:
        """The POST that Alipay would send."""
        return http(
            "POST",
            self.path,
            headers={
                "User-Agent": "Mozilla/4.0",
                "Accept": "text/html,text/plain",
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            },
            body=self.form(order_no=order_no, transaction_id=transaction_id),
        )
