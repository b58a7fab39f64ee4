"""What a person may do with a case: take it, give it to a colleague, close it with a decision."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act, ActRefused
from channels_app.console.words import clock, money_in_prose
from channels_app.proposals import ProposalRefused
from orders.asking_by_transaction import ask_account
from orders.assigning import CannotAssign, assign, look
from orders.attempts import ask_provider
from orders.casefile import prose
from orders.cases import CaseClosed, Decision, Queue, assign_case, close_case, decisions_for, taken_by
from orders.models import Case, CaseKind
from orders.settling import Outcome

_PERMISSION = "orders.close_case"
_PEOPLE_OFFERED = 200
_PERSON = "person:"


def _closed(case: Case) -> str:
    return _("It is closed already.") if case.closed_at else ""


# --- closing ----------------------------------------------------------------------------------------------------
def _closing_form(case: Case) -> type[forms.Form]:
    """A decision that can end this kind of case, and why."""
    choices = [(decision.value, decision.label) for decision in decisions_for(CaseKind(case.kind))]
    decision = forms.ChoiceField(label=_("Decision"), choices=choices)
    reason = forms.CharField(
        label=_("Why"),
        max_length=500,
        min_length=4,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("For whoever looks at this in a year: what you found and what you did."),
    )
    return type("ClosingForm", (forms.Form,), {"decision": decision, "reason": reason})


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


CLOSE: Act = Act(
    name="close",
    label=gettext_lazy("Close the case"),
    permission=_PERMISSION,
    effect=lambda case: [
        _("The case leaves the queue, with your name, your decision and your reason."),
        _("What the player is told changes with it."),
        _("Nothing else moves: no money, no goods."),
    ],
    hindrance=_closed,
    perform=_close,
    form=_closing_form,
)


# --- taking and giving --------------------------------------------------------------------------------------------
def _assign(case: Case, to: str | Queue) -> None:
    try:
        assign_case(case_id=case.pk, to=to)
    except CaseClosed as error:
        raise ActRefused(_("Somebody else has just closed this case.")) from error


def _take(request: HttpRequest, case: Case, given: dict[str, Any]) -> str:
    _assign(case, request.user.get_username())
    return _("The case is yours.")


def _taken(case: Case) -> str:
    if taken_by(case):
        return _("%(who)s has it; give it to somebody else to move it.") % {"who": taken_by(case)}
    return _closed(case)


TAKE = Act(
    name="take",
    label=gettext_lazy("Take the case"),
    permission=_PERMISSION,
    effect=lambda case: [_("Colleagues see that you are at it.")],
    hindrance=_taken,
    perform=_take,
    confirmed=False,
)


def _giving_form(case: Case) -> type[forms.Form]:
    """The queues, and the people on the staff."""
    people = get_user_model().objects.filter(is_active=True, is_staff=True).order_by("username")
    names = people.values_list("username", flat=True)[:_PEOPLE_OFFERED]
    choices = [
        (str(_("Queues")), Queue.choices),
        (str(_("People")), [(f"{_PERSON}{name}", name) for name in names]),
    ]
    to = forms.ChoiceField(label=_("To whom"), choices=choices)
    reason = forms.CharField(label=_("Why"), max_length=500, min_length=4, widget=forms.Textarea(attrs={"rows": 2}))
    return type("GivingForm", (forms.Form,), {"to": to, "reason": reason})


def _give(request: HttpRequest, case: Case, given: dict[str, Any]) -> str:
    to: str = given["to"]
    if to.startswith(_PERSON):
        name = to.removeprefix(_PERSON)
        _assign(case, name)
    else:
        name = str(Queue(to).label)
        _assign(case, Queue(to))
    return _("Given to %(who)s.") % {"who": name}


GIVE: Act = Act(
    name="give",
    label=gettext_lazy("Give to a colleague"),
    permission=_PERMISSION,
    effect=lambda case: [_("It stands in their queue from now on; its limit stays the same.")],
    hindrance=_closed,
    perform=_give,
    form=_giving_form,
)


# --- a store purchase without an order ----------------------------------------------------------------------------
class AssigningForm(forms.Form):
    """The order that the player meant."""

    order_no = forms.CharField(
        label=gettext_lazy("Order number"),
        max_length=32,
        help_text=gettext_lazy(
            "The player's unpaid order for the same product. One that is closed cannot be paid any more: let the player"
            " make a new one in the game."
        ),
    )


def _assign_purchase(request: HttpRequest, case: Case, given: dict[str, Any]) -> str:
    try:
        outcome = assign(
            payment_id=case.payment_id or 0,
            order_no=given["order_no"],
            by=request.user.get_username(),
            now=timezone.now(),
        )
    except CannotAssign as error:
        raise ProposalRefused(str(error)) from error
    if outcome is not Outcome.APPLIED:
        raise ProposalRefused(_("Somebody was faster: the purchase or the order is dealt with. Nothing was done."))
    return _("The purchase pays order %(order)s now.") % {"order": given["order_no"]}


def _assignable(case: Case) -> str:
    if case.kind != CaseKind.UNMATCHED or case.payment is None:
        return _("Only a store purchase without an order can be assigned.")
    return _closed(case)


def _purchase_beside_order(case: Case, given: dict[str, Any]) -> list[tuple[object, object, object]]:
    """What the second person is shown: the purchase, and the order it would pay. Raises ProposalRefused."""
    try:
        fit = look(payment_id=case.payment_id or 0, order_no=given["order_no"])
    except CannotAssign as error:
        raise ProposalRefused(str(error)) from error
    payment, order, bought = fit.payment, fit.order, fit.bought
    return [
        (_("on the left the purchase, on the right the order"), payment.transaction_id, order.order_no),
        (_("store product"), bought.product_id, order.product.store_ids[fit.method]),
        (_("quantity"), str(bought.quantity), str(order.quantity)),
        (_("charged, and list price"), money_in_prose(payment.amount_minor, payment.currency),
         money_in_prose(order.amount_minor, order.currency)),
        (_("paid, and ordered"), clock(payment.paid_at), clock(order.created_at)),
        (_("account, and payment method"), payment.account.code, prose.method_name(fit.method)),
        (_("player"), fit.proof.payer or "–", order.uid),
    ]  # fmt: skip


ASSIGN_PURCHASE: Act = Act(
    name="assign",
    label=gettext_lazy("Assign to an order"),
    permission="orders.mark_paid",
    effect=lambda case: [
        _("The store is asked again; then the purchase pays the order, and its goods go to that order's player."),
        _("It pays one order, once. Product and quantity must be the order's."),
        *([case.detail] if case.detail else []),
    ],
    hindrance=_assignable,
    perform=_assign_purchase,
    form=AssigningForm,
    step_up=True,
    two_people=True,
    shown=_purchase_beside_order,
)


# --- looking again ------------------------------------------------------------------------------------------------
# What held this money may have changed since: a reviewer was listed, the store has learnt whose purchase it is.
RECONSIDERED = (CaseKind.TEST_MONEY, CaseKind.UNMATCHED)


def _look_again(request: HttpRequest, case: Case, given: dict[str, Any]) -> str:
    payment = case.payment
    if payment is None:
        raise ActRefused(_not_looked_at_again(case))
    actor = f"staff {request.user.get_username()}"
    told = ask_account(payment.account, payment.transaction_id, actor=actor)
    payment.refresh_from_db()
    if not payment.applied and payment.attempt is not None:
        ask_provider(payment.attempt, actor=actor)  # some stores know our numbers only
        payment.refresh_from_db()
    if payment.applied and payment.order is not None:
        return _("The purchase pays order %(order)s now.") % {"order": payment.order.order_no}
    about = {"provider": prose.provider(payment.account.provider), "said": told.said or "–"}
    if told.standing is None:
        return _("%(provider)s could not be asked (%(said)s); nothing changed.") % about
    return _("%(provider)s says what it said before (%(said)s); the money stays held.") % about


def _not_looked_at_again(case: Case) -> str:
    if case.kind not in RECONSIDERED or case.payment is None:
        return _("Nothing about this can change by asking again.")
    return _closed(case)


LOOK_AGAIN = Act(
    name="look_again",
    label=gettext_lazy("Ask the store again"),
    permission="orders.ask_provider",
    effect=lambda case: [_("Asks the store about this purchase; what may be delivered by now is delivered.")],
    hindrance=_not_looked_at_again,
    perform=_look_again,
    confirmed=False,
    atomic=False,  # settling commits by itself
)

# Only where they fit; the first is the one that is suggested.
_ONLY_FOR = {ASSIGN_PURCHASE.name: (CaseKind.UNMATCHED,), LOOK_AGAIN.name: RECONSIDERED}
CASE_ACTS: tuple[Act, ...] = (ASSIGN_PURCHASE, LOOK_AGAIN, CLOSE, TAKE, GIVE)


def fits(act: Act, case: Case) -> bool:
    """Whether an act is worth showing on the page of a case."""
    return act.name not in _ONLY_FOR or case.kind in _ONLY_FOR[act.name]
