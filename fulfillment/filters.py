"""Filters of the delivery list: indexed columns only."""

import django_filters

from fulfillment.models import DeliveryStatus


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]  # an untyped library
    """`GET players/{uid}/deliveries?state=`."""

    state = django_filters.ChoiceFilter(choices=DeliveryStatus.choices)
