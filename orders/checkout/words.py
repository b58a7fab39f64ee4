"""What a player reads: notices when a call did not go through, held money, and pages without an order."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from channels_app.console.words import money_in_prose
from orders.checkout.methods import brand_of
from orders.checkout.stages import OVER, WAITING_FOR_GOODS, Stage
from orders.models import HoldReason, Order, Payment

Text = str | Promise


# --- notices ----------------------------------------------------------------------------------------------
# By the stable code of the problem, or of what was done.
ABOUT_PROVIDER: Mapping[str, Text] = {
    "provider_unavailable": _("%(provider)s does not answer just now. Try again, or choose another way to pay."),
    "provider_busy": _("%(provider)s is very busy just now. Try again in a moment, or choose another way to pay."),
    "provider_refused": _("%(provider)s did not accept this order. Please choose another way to pay."),
}
BEFORE_PAYING: Mapping[str, Text] = {
    "not_paid_yet": _("We have just asked: no payment has arrived yet. When it does, this page updates by itself."),
    "method_not_offered": _("This way to pay is not available now. Please choose another one."),
    "too_many_attempts": _("This order was tried too often. Please go back to the game and start a new purchase."),
    "too_many_requests": _("We have asked several times in the last minute. Please wait a little."),
    "payment_under_way": _("A payment of this order is under way. It can be cancelled when that has come to an end."),
    "cannot_close": _("The payment provider did not answer, so the order stays open for now. Try again in a moment."),
}
# Once money has come, only these may be said: every other notice would unsettle somebody who has paid.
AFTER_PAYING: Mapping[str, Text] = {
    "tried_again": _("We have just asked the game to take your items once more. This page shows when they are there."),
    "tried_anyway": _("Your items are being sent already, or will be in a moment. There is nothing more to do."),
    "too_many_requests": BEFORE_PAYING["too_many_requests"],
}
OTHERWISE = _("That did not go through. Please try again.")


def notice(code: str, *, stage: Stage, method: str = "") -> Text:
    """The sentence for a code where an order stands now; nothing when nothing fits."""
    if not code:
        return ""
    if stage in WAITING_FOR_GOODS:
        return AFTER_PAYING.get(code, "")
    if stage is not Stage.OPEN and stage not in OVER:
        return ""
    if code in ABOUT_PROVIDER:
        return str(ABOUT_PROVIDER[code]) % {"provider": brand_of(method).who} if method else OTHERWISE
    return BEFORE_PAYING.get(code, OTHERWISE)


# --- money that a person must judge -----------------------------------------------------------------------
HELD: Mapping[str, Text] = {
    HoldReason.AMOUNT_DIFFERS: _("We received %(received)s; the order asks %(amount)s."),
    HoldReason.LATE_PAYMENT: _("We received %(received)s after this order had been closed."),
    HoldReason.SECOND_PAYMENT: _("We received %(received)s; another payment for this order had come before."),
    HoldReason.GIVEN_BACK: _("The provider says that %(received)s was paid for this order and given back since."),
    HoldReason.PURCHASE_DIFFERS: _("The store tells us of a purchase that does not fit this order; it is safe."),
    HoldReason.TEST_MONEY: _("The store tells us that this was bought in its test environment."),
    HoldReason.REVIEW: _("We received %(received)s; the provider is still checking it."),
    HoldReason.UNMATCHED: _("The store tells us of a purchase for %(received)s; we are finding out which order it is."),
    HoldReason.UNKNOWN_ORDER: _("We received %(received)s and are finding out what it is for."),
}


def held_sentence(payment: Payment, order: Order) -> str:
    """What came, and why it is being looked at."""
    return str(HELD[payment.hold_reason]) % {
        "received": money_in_prose(payment.amount_minor, payment.currency),
        "amount": money_in_prose(order.amount_minor, order.currency),
    }


# --- when there is nothing to show ------------------------------------------------------------------------
SORRY: Mapping[str, tuple[Text, Text]] = {
    "token_expired": (
        _("This link is no longer valid"),
        _("It was made for one order and its time is over. Your order and your items are in the game."),
    ),
    "not_authenticated": (
        _("This link is not complete"),
        _("Please open the payment page from the game once more."),
    ),
    "not_found": (
        _("There is no such order here"),
        _("Please open the payment page from the game once more."),
    ),
    "busy": (
        _("We cannot answer right now"),
        _("Please load this page again in a moment. If you have paid, it is safe: do not pay again."),
    ),
}
SORRY_OTHERWISE = (
    _("Something went wrong on our side"),
    _("It has been recorded. If you have paid, it is safe: do not pay again."),
)


# --- what comes out of it ---------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Line:
    """One line of what is bought."""

    name: str
    quantity: str
    bonus: bool


def lines_of(order: Order) -> list[Line]:
    """One line per item, and what is added for free on a line of its own."""
    return [
        Line(content["name"], f"{quantity:,}", bonus)
        for content in order.contents
        for quantity, bonus in ((content["quantity"], False), (content["bonus"], True))
        if quantity
    ]


def html_lang() -> str:
    """The language of the page, as HTML names it."""
    return "zh-Hans" if (get_language() or "").startswith("zh") else "en"
