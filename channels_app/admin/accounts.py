"""Merchant accounts: what may be shown of their keys, what goes through them, how their state moves."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.accounts import AccountRefused, move_account
from channels_app.console.lists import ColumnFilter
from channels_app.console.pages import Act, ActRefused, Panel, ReadOnlyAdmin, table
from channels_app.console.words import column, environment_mark, link, mark, number
from channels_app.models import AccountState, ChannelMethod, MerchantAccount

_TONES = {AccountState.ACTIVE: "done", AccountState.DRAINING: "working", AccountState.CLOSED: "quiet"}
_IS_CLOSED = gettext_lazy("A closed account stays closed.")


class AccountFilter(ColumnFilter):
    """Of one account: every table of messages has an index that begins with it."""

    title = gettext_lazy("account")
    parameter_name = "account"
    column = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """All accounts."""
        accounts = MerchantAccount.objects.order_by("code").values_list("pk", "code")
        return [(str(pk), code) for pk, code in accounts]


def _summary_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    return table(
        _("What the credentials say about themselves"),
        sorted(account.summary.items()),
        [(_("Field"), lambda item: item[0]), (_("Value"), lambda item: number(item[1]))],
        empty=_("Nothing that may be shown."),
        note=_("Keys are sealed and never shown again; a new file given to create_account replaces them."),
    )


def _offers_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    offers = (
        ChannelMethod.objects.filter(account=account).select_related("channel").order_by("channel", "position", "pk")
    )
    return table(
        _("Methods that go through this account"),
        offers,
        [
            (_("Channel"), lambda offer: link(offer.channel)),
            (_("Payment method"), lambda offer: offer.method),
            (_("On offer"), lambda offer: _("yes") if offer.is_enabled else _("no")),
        ],
        empty=_("No channel sends a method through this account."),
    )


def _moving_effect(to: AccountState) -> Callable[[MerchantAccount], list[str]]:
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


def _moving(to: AccountState, label: Promise, *, sources: Mapping[str, object]) -> Act:
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


@admin.register(MerchantAccount)
class MerchantAccountAdmin(ReadOnlyAdmin[MerchantAccount]):
    """Accounts at providers. The keys are never shown; the state moves by acts."""

    list_display = ("code", "provider", "where", "standing", "credentials_version", "updated_at")
    fields = ("provider", "code", "where", "standing", "credentials_version", "created_at", "updated_at")
    where = column(gettext_lazy("environment"), lambda account: environment_mark(account.environment))
    standing = column(
        gettext_lazy("state"), lambda account: mark(account.get_state_display(), _TONES[AccountState(account.state)])
    )
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
