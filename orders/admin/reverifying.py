"""The act "process it" on the page of a notification that was not taken when it arrived, and verifies today.

A message that was refused because our key was missing, or kept unread because our APIv3 key was wrong, goes through
the same judging as any other: once, and whatever it proves is booked once.
"""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import inbox
from channels_app.admin.notifications import NotificationAdmin
from channels_app.console.pages import Act, ActRefused
from channels_app.microscope import reads_now
from channels_app.models import Notification, Verdict
from channels_app.providers.base import Ack
from orders.notifying import judge

_NOT_TAKEN = (Verdict.REFUSED, Verdict.UNREADABLE)


def _not_to_be_processed(notification: Notification) -> str:
    if notification.verdict not in _NOT_TAKEN:
        return _("It was taken when it arrived; there is nothing to process.")
    if not reads_now(notification):
        return _("It does not verify with today's keys either: nothing of it may be applied.")
    return ""


def _process(request: HttpRequest, notification: Notification, given: dict[str, Any]) -> str:
    # Whoever moves the row back to "received" first has it; should this process die now, the worker judges it.
    taken = Notification.objects.filter(pk=notification.pk, verdict__in=_NOT_TAKEN).update(
        verdict=Verdict.RECEIVED, failed_step="", detail=_first(notification)
    )
    if not taken:
        raise ActRefused(_("Somebody else has just done that."))
    if judge(notification.pk, inbox.as_received(notification), notification.account) is not Ack.DONE:
        raise ActRefused(_("It does not verify with today's keys either: nothing of it may be applied."))
    notification.refresh_from_db()
    return _("Processed: %(verdict)s.") % {"verdict": notification.get_verdict_display()}


def _first(notification: Notification) -> str:
    """What was noted when it was not taken; it stays beside the new verdict."""
    return f"first {notification.verdict} at {notification.failed_step}: {notification.detail}"[:300]


PROCESS = Act(
    name="process",
    label=gettext_lazy("Process it"),
    permission="orders.ask_provider",
    effect=lambda notification: [
        _("The message goes through the ordinary judging, as of the moment it arrived."),
        _("What it proves is booked once; if that has happened already, nothing changes."),
    ],
    hindrance=_not_to_be_processed,
    perform=_process,
    atomic=False,  # judging commits by itself, like that of any notification
)

NotificationAdmin.acts = (PROCESS, *NotificationAdmin.acts)
