"""Acts of this floor on many orders at once: delivering again."""

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy

from fulfillment.admin.redelivering import words
from fulfillment.redelivering import Redelivery, deliver_again, hindrance
from orders.bulk import BulkAct, Done, offer
from orders.models import DeliveryState, Order


def _concerned(orders: QuerySet[Order]) -> QuerySet[Order]:
    return orders.filter(delivery_state__in=(DeliveryState.PENDING, DeliveryState.PARKED))


def _hindrance(order: Order) -> str:
    why_not = hindrance(order, now=timezone.now())
    return words(why_not, order) if why_not is not None else ""


def _deliver(order: Order, actor: str) -> Done:
    outcome = deliver_again(order, now=timezone.now())
    return Done(acted=outcome is Redelivery.SENT, words=words(outcome, order))


DELIVER_MANY = offer(
    BulkAct(
        name="deliver",
        label=gettext_lazy("Deliver again"),
        permission="fulfillment.redeliver",
        effect=(
            gettext_lazy("The same message with the same id goes to the game server at once."),
            gettext_lazy("A game server that has granted it before recognises the id and grants nothing twice."),
            gettext_lazy("Orders whose goods have arrived, were taken back or are being sent are left alone."),
        ),
        concerned=_concerned,
        hindrance=_hindrance,
        perform=_deliver,
    )
)
