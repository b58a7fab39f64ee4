"""Django's admin with our site in it (an entry of INSTALLED_APPS, in place of django.contrib.admin)."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """The admin, on business time and with our first page."""

    default_site = "payments_site.console.site.ConsoleSite"
