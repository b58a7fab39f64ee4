"""What games are told: the events, the messages that carry them, every try; and the act that sends again."""

import json
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from channels_app.console.cells import when
from channels_app.console.filters import ColumnFilter, ExactFilter, PeriodFilter, View, ViewsFilter
from channels_app.console.pages import Act, ActRefused, Panel, ReadOnlyAdmin, table
from channels_app.console.words import column, environment_mark, link, number
from fulfillment.admin.finding import messages_about
from fulfillment.admin.states import message_mark, tries_in_words
from fulfillment.endpoints import requeue
from fulfillment.models import (
    LEASE_S,
    EndpointState,
    GameEvent,
    MessageState,
    WebhookAttempt,
    WebhookEndpoint,
    WebhookMessage,
)
from fulfillment.telling import DELIVERY_REQUESTED, ORDER_CANCELLED, ORDER_DELIVERED, ORDER_PAID
from orders.admin.order_filters import BooksFilter

# Whoever sends a message holds it this long; what is due sooner may be on its way.
_LEASE = timedelta(seconds=LEASE_S)


def _event_messages(request: HttpRequest, event: GameEvent) -> Panel:
    return table(
        _("Messages"),
        event.messages.select_related("endpoint").prefetch_related("tries").order_by("pk"),
        [
            (_("Endpoint"), lambda message: link(message.endpoint)),
            (_("State"), lambda message: link(message, message_mark(message))),
            (_("Attempts"), tries_in_words),
        ],
        empty=_("The game had no webhook endpoint when this happened; it can read the event from the list."),
    )


def _body(event: GameEvent) -> str:
    """The very words, laid out for reading."""
    return json.dumps(json.loads(event.body), ensure_ascii=False, indent=2)


class EventTypeFilter(ColumnFilter):
    """What happened, as games are told it."""

    title = gettext_lazy("event")
    parameter_name = "type"
    column = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every event there is."""
        return [(name, name) for name in (ORDER_PAID, ORDER_CANCELLED, DELIVERY_REQUESTED, ORDER_DELIVERED)]


@admin.register(GameEvent)
class GameEventAdmin(ReadOnlyAdmin[GameEvent]):
    """What games are told, in the very words they are told."""

    game_path = "game"
    list_display = ("happened", "type", "game", "order_no", "numbered", "where")
    list_select_related = ("game",)
    list_filter = (PeriodFilter, BooksFilter, EventTypeFilter)
    list_permission = "orders.list_orders"
    search_help_text = gettext_lazy("Order number or event id, exactly.")
    fields = ("numbered", "type", "game", "where", "order_no", "created_at", "words")
    panels = (_event_messages,)

    happened = column(gettext_lazy("when"), lambda event: when(event.created_at))
    numbered = column(gettext_lazy("event"), lambda event: number(event.event_id))
    words = column(gettext_lazy("body"), _body)
    where = column(gettext_lazy("environment"), lambda event: environment_mark(event.environment))

    def find(self, term: str) -> list[QuerySet[GameEvent]]:
        """By order or event id."""
        events = GameEvent.objects
        return [events.filter(order_no=term).exclude(order_no=""), events.filter(event_id=term)]


class UntoldViews(ViewsFilter):
    """Messages that wait or were given up: what two partial indexes keep. They begin with the endpoint."""

    parameter_name = "untold"
    views = (
        View(code=MessageState.WAITING, label=MessageState.WAITING.label, tone="working", timeless=True,
             rows=lambda messages: messages.filter(endpoint__in=_endpoints(), state=MessageState.WAITING)),
        View(code=MessageState.PARKED, label=MessageState.PARKED.label, tone="decide", timeless=True,
             rows=lambda messages: messages.filter(endpoint__in=_endpoints(), state=MessageState.PARKED)),
    )  # fmt: skip


def _endpoints() -> list[int]:
    """All endpoints, by key: they are few, and naming them lets the index answer."""
    return list(WebhookEndpoint.objects.order_by("pk").values_list("pk", flat=True))


class MessageBooks(BooksFilter):
    """A message's books are its event's."""

    game_column, environment_column = "event__game", "event__environment"


def _message_tries(request: HttpRequest, message: WebhookMessage) -> Panel:
    return table(
        _("Attempts"),
        message.tries.order_by("pk"),
        [
            (_("When"), lambda attempt: attempt.at),
            (_("HTTP status"), lambda attempt: attempt.status),
            (_("Error"), lambda attempt: attempt.error),
            (_("Answer"), lambda attempt: attempt.answer),
            (_("Took, ms"), lambda attempt: attempt.duration_ms),
        ],
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

    game_path = "event__game"
    list_display = (
        "made",
        "kind",
        "order_no",
        "endpoint",
        "standing",
        "attempts",
        "next_try",
        "last_status",
        "last_error",
    )
    list_display_links = ("made",)
    list_select_related = ("event", "endpoint")
    list_filter = (PeriodFilter, UntoldViews, MessageBooks)
    list_permission = "orders.list_orders"
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
    made = column(gettext_lazy("created"), lambda message: when(message.created_at))
    next_try = column(gettext_lazy("next attempt"), lambda message: when(message.next_attempt_at))
    kind = column(gettext_lazy("event"), lambda message: message.event.type)
    order_no = column(gettext_lazy("order number"), lambda message: number(message.event.order_no))
    standing = column(gettext_lazy("state"), message_mark)
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

    def row_tone(self, row: WebhookMessage) -> str:
        """Tinted when it was given up."""
        return "decide" if row.state == MessageState.PARKED else ""

    def find(self, term: str) -> list[QuerySet[WebhookMessage]]:
        """By order or event id."""
        events = GameEvent.objects.filter(event_id=term)
        return [messages_about(term), WebhookMessage.objects.filter(event__in=events)]


class TriedPeriod(PeriodFilter):
    """When it was tried."""

    column = "at"


class AnswerFilter(ExactFilter):
    """What the game server answered."""

    title = gettext_lazy("answer")
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Told, refused, or no answer at all."""
        return [("good", _("accepted")), ("bad", pgettext("answer", "refused")), ("none", _("no answer"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookAttempt]) -> QuerySet[WebhookAttempt]:
        """Tries with that answer. An answer of 2xx that says failure carries an error too."""
        conditions = {
            "good": Q(status__gte=200, status__lt=300, error=""),
            "bad": Q(status__isnull=False) & ~Q(status__gte=200, status__lt=300, error=""),
            "none": Q(status__isnull=True),
        }
        chosen = self.chosen()
        return queryset.filter(conditions[chosen]) if chosen else queryset


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(ReadOnlyAdmin[WebhookAttempt]):
    """Every try, and what the game server answered."""

    game_path = "message__event__game"
    list_display = ("tried", "about", "status", "error", "duration_ms")
    list_select_related = ("message__event",)
    list_filter = (TriedPeriod, AnswerFilter)
    list_permission = "orders.list_orders"
    search_help_text = gettext_lazy("Order number, exactly.")
    fields = ("message", "at", "status", "error", "answer", "duration_ms")

    tried = column(gettext_lazy("when"), lambda attempt: when(attempt.at))
    # Which event of which order.
    about = column(
        gettext_lazy("message"), lambda attempt: f"{attempt.message.event.type} {attempt.message.event.order_no}"
    )

    def find(self, term: str) -> list[QuerySet[WebhookAttempt]]:
        """The tries of one order's messages."""
        return [WebhookAttempt.objects.filter(message__in=messages_about(term))]
