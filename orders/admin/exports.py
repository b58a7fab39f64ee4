"""Asking for an export: from a list, in words first; then streamed, or left to the worker.

Every export is written into the audit trail. It holds what the filters of its list let through, of one game (or all,
for those who work for all) in one environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from channels_app import proposals
from channels_app.console import audit
from channels_app.console.bearings import bearings_of
from channels_app.console.pages import ReadOnlyAdmin
from channels_app.console.stepping_up import ask_for_factor, factor_is_fresh
from channels_app.console.words import clock
from channels_app.models import AuditEntry, Environment
from orders.admin.order_filters import BooksFilter
from orders.exporting import approving
from orders.exporting.asking import Export, make_export, period_of
from orders.exporting.files import stream
from orders.exporting.profiles import Format, Profile
from orders.exporting.reports import REPORTS, Report
from orders.exporting.running import queue_export
from orders.models import Game, Job
from orders.staff import games_of

_M = TypeVar("_M", bound=Model)

EXPORTED = "export"
PERMISSION, PERSONAL = "orders.export_orders", "orders.export_personal"

# What is offered, by the words of the three buttons finance staff know.
KINDS: dict[str, tuple[Profile, Format]] = {
    "finance": (Profile.FINANCE, Format.CSV),
    "machine": (Profile.MACHINE, Format.CSV),
    "excel": (Profile.FINANCE, Format.XLSX),
}
KIND_WORDS = [
    ("finance", gettext_lazy("CSV for finance: Chinese headings, amounts in yuan, safe to open in a spreadsheet")),
    ("machine", gettext_lazy("Raw CSV for programs: snake_case headings, amounts in minor units, UTC")),
    ("excel", gettext_lazy("Excel for finance: numbers of orders and players as text; made by the worker")),
]


class ExportForm(forms.Form):
    """Which books, which form, and whether people are named in it."""

    report = forms.ChoiceField(label=gettext_lazy("What"), widget=forms.RadioSelect)
    game = forms.ChoiceField(label=gettext_lazy("Game"))
    kind = forms.ChoiceField(label=gettext_lazy("Form"), choices=KIND_WORDS, widget=forms.RadioSelect)
    personal = forms.BooleanField(
        label=gettext_lazy("With personal data: players, roles and addresses whole"), required=False
    )
    reason = forms.CharField(
        label=gettext_lazy("Why personal data"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Needed only with personal data. It is written down with your name."),
    )

    def __init__(
        self, *args: Any, reports: Sequence[Report], games: Sequence[tuple[str, str]], personal: bool, **kwargs: Any
    ) -> None:
        """`personal`: whether this person may take personal data along at all."""
        super().__init__(*args, **kwargs)
        self._choices("report", [(report.code, str(report.title).capitalize()) for report in reports])
        self._choices("game", games)
        if not personal:
            del self.fields["personal"], self.fields["reason"]

    def _choices(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Nothing to choose from is nothing to ask."""
        field: Any = self.fields[name]
        field.choices = choices
        if choices:
            field.initial = choices[0][0]
        if len(choices) == 1:
            field.widget = forms.HiddenInput()

    def clean(self) -> dict[str, Any]:
        """Personal data leave the house with a reason, or not at all."""
        given: dict[str, Any] = super().clean() or {}
        if given.get("personal") and len(given.get("reason", "").strip()) < 4:
            self.add_error("reason", _("Say why personal data are needed."))
        return given


def filters_in_words(listed: Any) -> list[str]:
    """The filters and the search of a list, as a person reads them."""
    words = [
        f"{spec.title}: {choice['display']}"
        for spec in listed.filter_specs
        if spec.value() is not None
        for choice in spec.choices(listed)
        if choice["selected"]
    ]
    return [*words, *([_("searched: %(term)s") % {"term": listed.query}] if listed.query else [])]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A list as it was when its export was asked for."""

    rows: QuerySet[Any]
    environment: Environment
    counted: int  # one more than may stream at most
    filters: Sequence[str]
    period: tuple[datetime | None, datetime | None]

    @property
    def is_small(self) -> bool:
        """Whether it can be streamed."""
        return self.counted <= settings.EXPORTS_STREAMED_ROWS


class Exporting(ReadOnlyAdmin[_M]):
    """A list with its export button, and the view behind it. `reports`: what its rows can be exported as."""

    reports: ClassVar[Sequence[Report]] = ()

    @property
    def _export_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_export"

    def get_urls(self) -> list[URLPattern]:
        """Adds the export."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name=self._export_name), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with the export button for those who may."""
        address = ""
        if request.user.has_perm(PERMISSION):
            address = f"{reverse(f'admin:{self._export_name}')}?{request.GET.urlencode()}"
        return super().changelist_view(request, {"export_address": address, **(extra_context or {})})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """GET: what would be exported, to be chosen from. POST: the file, or the job that makes it."""
        if not request.user.has_perm(PERMISSION) or not self.has_view_permission(request):
            raise PermissionDenied
        try:
            listed = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self._list_address())
        asked = _asked(request, listed, self.reports[0])
        form = ExportForm(
            request.POST if request.method == "POST" else None,
            reports=self.reports,
            games=_games_offered(request, listed),
            personal=request.user.has_perm(PERSONAL),
            initial={"kind": "finance"},
        )
        if request.method == "POST" and form.is_valid():
            if form.cleaned_data.get("personal") and not factor_is_fresh(request):
                return ask_for_factor(request, self.admin_site)
            answer = _export(request, asked, form, words=self._filters_in_words(request))
            if answer is not None:
                return answer
        return self._ask(request, asked, form)

    def _filters_in_words(self, request: HttpRequest) -> dict[str, list[str]]:
        """By language: the file is for finance staff, the job page for anybody. Filters speak as they were made."""
        words = {}
        for language, _name in settings.LANGUAGES:
            with translation.override(language):
                words[language] = filters_in_words(self.get_changelist_instance(request))
        return words

    def _list_address(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _ask(self, request: HttpRequest, asked: _Asked, form: forms.Form) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/console/export.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("Export"),
                "lead": _sentence(asked),
                "form": form,
                "filters": asked.filters,
                "period": _period_in_words(asked.period),
                "environment": asked.environment,
                "kept_days": settings.EXPORTS_KEPT_DAYS,
                "back": f"{self._list_address()}?{request.GET.urlencode()}",
            },
        )


def _asked(request: HttpRequest, listed: Any, report: Report) -> _Asked:
    """What a list shows now, without the bounds of its pages."""
    pair = next((spec.pair() for spec in listed.filter_specs if isinstance(spec, BooksFilter)), None)
    environment = Environment(pair[1]) if pair else bearings_of(request).environment
    rows = listed.queryset
    return _Asked(
        rows=rows,
        environment=environment,
        counted=rows.order_by("-pk")[: settings.EXPORTS_STREAMED_ROWS + 1].count(),
        filters=filters_in_words(listed),
        period=period_of(rows, report),
    )


def _period_in_words(period: tuple[datetime | None, datetime | None]) -> str:
    """From when up to when, on the business clock."""
    since, until = period
    return _("From %(since)s up to %(until)s.") % {
        "since": clock(since) if since else _("the beginning"),
        "until": clock(until) if until else _("now"),
    }


def _sentence(asked: _Asked) -> str:
    """How much it is, and what will happen."""
    if not asked.is_small:
        limit = settings.EXPORTS_STREAMED_ROWS
        return _("More than %(limit)s rows: the worker makes the files, you can watch it and download them then.") % {
            "limit": f"{limit:,}"
        }
    words = ngettext("%(count)s row: the file comes at once.", "%(count)s rows: the file comes at once.", asked.counted)
    return words % {"count": f"{asked.counted:,}"}


def _games_offered(request: HttpRequest, listed: Any) -> list[tuple[str, str]]:
    """The games the list shows; all of them together for those who work for all."""
    pair = next((spec.pair() for spec in listed.filter_specs if isinstance(spec, BooksFilter)), None)
    seen = (pair[0],) if pair else bearings_of(request).games
    mine = games_of(request.user)
    games = Game.objects.order_by("code")
    if seen is not None:
        games = games.filter(pk__in=seen)
    if mine is not None:
        games = games.filter(pk__in=mine)
    offered = [(str(game.pk), game.name) for game in games]
    everything = [("all", _("All games together"))] if seen is None and mine is None and len(offered) != 1 else []
    return [*everything, *offered]


def _export(
    request: HttpRequest, asked: _Asked, form: forms.Form, *, words: Mapping[str, Sequence[str]]
) -> HttpResponseBase | None:
    """The answer to a valid form; None (and an error in the form) when the hour's exports are used up."""
    given = form.cleaned_data
    profile, kind = KINDS[given["kind"]]
    game = None if given["game"] == "all" else Game.objects.get(pk=given["game"])
    export = make_export(
        report=REPORTS[given["report"]],
        rows=asked.rows,
        game=game,
        environment=asked.environment,
        time_zone=game.time_zone if game else timezone.get_current_timezone_name(),
        profile=profile,
        format=kind,
        personal=bool(given.get("personal")),
        filters=words["zh-hans"],
        now=timezone.now(),
    )
    if export.personal and settings.FOUR_EYES:
        return _ask_a_colleague(request, asked, export, game, reason=given["reason"])
    streamed = asked.is_small and kind == Format.CSV
    with transaction.atomic():
        if not _within_the_hour(request):
            limit = settings.EXPORTS_PER_PERSON_PER_HOUR
            form.add_error(None, _("You have exported %(limit)s times within an hour; try later.") % {"limit": limit})
            return None
        job = (
            None
            if streamed
            else queue_export(export, title=export.file_name, game=game, by=_name(request), words=words)
        )
        _write_down(request, export, asked, reason=given.get("reason", ""), job=job)
    if job is not None:
        return HttpResponseRedirect(reverse("admin:orders_job_change", args=(job.pk,)))
    return StreamingHttpResponse(
        stream(export),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{export.file_name}"', "Cache-Control": "no-store"},
    )


def _ask_a_colleague(
    request: HttpRequest, asked: _Asked, export: Export, game: Game | None, *, reason: str
) -> HttpResponse:
    """Personal data leave the house when two people want it; then the worker makes the files."""
    summary = [
        (str(_("What")), "", str(export.report.title)),
        (str(_("Rows")), "", f"{asked.counted:,}" if asked.is_small else f"> {settings.EXPORTS_STREAMED_ROWS:,}"),
        *((str(_("Filter")), "", words) for words in asked.filters),
    ]
    answer = proposals.ask_or_do(
        request, kind=approving.KIND.name, subject=export.file_name, summary=summary, reason=reason,
        payload=approving.payload_of(export, game=game, by=_name(request)),
    )  # fmt: skip
    messages.success(request, answer.words)
    return HttpResponseRedirect(reverse("admin:exports"))


def _name(request: HttpRequest) -> str:
    return request.user.get_username()


def _within_the_hour(request: HttpRequest) -> bool:
    """Whether this person may export once more. Asked under a lock of their own: two clicks at once count as two."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('exports of'), hashtext(%s))", (_name(request),))
    since = timezone.now() - timedelta(hours=1)
    lately = AuditEntry.objects.filter(actor=_name(request), action=EXPORTED, at__gt=since)
    return lately.count() < settings.EXPORTS_PER_PERSON_PER_HOUR


def _write_down(request: HttpRequest, export: Export, asked: _Asked, *, reason: str, job: Job | None) -> None:
    detail = {
        "report": export.report.code,
        "game": export.game_code,
        "environment": export.environment.value,
        "profile": export.profile.value,
        "personal": export.personal,
        "filters": "; ".join(export.filters),
        "rows": f"> {settings.EXPORTS_STREAMED_ROWS}" if not asked.is_small else asked.counted,
    }
    audit.write_down(request, EXPORTED, row=job, label=export.file_name, reason=reason, detail=detail)
