"""The words of every verdict: headline, sentence, and what to do or why not to worry. In the active language."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from orders.casefile import prose
from orders.casefile.facts import DeliveryFacts, Facts, Server
from orders.casefile.kinds import TO_DECIDE, Kind, case_of
from orders.cases import Decision, answer_by, is_late, queue_of, taken_by
from orders.models import Case, CaseKind, DeliveryState, OrderState, Payment


@dataclass(frozen=True, slots=True)
class Told:
    """The words of a verdict."""

    headline: str
    sentence: str
    advice_title: str
    advice: str


# --- parts of sentences ---------------------------------------------------------------------------------------
def _paid(facts: Facts) -> str:
    """Who paid what, when and how."""
    order = facts.order
    assert order.paid_at is not None  # noqa: S101  # a constraint: paid orders say when
    said = (
        _("A listed reviewer bought it with play money (%(amount)s) of %(provider)s at %(at)s.")
        if facts.is_play_money
        else _("The player paid %(amount)s with %(provider)s at %(at)s; the money is safe.")
    )
    return said % {
        "amount": prose.amount(*facts.charged),
        "provider": prose.provider_of_method(order.method),
        "at": prose.moment(order.paid_at, now=facts.now),
    }


def _goods(facts: Facts) -> str:
    """What became of the goods of a paid order."""
    order = facts.order
    if order.delivery_state == DeliveryState.DELIVERED and order.delivered_at:
        return _("%(goods)s went to %(receiver)s at %(at)s.") % {
            "goods": prose.promised(order) or prose.goods(order),
            "receiver": prose.receiver(order),
            "at": prose.moment(order.delivered_at, now=facts.now),
        }
    return {
        DeliveryState.NONE: _("No goods have left yet."),
        DeliveryState.PENDING: _("The goods have not arrived yet; the system goes on asking the game server."),
        DeliveryState.DELIVERED: _("The goods have arrived."),
        DeliveryState.PARKED: _("Delivery of the goods has stopped."),
        DeliveryState.REVOKED: _("The goods were taken back."),
    }[DeliveryState(order.delivery_state)]


def last_answer(delivery: DeliveryFacts) -> str:
    """What the game server said last: its status and words, or why there was no answer."""
    if delivery.last_status is None:
        return delivery.last_words or _("no answer")
    return f"{delivery.last_status} {delivery.last_words}".strip()


def _refusals(facts: Facts) -> str:
    """How often the game server would not take the goods, and what it said."""
    delivery = facts.delivery
    about = {"count": delivery.tries, "answer": last_answer(delivery)}
    if delivery.last_status is None:
        return (
            ngettext(
                "The game server was asked %(count)s time and did not answer (%(answer)s).",
                "The game server was asked %(count)s times and did not answer (%(answer)s).",
                delivery.tries,
            )
            % about
        )
    return (
        ngettext(
            "The game server refused %(count)s time (%(answer)s).",
            "The game server refused %(count)s times (%(answer)s).",
            delivery.tries,
        )
        % about
    )


def _next_try(facts: Facts) -> str:
    """When the system tries again by itself."""
    at = facts.delivery.next_try_at
    if facts.delivery.sending or at is None or at <= facts.now:
        return _("The next automatic try comes within seconds.")
    return _("The next automatic try is at %(at)s, in about %(wait)s.") % {
        "at": prose.moment(at, now=facts.now),
        "wait": prose.wait(at - facts.now),
    }


def _safe_again(facts: Facts) -> str:
    """Why delivering again is safe, and what happens when nobody does anything."""
    stops_at = facts.delivery.stops_at
    once = _("one order is credited once at most.")
    if stops_at is None:
        return once
    return prose.together(
        once,
        _("Retries go on until %(until)s, then a person is asked; nothing is lost.")
        % {"until": prose.until_minute(stops_at, now=facts.now)},
    )


def payment_behind(facts: Facts, kind: CaseKind) -> Payment | None:
    """The held payment that a case is about."""
    case = facts.open_cases.get(kind)
    if case is not None and case.payment is not None:
        return case.payment
    return next((payment for payment in facts.held if payment.hold_reason == kind), None)


def _arrived(facts: Facts, kind: CaseKind) -> str:
    """Money that came and is held: when, from whom, how much."""
    payment = payment_behind(facts, kind)
    if payment is None:
        return _("Money arrived and is held.")
    return _("%(amount)s arrived from %(provider)s at %(at)s and is held: not booked, nothing delivered for it.") % {
        "amount": prose.amount(payment.amount_minor, payment.currency),
        "provider": prose.provider(payment.account.provider),
        "at": prose.moment(payment.paid_at, now=facts.now),
    }


def _due(facts: Facts, kind: Kind) -> str:
    """By when a person should have decided, and whose turn it is."""
    case = case_of(facts, kind)
    if case is None:
        return ""
    about = {"who": taken_by(case) or queue_of(case).label, "by": prose.until_minute(answer_by(case), now=facts.now)}
    if is_late(case, facts.now):
        return _("This was due by %(by)s; it waits for: %(who)s.") % about
    return _("To be decided by %(by)s; it waits for: %(who)s.") % about


# --- the words of each kind -------------------------------------------------------------------------------------
def _second_payment(facts: Facts) -> Told:
    first = prose.together(_paid(facts), _goods(facts)) if facts.order.state == OrderState.PAID else ""
    return Told(
        _("Paid twice: the second payment needs your decision"),
        prose.together(first, _arrived(facts, CaseKind.SECOND_PAYMENT)),
        _("Suggestion: give the second payment back."),
        prose.together(_("It pays for nothing; no goods go out for it."), _due(facts, Kind.SECOND_PAYMENT)),
    )


def _late_payment(facts: Facts) -> Told:
    cancelled_at = facts.order.cancelled_at
    closed = (
        _("The order was closed at %(at)s.") % {"at": prose.moment(cancelled_at, now=facts.now)} if cancelled_at else ""
    )
    return Told(
        _("Paid after cancel: needs your decision"),
        prose.together(closed, _arrived(facts, CaseKind.LATE_PAYMENT)),
        _("The money is safe."),
        prose.together(
            _("Either the goods are due, or the money goes back; ask finance."), _due(facts, Kind.LATE_PAYMENT)
        ),
    )


def _amount_differs(facts: Facts) -> Told:
    order = facts.order
    asked = _("The order asks %(amount)s.") % {"amount": prose.amount(order.amount_minor, order.currency)}
    return Told(
        _("Amount differs: needs your decision"),
        prose.together(_arrived(facts, CaseKind.AMOUNT_DIFFERS), asked),
        _("The money is safe."),
        prose.together(_("Compare with the provider's bill before anything else."), _due(facts, Kind.AMOUNT_DIFFERS)),
    )


def _given_back(facts: Facts) -> Told:
    first = prose.together(_paid(facts), _goods(facts)) if facts.order.state == OrderState.PAID else ""
    return Told(
        _("Paid and given back at the provider before it was booked: needs your decision"),
        prose.together(
            first, _arrived(facts, CaseKind.GIVEN_BACK), _("The provider says it has given this money back.")
        ),
        _("Nothing was delivered for this payment."),
        prose.together(_("Ask who gave it back in the provider's back office."), _due(facts, Kind.GIVEN_BACK)),
    )


def _undecided(facts: Facts) -> Told:
    said = [f"{attempt.attempt_no}: {attempt.provider_said}" for attempt in facts.attempts if attempt.provider_said]
    return Told(
        _("The provider does not say whether it was paid: needs your decision"),
        prose.together(
            _("The time to pay has long passed, and the provider still says neither yes nor no."),
            _("Its words: %(said)s.") % {"said": ", ".join(said)} if said else "",
        ),
        _("Nothing is lost:"),
        prose.together(
            _("the provider goes on being asked, and what turns out paid is booked."), _due(facts, Kind.UNDECIDED)
        ),
    )


def _provider_refund(facts: Facts) -> Told:
    case = case_of(facts, Kind.PROVIDER_REFUND)
    amount = (
        prose.amount(case.amount_minor, case.currency)
        if case is not None and case.amount_minor is not None
        else _("an unnamed amount")
    )
    paid = prose.together(_paid(facts), _goods(facts)) if facts.order.state == OrderState.PAID else ""
    at = prose.moment(case.opened_at, now=facts.now) if case is not None else "?"
    return Told(
        _("Refunded at the provider: needs your decision"),
        prose.together(
            paid, _("At %(at)s the provider told of a refund of %(amount)s.") % {"at": at, "amount": amount}
        ),
        _("It was not started here."),
        prose.together(
            _("Find out who gave the money back, and whether the goods stay."), _due(facts, Kind.PROVIDER_REFUND)
        ),
    )


def _purchase_differs(facts: Facts) -> Told:
    return Told(
        _("The store sold something else: needs your decision"),
        prose.together(_arrived(facts, CaseKind.PURCHASE_DIFFERS), _detail(facts, Kind.PURCHASE_DIFFERS)),
        _("The purchase is safe with us; nothing was delivered for it."),
        prose.together(
            _("Find out what the player chose in the store, then deliver that or have the store give it back."),
            _due(facts, Kind.PURCHASE_DIFFERS),
        ),
    )


def _test_money(facts: Facts) -> Told:
    return Told(
        _("Paid with play money: nothing is delivered"),
        _("The store says that this purchase was made in its sandbox, where no money moves; the order is a real one."),
        _("A store's reviewer buys like this:"),
        prose.together(
            _("list the player among the store reviewers for these days, and the next receipt delivers."),
            _("Anybody else gets nothing for it."),
            _due(facts, Kind.TEST_MONEY),
        ),
    )


def _review(facts: Facts) -> Told:
    return Told(
        _("The provider took the money and is not sure itself: needs your decision"),
        prose.together(_arrived(facts, CaseKind.REVIEW), _detail(facts, Kind.REVIEW)),
        _("The money is safe."),
        prose.together(_("Compare with the provider's bill before anything else."), _due(facts, Kind.REVIEW)),
    )


def _dispute(facts: Facts) -> Told:
    paid = prose.together(_paid(facts), _goods(facts)) if facts.order.state == OrderState.PAID else ""
    return Told(
        _("The buyer's bank disputes the payment: needs your answer"),
        prose.together(paid, _detail(facts, Kind.DISPUTE)),
        _("The bank hears evidence until its deadline only:"),
        prose.together(
            _("send the delivery record in the provider's back office; the bank's decision closes this by itself."),
            _due(facts, Kind.DISPUTE),
        ),
    )


def _refund_asked(facts: Facts) -> Told:
    paid = prose.together(_paid(facts), _goods(facts)) if facts.order.state == OrderState.PAID else ""
    return Told(
        _("The buyer asked the store for the money back"),
        prose.together(paid, _detail(facts, Kind.REFUND_ASKED)),
        _("Nothing has moved yet."),
        prose.together(_("The store decides, and asks us whether it was delivered."), _due(facts, Kind.REFUND_ASKED)),
    )


def _detail(facts: Facts, kind: Kind) -> str:
    """What was noted when the case was opened: the provider's own words."""
    case = case_of(facts, kind)
    return _("Noted: %(detail)s.") % {"detail": case.detail} if case is not None and case.detail else ""


def _on_its_way(facts: Facts) -> Told:
    return Told(
        _("Paid, on its way to the player"),
        prose.together(_paid(facts), _("The game server is being asked to hand out the goods."), _next_try(facts)),
        _("Usually done within seconds."),
        _("If it stays like this for a minute, deliver again: one order is credited once at most."),
    )


def _retrying(facts: Facts) -> Told:
    return Told(
        _("Paid, not delivered yet, retrying"),
        prose.together(_paid(facts), _refusals(facts), _next_try(facts)),
        _("Delivering again is safe:"),
        _safe_again(facts),
    )


def _not_told(facts: Facts) -> Told:
    why, what_to_do = {
        Server.PAUSED: (
            _("Telling the game server is paused by a person."),
            _("Resume its endpoint; then everything that waits is sent at once."),
        ),
        Server.SWITCHED_OFF: (
            _("The game server has switched its endpoint off (410)."),
            _("Ask the game's engineers; when its endpoint is resumed, everything that waits is sent at once."),
        ),
        Server.NO_ADDRESS: (
            _("The game has no webhook endpoint."),
            _("The game fetches the order by itself, or somebody sets its address; then what waits is sent at once."),
        ),
    }[facts.delivery.server]
    return Told(
        _("Paid, not delivered: nothing is sent to the game server"),
        prose.together(_paid(facts), why),
        _("Nothing is lost."),
        what_to_do,
    )


def _parked(facts: Facts) -> Told:
    tries = _refusals(facts) if facts.delivery.refused else ""
    return Told(
        _("Paid, delivery stopped, needs a person"),
        prose.together(_paid(facts), tries, _("The system has stopped trying.")),
        _("Delivering again is safe:"),
        prose.together(_("one order is credited once at most."), _due(facts, Kind.PARKED)),
    )


def _no_goods(facts: Facts) -> Told:
    return Told(
        _("Paid, delivery has not begun"),
        prose.together(_paid(facts), _("No goods have left yet.")),
        _("The money is safe."),
        _("This should last a moment only; hand it over to the engineers if it does not."),
    )


def _delivered(facts: Facts) -> Told:
    others = [prose.place(other.zone_id, other.role_id) for other in facts.other_receivers]
    here = _("the goods are with %(receiver)s.") % {"receiver": prose.receiver(facts.order)}
    elsewhere = _("This player has also ordered for %(others)s.") % {"others": _(", ").join(others)} if others else ""
    return Told(
        pgettext("console", "Paid and delivered"),
        prose.together(_paid(facts), _goods(facts)),
        _("If the player sees nothing, look at the role first:"),
        prose.together(here, elsewhere),
    )


def _delivered_untold(facts: Facts) -> Told:
    stopped = CaseKind.WEBHOOK_PARKED in facts.open_cases
    return Told(
        _("Paid and delivered; the game server has not heard of it yet"),
        prose.together(_paid(facts), _goods(facts)),
        _("The goods are on the player's account."),
        _("The game server would not hear of it and is not told any more; a person must look at its endpoint.")
        if stopped
        else _("The game server goes on being told; the player may not see them until then."),
    )


def _unconfirmed(facts: Facts) -> Told:
    said = [attempt.provider_said for attempt in facts.attempts if attempt.provider_said]
    return Told(
        _("Delivered, and the store has not heard of it: needs a person"),
        prose.together(
            _paid(facts),
            _goods(facts),
            _("The store last said: %(said)s.") % {"said": said[-1]} if said else "",
        ),
        _("A store that is not told gives the money back, usually after three days:"),
        prose.together(
            _("check the account's keys and rights; the system goes on telling it, and then this closes by itself."),
            _due(facts, Kind.UNCONFIRMED),
        ),
    )


def _taken_back(facts: Facts) -> Told:
    return Told(
        _("Paid, goods taken back"),
        prose.together(_paid(facts), _("The goods were taken back.")),
        _("Nothing more will happen by itself."),
        _("The timeline says who did it."),
    )


def refund_words(facts: Facts) -> str:
    """What went back to the player, and when."""
    order = facts.order
    amount = prose.amount(order.refunded_minor, order.currency)
    if facts.refunded_at is None:
        return _("%(amount)s went back the same way.") % {"amount": amount}
    return _("%(amount)s went back the same way at %(at)s.") % {
        "amount": amount,
        "at": prose.moment(facts.refunded_at, now=facts.now),
    }


def _refunded(facts: Facts) -> Told:
    order = facts.order
    return Told(
        _("Refunded %(amount)s the same way") % {"amount": prose.amount(order.refunded_minor, order.currency)},
        prose.together(_paid(facts), refund_words(facts), _goods(facts)),
        _("Banks take 1–3 working days."),
        _("The player sees it in the bill of the same account."),
    )


def _partly_refunded(facts: Facts) -> Told:
    order = facts.order
    return Told(
        _("Partly refunded: %(amount)s the same way") % {"amount": prose.amount(order.refunded_minor, order.currency)},
        prose.together(_paid(facts), _goods(facts), refund_words(facts)),
        _("Banks take 1–3 working days."),
        _("The rest of the order stands."),
    )


def decided_case(facts: Facts) -> Case | None:
    """The last closed case about money of this order."""
    return next((case for case in reversed(facts.cases) if case.closed_at is not None and case.kind in TO_DECIDE), None)


def decision_words(case: Case) -> str:
    """How a person ended a case."""
    return str(dict(Decision.choices).get(case.decision, case.decision))


def _dealt_with(facts: Facts) -> Told:
    case = decided_case(facts)
    held = facts.held[-1]
    arrived = _("%(amount)s arrived from %(provider)s at %(at)s.") % {
        "amount": prose.amount(held.amount_minor, held.currency),
        "provider": prose.provider(held.account.provider),
        "at": prose.moment(held.paid_at, now=facts.now),
    }
    if case is None or case.closed_at is None:
        return Told(
            _("Money arrived and is held"), arrived, _("No case is open."), _("Hand it over, so that somebody decides.")
        )
    decided = _("%(who)s decided at %(at)s: %(decision)s.") % {
        "who": case.closed_by,
        "at": prose.moment(case.closed_at, now=facts.now),
        "decision": decision_words(case),
    }
    return Told(
        _("Dealt with: %(decision)s") % {"decision": decision_words(case)},
        prose.together(arrived, decided),
        _("Why:") if case.note else "",
        case.note,
    )


def provider_word(facts: Facts) -> str:
    """When and by whom it was last said for certain that nothing was paid; empty when nobody was asked."""
    closed = [attempt for attempt in facts.attempts if attempt.closed_at is not None]
    if not closed:
        return ""
    last = max(closed, key=lambda attempt: attempt.closed_at or facts.now)
    assert last.closed_at is not None  # noqa: S101
    return _("%(provider)s, %(at)s") % {
        "provider": prose.provider(last.account.provider),
        "at": prose.moment(last.closed_at, now=facts.now),
    }


def _waiting(facts: Facts) -> Told:
    order = facts.order
    over = order.expires_at <= facts.now
    return Told(
        _("Waiting for the player to pay"),
        prose.together(
            _("The order asks %(amount)s.") % {"amount": prose.amount(order.amount_minor, order.currency)},
            _("No way to pay was chosen yet.") if not facts.attempts else "",
            _("Its time is up; it is being closed at the provider.")
            if over
            else _("It can be paid until %(until)s.") % {"until": prose.moment(order.expires_at, now=facts.now)},
        ),
        _("If the player says it is paid, ask the provider now:"),
        _("what is paid is booked at once."),
    )


def _nothing_paid(headline: str, facts: Facts) -> Told:
    order = facts.order
    assert order.cancelled_at is not None  # noqa: S101  # a constraint: cancelled orders say when
    word = provider_word(facts)
    closed = _("The order over %(amount)s was closed at %(at)s.") % {
        "amount": prose.amount(order.amount_minor, order.currency),
        "at": prose.moment(order.cancelled_at, now=facts.now),
    }
    if word:
        said = _("The provider's word: not paid (%(word)s).") % {"word": word}
    elif facts.attempts:
        said = _("The provider has not said its last word yet; it goes on being asked.")
    else:
        said = _("The player never chose a way to pay, so no provider knows this order.")
    return Told(
        headline,
        prose.together(closed, said),
        _("If the player's bill shows the amount:"),
        _("ask for the transaction number and look it up, or ask the provider now; what is paid is never lost."),
    )


def _unpaid(facts: Facts) -> Told:
    word = provider_word(facts)
    headline = _("Not paid (provider's word: %(word)s)") % {"word": word} if word else _("Not paid in time")
    return _nothing_paid(headline, facts)


WORDS: Mapping[Kind, Callable[[Facts], Told]] = {
    Kind.SECOND_PAYMENT: _second_payment,
    Kind.LATE_PAYMENT: _late_payment,
    Kind.AMOUNT_DIFFERS: _amount_differs,
    Kind.GIVEN_BACK: _given_back,
    Kind.PURCHASE_DIFFERS: _purchase_differs,
    Kind.TEST_MONEY: _test_money,
    Kind.REVIEW: _review,
    Kind.DISPUTE: _dispute,
    Kind.REFUND_ASKED: _refund_asked,
    Kind.UNDECIDED: _undecided,
    Kind.PROVIDER_REFUND: _provider_refund,
    Kind.ON_ITS_WAY: _on_its_way,
    Kind.RETRYING: _retrying,
    Kind.NOT_TOLD: _not_told,
    Kind.PARKED: _parked,
    Kind.NO_GOODS: _no_goods,
    Kind.UNCONFIRMED: _unconfirmed,
    Kind.DELIVERED: _delivered,
    Kind.DELIVERED_UNTOLD: _delivered_untold,
    Kind.TAKEN_BACK: _taken_back,
    Kind.PARTLY_REFUNDED: _partly_refunded,
    Kind.REFUNDED: _refunded,
    Kind.DEALT_WITH: _dealt_with,
    Kind.WAITING: _waiting,
    Kind.UNPAID: _unpaid,
    Kind.CANCELLED_BY_GAME: lambda facts: _nothing_paid(_("Not paid: cancelled by the game"), facts),
    Kind.CANCELLED_BY_PLAYER: lambda facts: _nothing_paid(_("Not paid: cancelled by the player"), facts),
}
