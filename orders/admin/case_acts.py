"""What a person may do with a case: take it, give it to a colleague, close it with a decision."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act, ActRefused
from orders.cases import CaseClosed, Decision, Queue, assign_case, close_case, taken_by
from orders.models import Case

_PERMISSION = "orders.close_case"
_PEOPLE_OFFERED = 200
_PERSON = "person:"


def _closed(case: Case) -> str:
    return _("It is closed already.") if case.closed_at else ""


# --- closing ----------------------------------------------------------------------------------------------------
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


CLOSE = Act(
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
    form=ClosingForm,
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

CASE_ACTS: tuple[Act, ...] = (CLOSE, TAKE, GIVE)
