"""Rows of a list with their tint, as the console's own list template shows them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django import template
from django.contrib.admin.templatetags.admin_list import items_for_result, result_headers
from django.contrib.admin.views.main import ChangeList

register = template.Library()


class Row(NamedTuple):
    """One row: its key for the check box, its tint, its cells as finished HTML."""

    key: Any
    tone: str
    cells: list[str]


@register.simple_tag
def console_headings(changelist: ChangeList) -> list[dict[str, Any]]:
    """The headings, each with the class of its column."""
    return list(result_headers(changelist))


@register.simple_tag
def console_rows(changelist: Any) -> Iterator[Row]:
    """The rows of the page."""
    return (
        Row(row.pk, changelist.model_admin.row_tone(row), list(items_for_result(changelist, row, None)))
        for row in changelist.result_list
    )
