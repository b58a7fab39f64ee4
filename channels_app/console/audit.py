"""The audit trail as the console writes it: who did what to which row, from where, and why.

Changes of settings write themselves down by triggers; this is for what leaves no other row (reading what is
private, exporting, logging in, being refused) and for the reason a person typed.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from channels_app.models import AuditEntry


def write_down(
    request: HttpRequest,
    action: str,
    *,
    row: Model | None = None,
    label: str = "",
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry about `row`, in the transaction under way. Never pass a secret in `detail`."""
    return AuditEntry.objects.create(
        actor=request.user.get_username() or "anonymous",
        address=request.META.get("REMOTE_ADDR", "")[:45],
        action=action[:40],
        subject=row._meta.label_lower if row is not None else "",
        subject_id=str(row.pk)[:64] if row is not None else "",
        label=(label or (str(row) if row is not None else ""))[:200],
        reason=reason[:500],
        detail=dict(detail or {}),
    )
