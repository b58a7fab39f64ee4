"""Deliveries and messages in a few words: their states as marks, their goods, their tries."""

from django.utils import timezone
from django.utils.translation import gettext_lazy

from channels_app.console.words import mark
from fulfillment import telling
from fulfillment.models import Delivery, DeliveryStatus, MessageState, WebhookMessage

DELIVERY_TONES = {
    DeliveryStatus.PENDING: "working",
    DeliveryStatus.DELIVERED: "done",
    DeliveryStatus.PARKED: "decide",
    DeliveryStatus.REVOKED: "quiet",
}
MESSAGE_TONES = {
    MessageState.WAITING: "working",
    MessageState.DELIVERED: "done",
    MessageState.PARKED: "decide",
}

# What the game server is told, in the reader's words; the type itself is what a program reads.
EVENT_NAMES = {
    telling.ORDER_PAID: gettext_lazy("order paid"),
    telling.ORDER_CANCELLED: gettext_lazy("order cancelled"),
    telling.DELIVERY_REQUESTED: gettext_lazy("please deliver"),
    telling.ORDER_DELIVERED: gettext_lazy("order delivered"),
}


def delivery_mark(delivery: Delivery) -> object:
    """The state of a delivery as a mark."""
    return mark(delivery.get_state_display(), DELIVERY_TONES[DeliveryStatus(delivery.state)])


def message_mark(message: WebhookMessage) -> object:
    """The state of a message as a mark."""
    return mark(message.get_state_display(), MESSAGE_TONES[MessageState(message.state)])


def lines_in_words(delivery: Delivery) -> str:
    """The goods of a delivery: "Gem × 60 + 6"."""
    return ", ".join(
        f"{line.item.name} × {line.quantity}" + (f" + {line.bonus}" if line.bonus else "")
        for line in delivery.lines.all()
    )


def tries_in_words(message: WebhookMessage) -> str:
    """Every try of a message: when, and what came back."""
    return "; ".join(
        f"{timezone.localtime(attempt.at):%H:%M:%S} {attempt.status or attempt.error}"
        for attempt in sorted(message.tries.all(), key=lambda attempt: attempt.pk)
    )
