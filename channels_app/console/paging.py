"""Pages of a list by key: the newest rows, the older ones, the newer ones. No numbers, no total, no offset.

A page is "the rows below this key", so rows that arrive meanwhile never move what a person reads, and page one
thousand costs what the first one does.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet, prefetch_related_objects
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.http import urlencode

from channels_app.console.filters import Chip, PeriodFilter, parameters_of

OLDER, NEWER, SIZE = "older", "newer", "size"
SIZES = (18, 50, 100)
# Parameters of a list's address that choose no rows: those of paging, and those of acts on many rows.
ACT, OF, ROW = "act", "of", "row"
NO_FILTERS = (OLDER, NEWER, SIZE, ACT, OF, ROW)


class KeysetChangeList(ChangeList):
    """A list that is always ordered by its primary key, newest first; `?o=` and `?p=` change nothing."""

    result_list: Sequence[Any]
    model_admin: Any  # always a ConsoleAdmin

    def get_filters_params(self, params: Any = None) -> Any:
        """Without what belongs to paging."""
        known = super().get_filters_params(params)
        return {name: value for name, value in known.items() if name not in NO_FILTERS}

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        """Newest first."""
        return ["-pk"]

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """An address of this list. Another filter begins at the newest page; names are exact."""
        changed = new_params or {}
        dropped = {OLDER, NEWER, PAGE_VAR, ACT, OF, ROW, *(remove or ())}
        kept = {name: value for name, value in self.filter_params.items() if name not in dropped}
        kept.update(changed)
        return "?" + urlencode(sorted((name, value) for name, value in kept.items() if value is not None), doseq=True)

    def get_results(self, request: HttpRequest) -> None:
        """One page. How many there are in all is counted only when somebody asks (`paginator.count`)."""
        size = self.page_size
        older, newer = self._key(OLDER), self._key(NEWER)
        if newer is not None:
            rows = list(self.queryset.filter(pk__gt=newer).order_by("pk")[: size + 1])[::-1]
            # Fewer than a page: we are at the top, and the top is a full page.
            if len(rows) <= size:
                rows, newer, older = [], None, None
            else:
                self.has_newer, self.has_older = True, True
                rows = rows[-size:]
        if newer is None:
            below = self.queryset.filter(pk__lt=older) if older is not None else self.queryset
            rows = list(below[: size + 1])
            self.has_newer, self.has_older = older is not None, len(rows) > size
            rows = rows[:size]
        self._set(request, rows)

    def _set(self, request: HttpRequest, rows: list[Any]) -> None:
        prefetch_related_objects(rows, *self.model_admin.list_prefetch)
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count, self.show_admin_actions = False, False
        self.can_show_all, self.multi_page = False, False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.page_size)

    def _key(self, name: str) -> Any:
        """A key from the address bar; None when it is none."""
        text = self.params.get(name)
        if not text:
            return None
        try:
            return self.model._meta.pk.to_python(str(text)[:64])
        except (ValidationError, ValueError):
            return None

    @cached_property
    def page_size(self) -> int:
        """One of the sizes on offer, as it was asked for."""
        asked = str(self.params.get(SIZE, ""))
        return next((size for size in SIZES if str(size) == asked), self.list_per_page)

    # --- what the template asks for -------------------------------------------------------------------------
    @property
    def newer_address(self) -> str:
        """The page of the rows right above this one; empty at the top."""
        if not self.has_newer:
            return ""
        return self.get_query_string({NEWER: self.result_list[0].pk} if self.result_list else {})

    @property
    def older_address(self) -> str:
        """The page of the rows right below this one; empty at the end."""
        return self.get_query_string({OLDER: self.result_list[-1].pk}) if self.has_older else ""

    @property
    def size_chips(self) -> list[Chip]:
        """The page sizes."""
        return [Chip(size, self.get_query_string({SIZE: size}), size == self.page_size) for size in SIZES]

    def _shaped(self, shape: str) -> list[Any]:
        return [spec for spec in self.filter_specs if getattr(spec, "shape", "select") == shape]

    @property
    def period_filter(self) -> PeriodFilter | None:
        """The period, where the list has one."""
        return next(iter(self._shaped("period")), None)

    @cached_property
    def period_chips(self) -> list[Chip]:
        """Its choices."""
        return self.period_filter.chips(self) if self.period_filter else []

    @cached_property
    def view_chips(self) -> list[Chip]:
        """The saved views, with their counts."""
        return [chip for spec in self._shaped("views") for chip in spec.chips(self)]

    @property
    def selects(self) -> list[Any]:
        """The rarer filters."""
        return [*self._shaped("select"), *self._shaped("text")]

    def kept_in_form(self, *without: str) -> list[tuple[str, str]]:
        """What a form of this list carries on, beside its own fields."""
        dropped = {OLDER, NEWER, *without}
        return [(name, str(value)) for name, value in self.params.items() if name not in dropped]

    @property
    def kept_by_search(self) -> list[tuple[str, str]]:
        """A search looks at everything: only the page size stays."""
        return [(name, value) for name, value in self.kept_in_form(SEARCH_VAR) if name == SIZE]

    @property
    def kept_by_selects(self) -> list[tuple[str, str]]:
        """The period, the view and the search stay when a select changes."""
        return self.kept_in_form(*(spec.parameter_name for spec in self.selects if spec.parameter_name))

    @property
    def kept_by_period(self) -> list[tuple[str, str]]:
        """Everything else stays when one's own days are chosen."""
        return self.kept_in_form("period", "from", "to")

    @property
    def asked_for(self) -> dict[str, str]:
        """The filters and the search, as the address says them: enough to make this list again."""
        names = parameters_of(self.list_filter) | {SEARCH_VAR}
        return {name: str(value) for name, value in self.params.items() if name in names and value}

    def counted_queryset(self) -> QuerySet[Any]:
        """What a saved view is counted among: the rows this person may see, of the books that are chosen."""
        rows: Any = self.root_queryset.order_by()
        for spec in self.filter_specs:
            if getattr(spec, "bounds_counts", False):
                rows = spec.queryset(self.request, rows)
        counted: QuerySet[Any] = rows
        return counted

    request: HttpRequest

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """The rows; none for those who may only search and did not. Remembers who asks: chips are counted later."""
        self.request = request
        rows = super().get_queryset(request, exclude_parameters)
        return rows if self.query.strip() or self.model_admin.may_leaf(request) else rows.none()
