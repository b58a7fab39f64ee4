"""Filters of the order list: indexed columns only."""

from collections.abc import Collection
from typing import TypeVar

import django_filters
from django.db.models import Model, QuerySet
from rest_framework.request import Request

from orders.models import DeliveryState, Order, OrderState
from orders.problems import invalid


class OrderFilter(django_filters.FilterSet):  # type: ignore[misc]  # an untyped library
    """`GET orders?…`: exact values and a time range."""

    client_ref = django_filters.CharFilter(max_length=64)
    uid = django_filters.CharFilter(max_length=64)
    state = django_filters.ChoiceFilter(choices=OrderState.choices)
    delivery_state = django_filters.ChoiceFilter(choices=DeliveryState.choices)
    channel_id = django_filters.CharFilter(field_name="channel_code", max_length=32)
    product_id = django_filters.CharFilter(field_name="product_code", max_length=64)
    created_from = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_to = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Order
        fields: list[str] = []


_M = TypeVar("_M", bound=Model)
_PAGING = ("cursor", "limit")


class NoFilter(django_filters.FilterSet):  # type: ignore[misc]  # an untyped library
    """A list that is only paged."""


def filtered(
    request: Request, rows: "QuerySet[_M]", filters: type[django_filters.FilterSet] = NoFilter
) -> "QuerySet[_M]":
    """Apply a filter set. Raises Problem(400) naming unknown or faulty parameters."""
    refuse_unknown(request, {*filters.base_filters, *_PAGING})
    chosen = filters(request.query_params, rows)
    if not chosen.is_valid():
        raise invalid(
            [{"field": name, "code": "invalid", "detail": str(texts[0])} for name, texts in chosen.errors.items()]
        )
    result: QuerySet[_M] = chosen.qs
    return result


def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raises Problem(400) naming every query parameter that does not exist: a misspelt filter shows too much."""
    unknown = [name[:64] for name in request.query_params if name not in known]
    if unknown:
        raise invalid([{"field": name, "code": "unknown", "detail": "there is no such parameter"} for name in unknown])
