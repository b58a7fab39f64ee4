"""The one search box of the console: paste anything, land on the page; and what to do when nothing is found.

One hit opens its page at once. Nothing found says where it was looked for and what the number looks like, and offers
the next steps: ask the provider, search by amount and time, look at the other money. Asking is an act with a
permission of its own and is written down.
"""

import re
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_GET, require_POST

from channels_app.console import audit, reach
from channels_app.console.addresses import console_page
from channels_app.console.bearings import bearings_of
from channels_app.console.cells import when, yuan
from channels_app.console.filters import minor_of
from channels_app.console.pages import Panel, table
from channels_app.console.words import environment_mark, link, mark, number
from channels_app.models import Environment, MerchantAccount
from channels_app.providers import ADAPTERS
from channels_app.providers.base import Standing
from orders import narrating
from orders.admin.states import delivery_mark, order_mark
from orders.asking_by_transaction import Told, ask_by_transaction
from orders.casefile import prose
from orders.looking_up import SHOWN_AT_MOST, LookUp, Sight, by_amount, look_up
from orders.models import Order
from orders.number_shapes import cleaned, shape_of
from orders.receipts import where
from orders.settling import Outcome

# What may be a provider's number of a payment: nothing else is sent to anybody.
_ASKABLE = re.compile(r"[0-9A-Za-z_.-]{6,64}")


def _sight(request: HttpRequest) -> Sight:
    def may_see(model: type[Model]) -> bool:
        meta = model._meta
        return bool(request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"))

    return Sight(may_see=may_see, narrowed=lambda rows, game_path: reach.within(rows, request.user, game_path))


def _page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))


def _check_may_look(request: HttpRequest) -> None:
    if not request.user.has_perm("orders.view_order"):
        raise PermissionDenied


@console_page("look-up/", name="look_up")
@require_GET
def look_up_view(request: HttpRequest) -> HttpResponse:
    """Look a number up. One hit: its page. Several: a short list. None: what now."""
    _check_may_look(request)
    term = cleaned(request.GET.get("q", ""))
    environment = _environment(request)
    found = look_up(term, environment=environment, sight=_sight(request))
    if found.only is not None and not found.found_elsewhere:
        return HttpResponseRedirect(_page_of(found.only))
    return _show(request, found, told=[])


def _environment(request: HttpRequest) -> Environment:
    """The environment the console looks at, unless the address names the other."""
    asked = request.GET.get("environment", "")
    return Environment(asked) if asked in Environment.values else bearings_of(request).environment


@console_page("look-up/ask/", name="look_up_ask")
@require_POST
def ask_view(request: HttpRequest) -> HttpResponse:
    """Ask the provider about the number; what is ours and paid is settled at once, and its page is shown."""
    _check_may_look(request)
    if not request.user.has_perm("orders.ask_provider"):
        raise PermissionDenied
    term = cleaned(request.POST.get("q", ""))
    provider = request.POST.get("provider") or _provider_of(term)
    if provider not in ADAPTERS or not _ASKABLE.fullmatch(term):
        return HttpResponseRedirect(f"{reverse('admin:look_up')}?{urlencode({'q': term})}")
    environment = _environment(request)
    told = ask_by_transaction(
        transaction_id=term,
        provider=provider,
        environment=environment,
        actor=f"staff {request.user.get_username()}",
    )
    audit.write_down(
        request,
        "ask_by_transaction",
        row=next((one.order for one in told if one.order), None),
        label=term,
        detail={"answers": {one.account.code: one.outcome or one.standing or one.said for one in told}},
    )
    found = look_up(term, environment=environment, sight=_sight(request))
    return _show(request, found, told=told, asked=provider)


def _provider_of(term: str) -> str:
    """Whose number it is by its look, if we can speak to them."""
    shape = shape_of(term)
    return shape.provider if shape and shape.provider in ADAPTERS else ""


def _show(request: HttpRequest, found: LookUp, *, told: list[Told], asked: str = "") -> TemplateResponse:
    shape = found.shape
    code = asked or _provider_of(found.term)
    provider = prose.provider(code) if code else ""
    # A number that looks like nothing we know may be a provider's all the same: a person says whose.
    others = _askable(found.environment) if shape is None and _ASKABLE.fullmatch(found.term) else []
    return TemplateResponse(
        request,
        "admin/console/look_up.html",
        {
            **admin.site.each_context(request),
            "title": _("Look up"),
            "look_up_term": found.term,
            "found": found,
            "environment_label": found.environment.label,
            "places": pgettext("between things in a list", ", ").join(str(label) for label in found.labels),
            "likeness": shape.in_words() if shape else "",
            "provider": provider,
            "told": [told_in_words(one) for one in told],
            "is_unknown_there": bool(told) and all(one.standing is Standing.UNKNOWN for one in told),
            "why_not_asked": _why_not_asked(request, found, _provider_of(found.term), others),
            "whom_to_ask": [(other, prose.provider(other), other == asked) for other in others],
            "asking_address": f"{reverse('admin:look_up_ask')}?environment={found.environment.value}",
            "by_amount_address": f"{reverse('admin:look_up_by_amount')}?{_about_when(found)}",
            "reply": _reply(found.term, code) if code else "",
            "where_to_find": [(prose.provider(other), where(other)) for other in _askable(found.environment)],
            "panels": [panel for panel in (_orders_panel(found), _others_panel(found)) if panel.rows],
        },
    )


def _about_when(found: LookUp) -> str:
    day = found.shape.day if found.shape else None
    return f"day={day.isoformat()}" if day else ""


def _askable(environment: Environment) -> list[str]:
    """The providers at which we have an account here, in the order of the registry."""
    used = set(MerchantAccount.objects.filter(environment=environment).order_by().values_list("provider", flat=True))
    return [provider for provider in ADAPTERS if provider in used]


def _why_not_asked(request: HttpRequest, found: LookUp, provider: str, others: list[str]) -> str:
    """Why no provider can be asked, "" when one can."""
    if not provider and not others:
        return _("This looks like no provider's number for a payment, so nobody can be asked about it.")
    if not request.user.has_perm("orders.ask_provider"):
        return _("Your role may not ask providers.")
    if provider and provider not in _askable(found.environment):
        return _("We have no account at %(provider)s here.") % {"provider": prose.provider(provider)}
    return ""


def told_in_words(told: Told) -> str:
    """What an account said, in a sentence."""
    about = {
        "provider": prose.provider(told.account.provider),
        "account": told.account.code,
        "said": told.said,
        "order": told.order.order_no if told.order else "",
        "attempt": told.attempt_no,
        "at": timezone.localtime().strftime("%H:%M"),
    }
    if told.never:
        return _("%(provider)s (%(account)s) cannot be asked by such a number (%(said)s).") % about
    if told.standing is None:
        return _("%(provider)s (%(account)s) could not be asked now (%(said)s). Try again in a minute.") % about
    if told.outcome is not None and told.order is None:
        return _("%(provider)s: paid, and kept as money of no order; see the cases.") % about
    if told.outcome is not None:
        return {
            Outcome.APPLIED: _("%(provider)s: paid. Order %(order)s is settled now."),
            Outcome.DUPLICATE: _("%(provider)s: paid, and booked before, for order %(order)s."),
            Outcome.HELD: _("%(provider)s: paid, but the money is held: order %(order)s has a case now."),
            Outcome.ORPHAN: _("%(provider)s: paid, and kept as money of no order; see the cases."),
        }[told.outcome] % about
    if told.standing is Standing.PAID:
        return _(
            "%(provider)s (%(account)s): paid, but under the merchant order number %(attempt)s, which is none of ours."
            " Another system uses this merchant number too; nothing was booked here."
        ) % about  # fmt: skip
    if told.standing is Standing.UNKNOWN:
        return _("%(provider)s (%(account)s) answered at %(at)s: it has no such payment (%(said)s).") % about
    return _("%(provider)s (%(account)s) knows it, and it is not paid (%(said)s).") % about


def _reply(term: str, provider: str) -> str:
    """What to write to the player when the provider has no such payment either. Promises nothing."""
    return _(
        "Hello, we have checked with %(provider)s and there is no payment with the number %(term)s. Please open this"
        " payment and send us a screenshot of the whole page; we will look again at once. Where to find it: %(where)s"
    ) % {"term": term, "provider": prose.provider(provider), "where": where(provider)}  # fmt: skip


# --- what was found ---------------------------------------------------------------------------------------------
def _order_columns() -> list[tuple[object, Callable[[Order], object]]]:
    return [
        (_("Ordered"), lambda order: when(order.created_at)),
        (_("Order number"), lambda order: link(order, number(order.order_no))),
        (_("Player"), narrating.receiver),
        (_("Product"), narrating.goods),
        (_("Amount (yuan)"), lambda order: yuan(order.amount_minor, order.currency)),
        (_("Paid by"), lambda order: prose.provider_of_method(order.method) if order.method else ""),
        (capfirst(_("payment")), order_mark),
        (capfirst(_("delivery")), delivery_mark),
        (_("Environment"), lambda order: environment_mark(order.environment)),
    ]


def _orders_panel(found: LookUp) -> Panel:
    note = _("These are the newest %(count)s; open one and its player for all.") % {"count": SHOWN_AT_MOST}
    return table(_("Orders"), found.orders, _order_columns(), empty="", note=note if found.more else "")


def _others_panel(found: LookUp) -> Panel:
    return table(
        _("Other rows with this number"),
        found.others,
        [
            (_("What"), lambda row: row._meta.verbose_name),
            (_("Row"), lambda row: link(row, number(row))),
            (_("More"), _more_about),
        ],
        empty="",
    )


def _more_about(row: Any) -> object:
    """What tells a row of another table from the next."""
    verdict = getattr(row, "get_verdict_display", None)
    if verdict is not None:
        return mark(verdict(), "decide")
    reason = getattr(row, "get_hold_reason_display", None)
    return mark(reason(), "decide") if reason is not None else getattr(row, "game", "")


# --- by amount and time -----------------------------------------------------------------------------------------
_WIDTHS = ((10, gettext_lazy("10 minutes")), (30, gettext_lazy("30 minutes")), (60, gettext_lazy("1 hour")),
           (180, gettext_lazy("3 hours")), (720, gettext_lazy("12 hours")))  # fmt: skip


class AmountForm(forms.Form):
    """What a player remembers: "about nine, 648 yuan"."""

    amount = forms.CharField(
        label=gettext_lazy("Amount (yuan)"), max_length=16, widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    at = forms.DateTimeField(
        label=gettext_lazy("About when"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"],
    )
    minutes = forms.TypedChoiceField(label=gettext_lazy("Give or take"), choices=_WIDTHS, coerce=int)
    who = forms.CharField(label=gettext_lazy("UID or role id, if known"), max_length=64, required=False, strip=True)

    def clean_amount(self) -> int:
        """In minor units."""
        minor = minor_of(self.cleaned_data["amount"])
        if not minor:
            raise forms.ValidationError(_("Write the amount like 648 or 6.00."))
        return minor

    def clean_at(self) -> datetime:
        """A moment that a calendar knows in every zone."""
        at: datetime = self.cleaned_data["at"]
        if not 1971 <= at.year <= 9000:
            raise forms.ValidationError(_("No order is that old or that new."))
        return at


@console_page("look-up/by-amount/", name="look_up_by_amount")
@require_GET
def by_amount_view(request: HttpRequest) -> HttpResponse:
    """Orders of an amount about a time: when the player has no number at all."""
    _check_may_look(request)
    asked = "amount" in request.GET
    form = AmountForm(request.GET if asked else None, initial={"at": _first_guess(request), "minutes": 60})
    orders = _orders_by_amount(request, form.cleaned_data) if asked and form.is_valid() else []
    return TemplateResponse(
        request,
        "admin/console/look_up_by_amount.html",
        {
            **admin.site.each_context(request),
            "title": _("Search by amount and time"),
            "form": form,
            "asked": asked and form.is_valid(),
            "environment_label": bearings_of(request).environment.label,
            "panel": table(
                _("Orders"),
                orders,
                _order_columns(),
                empty=_("No order of this amount was made or paid then. Widen the time, or ask for the exact amount."),
                note=_("Only the newest are shown: narrow the time.") if len(orders) >= 2 * SHOWN_AT_MOST else "",
            ),
        },
    )


def _first_guess(request: HttpRequest) -> datetime:
    """The day a number names, at noon; else now."""
    now = timezone.localtime().replace(second=0, microsecond=0)
    try:
        day = datetime.fromisoformat(request.GET.get("day", "")).date()
    except ValueError:
        return now
    return datetime.combine(day, time(12), tzinfo=now.tzinfo)


def _orders_by_amount(request: HttpRequest, asked: dict[str, Any]) -> list[Order]:
    bearings = bearings_of(request)
    games = reach.games_of(request.user)
    return by_amount(
        amount_minor=asked["amount"],
        around=asked["at"],
        give_or_take=timedelta(minutes=asked["minutes"]),
        who=cleaned(asked["who"]),
        environment=bearings.environment,
        games=sorted(games) if games is not None else bearings.games,
    )
