"""The console's site: every page on the business clock, which is named on every page."""

from functools import update_wrapper
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from channels_app.console.addresses import PAGES
from orders.models import Game
from payments_site.console.home import home


class ConsoleSite(AdminSite):
    """Django's admin site with business time and a first page that says what needs a person."""

    site_title = _("Payments console")
    site_header = _("Payments console")
    index_title = _("Today")
    site_url = None
    enable_nav_sidebar = True

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002  # Django's signature
        """Wrap a view so that its times are read on the business clock."""
        inner = super().admin_view(view, cacheable)

        def on_business_clock(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with timezone.override(business_zone()):
                response = inner(request, *args, **kwargs)
                if isinstance(response, TemplateResponse):
                    response.render()
            return response

        return update_wrapper(on_business_clock, inner)

    def get_urls(self) -> list[Any]:
        """Adds the pages that belong to no table; before the admin's own, whose last address takes everything."""
        ours = [path(page.route, self.admin_view(page.view), name=page.name) for page in PAGES]
        return [*ours, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Adds the clock: no figure without it."""
        now = timezone.localtime()
        return {
            **super().each_context(request),
            "look_up_address": reverse("admin:look_up") if any(page.name == "look_up" for page in PAGES) else "",
            "console_clock": {"at": now, "zone": f"{timezone.get_current_timezone_name()}, UTC{now:%z}"},
        }

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The first page."""
        return super().index(request, {"home": home(request, now=timezone.now()), **(extra_context or {})})


def business_zone() -> ZoneInfo:
    """The games' own time zone when they share one, else the server's: one page, one clock."""
    names = set(Game.objects.order_by().values_list("time_zone", flat=True).distinct()[:2])
    name = names.pop() if len(names) == 1 else settings.TIME_ZONE
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(settings.TIME_ZONE)
