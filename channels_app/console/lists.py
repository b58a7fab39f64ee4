"""Lists for tables of millions of rows: newest first by primary key, no full count, no sorting by column,
filters and searches only where an index answers.
"""

from collections.abc import Iterable
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

COUNTED_AT_MOST = 10_000
FOUND_AT_MOST = 1_000


class CappedPaginator(Paginator[Any]):
    """Counts as far as anybody acts on it, and not further: a full count of a large table takes seconds."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or COUNTED_AT_MOST when there are more."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # always a query set in the admin
        # In the order of the key, so that counting walks the index the list walks, and stops early.
        found = rows.order_by("-pk")[: COUNTED_AT_MOST + 1].count()
        self.capped = found > COUNTED_AT_MOST
        return min(found, COUNTED_AT_MOST)

    capped = False


def found_keys(places: Iterable[QuerySet[Any]]) -> list[Any]:
    """The primary keys of all rows found in these places, newest first in each, each place bounded."""
    keys: dict[Any, None] = {}
    for place in places:
        keys.update(dict.fromkeys(keys_of(place)))
    return sorted(keys, reverse=True)[:FOUND_AT_MOST]


def keys_of(place: QuerySet[Any]) -> QuerySet[Any]:
    """The query that one place of a search is asked with."""
    return place.order_by("-pk").values_list("pk", flat=True)[:FOUND_AT_MOST]
