"""The pages of the console: they show a row whole, with its panels, and offer acts to ask for.

The console is Django's admin. Money and history can be looked at by those who may and changed by nobody, the
superuser included; what a person may do stands on the page of the thing itself as an `Act`, with a permission
of its own, a sentence that says what will happen, and a reason when it cannot.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR, InlineModelAdmin
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import trail
from channels_app.console import audit, reach, two_people
from channels_app.console.filters import parameters_of
from channels_app.console.lists import FOUND_AT_MOST, CappedPaginator, found_keys
from channels_app.console.paging import KeysetChangeList
from channels_app.console.stepping_up import ask_for_factor, factor_is_fresh
from channels_app.proposals import Asked, ProposalRefused

_M = TypeVar("_M", bound=Model)
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Panel:
    """A small table on a page. `empty` says what would stand here and why it does not."""

    title: object
    columns: Sequence[object]
    rows: Sequence[Sequence[object]]
    empty: object
    note: object = ""


def table(
    title: object,
    rows: Iterable[_Row],
    columns: Sequence[tuple[object, Callable[[_Row], object]]],
    *,
    empty: object,
    note: object = "",
) -> Panel:
    """A panel of rows: every column is its heading and what it makes of a row."""
    cells = [[cell(row) for _heading, cell in columns] for row in rows]
    return Panel(title, [heading for heading, _cell in columns], cells, empty, note)


def history(request: HttpRequest, row: Model) -> Panel:
    """What people did to a row here, and the reasons they typed: the audit trail of this row."""
    return table(
        _("What people did here"),
        audit.entries_about(row),
        [
            (_("When"), lambda entry: entry.at),
            (_("Who"), lambda entry: entry.actor),
            (_("What"), audit.action_in_words),
            (_("In detail"), audit.changes_in_words),
            (_("Why"), lambda entry: entry.reason),
        ],
        empty=_("Nobody has done anything here."),
    )


# Small tables under the fields of a page, and forms inside it; a floor above may add its own.
Panels = Sequence[Callable[[HttpRequest, Any], Panel]]
Inlines = tuple[type[InlineModelAdmin[Any, Any]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something a person may ask for on the page of a row.

    `hindrance` says why it cannot be done now ("" when it can); it is asked again when the act is done, and
    the service behind `perform` decides in the end. `perform` returns a sentence that reports what happened.
    """

    name: str
    label: str | Promise
    permission: str
    effect: Callable[[Any], Sequence[object]]
    hindrance: Callable[[Any], object]
    perform: Callable[[HttpRequest, Any, dict[str, Any]], object]
    # The class of its form, or what makes one for a row.
    form: type[forms.Form] | Callable[[Any], type[forms.Form]] | None = None
    confirmed: bool = True  # False: the button acts at once, because it only looks
    # False only for acts that talk to the outside and commit by themselves. All others change the row and
    # write down who did it in one transaction.
    atomic: bool = True
    # True for what moves money, keys or rights: the second factor must be fresh (see `factor_is_fresh`).
    step_up: bool = False

    # True for what one person asks for and another does (channels_app.console.two_people). `shown`: lines of what,
    # before, after for the second person; `version`: what of the row must not move in between, as JSON.
    two_people: bool = False
    shown: Callable[[Any, dict[str, Any]], Sequence[tuple[object, object, object]]] = lambda row, given: ()
    version: Callable[[Any], object] = lambda row: None

    def form_for(self, row: Any) -> type[forms.Form] | None:
        """The act's own form."""
        return self.form if self.form is None or isinstance(self.form, type) else self.form(row)

    def form_of(self, row: Any) -> type[forms.Form]:
        """The form that asks for what the act needs to know, and why where a second person has to."""
        own = self.form_for(row) or forms.Form
        return type(own.__name__, (audit.RequestForm, own), {}) if self.two_people else own


class ActRefused(Exception):
    """An act that turned out to be impossible; its sentence is shown."""


@dataclass(frozen=True, slots=True)
class Button:
    """An act as a page shows it."""

    act: Act
    address: str
    hindrance: object
    effect: Sequence[object] = field(default_factory=tuple)


class ConsoleAdmin(admin.ModelAdmin[_M]):
    """Bounded lists, exact search, panels and acts. What may be changed is up to the subclass."""

    ordering = ("-pk",)
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a count per choice reads the whole table
    list_per_page = 18  # of 29 pixels each: a screen
    list_max_show_all = 0
    sortable_by = ()
    actions = None
    change_form_template = "admin/console/page.html"
    # Small tables under the fields, in this order.
    panels: ClassVar[Panels] = ()
    acts: ClassVar[Sequence[Act]] = ()
    # Why there is no "add" here, or what a person should know first. Shown above the list.
    list_note: str | Promise = ""
    # What a list says when it holds nothing: what would stand there, and why it does not.
    list_empty: str | Promise = gettext_lazy("Nothing here fits. Take away a filter, or choose a longer period.")
    # What it takes to leaf through the list; whoever lacks it may search for exact numbers only.
    list_permission = ""
    # What the rows of a page need beside themselves, read for all of them at once.
    list_prefetch: ClassVar[Sequence[Any]] = ()
    # From a row to its game, for staff who work for some games only. "": rows for everybody. None: rows of no game,
    # which such staff do not see.
    game_path: ClassVar[str | None] = None
    # Whether saving the form takes a fresh second factor, as acts with `step_up` do.
    step_up_changes = False

    def __init__(self, model: type[_M], admin_site: admin.AdminSite) -> None:
        """Acts that take two people become kinds of proposals."""
        super().__init__(model, admin_site)
        two_people.register_acts(self)

    # --- finding -----------------------------------------------------------------------------------------
    def find(self, term: str) -> Sequence[QuerySet[_M]]:
        """Where a search looks: one query per index. Their rows together are what is found."""
        return ()

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Non-empty shows the box; `get_search_results` decides what it does."""
        return ("pk",) if type(self).find is not ConsoleAdmin.find else ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[_M], search_term: str
    ) -> tuple[QuerySet[_M], bool]:
        """Exactly what was typed, through indexes: the union of keys first, then those rows.

        A condition `a = x OR b IN (…)` over several tables would read all of them.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        keys = found_keys(self.find(term))
        if len(keys) >= FOUND_AT_MOST:
            self.message_user(
                request,
                _("Many rows match; these are the newest %(count)s.") % {"count": FOUND_AT_MOST},
                messages.WARNING,
            )
        return queryset.filter(pk__in=keys), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Lists keep their ordering."""
        return KeysetChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters on offer: others would scan the table."""
        return lookup in parameters_of(self.list_filter)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with its note."""
        context = {
            "title": capfirst(self.opts.verbose_name_plural),
            "list_note": self.list_note,
            "list_empty": self.list_empty,
            "may_leaf": self.may_leaf(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def may_leaf(self, request: HttpRequest) -> bool:
        """Whether this person may see the list without knowing a number of what they look for."""
        return not self.list_permission or bool(request.user.has_perm(self.list_permission))

    def row_tone(self, row: _M) -> str:
        """How a row of the list is tinted: "decide", "working", "quiet" or not at all. Only what needs a look."""
        return ""

    # --- whose rows --------------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[_M]:
        """The rows of this person's games: lists, searches, pages and acts all begin here."""
        return reach.within(super().get_queryset(request), request.user, self.game_path)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> QuerySet[Any] | None:
        """What a form offers to choose from: rows of this person's games."""
        found = super().get_field_queryset(db, db_field, request)
        other = self.admin_site._registry.get(db_field.remote_field.model)
        if not isinstance(other, ConsoleAdmin):
            return found
        rows = db_field.remote_field.model._default_manager.all() if found is None else found
        return reach.within(rows, request.user, other.game_path)

    # --- permissions -------------------------------------------------------------------------------------
    def has_delete_permission(self, request: HttpRequest, obj: _M | None = None) -> bool:
        """Nothing here is ever deleted by hand; what is over gets switched off."""
        return False

    # --- the log: one for the whole console, append-only ---------------------------------------------------
    def log_addition(self, request: HttpRequest, obj: _M, message: Any) -> Any:
        """Into the audit trail, unless the database has written it down itself."""
        self._log(request, "added", obj, message)

    def log_change(self, request: HttpRequest, obj: _M, message: Any) -> Any:
        """Into the audit trail, unless the database has written it down itself. A sentence always is."""
        self._log(request, "changed", obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[_M]) -> Any:
        """Into the audit trail, unless the database writes it down itself."""
        for row in queryset:
            self._log(request, "removed", row, "")

    def _log(self, request: HttpRequest, action: str, row: _M, message: Any) -> None:
        is_sentence = isinstance(message, str) and message
        if is_sentence or not trail.is_trailed(self.model):
            audit.write_down(request, action, row=row, detail={"report": message} if is_sentence else {})

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The audit trail of one row, on a page of its own."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": f"{capfirst(self.opts.verbose_name)} {row}",
            "panels": [history(request, row)],
            "back": self._address("change", row),
        }
        return TemplateResponse(request, "admin/console/history.html", {**context, **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form; saving some takes a fresh second factor."""
        may = self.has_change_permission(request) or self.has_add_permission(request)
        if request.method == "POST" and self.step_up_changes and may and not factor_is_fresh(request):
            return ask_for_factor(request, self.admin_site)
        return super().changeform_view(request, object_id, form_url, extra_context)

    # --- the page of one row ------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        """Adds the address of acts."""
        wrapped = self.admin_site.admin_view(self.act_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        return [path("<path:object_id>/act/<slug:act_name>/", wrapped, name=name), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of a row, with its panels and the acts this person may ask for."""
        context: dict[str, Any] = {}
        row = self.get_object(request, unquote(object_id)) if IS_POPUP_VAR not in request.GET else None
        if row is not None and self.has_view_permission(request, row):
            context["title"] = f"{capfirst(self.opts.verbose_name)} {row}"
            context["subtitle"] = ""
            context["headline"] = self.headline(row)
            context["panels"] = [panel(request, row) for panel in self.panels]
            context["buttons"] = self.buttons(request, row)
            context.update(self.more_context(request, row))
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def headline(self, row: _M) -> object:
        """One computed sentence above everything else; empty for most."""
        return ""

    def buttons(self, request: HttpRequest, row: _M) -> list[Button]:
        """The acts above the page; a page with a layout of its own for them shows none here."""
        return [self._button(request, act, row) for act in self.acts if self.may(request, act)]

    def more_context(self, request: HttpRequest, row: _M) -> dict[str, Any]:
        """What the template of this page needs beside the usual."""
        return {}

    @staticmethod
    def may(request: HttpRequest, act: Act) -> bool:
        """Whether this person may ask for an act at all."""
        return bool(request.user.has_perm(act.permission))

    def hindrance(self, request: HttpRequest, act: Act, row: _M) -> object:
        """Why this person cannot do it now; a subclass may know more than the act itself."""
        return act.hindrance(row)

    def _button(self, request: HttpRequest, act: Act, row: _M) -> Button:
        return Button(act, self._address("act", row, act.name), self.hindrance(request, act, row), act.effect(row))

    def _address(self, view: str, row: _M, *more: str) -> str:
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}",
            args=(quote(row.pk), *more),
            current_app=self.admin_site.name,
        )

    def act_view(self, request: HttpRequest, object_id: str, act_name: str) -> HttpResponse:
        """GET: what would happen, to be confirmed. POST: do it and report."""
        act = next((act for act in self.acts if act.name == act_name), None)
        if act is None:
            raise Http404
        if not self.may(request, act):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if request.method not in ({"GET", "POST"} if act.confirmed else {"POST"}):
            return HttpResponseNotAllowed(["POST"])
        hindrance = self.hindrance(request, act, row)
        if hindrance:
            self.message_user(request, str(hindrance), messages.WARNING)
            return HttpResponseRedirect(self._address("change", row))
        if act.step_up and not factor_is_fresh(request):
            return ask_for_factor(request, self.admin_site)
        form = act.form_of(row)(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._perform(request, act, row, form.cleaned_data)
        return self._confirm(request, act, row, form)

    def _perform(self, request: HttpRequest, act: Act, row: _M, given: dict[str, Any]) -> HttpResponse:
        try:
            with transaction.atomic() if act.atomic else nullcontext():
                reason = str(given.get("reason", ""))
                if act.atomic:
                    trail.because(reason)
                report: object = (
                    two_people.ask(self, request, act, row, given)
                    if act.two_people
                    else act.perform(request, row, given)
                )
                if isinstance(report, Asked):
                    back = self._address("change", row)
                    report = self.shown_once(request, report, back=back) if report.secret else report.words
                if isinstance(report, HttpResponse):
                    return report
                detail = {"act": act.name, "report": f"{act.label}: {report}"}
                audit.write_down(request, audit.ACTED, row=row, reason=reason, detail=detail)
        except (ActRefused, ProposalRefused) as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(self._address("change", row))
        self.message_user(request, str(report), messages.SUCCESS)
        return HttpResponseRedirect(self._address("change", row))

    def shown_once(self, request: HttpRequest, asked: Asked, *, back: str) -> HttpResponse:
        """A page with something new that is secret: now, and never again."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": asked.words,
            "secret": asked.secret,
            "back": back,
        }
        return TemplateResponse(
            request, "admin/console/shown_once.html", context, headers={"Cache-Control": "no-store"}
        )

    def _confirm(self, request: HttpRequest, act: Act, row: _M, form: forms.Form) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/console/confirm.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": row,
                "title": f"{act.label} · {row}",
                "act": act,
                "effect": act.effect(row),
                "form": form,
                "back": self._address("change", row),
            },
        )


class ReadOnlyAdmin(ConsoleAdmin[_M]):
    """History and money: looked at, never added, changed or deleted here. A superuser is no exception."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows come from services."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: _M | None = None) -> bool:
        """Rows change through services."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: _M | None = None) -> bool:
        """The model's view permission, and that alone."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}"))
