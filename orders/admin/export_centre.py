"""The export centre: what is being made, what is there, who took it; and the downloads, each written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from channels_app.console import audit
from channels_app.console.addresses import console_page
from channels_app.models import AuditEntry
from orders.admin.exports import PERMISSION, PERSONAL, Exporting
from orders.admin.job_words import UNFINISHED, how_far, state_mark
from orders.exporting.reports import REPORTS
from orders.exporting.running import storage
from orders.jobs import problem_in_words
from orders.models import ExportFile, Job, JobKind, JobState
from orders.staff import games_of

DOWNLOADED = "download"
_DOWNLOAD_BLOCK = 256 * 1024
_FILES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file of the centre, with who took it and why it cannot be had (any more)."""

    file: ExportFile
    taken_by: Sequence[AuditEntry]
    hindrance: str
    expires: datetime | None

    @property
    def rows(self) -> str:
        """How many, with separators."""
        return f"{self.file.rows:,}"


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job of the centre."""

    job: Job
    state: object
    how_far: str
    problem: str


def jobs_seen_by(user: Any) -> QuerySet[Job]:
    """Exports this person may see: of their games. What is of all games is for those who work for all."""
    exports = Job.objects.filter(kind=JobKind.EXPORT)
    games = games_of(user)
    return exports if games is None else exports.filter(game__in=games)


def why_not_download(user: Any, file: ExportFile) -> str:
    """Why this person cannot have a file; empty when they can."""
    report = REPORTS.get(file.job.asked.get("report", ""))
    if not user.has_perm(PERMISSION) or report is None or not user.has_perm(report.permission):
        return _("Your role may not export this.")
    if file.job.asked.get("personal") and not user.has_perm(PERSONAL):
        return _("It holds personal data, which your role may not take along.")
    if not file.stored_as:
        return _("Deleted after %(days)s days; ask for it again.") % {"days": settings.EXPORTS_KEPT_DAYS}
    return ""


def file_lines(user: Any, files: Sequence[ExportFile]) -> list[FileLine]:
    """Files with their downloads, read for all of them at once."""
    taken: dict[str, list[AuditEntry]] = {}
    keys = [str(file.pk) for file in files]
    subject = ExportFile._meta.label_lower
    for entry in AuditEntry.objects.filter(subject=subject, subject_id__in=keys, action=DOWNLOADED).order_by("pk"):
        taken.setdefault(entry.subject_id, []).append(entry)
    kept = timedelta(days=settings.EXPORTS_KEPT_DAYS)
    return [
        FileLine(
            file,
            taken.get(str(file.pk), []),
            why_not_download(user, file),
            file.job.finished_at + kept if file.job.finished_at else None,
        )
        for file in files
    ]


@console_page("exports/", name="exports")
@require_GET
def exports(request: HttpRequest) -> HttpResponse:
    """The export centre: what is being made, what is there, who took it; and where to ask for more."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    seen = jobs_seen_by(request.user)
    unfinished = (
        seen.filter(state__in=(JobState.QUEUED, JobState.RUNNING)).select_related("game").order_by("created_at")
    )
    failed = seen.filter(state=JobState.FAILED, created_at__gt=timezone.now() - timedelta(days=7)).select_related(
        "game"
    )
    older = request.GET.get("older", "")
    files = ExportFile.objects.filter(job__in=seen, job__state=JobState.DONE).select_related("job")
    if older.isascii() and older.isdigit():
        files = files.filter(pk__lt=int(older[:18]))
    page = list(files.order_by("-pk")[: _FILES_SHOWN + 1])
    more = page[_FILES_SHOWN - 1].pk if len(page) > _FILES_SHOWN else None
    running = [*unfinished[:_FILES_SHOWN], *failed.order_by("-pk")[:10]]
    return TemplateResponse(
        request,
        "admin/console/exports.html",
        {
            **admin.site.each_context(request),
            "title": _("Exports"),
            "lead": _centre_sentence(running),
            "jobs": [JobLine(job, state_mark(job), how_far(job), problem_in_words(job)) for job in running],
            "unfinished": any(job.state in UNFINISHED for job in running),
            "lines": file_lines(request.user, page[:_FILES_SHOWN]),
            "more": more,
            "lists": _lists_offered(request),
            "kept_days": settings.EXPORTS_KEPT_DAYS,
            "per_hour": settings.EXPORTS_PER_PERSON_PER_HOUR,
        },
    )


def _centre_sentence(jobs: Sequence[Job]) -> str:
    making = sum(job.state in UNFINISHED for job in jobs)
    failed = len(jobs) - making
    words = [
        ngettext("%(count)s export is being made.", "%(count)s exports are being made.", making) % {"count": making}
        if making
        else _("Nothing is being made.")
    ]
    if failed:
        words.append(
            ngettext("%(count)s failed in the last week.", "%(count)s failed in the last week.", failed)
            % {"count": failed}
        )
    return " ".join(words)


def _lists_offered(request: HttpRequest) -> list[tuple[str, str]]:
    """The lists that can be exported, by name and address."""
    return [
        (str(model_admin.opts.verbose_name_plural), reverse(f"admin:{model_admin._export_name}"))
        for model_admin in admin.site._registry.values()
        if isinstance(model_admin, Exporting) and model_admin.has_view_permission(request)
    ]


class _InBlocks(FileResponse):
    block_size = _DOWNLOAD_BLOCK


@console_page("exports/<int:file_id>/download/", name="export_download")
@require_GET
def download(request: HttpRequest, file_id: int) -> HttpResponseBase:
    """A finished file, whole (its length is said beforehand), and written down."""
    file = ExportFile.objects.select_related("job").filter(pk=file_id, job__in=jobs_seen_by(request.user)).first()
    if file is None:
        raise Http404
    hindrance = why_not_download(request.user, file)
    if hindrance and file.stored_as:
        raise PermissionDenied
    if hindrance:
        messages.warning(request, hindrance)
        return HttpResponseRedirect(reverse("admin:exports"))
    content = storage().open(file.stored_as, "rb")
    audit.write_down(request, DOWNLOADED, row=file, label=file.name, detail={"sha256": file.sha256, "rows": file.rows})
    kind = "text/csv; charset=utf-8" if file.name.endswith(".csv") else None
    answer = _InBlocks(content, as_attachment=True, filename=file.name, content_type=kind)
    answer["Cache-Control"] = "no-store"
    answer["Content-Length"] = str(file.size)
    return answer
