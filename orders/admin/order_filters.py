"""What the list of orders can be narrowed to: only what an index answers."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.lists import ColumnFilter, ExactFilter
from channels_app.models import Channel, Environment
from orders.business_time import day_began
from orders.models import DeliveryState, Game, Order, OrderState


class PeriodFilter(ExactFilter):
    """When the order was made, in business days (block range index)."""

    title = gettext_lazy("made")
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Common periods."""
        return [
            ("today", _("today")),
            ("yesterday", _("yesterday")),
            ("7days", _("last 7 days")),
            ("30days", _("last 30 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Orders made in the period."""
        chosen = self.chosen()
        if not chosen:
            return queryset
        since, until = period_bounds(chosen, now=timezone.now())
        return queryset.filter(created_at__gte=since, **({"created_at__lt": until} if until else {}))


def period_bounds(period: str, *, now: datetime) -> tuple[datetime, datetime | None]:
    """Where a period of PeriodFilter begins and ends, on the clock of the console."""
    zone = timezone.get_current_timezone_name()
    days_ago = {"today": 0, "yesterday": 1, "7days": 6, "30days": 29}[period]
    until = day_began(now=now, time_zone=zone) if period == "yesterday" else None
    return day_began(now=now, time_zone=zone, days_ago=days_ago), until


class BooksFilter(ExactFilter):
    """Game and environment together, as the index has them: real and play money are never one list."""

    title = gettext_lazy("game and environment")
    parameter_name = "books"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every pair."""
        return book_choices()

    def pair(self) -> tuple[int, str] | None:
        """The chosen game's key and environment."""
        chosen = self.chosen()
        if not chosen:
            return None
        game, _dot, environment = chosen.partition(".")
        return int(game), environment

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows of that game in that environment."""
        pair = self.pair()
        return queryset.filter(game=pair[0], environment=pair[1]) if pair else queryset


def book_choices() -> list[tuple[str, str]]:
    """Every game in every environment."""
    return [
        (f"{pk}.{environment.value}", f"{name} · {environment.label}")
        for pk, name in Game.objects.order_by("code").values_list("pk", "name")
        for environment in Environment
    ]


class ChannelFilter(ColumnFilter):
    """The sales channel."""

    title = gettext_lazy("channel")
    parameter_name = "channel"
    column = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """All channels."""
        return [(str(pk), name) for pk, name in Channel.objects.order_by("code").values_list("pk", "name")]


class PaymentFilter(ColumnFilter):
    """Paid or not. Each of the three is common among new orders, so the newest come at once."""

    title = gettext_lazy("payment")
    parameter_name = "state"
    column = "state"
    offered = tuple(OrderState)


class UndeliveredFilter(ColumnFilter):
    """Paid, and the goods are not there: what an index keeps."""

    title = gettext_lazy("goods not there")
    parameter_name = "undelivered"
    column = "delivery_state"
    offered = (DeliveryState.PENDING, DeliveryState.PARKED)
