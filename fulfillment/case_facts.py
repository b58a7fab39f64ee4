"""What this floor adds to the case file of an order: how far its goods have come, and every try at the game server."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fulfillment import telling
from fulfillment.models import (
    LEASE_S,
    DeliveryMode,
    EndpointState,
    GameEvent,
    LedgerAccount,
    LedgerEntry,
    MessageState,
    WebhookAttempt,
    WebhookMessage,
)
from fulfillment.redelivering import Asking, asking_for, next_try
from orders.casefile.facts import DeliveryFacts, FloorAbove, Server
from orders.casefile.moments import Moment, Tone
from orders.models import DeliveryState, Order, OrderState

_TRIES_SHOWN = 100
_WORDS_SHOWN = 60
# Why there was no answer, as the sender writes it down, in the reader's language.
_NO_ANSWER_BEGINS = {"no whole answer": "late", "no connection": "unreachable", "certificate": "certificate"}


def delivery_facts(order: Order, now: datetime) -> DeliveryFacts:
    """How far the goods of an order have come."""
    if order.state != OrderState.PAID:
        return DeliveryFacts(kept_by_us=order.fulfilment_mode == DeliveryMode.LEDGER)
    asking = asking_for(order)
    message = asking.message
    waiting = order.delivery_state == DeliveryState.PENDING
    tries = message.tries.order_by("-pk").first() if message else None
    return DeliveryFacts(
        kept_by_us=order.fulfilment_mode == DeliveryMode.LEDGER,
        server=_server(asking) if waiting or order.delivery_state == DeliveryState.PARKED else Server.TOLD,
        tries=message.attempts if message and order.delivery_state != DeliveryState.DELIVERED else 0,
        last_try_at=tries.at if tries else None,
        last_status=message.last_status if message else None,
        last_words=answer_words(tries) if tries else (message.last_error if message else ""),
        next_try_at=next_try(asking) if waiting else None,
        sending=waiting and message is not None and _is_leased(message, now),
        stops_at=message.created_at + timedelta(seconds=settings.WEBHOOK_PARK_AFTER_S) if message and waiting else None,
        receipt=asking.delivery.receipt if asking.delivery else "",
        untold=order.delivery_state == DeliveryState.DELIVERED and _is_untold(order),
    )


def _server(asking: Asking) -> Server:
    endpoint = asking.endpoint
    if endpoint is None or not endpoint.url or asking.message is None:
        return Server.NO_ADDRESS
    return {
        EndpointState.ACTIVE: Server.TOLD,
        EndpointState.PAUSED: Server.PAUSED,
        EndpointState.DISABLED: Server.SWITCHED_OFF,
    }[EndpointState(endpoint.state)]


def _is_leased(message: WebhookMessage, now: datetime) -> bool:
    return message.attempts == 0 and message.next_attempt_at is not None and message.next_attempt_at > now - timedelta(
        seconds=LEASE_S
    )  # fmt: skip


def _is_untold(order: Order) -> bool:
    """Whether the game server has been told of the delivery and would not hear it."""
    events = GameEvent.objects.filter(order_no=order.order_no, type=telling.ORDER_DELIVERED).exclude(order_no="")
    return (
        WebhookMessage.objects.filter(event__in=events, attempts__gt=0).exclude(state=MessageState.DELIVERED).exists()
    )


def answer_words(attempt: WebhookAttempt) -> str:
    """What a game server answered beside its status; without a status, why there was no answer."""
    if attempt.status is not None:
        return attempt.answer[:_WORDS_SHOWN]
    cause = next((cause for begins, cause in _NO_ANSWER_BEGINS.items() if attempt.error.startswith(begins)), "")
    return {
        "late": _("no whole answer in time"),
        "unreachable": _("it could not be reached"),
        "certificate": _("its certificate is not valid"),
        "": attempt.error,
    }[cause]


# --- the timeline -------------------------------------------------------------------------------------------------
def moments(order: Order) -> Sequence[Moment]:
    """Every try at the game server that did not succeed, and the goods that moved in our ledger."""
    return [*_tries(order), *_ledger(order)]


def _tries(order: Order) -> list[Moment]:
    events = GameEvent.objects.filter(order_no=order.order_no).exclude(order_no="")
    tries = (
        WebhookAttempt.objects.filter(message__event__in=events)
        .select_related("message__event")
        .order_by("-pk")[:_TRIES_SHOWN]
    )
    return [_try(attempt) for attempt in reversed(tries) if not succeeded(attempt)]


def succeeded(attempt: WebhookAttempt) -> bool:
    """A success is told by what it brought about: the delivery, or nothing that matters to this order."""
    return attempt.status is not None and 200 <= attempt.status < 300 and not attempt.error


def _try(attempt: WebhookAttempt) -> Moment:
    kind = attempt.message.event.type
    about = {"status": attempt.status, "answer": answer_words(attempt)}
    asked = kind == telling.DELIVERY_REQUESTED
    return Moment(
        at=attempt.at,
        words=_one_try(about) if asked else _one_message(about),
        who=_("game server"),
        tone=Tone.WORKING,
        raw=[
            {
                "event": kind, "at": attempt.at.isoformat(), "status": attempt.status, "error": attempt.error,
                "answer": attempt.answer, "duration_ms": attempt.duration_ms,
            }
        ],
        repeats=f"{'request' if asked else 'message'} {attempt.status} {attempt.answer or attempt.error}",
        folded=lambda count: _several_tries(about, count) if asked else _several_messages(about, count),
    )  # fmt: skip


def _one_try(about: Mapping[str, object]) -> str:
    if about["status"] is None:
        return _("The game server did not answer the request to deliver: %(answer)s.") % about
    return _("The game server refused to deliver: %(status)s %(answer)s") % about


def _several_tries(about: Mapping[str, object], count: int) -> str:
    if about["status"] is None:
        return ngettext(
            "The game server did not answer the request to deliver %(count)s time: %(answer)s.",
            "The game server did not answer the request to deliver %(count)s times: %(answer)s.",
            count,
        ) % {**about, "count": count}
    return ngettext(
        "The game server refused to deliver %(count)s time: %(status)s %(answer)s",
        "The game server refused to deliver %(count)s times: %(status)s %(answer)s",
        count,
    ) % {**about, "count": count}


def _one_message(about: Mapping[str, object]) -> str:
    if about["status"] is None:
        return _("The game server did not take what it should be told: %(answer)s.") % about
    return _("The game server did not take what it should be told: %(status)s %(answer)s") % about


def _several_messages(about: Mapping[str, object], count: int) -> str:
    said = about if about["status"] is not None else {**about, "status": ""}
    return ngettext(
        "The game server did not take what it should be told %(count)s time: %(status)s %(answer)s",
        "The game server did not take what it should be told %(count)s times: %(status)s %(answer)s",
        count,
    ) % {**said, "count": count}


def ledger_of(order: Order) -> list[LedgerEntry]:
    """What the player's account was given for an order."""
    delivery = asking_for(order).delivery
    if delivery is None:
        return []
    entries = delivery.entries.filter(account=LedgerAccount.PLAYER).select_related("item", "player")
    return list(entries.order_by("pk"))


def _ledger(order: Order) -> list[Moment]:
    entries = ledger_of(order)
    if not entries:
        return []
    goods = _(", ").join(f"{entry.item.name} {entry.paid + entry.free:+,d}" for entry in entries)
    return [
        Moment(
            at=entries[0].at,
            words=_("On the player's account: %(goods)s.") % {"goods": goods},
            who=_("system"),
            tone=Tone.DONE,
            raw=[
                {
                    "item": entry.item.item_id, "paid": entry.paid, "free": entry.free,
                    "paid_after": entry.paid_after, "free_after": entry.free_after,
                }
                for entry in entries
            ],
        )
    ]  # fmt: skip


CASE_FILE = FloorAbove(delivery=delivery_facts, moments=moments)
