"""Django's registration of the project app: wiring, console, commands that concern the whole house."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaymentsSiteConfig(AppConfig):
    """The house itself."""

    name = "payments_site"
    verbose_name = _("Payments")

    def ready(self) -> None:
        """Hear of log-ins and log-outs, by whatever way they come."""
        from payments_site.people import sessions  # noqa: F401  # its receivers; needs the models loaded
