"""Delivering again at somebody's word: the message that asks the game server for the goods goes out at once.

It is the same message with the same id and the same bytes, so a game server that has granted it before recognises it
and grants nothing twice; and a delivery that is confirmed is confirmed once. Nothing is made anew in here: only the
time of the next try moves.

A member of staff also brings the next probe of a failing endpoint forward. A player never does: a server that is down
keeps its pace, however many press the button.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models import QuerySet

from fulfillment import telling
from fulfillment.models import (
    LEASE_S,
    Delivery,
    DeliveryMode,
    DeliveryStatus,
    EndpointState,
    GameEvent,
    MessageState,
    Player,
    WebhookEndpoint,
    WebhookMessage,
)
from fulfillment.poking import poke
from orders.models import Order, OrderState

_LEASE = timedelta(seconds=LEASE_S)


class Redelivery(StrEnum):
    """What came of the wish, or why it cannot be had now."""

    SENT = "sent"  # it goes out within seconds
    UNPAID = "unpaid"
    DELIVERED = "delivered"
    IN_LEDGER = "in_ledger"  # the goods are on the player's account: no server is asked for them
    TAKEN_BACK = "taken_back"
    UNDER_WAY = "under_way"  # a try is being made, or due within seconds
    PAUSED = "paused"
    SWITCHED_OFF = "switched_off"
    NO_ADDRESS = "no_address"


@dataclass(frozen=True, slots=True)
class Asking:
    """The delivery of an order, and the message that asks the game server for it."""

    delivery: Delivery | None
    message: WebhookMessage | None
    endpoint: WebhookEndpoint | None


def asking_for(order: Order) -> Asking:
    """How the goods of an order are being asked for. A handful of reads, each through an index."""
    delivery = (
        Delivery.objects.filter(order=order).exclude(state=DeliveryStatus.REVOKED).first()
        or Delivery.objects.filter(player__in=_player_of(order), order=order).first()
    )
    message = (
        WebhookMessage.objects.filter(event__in=requests_of(order)).select_related("endpoint", "event").first()
    )  # fmt: skip
    endpoint = message.endpoint if message else WebhookEndpoint.objects.filter(game=order.game_id).first()
    return Asking(delivery, message, endpoint)


def hindrance(order: Order, *, now: datetime) -> Redelivery | None:
    """Why an order cannot be delivered again now; None when it can."""
    if order.state != OrderState.PAID:
        return Redelivery.UNPAID
    asking = asking_for(order)
    return _hindrance(asking, due=next_try(asking), now=now)


def next_try(asking: Asking) -> datetime | None:
    """When the game server is asked by itself. A failing endpoint is tried with one message at a time: not before its
    next probe. None: not by itself.
    """
    message, endpoint = asking.message, asking.endpoint
    if message is None or endpoint is None or message.next_attempt_at is None:
        return None
    return max(message.next_attempt_at, endpoint.next_probe_at or message.next_attempt_at)


def _hindrance(asking: Asking, *, due: datetime | None, now: datetime) -> Redelivery | None:
    """`due`: when it goes out anyway; being sent, or due so soon that asking for it changes nothing, is under way."""
    delivery, message, endpoint = asking.delivery, asking.message, asking.endpoint
    if delivery is None or delivery.state == DeliveryStatus.REVOKED:
        return Redelivery.TAKEN_BACK
    if delivery.state == DeliveryStatus.DELIVERED:
        return Redelivery.IN_LEDGER if delivery.mode == DeliveryMode.LEDGER else Redelivery.DELIVERED
    if endpoint is None or not endpoint.url or message is None:
        return Redelivery.NO_ADDRESS
    if endpoint.state != EndpointState.ACTIVE:
        return Redelivery.PAUSED if endpoint.state == EndpointState.PAUSED else Redelivery.SWITCHED_OFF
    if message.state == MessageState.WAITING and due is not None and due <= now + _LEASE:
        return Redelivery.UNDER_WAY
    return None


def deliver_again(order: Order, *, now: datetime, probe: bool = True) -> Redelivery:
    """Send the request for an order's goods again at once. Committed when it returns; safe to repeat.

    `probe`: whether a failing endpoint is probed for it now; else the request waits for the endpoint's own turn.
    """
    with transaction.atomic():
        # A dispatcher that writes a try down holds the same rows; whoever comes second sees what the first did.
        order.refresh_from_db(fields=["state"])
        if order.state != OrderState.PAID:
            return Redelivery.UNPAID
        asking = asking_for(order)
        own_time = asking.message.next_attempt_at if asking.message else None
        why_not = _hindrance(asking, due=next_try(asking) if probe else own_time, now=now)
        if why_not is not None:
            return why_not
        assert asking.message is not None  # noqa: S101  # _hindrance has seen it
        assert asking.endpoint is not None  # noqa: S101
        _make_due(order, asking.message, now)
        if probe:
            # Tried with one message at a time; the word of somebody who looks after it is reason enough to try now.
            failing = WebhookEndpoint.objects.filter(pk=asking.endpoint.pk, next_probe_at__gt=now)
            failing.update(next_probe_at=now)
        transaction.on_commit(poke)
    return Redelivery.SENT


def _make_due(order: Order, message: WebhookMessage, now: datetime) -> None:
    """Move the request, and what the game server should hear of this order before it, to the head of the line."""
    before = GameEvent.objects.filter(order_no=order.order_no, seq__lte=message.event_id).exclude(order_no="")
    untold = WebhookMessage.objects.filter(event__in=before, endpoint=message.endpoint_id).select_for_update()
    for row in untold.order_by("pk"):
        # What a dispatcher has taken since is on its way already.
        taken = row.next_attempt_at is not None and now < row.next_attempt_at <= now + _LEASE
        if row.state == MessageState.DELIVERED or taken:
            continue
        # The oldest due goes first: its own age puts it before what came after it.
        WebhookMessage.objects.filter(pk=row.pk).update(
            state=MessageState.WAITING, next_attempt_at=min(row.created_at, now)
        )


def _player_of(order: Order) -> QuerySet[Player]:
    """Through the player, because that is what is indexed for deliveries that were taken back."""
    return Player.objects.filter(game=order.game_id, environment=order.environment, uid=order.uid)


def requests_of(order: Order) -> QuerySet[GameEvent]:
    """The event that asks for an order's goods. (The exclusion names the partial index.)"""
    return GameEvent.objects.filter(order_no=order.order_no, type=telling.DELIVERY_REQUESTED).exclude(order_no="")
