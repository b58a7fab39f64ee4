"""Long work that a person asked for in the office: exports and acts on many rows, with their results."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from channels_app.ids import uuid7
from channels_app.models import Environment
from orders.models.catalogue import Game
from orders.models.order import Order


class JobKind(models.TextChoices):
    """What is to be done."""

    EXPORT = "export", _("export")
    BULK = "bulk", _("act on many orders")


class JobState(models.TextChoices):
    """The life of a job."""

    QUEUED = "queued", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class Job(models.Model):
    """One piece of long work. A worker holds it until `leased_until` and goes on extending that while it lives."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=10, choices=JobKind)
    # What exactly, as its kind defines it; enough to do it again from the beginning.
    asked = models.JSONField(_("what was asked"))
    title = models.CharField(_("what"), max_length=300)
    game = models.ForeignKey(Game, models.PROTECT, null=True, related_name="+", verbose_name=_("game"))
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    requested_by = models.CharField(_("who asked"), max_length=150)
    state = models.CharField(_("state"), max_length=10, choices=JobState, default=JobState.QUEUED)
    total = models.PositiveBigIntegerField(_("rows in all"), null=True)
    done = models.PositiveBigIntegerField(_("rows done"), default=0)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    leased_until = models.DateTimeField(_("held until"), null=True)
    problem = models.CharField(_("what went wrong"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("asked for"))
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        permissions = [("manage_jobs", "Can retry and cancel jobs")]
        constraints = [
            models.CheckConstraint(name="job_state_known", condition=Q(state__in=JobState.values)),
            models.CheckConstraint(
                name="job_finished_has_time",
                condition=Q(state__in=("queued", "running")) | Q(finished_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index("created_at", name="job_unfinished", condition=Q(state__in=("queued", "running"))),
            models.Index("requested_by", F("id").desc(), name="job_of_person"),
        ]

    def __str__(self) -> str:
        return self.title


class ExportFile(models.Model):
    """One finished file of an export; long ones come in parts, because spreadsheets end at a million rows."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="files", verbose_name=_("job"))
    part = models.PositiveSmallIntegerField(_("part"))
    name = models.CharField(_("file"), max_length=200)
    stored_as = models.CharField(max_length=200, editable=False)
    rows = models.PositiveBigIntegerField(_("rows"))
    size = models.PositiveBigIntegerField(_("size in bytes"))
    sha256 = models.CharField(_("SHA-256"), max_length=64)

    class Meta:
        verbose_name = _("export file")
        verbose_name_plural = _("export files")
        constraints = [models.UniqueConstraint(name="export_file_once", fields=("job", "part"))]

    def __str__(self) -> str:
        return self.name


class JobRow(models.Model):
    """What a job that acts on many orders did with one of them. Append-only in effect: written once per order."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="rows", verbose_name=_("job"))
    order = models.ForeignKey(Order, models.PROTECT, related_name="+", verbose_name=_("order"), db_index=False)
    acted = models.BooleanField(_("something was done"))
    words = models.CharField(_("what happened"), max_length=300)

    class Meta:
        verbose_name = _("result for one order")
        verbose_name_plural = _("results for orders")
        constraints = [models.UniqueConstraint(name="job_row_once", fields=("job", "order"))]

    def __str__(self) -> str:
        return self.words
