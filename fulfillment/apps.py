"""Django's registration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FulfillmentConfig(AppConfig):
    """Players, goods ledger, deliveries, webhooks."""

    name = "fulfillment"
    verbose_name = _("Delivery")
    default_auto_field = "django.db.models.BigAutoField"
