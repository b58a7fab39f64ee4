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
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import IS_POPUP_VAR, InlineModelAdmin
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from channels_app.console.lists import FOUND_AT_MOST, BoundedChangeList, CappedPaginator, found_keys

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
    """What people did to a row here, and the reasons they typed: the console's own log."""
    entries = (
        LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(row), object_id=str(row.pk))
        .select_related("user")
        .order_by("action_time", "pk")
    )
    return table(
        _("What people did here"),
        entries,
        [
            (_("When"), lambda entry: entry.action_time),
            (_("Who"), lambda entry: entry.user),
            (_("What"), lambda entry: entry.get_change_message()),
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
    form: type[forms.Form] | None = None
    confirmed: bool = True  # False: the button acts at once, because it only looks
    # False only for acts that talk to the outside and commit by themselves. All others change the row and
    # write down who did it in one transaction.
    atomic: bool = True
    # True for what moves money, keys or rights: the second factor must be fresh (see `factor_is_fresh`).
    step_up: bool = False


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
    list_per_page = 50
    list_max_show_all = 0
    sortable_by = ()
    actions = None
    change_form_template = "admin/console/page.html"
    # Small tables under the fields, in this order.
    panels: ClassVar[Panels] = ()
    acts: ClassVar[Sequence[Act]] = ()
    # Why there is no "add" here, or what a person should know first. Shown above the list.
    list_note: str | Promise = ""

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
        return BoundedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters on offer: others would scan the table."""
        offered = {
            item.parameter_name if isinstance(item, type) and issubclass(item, admin.SimpleListFilter) else item
            for item in self.list_filter
        }
        return lookup in offered

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with its note."""
        context = {"title": capfirst(self.opts.verbose_name_plural), "list_note": self.list_note}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    # --- permissions -------------------------------------------------------------------------------------
    def has_delete_permission(self, request: HttpRequest, obj: _M | None = None) -> bool:
        """Nothing here is ever deleted by hand; what is over gets switched off."""
        return False

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
            context["buttons"] = [self._button(act, row) for act in self.acts if self.may(request, act)]
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def headline(self, row: _M) -> object:
        """One computed sentence above everything else; empty for most."""
        return ""

    @staticmethod
    def may(request: HttpRequest, act: Act) -> bool:
        """Whether this person may ask for an act at all."""
        return bool(request.user.has_perm(act.permission))

    def _button(self, act: Act, row: _M) -> Button:
        return Button(act, self._address("act", row, act.name), act.hindrance(row), act.effect(row))

    def _address(self, view: str, row: _M, *more: str) -> str:
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}",
            args=(quote(row.pk), *more),
            current_app=self.admin_site.name,
        )

    def act_view(self, request: HttpRequest, object_id: str, act_name: str) -> HttpResponse:
        """GET: what would happen, to be confirmed. POST: do it and report."""
        act = next((act for act in self.acts if act.name == act_name), None)
        row = self.get_object(request, unquote(object_id))
        if act is None or row is None:
            raise Http404
        if not self.has_view_permission(request, row) or not self.may(request, act):
            raise PermissionDenied
        if request.method not in ({"GET", "POST"} if act.confirmed else {"POST"}):
            return HttpResponseNotAllowed(["POST"])
        hindrance = act.hindrance(row)
        if hindrance:
            self.message_user(request, str(hindrance), messages.WARNING)
            return HttpResponseRedirect(self._address("change", row))
        form = (act.form or forms.Form)(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._perform(request, act, row, form.cleaned_data)
        return self._confirm(request, act, row, form)

    def _perform(self, request: HttpRequest, act: Act, row: _M, given: dict[str, Any]) -> HttpResponse:
        try:
            with transaction.atomic() if act.atomic else nullcontext():
                report = act.perform(request, row, given)
                if isinstance(report, HttpResponse):
                    return report
                self.log_change(request, row, f"{act.label}: {report}")
        except ActRefused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(self._address("change", row))
        self.message_user(request, str(report), messages.SUCCESS)
        return HttpResponseRedirect(self._address("change", row))

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
