"""How Huawei tells a merchant: key event notifications v2, which nobody signs when they are about an order."""

import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any

from channels_app.simulator import formats
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import FORGED, Merchant, Notice, Payment, Trade
from channels_app.simulator.store import new_number
from channels_app.simulator.voices import News, Subject

_STRANGERS_APP = "100000001"
_PAID, _REFUNDED = 1, 2


class HuaweiVoice:
    """Huawei as a sender."""

    # Huawei says that it sends again, and not how often.
    ladder_s: tuple[int, ...] = (60, 300, 600, 3600, 21600)
    verb = "POST"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """Notifications of orders are signed by nobody."""

    def new_transaction_id(self, at: float) -> str:
        """Date and digits, with a dot in it as Huawei's have."""
        return f"{new_number(at)}.{secrets.randbelow(10**8):08d}"

    def new_refund_id(self, at: float) -> str:
        """Refunds have no number of their own."""
        return new_number(at, "HR")

    def new_notice_number(self) -> str:
        """Huawei's notifications have none; ours is for the simulator's own page."""
        return new_number(time.time(), "H", 12)

    def paid(self, about: Subject) -> News:
        """A payment."""
        return _news(about, _PAID)

    def refunded(self, about: Subject) -> News | None:
        """A refund; of one that did not happen nobody is told."""
        if about.refund is None:
            raise TypeError("no refund to tell of")
        return _news(about, _REFUNDED) if about.refund.state == "SUCCESS" else None

    def closed(self, about: Subject) -> News | None:
        """Nobody is told."""
        return None

    def as_foreign(self, news: News) -> News:
        """About another application."""
        return News(event=news.event, content={**news.content, "applicationId": _STRANGERS_APP})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """Nothing proves who sends this: a forged one names a purchase that nobody made."""
        content: dict[str, Any] = dict(notice.content)
        if how == FORGED:
            content["orderNotification"] = {**content["orderNotification"], "purchaseToken": secrets.token_hex(46)}
        body = {"version": "v2", "eventType": "ORDER", "notifyTime": int(time.time() * 1000), **content}
        return {"Content-Type": "application/json; charset=UTF-8"}, formats.compact_json(body).encode()

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """HTTP 200."""
        return status == 200


def _news(about: Subject, kind: int) -> News:
    if about.payment is None:
        raise TypeError("nothing was bought")
    order = {
        "version": "v2",
        "notificationType": kind,
        "purchaseToken": token_of(about.trade, about.payment),
        "productId": about.trade.terms["product_id"],
    }
    return News(event="ORDER", content={"applicationId": about.merchant.number, "orderNotification": order})


def token_of(trade: Trade, payment: Payment | None) -> str:
    """What a purchase is asked about by; one that is pending has no payment yet."""
    begins = hashlib.sha256(f"token {trade.id} {trade.out_trade_no}".encode()).hexdigest()
    return f"{begins}.{payment.transaction_id}" if payment else begins
