"""Django's registration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrdersConfig(AppConfig):
    """Games, products, orders, payments, cases."""

    name = "orders"
    verbose_name = _("Orders and payments")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let the worker know how exports are made."""
        from orders.exporting import running  # noqa: F401  # puts its runner on offer
