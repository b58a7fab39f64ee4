"""Acts that take two people: what the first one filled in is frozen; when a second approves, the act itself is done.

The act is looked up again, its hindrance asked again and its form read again, against the row as it is then, on behalf
of whoever approves. `Act.version` says what of the row must not have moved in between.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _

from channels_app import proposals
from channels_app.proposals import Asked, Done, Kind, ProposalRefused

if TYPE_CHECKING:
    from channels_app.console.pages import Act, ConsoleAdmin

_OF_THE_PAGE = {"csrfmiddlewaretoken", "reason", "ticket"}


def register_acts(page: "ConsoleAdmin[Any]") -> None:
    """Make every act of a page that takes two people known as a kind of proposal."""
    for act in page.acts:
        if act.two_people:
            proposals.register(Kind(kind_name(page, act), act.label, act.permission, _doing(page, act)))


def kind_name(page: "ConsoleAdmin[Any]", act: "Act") -> str:
    """The kind of proposal that an act is."""
    return f"{page.opts.label_lower}.{act.name}"


def ask(page: "ConsoleAdmin[Any]", request: HttpRequest, act: "Act", row: Any, given: dict[str, Any]) -> Asked:
    """Freeze what was filled in, for a second person. Raises ProposalRefused."""
    fields = {name: values for name, values in request.POST.lists() if name not in _OF_THE_PAGE}
    summary = [(str(what), str(before), str(after)) for what, before, after in act.shown(row, given)]
    return proposals.ask_or_do(
        request,
        kind=kind_name(page, act),
        subject=str(row),
        payload={"row": str(row.pk), "fields": fields, "version": act.version(row)},
        summary=summary or [(str(act.label), "", " ".join(map(str, act.effect(row))))],
        reason=given.get("reason", ""),
        ticket=given.get("ticket", ""),
    )


def _doing(page: "ConsoleAdmin[Any]", act: "Act") -> Any:
    def perform(payload: Mapping[str, Any], by: AbstractBaseUser) -> Done:
        row = page.model._default_manager.select_for_update(of=("self",)).get(pk=payload["row"])
        request = _request_of(by)
        if act.version(row) != payload["version"]:
            raise ProposalRefused(_("It has been changed since this was asked for. Look at it and ask again."))
        if hindrance := page.hindrance(request, act, row):
            raise ProposalRefused(str(hindrance))
        report = act.perform(request, row, _read_again(act, row, payload["fields"]))
        return Done(report.words, secret=report.secret) if isinstance(report, Asked) else Done(str(report))

    return perform


def _read_again(act: "Act", row: Any, fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """What the form makes of what was filled in, today."""
    posted = QueryDict(mutable=True)
    for name, values in fields.items():
        posted.setlist(name, values)
    form = (act.form_for(row) or forms.Form)(posted)
    if not form.is_valid():
        said = " ".join(str(fault) for faults in form.errors.values() for fault in faults)
        raise ProposalRefused(_("What was filled in no longer holds: %(said)s") % {"said": said})
    return form.cleaned_data


def _request_of(by: AbstractBaseUser) -> HttpRequest:
    """A request in the name of who approves: acts ask it for their user, and for nothing else."""
    request = HttpRequest()
    request.user = by  # type: ignore[assignment]  # the project's user, as every request of the console has
    return request
