"""How Google Play tells a merchant: a message that Pub/Sub pushes, with a token of Google's in its header."""

import base64
import binascii
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from channels_app.simulator import formats, keys
from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import FORGED, Merchant, Notice, Payment, Refund, Trade
from channels_app.simulator.voices import News, Subject

if TYPE_CHECKING:
    from channels_app.simulator.store import Store

_TOKEN_LIVES_S = 3600
_STRANGERS_APP = "com.example.somebody_else"
_ACKNOWLEDGED = frozenset({102, 200, 201, 202, 204})
_PURCHASED, _CANCELED = 1, 2
_FULL, _IN_PART = 1, 2
_ONE_TIME = 2


class GoogleVoice:
    """Google as a sender."""

    # Pub/Sub waits ever longer between two sends, ten minutes at most, for a week.
    ladder_s: tuple[int, ...] = (10, 20, 40, 80, 160, 320, *(600,) * 1000)
    verb = "POST"
    patience_s = 10.0
    store: "Store"  # of the world that this voice speaks in

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the keys."""
        self._platform = platform
        self._generation = 1

    # --- keys -----------------------------------------------------------------------------------------------
    def rotate(self) -> str:
        """Sign with a new key from now on; Google gives no notice. Returns its name."""
        self._generation += 1
        return self._key()[0]

    def certificates(self) -> dict[str, str]:
        """What Google publishes: the key it signs with, and the one before."""
        generations = range(max(self._generation - 1, 1), self._generation + 1)
        return {_name(certificate): certificate for certificate in map(self._certificate, generations)}

    def _key(self) -> tuple[str, str]:
        """Name and private key."""
        return _name(self._certificate(self._generation)), self._platform.key(f"google {self._generation}")

    def _certificate(self, generation: int) -> str:
        return self._platform.kept(
            f"google certificate {generation}",
            lambda: keys.new_certificate(self._platform.key(f"google {generation}"), "Simulated Google"),
        )

    # --- numbers --------------------------------------------------------------------------------------------
    def new_transaction_id(self, at: float) -> str:
        """Google's order number."""
        digits = f"{secrets.randbelow(10**17):017d}"
        return f"GPA.{digits[:4]}-{digits[4:8]}-{digits[8:12]}-{digits[12:]}"

    def new_refund_id(self, at: float) -> str:
        """Google gives refunds no number of their own."""
        return secrets.token_hex(16)

    def new_notice_number(self) -> str:
        """The messageId."""
        return str(secrets.randbelow(10**15))

    # --- news -----------------------------------------------------------------------------------------------
    def paid(self, about: Subject) -> News:
        """A one-time product was bought, or a pending purchase of one was paid."""
        return self._purchase(about, _PURCHASED)

    def closed(self, about: Subject) -> News | None:
        """A pending purchase was given up."""
        return self._purchase(about, _CANCELED)

    def refunded(self, about: Subject) -> News | None:
        """A purchase was voided; of a refund that did not happen nobody is told."""
        payment, refund = about.payment, about.refund
        if payment is None or refund is None:
            raise TypeError("no refund to tell of")
        if refund.state != "SUCCESS":
            return None
        said = {
            "purchaseToken": self._token(about),
            "orderId": payment.transaction_id,
            "productType": _ONE_TIME,
            "refundType": _IN_PART if voided_quantity(about.trade, payment, refund) else _FULL,
        }
        return self._news(about, "voidedPurchaseNotification", said)

    def refund_review(self, about: Subject, reason: int) -> News:
        """Google asks what the merchant thinks of a refund."""
        if about.payment is None:
            raise TypeError("nothing was bought")
        said = {
            "version": "1.0",
            "pendingRefundToken": secrets.token_hex(20),
            "orderId": about.payment.transaction_id,
            "refundReason": reason,
        }
        return self._news(about, "pendingRefundReviewNotification", said)

    def _purchase(self, about: Subject, kind: int) -> News:
        said = {
            "version": "1.0",
            "notificationType": kind,
            "purchaseToken": self._token(about),
            "sku": about.trade.terms["product_id"],
        }
        return self._news(about, "oneTimeProductNotification", said)

    @staticmethod
    def _news(about: Subject, kind: str, said: dict[str, Any]) -> News:
        content = {"version": "1.0", "packageName": about.merchant.number, kind: said}
        return News(event=kind.removesuffix("Notification"), content=content)

    def _token(self, about: Subject) -> str:
        return token_of(self.store, about.trade, about.payment)

    def as_foreign(self, news: News) -> News:
        """The same in another app."""
        return News(event=news.event, content={**news.content, "packageName": _STRANGERS_APP})

    # --- letters --------------------------------------------------------------------------------------------
    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """Every sending carries a token of its own hour; the message is the same."""
        said = {**notice.content, "eventTimeMillis": str(int(notice.created_at * 1000))}
        published = datetime.fromtimestamp(notice.created_at, UTC).isoformat(timespec="milliseconds")
        message = {
            "data": base64.b64encode(formats.compact_json(said).encode()).decode(),
            "messageId": notice.number,
            "message_id": notice.number,
            "publishTime": published.replace("+00:00", "Z"),
        }
        body = {"message": message, "subscription": merchant.about["push_subscription"]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._identity(merchant, how)}"}
        return headers, formats.compact_json(body).encode()

    def _identity(self, merchant: Merchant, how: str) -> str:
        now = int(time.time())
        name, pem = self._key()
        claims = {
            "iss": "https://accounts.google.com",
            "aud": merchant.about["push_audience"],
            "azp": "104029292853099978293",
            "sub": "104029292853099978293",
            "email": merchant.about["push_email"],
            "email_verified": True,
            "iat": now,
            "exp": now + _TOKEN_LIVES_S,
        }
        return signed(
            {"alg": "RS256", "kid": name, "typ": "JWT"},
            claims,
            self._platform.key("stranger") if how == FORGED else pem,
        )

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """What Pub/Sub takes for a yes; the body does not matter."""
        return status in _ACKNOWLEDGED


# --- tokens -------------------------------------------------------------------------------------------------
def signed(header: Mapping[str, Any], claims: Mapping[str, Any], pem: str) -> str:
    """A JSON Web Token, RS256."""
    text = f"{_url_safe(formats.compact_json(header).encode())}.{_url_safe(formats.compact_json(claims).encode())}"
    return f"{text}.{_url_safe(base64.b64decode(keys.sign(pem, text.encode())))}"


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims, believed by nobody; None when it is no token."""
    parts = token.split(".")
    try:
        header, claims = (json.loads(_from_url_safe(part)) for part in parts[:2])
    except (ValueError, binascii.Error):
        return None
    return (header, claims) if len(parts) == 3 and isinstance(header, dict) and isinstance(claims, dict) else None


def is_signed_by(pem: str, token: str) -> bool:
    """Whether the owner of a private key signed a token."""
    text, _, signature = token.rpartition(".")
    try:
        return keys.verifies(pem, text.encode(), base64.b64encode(_from_url_safe(signature)).decode())
    except (ValueError, binascii.Error):
        return False


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_url_safe(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _name(certificate: str) -> str:
    return keys.certificate_serial(certificate).lower()


# --- purchases ----------------------------------------------------------------------------------------------
def token_of(store: "Store", trade: Trade, payment: Payment | None) -> str:
    """What a purchase is asked about by: the same before and after it was paid; bought again it is another."""
    earlier = [] if payment is None else [each for each in store.payments(trade) if each.id < payment.id]
    made = hashlib.sha256(f"token {trade.id} {trade.out_trade_no} {len(earlier)}".encode()).hexdigest()
    return f"{made[:48]}.AO-J{trade.id}"


def trade_of(store: "Store", token: str) -> tuple[Trade, Payment | None] | None:
    """The purchase of a token; None when there is none."""
    number = token.rpartition(".AO-J")[2]
    try:
        trade = store.trade(int(number) if number.isdecimal() else 0)
    except LookupError:
        return None
    purchases: list[Payment | None] = [*store.payments(trade)]
    for payment in purchases or [None]:
        if trade.provider == "google" and token == token_of(store, trade, payment):
            return trade, payment
    return None


def voided_quantity(trade: Trade, payment: Payment, refund: Refund) -> int:
    """How many of several pieces a refund took back; 0 for all of them."""
    quantity = int(trade.terms["quantity"])
    return 0 if refund.amount >= payment.amount else max(refund.amount * quantity // payment.amount, 1)
