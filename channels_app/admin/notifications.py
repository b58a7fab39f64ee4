"""What providers told us: every message, its verdict, and the tally of those that were only counted."""

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import inbox
from channels_app.admin.accounts import AccountFilter
from channels_app.admin.microscope import conclusion, looked_at, step_in_words
from channels_app.console import audit
from channels_app.console.filters import ColumnFilter, PeriodFilter
from channels_app.console.pages import Act, ActRefused, ReadOnlyAdmin, history
from channels_app.console.words import clock, column, link, mark, number
from channels_app.microscope import examine
from channels_app.models import Notification, RefusedTally, Verdict
from channels_app.vault import VaultClosed

# A header or form field whose value proves who sent it is shown by its beginning only.
_TELLTALE = re.compile(r"signature|sign$|token|secret|authorization|cookie", re.IGNORECASE)
_SIGN_IN_BODY = re.compile(r"(?<![^&?])(sign=[^&]{0,8})[^&]*")
_SHOWN_OF_SECRET = 8
VERDICT_TONES = {
    Verdict.RECEIVED: "working",
    Verdict.ASKING: "working",
    Verdict.APPLIED: "done",
    Verdict.DUPLICATE: "done",
    Verdict.NO_OP: "done",
    Verdict.HELD: "decide",
    Verdict.ORPHAN: "decide",
    Verdict.FOREIGN: "quiet",
    Verdict.REFUSED: "quiet",
    Verdict.UNREADABLE: "decide",
}


def verdict_mark(notification: Notification) -> object:
    """The verdict as a mark."""
    return mark(notification.get_verdict_display(), VERDICT_TONES[Verdict(notification.verdict)])


class ReceivedPeriod(PeriodFilter):
    """When the message came."""

    column = "received_at"


class VerdictFilter(ColumnFilter):
    """What became of a message, within the period."""

    title = gettext_lazy("verdict")
    parameter_name = "verdict"
    column = "verdict"
    offered = tuple(Verdict)


def _open_raw(request: HttpRequest, notification: Notification, given: dict[str, Any]) -> HttpResponse:
    """The page with headers and body. Opening it is written down: it shows who paid."""
    try:
        headers, body = inbox.open_raw(notification)
    except VaultClosed as error:
        raise ActRefused(_("The message cannot be opened: its vault key is missing.")) from error
    report = str(_("Opened the raw message."))
    audit.write_down(
        request, audit.REVEALED, row=notification, reason=given["reason"], detail={"act": "raw", "report": report}
    )
    return TemplateResponse(
        request,
        "admin/console/raw_notification.html",
        {
            **admin.site.each_context(request),
            "opts": Notification._meta,
            "original": notification,
            "title": _("Raw message"),
            "headers": [(name, shown_value(name, value)) for name, value in sorted(headers.items())],
            "body": shown_body(body),
        },
        headers={"Cache-Control": "no-store"},
    )


def shown_value(name: str, value: str) -> str:
    """A header's value; of a signature or token only the beginning."""
    if _TELLTALE.search(name) and len(value) > _SHOWN_OF_SECRET:
        return f"{value[:_SHOWN_OF_SECRET]}…"
    return value


def shown_body(body: bytes) -> str:
    """The body as text; unreadable bytes as hexadecimal, a form's `sign` shortened, JSON laid out."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body.hex(" ")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return _SIGN_IN_BODY.sub(r"\1…", text)


def _of_hint(notification: Notification) -> list[tuple[object, object]]:
    """A message that only says whom to ask: how often the provider was asked, and when it is next."""
    if not (notification.asked or notification.ask_at):
        return []
    asked_next = clock(notification.ask_at) if notification.ask_at else _("not any more")
    return [(_("Times asked"), str(notification.asked)), (_("Asked next"), asked_next)]


def _noted(notification: Notification) -> list[tuple[object, object]]:
    """Label and value of what was written down when the message arrived and was judged."""
    return [
        (_("Received"), clock(notification.received_at)),
        (_("Account"), link(notification.account)),
        (_("From address"), notification.remote_addr),
        (_("Verdict"), verdict_mark(notification)),
        (_("Judged"), clock(notification.judged_at) if notification.judged_at else _("not yet")),
        *_of_hint(notification),
        (_("Failed step"), notification.failed_step or "–"),
        (_("Noted"), notification.detail or "–"),
        (_("Attempt number"), number(notification.attempt_no) or "–"),
        (_("Provider transaction"), number(notification.transaction_id) or "–"),
        (_("Size"), _("%(bytes)s bytes") % {"bytes": f"{notification.body_size:,}"}),
        (_("SHA-256 of the body"), number(notification.body_sha256)),
    ]


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin[Notification]):
    """The inbox: every message of a provider, what became of it, and at which step it failed."""

    list_display = (
        "received_at",
        "account",
        "judged",
        "failed_step",
        "attempt",
        "transaction",
        "remote_addr",
    )
    change_form_template = "admin/console/case_notification.html"
    list_display_links = ("received_at",)
    list_select_related = ("account",)
    list_filter = (ReceivedPeriod, AccountFilter, VerdictFilter)
    search_help_text = gettext_lazy("Attempt number or provider transaction, exactly.")
    judged = column(gettext_lazy("verdict"), verdict_mark)
    attempt = column(gettext_lazy("attempt number"), lambda notification: number(notification.attempt_no))
    transaction = column(gettext_lazy("provider transaction"), lambda notification: number(notification.transaction_id))
    acts: ClassVar[Sequence[Act]] = (
        Act(
            name="raw",
            label=gettext_lazy("Open headers and raw bytes"),
            permission="channels_app.view_raw_notification",
            effect=lambda notification: [_("Shows what arrived, byte for byte. That you opened it is written down.")],
            hindrance=lambda notification: "",
            perform=_open_raw,
            form=audit.ReasonForm,
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Notification | None = None) -> Any:
        """None: the page shows facts of its own instead of a form."""
        return ()

    def more_context(self, request: HttpRequest, row: Notification) -> dict[str, Any]:
        """What was noted when it arrived, and what the microscope sees today."""
        now = timezone.now()
        seen = examine(row, now=now)
        means, what_to_do = step_in_words(row.failed_step) if row.failed_step else ("", "")
        return {
            "tone": VERDICT_TONES[Verdict(row.verdict)],
            "verdict_words": row.get_verdict_display(),
            "conclusion": conclusion(row, seen, now),
            "means": means,
            "what_to_do": what_to_do,
            "noted": _noted(row),
            "seen": looked_at(seen) if seen is not None else [],
            "looked_at": now,
            "history": history(request, row),
        }

    def find(self, term: str) -> list[QuerySet[Notification]]:
        """Both numbers a provider's message carries. (The exclusions name the partial indexes.)"""
        rows = Notification.objects
        return [
            rows.filter(attempt_no=term).exclude(attempt_no=""),
            rows.filter(transaction_id=term).exclude(transaction_id=""),
        ]


@admin.register(RefusedTally)
class RefusedTallyAdmin(ReadOnlyAdmin[RefusedTally]):
    """How many messages were refused, minute by minute."""

    game_path = ""
    list_display = ("minute", "account", "refused")
    list_select_related = ("account",)
    list_filter = (AccountFilter,)
    list_note = gettext_lazy(
        "Beyond a ceiling per minute refused messages are only counted: a flood cannot fill the disk."
    )
