"""Finding deliveries, players and messages by the numbers a person may hold, through an index each."""

from django.db.models import QuerySet

from fulfillment.models import Delivery, GameEvent, Player, WebhookMessage
from orders.models import Order


def deliveries_numbered(order_no: str) -> QuerySet[Delivery]:
    """The deliveries of an order, revoked ones too: through its player, because that is what is indexed."""
    orders = Order.objects.filter(order_no=order_no)
    order = orders.only("pk", "game", "environment", "uid").first()
    if order is None:
        return Delivery.objects.none()
    players = Player.objects.filter(game=order.game_id, environment=order.environment, uid=order.uid)
    return Delivery.objects.filter(player__in=players, order=order)


def players_called(uid: str) -> QuerySet[Player]:
    """Players with this uid, in every game and environment."""
    return Player.objects.filter(uid=uid)


def messages_about(order_no: str) -> QuerySet[WebhookMessage]:
    """What was to be told about an order. (The exclusion names the partial index.)"""
    events = GameEvent.objects.filter(order_no=order_no).exclude(order_no="")
    return WebhookMessage.objects.filter(event__in=events)
