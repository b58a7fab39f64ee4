"""The timeline of an order in plain words, oldest first, ending in what is going to happen by itself.

Made of the order's own events, of what providers sent again, of what staff did here and of what the floor above saw.
The time of a payment is the provider's clock; every other time is ours.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_stubs_ext import StrOrPromise

from channels_app.console.audit import ACTED
from channels_app.models import AuditEntry, Notification, Verdict
from orders.casefile import prose
from orders.casefile.facts import Facts
from orders.casefile.moments import Moment, Tone, fold
from orders.cases import answer_by
from orders.models import (
    ATTEMPT_ALIVE,
    CancelReason,
    Case,
    EventKind,
    HoldReason,
    Order,
    OrderEvent,
    OrderState,
    ProofSource,
)

_STAFF_SHOWN = 50


def tell(
    facts: Facts,
    *,
    notifications: Sequence[Notification] = (),
    staff: Sequence[AuditEntry] = (),
    above: Sequence[Moment] = (),
) -> list[Moment]:
    """All lines of the timeline, repeats folded, the future last."""
    return fold(
        [
            *(moment for event in facts.events for moment in _of_event(event, facts)),
            *(_repeated(message) for message in notifications if message.verdict == Verdict.DUPLICATE),
            *(_by_staff(entry) for entry in staff),
            *above,
            *_future(facts),
        ]
    )


def staff_acts(order: Order) -> list[AuditEntry]:
    """What staff did to an order here, as the audit trail has it, oldest first."""
    about = AuditEntry.objects.filter(subject=order._meta.label_lower, subject_id=str(order.pk))
    newest = about.order_by("-pk")[:_STAFF_SHOWN]
    return [entry for entry in reversed(newest) if entry.action == ACTED and entry.detail.get("act") in _BY_ACT]


# --- events ---------------------------------------------------------------------------------------------------
def _of_event(event: OrderEvent, facts: Facts) -> Iterator[Moment]:
    """The lines of one event: a payment is two, because it happened on two clocks."""
    if event.kind in (EventKind.PAID, EventKind.PAYMENT_HELD):
        yield _at_the_provider(event, facts)
    yield Moment(
        at=event.at,
        words=event_words(event, facts.order),
        who=_who(event.actor),
        tone=_TONES.get(EventKind(event.kind), Tone.QUIET),
        raw=[{"kind": event.kind, "actor": event.actor, "at": event.at.isoformat(), "data": event.data}],
    )


_TONES: Mapping[EventKind, Tone] = {
    EventKind.PAID: Tone.DONE,
    EventKind.PAYMENT_HELD: Tone.DECIDE,
    EventKind.DELIVERED: Tone.DONE,
    EventKind.DELIVERY_PARKED: Tone.DECIDE,
    EventKind.REFUND_NOTICE: Tone.DECIDE,
    EventKind.REFUND_ASKED: Tone.DECIDE,
    EventKind.DISPUTE: Tone.DECIDE,
    EventKind.CONFIRMED: Tone.DONE,
}


def _at_the_provider(event: OrderEvent, facts: Facts) -> Moment:
    """The payment itself, on the provider's clock; never after we heard of it, whatever that clock says."""
    transaction_id = event.data.get("transaction_id", "")
    payment = next((payment for payment in facts.payments if payment.transaction_id == transaction_id), None)
    provider = prose.provider(payment.account.provider) if payment else _("provider")
    return Moment(
        at=min(payment.paid_at, event.at) if payment else event.at,
        words=_("%(provider)s: the player paid %(amount)s.")
        % {"provider": provider, "amount": _amount(event.data.get("amount"), event.data.get("currency", ""))},
        who=provider,
        tone=Tone.DONE if event.kind == EventKind.PAID else Tone.DECIDE,
    )


def event_words(event: OrderEvent, order: Order) -> str:
    """One event in plain words."""
    words = _WORDS.get(EventKind(event.kind)) if event.kind in EventKind.values else None
    return words(event.data, order) if words else str(event.get_kind_display())


def _amount(amount_minor: object, currency: object) -> str:
    return prose.amount(amount_minor, str(currency)) if isinstance(amount_minor, int) else "?"


def _created(data: Mapping[str, Any], order: Order) -> str:
    return _("The game server made the order: %(goods)s, %(amount)s.") % {
        "goods": prose.goods(order),
        "amount": prose.amount(order.amount_minor, order.currency),
    }


def _attempt(data: Mapping[str, Any]) -> dict[str, str]:
    return {
        "method": prose.method_name(data.get("method", "?")),
        "attempt_no": data.get("attempt_no", "?"),
        "said": data.get("said", "?"),
    }


def _paid(data: Mapping[str, Any], order: Order) -> str:
    if data.get("test"):
        return _("Bought with play money by a listed reviewer. The order counts as paid, and as no revenue.")
    if (words := _PAID_BY.get(str(data.get("source")))) is not None:
        return str(words)
    return _("Notification received: the signature is genuine, the amount fits. The order is paid.")


_PAID_BY: Mapping[str, StrOrPromise] = {
    ProofSource.QUERY: gettext_lazy("We asked: paid, and the amount fits. The order is paid."),
    ProofSource.CLIENT: gettext_lazy("The player's device handed in the store's receipt: genuine. The order is paid."),
    ProofSource.LISTING: gettext_lazy("Found in the provider's own list: paid, and it fits. The order is paid."),
}


def _refund_asked(data: Mapping[str, Any], order: Order) -> str:
    return _("The buyer asked the store for the money back (%(said)s).") % {"said": data.get("said", "?")}


def _dispute(data: Mapping[str, Any], order: Order) -> str:
    return _("The buyer's bank disputes %(amount)s: %(reason)s, now %(said)s.") % {
        "amount": _amount(data.get("amount"), data.get("currency", "")),
        "reason": data.get("reason", "?"),
        "said": data.get("said", "?"),
    }


def _held(data: Mapping[str, Any], order: Order) -> str:
    reason = data.get("reason", "")
    label = HoldReason(reason).label if reason in HoldReason.values else reason
    return _("The money is held, and a case is opened: %(reason)s.") % {"reason": label}


def _result(data: Mapping[str, Any], order: Order) -> str:
    return {
        "success": _("The player's device reported that it has paid (a hint, not a proof)."),
        "failed": _("The player's device reported that the payment did not go through."),
        "cancelled": _("The player's device reported that the payment was broken off."),
    }.get(str(data.get("result")), _("The player's device reported a result."))


def _cancelled(data: Mapping[str, Any], order: Order) -> str:
    if order.cancel_reason not in CancelReason.values:
        return _("The order was closed.")
    return _("The order was closed: %(reason)s.") % {"reason": CancelReason(order.cancel_reason).label}


def _delivered(data: Mapping[str, Any], order: Order) -> str:
    about = {"goods": prose.promised(order) or prose.goods(order), "receipt": data.get("receipt", "")}
    if about["receipt"]:
        return _("The game server confirmed the delivery, receipt %(receipt)s: %(goods)s.") % about
    return _("Delivered: %(goods)s.") % about


def _refund_notice(data: Mapping[str, Any], order: Order) -> str:
    about = {"amount": _amount(data.get("amount"), order.currency), "said": data.get("said", "?")}
    return _("The provider told of a refund of %(amount)s (%(said)s).") % about


_WORDS: Mapping[EventKind, Callable[[Mapping[str, Any], Order], str]] = {
    EventKind.CREATED: _created,
    EventKind.ATTEMPT_OPENED: lambda data, order: _("The player chose %(method)s.") % _attempt(data),
    EventKind.ATTEMPT_FAILED: lambda data, order: (
        _("The provider would not open a payment with %(method)s: %(said)s.") % _attempt(data)
    ),
    EventKind.ATTEMPT_CLOSED: lambda data, order: (
        _("%(method)s can no longer be paid (the provider's word: %(said)s).") % _attempt(data)
    ),
    EventKind.CLIENT_RESULT: _result,
    EventKind.PAID: _paid,
    EventKind.PAYMENT_HELD: _held,
    EventKind.CANCELLED: _cancelled,
    EventKind.DELIVERY_REQUESTED: lambda data, order: _("A delivery is made out; the game server is asked."),
    EventKind.DELIVERED: _delivered,
    EventKind.DELIVERY_PARKED: lambda data, order: _("The system has stopped delivering and asks a person."),
    EventKind.REFUND_NOTICE: _refund_notice,
    EventKind.REFUND_ASKED: _refund_asked,
    EventKind.DISPUTE: _dispute,
    EventKind.CONFIRMED: lambda data, order: _("The store was told that the goods are delivered."),
}  # fmt: skip


def _who(actor: str) -> str:
    """Who did it. Processes of ours are one to a reader; keys and people have names."""
    name, _space, rest = actor.partition(" ")
    if name == "staff":
        return rest
    if actor == "game server":
        return _("game server")
    if actor.startswith(("player", "client")):
        return _("player")
    if name == "api":
        return _("API key %(number)s") % {"number": rest.removeprefix("key ")}
    return _("system")


# --- beside the events ------------------------------------------------------------------------------------------
def _repeated(message: Notification) -> Moment:
    return Moment(
        at=message.received_at,
        words=_("The provider sent the same notification again; nothing changed."),
        who=_("system"),
        raw=[{"notification": str(message.pk), "verdict": message.verdict}],
        repeats="duplicate notification",
        folded=lambda count: (
            ngettext(
                "The provider sent the same notification again %(count)s time; nothing changed.",
                "The provider sent the same notification again %(count)s times; nothing changed.",
                count,
            )
            % {"count": count}
        ),
    )


# What each act of the order's page did, said in the reader's language and not in the doer's.
_BY_ACT: Mapping[str, Callable[[], str]] = {
    "ask": lambda: _("Asked the provider."),
    "deliver": lambda: _("Had the goods delivered again: the same message, the same id."),
    "hand_over": lambda: _("Handed the order over."),
    "reveal": lambda: _("Looked at personal data."),
}


def _by_staff(entry: AuditEntry) -> Moment:
    words = _BY_ACT[entry.detail["act"]]()
    return Moment(
        at=entry.at,
        words=prose.together(words, entry.reason),
        who=entry.actor,
        raw=[{"act": entry.detail["act"], "report": entry.detail.get("report", "")}],
    )


# --- the future -------------------------------------------------------------------------------------------------
def _future(facts: Facts) -> Iterator[Moment]:
    """What happens by itself if nobody does anything, soonest first; only what is still to come."""
    for at, words in _coming(facts):
        if at > facts.now:
            yield Moment(at=at, words=words, who=_("system"), tone=Tone.WORKING, future=True)


def _coming(facts: Facts) -> Iterable[tuple[datetime, str]]:
    order, delivery = facts.order, facts.delivery
    if order.state == OrderState.PENDING:
        asked = [attempt.next_query_at for attempt in facts.attempts if attempt.next_query_at and _alive(attempt)]
        if asked:
            yield min(asked), _("The provider is asked again.")
        yield order.expires_at, _("The order closes unless it is paid.")
    if delivery.next_try_at is not None:
        yield delivery.next_try_at, _("Next automatic try (no. %(number)s).") % {"number": delivery.tries + 1}
    for case in facts.open_cases.values():
        yield answer_by(case), _limit(case)


def _alive(attempt: Any) -> bool:
    return attempt.state in ATTEMPT_ALIVE


def _limit(case: Case) -> str:
    if case.due_at is not None and case.due_at == answer_by(case):
        return _("Outside deadline, nobody hears us later: %(case)s.") % {"case": case.get_kind_display()}
    return _("A person should have decided by then: %(case)s.") % {"case": case.get_kind_display()}
