"""The console's site: every page on the business clock, which is named on every page."""

from functools import update_wrapper
from http.client import FOUND
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _

from channels_app.console.addresses import PAGES
from payments_site.console.attributing import attributed
from payments_site.console.home import home
from payments_site.console.navigation import navigation
from payments_site.console.revenue import page as _revenue  # noqa: F401  # puts its page on the site
from payments_site.console.scope import scope_of, zone_in_words
from payments_site.people.account import password_was_changed
from payments_site.people.login import log_in, log_out, may_enter
from payments_site.people.urls import urls as people_urls
from payments_site.postgres.planning import planned_anew


class ConsoleSite(AdminSite):
    """Django's admin site with business time and a first page that says what needs a person."""

    site_title = _("Payments console")
    site_header = _("Payments console")
    index_title = _("Today")
    site_url = None
    enable_nav_sidebar = True

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002  # Django's signature
        """Wrap a view so that its times are read on the clock of what the console looks at."""
        inner = super().admin_view(view, cacheable)

        def on_business_clock(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with planned_anew(), timezone.override(scope_of(request).zone), attributed(request):
                response = inner(request, *args, **kwargs)
                if isinstance(response, TemplateResponse):
                    response.render()
            return response

        return update_wrapper(on_business_clock, inner)

    def get_urls(self) -> list[Any]:
        """Adds the pages that belong to no table; before the admin's own, whose last address takes everything."""
        ours = [path(page.route, self.admin_view(page.view), name=page.name) for page in PAGES]
        return [*ours, *people_urls(self), *super().get_urls()]

    # --- the door (payments_site.people) -------------------------------------------------------------------
    def has_permission(self, request: HttpRequest) -> bool:
        """Staff whose second factor was proven, where one is required."""
        return may_enter(request)

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """User name and password; the factor comes after."""
        return log_in(request)

    def logout(  # type: ignore[override]  # back to the door, by a redirect
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Back to the door."""
        return log_out(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """A new password ends every other session of the person."""
        response = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == FOUND:
            password_was_changed(request)
        return response

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Adds what every page says: which game, which money, on which clock."""
        now = timezone.localtime()
        return {
            **super().each_context(request),
            "look_up_address": reverse("admin:look_up"),
            "console_scope": scope_of(request),
            "console_clock": {"at": now, "zone": zone_in_words(now)},
        }

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The navigation, grouped by work; the page of one app keeps the admin's own list."""
        apps = super().get_app_list(request, app_label)
        return navigation(request, self, apps) if app_label is None else apps

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The first page."""
        first = home(request, now=timezone.now())
        return super().index(request, {"home": first, "lead": first.lead, **(extra_context or {})})
