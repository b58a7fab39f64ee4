"""What happens to an export that is too large to wait for: a job makes its files, they are kept for a while, and who
took them away is written down.

Files lie in the storage "exports", never under a public address. Each has its SHA-256 beside it.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core import signing
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from channels_app.models import Environment
from orders.exporting.asking import Export
from orders.exporting.files import Part, write_parts
from orders.jobs import RUNNERS, JobImpossible, Progress, request_job
from orders.models import ExportFile, Game, Job, JobKind, JobState

logger = logging.getLogger(__name__)

UNREADABLE = gettext_noop("What was asked can no longer be read: please ask again.")


class _Made(File):  # type: ignore[type-arg]  # Django's File is generic only in the stubs
    """A finished file that the storage may move instead of copying."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"), name=path.name)
        self._path = path

    def temporary_file_path(self) -> str:
        """Where it lies: Django's storage on disk renames it."""
        return str(self._path)


def storage() -> Storage:
    """Where finished exports lie."""
    return storages["exports"]


def queue_export(
    export: Export, *, title: str, game: Game | None, by: str, words: Mapping[str, Sequence[str]] | None = None
) -> Job:
    """Have the worker make the files of an export. `words`: its filters by language, for whoever looks at the job."""
    return request_job(
        kind=JobKind.EXPORT,
        asked={**export.to_document(), "words": {language: list(some) for language, some in (words or {}).items()}},
        title=title,
        game=game,
        environment=Environment(export.environment),
        by=by,
        now=export.asked_at,
    )


def run_export(job: Job, progress: Progress) -> None:
    """Make the files of a job, from the beginning: what an earlier try left is deleted."""
    try:
        export = Export.from_document(job.asked)
    except (signing.BadSignature, KeyError, ValueError) as unreadable:
        raise JobImpossible(UNREADABLE) from unreadable
    delete_files(job)
    scratch = settings.EXPORTS_SCRATCH_DIR
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=scratch) as folder:
        parts = write_parts(export, Path(folder), per_part=settings.EXPORTS_ROWS_PER_FILE, progress=progress)
        rows = sum(part.rows for part in parts)
        # Still ours? Only then may the files of this try become the files of the job.
        progress(rows, rows)
        _keep(job, parts)


def _keep(job: Job, parts: Sequence[Part]) -> None:
    kept = []
    for number, part in enumerate(parts, start=1):
        with _Made(part.path) as made:
            stored_as = storage().save(f"{job.pk}-{job.tries}/{part.name}", made)
        storage().save(f"{stored_as}.sha256", ContentFile(f"{part.sha256}  {part.name}\n".encode()))
        kept.append(
            ExportFile(
                job=job, part=number, name=part.name, stored_as=stored_as, rows=part.rows, size=part.size,
                sha256=part.sha256,
            )
        )  # fmt: skip
    with transaction.atomic():
        ExportFile.objects.bulk_create(kept)


def delete_files(job: Job) -> None:
    """Forget every file of a job, on the disk and in the books."""
    for file in job.files.all():
        _delete_from_storage(file)
    job.files.all().delete()


def forget_old_exports() -> int:
    """Delete the files of exports older than EXPORTS_KEPT_DAYS; what they were and who took them stays. How many."""
    before = timezone.now() - timedelta(days=settings.EXPORTS_KEPT_DAYS)
    old = ExportFile.objects.filter(
        job__kind=JobKind.EXPORT, job__state=JobState.DONE, job__finished_at__lt=before
    ).exclude(stored_as="")
    forgotten = 0
    for file in old.order_by("pk"):
        _delete_from_storage(file)
        ExportFile.objects.filter(pk=file.pk).update(stored_as="")
        forgotten += 1
    return forgotten


def _delete_from_storage(file: ExportFile) -> None:
    if not file.stored_as:
        return
    storage().delete(f"{file.stored_as}.sha256")
    storage().delete(file.stored_as)
    try:
        storage().delete(file.stored_as.rpartition("/")[0])  # a folder that is empty now
    except OSError:
        logger.debug("other files lie beside %s", file.stored_as)


RUNNERS[JobKind.EXPORT] = run_export
