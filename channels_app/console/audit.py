"""The audit trail as the console writes and reads it: who did what to which row, from where, and why.

Changes of settings write themselves down by triggers (channels_app.trail); this is for what leaves no other row
(reading what is private, exporting, logging in, being refused), and for acts in the words of the person who asked.
"""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from channels_app import trail
from channels_app.models import AuditEntry

REFUSED = "refused"
ACTED = "acted"
REVEALED = "revealed"

ACTION_WORDS = {
    "added": gettext_lazy("added"),
    "changed": gettext_lazy("changed"),
    "removed": gettext_lazy("removed"),
    REFUSED: gettext_lazy("was refused"),
    ACTED: gettext_lazy("did"),
    REVEALED: gettext_lazy("looked at what is hidden"),
    "asked": gettext_lazy("asked a second person"),
    "approved": gettext_lazy("approved and did"),
    "rejected": gettext_lazy("rejected"),
    "failed": gettext_lazy("approved, could not be done"),
    "export": gettext_lazy("exported"),
    "export_revenue": gettext_lazy("exported"),
    "download": gettext_lazy("downloaded"),
}
THING_WORDS = {
    "price": gettext_lazy("price"),
    "contents": gettext_lazy("contents"),
    "method": gettext_lazy("payment method"),
    "game": gettext_lazy("game"),
    "role": gettext_lazy("role"),
    "permission": gettext_lazy("permission"),
    "delivery policy": gettext_lazy("delivery policy"),
    "authenticator app": gettext_lazy("authenticator app"),
    "recovery code": gettext_lazy("recovery code"),
}


class ReasonForm(forms.Form):
    """Why: typed by hand, kept for ever."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        min_length=4,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("A sentence for whoever asks in a year. It is written down with your name."),
    )


class RequestForm(ReasonForm):
    """Why, and where it is discussed: for what a second person has to approve."""

    ticket = forms.CharField(label=gettext_lazy("Ticket"), max_length=80, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Where nobody has to approve, nobody has to be told why."""
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = settings.FOUR_EYES


def write_down(
    request: HttpRequest,
    action: str,
    *,
    row: Model | None = None,
    label: str = "",
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry about `row`, in the transaction under way. Never pass a secret in `detail`."""
    return AuditEntry.objects.create(
        actor=request.user.get_username() or "anonymous",
        address=(trail.address() or request.META.get("REMOTE_ADDR", ""))[:45],
        action=action[:40],
        subject=row._meta.label_lower if row is not None else "",
        subject_id=str(row.pk)[:64] if row is not None else "",
        label=(label or (str(row) if row is not None else ""))[:200],
        reason=reason[:500],
        detail=dict(detail or {}),
    )


def entries_about(row: Model) -> QuerySet[AuditEntry]:
    """What the trail says about a row and its parts, oldest first (index audit_subject)."""
    return AuditEntry.objects.filter(subject=row._meta.label_lower, subject_id=str(row.pk)).order_by("pk")


def action_in_words(entry: AuditEntry) -> str:
    """What was done: "changed price"; an action without words of its own as it was written."""
    verb, _space, thing = entry.action.partition(" ")
    known = ACTION_WORDS.get(entry.action) or ACTION_WORDS.get(verb)
    if known is None:
        return entry.action.replace("_", " ")
    return f"{known} · {THING_WORDS.get(thing, thing)}" if thing else str(known)


def changes_in_words(entry: AuditEntry) -> str:
    """What changed, column by column: "name: Gems → 60 gems"; of what was done otherwise the report."""
    return "; ".join(
        _change(name, value)
        for name, value in sorted(entry.detail.items())
        if value not in ("", None) and name not in _SELF_EVIDENT
    )


# What a row of a list need not repeat; the entry's own page has it.
_SELF_EVIDENT = {"act", "id", "created_at", "date_joined", "sha256"}


def _change(name: str, value: Any) -> str:
    if name == "report":
        return str(value)
    match value:
        case [None, after]:
            return f"{name}: {after}"
        case [before, after]:
            return f"{name}: {before} → {'—' if after is None else after}"
        case _:
            return f"{name}: {value}"
