"""Lists for tables of millions of rows: newest first by primary key, no full count, no sorting by column,
filters and searches only where an index answers.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNTED_AT_MOST = 10_000
FOUND_AT_MOST = 1_000


class CappedPaginator(Paginator[Any]):
    """Counts as far as anybody pages, and not further: a full count of a large table takes seconds."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or COUNTED_AT_MOST when there are more."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # always a query set in the admin
        found = rows.order_by()[: COUNTED_AT_MOST + 1].count()
        self.capped = found > COUNTED_AT_MOST
        return min(found, COUNTED_AT_MOST)

    capped = False


class BoundedChangeList(ChangeList):
    """A list that is always ordered the way its index is; `?o=` from the address bar changes nothing."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        """The model admin's own ordering, which ends in the primary key."""
        return list(self.model_admin.get_ordering(request))

    def get_results(self, request: HttpRequest) -> None:
        """Nothing is left out without a search and a filter, so no link offers to show all."""
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class ExactFilter(admin.SimpleListFilter):
    """A filter whose choices are written out by hand: only what an index can answer."""

    def chosen(self) -> str | None:
        """The chosen value if it is one of the choices: the address bar is a stranger."""
        value = self.value()
        return value if value in {str(known) for known, _label in self.lookup_choices} else None


class ColumnFilter(ExactFilter):
    """Rows whose column has the chosen value. `offered` are the values that an index answers."""

    column: str
    offered: Sequence[Any] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The values on offer, in words."""
        return [(value.value, value.label) for value in self.offered]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows with the chosen value."""
        chosen = self.chosen()
        return queryset.filter(**{self.column: chosen}) if chosen else queryset


def found_keys(places: Iterable[QuerySet[Any]]) -> list[Any]:
    """The primary keys of all rows found in these places, newest first in each, each place bounded."""
    keys: dict[Any, None] = {}
    for place in places:
        keys.update(dict.fromkeys(keys_of(place)))
    return sorted(keys, reverse=True)[:FOUND_AT_MOST]


def keys_of(place: QuerySet[Any]) -> QuerySet[Any]:
    """The query that one place of a search is asked with."""
    return place.order_by("-pk").values_list("pk", flat=True)[:FOUND_AT_MOST]
