"""Filters of the order list: indexed columns only."""

import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request

from orders.models import DeliveryState, Order, OrderState
from orders.problems import invalid


class OrderFilter(django_filters.FilterSet):
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


_PAGING = ("cursor", "limit")


def filtered(request: Request, rows: "QuerySet[Order]", filters: type[django_filters.FilterSet]) -> "QuerySet[Order]":
    """Apply a filter set. Raises Problem(400) naming unknown or faulty parameters."""
    known = filters.base_filters
    errors = [
        {"field": name[:64], "code": "unknown", "detail": "there is no such parameter"}
        for name in request.query_params
        if name not in known and name not in _PAGING
    ]
    chosen = filters(request.query_params, rows)
    if not chosen.is_valid():
        errors += [
            {"field": name, "code": "invalid", "detail": str(texts[0])} for name, texts in chosen.errors.items()
        ]
    if errors:
        raise invalid(errors)
    result: QuerySet[Order] = chosen.qs
    return result
