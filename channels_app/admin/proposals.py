"""Proposals: what waits for a second person, what it would change, and the acts of that second person."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import proposals
from channels_app.console.audit import ReasonForm
from channels_app.console.filters import ExactFilter
from channels_app.console.pages import Act, Panel, ReadOnlyAdmin, history, table
from channels_app.console.words import clock, column, mark, number
from channels_app.models import Proposal, ProposalState

_TONES = {
    ProposalState.WAITING: "decide",
    ProposalState.DONE: "done",
    ProposalState.REJECTED: "quiet",
    ProposalState.FAILED: "decide",
    ProposalState.EXPIRED: "quiet",
}


class ProposalStateFilter(ExactFilter):
    """What waits comes first: without a choice the list shows nothing else."""

    title = gettext_lazy("state")
    parameter_name = "state"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Everything ever asked for."""
        return [(self.ALL, _("all, decided ones too"))]

    def choices(self, changelist: Any) -> Any:
        """Names the default."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("waiting")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Proposal]) -> QuerySet[Proposal]:
        """What waits, unless all is wanted."""
        return queryset if self.chosen() else queryset.filter(state=ProposalState.WAITING)


def standing(proposal: Proposal) -> object:
    """The state as a mark; what nobody decided in time is over, whether or not it was swept up."""
    state = ProposalState(proposal.state)
    if state == ProposalState.WAITING and proposal.expires_at <= timezone.now():
        state = ProposalState.EXPIRED
    return mark(state.label, _TONES[state])


def kind_in_words(proposal: Proposal) -> object:
    """What it is about."""
    known = proposals.KINDS.get(proposal.kind)
    return known.label if known else proposal.kind


def _changes(request: HttpRequest, proposal: Proposal) -> Panel:
    return table(
        _("What would change") if proposal.state == ProposalState.WAITING else _("What was asked for"),
        proposal.summary,
        [
            (_("What"), lambda line: line[0]),
            (_("Before"), lambda line: line[1]),
            (_("After"), lambda line: line[2]),
        ],
        empty=_("Nothing of this may be shown."),
        note=_("Keys and passwords are sealed with it and never shown."),
    )


def _effect(proposal: Proposal) -> Sequence[object]:
    return [
        *(f"{what}: {before or '—'} → {after or '—'}" for what, before, after in proposal.summary),
        _("Asked by %(who)s: %(reason)s") % {"who": proposal.requested_by, "reason": proposal.reason},
        _("It is done at once, with both your names."),
    ]


def _approve(request: HttpRequest, proposal: Proposal, given: dict[str, Any]) -> object:
    done = proposals.approve(proposal_id=proposal.pk, by=request.user, now=timezone.now())
    return proposals.Asked(done.words, secret=done.secret)


def _reject(request: HttpRequest, proposal: Proposal, given: dict[str, Any]) -> str:
    proposals.reject(proposal_id=proposal.pk, by=request.user, reason=given["reason"], now=timezone.now())
    return _("Rejected; nothing was changed.")


def _nothing(proposal: Proposal) -> str:
    return ""


@admin.register(Proposal)
class ProposalAdmin(ReadOnlyAdmin[Proposal]):
    """What takes two people: asked for by one, done by another."""

    game_path = ""
    list_display = ("requested_at", "what", "subject", "asker", "why", "state_mark", "expires_at", "decider")
    list_display_links = ("what",)
    list_select_related = ("requested_by", "decided_by")
    list_filter = (ProposalStateFilter,)
    list_note = gettext_lazy(
        "One person asks, another does it: nobody can do both, administrators included. What nobody decides within"
        " 24 hours lapses."
    )
    list_empty = gettext_lazy(
        "Nothing waits for a second person. Changes of keys, prices, addresses and rights would stand here."
    )
    fields = (
        ("what", "subject", "state_mark"),
        ("asker", "requested_at", "expires_at"),
        ("why", "ticket"),
        ("decider", "decided_at", "outcome"),
        "seal",
    )
    panels = (_changes, history)
    what = column(gettext_lazy("kind"), kind_in_words)
    state_mark = column(gettext_lazy("state"), standing)
    asker = column(gettext_lazy("who asked"), lambda proposal: proposal.requested_by.get_username())
    decider = column(
        gettext_lazy("who decided"),
        lambda proposal: proposal.decided_by.get_username() if proposal.decided_by else "",
    )
    why = column(gettext_lazy("reason"), lambda proposal: proposal.reason)
    seal = column(gettext_lazy("SHA-256 of what was asked"), lambda proposal: number(proposal.payload_sha256))
    acts = (
        Act(
            name="approve",
            label=gettext_lazy("Approve and do it"),
            permission="channels_app.view_proposal",
            effect=_effect,
            hindrance=_nothing,
            perform=_approve,
            atomic=False,  # what could not be done stays written down as such
            step_up=True,
        ),
        Act(
            name="reject",
            label=gettext_lazy("Reject"),
            permission="channels_app.view_proposal",
            effect=lambda proposal: [_("Nothing changes. Whoever asked sees your reason here.")],
            hindrance=_nothing,
            perform=_reject,
            form=ReasonForm,
            step_up=True,
        ),
    )

    def headline(self, row: Proposal) -> str:
        """Who wants what, and until when."""
        return _("%(who)s asks: %(what)s · %(subject)s. Until %(until)s.") % {
            "who": row.requested_by.get_username(),
            "what": kind_in_words(row),
            "subject": row.subject,
            "until": clock(row.expires_at),
        }

    def hindrance(self, request: HttpRequest, act: Act, row: Proposal) -> object:
        """Own requests, what is over, and what one's role may not do oneself."""
        return proposals.why_not(row, request.user, timezone.now())

    def act_view(self, request: HttpRequest, object_id: str, act_name: str) -> HttpResponse:
        """Deciding takes the permission of the thing itself: without it this is a refusal, not a hindrance."""
        row = self.get_object(request, object_id)
        kind = proposals.KINDS.get(row.kind) if row is not None else None
        if request.method == "POST" and kind is not None and not request.user.has_perm(kind.permission):
            raise PermissionDenied
        return super().act_view(request, object_id, act_name)
