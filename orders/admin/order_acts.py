"""What a person may ask for on the page of an order: a note, a colleague, what is private; and why not what else.

Asking the provider stands in `asking`; delivering again is the floor above's, which adds it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console import audit
from channels_app.console.pages import Act, ActRefused
from orders.casefile import facts as casefile
from orders.casefile import prose, timeline
from orders.casefile.summary import summary
from orders.casefile.verdict import judge
from orders.cases import AlreadyHandedOver, Queue, hand_over
from orders.models import Case, CaseKind, Note, Order

_NOTE_LENGTH = 1000
_DETAIL_LENGTH = 300


# --- notes ------------------------------------------------------------------------------------------------------
class NoteForm(forms.Form):
    """What to write down, and about whom."""

    text = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=_NOTE_LENGTH,
        min_length=2,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("Facts for colleagues. It cannot be changed or deleted later."),
    )
    about_player = forms.BooleanField(
        label=gettext_lazy("About the player, not only this order"),
        required=False,
        help_text=gettext_lazy("Then it stands on every order of this player."),
    )


def _add_note(request: HttpRequest, order: Order, given: dict[str, Any]) -> str:
    write_note(
        order=order, text=given["text"], author=request.user.get_username(), about_player=given["about_player"]
    )  # fmt: skip
    return _("The note is written down.")


def write_note(*, order: Order, text: str, author: str, about_player: bool = False) -> Note:
    """Append a note about an order, or about its player."""
    return Note.objects.create(
        game_id=order.game_id,
        environment=order.environment,
        uid=order.uid,
        order=None if about_player else order,
        at=timezone.now(),
        author=author,
        text=text[:_NOTE_LENGTH],
    )


ADD_NOTE = Act(
    name="note",
    label=gettext_lazy("Add note"),
    permission="orders.add_note",
    effect=lambda order: [
        _("The note stands in the case file, with your name and the time."),
        _("Nothing else moves."),
    ],
    hindrance=lambda order: "",
    perform=_add_note,
    form=NoteForm,
)


# --- handing over -----------------------------------------------------------------------------------------------
_REASONS = [
    ("refund", gettext_lazy("The player wants money back")),
    ("proof", gettext_lazy("The player shows a bill that nobody knows here")),
    ("goods", gettext_lazy("Goods are missing, though delivered")),
    ("server", gettext_lazy("The game server does not take it")),
    ("minor", gettext_lazy("A guardian writes about a minor")),
    ("fraud", gettext_lazy("Suspicion of fraud")),
    ("other", gettext_lazy("Something else (see the words)")),
]


class HandOverForm(forms.Form):
    """Why, to whom, and what the colleague should know."""

    why = forms.ChoiceField(label=gettext_lazy("Why"), choices=_REASONS)
    to = forms.ChoiceField(label=gettext_lazy("To whom"), choices=Queue.choices, initial=Queue.SUPPORT)
    words = forms.CharField(
        label=gettext_lazy("In your words"),
        max_length=200,
        min_length=4,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("What the player says, what you have tried. The summary of this page goes along."),
    )


def _handed_over_already(order: Order) -> str:
    case = order.cases.filter(kind=CaseKind.HANDED_OVER, closed_at__isnull=True).first()
    if case is None:
        return ""
    at = prose.moment(case.opened_at, now=timezone.now())
    return _("Handed over already at %(at)s; the case is open.") % {"at": at}


def _hand_over(request: HttpRequest, order: Order, given: dict[str, Any]) -> str:
    to = Queue(given["to"])
    why = str(dict(_REASONS)[given["why"]])
    now = timezone.now()
    try:
        hand_over(order=order, to=to, detail=f"{why}: {given['words']}"[:_DETAIL_LENGTH], now=now)
    except AlreadyHandedOver as error:
        raise ActRefused(_("Somebody else has just handed it over.")) from error
    facts = casefile.gather(order, now=now)
    lines = summary(facts, judge(facts), timeline.tell(facts, above=casefile.moments_above(order)))
    text = _("Handed over to %(to)s. %(why)s: %(words)s") % {"to": to.label, "why": why, "words": given["words"]}
    write_note(order=order, text=f"{text}\n\n{lines}", author=request.user.get_username())
    return _("Handed over to %(to)s; it stands among the cases.") % {"to": to.label}


HAND_OVER = Act(
    name="hand_over",
    label=gettext_lazy("Hand over"),
    permission="orders.add_note",
    effect=lambda order: [
        _("A case is opened for a colleague, with your reason."),
        _("The summary of this page is kept with it as a note."),
        _("No money and no goods move."),
    ],
    hindrance=_handed_over_already,
    perform=_hand_over,
    form=HandOverForm,
)


# --- what is private --------------------------------------------------------------------------------------------
def _reveal(request: HttpRequest, order: Order, given: dict[str, Any]) -> HttpResponse:
    """A page with what is masked everywhere else. Opening it is written down with its reason."""
    detail = {"act": REVEAL.name, "report": str(REVEAL.label)}
    audit.write_down(request, audit.ACTED, row=order, reason=given["reason"], detail=detail)
    return TemplateResponse(
        request,
        "admin/console/case_private.html",
        {
            **admin.site.each_context(request),
            "opts": Order._meta,
            "original": order,
            "title": REVEAL.label,
            "back": reverse("admin:orders_order_change", args=(order.pk,)),
            "values": [
                (_("player's address"), order.client_ip),
                (_("attached"), order.attach),
            ],
        },
        headers={"Cache-Control": "no-store"},
    )


REVEAL = Act(
    name="reveal",
    label=gettext_lazy("Show personal data"),
    permission="orders.reveal_personal",
    effect=lambda order: [
        _("Shows the player's network address and what the game attached, once."),
        _("That you looked, and why, is written down."),
    ],
    hindrance=lambda order: "",
    perform=_reveal,
    form=audit.ReasonForm,
)


def masked_address(address: str) -> str:
    """203.0.113.7 → 203.0.113.x: enough to see whether two orders came from one place."""
    if "." in address:
        return f"{address.rpartition('.')[0]}.x"
    return f"{':'.join(address.split(':')[:3])}:…" if address else ""


# --- what cannot be done, and why -------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Impossible:
    """Something a reader looks for, and why it is not there for them now."""

    label: object
    reason: object


# Whom to hand over to when one's own role may not.
_WHO_MAY: Mapping[str, Queue] = {"ask": Queue.FINANCE, "deliver": Queue.OPERATIONS, "reveal": Queue.SUPPORT}


def not_for_this_role(act: Act) -> Impossible:
    """An act that this person's role may not ask for."""
    who = _WHO_MAY.get(act.name, Queue.SUPPORT).label
    return Impossible(act.label, _("your role may not; hand it over to %(who)s") % {"who": who})


def never_here(facts: casefile.Facts) -> Sequence[Impossible]:
    """What is never done by a click, for reasons that a new colleague should know."""
    applied = facts.applied
    by_hand = (
        _("proved already by %(provider)s") % {"provider": prose.provider(applied.account.provider)}
        if applied
        else _("only the provider's proof books a payment; ask the provider")
    )
    never = [Impossible(_("Confirm by hand"), by_hand)]
    if facts.money_arrived:
        back = _("given back by finance in the provider's back office; its notice then shows here")
        never.insert(0, Impossible(_("Give money back"), back))
    return never


def case_address(case: Case, *more: str) -> str:
    """The page of a case, or one of its acts."""
    name = "admin:orders_case_act" if more else "admin:orders_case_change"
    return reverse(name, args=(case.pk, *more))
