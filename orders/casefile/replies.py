"""What to tell the player, ready to paste: in Chinese and in English, whatever language the console is read in.

A reply states facts, times and amounts, then one thing to do. It never promises what nobody has decided (no word of
giving money back before somebody gave it back), never says "failed" once money is here, and never asks for a second
payment. Sandbox orders have no reply: no real player is waiting.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.utils import translation
from django.utils.translation import gettext as _

from channels_app.models import Environment
from orders.casefile import prose
from orders.casefile.facts import Facts
from orders.casefile.kinds import Kind, case_of, kind_of
from orders.casefile.wording import decided_case, payment_behind
from orders.cases import Decision, answer_by
from orders.models import CaseKind, DeliveryState, Payment


@dataclass(frozen=True, slots=True)
class Reply:
    """The same reply in both languages."""

    chinese: str
    english: str


def reply_to(facts: Facts) -> Reply | None:
    """What to tell the player now; None for a sandbox order."""
    if facts.order.environment == Environment.SANDBOX:
        return None
    words = _REPLIES[kind_of(facts)]
    with translation.override("zh-hans"):
        chinese = _("Hello, %(reply)s") % {"reply": words(facts)}
    with translation.override("en"):
        english = _("Hello, %(reply)s") % {"reply": words(facts)}
    return Reply(chinese, english)


# --- parts ------------------------------------------------------------------------------------------------------
def _about(facts: Facts) -> dict[str, str]:
    """What nearly every sentence names."""
    order = facts.order
    return {
        "order": order.order_no,
        "goods": prose.goods(order),
        "amount": prose.amount(*facts.charged),
        "receiver": prose.receiver(order),
    }


def _received(facts: Facts) -> str:
    """That the payment which counts is here."""
    order = facts.order
    at = prose.dated(order.paid_at, now=facts.now) if order.paid_at else "?"
    return _("we have received your payment of %(amount)s on %(at)s (%(goods)s, order %(order)s) and it is safe.") % {
        **_about(facts),
        "at": at,
    }


def _do_not_pay() -> str:
    return _("Please do not pay again.")


def _answer(facts: Facts, kind: Kind) -> str:
    """Until when the player hears from us. A limit that has passed is no promise any more."""
    case = case_of(facts, kind)
    if case is None or answer_by(case) <= facts.now:
        return _("A colleague is looking after it with priority; we write to you as soon as there is a result.")
    return _("A colleague is looking after it; you have an answer by %(by)s.") % {
        "by": prose.until_minute_dated(answer_by(case))
    }


def _held(payment: Payment | None, facts: Facts) -> dict[str, str]:
    """The payment that is held, as the player knows it from the bill."""
    if payment is None:
        return {**_about(facts), "provider": "", "at": prose.dated(facts.now, now=facts.now)}
    return {
        **_about(facts),
        "amount": prose.amount(payment.amount_minor, payment.currency),
        "provider": prose.provider(payment.account.provider),
        "at": prose.dated(payment.paid_at, now=facts.now),
    }


# --- a person must decide ---------------------------------------------------------------------------------------
def _second_payment(facts: Facts) -> str:
    order = facts.order
    second = _held(payment_behind(facts, CaseKind.SECOND_PAYMENT), facts)
    goods = (
        _("The goods were delivered for the first one.")
        if order.delivery_state == DeliveryState.DELIVERED
        else _("The goods follow for the first one.")
    )
    return prose.together(
        _("we have received two payments for your order %(order)s.") % second,
        goods,
        _("The second one (%(provider)s, %(amount)s) was not used, and it is safe.") % second,
        _answer(facts, Kind.SECOND_PAYMENT),
        _do_not_pay(),
    )


def _late_payment(facts: Facts) -> str:
    late = _held(payment_behind(facts, CaseKind.LATE_PAYMENT), facts)
    return prose.together(
        _("your payment of %(amount)s on %(at)s arrived after order %(order)s had closed. It is safe.") % late,
        _answer(facts, Kind.LATE_PAYMENT),
        _do_not_pay(),
    )


def _amount_differs(facts: Facts) -> str:
    received = _held(payment_behind(facts, CaseKind.AMOUNT_DIFFERS), facts)
    asked = prose.amount(facts.order.amount_minor, facts.order.currency)
    return prose.together(
        _("we have received %(amount)s for order %(order)s, which asks %(asked)s. It is safe and we are checking.")
        % {**received, "asked": asked},
        _answer(facts, Kind.AMOUNT_DIFFERS),
        _do_not_pay(),
    )


def _given_back(facts: Facts) -> str:
    back = _held(payment_behind(facts, CaseKind.GIVEN_BACK), facts)
    return prose.together(
        _("the provider tells us that your payment of %(amount)s on %(at)s for order %(order)s was given back there.")
        % back,
        _("It was not used for the order."),
        _answer(facts, Kind.GIVEN_BACK),
    )


def _undecided(facts: Facts) -> str:
    return prose.together(
        _("the provider has not told us yet whether order %(order)s (%(amount)s) was paid; we keep asking.")
        % _about(facts),
        _answer(facts, Kind.UNDECIDED),
        _("If your bill shows the amount, please send us its transaction number."),
        _do_not_pay(),
    )


def _provider_refund(facts: Facts) -> str:
    case = case_of(facts, Kind.PROVIDER_REFUND)
    about = _about(facts)
    if case is not None and case.amount_minor is not None:
        about["amount"] = prose.amount(case.amount_minor, case.currency)
    return prose.together(
        _("the provider tells us of money given back for order %(order)s (%(amount)s). We are checking.") % about,
        _answer(facts, Kind.PROVIDER_REFUND),
    )


def _purchase_differs(facts: Facts) -> str:
    bought = _held(payment_behind(facts, CaseKind.PURCHASE_DIFFERS), facts)
    return prose.together(
        _("your purchase on %(at)s in the store does not match order %(order)s (%(goods)s). It is safe.") % bought,
        _answer(facts, Kind.PURCHASE_DIFFERS),
        _do_not_pay(),
    )


def _test_money(facts: Facts) -> str:
    return prose.together(
        _("the store tells us that order %(order)s (%(goods)s) was bought in its test environment.") % _about(facts),
        _("No money was taken from you."),
        _answer(facts, Kind.TEST_MONEY),
    )


def _review(facts: Facts) -> str:
    received = _held(payment_behind(facts, CaseKind.REVIEW), facts)
    return prose.together(
        _("we have received your payment of %(amount)s on %(at)s for order %(order)s.") % received,
        _("It is safe and we are checking."),
        _answer(facts, Kind.REVIEW),
        _do_not_pay(),
    )


def _dispute(facts: Facts) -> str:
    return prose.together(
        _("your bank tells us that the payment for order %(order)s (%(goods)s, %(amount)s) is disputed.")
        % _about(facts),
        _answer(facts, Kind.DISPUTE),
        _("If it was a mistake, please tell your bank; it decides."),
    )


def _refund_asked(facts: Facts) -> str:
    return prose.together(
        _("the store tells us that you asked for the money of order %(order)s (%(goods)s, %(amount)s) back.")
        % _about(facts),
        _("The store decides about it; we tell it what was delivered."),
        _answer(facts, Kind.REFUND_ASKED),
    )


# --- paid -------------------------------------------------------------------------------------------------------
def _on_its_way(facts: Facts) -> str:
    return prose.together(
        _received(facts),
        _("The goods are on their way to %(receiver)s and usually arrive within a minute.") % _about(facts),
        _do_not_pay(),
    )


def _retrying(facts: Facts) -> str:
    return prose.together(
        _received(facts),
        _("The game server cannot take deliveries at the moment; the goods follow by themselves as soon as it can."),
        _do_not_pay(),
        _("Once they are there you need not write to us again."),
    )


def _parked(facts: Facts) -> str:
    return prose.together(
        _received(facts),
        _("The goods have not arrived yet."),
        _answer(facts, Kind.PARKED),
        _do_not_pay(),
    )


def _no_goods(facts: Facts) -> str:
    return prose.together(
        _received(facts), _("The goods are being prepared; we are watching it for you."), _do_not_pay()
    )


def _delivered(facts: Facts) -> str:
    order = facts.order
    about = {**_about(facts), "at": prose.dated(order.delivered_at or facts.now, now=facts.now)}
    return prose.together(
        _("your order %(order)s (%(goods)s, %(amount)s) was delivered on %(at)s to %(receiver)s.") % about,
        _("Please switch to that role and look in its bag and mail.")
        if order.role_id
        else _("Please look in the bag and the mail."),
        _("If you still do not see it, please send us a screenshot of that bag."),
        _second_given_back(facts),
    )


def _second_given_back(facts: Facts) -> str:
    """What became of a second payment, once a person has said so."""
    case = decided_case(facts)
    if case is None or case.decision != Decision.REFUNDED or case.payment is None or case.closed_at is None:
        return ""
    return _("The other payment (%(provider)s, %(amount)s) went back the same way on %(at)s.") % {
        "provider": prose.provider(case.payment.account.provider),
        "amount": prose.amount(case.payment.amount_minor, case.payment.currency),
        "at": prose.dated(case.closed_at, now=facts.now),
    }


def _delivered_untold(facts: Facts) -> str:
    about = {**_about(facts), "at": prose.dated(facts.order.delivered_at or facts.now, now=facts.now)}
    return prose.together(
        _("your order %(order)s (%(goods)s, %(amount)s) was credited on %(at)s to %(receiver)s.") % about,
        _("The game server shows it as soon as it answers again; we are on it."),
        _do_not_pay(),
    )


def _taken_back(facts: Facts) -> str:
    return prose.together(
        _("the goods of order %(order)s (%(goods)s) were taken back.") % _about(facts),
        _("If you have questions about it, please answer this message."),
    )


def _refunded(facts: Facts) -> str:
    order = facts.order
    about = {**_about(facts), "amount": prose.amount(order.refunded_minor, order.currency)}
    if facts.refunded_at is None:
        first = _("%(amount)s of order %(order)s went back the same way.") % about
    else:
        at = prose.dated(facts.refunded_at, now=facts.now)
        first = _("%(amount)s of order %(order)s went back the same way on %(at)s.") % {**about, "at": at}
    return prose.together(first, _in_days())


def _in_days() -> str:
    return _("It usually takes 1–3 working days to appear in your account.")


# --- not paid ---------------------------------------------------------------------------------------------------
def _dealt_with(facts: Facts) -> str:
    case = decided_case(facts)
    payment = facts.held[-1] if facts.held else None
    about = _held(payment, facts)
    arrived = _("we have received your payment of %(amount)s on %(at)s for order %(order)s.") % about
    if case is None or case.closed_at is None:
        return prose.together(arrived, _("It is safe and we are checking."), _do_not_pay())
    when = prose.dated(case.closed_at, now=facts.now)
    if case.decision == Decision.REFUNDED:
        return prose.together(arrived, _("It went back the same way on %(at)s.") % {"at": when}, _in_days())
    if case.decision == Decision.DELIVERED:
        return prose.together(arrived, _("The goods were handed out on %(at)s.") % {"at": when})
    return prose.together(
        arrived,
        _("We have looked into it."),
        _("If you have questions about it, please answer this message."),
    )


def _if_charged() -> str:
    return _("If your bill shows the amount, please send us its transaction number or a screenshot; we check at once.")


def _waiting(facts: Facts) -> str:
    return prose.together(
        _("we have no payment for order %(order)s (%(goods)s, %(amount)s) yet.") % _about(facts),
        _("If you have just paid, it shows by itself within a few minutes; please do not pay a second time."),
        _if_charged(),
    )


def _unpaid(facts: Facts) -> str:
    order = facts.order
    about = {**_about(facts), "at": prose.dated(order.cancelled_at or facts.now, now=facts.now)}
    known = (
        _("the provider has no payment for order %(order)s (%(goods)s, %(amount)s), which closed on %(at)s.")
        if facts.attempts
        else _("order %(order)s (%(goods)s, %(amount)s) closed on %(at)s; no way to pay was chosen for it.")
    )
    return prose.together(known % about, _if_charged())


_REPLIES: Mapping[Kind, Callable[[Facts], str]] = {
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
    Kind.NOT_TOLD: _retrying,
    Kind.PARKED: _parked,
    Kind.NO_GOODS: _no_goods,
    Kind.UNCONFIRMED: _delivered,  # that we could not tell the store is nothing of the player's
    Kind.DELIVERED: _delivered,
    Kind.DELIVERED_UNTOLD: _delivered_untold,
    Kind.TAKEN_BACK: _taken_back,
    Kind.PARTLY_REFUNDED: _refunded,
    Kind.REFUNDED: _refunded,
    Kind.DEALT_WITH: _dealt_with,
    Kind.WAITING: _waiting,
    Kind.UNPAID: _unpaid,
    Kind.CANCELLED_BY_GAME: _unpaid,
    Kind.CANCELLED_BY_PLAYER: _unpaid,
}
