"""How Apple tells a merchant: App Store Server Notifications V2, a signed transaction inside a signed notification."""

import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

from channels_app.simulator import formats
from channels_app.simulator.apple_chain import signed
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import Merchant, Notice, Payment, Refund
from channels_app.simulator.voices import News, Subject

_HOUR_S = 3600
_THOUSANDTHS = {"JPY": 1000, "KRW": 1000, "VND": 1000, "CLP": 1000}  # in the smallest unit; ten in all others
_WHOLE = 100_000
_FOREIGN_BUNDLE, _FOREIGN_APP = "com.example.somebody-else", 6999999999


class AppleVoice:
    """Apple as a sender."""

    # As in production; Apple's own sandbox sends once.
    ladder_s: tuple[int, ...] = (_HOUR_S, 12 * _HOUR_S, 24 * _HOUR_S, 48 * _HOUR_S, 72 * _HOUR_S)
    verb = "POST"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys."""
        self.platform = platform

    def new_transaction_id(self, at: float) -> str:
        """16 digits, as in Apple's sandbox."""
        return f"2{secrets.randbelow(10**15):015d}"

    def new_refund_id(self, at: float) -> str:
        """Apple gives refunds no number of their own."""
        return str(uuid.uuid4())

    def new_notice_number(self) -> str:
        """The notificationUUID."""
        return str(uuid.uuid4())

    def paid(self, about: Subject) -> News:
        """ONE_TIME_CHARGE."""
        return self.news("ONE_TIME_CHARGE", about)

    def refunded(self, about: Subject) -> News | None:
        """REFUND, or REFUND_DECLINED for one that did not happen; nobody is told of one that is stuck."""
        if about.refund is None:
            raise TypeError("no refund to tell of")
        event = {"SUCCESS": "REFUND", "CLOSED": "REFUND_DECLINED"}.get(about.refund.state)
        return self.news(event, about) if event else None

    def closed(self, about: Subject) -> News | None:
        """Nothing is opened at Apple, so nothing is closed."""
        return None

    def news(self, event: str, about: Subject, **data: Any) -> News:
        """A notification about the transaction of the subject; `data` are more members of its `data`."""
        bought = transaction(about)
        addressed = {"bundleId": about.merchant.about["bundle_id"], "environment": bought["environment"], **data}
        if bought["environment"] == "Production":
            addressed["appAppleId"] = int(about.merchant.number)
        return News(event=event, content={"data": addressed, "transaction": bought})

    def as_foreign(self, news: News) -> News:
        """The same purchase in another app."""
        data = {**news.content["data"], "bundleId": _FOREIGN_BUNDLE, "appAppleId": _FOREIGN_APP}
        bought = {**news.content["transaction"], "bundleId": _FOREIGN_BUNDLE}
        return News(event=news.event, content={"data": data, "transaction": bought})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """Both are signed; every sending carries the date of the first."""
        return {"Content-Type": "application/json"}, formats.compact_json(
            {"signedPayload": self.signed_payload(notice, how)}
        ).encode()

    def signed_payload(self, notice: Notice, how: str) -> str:
        """A notification as it is posted, and as the notification history lists it."""
        at = int(notice.created_at * 1000)
        inner = signed(self.platform, {**notice.content["transaction"], "signedDate": at}, how)
        return signed(
            self.platform,
            {
                "notificationType": notice.event,
                "notificationUUID": notice.number,
                "data": {**notice.content["data"], "bundleVersion": "1", "signedTransactionInfo": inner},
                "version": "2.0",
                "signedDate": at,
            },
            how,
        )

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """Any of 200 to 206; the body does not matter."""
        return 200 <= status <= 206


def transaction(about: Subject) -> dict[str, Any]:
    """What Apple says of a purchase, before it is stamped and signed."""
    terms, payment = about.trade.terms, about.payment
    if payment is None:
        raise TypeError("nothing was bought")
    bought_at = int(payment.paid_at * 1000)
    document: dict[str, Any] = {
        "transactionId": payment.transaction_id,
        "originalTransactionId": payment.transaction_id,
        "bundleId": about.merchant.about["bundle_id"],
        "productId": terms["product_id"],
        "purchaseDate": bought_at,
        "originalPurchaseDate": bought_at,
        "quantity": terms["quantity"],
        "type": terms["type"],
        "inAppOwnershipType": "PURCHASED",
        "environment": terms["environment"],
        "transactionReason": "PURCHASE",
        "storefront": "CHN" if about.trade.currency == "CNY" else "USA",
        "storefrontId": "143465" if about.trade.currency == "CNY" else "143441",
        "price": payment.amount * _THOUSANDTHS.get(about.trade.currency, 10),
        "currency": about.trade.currency,
        "appTransactionId": "704289572311513293",
    }
    if terms["token"]:
        document["appAccountToken"] = terms["token"]
    if terms["offer"]:
        document |= {"offerType": 3, "offerIdentifier": terms["offer"]}
    if about.refund is not None and about.refund.state == "SUCCESS":
        document |= _revocation(payment, about.refund, about.refunded)
    return document


def _revocation(payment: Payment, refund: Refund, refunded: int) -> dict[str, Any]:
    is_whole = refunded >= payment.amount
    return {
        "revocationDate": int((refund.created_at or time.time()) * 1000),
        "revocationReason": 0,
        "revocationType": "REFUND_FULL" if is_whole else "REFUND_PRORATED",
        "revocationPercentage": _WHOLE if is_whole else refunded * _WHOLE // payment.amount,
    }
