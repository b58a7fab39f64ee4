"""Forms whose changes take two people: the form is filled in and checked as any other, and then asked for.

Saving happens inside a savepoint that is taken back: that shows exactly what the form would make of the row, prices
and all. What it was and what it would become then goes through the one door, `proposals.ask_or_do`: filed as a
proposal, or done at once where four eyes are off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import proposals
from channels_app.console.pages import ConsoleAdmin

_M = TypeVar("_M", bound=Model)
_WHY = ("reason", "ticket")

# A row as JSON, whole: what the form can change of it, parts included. Nothing for a row that does not exist.
Snapshot = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FormProposal:
    """How a form's changes are asked for: the kind of proposal, the row as JSON, and that in words, line by line.

    The kind's `perform` gets {"before": …, "after": …} and must refuse when the row is no longer as before.
    """

    kind: str
    snapshot: Callable[[Any], Snapshot]
    describe: Callable[[Snapshot], Mapping[str, str]]


class ReasonedForm(forms.ModelForm[Any]):
    """A form of a row that also asks why."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        min_length=4,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("A sentence for whoever asks in a year. It is written down with your name."),
    )
    ticket = forms.CharField(label=gettext_lazy("Ticket"), max_length=80, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """A colleague who has to approve has to know why."""
        super().__init__(*args, **kwargs)
        if "reason" in self.fields:
            self.fields["reason"].required = settings.FOUR_EYES


@dataclass(slots=True)
class _Asking:
    """A form under way: what the row was, and where to go back to."""

    savepoint: str
    before: Snapshot
    asked: proposals.Asked | None = None
    refused: str = ""


class ProposingAdmin(ConsoleAdmin[_M]):
    """A page whose form is asked for and approved, not saved. `proposing` may be given by a floor above."""

    form: type[Any] = ReasonedForm
    proposing: ClassVar[FormProposal | None] = None
    step_up_changes = True

    def get_fieldsets(self, request: HttpRequest, obj: _M | None = None) -> Any:
        """Without the reason where nothing can be changed."""
        fieldsets = super().get_fieldsets(request, obj)
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if may:
            return fieldsets
        return [
            (name, {**options, "fields": [field for field in options["fields"] if field not in _WHY]})
            for name, options in fieldsets
        ]

    def save_model(self, request: HttpRequest, obj: _M, form: Any, change: bool) -> None:  # noqa: FBT001  # Django's
        """Begins to see what saving would make of the row."""
        if self.proposing is not None:
            stored = self.model._default_manager.get(pk=obj.pk) if change else None
            before = self.proposing.snapshot(stored) if stored is not None else {}
            _keep(request, _Asking(transaction.savepoint(), before))
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Saves the parts, takes everything back and asks for it."""
        super().save_related(request, form, formsets, change)
        asking = _kept(request)
        if asking is None or self.proposing is None:
            return
        after = self.proposing.snapshot(self.model._default_manager.get(pk=form.instance.pk))
        transaction.savepoint_rollback(asking.savepoint)
        self._ask(request, asking, after, label=str(form.instance), given=form.cleaned_data)

    def _ask(
        self, request: HttpRequest, asking: _Asking, after: Snapshot, *, label: str, given: Mapping[str, Any]
    ) -> None:
        form = self.proposing
        if form is None or asking.before == after:
            asking.refused = _("Nothing would change.")
            return
        payload = {"before": asking.before, "after": after}
        before_words = form.describe(asking.before) if asking.before else {}
        try:
            rehearse(form.kind, payload, request.user)
            asking.asked = proposals.ask_or_do(
                request, kind=form.kind, subject=label, payload=payload, reason=given["reason"],
                ticket=given["ticket"], summary=proposals.changes(before_words, form.describe(after)),
            )  # fmt: skip
        except proposals.ProposalRefused as refusal:
            asking.refused = str(refusal)

    def _log(self, request: HttpRequest, action: str, row: _M, message: Any) -> None:
        if _kept(request) is None:
            super()._log(request, action, row, message)

    def response_add(self, request: HttpRequest, obj: _M, post_url_continue: str | None = None) -> HttpResponse:
        """To the proposal, where there is one."""
        return self._where_now(request) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: _M) -> HttpResponse:
        """To the proposal, where there is one."""
        return self._where_now(request) or super().response_change(request, obj)

    def _where_now(self, request: HttpRequest) -> HttpResponse | None:
        asking = _kept(request)
        if asking is None:
            return None
        asked = asking.asked
        if asked is None:
            self.message_user(request, asking.refused, messages.ERROR)
            return HttpResponseRedirect(request.path)
        opts = self.opts
        back = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        if asked.secret:
            return self.shown_once(request, asked, back=back)
        self.message_user(request, asked.words, messages.SUCCESS)
        if asked.proposal is not None and request.user.has_perm("channels_app.view_proposal"):
            back = reverse("admin:channels_app_proposal_change", args=(asked.proposal.pk,))
        return HttpResponseRedirect(back)


def rehearse(kind: str, payload: Mapping[str, Any], by: Any) -> None:
    """Do it and take it back: what could never be done is not worth a colleague's time. Raises ProposalRefused."""
    with transaction.atomic():
        proposals.KINDS[kind].perform(payload, by)
        transaction.set_rollback(True)


def _keep(request: HttpRequest, asking: _Asking) -> None:
    request._payments_asking = asking  # type: ignore[attr-defined]


def _kept(request: HttpRequest) -> _Asking | None:
    found: _Asking | None = getattr(request, "_payments_asking", None)
    return found
