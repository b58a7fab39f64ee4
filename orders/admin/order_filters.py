"""What the list of orders can be narrowed to, and the addresses that lead there.

Every filter is answered by an index or bounded by the list's period. Whoever links to the list writes
`?view=…` (`OrderViews`), `period=today|yesterday|7days|30days|month|last_month` or `from=2026-03-01&to=2026-03-31`,
`by=paid` (the period is that of the payment, not of the order), `channel`, `method`, `product`, `zone`, `currency`,
`amount=648` or `amount=100-648`, and `books=<game>.<environment>` where the page must not follow what the console
looks at.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console import periods
from channels_app.console.bearings import bearings_of
from channels_app.console.filters import (
    AmountFilter,
    ColumnFilter,
    ExactFilter,
    PeriodFilter,
    TextFilter,
    View,
    ViewsFilter,
)
from channels_app.console.lists import FOUND_AT_MOST
from channels_app.models import Channel, Environment
from channels_app.providers import ADAPTERS
from orders.models import Case, CaseKind, DeliveryState, Game, Order, OrderState, Product, ProductPrice
from orders.staff import games_of

# An order is paid this long after it was made, at most: the longest expiry the API takes, and the provider's own end.
PAID_WITHIN = timedelta(days=8)


class BooksFilter(ExactFilter):
    """Game and environment: real and play money are never one list. Follows what the console looks at unless told."""

    title = gettext_lazy("game and environment")
    parameter_name = "books"
    bounds_counts = True
    game_column, environment_column = "game", "environment"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        """Asks what the console looks at."""
        super().__init__(request, params, model, model_admin)
        self.bearings = bearings_of(request)

    @property
    def shape(self) -> str:  # type: ignore[override]  # shown only where it differs from what the page's bar says
        """A select when the address names books of its own."""
        return "select" if self.chosen() else "silent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every pair of this person's games."""
        return book_choices(games_of(request.user))

    def pair(self) -> tuple[int, str] | None:
        """The chosen game's key and environment."""
        chosen = self.chosen()
        if not chosen:
            return None
        game, _dot, environment = chosen.partition(".")
        return int(game), environment

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows of that game in that environment, or of everything the console looks at."""
        pair = self.pair()
        environment = pair[1] if pair else self.bearings.environment
        games = (pair[0],) if pair else self.bearings.games
        rows = queryset.filter(**{self.environment_column: environment})
        return rows if games is None else self.of_games(rows, games)

    def of_games(self, rows: QuerySet[Any], games: Sequence[int]) -> QuerySet[Any]:
        """Rows of these games."""
        return rows.filter(**{f"{self.game_column}__in": games})


def book_choices(games: frozenset[int] | None = None) -> list[tuple[str, str]]:
    """Every game (or those of `games`) in every environment."""
    rows = Game.objects.all() if games is None else Game.objects.filter(pk__in=games)
    return [
        (f"{pk}.{environment.value}", f"{name} · {environment.label}")
        for pk, name in rows.order_by("code").values_list("pk", "name")
        for environment in Environment
    ]


class OrderPeriod(PeriodFilter):
    """When the order was made; with `by=paid`, when it was paid (the provider's clock)."""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        """Asks which of the two times is meant."""
        super().__init__(request, params, model, model_admin)
        self.by_payment = request.GET.get(ClockFilter.parameter_name) == ClockFilter.PAID

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Orders made, or paid, in the period."""
        if self.by_payment:
            return periods.within(
                queryset, self.period(), column="paid_at", early=PAID_WITHIN, keys_follow="created_at"
            )
        return periods.within(queryset, self.period(), column="created_at")


class ClockFilter(ExactFilter):
    """Which time the period means. Figures of revenue go by payment; the list by when an order was made."""

    title = gettext_lazy("period of")
    parameter_name = "by"
    PAID = "paid"

    @property
    def shape(self) -> str:  # type: ignore[override]  # links lead here; nobody chooses it
        """Shown only when a link brought it."""
        return "select" if self.chosen() else "silent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """By payment; without it by the making."""
        return [(self.PAID, _("by time of payment"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """OrderPeriod reads it."""
        return queryset


def with_open_case(*kinds: CaseKind) -> Callable[[QuerySet[Order]], QuerySet[Order]]:
    """Orders of open cases (of these kinds). The cases are read first: they are few, the orders many."""

    def rows(orders: QuerySet[Order]) -> QuerySet[Order]:
        cases = Case.objects.filter(closed_at__isnull=True, order__isnull=False)
        if kinds:
            cases = cases.filter(kind__in=kinds)
        keys = set(cases.order_by("-opened_at").values_list("order", flat=True)[:FOUND_AT_MOST])
        return orders.filter(pk__in=keys)

    return rows


class OrderViews(ViewsFilter):
    """The lists people come back to."""

    views = (
        View(code="attention", label=gettext_lazy("needs a person"), rows=with_open_case(), tone="decide",
             timeless=True),
        View(code="undelivered", label=gettext_lazy("paid, goods not there"), tone="working", timeless=True,
             rows=lambda orders: orders.filter(delivery_state__in=(DeliveryState.PENDING, DeliveryState.PARKED))),
        View(code="awaiting", label=gettext_lazy("awaiting payment"),
             rows=lambda orders: orders.filter(state=OrderState.PENDING)),
        View(code="twice", label=gettext_lazy("paid twice"), rows=with_open_case(CaseKind.SECOND_PAYMENT),
             tone="decide", timeless=True),
        View(code="late", label=gettext_lazy("paid after cancel"), rows=with_open_case(CaseKind.LATE_PAYMENT),
             tone="decide", timeless=True),
        View(code="paid", label=gettext_lazy("paid"), shown=False,
             rows=lambda orders: orders.filter(state=OrderState.PAID)),
        View(code="refunded", label=gettext_lazy("refunded"),
             rows=lambda orders: orders.filter(refunded_minor__gt=0)),
        View(code="clawback", label=gettext_lazy("refunded after delivery"),
             rows=lambda orders: orders.filter(refunded_minor__gt=0, delivered_at__isnull=False)),
        View(code="cancelled", label=gettext_lazy("cancelled"),
             rows=lambda orders: orders.filter(state=OrderState.CANCELLED)),
    )  # fmt: skip


class ChannelFilter(ColumnFilter):
    """The sales channel."""

    title = gettext_lazy("channel")
    parameter_name = "channel"
    column = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """All channels."""
        return [(str(pk), name) for pk, name in Channel.objects.order_by("code").values_list("pk", "name")]


class MethodFilter(ColumnFilter):
    """How it was paid."""

    title = gettext_lazy("payment method")
    parameter_name = "method"
    column = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every method of every provider."""
        return [(method.code, method.label) for adapter in ADAPTERS.values() for method in adapter.methods.values()]


class ProductFilter(ColumnFilter):
    """What was bought, by the product's code: two games may sell the same one."""

    title = gettext_lazy("product")
    parameter_name = "product"
    column = "product_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The products of the games looked at."""
        games = bearings_of(request).games
        products = Product.objects.filter(**({} if games is None else {"game__in": games}))
        return list(dict(products.order_by("product_id", "-pk").values_list("product_id", "name")[:500]).items())


class ZoneFilter(TextFilter):
    """The zone, exactly."""

    title = gettext_lazy("zone")
    parameter_name = "zone"
    hint = gettext_lazy("the zone's id, exactly")

    def read(self, typed: str) -> dict[str, Any] | None:
        """That zone."""
        return {"zone_id": typed}


class CurrencyFilter(ColumnFilter):
    """The currency; shown where there is more than one."""

    title = gettext_lazy("currency")
    parameter_name = "currency"
    column = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every currency something is sold in."""
        codes = ProductPrice.objects.order_by("currency").values_list("currency", flat=True).distinct()
        return [(code, code) for code in codes]

    @property
    def shape(self) -> str:  # type: ignore[override]
        """One currency is nothing to choose."""
        return "select" if len(self.lookup_choices) > 1 or self.chosen() else "silent"


ORDER_FILTERS = (
    OrderPeriod,
    OrderViews,
    BooksFilter,
    ClockFilter,
    ChannelFilter,
    MethodFilter,
    ProductFilter,
    ZoneFilter,
    CurrencyFilter,
    AmountFilter,
)
