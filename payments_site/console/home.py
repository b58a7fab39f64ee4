"""The first page: what needs a human now, whether goods and game servers keep up, how today is going.

Everything here is read through small indexes: open cases, undelivered goods, today's orders by their block
range. Sandbox figures stand apart from production's and never add up with them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from channels_app.console.pages import Panel
from channels_app.console.words import environment_mark, link, mark, money
from channels_app.models import Environment
from fulfillment.models import Delivery, DeliveryStatus, EndpointState, WebhookEndpoint
from orders.business_time import day_began
from orders.models import Case, CaseKind, Game, Order, OrderState

# An order may be paid up to this long after it was made (the longest expiry the API takes).
_LONGEST_EXPIRY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Home:
    """What the first page shows: one sentence and its panels."""

    sentence: str
    panels: list[Panel]


def home(request: HttpRequest, *, now: datetime) -> Home:
    """The first page as this person may see it."""
    may: Any = request.user.has_perm
    cases = _open_cases() if may("orders.view_case") else []
    panels = []
    if may("orders.view_case"):
        panels.append(_cases_panel(cases, now))
    if may("fulfillment.view_delivery"):
        panels.append(_deliveries_panel(now))
    if may("fulfillment.view_webhookendpoint"):
        panels.append(_endpoints_panel(now))
    # Totals are for those who may take them away; customer service sees orders, not turnover.
    if may("orders.export_orders"):
        panels += [_today_panel(environment, now) for environment in Environment]
    return Home(_sentence(cases) if may("orders.view_case") else "", panels)


def _sentence(cases: list[Any]) -> str:
    waiting = sum(row["count"] for row in cases if row["environment"] == Environment.PRODUCTION)
    if not waiting:
        return _("Nothing in production waits for a person.")
    return _("%(count)s cases in production wait for a person.") % {"count": waiting}


def _open_cases() -> list[Any]:
    return list(
        Case.objects.filter(closed_at__isnull=True)
        .order_by()
        .values("environment", "kind", "currency")
        .annotate(count=Count("pk"), amount=Sum("amount_minor"), oldest=Min("opened_at"))
        .order_by("environment", "oldest")
    )


def _cases_panel(cases: list[Any], now: datetime) -> Panel:
    address = reverse("admin:orders_case_changelist")
    rows = [
        (
            format_html(
                '<a href="{}?status={}">{}</a>',
                address,
                row["kind"],
                mark(CaseKind(row["kind"]).label, "decide"),
            ),
            row["count"],
            money(row["amount"], row["currency"]),
            timesince(row["oldest"], now),
            environment_mark(row["environment"]),
        )
        for row in cases
    ]
    return Panel(
        title=_("Needs a person"),
        columns=(_("Kind"), _("Cases"), _("Money"), _("Oldest"), _("Environment")),
        rows=rows,
        empty=_("No case is open. Money that cannot be booked by itself would stand here, and goods that stopped."),
    )


def _deliveries_panel(now: datetime) -> Panel:
    address = reverse("admin:fulfillment_delivery_changelist")
    waiting = (
        Delivery.objects.filter(state__in=(DeliveryStatus.PENDING, DeliveryStatus.PARKED))
        .values("state", "player__environment")
        .annotate(count=Count("pk"), oldest=Min("created_at"))
        .order_by("state", "player__environment")
    )
    tones = {DeliveryStatus.PENDING: "working", DeliveryStatus.PARKED: "decide"}
    rows = [
        (
            format_html(
                '<a href="{}?waiting={}">{}</a>',
                address,
                row["state"],
                mark(DeliveryStatus(row["state"]).label, tones[DeliveryStatus(row["state"])]),
            ),
            row["count"],
            timesince(row["oldest"], now),
            environment_mark(row["player__environment"]),
        )
        for row in waiting
    ]
    return Panel(
        title=_("Paid, goods not there yet"),
        columns=(_("State"), _("Deliveries"), _("Oldest"), _("Environment")),
        rows=rows,
        empty=_("Everything that was paid has been delivered."),
    )


def _endpoints_panel(now: datetime) -> Panel:
    failing = (
        WebhookEndpoint.objects.filter(Q(failures_in_a_row__gt=0) | ~Q(state=EndpointState.ACTIVE))
        .select_related("game")
        .order_by("failing_since", "pk")
    )
    rows = [
        (
            link(endpoint, endpoint.game.name),
            endpoint.get_state_display(),
            endpoint.failures_in_a_row,
            timesince(endpoint.failing_since, now) if endpoint.failing_since else "",
            endpoint.last_error,
        )
        for endpoint in failing
    ]
    return Panel(
        title=_("Game servers in trouble"),
        columns=(_("Game"), _("State"), _("Failures in a row"), _("Since"), _("Last error")),
        rows=rows,
        empty=_("Every game server that is told things answers."),
    )


def _today_panel(environment: Environment, now: datetime) -> Panel:
    rows: list[tuple[object, ...]] = []
    for game in Game.objects.order_by("code"):
        began = day_began(now=now, time_zone=game.time_zone, turns_at_hour=game.day_turns_at_hour)
        rows += _today_of(game, environment, began)
    production = environment == Environment.PRODUCTION
    return Panel(
        title=_("Today, production") if production else mark(_("Today, sandbox: not real money"), "sandbox"),
        columns=(_("Game"), _("Orders made"), _("Orders paid"), _("Received"), _("Day began")),
        rows=rows,
        empty=_("No order yet today."),
    )


def _today_of(game: Game, environment: Environment, began: datetime) -> list[tuple[object, ...]]:
    """One line per currency. Paid counts by the provider's clock, whenever the order was made."""
    figures = (
        Order.objects.filter(game=game, environment=environment, created_at__gte=began - _LONGEST_EXPIRY)
        .order_by()
        .values("currency")
        .annotate(
            made=Count("pk", filter=Q(created_at__gte=began)),
            paid=Count("pk", filter=Q(state=OrderState.PAID, paid_at__gte=began)),
            received=Sum("amount_minor", filter=Q(state=OrderState.PAID, paid_at__gte=began)),
        )
        .order_by("currency")
    )
    orders = reverse("admin:orders_order_changelist")
    address = f"{orders}?books={game.pk}.{environment.value}&period=today"
    return [
        (
            format_html('<a href="{}">{}</a>', address, game.name),
            row["made"],
            row["paid"],
            money(row["received"] or 0, row["currency"]),
            f"{began:%Y-%m-%d %H:%M} {game.time_zone}",
        )
        for row in figures
        if row["made"] or row["paid"]
    ]
