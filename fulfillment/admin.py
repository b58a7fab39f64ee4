"""The console's pages of delivery: players, what they own and how it got there, what game servers were told.

Adds to the pages of orders what only this floor knows: deliveries, webhook messages, what a product grants.
"""

import json
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.admin import environment_mark
from channels_app.admin_base import (
    Act,
    ActRefused,
    ConsoleAdmin,
    ExactFilter,
    Panel,
    ReadOnlyAdmin,
    link,
    mark,
    number,
)
from fulfillment.endpoints import pause_endpoint, requeue, resume_endpoint
from fulfillment.models import (
    Balance,
    Delivery,
    DeliveryPolicy,
    DeliveryStatus,
    EndpointState,
    GameEvent,
    Item,
    LedgerAccount,
    LedgerEntry,
    MessageState,
    Player,
    ProductGrant,
    WebhookAttempt,
    WebhookEndpoint,
    WebhookMessage,
)
from fulfillment.outbox import LEASE_S
from orders.admin import BooksFilter, GameAdmin, OrderAdmin, ProductAdmin
from orders.models import Game, Order, Product

_PANEL_ROWS = 50
# Whoever sends a message holds it this long; what is due sooner may be on its way.
_LEASE = timedelta(seconds=LEASE_S)

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


def delivery_mark(delivery: Delivery) -> object:
    """The state of a delivery as a mark."""
    return mark(delivery.get_state_display(), DELIVERY_TONES[DeliveryStatus(delivery.state)])


def message_mark(message: WebhookMessage) -> object:
    """The state of a message as a mark."""
    return mark(message.get_state_display(), MESSAGE_TONES[MessageState(message.state)])


# --- finding ------------------------------------------------------------------------------------------------
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


# --- what this floor adds to the pages of orders ------------------------------------------------------------
def _order_deliveries(request: HttpRequest, order: Order) -> Panel:
    rows = deliveries_numbered(order.order_no).prefetch_related("lines__item").order_by("pk")
    return Panel(
        title=_("Deliveries"),
        columns=(
            _("Created"),
            _("Delivery"),
            _("Goods"),
            _("To"),
            _("Who holds the goods"),
            _("State"),
            _("Delivered"),
            _("Game's receipt"),
        ),
        rows=[
            (
                timezone.localtime(row.created_at),
                link(row, number(row.pk)),
                lines_in_words(row),
                " · ".join(part for part in (order.uid, row.zone_id, row.role_id) if part),
                row.get_mode_display(),
                delivery_mark(row),
                timezone.localtime(row.delivered_at) if row.delivered_at else "",
                number(row.receipt),
            )
            for row in rows
        ],
        empty=_("No goods have left yet. Once the money is here this shows what was delivered, line by line."),
    )


def _order_messages(request: HttpRequest, order: Order) -> Panel:
    rows = messages_about(order.order_no).select_related("event").prefetch_related("tries").order_by("pk")[:_PANEL_ROWS]
    return Panel(
        title=_("What the game server was told"),
        columns=(_("Event"), _("Message"), _("State"), _("Attempts"), _("Next attempt")),
        rows=[
            (
                row.event.type,
                link(row, number(row.event.event_id)),
                message_mark(row),
                tries_in_words(row),
                timezone.localtime(row.next_attempt_at) if row.next_attempt_at else "",
            )
            for row in rows
        ],
        empty=_("Nothing was sent: the game has no webhook endpoint, or nothing has happened yet."),
    )


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


class ItemChoice(forms.ModelChoiceField[Item]):
    """Items are named with their game: two games may call different things the same."""

    def label_from_instance(self, item: Item) -> str:
        """Game, code and name."""
        return f"{item.game.code} · {item.item_id} ({item.name})"


class GrantForm(forms.ModelForm[ProductGrant]):
    """A product gives items of its own game."""

    item = ItemChoice(
        label=gettext_lazy("item"),
        queryset=Item.objects.select_related("game").order_by("game__code", "item_id"),
    )

    class Meta:
        model = ProductGrant
        fields = ("item", "quantity", "bonus")

    def clean_item(self) -> Item:
        """Refuse another game's item: the players of this game could not use it."""
        item: Item = self.cleaned_data["item"]
        if item.game_id != self.instance.product.game_id:
            raise ValidationError(_("This item belongs to another game."))
        return item


class GrantInline(admin.TabularInline[ProductGrant, Product]):
    """What one piece of a product gives. Holds for orders made from then on."""

    model = ProductGrant
    form = GrantForm
    extra = 0
    ordering = ("pk",)


class DeliveryPolicyInline(admin.TabularInline[DeliveryPolicy, Game]):
    """Who holds the goods of orders made from then on. Without a row it is our ledger."""

    model = DeliveryPolicy
    extra = 0
    can_delete = False


OrderAdmin.panels = (*OrderAdmin.panels[:1], _order_deliveries, *OrderAdmin.panels[1:], _order_messages)
ProductAdmin.inlines = (*ProductAdmin.inlines, GrantInline)
GameAdmin.inlines = (*GameAdmin.inlines, DeliveryPolicyInline)


# --- players and items --------------------------------------------------------------------------------------
def _player_balances(request: HttpRequest, player: Player) -> Panel:
    rows = player.balances.select_related("item").order_by("item__item_id")
    return Panel(
        title=_("What the player owns"),
        columns=(_("Item"), _("Paid quantity"), _("Free quantity"), _("Together")),
        rows=[(link(row.item, row.item.name), row.paid, row.free, row.paid + row.free) for row in rows],
        empty=_("Nothing in our ledger. In mode game_server the game itself keeps the goods."),
    )


def _player_ledger(request: HttpRequest, player: Player) -> Panel:
    rows = LedgerEntry.objects.filter(player=player).select_related("item").order_by("-pk")[:_PANEL_ROWS]
    return Panel(
        title=_("Goods ledger, newest first"),
        columns=(
            _("When"),
            _("Item"),
            _("Paid quantity"),
            _("Free quantity"),
            _("Balance after"),
            _("Reason"),
            _("Order number"),
        ),
        rows=[
            (
                timezone.localtime(row.at),
                row.item.name,
                f"{row.paid:+d}",
                f"{row.free:+d}",
                f"{row.paid_after} + {row.free_after}",
                row.get_reason_display(),
                number(row.order_no),
            )
            for row in rows
        ],
        empty=_("No goods have moved yet."),
    )


def _player_deliveries(request: HttpRequest, player: Player) -> Panel:
    rows = player.deliveries.select_related("order").prefetch_related("lines__item").order_by("-pk")[:_PANEL_ROWS]
    return Panel(
        title=_("Deliveries, newest first"),
        columns=(_("Created"), _("Delivery"), _("Goods"), _("Order"), _("State")),
        rows=[
            (
                timezone.localtime(row.created_at),
                link(row, number(row.pk)),
                lines_in_words(row),
                link(row.order, number(row.order_no)),
                delivery_mark(row),
            )
            for row in rows
        ],
        empty=_("Nothing was ever delivered to this player."),
    )


@admin.register(Player)
class PlayerAdmin(ReadOnlyAdmin[Player]):
    """Players: what they own, how it got there."""

    list_display = ("uid", "game", "where", "created_at")
    list_select_related = ("game",)
    list_filter = (BooksFilter,)
    search_help_text = gettext_lazy("Player, exactly.")
    fields = ("uid", "game", "where", "created_at")
    panels = (_player_balances, _player_ledger, _player_deliveries)

    def find(self, term: str) -> list[QuerySet[Player]]:
        """By uid."""
        return [players_called(term)]

    @admin.display(description=gettext_lazy("environment"))
    def where(self, player: Player) -> object:
        """Production or sandbox."""
        return environment_mark(player.environment)


@admin.register(Item)
class ItemAdmin(ConsoleAdmin[Item]):
    """What a player can own. A name may be corrected; what it is called by code may not."""

    list_display = ("item_id", "name", "kind", "game")
    list_select_related = ("game",)
    search_help_text = gettext_lazy("Item id, exactly.")

    def find(self, term: str) -> list[QuerySet[Item]]:
        """By item id in every game."""
        games = list(Game.objects.order_by("pk").values_list("pk", flat=True))
        return [Item.objects.filter(game__in=games, item_id=term)]

    def get_readonly_fields(self, request: HttpRequest, obj: Item | None = None) -> tuple[str, ...]:
        """The ledger stands on these."""
        return ("game", "item_id", "kind") if obj else ()


# --- deliveries and the ledger ------------------------------------------------------------------------------
class WaitingFilter(ExactFilter):
    """Deliveries on their way: what an index keeps."""

    title = gettext_lazy("state")
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Waiting, and stopped."""
        return [(state.value, state.label) for state in (DeliveryStatus.PENDING, DeliveryStatus.PARKED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Deliveries in that state."""
        chosen = self.chosen()
        return queryset.filter(state=chosen) if chosen else queryset


def _delivery_lines(request: HttpRequest, delivery: Delivery) -> Panel:
    rows = delivery.lines.select_related("item").order_by("pk")
    return Panel(
        title=_("Lines"),
        columns=(_("Item"), _("Quantity"), _("Bonus")),
        rows=[(link(row.item, row.item.name), row.quantity, row.bonus) for row in rows],
        empty=_("This product grants nothing."),
    )


def _delivery_entries(request: HttpRequest, delivery: Delivery) -> Panel:
    rows = delivery.entries.select_related("item", "player").order_by("pk")
    return Panel(
        title=_("Ledger entries"),
        columns=(_("When"), _("Account"), _("Item"), _("Paid quantity"), _("Free quantity")),
        rows=[
            (
                timezone.localtime(row.at),
                account_in_words(row),
                row.item.name,
                f"{row.paid:+d}",
                f"{row.free:+d}",
            )
            for row in rows
        ],
        empty=_("None: the game server holds these goods, or they have not left yet."),
    )


def account_in_words(entry: LedgerEntry) -> object:
    """Whose account an entry stands on."""
    return link(entry.player) if entry.account == LedgerAccount.PLAYER else entry.get_account_display()


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    """The goods of paid orders on their way."""

    list_display = (
        "created_at",
        "numbered",
        "order",
        "player",
        "zone_id",
        "role_id",
        "mode",
        "standing",
        "delivered_at",
    )
    list_display_links = ("numbered",)
    list_select_related = ("order", "player")
    list_filter = (WaitingFilter,)
    search_help_text = gettext_lazy("Order number or player, exactly.")
    fields = (
        "numbered",
        "order",
        "player",
        "zone_id",
        "role_id",
        "mode",
        "standing",
        "receipt",
        "created_at",
        "delivered_at",
    )
    panels = (_delivery_lines, _delivery_entries)

    def find(self, term: str) -> list[QuerySet[Delivery]]:
        """By order or player."""
        return [deliveries_numbered(term), Delivery.objects.filter(player__in=players_called(term))]

    @admin.display(description=gettext_lazy("delivery"))
    def numbered(self, delivery: Delivery) -> object:
        """In monospace."""
        return number(delivery.pk)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, delivery: Delivery) -> object:
        """The state as a mark."""
        return delivery_mark(delivery)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin[LedgerEntry]):
    """Every movement of goods. Each has its counter-entry; together they are zero."""

    list_display = ("at", "whose", "item", "paid", "free", "paid_after", "free_after", "reason", "order_no")
    list_select_related = ("player", "item")
    fields = (
        "at",
        "whose",
        "item",
        "paid",
        "free",
        "paid_after",
        "free_after",
        "reason",
        "delivery",
        "order_no",
        "transfer",
    )
    search_help_text = gettext_lazy("Order number or player, exactly.")

    def find(self, term: str) -> list[QuerySet[LedgerEntry]]:
        """By order or player."""
        return [
            LedgerEntry.objects.filter(delivery__in=deliveries_numbered(term)),
            LedgerEntry.objects.filter(player__in=players_called(term), player__isnull=False),
        ]

    @admin.display(description=gettext_lazy("account"))
    def whose(self, entry: LedgerEntry) -> object:
        """The player, or the house's account."""
        return entry.player if entry.account == LedgerAccount.PLAYER else entry.get_account_display()


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin[Balance]):
    """What players own. Moves only with a ledger entry."""

    list_display = ("player", "item", "paid", "free")
    list_select_related = ("player", "item")
    search_help_text = gettext_lazy("Player, exactly.")

    def find(self, term: str) -> list[QuerySet[Balance]]:
        """By player."""
        return [Balance.objects.filter(player__in=players_called(term))]


# --- what game servers are told -----------------------------------------------------------------------------
def _pause(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> str:
    if not pause_endpoint(endpoint_id=endpoint.pk):
        raise ActRefused(_("Somebody else has just done that."))
    return _("%(endpoint)s is paused; everything waits.") % {"endpoint": endpoint}


def _resume(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> str:
    if not resume_endpoint(endpoint_id=endpoint.pk, actor=request.user.get_username()):
        raise ActRefused(_("Somebody else has just done that."))
    return _("%(endpoint)s is told again.") % {"endpoint": endpoint}


def _waiting_messages(endpoint: WebhookEndpoint) -> int:
    return WebhookMessage.objects.filter(endpoint=endpoint, state=MessageState.WAITING)[:10_000].count()


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin[WebhookEndpoint]):
    """Addresses of game servers and their health. Secrets are never shown."""

    list_display = (
        "game",
        "url",
        "standing",
        "failures_in_a_row",
        "failing_since",
        "last_success_at",
        "last_error",
    )
    list_select_related = ("game",)
    fields = (
        "game",
        "url",
        "standing",
        "waiting",
        "failures_in_a_row",
        "failing_since",
        "next_probe_at",
        "last_success_at",
        "last_error",
        "created_at",
    )
    list_note = gettext_lazy("An address is set, and its secret shown once, by `manage.py set_webhook GAME URL`.")
    acts = (
        Act(
            name="pause",
            label=gettext_lazy("Pause"),
            permission="fulfillment.change_webhookendpoint",
            effect=lambda endpoint: [
                _("The game server is told nothing more until somebody resumes."),
                _("Nothing is lost: messages wait. Now waiting: %(count)s.") % {"count": _waiting_messages(endpoint)},
                _("Goods that the game server holds are not delivered meanwhile."),
            ],
            hindrance=lambda endpoint: (
                "" if endpoint.state == EndpointState.ACTIVE else _("It is not being told anything now.")
            ),
            perform=_pause,
        ),
        Act(
            name="resume",
            label=gettext_lazy("Resume"),
            permission="fulfillment.change_webhookendpoint",
            effect=lambda endpoint: [
                _("The game server is told again, at once. Now waiting: %(count)s.")
                % {"count": _waiting_messages(endpoint)}
            ],
            hindrance=lambda endpoint: _("It is being told things.") if endpoint.state == EndpointState.ACTIVE else "",
            perform=_resume,
        ),
    )

    @admin.display(description=gettext_lazy("state"))
    def standing(self, endpoint: WebhookEndpoint) -> object:
        """Told, failing, paused or off."""
        if endpoint.state != EndpointState.ACTIVE:
            return mark(endpoint.get_state_display(), "decide")
        if endpoint.failures_in_a_row:
            return mark(_("failing"), "working")
        return mark(endpoint.get_state_display(), "done")

    @admin.display(description=gettext_lazy("messages waiting"))
    def waiting(self, endpoint: WebhookEndpoint) -> int:
        """How many, up to ten thousand."""
        return _waiting_messages(endpoint)


def _event_messages(request: HttpRequest, event: GameEvent) -> Panel:
    rows = event.messages.select_related("endpoint").prefetch_related("tries").order_by("pk")
    return Panel(
        title=_("Messages"),
        columns=(_("Endpoint"), _("State"), _("Attempts")),
        rows=[(link(row.endpoint), link(row, message_mark(row)), tries_in_words(row)) for row in rows],
        empty=_("The game had no webhook endpoint when this happened; it can read the event from the list."),
    )


@admin.register(GameEvent)
class GameEventAdmin(ReadOnlyAdmin[GameEvent]):
    """What games are told, in the very words they are told."""

    list_display = ("created_at", "type", "game", "order_no", "numbered", "where")
    list_select_related = ("game",)
    search_help_text = gettext_lazy("Order number or event id, exactly.")
    fields = ("numbered", "type", "game", "where", "order_no", "created_at", "words")
    panels = (_event_messages,)

    def find(self, term: str) -> list[QuerySet[GameEvent]]:
        """By order or event id."""
        events = GameEvent.objects
        return [events.filter(order_no=term).exclude(order_no=""), events.filter(event_id=term)]

    @admin.display(description=gettext_lazy("event"))
    def numbered(self, event: GameEvent) -> object:
        """In monospace."""
        return number(event.event_id)

    @admin.display(description=gettext_lazy("body"))
    def words(self, event: GameEvent) -> str:
        """The body, laid out for reading."""
        return json.dumps(json.loads(event.body), ensure_ascii=False, indent=2)

    @admin.display(description=gettext_lazy("environment"))
    def where(self, event: GameEvent) -> object:
        """Production or sandbox."""
        return environment_mark(event.environment)


class UntoldFilter(ExactFilter):
    """Messages that wait: what an index keeps."""

    title = gettext_lazy("state")
    parameter_name = "untold"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Waiting, or all."""
        return [(MessageState.WAITING.value, MessageState.WAITING.label)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookMessage]) -> QuerySet[WebhookMessage]:
        """Waiting messages."""
        return queryset.filter(state=MessageState.WAITING) if self.chosen() else queryset


def _message_tries(request: HttpRequest, message: WebhookMessage) -> Panel:
    rows = message.tries.order_by("pk")
    return Panel(
        title=_("Attempts"),
        columns=(_("When"), _("HTTP status"), _("Error"), _("Answer"), _("Took, ms")),
        rows=[(timezone.localtime(row.at), row.status, row.error, row.answer, row.duration_ms) for row in rows],
        empty=_("It has not been sent yet."),
    )


def _send_again(request: HttpRequest, message: WebhookMessage, given: dict[str, Any]) -> str:
    """Only the time of the next attempt moves; a dispatcher sends it, with the same id and the same bytes."""
    now = timezone.now()
    due_much_later = WebhookMessage.objects.filter(
        pk=message.pk, state=MessageState.WAITING, next_attempt_at__gt=now + _LEASE
    )
    if not (requeue(message_ids=[message.pk], now=now) or due_much_later.update(next_attempt_at=now)):
        raise ActRefused(_("It is being sent just now, or has been."))
    return _("It is sent within seconds.")


def _not_to_be_sent(message: WebhookMessage) -> str:
    if message.state == MessageState.DELIVERED:
        return _("The game server has been told, and said so.")
    if message.next_attempt_at and message.next_attempt_at <= timezone.now() + _LEASE:
        return _("It is sent within seconds anyway.")
    if message.endpoint.state != EndpointState.ACTIVE:
        return _("The endpoint is paused or off: resume it first, then everything that waits is sent.")
    return ""


@admin.register(WebhookMessage)
class WebhookMessageAdmin(ReadOnlyAdmin[WebhookMessage]):
    """What is to be told to whom, and how far it came."""

    list_display = (
        "created_at",
        "kind",
        "order_no",
        "endpoint",
        "standing",
        "attempts",
        "next_attempt_at",
        "last_status",
        "last_error",
    )
    list_display_links = ("created_at",)
    list_select_related = ("event", "endpoint")
    list_filter = (UntoldFilter,)
    search_help_text = gettext_lazy("Order number or event id, exactly.")
    fields = (
        "event",
        "kind",
        "order_no",
        "endpoint",
        "standing",
        "attempts",
        "next_attempt_at",
        "delivered_at",
        "last_status",
        "last_error",
        "created_at",
    )
    panels = (_message_tries,)
    acts = (
        Act(
            name="send",
            label=gettext_lazy("Send again now"),
            permission="fulfillment.change_webhookmessage",
            effect=lambda message: [
                _("The next attempt is set to now; the same message with the same id goes out."),
                _("A game server that has granted it before recognises the id and grants nothing twice."),
            ],
            hindrance=_not_to_be_sent,
            perform=_send_again,
        ),
    )

    def find(self, term: str) -> list[QuerySet[WebhookMessage]]:
        """By order or event id."""
        events = GameEvent.objects.filter(event_id=term)
        return [messages_about(term), WebhookMessage.objects.filter(event__in=events)]

    @admin.display(description=gettext_lazy("event"))
    def kind(self, message: WebhookMessage) -> str:
        """The event's type."""
        return message.event.type

    @admin.display(description=gettext_lazy("order number"))
    def order_no(self, message: WebhookMessage) -> object:
        """Which order it is about."""
        return number(message.event.order_no)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, message: WebhookMessage) -> object:
        """The state as a mark."""
        return message_mark(message)


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(ReadOnlyAdmin[WebhookAttempt]):
    """Every try, and what the game server answered."""

    list_display = ("at", "about", "status", "error", "duration_ms")
    list_select_related = ("message__event",)
    search_help_text = gettext_lazy("Order number, exactly.")
    fields = ("message", "at", "status", "error", "answer", "duration_ms")

    def find(self, term: str) -> list[QuerySet[WebhookAttempt]]:
        """The tries of one order's messages."""
        return [WebhookAttempt.objects.filter(message__in=messages_about(term))]

    @admin.display(description=gettext_lazy("message"))
    def about(self, attempt: WebhookAttempt) -> object:
        """Which event of which order."""
        return f"{attempt.message.event.type} {attempt.message.event.order_no}"
