"""Housekeeping of log-ins: what is over is forgotten after a while; the audit trail keeps what happened."""

from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from payments_site.models import Authenticator, StaffSession

_KEPT = timedelta(days=180)  # network logs for half a year (Cybersecurity Law, art. 21)
_UNFINISHED_KEPT = timedelta(hours=1)


def forget_old_log_ins() -> int:
    """Delete sessions, counted failures and unfinished authenticators that are of no use. Returns how many."""
    now = timezone.now()
    old = (
        Session.objects.filter(expire_date__lt=now),
        AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME - timedelta(hours=1)),
        StaffSession.objects.filter(last_seen_at__lt=now - _KEPT),
        Authenticator.objects.filter(confirmed=False, created_at__lt=now - _UNFINISHED_KEPT),
    )
    return sum(rows.delete()[0] for rows in old)
