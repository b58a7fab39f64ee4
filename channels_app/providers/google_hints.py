"""What Google Play says in a push, and whom that sends us to.

The token that proves a push does not cover its body. Whoever is shown one could send another body with it, so that
nothing here is believed: it says what to ask about.
"""

import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from channels_app.providers.base import AttemptRef, Hint, NothingToDo, NotificationRefused, NotificationUnreadable
from channels_app.providers.google_wire import ORDER_ID, PRODUCT_ID, TOKEN, json_object, moment
from channels_app.providers.texts import printable

logger = logging.getLogger(__name__)

# What a push may weigh. What Google Play says has a few hundred bytes.
_LONGEST_BODY = 100_000
_PURCHASES: Mapping[object, str] = {1: "PURCHASED", 2: "CANCELED"}
_ONE_TIME = 2  # of productType; subscriptions are no orders of ours
_HEARD_WITHIN = timedelta(hours=24)  # what is said to a pending refund later is not heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Voided(Hint):
    """A purchase was voided, in full or in part: Google's list says how and why."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReview(Hint):
    """Google asks us about a refund before it gives it."""

    order_id: str
    due_by: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What Google Play tells: about which app, when, and the one member that says what."""

    package_name: str
    at: datetime
    kind: str  # the member's name without "Notification"; empty when there is none that we could name
    about: Mapping[str, Any]


def told_in(body: bytes, *, subscription: str) -> Told:
    """What a push carries. Raises NotificationRefused for another subscription, NotificationUnreadable."""
    document = json_object(body) if len(body) <= _LONGEST_BODY else None
    if document is None:
        raise NotificationUnreadable("json", "not a JSON object of a reasonable size")
    message = document.get("message")
    if not isinstance(message, dict):
        raise NotificationUnreadable("shape", "there is no message; is payload unwrapping switched on?")
    if subscription and document.get("subscription") != subscription:
        raise NotificationRefused("subscription", "from another subscription")
    return _told(_unwrapped(message.get("data")))


def _told(said: Mapping[str, Any]) -> Told:
    package_name = said.get("packageName")
    if not isinstance(package_name, str) or not package_name:
        raise NotificationUnreadable("shape", "packageName is missing")
    at = moment(said.get("eventTimeMillis"))
    if at is None:
        raise NotificationUnreadable("shape", "eventTimeMillis is not a time")
    for name, about in said.items():
        if name.endswith("Notification") and isinstance(about, dict):
            return Told(package_name, at, printable(name.removesuffix("Notification"), 40), about)
    return Told(package_name, at, "", {})


def _unwrapped(data: Any) -> dict[str, Any]:
    """The object in a message's data: standard base64 and nothing else."""
    try:
        raw = base64.b64decode(data.encode("ascii"), validate=True)
    except (AttributeError, ValueError, binascii.Error):
        raise NotificationUnreadable("base64", "data is not base64") from None
    if base64.b64encode(raw).decode() != data:
        raise NotificationUnreadable("base64", "data is not canonical base64")
    said = json_object(raw)
    if said is None:
        raise NotificationUnreadable("json", "data holds no JSON object")
    return said


def hint_in(told: Told) -> Hint | NothingToDo:
    """Whom to ask about what was told. Raises NotificationUnreadable."""
    if told.kind == "oneTimeProduct":
        kind = told.about.get("notificationType")
        said = _PURCHASES.get(kind, f"type {printable(str(kind), 20)}") if type(kind) is int else "no type"
        return Hint(said=said, about=_about(told))
    if told.kind == "voidedPurchase" and told.about.get("productType") == _ONE_TIME:
        return Voided(said="voided", about=_about(told), at=told.at)
    if told.kind == "pendingRefundReview":
        return _review(told)
    logger.info("google notification moves nothing: %s", told.kind)
    return NothingToDo(said=told.kind or "no notification")


def _about(told: Told) -> AttemptRef:
    """The purchase that a push names. Raises NotificationUnreadable."""
    token, product_id = told.about.get("purchaseToken"), told.about.get("sku", "")
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise NotificationUnreadable("shape", "purchaseToken is not a token")
    if not isinstance(product_id, str) or not PRODUCT_ID.fullmatch(product_id):
        product_id = ""  # of use to the older method only
    return AttemptRef(attempt_no="", method="google_play", handle=token, store_product_id=product_id)


def _review(told: Told) -> RefundReview:
    """Google asks what we think of a refund. Raises NotificationUnreadable."""
    order_id, reason = told.about.get("orderId"), told.about.get("refundReason")
    if not isinstance(order_id, str) or not ORDER_ID.fullmatch(order_id):
        raise NotificationUnreadable("shape", "orderId is not a number")
    return RefundReview(
        said=f"pending refund, reason {printable(str(reason), 20)}",
        about=AttemptRef(attempt_no="", method="google_play"),
        order_id=order_id,
        due_by=told.at + _HEARD_WITHIN,
    )
