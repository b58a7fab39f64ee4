"""The console's pages of orders: games, keys, catalogue, orders with their story, payments, cases.

Floors above add what they know to these pages (`panels`, `inlines`) from their own admin modules, because
this one may not know them.
"""

from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters, InlineModelAdmin
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.admin import AccountFilter, environment_mark, verdict_mark
from channels_app.admin_base import (
    Act,
    ActRefused,
    ConsoleAdmin,
    ExactFilter,
    Panel,
    Panels,
    ReadOnlyAdmin,
    found_keys,
    history_of,
    link,
    mark,
    money,
    number,
)
from channels_app.models import Channel, Environment, Notification
from channels_app.providers.base import Standing
from orders import narrating
from orders.attempts import Asked, ask_provider
from orders.authentication import forget_keys
from orders.business_time import day_began
from orders.cases import CaseClosed, Decision, close_case
from orders.exporting import OrderExport
from orders.finding import attempts_numbered, order_places
from orders.models import (
    ATTEMPT_ALIVE,
    ApiKey,
    AttemptState,
    Case,
    CaseKind,
    DeliveryState,
    Game,
    Order,
    OrderEvent,
    OrderState,
    Payment,
    PaymentAttempt,
    Product,
    ProductPrice,
)
from orders.settling import Outcome

# Tables that belong to another's page; the floor above adds its own.
Inlines = tuple[type[InlineModelAdmin[Any, Any]], ...]

_ASKED_AT_ONCE = 3  # a provider may take thirteen seconds to say nothing

ORDER_TONES = {OrderState.PENDING: "quiet", OrderState.PAID: "done", OrderState.CANCELLED: "quiet"}
DELIVERY_TONES = {
    DeliveryState.NONE: "quiet",
    DeliveryState.PENDING: "working",
    DeliveryState.DELIVERED: "done",
    DeliveryState.PARKED: "decide",
    DeliveryState.REVOKED: "quiet",
}
ATTEMPT_TONES = {
    AttemptState.OPENING: "working",
    AttemptState.OPEN: "working",
    AttemptState.PAID: "done",
    AttemptState.CLOSED: "quiet",
    AttemptState.FAILED: "quiet",
}


# --- games and their keys -----------------------------------------------------------------------------------
class GameForm(forms.ModelForm[Game]):
    """A game, with a time zone that exists."""

    class Meta:
        model = Game
        fields = ("code", "name", "time_zone", "day_turns_at_hour")

    def clean_time_zone(self) -> str:
        """Refuse a name that no clock knows: order numbers and business days are made with it."""
        name: str = self.cleaned_data["time_zone"]
        if name not in available_timezones():
            raise ValidationError(_("There is no such time zone; write it like Asia/Shanghai."))
        return name


@admin.register(Game)
class GameAdmin(ConsoleAdmin[Game]):
    """Games: named once, their clock may be corrected, never deleted."""

    form = GameForm
    inlines: ClassVar[Inlines] = ()
    list_display = ("code", "name", "time_zone", "day_turns_at_hour", "created_at")
    list_note = gettext_lazy(
        "A game, its first API key and its webhook secret are made by `manage.py create_game CODE --name …`."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """`manage.py create_game` makes a game together with what it needs to start."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Game | None = None) -> tuple[str, ...]:
        """The code is copied onto every order."""
        return ("code", "created_at")


def _revoke(request: HttpRequest, key: ApiKey, given: dict[str, Any]) -> str:
    if not ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        raise ActRefused(_("This key was revoked before."))
    forget_keys()
    return _("The key %(key)s is revoked.") % {"key": key}


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Keys of game servers: their beginning, what they may do, when they were last used."""

    list_display = ("prefix", "game", "name", "where", "allowed", "standing", "last_used_at", "created_at")
    list_select_related = ("game",)
    fields = (
        "prefix",
        "game",
        "name",
        "where",
        "allowed",
        "allowed_networks",
        "standing",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "created_at",
    )
    list_note = gettext_lazy(
        "A key is made, and shown once, by `manage.py create_api_key GAME --environment sandbox|production`."
    )
    acts = (
        Act(
            name="revoke",
            label=gettext_lazy("Revoke the key"),
            permission="orders.change_apikey",
            effect=lambda key: [
                _("The game server that uses this key is refused within a few seconds, for ever."),
                _("Make the new key first and let the game server change over: both work side by side."),
                _("Last used: %(at)s.") % {"at": timezone.localtime(key.last_used_at).strftime("%Y-%m-%d %H:%M")}
                if key.last_used_at
                else _("It was never used."),
            ],
            hindrance=lambda key: _("This key was revoked before.") if key.revoked_at else "",
            perform=_revoke,
        ),
    )

    @admin.display(description=gettext_lazy("environment"))
    def where(self, key: ApiKey) -> object:
        """Production or sandbox."""
        return environment_mark(key.environment)

    @admin.display(description=gettext_lazy("scopes"))
    def allowed(self, key: ApiKey) -> str:
        """What it may do."""
        return ", ".join(key.scopes)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, key: ApiKey) -> object:
        """Whether it opens anything."""
        if key.revoked_at:
            return mark(_("revoked"), "quiet")
        if key.expires_at and key.expires_at <= timezone.now():
            return mark(_("expired"), "quiet")
        return mark(_("valid"), "done")


# --- catalogue ----------------------------------------------------------------------------------------------
class PriceForm(forms.ModelForm[ProductPrice]):
    """A price in minor units, in a currency written as ISO 4217 does."""

    class Meta:
        model = ProductPrice
        fields = ("currency", "channel", "amount_minor")

    def clean_currency(self) -> str:
        """Three capital letters."""
        currency: str = self.cleaned_data["currency"].upper()
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise ValidationError(_("Three letters, like CNY."))
        return currency


class PriceInline(admin.TabularInline[ProductPrice, Product]):
    """Prices per currency, and per channel where it differs. A price may go: orders carry their own."""

    model = ProductPrice
    form = PriceForm
    extra = 0
    ordering = ("currency", "channel", "pk")


@admin.register(Product)
class ProductAdmin(ConsoleAdmin[Product]):
    """What a game sells. Changes hold for later orders; made orders keep what they were promised."""

    list_display = ("product_id", "name", "game", "is_active", "updated_at")
    list_select_related = ("game",)
    inlines: ClassVar[Inlines] = (PriceInline,)
    search_help_text = gettext_lazy("Product id, exactly.")
    list_note = gettext_lazy(
        "Changes hold for orders made from now on. `manage.py load_catalogue` loads a whole catalogue and"
        " shows what would change."
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> tuple[str, ...]:
        """Orders and game servers refer to a product by these."""
        return ("game", "product_id", "created_at", "updated_at") if obj else ("created_at", "updated_at")

    def find(self, term: str) -> list[QuerySet[Product]]:
        """By product id in every game."""
        games = list(Game.objects.order_by("pk").values_list("pk", flat=True))
        return [Product.objects.filter(game__in=games, product_id=term)]


# --- filters of orders --------------------------------------------------------------------------------------
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


class ChannelFilter(ExactFilter):
    """The sales channel."""

    title = gettext_lazy("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """All channels."""
        return [(str(pk), name) for pk, name in Channel.objects.order_by("code").values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Orders of the channel."""
        chosen = self.chosen()
        return queryset.filter(channel=int(chosen)) if chosen else queryset


class PaymentFilter(ExactFilter):
    """Paid or not. Each of the three is common among new orders, so the newest come at once."""

    title = gettext_lazy("payment")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The payment states."""
        return list(OrderState.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Orders in that state."""
        chosen = self.chosen()
        return queryset.filter(state=chosen) if chosen else queryset


class UndeliveredFilter(ExactFilter):
    """Paid, and the goods are not there: what an index keeps."""

    title = gettext_lazy("goods not there")
    parameter_name = "undelivered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Waiting, and stopped."""
        return [(state.value, state.label) for state in (DeliveryState.PENDING, DeliveryState.PARKED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Orders whose goods are on their way."""
        chosen = self.chosen()
        return queryset.filter(delivery_state=chosen) if chosen else queryset


# --- the page of an order -----------------------------------------------------------------------------------
def _timeline_panel(request: HttpRequest, order: Order) -> Panel:
    events = order.events.order_by("pk")
    return Panel(
        title=_("Timeline"),
        columns=(_("When"), _("What happened"), _("Who")),
        rows=[(timezone.localtime(event.at), narrating.line(event), number(event.actor)) for event in events],
        empty=_("Nothing has happened yet."),
        note=_("Oldest first, on our clock. The time of payment above is the provider's."),
    )


def _attempts_panel(request: HttpRequest, order: Order) -> Panel:
    rows = order.attempts.select_related("account").order_by("pk")
    return Panel(
        title=_("Payment attempts"),
        columns=(
            _("Opened"),
            _("Attempt number"),
            _("Payment method"),
            _("Account"),
            _("State"),
            _("Provider said"),
            _("Asked next"),
        ),
        rows=[
            (
                timezone.localtime(row.created_at),
                link(row, number(row.attempt_no)),
                row.method,
                link(row.account),
                mark(row.get_state_display(), ATTEMPT_TONES[AttemptState(row.state)]),
                row.provider_said,
                timezone.localtime(row.next_query_at) if row.next_query_at else "",
            )
            for row in rows
        ],
        empty=_("The player has not chosen a way to pay yet. Every try at a provider would stand here."),
    )


def _payments_panel(request: HttpRequest, order: Order) -> Panel:
    rows = order.payments.select_related("account").order_by("pk")
    return Panel(
        title=_("Payments"),
        columns=(
            _("Paid"),
            _("Provider transaction"),
            _("Amount"),
            _("Account"),
            _("Used for this order"),
            _("Proved by"),
        ),
        rows=[
            (
                timezone.localtime(row.paid_at),
                link(row, number(row.transaction_id)),
                money(row.amount_minor, row.currency),
                link(row.account),
                mark(_("yes"), "done") if row.applied else mark(row.get_hold_reason_display(), "decide"),
                row.get_source_display(),
            )
            for row in rows
        ],
        empty=_("No money has arrived for this order. Every payment would stand here, used or held."),
    )


def _notifications_panel(request: HttpRequest, order: Order) -> Panel:
    numbers = list(order.attempts.values_list("attempt_no", flat=True))
    rows = (
        Notification.objects.filter(attempt_no__in=numbers)
        .exclude(attempt_no="")
        .select_related("account")
        .order_by("pk")[:100]
    )
    return Panel(
        title=_("Notifications"),
        columns=(_("Received"), _("Account"), _("Verdict"), _("Failed step"), _("Provider transaction")),
        rows=[
            (
                link(row, timezone.localtime(row.received_at).strftime("%Y-%m-%d %H:%M:%S")),
                link(row.account),
                verdict_mark(row),
                row.failed_step,
                number(row.transaction_id),
            )
            for row in rows
        ],
        empty=_("The provider has sent nothing about this order that could be read."),
    )


def _cases_panel(request: HttpRequest, order: Order) -> Panel:
    rows = order.cases.order_by("closed_at", "pk")
    return Panel(
        title=_("Cases"),
        columns=(_("Kind"), _("Opened"), _("Money"), _("Detail"), _("State")),
        rows=[
            (
                link(row, row.get_kind_display()),
                timezone.localtime(row.opened_at),
                money(row.amount_minor, row.currency),
                row.detail,
                case_mark(row),
            )
            for row in rows
        ],
        empty=_("Nothing about this order needs a person."),
    )


def _nothing_to_ask(order: Order) -> str:
    if order.attempts.filter(state__in=ATTEMPT_ALIVE).exists():
        return ""
    if order.state == OrderState.PAID:
        return _("Paid, and no other attempt is open: there is nothing to ask.")
    if order.attempts.exists():
        return _("The provider has said its last word on every attempt.")
    return _("No payment was opened at a provider, so none knows this order.")


def _ask(request: HttpRequest, order: Order, given: dict[str, Any]) -> str:
    """Ask about the newest living attempts; what is paid is settled at once."""
    attempts = order.attempts.filter(state__in=ATTEMPT_ALIVE).select_related("account").order_by("-pk")[:_ASKED_AT_ONCE]
    actor = f"staff {request.user.get_username()}"
    return " ".join(_answer(attempt, ask_provider(attempt, actor=actor)) for attempt in attempts)


def _answer(attempt: PaymentAttempt, asked: Asked) -> str:
    """What a provider said about one attempt, in words."""
    about = {"attempt": attempt.attempt_no, "said": asked.answer.said if asked.answer else ""}
    if asked.answer is None:
        return _("%(attempt)s: the provider could not be asked now; it is asked again by itself.") % about
    if asked.outcome is not None:
        return {
            Outcome.APPLIED: _("%(attempt)s: paid. The order is settled."),
            Outcome.DUPLICATE: _("%(attempt)s: paid, and booked before."),
            Outcome.HELD: _("%(attempt)s: paid, but the money is held; see the cases below."),
            Outcome.ORPHAN: _("%(attempt)s: paid, but no order has this number; see the cases."),
        }[asked.outcome] % about
    if asked.answer.standing is Standing.CLOSED:
        return _("%(attempt)s: not paid, and nobody can pay it any more (%(said)s).") % about
    if asked.answer.standing is Standing.UNKNOWN:
        return _("%(attempt)s: the provider does not know it; nobody has started to pay (%(said)s).") % about
    return _("%(attempt)s: not paid yet (%(said)s).") % about


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin[Order]):
    """Orders: found by any number, told from beginning to end, exported."""

    list_display = (
        "created_at",
        "numbered",
        "payment",
        "delivery",
        "player",
        "goods",
        "amount",
        "channel_code",
        "method",
        "reference",
        "where",
    )
    list_display_links = ("numbered",)
    list_filter = (PeriodFilter, PaymentFilter, UndeliveredFilter, BooksFilter, ChannelFilter)
    linked_lookups = ("pk__in",)
    search_help_text = gettext_lazy(
        "Order number, attempt number, the game's reference, provider transaction or player, exactly."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("numbered", "where", "reference"),
                    ("payment", "delivery", "amount"),
                    ("player", "goods", "refunded"),
                    ("channel", "method", "transaction"),
                )
            },
        ),
        (
            gettext_lazy("Times"),
            {
                "fields": (
                    ("created_at", "paid_at", "settled_at", "delivered_at"),
                    ("expires_at", "cancelled_at", "cancel_reason"),
                )
            },
        ),
        (
            gettext_lazy("More"),
            {
                "classes": ("collapse",),
                "fields": (
                    ("game", "product", "promised"),
                    ("fulfilment_mode", "client_ip", "attach", "version"),
                ),
            },
        ),
    )
    panels: ClassVar[Panels] = (
        _timeline_panel,
        _attempts_panel,
        _payments_panel,
        _notifications_panel,
        _cases_panel,
    )
    acts = (
        Act(
            name="ask",
            label=gettext_lazy("Ask the provider now"),
            permission="orders.ask_provider",
            effect=lambda order: [_("Asks what became of every open attempt; what is paid is settled at once.")],
            hindrance=_nothing_to_ask,
            perform=_ask,
            confirmed=False,
            atomic=False,
        ),
    )

    def find(self, term: str) -> list[QuerySet[Order]]:
        """Every number a person may hold."""
        return order_places(term)

    def headline(self, row: Order) -> str:
        """The order in one sentence."""
        return narrating.headline(row, row.cases.filter(closed_at__isnull=True))

    @admin.display(description=gettext_lazy("order number"))
    def numbered(self, order: Order) -> object:
        """In monospace, whole."""
        return number(order.order_no)

    @admin.display(description=gettext_lazy("player"))
    def player(self, order: Order) -> str:
        """Player, zone and role."""
        return " · ".join(part for part in (order.uid, order.zone_id, order.role_id) if part)

    @admin.display(description=gettext_lazy("product"))
    def goods(self, order: Order) -> str:
        """Name, and how many."""
        return order.product_name if order.quantity == 1 else f"{order.product_name} × {order.quantity}"

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, order: Order) -> str:
        """In yuan."""
        return money(order.amount_minor, order.currency)

    @admin.display(description=gettext_lazy("refunded"))
    def refunded(self, order: Order) -> str:
        """In yuan."""
        return money(order.refunded_minor, order.currency)

    @admin.display(description=gettext_lazy("payment"))
    def payment(self, order: Order) -> object:
        """Is it paid?"""
        return mark(order.get_state_display(), ORDER_TONES[OrderState(order.state)])

    @admin.display(description=gettext_lazy("delivery"))
    def delivery(self, order: Order) -> object:
        """Are the goods there?"""
        return mark(order.get_delivery_state_display(), DELIVERY_TONES[DeliveryState(order.delivery_state)])

    @admin.display(description=gettext_lazy("game's reference"))
    def reference(self, order: Order) -> object:
        """The game's own number."""
        return number(order.client_ref)

    @admin.display(description=gettext_lazy("provider transaction"))
    def transaction(self, order: Order) -> object:
        """The provider's number."""
        return number(order.transaction_id)

    @admin.display(description=gettext_lazy("contents"))
    def promised(self, order: Order) -> str:
        """What the buyer was promised."""
        return narrating.contents(order.contents)

    @admin.display(description=gettext_lazy("environment"))
    def where(self, order: Order) -> object:
        """Production or sandbox."""
        return environment_mark(order.environment)

    # --- export ------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        """Adds the export."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="orders_order_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with the export button for those who may."""
        address = ""
        if request.user.has_perm("orders.export_orders"):
            address = f"{reverse('admin:orders_order_export')}?{request.GET.urlencode()}"
        return super().changelist_view(request, {"export_address": address, **(extra_context or {})})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """GET: what would be exported, to be confirmed. POST: the file, streamed."""
        if not request.user.has_perm("orders.export_orders") or not self.has_view_permission(request):
            raise PermissionDenied
        try:
            listed = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:orders_order_changelist"))
        chosen = request.GET.get(BooksFilter.parameter_name)
        form = ExportForm(request.POST if request.method == "POST" else None, initial={"books": chosen})
        if request.method == "POST" and form.is_valid():
            return self._stream(request, listed, form.cleaned_data["books"])
        return self._ask_export(request, listed, form)

    def _ask_export(self, request: HttpRequest, listed: Any, form: forms.Form) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/console/export.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("Export orders as CSV"),
                "form": form,
                "filters": filters_in_words(listed),
                "found": listed.result_count,
                "capped": listed.paginator.capped,
                "back": f"{reverse('admin:orders_order_changelist')}?{request.GET.urlencode()}",
            },
        )

    def _stream(self, request: HttpRequest, listed: Any, books: str) -> HttpResponseBase:
        game_id, _dot, environment = books.partition(".")
        export = OrderExport(
            game=Game.objects.get(pk=game_id),
            environment=Environment(environment),
            orders=listed.queryset.order_by(),
            filters=filters_in_words(listed),
            now=timezone.now(),
        )
        LogEntry.objects.create(
            user_id=int(request.user.pk or 0),
            content_type=ContentType.objects.get_for_model(Order),
            object_repr=export.file_name,
            action_flag=CHANGE,
            change_message=f"exported {export.file_name}: {'; '.join(export.filters)}",
        )
        return StreamingHttpResponse(
            export.stream(),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{export.file_name}"'},
        )


class ExportForm(forms.Form):
    """One game and one environment at a time: real and play money never share a file."""

    books = forms.ChoiceField(label=gettext_lazy("Game and environment"), choices=book_choices)


def filters_in_words(listed: Any) -> list[str]:
    """The filters and the search of a list, as a person reads them."""
    words = [
        f"{spec.title}: {choice['display']}"
        for spec in listed.filter_specs
        if spec.value() is not None
        for choice in spec.choices(listed)
        if choice["selected"]
    ]
    return [*words, *([_("searched: %(term)s") % {"term": listed.query}] if listed.query else [])]


# --- attempts, payments, timeline ---------------------------------------------------------------------------
class AskedFilter(ExactFilter):
    """Attempts the provider is still asked about."""

    title = gettext_lazy("still asked about")
    parameter_name = "asked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Yes, or all."""
        return [("yes", _("yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PaymentAttempt]) -> QuerySet[PaymentAttempt]:
        """Attempts with a next question."""
        return queryset.filter(next_query_at__isnull=False) if self.chosen() else queryset


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnlyAdmin[PaymentAttempt]):
    """Every try to pay an order at an account."""

    list_display = (
        "created_at",
        "numbered",
        "order",
        "method",
        "account",
        "standing",
        "provider_said",
        "next_query_at",
    )
    list_display_links = ("numbered",)
    list_select_related = ("order", "account")
    list_filter = (AskedFilter, AccountFilter)
    search_help_text = gettext_lazy("Attempt number or order number, exactly.")
    fields = (
        "numbered",
        "order",
        "account",
        "method",
        "standing",
        "provider_said",
        "queries",
        "next_query_at",
        "created_at",
        "expires_at",
        "closed_at",
    )

    def find(self, term: str) -> list[QuerySet[PaymentAttempt]]:
        """By its own number, or its order's."""
        return [
            attempts_numbered(term),
            PaymentAttempt.objects.filter(order__in=Order.objects.filter(order_no=term)),
        ]

    @admin.display(description=gettext_lazy("attempt number"))
    def numbered(self, attempt: PaymentAttempt) -> object:
        """In monospace."""
        return number(attempt.attempt_no)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, attempt: PaymentAttempt) -> object:
        """The state as a mark."""
        return mark(attempt.get_state_display(), ATTEMPT_TONES[AttemptState(attempt.state)])


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin[Payment]):
    """Money that arrived, used or held."""

    list_display = ("paid_at", "numbered", "amount", "account", "order", "used", "source", "where")
    list_display_links = ("numbered",)
    list_select_related = ("account", "order")
    list_filter = (AccountFilter,)
    search_help_text = gettext_lazy("Provider transaction, attempt number or order number, exactly.")
    fields = (
        "numbered",
        "amount",
        "account",
        "where",
        "attempt_no",
        "attempt",
        "order",
        "used",
        "source",
        "paid_at",
        "received_at",
    )

    def find(self, term: str) -> list[QuerySet[Payment]]:
        """By transaction, attempt or order."""
        payments = Payment.objects
        return [
            payments.filter(transaction_id=term),
            payments.filter(attempt__in=attempts_numbered(term)),
            payments.filter(order__in=Order.objects.filter(order_no=term), order__isnull=False),
        ]

    @admin.display(description=gettext_lazy("provider transaction"))
    def numbered(self, payment: Payment) -> object:
        """In monospace."""
        return number(payment.transaction_id)

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, payment: Payment) -> str:
        """In yuan."""
        return money(payment.amount_minor, payment.currency)

    @admin.display(description=gettext_lazy("used for its order"))
    def used(self, payment: Payment) -> object:
        """Used, or held and why."""
        return mark(_("yes"), "done") if payment.applied else mark(payment.get_hold_reason_display(), "decide")

    @admin.display(description=gettext_lazy("environment"))
    def where(self, payment: Payment) -> object:
        """Production or sandbox."""
        return environment_mark(payment.environment)


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin[OrderEvent]):
    """Timelines of all orders, one line each."""

    list_display = ("at", "order", "words", "actor")
    list_select_related = ("order",)
    fields = ("order", "at", "kind", "words", "actor", "data")
    search_help_text = gettext_lazy("Order number, exactly.")

    def find(self, term: str) -> list[QuerySet[OrderEvent]]:
        """The lines of one order."""
        return [OrderEvent.objects.filter(order__in=Order.objects.filter(order_no=term))]

    @admin.display(description=gettext_lazy("what happened"))
    def words(self, event: OrderEvent) -> str:
        """In plain words."""
        return narrating.line(event)


# --- cases --------------------------------------------------------------------------------------------------
class StatusFilter(ExactFilter):
    """Open cases first: without a choice the list shows nothing else. Kinds are told apart among the open."""

    title = gettext_lazy("state")
    parameter_name = "status"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every kind among the open, and all cases ever."""
        return [*CaseKind.choices, (self.ALL, _("all, closed ones too"))]

    def choices(self, changelist: Any) -> Any:
        """Names the default."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        """Open cases unless all are wanted; a search looks among all."""
        chosen = self.chosen()
        if chosen == self.ALL or (not chosen and request.GET.get("q")):
            return queryset
        open_cases = queryset.filter(closed_at__isnull=True)
        return open_cases.filter(kind=chosen) if chosen else open_cases


class ClosingForm(forms.Form):
    """A decision, and why."""

    decision = forms.ChoiceField(label=gettext_lazy("Decision"), choices=Decision.choices)
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        min_length=4,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("For whoever looks at this in a year: what you found and what you did."),
    )


def _close(request: HttpRequest, case: Case, given: dict[str, Any]) -> str:
    decision = Decision(given["decision"])
    try:
        close_case(
            case_id=case.pk,
            decision=decision,
            reason=given["reason"],
            by=request.user.get_username(),
            now=timezone.now(),
        )
    except CaseClosed as error:
        raise ActRefused(_("Somebody else has just closed this case.")) from error
    return _("%(decision)s. Reason: %(reason)s") % {"decision": decision.label, "reason": given["reason"]}


def _case_history(request: HttpRequest, case: Case) -> Panel:
    return history_of(case)


def case_mark(case: Case) -> object:
    """Open, or how it was closed."""
    if case.closed_at is None:
        return mark(_("open"), "decide")
    decisions = dict(Decision.choices)
    return mark(decisions.get(case.decision, case.decision), "done")


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin[Case]):
    """One queue for everything that needs a person."""

    list_display = (
        "opened_at",
        "about",
        "money_at_stake",
        "order",
        "detail",
        "standing",
        "closed_by",
        "where",
    )
    list_display_links = ("about",)
    list_select_related = ("order",)
    list_filter = (StatusFilter,)
    search_help_text = gettext_lazy("Order number, attempt number, provider transaction or player, exactly.")
    fields = (
        "about",
        "standing",
        "money_at_stake",
        "where",
        "order",
        "payment",
        "account",
        "game",
        "detail",
        "subject",
        "opened_at",
        "closed_at",
        "closed_by",
    )
    panels = (_case_history,)
    acts = (
        Act(
            name="close",
            label=gettext_lazy("Close the case"),
            permission="orders.close_case",
            effect=lambda case: [
                _("The case leaves the queue, with your name, your decision and your reason."),
                _("Nothing else moves: no money, no goods."),
            ],
            hindrance=lambda case: _("It is closed already.") if case.closed_at else "",
            perform=_close,
            form=ClosingForm,
        ),
    )

    def find(self, term: str) -> list[QuerySet[Case]]:
        """By any number of the order, or by the payment's transaction."""
        orders = found_keys(order_places(term))
        return [
            Case.objects.filter(order__in=orders),
            Case.objects.filter(payment__in=Payment.objects.filter(transaction_id=term)),
        ]

    @admin.display(description=gettext_lazy("kind"))
    def about(self, case: Case) -> str:
        """What kind of trouble."""
        return case.get_kind_display()

    @admin.display(description=gettext_lazy("money"))
    def money_at_stake(self, case: Case) -> str:
        """In yuan."""
        return money(case.amount_minor, case.currency)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, case: Case) -> object:
        """Open, or how it was closed."""
        return case_mark(case)

    @admin.display(description=gettext_lazy("environment"))
    def where(self, case: Case) -> object:
        """Production or sandbox."""
        return environment_mark(case.environment)
