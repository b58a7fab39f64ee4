"""Cursor pages: `{next, previous, results}`, by primary key, never by offset; one more row tells whether to go on."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from orders.problems import Problem

_M = TypeVar("_M", bound=Model)
_CURSOR = re.compile(r"([na])([0-9]{1,18}|[0-9a-f-]{36})")
DEFAULT_SIZE = 50
LARGEST_SIZE = 200


def newest_first(request: Request, rows: QuerySet[_M], document: Callable[[_M], dict[str, Any]]) -> Response:
    """One page of rows by descending primary key. Query: `cursor` (from next/previous), `limit`."""
    size = page_size(request)
    direction, key = _read(request.query_params.get("cursor", ""), rows)
    backwards = direction == "a"
    if key is not None:
        rows = rows.filter(pk__gt=key) if backwards else rows.filter(pk__lt=key)
    found = list(rows.order_by("pk" if backwards else "-pk")[: size + 1])
    more = len(found) > size
    found = found[:size]
    if backwards:
        found.reverse()
    older = found and (more or backwards)
    newer = found and (more if backwards else key is not None)
    return Response(
        {
            "next": _link(request, "n", found[-1].pk) if older else None,
            "previous": _link(request, "a", found[0].pk) if newer else None,
            "results": [document(row) for row in found],
        }
    )


def page_size(request: Request) -> int:
    """The parameter `limit`. Raises Problem(400)."""
    text = request.query_params.get("limit", str(DEFAULT_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= LARGEST_SIZE):
        raise Problem(400, "invalid_limit", f"limit is a whole number from 1 to {LARGEST_SIZE}.")
    return int(text)


def _read(cursor: str, rows: QuerySet[_M]) -> tuple[str, Any]:
    if not cursor:
        return "n", None
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        match = _CURSOR.fullmatch(text)
        if match is not None:
            return match[1], rows.model._meta.pk.to_python(match[2])
    except (ValueError, ValidationError):
        pass
    raise Problem(400, "invalid_cursor", "Take the cursor from `next` or `previous` of a page.")


def _link(request: Request, direction: str, key: object) -> str:
    cursor = urlsafe_b64encode(f"{direction}{key}".encode()).rstrip(b"=").decode()
    query = request.query_params.copy()
    query["cursor"] = cursor
    return f"{settings.PUBLIC_BASE_URL}{request.path}?{query.urlencode()}"
