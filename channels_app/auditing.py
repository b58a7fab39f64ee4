"""Seals over the audit trail: a chain of digests that a rewritten, removed or slipped-in entry would break.

The worker seals finished entries in batches. A digest covers the entries' contents and the seal before it, and goes
into the log as well, which leaves the machine: whoever may switch triggers off can rewrite the tables, not the log.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, timedelta

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from channels_app.models import AuditEntry, AuditSeal

logger = logging.getLogger(__name__)

ENTRIES_PER_SEAL = 1000
# Beyond this an unsealed entry is a finding: the worker seals every ten minutes, unless it is down.
SEALED_WITHIN = timedelta(hours=2)
_WAIT_MS = 500


def seal_entries() -> int:
    """Seal every finished entry. Returns how many seals were made; 0 as well when writers would have had to wait."""
    try:
        return _seal_up_to(_finished_up_to())
    except OperationalError:
        logger.info("audit.seal waits for a writer; the next round seals")
        return 0


def _finished_up_to() -> int:
    """The highest number below which no entry can still appear.

    A number is taken by the statement that inserts, which holds the table's lock: for the instant that nobody else
    holds it every number given out belongs to a transaction that has ended. Writers wait that instant, at most.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {_WAIT_MS}")
        cursor.execute("LOCK TABLE channels_app_auditentry IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("SELECT coalesce(max(id), 0) FROM channels_app_auditentry")
        (highest,) = cursor.fetchone() or (0,)
    return int(highest)


def _seal_up_to(highest: int) -> int:
    made = 0
    with transaction.atomic():
        with connection.cursor() as cursor:  # one sealer at a time; readers go on
            cursor.execute("LOCK TABLE channels_app_auditseal IN SHARE ROW EXCLUSIVE MODE")
        newest = AuditSeal.objects.order_by("-pk").first()
        previous, last = (newest.digest, newest.last_id) if newest else ("", 0)
        while batch := list(_entries(last, highest)[:ENTRIES_PER_SEAL]):
            first, last = last + 1, batch[-1].pk
            previous = AuditSeal.objects.create(
                first_id=first, last_id=last, entries=len(batch), previous=previous, digest=digest(previous, batch)
            ).digest
            made += 1
    if made:
        logger.info("audit.sealed up_to=%s seal=%s", last, previous)
    return made


def digest(previous: str, entries: list[AuditEntry]) -> str:
    """The seal of these entries, after the seal before."""
    sealed = hashlib.sha256(previous.encode())
    for entry in entries:
        sealed.update(_canonical(entry))
    return sealed.hexdigest()


def _canonical(entry: AuditEntry) -> bytes:
    contents = [
        entry.pk, entry.at.astimezone(UTC).isoformat(), entry.actor, entry.address, entry.action, entry.subject,
        entry.subject_id, entry.label, entry.reason, entry.detail,
    ]  # fmt: skip
    return json.dumps(contents, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


# --- checking ---------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Chain:
    """What walking the chain found. `broken` names seals and entries that do not hold."""

    entries: int = 0
    seals: int = 0
    head: str = ""
    broken: list[str] = field(default_factory=list)


def verify_chain(*, logged: str = "") -> Chain:
    """Walk the whole chain. `logged`: a seal that the log has; it must be part of the chain."""
    chain = Chain()
    met = not logged
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
        last = 0
        for seal in AuditSeal.objects.order_by("pk").iterator(chunk_size=1000):
            chain.broken += _faults(seal, chain.head, last)
            chain.entries += seal.entries
            chain.seals += 1
            chain.head, last = seal.digest, seal.last_id
            met = met or seal.digest == logged
        chain.broken += _unsealed(last)
    if not met:
        chain.broken.append(f"seal {logged[:12]} of the log is not in the chain")
    return chain


def _faults(seal: AuditSeal, previous: str, last: int) -> Iterator[str]:
    if seal.previous != previous or seal.first_id != last + 1:
        yield f"seal {seal.pk} does not follow the one before it"
    entries = list(_entries(seal.first_id - 1, seal.last_id))
    about = f"seal {seal.pk}, entries {seal.first_id} to {seal.last_id}"
    if len(entries) != seal.entries:
        yield f"{about}: {len(entries)} are there, {seal.entries} were sealed"
    elif digest(seal.previous, entries) != seal.digest:
        yield f"{about}: one is not what was sealed"


def _unsealed(last: int) -> Iterator[str]:
    """Entries that should have been sealed long ago: the newest seals are gone, or nobody seals."""
    since = timezone.now() - SEALED_WITHIN
    late = AuditEntry.objects.filter(pk__gt=last, at__lt=since).order_by("pk").values_list("pk", flat=True)
    yield from (f"entry {pk} was never sealed" for pk in late[:3])


def _entries(after: int, up_to: int) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(pk__gt=after, pk__lte=up_to).order_by("pk")
