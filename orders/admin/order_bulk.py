"""Acts on many orders at once: on the ticked rows, or on everything a filter finds.

First a page that shows how many, how much money, what will happen and what will not; then a job of the worker; then a
page with a result for every order. Asking for it takes a reason, and is written down.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from channels_app.console import audit, reach
from channels_app.console.addresses import refresh_by_itself
from channels_app.console.cells import when, yuan
from channels_app.console.pages import Panel, ReadOnlyAdmin, table
from channels_app.console.words import link, mark, money_in_prose, number
from channels_app.models import Environment
from orders import narrating
from orders.admin.states import delivery_mark, order_mark
from orders.bulk import AT_MOST, BULK_ACTS, BulkAct, what_is_asked
from orders.jobs import problem_in_words, request_job
from orders.models import Game, Job, JobKind, JobRow, JobState, Order

_FIRST_ROWS = 12
_TOLD_EXACTLY = 200
_RESULTS_A_PAGE = 100
_TICKED_AT_MOST = 100
_REFRESHED_EVERY_S = 3
_STATE_TONES = {
    JobState.QUEUED: "working",
    JobState.RUNNING: "working",
    JobState.DONE: "done",
    JobState.FAILED: "decide",
}


class BulkForm(forms.Form):
    """Why, for whoever looks at this later. `upto` and `count` say what was shown."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        min_length=4,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Written down with your name: what happened, which ticket."),
    )
    upto = forms.IntegerField(widget=forms.HiddenInput, min_value=0, max_value=2**63 - 1)


class OrderBulk(ReadOnlyAdmin[Order]):
    """A list of orders with acts on many of them."""

    def get_urls(self) -> list[URLPattern]:
        """Adds the pages before and after."""
        wrap = self.admin_site.admin_view
        return [
            path("bulk/", wrap(self.bulk_view), name="orders_order_bulk"),
            path("bulk/<uuid:job_id>/", wrap(self.bulk_result_view), name="orders_order_bulk_result"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with the acts this person may ask for."""
        acts = [act for act in BULK_ACTS.values() if self.may_leaf(request) and request.user.has_perm(act.permission)]
        context = {"bulk_acts": acts, "bulk_address": reverse("admin:orders_order_bulk")}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    # --- before -----------------------------------------------------------------------------------------------
    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """GET: what would happen. POST: ask for it."""
        act = self._act(request, request.GET.get("act", ""))
        try:
            listed = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:orders_order_changelist"))
        form = BulkForm(request.POST if request.method == "POST" else None)
        upto = form.cleaned_data.get("upto") if request.method == "POST" and form.is_valid() else None
        keys = self._keys(request, listed, upto=upto)
        if request.method == "POST" and form.is_valid() and keys:
            job = self._ask_for(request, act, keys[:AT_MOST], form.cleaned_data["reason"], listed)
            return HttpResponseRedirect(reverse("admin:orders_order_bulk_result", args=(job.pk,)))
        return self._preview(request, act, listed, keys, form)

    def _act(self, request: HttpRequest, name: str) -> BulkAct:
        act = BULK_ACTS.get(name)
        if act is None:
            raise Http404
        if not (self.has_view_permission(request) and self.may_leaf(request) and request.user.has_perm(act.permission)):
            raise PermissionDenied
        return act

    def _keys(self, request: HttpRequest, listed: Any, *, upto: int | None) -> list[int]:
        """The orders, newest first; one more than are acted on when there are more. `upto`: none that came since."""
        rows = listed.queryset
        if request.GET.get("of") == "ticked":
            ticked = [key for key in request.GET.getlist("row")[:_TICKED_AT_MOST] if key.isascii() and key.isdigit()]
            rows = self.get_queryset(request).filter(pk__in=ticked)
        if upto is not None:
            rows = rows.filter(pk__lte=upto)
        return list(rows.order_by("-pk").values_list("pk", flat=True)[: AT_MOST + 1])

    def _preview(
        self, request: HttpRequest, act: BulkAct, listed: Any, keys: list[int], form: forms.Form
    ) -> HttpResponse:
        chosen = Order.objects.filter(pk__in=keys[:AT_MOST])
        # Up to some hundreds are told exactly; more as the database can tell in one read.
        acted = chosen if len(keys) <= _FIRST_ROWS else act.concerned(chosen)
        concerned = acted.count()
        if concerned <= _TOLD_EXACTLY:
            acted = Order.objects.filter(pk__in=[order.pk for order in acted if not act.hindrance(order)])
            concerned = acted.count()
        if keys and not form.is_bound:
            form.initial["upto"] = keys[0]
        return TemplateResponse(
            request,
            "admin/console/bulk.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": act.label,
                "act": act,
                "count": len(keys[:AT_MOST]),
                "capped": len(keys) > AT_MOST,
                "at_most": AT_MOST,
                "concerned": concerned,
                "left_alone": len(keys[:AT_MOST]) - concerned,
                "money": _money(acted),
                "filters": _filters(request, listed),
                "panel": _first_rows(act, keys),
                "form": form,
                "back": f"{reverse('admin:orders_order_changelist')}?{urlencode(listed.asked_for)}",
            },
        )

    def _ask_for(self, request: HttpRequest, act: BulkAct, keys: Sequence[int], reason: str, listed: Any) -> Job:
        filters = _filters(request, listed)
        one_of = Order.objects.filter(pk__in=keys).order_by().values_list("game", "environment").distinct()[:2]
        books = list(one_of)
        title = ngettext("%(act)s: %(count)s order", "%(act)s: %(count)s orders", len(keys)) % {
            "act": act.label,
            "count": len(keys),
        }
        with transaction.atomic():
            job = request_job(
                kind=JobKind.BULK,
                asked=what_is_asked(
                    act=act, orders=keys, reason=reason, filters=filters, zone=timezone.get_current_timezone_name()
                ),
                title=title,
                game=Game.objects.get(pk=books[0][0]) if len(books) == 1 else None,
                environment=Environment(books[0][1]),
                by=request.user.get_username(),
                now=timezone.now(),
            )
            audit.write_down(
                request,
                f"bulk_{act.name}",
                row=job,
                label=title,
                reason=reason,
                detail={"count": len(keys), "filters": filters},
            )
        return job

    # --- after ------------------------------------------------------------------------------------------------
    def bulk_result_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """How far it has come, how often what happened, and the result of every order."""
        job = get_object_or_404(Job, pk=job_id, kind=JobKind.BULK)
        act = self._act(request, job.asked["act"])
        rows = JobRow.objects.filter(job=job)
        if request.GET.get("acted") in ("0", "1"):
            rows = rows.filter(acted=request.GET["acted"] == "1")
        below = request.GET.get("below", "")
        if below.isascii() and below.isdigit() and len(below) < 19:
            rows = rows.filter(order__lt=int(below))
        # Of the orders of a limited member of staff only: the job may be somebody else's.
        seen = self.get_queryset(request).filter(pk__in=rows.values("order")) if reach.games_of(request.user) else None
        if seen is not None:
            rows = rows.filter(order__in=seen)
        page = list(rows.select_related("order").order_by("-order")[: _RESULTS_A_PAGE + 1])
        finished = job.state in (JobState.DONE, JobState.FAILED)
        response = TemplateResponse(
            request,
            "admin/console/bulk_result.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": job.title,
                "job": job,
                "act": act,
                "state": mark(job.get_state_display(), _STATE_TONES[JobState(job.state)]),
                "problem": problem_in_words(job),
                "finished": finished,
                "reason": job.asked["reason"],
                "filters": job.asked["filters"],
                "sums": _sums(job),
                "panel": _results(page[:_RESULTS_A_PAGE]),
                "below": page[_RESULTS_A_PAGE - 1].order_id if len(page) > _RESULTS_A_PAGE else None,
                "acted": request.GET.get("acted", ""),
            },
        )
        if not finished:
            response["Refresh"] = refresh_by_itself(request, _REFRESHED_EVERY_S)
        return response


def _filters(request: HttpRequest, listed: Any) -> list[str]:
    """What was chosen, in words."""
    if request.GET.get("of") == "ticked":
        return [_("rows that were ticked")]
    words = [
        f"{spec.title}: {choice['display']}"
        for spec in listed.filter_specs
        if spec.value()
        for choice in spec.choices(listed)
        if choice["selected"] and choice["display"]
    ]
    return [*words, *([_("searched: %(term)s") % {"term": listed.query}] if listed.query else [])]


def _money(orders: Any) -> list[str]:
    """What the orders are worth, per currency."""
    sums = orders.order_by().values("currency").annotate(amount=Sum("amount_minor")).order_by("currency")
    return [money_in_prose(row["amount"], row["currency"]) for row in sums]


def _first_rows(act: BulkAct, keys: Sequence[int]) -> Panel:
    orders = Order.objects.filter(pk__in=keys[:_FIRST_ROWS]).order_by("-pk")
    return table(
        _("The first of them"),
        orders,
        [
            (_("Ordered"), lambda order: when(order.created_at)),
            (_("Order number"), lambda order: link(order, number(order.order_no))),
            (_("Player"), narrating.receiver),
            (_("Product"), narrating.goods),
            (_("Amount (yuan)"), lambda order: yuan(order.amount_minor, order.currency)),
            (capfirst(_("payment")), order_mark),
            (capfirst(_("delivery")), delivery_mark),
            (_("What would happen"), lambda order: act.hindrance(order) or act.label),
        ],
        empty=_("No order is chosen: tick some rows, or take away a filter."),
        note=_("and the others, newest first") if len(keys) > _FIRST_ROWS else "",
    )


def _sums(job: Job) -> list[tuple[str, bool, int]]:
    """How often what happened, the most frequent first."""
    rows = JobRow.objects.filter(job=job).order_by().values("words", "acted").annotate(count=Count("pk"))
    return [(row["words"], row["acted"], row["count"]) for row in rows.order_by("-acted", "-count", "words")[:20]]


def _results(rows: Sequence[JobRow]) -> Panel:
    return table(
        _("Result of every order"),
        rows,
        [
            (_("Order number"), lambda row: link(row.order, number(row.order.order_no))),
            (_("Player"), lambda row: narrating.receiver(row.order)),
            (_("Amount (yuan)"), lambda row: yuan(row.order.amount_minor, row.order.currency)),
            (_("Done"), lambda row: mark(_("yes"), "done") if row.acted else mark(_("no"), "quiet")),
            (_("What happened"), lambda row: row.words),
        ],
        empty=_("No order has been done yet. Each appears here as soon as it is."),
    )
