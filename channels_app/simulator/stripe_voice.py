"""How Stripe tells a merchant: signed events around the object that something happened to."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import CLOSED, FORGED, Merchant, Notice, Payment, Refund, Trade
from channels_app.simulator.stripe_merchant import new_secret
from channels_app.simulator.voices import News, Subject

VERSION = "2026-10-28.endive"
Document = dict[str, Any]

_HOUR_S = 3600
_REFUND_STATES = {
    "PROCESSING": "pending", "SUCCESS": "succeeded", "CLOSED": "failed", "ABNORMAL": "requires_action",
}  # fmt: skip


def new_id(prefix: str) -> str:
    """A number as Stripe makes them."""
    return f"{prefix}_3{secrets.token_hex(11)}"


class StripeVoice:
    """Stripe as a sender: for three days, less and less often."""

    ladder_s: tuple[int, ...] = (60, 300, 1800, *(hours * _HOUR_S for hours in (2, 5, 10, 12, 12, 12, 12)))
    verb = "POST"
    patience_s = 10.0

    def __init__(self, platform: Platform) -> None:
        """Stripe signs with the merchant's own secret: the platform's keys are not needed."""

    def new_transaction_id(self, at: float) -> str:
        """Of a payment intent."""
        return new_id("pi")

    def new_refund_id(self, at: float) -> str:
        """Of a refund."""
        return new_id("re")

    def new_notice_number(self) -> str:
        """Of an event: equal on every sending."""
        return new_id("evt")

    def paid(self, about: Subject) -> News:
        """payment_intent.succeeded."""
        return News(event="payment_intent.succeeded", content=intent_of(about.trade, payment=about.payment))

    def refunded(self, about: Subject) -> News | None:
        """What became of a refund; one of the Dashboard is told when it is made."""
        if about.refund is None or about.payment is None:
            raise TypeError("no refund to tell of")
        refund = about.refund
        made_there = refund.number.startswith("BACKOFFICE") and refund.state != "CLOSED"
        event = "refund.created" if made_there else "refund.failed" if refund.state == "CLOSED" else "refund.updated"
        return News(event=event, content=refund_of(refund, about.payment, about.trade))

    def closed(self, about: Subject) -> News | None:
        """The page has expired, or the intent was cancelled."""
        if about.trade.product == "session":
            return News(event="checkout.session.expired", content=session_of(about.trade))
        return News(event="payment_intent.canceled", content=intent_of(about.trade))

    def as_foreign(self, news: News) -> News:
        """A payment of another system at the same account."""
        return News(event=news.event, content={**news.content, "metadata": {"shop_cart": "17"}})

    def letter(self, notice: Notice, merchant: Merchant, how: str) -> tuple[Mapping[str, str], bytes]:
        """Every sending is stamped and signed anew, with each secret that the endpoint has."""
        body = json.dumps(event_of(notice), indent=2).encode()
        stamp = int(time.time())
        signers = [new_secret()] if how == FORGED else merchant.about["webhook_secrets"]
        signed = [
            hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest() for secret in signers
        ]
        header = ",".join([f"t={stamp}", *(f"v1={each}" for each in signed)])
        return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": header}, body

    def is_acknowledged(self, status: int, answer: bytes) -> bool:
        """Any 2xx."""
        return 200 <= status < 300


def event_of(notice: Notice) -> Document:
    """A notification as it is posted, and as the list of events shows it."""
    return {
        "id": notice.number,
        "object": "event",
        "api_version": VERSION,
        "created": int(notice.created_at),
        "data": {"object": notice.content},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": notice.event,
    }


# --- objects ------------------------------------------------------------------------------------------------
def intent_of(
    trade: Trade, *, payment: Payment | None = None, is_processing: bool = False, error: str = ""
) -> Document:  # fmt: skip
    """A PaymentIntent. A payment made once more than it should has an intent of its own, with the same metadata."""
    waits = "canceled" if trade.state == CLOSED else "processing" if is_processing else "requires_payment_method"
    number = payment.transaction_id if payment else trade.trade_no
    return {
        "id": number,
        "object": "payment_intent",
        "amount": payment.amount if payment else trade.amount,
        "amount_received": payment.amount if payment else 0,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "client_secret": f"{number}_secret_{trade.terms['secret']}",
        "created": int(trade.created_at),
        "currency": trade.currency.lower(),
        "description": trade.subject,
        "last_payment_error": {"type": "card_error", "code": "card_declined", "decline_code": error} if error else None,
        "latest_charge": charge_id(number) if payment else None,
        "livemode": False,
        "metadata": trade.terms["metadata"],
        "status": "succeeded" if payment else waits,
    }


def session_of(trade: Trade, *, payment: Payment | None = None, is_processing: bool = False) -> Document:
    """A Checkout Session. Its intent is made when the buyer pays."""
    is_complete = payment is not None or is_processing
    return {
        "id": trade.terms["session"],
        "object": "checkout.session",
        "amount_total": trade.amount,
        "client_reference_id": trade.terms["reference"],
        "created": int(trade.created_at),
        "currency": trade.currency.lower(),
        "expires_at": int(trade.expires_at),
        "livemode": False,
        "metadata": trade.terms["page_metadata"],
        "mode": "payment",
        "payment_intent": (payment.transaction_id if payment else trade.trade_no) if is_complete else None,
        "payment_status": "paid" if payment else "unpaid",
        "status": "complete" if is_complete else "expired" if trade.state == CLOSED else "open",
        "url": None if is_complete or trade.state == CLOSED else trade.terms["url"],
    }


def charge_of(trade: Trade, payment: Payment, *, refunded: int, is_disputed: bool) -> Document:
    """The charge behind a payment."""
    return {
        "id": charge_id(payment.transaction_id),
        "object": "charge",
        "amount": payment.amount,
        "amount_captured": payment.amount,
        "amount_refunded": refunded,
        "created": int(payment.paid_at),
        "currency": trade.currency.lower(),
        "disputed": is_disputed,
        "livemode": False,
        "metadata": trade.terms["metadata"],
        "payment_intent": payment.transaction_id,
        "refunded": refunded >= payment.amount,
        "status": "succeeded",
    }


def charge_id(intent: str) -> str:
    """Of the one charge that an intent has here."""
    return intent.replace("pi_", "ch_", 1)


def refund_of(refund: Refund, payment: Payment, trade: Trade) -> Document:
    """A refund; like Stripe's it says nothing of the mode."""
    document = {
        "id": refund.refund_id,
        "object": "refund",
        "amount": refund.amount,
        "charge": charge_id(payment.transaction_id),
        "created": int(refund.created_at),
        "currency": trade.currency.lower(),
        "metadata": _metadata_of(refund),
        "payment_intent": payment.transaction_id,
        "reason": "requested_by_customer",
        "status": _REFUND_STATES[refund.state],
    }
    return {**document, "failure_reason": "expired_or_canceled_card"} if refund.state == "CLOSED" else document


def dispute_of(trade: Trade, payment: Payment, *, number: str, status: str, began: float) -> Document:
    """A dispute about a payment."""
    return {
        "id": number,
        "object": "dispute",
        "amount": payment.amount,
        "charge": charge_id(payment.transaction_id),
        "created": int(began),
        "currency": trade.currency.lower(),
        "evidence_details": {"due_by": int(began) + 9 * 86400, "has_evidence": False, "past_due": False},
        "livemode": False,
        "metadata": {},
        "payment_intent": payment.transaction_id,
        "reason": "fraudulent",
        "status": status,
    }


def _metadata_of(refund: Refund) -> Any:
    """What the merchant wrote on it: kept where Stripe keeps nothing else of ours; the Dashboard writes nothing."""
    return json.loads(refund.reason) if refund.reason.startswith("{") else {}
