"""What this floor adds to the one search box: players by UID, deliveries and events by the id a game server holds."""

from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from fulfillment.models import Delivery, GameEvent, Player
from orders.looking_up import PLACES, Place


def _deliveries(term: str) -> QuerySet[Delivery]:
    """A delivery's id, if the number is one."""
    try:
        return Delivery.objects.filter(pk=UUID(term))
    except ValueError:
        return Delivery.objects.none()


PLACES += [
    Place(label=gettext_lazy("UID"), model=Player, rows=lambda term: Player.objects.filter(uid=term)),
    Place(
        label=gettext_lazy("delivery id"),
        model=Delivery,
        rows=_deliveries,
        game_path="player__game",
        environment_path="player__environment",
    ),
    Place(label=gettext_lazy("event id"), model=GameEvent, rows=lambda term: GameEvent.objects.filter(event_id=term)),
]
