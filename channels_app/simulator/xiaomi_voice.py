"""How Xiaomi tells a merchant: a GET, its parameters signed with the AppSecret over what they mean."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from channels_app.simulator import formats
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import FORGED, Merchant, Notice
from channels_app.simulator.store import new_number
from channels_app.simulator.voices import News, Subject

_STRANGERS_APP, _STRANGERS_SECRET = "2882303761000000000", "not the secret of this game"  # nobody's


class XiaomiVoice:
    """Xiaomi as a sender."""

    ladder_s: tuple[int, ...] = (60,) * 10 + (3600,) * 48
    verb = "GET"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """Xiaomi has no key of its own: what it signs with is the merchant's secret."""

    def new_transaction_id(self, at: float) -> str:
        """Letters and digits."""
        return f"mi{new_number(at)}"

    def new_refund_id(self, at: float) -> str:
        """Xiaomi tells nobody of refunds."""
        return new_number(at, "RF")

    def new_notice_number(self) -> str:
        """Xiaomi's notifications have none; ours is for the simulator's own page."""
        return new_number(time.time(), "X", 12)

    def paid(self, about: Subject) -> News:
        """The only thing that is told."""
        return News(event="TRADE_SUCCESS", content=parameters(about))

    def refunded(self, about: Subject) -> News | None:
        """Nobody is told."""
        return None

    def closed(self, about: Subject) -> News | None:
        """Nobody is told."""
        return None

    def as_foreign(self, news: News) -> News:
        """The same order in another game, signed with our secret."""
        return News(event=news.event, content={**news.content, "appId": _STRANGERS_APP})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """The query string; every sending is the same."""
        secret = _STRANGERS_SECRET if how == FORGED else merchant.about["app_secret"]
        told = {**notice.content, "signature": signature(notice.content, secret)}
        return {}, urlencode(told).encode()

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """errcode 200, whatever the status says."""
        try:
            said = json.loads(answer)
        except ValueError:
            return False
        return isinstance(said, dict) and said.get("errcode") == 200


def parameters(about: Subject, *, state: str = "TRADE_SUCCESS") -> dict[str, Any]:
    """What Xiaomi says of an order, before it is signed. Values are texts."""
    trade, payment = about.trade, about.payment
    amount, at = (payment.amount, payment.paid_at) if payment else (trade.amount, trade.created_at)
    said = {
        "appId": about.merchant.number,
        "cpOrderId": trade.out_trade_no,
        "uid": trade.terms["uid"],
        "orderId": payment.transaction_id if payment else f"mi{secrets.token_hex(8)}",
        "orderStatus": state,
        "payFee": str(amount),
        "productCode": "01",
        "productName": trade.subject,
        "productCount": "1",
        "payTime": formats.plain_time(at),
        "orderConsumeType": "10",
    }
    if gift := trade.terms.get("gift"):
        said["partnerGiftConsume"] = str(gift)
    return said


def signature(said: Mapping[str, str], secret: str) -> str:
    """HMAC-SHA1 over everything that has a value."""
    text = "&".join(f"{name}={said[name]}" for name in sorted(said) if name != "signature" and said[name])
    return hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()
