"""How WeChat Pay tells a merchant: encrypted resources in signed envelopes, with either of two platform keys."""

import base64
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels_app.simulator import formats, keys
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import CLOSED, FORGED, PROBE, Merchant, Notice, Payment, Refund
from channels_app.simulator.store import new_number
from channels_app.simulator.voices import News, Subject

PROBE_PREFIX = "WECHATPAY/SIGNTEST/"
SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"
TRADE_TYPES = {"app": "APP", "jsapi": "JSAPI", "h5": "MWEB", "native": "NATIVE"}
_STATE_WORDS = {
    "SUCCESS": "支付成功",
    "REFUND": "转入退款",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
}
_OPENID = "oSimulated00000000000000000x"


class WechatPayVoice:
    """WeChat Pay as a sender."""

    ladder_s: tuple[int, ...] = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
    verb = "POST"
    patience_s = 5.0

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys."""
        self._platform = platform

    def new_transaction_id(self, at: float) -> str:
        """28 digits."""
        return new_number(at, "42000", 15)

    def new_refund_id(self, at: float) -> str:
        """29 digits."""
        return new_number(at, "503", 18)

    def new_notice_number(self) -> str:
        """A UUID, as WeChat Pay uses."""
        return str(uuid.uuid4())

    def paid(self, about: Subject) -> News:
        """TRANSACTION.SUCCESS: the same object as the query answer of a payment just made."""
        document = transaction(about, state="SUCCESS")
        return News(event="TRANSACTION.SUCCESS", content={"summary": "支付成功", "plain": document})

    def refunded(self, about: Subject) -> News | None:
        """REFUND.SUCCESS, .ABNORMAL or .CLOSED."""
        trade, payment, refund = about.trade, _paid(about), about.refund
        if refund is None:
            raise TypeError("no refund to tell of")
        document: dict[str, Any] = {
            "mchid": about.merchant.number,
            "transaction_id": payment.transaction_id,
            "out_trade_no": trade.out_trade_no,
            "refund_id": refund.refund_id,
            "out_refund_no": refund.number,
            "refund_status": refund.state,
            "user_received_account": "招商银行信用卡0403",
            "amount": {
                "total": payment.amount,
                "refund": refund.amount,
                "payer_total": payment.amount,
                "payer_refund": refund.amount,
            },
        }
        if refund.state == "SUCCESS":
            document["success_time"] = formats.rfc3339(refund.succeeds_at)
        summary = {"SUCCESS": "退款成功", "CLOSED": "退款关闭"}.get(refund.state, "退款异常")
        return News(event=f"REFUND.{refund.state}", content={"summary": summary, "plain": document})

    def closed(self, about: Subject) -> News | None:
        """WeChat Pay tells nobody."""
        return None

    def as_foreign(self, news: News) -> News:
        """Another merchant's payment under our number, in an envelope that our key opens."""
        other = {"mchid": "1900009999", "appid": "wx0000000000009999"}
        plain = {name: other.get(name, value) for name, value in news.content["plain"].items()}
        return News(event=news.event, content={**news.content, "plain": plain})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """An envelope around the encrypted resource; every sending is stamped and signed anew."""
        kind = "refund" if notice.event.startswith("REFUND.") else "transaction"
        body = formats.compact_json(
            {
                "id": notice.number,
                "create_time": formats.rfc3339(notice.created_at),
                "resource_type": "encrypt-resource",
                "event_type": notice.event,
                "summary": notice.content["summary"],
                "resource": {
                    "original_type": kind,
                    **encrypted(formats.compact_json(notice.content["plain"]), merchant, associated=kind),
                },
            }
        ).encode()
        return self.signed(body, with_certificate=_uses_certificate(notice, merchant), how=how), body

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """200 or 204; a body is not needed, but one that says FAIL is believed."""
        if status not in (200, 204):
            return False
        try:
            document = json.loads(answer or b"{}")
        except ValueError:
            return True
        return not (isinstance(document, dict) and document.get("code", "SUCCESS") != "SUCCESS")

    def signed(self, body: bytes, *, with_certificate: bool, how: str = "genuine") -> dict[str, str]:
        """The headers that vouch for a body, in answers and notifications alike."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        owner = "stranger" if how == FORGED else _key_name(with_certificate=with_certificate)
        signature = keys.sign(self._platform.key(owner), f"{timestamp}\n{nonce}\n".encode() + body + b"\n")
        if how == PROBE:
            signature = PROBE_PREFIX + signature[len(PROBE_PREFIX) :]
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Request-ID": f"08{secrets.token_hex(14).upper()}-0",
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": signature,
            "Wechatpay-Signature-Type": SIGNATURE_TYPE,
            "Wechatpay-Serial": self.certificate_serial if with_certificate else self._platform.wechat_public_key_id,
        }

    @property
    def certificate_serial(self) -> str:
        """Of the platform certificate."""
        return keys.certificate_serial(self._platform.wechat_certificate)


def transaction(about: Subject, *, state: str = "") -> dict[str, Any]:
    """What a query answers about a trade, and what a payment's notification carries."""
    trade, payment = about.trade, about.payment
    state = state or ("CLOSED" if trade.state == CLOSED and payment is None else "NOTPAY")
    document: dict[str, Any] = {
        "mchid": about.merchant.number,
        "appid": about.merchant.about["appid"],
        "out_trade_no": trade.out_trade_no,
        "trade_type": TRADE_TYPES[trade.product],
        "trade_state": state,
        "trade_state_desc": _STATE_WORDS[state],
        "attach": trade.attach,
        "promotion_detail": [],
    }
    if payment is None:
        return {**document, "amount": {"total": trade.amount, "payer_currency": "CNY"}}
    return {
        **document,
        "transaction_id": payment.transaction_id,
        "bank_type": "OTHERS",
        "success_time": formats.rfc3339(payment.paid_at),
        "payer": {"openid": trade.terms.get("payer", {}).get("openid", _OPENID)},
        "amount": {
            "total": payment.amount,
            "payer_total": payment.amount,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
    }


def encrypted(text: str, merchant: Merchant, *, associated: str) -> dict[str, str]:
    """AES-256-GCM under the merchant's APIv3 key."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(merchant.about["api_v3_key"].encode()).encrypt(nonce.encode(), text.encode(), associated.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": associated,
        "nonce": nonce,
    }


def refund_answer(refund: Refund, payment: Payment, out_trade_no: str) -> dict[str, Any]:
    """What the refund calls answer."""
    document = {
        "refund_id": refund.refund_id,
        "out_refund_no": refund.number,
        "transaction_id": payment.transaction_id,
        "out_trade_no": out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": "招商银行信用卡0403",
        "create_time": formats.rfc3339(refund.created_at),
        "status": refund.state,
        "funds_account": "AVAILABLE",
        "amount": {
            "total": payment.amount,
            "refund": refund.amount,
            "payer_total": payment.amount,
            "payer_refund": refund.amount,
            "settlement_refund": refund.amount,
            "settlement_total": payment.amount,
            "discount_refund": 0,
            "currency": "CNY",
        },
        "promotion_detail": [],
    }
    if refund.state == "SUCCESS":
        document["success_time"] = formats.rfc3339(refund.succeeds_at)
    return document


def _uses_certificate(notice: Notice, merchant: Merchant) -> bool:
    setting = merchant.about["notify_keys"]
    if setting == "alternating":
        return (notice.id + notice.attempts) % 2 == 1
    return bool(setting == "platform_certificate")


def _key_name(*, with_certificate: bool) -> str:
    return "wechatpay certificate" if with_certificate else "wechatpay public key"


def _paid(about: Subject) -> Payment:
    if about.payment is None:
        raise TypeError("nothing was paid")
    return about.payment
