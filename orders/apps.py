"""Django's registration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrdersConfig(AppConfig):
    """Games, products, orders, payments, cases."""

    name = "orders"
    verbose_name = _("Orders and payments")
    default_auto_field = "django.db.models.BigAutoField"
