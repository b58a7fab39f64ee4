"""Merchant accounts: entered and checked here, what may be shown of their keys, how their state moves."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.accounts import AccountRefused, move_account, replace_account, save_account, summary_of
from channels_app.admin.account_forms import keys_form, new_account_form
from channels_app.admin.account_words import check_in_words, check_mark, expiry_mark, first_expiry
from channels_app.checking import check_account
from channels_app.console.audit import RequestForm
from channels_app.console.filters import ColumnFilter
from channels_app.console.pages import Act, ActRefused, Panel, ReadOnlyAdmin, table
from channels_app.console.words import column, copyable, environment_mark, link, mark, number
from channels_app.models import AccountState, ChannelMethod, Environment, MerchantAccount
from channels_app.proposals import Asked, Done, Kind, ProposalRefused, ask_or_do, changes, register
from channels_app.providers import ADAPTERS, METHODS

EDIT = "channels_app.edit_account"
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


def _numbers_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    labels = {field.name: field.label for field in ADAPTERS[account.provider].fields}
    return table(
        _("Numbers"),
        [
            (_("Address for notifications"), copyable(notify_address(account))),
            *((labels.get(name, name), number(value)) for name, value in account.summary.items() if name != "keys"),
        ],
        [(_("Field"), lambda item: item[0]), (_("Value"), lambda item: item[1])],
        empty="",
        note=_("The provider must send its notifications to exactly this address; payments opened here name it."),
    )


def _keys_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    labels = {field.name: field.label for field in ADAPTERS[account.provider].fields}
    return table(
        _("Keys"),
        account.summary.get("keys", []),
        [
            (_("Key"), lambda key: labels.get(key["field"], key["field"])),
            (_("Fingerprint or serial number"), lambda key: number(key["fingerprint"])),
            (_("Runs out"), lambda key: expiry_mark(key["expires_at"])),
        ],
        empty=_("Stored before fingerprints were kept; replacing the keys shows them."),
        note=_("Keys are sealed and never shown again. Two keys with the same fingerprint are the same key."),
    )


def _check_panel(request: HttpRequest, account: MerchantAccount) -> Panel:
    check = account.last_check
    return table(
        _("Last check"),
        [check] if check else [],
        [
            (_("Result"), lambda _check: check_mark(account)),
            (_("What it means"), check_in_words),
            (_("Took, ms"), lambda check: check["took_ms"]),
        ],
        empty=_("Nobody has checked these keys yet. “Check this account” asks the provider one signed question."),
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
            (
                _("Payment method"),
                lambda offer: METHODS[offer.method].label if offer.method in METHODS else offer.method,
            ),
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
        permission=EDIT,
        step_up=True,
        effect=_moving_effect(to),
        hindrance=lambda account: sources[account.state],
        perform=perform,
        two_people=True,
        shown=lambda account, given: [(_("state"), account.get_state_display(), to.label)],
        version=lambda account: account.state,
    )


def _check(request: HttpRequest, account: MerchantAccount, given: dict[str, Any]) -> str:
    check = check_account(account, now=timezone.now(), clock=time.perf_counter)
    words = check_in_words({"step": check.step, "said": check.said})
    if not check.works:
        raise ActRefused(words)
    return words


def _replace_keys(request: HttpRequest, account: MerchantAccount, given: dict[str, Any]) -> str:
    saved = save_account(
        provider=account.provider,
        code=account.code,
        environment=account.environment,
        credentials=given["credentials"],
    )
    return _("New keys are in use, version %(version)s. Check the account now.") % {
        "version": saved.credentials_version
    }


def _lines(summary: Mapping[str, Any]) -> dict[str, str]:
    """What may be shown of credentials, line by line: numbers as they are, keys by their fingerprints."""
    keys = {key["field"]: key["fingerprint"] for key in summary.get("keys", [])}
    return {**{name: str(value) for name, value in summary.items() if name != "keys"}, **keys}


def _new_keys(account: MerchantAccount, given: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the second person sees of new keys."""
    after = _lines(summary_of(account.provider, given["credentials"]))
    return changes(_lines(account.summary), after) or [(_("keys"), "", _("the same as now"))]


def _make_account(payload: Mapping[str, Any], by: Any) -> Done:
    if MerchantAccount.objects.filter(code=payload["code"]).exists():
        raise ProposalRefused(_("There is an account with this code already."))
    save_account(**payload)
    return Done(_("The account is ready. Check it now, then offer its methods on a channel."))


NEW = register(Kind("account.new", gettext_lazy("New merchant account"), EDIT, _make_account))


def _successors(account: MerchantAccount) -> QuerySet[MerchantAccount]:
    """Accounts that could take over."""
    return (
        MerchantAccount.objects.filter(
            provider=account.provider, environment=account.environment, state=AccountState.ACTIVE
        )
        .exclude(pk=account.pk)
        .order_by("code")
    )


def _successor_form(account: MerchantAccount) -> type[forms.Form]:
    chosen = forms.ModelChoiceField(label=_("Account that takes over"), queryset=_successors(account))
    return type("SuccessorForm", (forms.Form,), {"by": chosen})


def _replace(request: HttpRequest, account: MerchantAccount, given: dict[str, Any]) -> str:
    try:
        moved = replace_account(account_id=account.pk, by_id=given["by"].pk)
    except AccountRefused as refusal:
        raise ActRefused(str(refusal)) from refusal
    return _("%(count)s methods go through %(account)s now; this account drains.") % {
        "count": moved,
        "account": given["by"].code,
    }


class ProviderFilter(ColumnFilter):
    """At which provider."""

    title = gettext_lazy("provider")
    parameter_name = "provider"
    column = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """All we speak to."""
        return [(code, adapter.label) for code, adapter in ADAPTERS.items()]


class EnvironmentFilter(ColumnFilter):
    """Real money or play money: accounts are looked at side by side."""

    title = gettext_lazy("environment")
    parameter_name = "environment"
    column = "environment"
    offered = tuple(Environment)


class AccountStateFilter(ColumnFilter):
    """Whether new payments go through it."""

    title = gettext_lazy("state")
    parameter_name = "state"
    column = "state"
    offered = tuple(AccountState)


@admin.register(MerchantAccount)
class MerchantAccountAdmin(ReadOnlyAdmin[MerchantAccount]):
    """Accounts at providers. Keys go in and never come out; the state moves by acts."""

    game_path = ""
    list_filter = (ProviderFilter, EnvironmentFilter, AccountStateFilter)
    list_display = ("code", "provider_name", "where", "standing", "checked", "runs_out", "updated_at")
    fields = ("provider_name", "code", "where", "standing", "credentials_version", "created_at", "updated_at")
    provider_name = column(gettext_lazy("provider"), lambda account: ADAPTERS[account.provider].label)
    where = column(gettext_lazy("environment"), lambda account: environment_mark(account.environment))
    standing = column(
        gettext_lazy("state"), lambda account: mark(account.get_state_display(), _TONES[AccountState(account.state)])
    )
    checked = column(gettext_lazy("last check"), check_mark)
    runs_out = column(gettext_lazy("first key runs out"), lambda account: expiry_mark(first_expiry(account)))
    panels = (_check_panel, _keys_panel, _numbers_panel, _offers_panel)
    acts = (
        Act(
            name="check",
            label=gettext_lazy("Check this account"),
            permission="orders.ask_provider",
            effect=lambda account: [_("Asks the provider one signed question about a number that does not exist.")],
            hindrance=lambda account: "",
            perform=_check,
            confirmed=False,
            atomic=False,
        ),
        Act(
            name="keys",
            label=gettext_lazy("Replace the keys"),
            permission=EDIT,
            step_up=True,
            effect=lambda account: [
                _("From then on requests are signed, and notifications verified, with what you enter here."),
                _("While the provider changes over, give old and new platform certificates together."),
            ],
            hindrance=lambda account: "",
            perform=_replace_keys,
            form=keys_form,
            two_people=True,
            shown=_new_keys,
            version=lambda account: account.credentials_version,
        ),
        Act(
            name="replace",
            label=gettext_lazy("Let another account take over"),
            permission=EDIT,
            step_up=True,
            effect=lambda account: [
                _("Every method that goes through this account goes through the other one from now on."),
                _("This account drains: what was opened here is still verified, asked about and refunded here."),
            ],
            hindrance=lambda account: (
                ""
                if _successors(account).exists()
                else _("There is no other active account of this provider in this environment.")
            ),
            perform=_replace,
            form=_successor_form,
            two_people=True,
            shown=lambda account, given: [(_("methods go through"), account.code, given["by"].code)],
            version=lambda account: account.state,
        ),
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Those who may change keys may enter the first ones."""
        return bool(request.user.has_perm(EDIT))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """First the provider, then its form; the account exists once its keys parse."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        provider = request.GET.get("provider", "")
        if provider not in ADAPTERS:
            # A template would call a class; it is shown its facts.
            offers = [
                (code, adapter.label, [method.label for method in adapter.methods.values()])
                for code, adapter in ADAPTERS.items()
            ]
            return self._page(request, "admin/console/account_provider.html", offers=offers)
        whole = type("NewAccountForm", (RequestForm, new_account_form(provider)), {})
        form = whole(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid() and self._create(request, provider, form):
            account = MerchantAccount.objects.filter(code=form.cleaned_data["code"]).first()
            waiting = reverse("admin:channels_app_merchantaccount_changelist")
            return HttpResponseRedirect(self._address("change", account) if account else waiting)
        return self._page(request, "admin/console/account_new.html", at=ADAPTERS[provider].label, form=form)

    def _create(self, request: HttpRequest, provider: str, form: forms.Form) -> Asked | None:
        given = form.cleaned_data
        if MerchantAccount.objects.filter(code=given["code"]).exists():
            form.add_error("code", _("There is an account with this code already."))
            return None
        asked = ask_or_do(
            request,
            kind=NEW.name,
            subject=f"{provider}/{given['code']}",
            payload={
                "provider": provider,
                "code": given["code"],
                "environment": given["environment"],
                "credentials": given["credentials"],
            },
            summary=changes(
                {}, {_("environment"): given["environment"], **_lines(summary_of(provider, given["credentials"]))}
            ),
            reason=given["reason"],
            ticket=given["ticket"],
        )
        self.message_user(request, asked.words)
        return asked

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        address = reverse("admin:channels_app_merchantaccount_changelist")
        shared = {"opts": self.opts, "title": _("New merchant account"), "back": address}
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **shared, **context})


def notify_address(account: MerchantAccount) -> str:
    """Where the provider sends what it has to say about this account."""
    return f"{settings.PUBLIC_BASE_URL}/notify/{account.provider}/{account.code}"
