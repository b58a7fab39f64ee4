"""The audit trail and its seals, to be read. Nobody changes them, and no page offers to."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.audit import action_in_words, changes_in_words
from channels_app.console.pages import Panel, ReadOnlyAdmin, table
from channels_app.console.words import column, number
from channels_app.models import AuditEntry, AuditSeal


def _changes(request: HttpRequest, entry: AuditEntry) -> Panel:
    def side(value: Any, index: int) -> object:
        if isinstance(value, list) and len(value) == 2:
            return "" if value[index] is None else str(value[index])
        return str(value) if index == 1 else ""

    return table(
        _("In detail"),
        sorted(entry.detail.items()),
        [
            (_("What"), lambda item: item[0]),
            (_("Before"), lambda item: side(item[1], 0)),
            (_("After"), lambda item: side(item[1], 1)),
        ],
        empty=_("Nothing more was written down."),
        note=_("Of keys and passwords only that they changed."),
    )


def _seal(request: HttpRequest, entry: AuditEntry) -> Panel:
    return table(
        _("Seal"),
        AuditSeal.objects.filter(first_id__lte=entry.pk, last_id__gte=entry.pk).order_by("pk"),
        [
            (_("Sealed"), lambda seal: seal.sealed_at),
            (_("Entries"), lambda seal: seal.entries),
            (_("Seal"), lambda seal: number(seal.digest)),
        ],
        empty=_("Not sealed yet: the worker seals what is finished every few minutes."),
        note=_("A seal covers its entries and the seal before it; `manage.py audit` checks the whole chain."),
    )


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """Who did what, newest first."""

    list_display = ("at", "actor", "did", "kind", "about", "changed", "reason", "address")
    list_display_links = ("at",)
    search_help_text = gettext_lazy("User name, or the key of a row, exactly.")
    list_note = gettext_lazy(
        "Every privileged change and every look at personal data. Append-only: the database refuses to change it."
    )
    list_empty = gettext_lazy("Nobody did anything that is written down.")
    fields = ("at", "actor", "address", "did", "kind", "about", "subject_id", "reason")
    panels = (_changes, _seal)
    did = column(gettext_lazy("what"), action_in_words)
    kind = column(gettext_lazy("kind of row"), lambda entry: kind_of(entry.subject))
    about = column(gettext_lazy("about"), lambda entry: entry.label)
    changed = column(gettext_lazy("in detail"), lambda entry: changes_in_words(entry)[:160])

    def find(self, term: str) -> list[QuerySet[AuditEntry]]:
        """By person, or by the key of a row of any kind (index audit_subject begins with the kind)."""
        kinds = [model._meta.label_lower for model in self.admin_site._registry]
        return [
            AuditEntry.objects.filter(actor=term),
            AuditEntry.objects.filter(subject__in=kinds, subject_id=term),
        ]


def kind_of(subject: str) -> str:
    """A kind of row in words."""
    for model in admin.site._registry:
        if model._meta.label_lower == subject:
            return str(model._meta.verbose_name)
    return subject


@admin.register(AuditSeal)
class AuditSealAdmin(ReadOnlyAdmin[AuditSeal]):
    """The chain: every seal covers the one before it."""

    list_display = ("sealed_at", "first_id", "last_id", "entries", "shown")
    fields = ("sealed_at", "first_id", "last_id", "entries", "before", "shown")
    list_note = gettext_lazy("The newest seal is logged too: whoever rewrites the trail would have to rewrite the log.")
    list_empty = gettext_lazy("Nothing is sealed yet: the worker does it every few minutes.")
    shown = column(gettext_lazy("seal"), lambda seal: number(seal.digest))
    before = column(gettext_lazy("seal before"), lambda seal: number(seal.previous))
