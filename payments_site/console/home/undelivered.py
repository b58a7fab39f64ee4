"""Orders that are paid and whose goods have not arrived, while the system goes on trying: how many, how much, where."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q, QuerySet, Sum

from channels_app.console.words import money_in_prose
from fulfillment.models import EndpointState, MessageState, WebhookEndpoint, WebhookMessage
from orders.models import DeliveryState, Order
from orders.play_money import paid_with_play_money
from payments_site.console.scope import Scope

# In a long outage the exact number helps nobody, and the page must come all the same.
COUNTED_AT_MOST = 10_000
_ZONES_NAMED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """What is on its way. `zones` are given when they are few; `next_try` is when the next order is tried again."""

    count: int
    sums: dict[str, int]
    oldest: datetime | None
    zones: list[str]
    next_try: datetime | None

    @property
    def count_words(self) -> str:
        """The number, or that there are more."""
        return f"{self.count:,}" if self.count < COUNTED_AT_MOST else f"{COUNTED_AT_MOST:,}+"

    @property
    def money(self) -> str:
        """Their money, each currency by itself."""
        sums = " + ".join(money_in_prose(amount, currency) for currency, amount in sorted(self.sums.items()))
        return sums if self.count < COUNTED_AT_MOST else f"≥ {sums}"


def pending_orders(scope: Scope) -> QuerySet[Order]:
    """The oldest orders that are paid and being delivered, through the small index of what is not delivered."""
    return Order.objects.filter(
        # In the words of the partial index.
        Q(delivery_state__in=(DeliveryState.PENDING, DeliveryState.PARKED)),
        game__in=scope.game_ids,
        environment=scope.environment,
        delivery_state=DeliveryState.PENDING,
    )[:COUNTED_AT_MOST]


def undelivered(scope: Scope, *, now: datetime) -> Undelivered:
    """What is on its way in this scope."""
    real = ~Q(pk__in=paid_with_play_money(scope.game_ids))
    rows = list(
        Order.objects.filter(pk__in=pending_orders(scope).values("pk"))
        .order_by()
        .values("currency", "zone_id")
        .annotate(count=Count("pk"), amount=Sum("amount_minor", filter=real, default=0), oldest=Min("settled_at"))
    )
    sums: dict[str, int] = {}
    for row in rows:
        if row["amount"]:
            sums[row["currency"]] = sums.get(row["currency"], 0) + row["amount"]
    zones = sorted({row["zone_id"] for row in rows})
    return Undelivered(
        count=sum(row["count"] for row in rows),
        sums=sums,
        oldest=min((row["oldest"] for row in rows), default=None),
        zones=zones if len(zones) <= _ZONES_NAMED and all(zones) else [],
        next_try=next_try(scope, now=now) if rows else None,
    )


def next_try(scope: Scope, *, now: datetime) -> datetime | None:
    """When the next waiting message is sent: a failing game server is probed first, then everything follows."""
    times = []
    for endpoint in WebhookEndpoint.objects.filter(game__in=scope.game_ids, state=EndpointState.ACTIVE).order_by("pk"):
        due = (
            WebhookMessage.objects.filter(endpoint=endpoint, state=MessageState.WAITING)
            .order_by("next_attempt_at", "pk")
            .values_list("next_attempt_at", flat=True)
            .first()
        )
        if due is not None:
            times.append(max(due, endpoint.next_probe_at or now, now))
    return min(times, default=None)
