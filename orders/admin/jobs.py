"""Long work in the console: how far it has come, what came of it, and how to end it or have it tried again."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from channels_app.console import audit
from channels_app.console.addresses import refresh_by_itself
from channels_app.console.cells import when
from channels_app.console.filters import ColumnFilter, PeriodFilter
from channels_app.console.pages import Act, ActRefused, Panels, ReadOnlyAdmin, history
from channels_app.console.words import column, environment_mark, link
from orders.admin.export_centre import file_lines
from orders.admin.exports import PERMISSION
from orders.admin.job_words import UNFINISHED, how_far, sentence, state_mark
from orders.jobs import cancel_job, try_job_again
from orders.models import Job, JobKind, JobState

MANAGES = "orders.manage_jobs"
_REFRESHED_EVERY_S = 3


class JobStateFilter(ColumnFilter):
    """Where a job stands."""

    title = gettext_lazy("state")
    parameter_name = "state"
    column = "state"
    offered = tuple(JobState)


class JobKindFilter(ColumnFilter):
    """What kind of work."""

    title = gettext_lazy("kind")
    parameter_name = "kind"
    column = "kind"
    offered = tuple(JobKind)


def _cancel(request: HttpRequest, job: Job, given: dict[str, Any]) -> str:
    if not cancel_job(job, by=request.user.get_username(), now=timezone.now()):
        raise ActRefused(_("It is finished already."))
    return _("Cancelled. What was made of it so far is deleted.")


def _again(request: HttpRequest, job: Job, given: dict[str, Any]) -> str:
    if not try_job_again(job):
        raise ActRefused(_("It is not failed any more."))
    return _("It is queued again and begins anew.")


CANCEL = Act(
    name="cancel",
    label=gettext_lazy("Cancel"),
    permission=MANAGES,
    effect=lambda job: [_("The work stops within seconds; nothing of it is kept. It can be asked for again.")],
    hindrance=lambda job: "" if job.state in UNFINISHED else _("It is finished."),
    perform=_cancel,
    form=audit.ReasonForm,
)
AGAIN = Act(
    name="again",
    label=gettext_lazy("Try again"),
    permission=MANAGES,
    effect=lambda job: [_("It begins anew, exactly as it was asked for.")],
    hindrance=lambda job: "" if job.state == JobState.FAILED else _("It has not failed."),
    perform=_again,
)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin[Job]):
    """Exports and acts on many orders: those of others only for who looks after them."""

    game_path = "game"
    change_form_template = "admin/console/job.html"
    list_display = ("asked_at", "what", "kind", "standing", "far", "requested_by", "where")
    list_display_links = None
    list_filter = (PeriodFilter, JobStateFilter, JobKindFilter)
    list_empty = gettext_lazy("Nothing long was asked for in this period.")
    fields = (
        ("standing", "kind", "requested_by", "tries"),
        ("created_at", "started_at", "finished_at"),
        ("game", "where"),
    )
    panels: ClassVar[Panels] = (history,)
    acts = (CANCEL, AGAIN)

    asked_at = column(gettext_lazy("asked for"), lambda job: when(job.created_at))
    what = column(gettext_lazy("what"), lambda job: link(job, job.title))
    standing = column(gettext_lazy("state"), state_mark)
    far = column(gettext_lazy("rows done"), how_far)
    where = column(gettext_lazy("environment"), lambda job: environment_mark(job.environment))

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Who looks after jobs, who may export (exports), and everybody their own."""
        may = request.user.has_perm
        if may(MANAGES) or may("orders.view_job"):
            return True
        if obj is None:
            return may(PERMISSION)
        return obj.requested_by == request.user.get_username() or (obj.kind == JobKind.EXPORT and may(PERMISSION))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """In the navigation only for who looks after jobs; others have the export centre."""
        return bool(request.user.has_perm(MANAGES) or request.user.has_perm("orders.view_job"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """See `has_view_permission`."""
        jobs = super().get_queryset(request)
        may = request.user.has_perm
        if may(MANAGES) or may("orders.view_job"):
            return jobs
        mine = Q(requested_by=request.user.get_username())
        return jobs.filter(mine | Q(kind=JobKind.EXPORT) if may(PERMISSION) else mine)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """How far it has come; looks again by itself until it is finished. Acts on orders have a page of their own."""
        job = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if job is not None and self.has_view_permission(request, job):
            if job.kind == JobKind.BULK:
                return HttpResponseRedirect(reverse("admin:orders_order_bulk_result", args=(job.pk,)))
            context |= {
                "title": job.title,
                "job": job,
                "unfinished": job.state in UNFINISHED,
                "sentence": sentence(job),
                "filters": job.asked.get("words", {}).get(get_language(), job.asked.get("filters", [])),
                "personal": bool(job.asked.get("personal")),
                "lines": file_lines(request.user, list(job.files.select_related("job").order_by("part"))),
            }
        answer = super().change_view(request, object_id, form_url, context)
        if context.get("unfinished"):
            answer["Refresh"] = refresh_by_itself(request, _REFRESHED_EVERY_S)
        return answer
