"""Django's registration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChannelsAppConfig(AppConfig):
    """Sales channels, merchant accounts, payment providers."""

    name = "channels_app"
    verbose_name = _("Channels and merchant accounts")
    default_auto_field = "django.db.models.BigAutoField"
