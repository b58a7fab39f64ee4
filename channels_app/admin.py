"""The console's pages of the outside money world: channels, merchant accounts, what providers told us."""

import json
import re
from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app import inbox
from channels_app.accounts import AccountRefused, move_account
from channels_app.admin_base import (
    Act,
    ActRefused,
    ConsoleAdmin,
    ExactFilter,
    Panel,
    ReadOnlyAdmin,
    link,
    mark,
    number,
)
from channels_app.models import (
    AccountState,
    Channel,
    ChannelMethod,
    Environment,
    MerchantAccount,
    Notification,
    RefusedTally,
    Verdict,
)
from channels_app.vault import VaultClosed

# A header or form field whose value proves who sent it is shown by its beginning only.
_TELLTALE = re.compile(r"signature|sign$|token|secret|authorization|cookie", re.IGNORECASE)
_SIGN_IN_BODY = re.compile(r"(?<![^&?])(sign=[^&]{0,8})[^&]*")
_SHOWN_OF_SECRET = 8


def environment_mark(environment: str) -> object:
    """The environment in a list; sandbox in its own colour."""
    label = Environment(environment).label
    return mark(label, "sandbox") if environment == Environment.SANDBOX else label


# --- channels -----------------------------------------------------------------------------------------------
class ChannelMethodInline(admin.TabularInline[ChannelMethod, Channel]):
    """What a channel offers. Which account a method goes through is set by command, which checks both."""

    model = ChannelMethod
    extra = 0
    can_delete = False
    fields = ("method", "account", "environment", "is_enabled", "position")
    readonly_fields = ("method", "account", "environment")
    ordering = ("environment", "position", "pk")

    def has_add_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """`manage.py enable_method` adds."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChannelMethod]:
        """With the accounts it shows."""
        return super().get_queryset(request).select_related("account")


@admin.register(Channel)
class ChannelAdmin(ConsoleAdmin[Channel]):
    """Sales channels: named, switched on and off, never deleted."""

    list_display = ("code", "name", "is_active", "created_at")
    inlines = (ChannelMethodInline,)
    list_note = gettext_lazy(
        "Where orders come from. Payment methods are added to a channel by"
        " `manage.py enable_method CHANNEL METHOD ACCOUNT`."
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """Orders and game servers refer to a channel by its code: it never changes."""
        return ("code", "created_at") if obj else ("created_at",)


# --- merchant accounts --------------------------------------------------------------------------------------
def _summary_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    return Panel(
        title=_("What the credentials say about themselves"),
        columns=(_("Field"), _("Value")),
        rows=[(name, number(value)) for name, value in sorted(account.summary.items())],
        empty=_("Nothing that may be shown."),
        note=_("Keys are sealed and never shown again; a new file given to create_account replaces them."),
    )


def _offers_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    offers = (
        ChannelMethod.objects.filter(account=account).select_related("channel").order_by("channel", "position", "pk")
    )
    return Panel(
        title=_("Methods that go through this account"),
        columns=(_("Channel"), _("Payment method"), _("On offer")),
        rows=[(link(offer.channel), offer.method, _("yes") if offer.is_enabled else _("no")) for offer in offers],
        empty=_("No channel sends a method through this account."),
    )


def _moving_effect(to: AccountState) -> Any:
    def effect(account: MerchantAccount) -> list[str]:
        offers = ChannelMethod.objects.filter(account=account, is_enabled=True).count()
        sentences = {
            AccountState.ACTIVE: [_("New payments may be opened through this account again.")],
            AccountState.DRAINING: [
                _("No new payment is opened through this account, from now on."),
                _("Its notifications are still verified, its payments still asked about and refunded."),
            ],
            AccountState.CLOSED: [
                _("The account is given up; it cannot be opened again."),
                _("A notification that still arrives is verified all the same: no money is lost."),
            ],
        }[to]
        if to != AccountState.ACTIVE and offers:
            sentences.append(_("Methods on channels that stop being offered: %(count)s.") % {"count": offers})
        return sentences

    return effect


def _moving(to: AccountState, label: Any, *, sources: Mapping[str, Any]) -> Act:
    """The act that moves an account. `sources`: for every state, why it cannot start there ("": it can)."""

    def perform(request: HttpRequest, account: MerchantAccount, given: dict[str, Any]) -> str:
        try:
            move_account(account_id=account.pk, to=to)
        except AccountRefused as refusal:
            raise ActRefused(str(refusal)) from refusal
        return _("%(account)s is now: %(state)s.") % {"account": account.code, "state": to.label}

    return Act(
        name=to.value,
        label=label,
        permission="channels_app.change_merchantaccount",
        effect=_moving_effect(to),
        hindrance=lambda account: sources[account.state],
        perform=perform,
    )


_IS_CLOSED = gettext_lazy("A closed account stays closed.")


@admin.register(MerchantAccount)
class MerchantAccountAdmin(ReadOnlyAdmin[MerchantAccount]):
    """Accounts at providers. The keys are never shown; the state moves by acts."""

    list_display = ("code", "provider", "where", "standing", "credentials_version", "updated_at")
    fields = ("provider", "code", "where", "standing", "credentials_version", "created_at", "updated_at")
    panels = (_summary_panel, _offers_panel)
    list_note = gettext_lazy(
        "Accounts are added, and their keys replaced, by"
        " `manage.py create_account PROVIDER CODE --environment … --credentials FILE.json`."
    )
    acts = (
        _moving(
            AccountState.DRAINING,
            gettext_lazy("Let it drain"),
            sources={
                AccountState.ACTIVE: "",
                AccountState.DRAINING: gettext_lazy("It is draining already."),
                AccountState.CLOSED: _IS_CLOSED,
            },
        ),
        _moving(
            AccountState.ACTIVE,
            gettext_lazy("Take new payments again"),
            sources={
                AccountState.ACTIVE: gettext_lazy("It takes new payments."),
                AccountState.DRAINING: "",
                AccountState.CLOSED: _IS_CLOSED,
            },
        ),
        _moving(
            AccountState.CLOSED,
            gettext_lazy("Close the account"),
            sources={
                AccountState.ACTIVE: gettext_lazy("Let it drain first: open payments must end somewhere."),
                AccountState.DRAINING: "",
                AccountState.CLOSED: gettext_lazy("It is closed already."),
            },
        ),
    )

    @admin.display(description=gettext_lazy("environment"))
    def where(self, account: MerchantAccount) -> object:
        """Production or sandbox."""
        return environment_mark(account.environment)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, account: MerchantAccount) -> object:
        """The state as a mark."""
        tones = {AccountState.ACTIVE: "done", AccountState.DRAINING: "working", AccountState.CLOSED: "quiet"}
        return mark(account.get_state_display(), tones[AccountState(account.state)])


# --- notifications ------------------------------------------------------------------------------------------
VERDICT_TONES = {
    Verdict.RECEIVED: "working",
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


class AccountFilter(ExactFilter):
    """Of one account: every table of messages has an index that begins with it."""

    title = gettext_lazy("account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """All accounts."""
        accounts = MerchantAccount.objects.order_by("code").values_list("pk", "code")
        return [(str(pk), code) for pk, code in accounts]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The account's rows."""
        chosen = self.chosen()
        return queryset.filter(account=int(chosen)) if chosen else queryset


class VerdictFilter(ExactFilter):
    """The two verdicts that have an index, because they are looked for."""

    title = gettext_lazy("verdict")
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Not judged, and refused."""
        return [(verdict.value, verdict.label) for verdict in (Verdict.RECEIVED, Verdict.REFUSED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows with that verdict."""
        chosen = self.chosen()
        return queryset.filter(verdict=chosen) if chosen else queryset


def _open_raw(request: HttpRequest, notification: Notification, given: dict[str, Any]) -> HttpResponse:
    """The page with headers and body. Opening it is written down: it shows who paid."""
    try:
        headers, body = inbox.open_raw(notification)
    except VaultClosed as error:
        raise ActRefused(_("The message cannot be opened: its vault key is missing.")) from error
    model_admin = admin.site.get_model_admin(Notification)
    model_admin.log_change(request, notification, _("Opened the raw message."))
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
        "body_size",
        "remote_addr",
    )
    list_display_links = ("received_at",)
    list_select_related = ("account",)
    list_filter = (AccountFilter, VerdictFilter)
    search_help_text = gettext_lazy("Attempt number or provider transaction, exactly.")
    fields = (
        "id",
        "account",
        "received_at",
        "remote_addr",
        "judged",
        "failed_step",
        "detail",
        "judged_at",
        "attempt",
        "transaction",
        "body_size",
        "body_sha256",
    )
    acts = (
        Act(
            name="raw",
            label=gettext_lazy("Open headers and raw bytes"),
            permission="channels_app.view_raw_notification",
            effect=lambda notification: [_("Shows what arrived, byte for byte. That you opened it is written down.")],
            hindrance=lambda notification: "",
            perform=_open_raw,
            confirmed=False,
        ),
    )

    def find(self, term: str) -> list[QuerySet[Notification]]:
        """Both numbers a provider's message carries. (The exclusions name the partial indexes.)"""
        rows = Notification.objects
        return [
            rows.filter(attempt_no=term).exclude(attempt_no=""),
            rows.filter(transaction_id=term).exclude(transaction_id=""),
        ]

    @admin.display(description=gettext_lazy("verdict"))
    def judged(self, notification: Notification) -> object:
        """The verdict as a mark."""
        return verdict_mark(notification)

    @admin.display(description=gettext_lazy("attempt number"))
    def attempt(self, notification: Notification) -> object:
        """In monospace."""
        return number(notification.attempt_no)

    @admin.display(description=gettext_lazy("provider transaction"))
    def transaction(self, notification: Notification) -> object:
        """In monospace."""
        return number(notification.transaction_id)


@admin.register(RefusedTally)
class RefusedTallyAdmin(ReadOnlyAdmin[RefusedTally]):
    """How many messages were refused, minute by minute."""

    list_display = ("minute", "account", "refused")
    list_select_related = ("account",)
    list_filter = (AccountFilter,)
    list_note = gettext_lazy(
        "Beyond a ceiling per minute refused messages are only counted: a flood cannot fill the disk."
    )
