"""How TapTap tells a merchant: a webhook signed over verb, address, headers and body."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from channels_app.simulator import formats
from channels_app.simulator.joint import WHOLE_CURRENCIES
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import FORGED, Merchant, Notice, Payment
from channels_app.simulator.store import new_number
from channels_app.simulator.voices import News, Subject

_STRANGERS_GAME = "somebodyelsesgame1"


class TapTapVoice:
    """TapTap as a sender."""

    # TapTap says that it sends again, and not how often.
    ladder_s: tuple[int, ...] = (60, 300, 600, 3600, 21600)
    verb = "POST"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """TapTap has no key of its own: what it signs with is the merchant's secret."""

    def new_transaction_id(self, at: float) -> str:
        """19 digits."""
        return f"1{secrets.randbelow(10**18):018d}"

    def new_refund_id(self, at: float) -> str:
        """Refunds are states of an order."""
        return self.new_transaction_id(at)

    def new_notice_number(self) -> str:
        """TapTap's notifications have none; ours is for the simulator's own page."""
        return new_number(time.time(), "T", 12)

    def paid(self, about: Subject) -> News:
        """charge.succeeded."""
        return News(event="charge.succeeded", content=order(about, state="charge.succeeded"))

    def refunded(self, about: Subject) -> News | None:
        """refund.succeeded or refund.failed."""
        if about.refund is None:
            raise TypeError("no refund to tell of")
        event = "refund.succeeded" if about.refund.state == "SUCCESS" else "refund.failed"
        return News(event=event, content=order(about, state=event))

    def closed(self, about: Subject) -> News | None:
        """Nobody is told."""
        return None

    def as_foreign(self, news: News) -> News:
        """The same order in another game."""
        return News(event=news.event, content={**news.content, "client_id": _STRANGERS_GAME})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """Stamped and signed anew with every sending."""
        body = formats.compact_json({"event_type": notice.event, "order": notice.content}).encode()
        where = urlsplit(notice.url)
        target = f"{where.path}?{where.query}" if where.query else where.path
        headers = {"X-Tap-Ts": str(int(time.time())), "X-Tap-Nonce": secrets.token_urlsafe(12)}
        secret = "a stranger's" if how == FORGED else merchant.about["server_secret"]
        signed = {**headers, "X-Tap-Sign": signature("POST", target, headers, body, secret)}
        return {**signed, "Content-Type": "application/json; charset=utf-8"}, body

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """The code SUCCESS."""
        try:
            said = json.loads(answer)
        except ValueError:
            return False
        return status == 200 and isinstance(said, dict) and said.get("code") == "SUCCESS"


def order(about: Subject, *, state: str) -> dict[str, Any]:
    """What TapTap says of an order; each payment of a trade is an order of its own."""
    trade, payment = about.trade, about.payment
    amount, at = (payment.amount, payment.paid_at) if payment else (trade.amount, trade.created_at)
    per_minor = 1_000_000 if trade.currency in WHOLE_CURRENCIES else 10_000
    return {
        "order_id": payment.transaction_id if payment else trade.terms["order_id"],
        "purchase_token": token_of(payment) if payment else "",
        "client_id": about.merchant.number,
        "open_id": trade.terms["open_id"],
        "user_region": "CN",
        "goods_open_id": trade.terms["goods"],
        "goods_name": trade.subject,
        "status": state,
        "amount": str(amount * per_minor),
        "currency": trade.currency,
        "create_time": str(int(trade.created_at)),
        "pay_time": str(int(at)) if payment else "0",
        "extra": trade.terms["extra"],
    }


def token_of(payment: Payment) -> str:
    """What confirming a payment takes."""
    return base64.b64encode(hashlib.sha256(f"token {payment.transaction_id}".encode()).digest()).decode()


def signature(method: str, target: str, headers: Mapping[str, str], body: bytes, secret: str) -> str:
    """Over verb, address, X-Tap- headers, body."""
    lines = sorted(
        f"{name.lower()}:{value}"
        for name, value in headers.items()
        if name.lower().startswith("x-tap-") and name.lower() != "x-tap-sign"
    )
    text = "\n".join([method, target, *lines]).encode() + b"\n" + body + b"\n"
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()
