"""The navigation: pages grouped by the work they are for, not by the app that owns their table.

A page appears for who may see it, "Add" only for who may add. A number stands beside what waits for people. What no
group names stands at the end of the last one, so that nothing that somebody registers is lost.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from channels_app.console.addresses import PAGES
from channels_app.proposals import waiting_for
from payments_site.console.home.cases import waiting_for_people
from payments_site.console.scope import scope_of

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_KEPT_ON_REQUEST = "_console_navigation"
_CASES, _PROPOSALS = "orders.case", "channels_app.proposal"


@dataclass(frozen=True, slots=True)
class Group:
    """One kind of work. `pages` are model labels, or names of pages that belong to no table (`Own`)."""

    code: str
    name: "StrPromise"
    pages: tuple["str | Own", ...]


@dataclass(frozen=True, slots=True)
class Own:
    """A page that belongs to no table, for who has the permission."""

    address: str  # its URL name
    name: "StrPromise"
    permission: str


GROUPS = (
    Group("support", _("Orders and support"), (
        "orders.case", "orders.order", "fulfillment.player", "orders.payment", "orders.paymentattempt",
    )),
    Group("delivery", pgettext_lazy("kind of work", "Delivery"), (
        "fulfillment.delivery", "fulfillment.ledgerentry", "fulfillment.webhookmessage",
        "fulfillment.webhookendpoint",
    )),
    Group("finance", pgettext_lazy("kind of work", "Finance"), (
        Own("revenue", _("Revenue by channel"), "orders.view_totals"),
        Own("exports", _("Exports"), "orders.export_orders"), "orders.job",
    )),
    Group("channels", _("Channels and accounts"), (
        "channels_app.channel", "channels_app.merchantaccount", "channels_app.notification",
    )),
    Group("catalogue", _("Catalogue"), ("orders.game", "orders.reviewer", "orders.product", "fulfillment.item")),
    Group("people", _("People and system"), (
        "channels_app.proposal", "auth.user", "auth.group", "channels_app.auditentry", "orders.apikey",
    )),
)  # fmt: skip


def navigation(request: HttpRequest, site: AdminSite, apps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups this person sees, shaped as the admin's own list of apps. `apps` is what the admin would show.

    The admin asks more than once for one page; it is put together once.
    """
    known: list[dict[str, Any]] | None = getattr(request, _KEPT_ON_REQUEST, None)
    if known is None:
        known = _grouped(request, site, apps)
        setattr(request, _KEPT_ON_REQUEST, known)
    return known


def _grouped(request: HttpRequest, site: AdminSite, apps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    models = {f"{app['app_label']}.{model['object_name'].lower()}": model for app in apps for model in app["models"]}
    waiting = _waiting(request, models)
    groups: list[dict[str, Any]] = []
    for group in GROUPS:
        pages = [page for page in (_page(request, site, one, models, waiting) for one in group.pages) if page]
        groups.append({"name": group.name, "app_label": group.code, "models": pages})
    named = {one for group in GROUPS for one in group.pages if isinstance(one, str)}
    groups[-1]["models"] += [_model(models[label], 0) for label in models if label not in named]
    return [group for group in groups if group["models"]]


def _page(
    request: HttpRequest, site: AdminSite, page: str | Own, models: dict[str, dict[str, Any]], waiting: dict[str, int]
) -> dict[str, Any] | None:
    if isinstance(page, str):
        return _model(models[page], waiting.get(page, 0)) if page in models else None
    if not request.user.has_perm(page.permission) or page.address not in {known.name for known in PAGES}:
        return None
    return {"name": page.name, "admin_url": reverse(f"admin:{page.address}", current_app=site.name)}


def _model(model: dict[str, Any], waiting: int) -> dict[str, Any]:
    return {**model, "name": capfirst(model["name"]), "waiting": waiting}


def _waiting(request: HttpRequest, models: dict[str, dict[str, Any]]) -> dict[str, int]:
    """What waits for people, for the pages this person sees."""
    counts = {}
    if _CASES in models:
        counts[_CASES] = waiting_for_people(scope_of(request))
    if _PROPOSALS in models:
        counts[_PROPOSALS] = waiting_for(request.user)[:1000].count()
    return counts
