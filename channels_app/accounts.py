"""Merchant accounts and what channels offer through them: the services behind the commands and the console."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from channels_app import vault
from channels_app.models import AccountState, Channel, ChannelMethod, Environment, MerchantAccount, Notification
from channels_app.providers import ADAPTERS, PROVIDER_OF_METHOD, build_adapter
from channels_app.providers.base import ProviderAdapter
from channels_app.providers.fields import FieldKind, key_facts

_SHOWN_KINDS = (FieldKind.TEXT, FieldKind.ADDRESS)
_BATCH = 500

ROW_REMEMBERED_S = 2.0

_rows: dict[object, tuple[float, MerchantAccount]] = {}
_adapters: dict[int, tuple[int, ProviderAdapter]] = {}
_lock = threading.Lock()


class AccountRefused(ValueError):
    """An account or method cannot be set up as asked; the sentence says why."""


def is_live(environment: str) -> bool:
    """Whether an account of this environment moves real money."""
    return environment == Environment.PRODUCTION


def account_by_code(*, provider: str, code: str) -> MerchantAccount | None:
    """The account behind a notification address; remembered for two seconds per process."""
    return _remembered((provider, code), provider=provider, code=code)


def account_by_id(account_id: int) -> MerchantAccount:
    """The account a row points at; remembered in the same way."""
    account = _remembered(account_id, pk=account_id)
    if account is None:
        raise MerchantAccount.DoesNotExist
    return account


def _remembered(key: object, **where: object) -> MerchantAccount | None:
    known = _rows.get(key)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    account = MerchantAccount.objects.filter(**where).first()
    if account is not None:
        _rows[key] = (time.monotonic() + ROW_REMEMBERED_S, account)
    return account


def forget_accounts() -> None:
    """Read accounts and their keys anew (tests)."""
    with _lock:
        _rows.clear()
        _adapters.clear()


def adapter_of(account: MerchantAccount) -> ProviderAdapter:
    """The adapter of an account; parsed once per credentials version and process.

    Raises vault.VaultClosed when the credentials cannot be opened.
    """
    known = _adapters.get(account.pk)
    if known is None or known[0] != account.credentials_version:
        with _lock:
            known = _adapters.get(account.pk)
            if known is None or known[0] != account.credentials_version:
                adapter = build_adapter(account.provider, account.credentials(), live=is_live(account.environment))
                known = _adapters[account.pk] = (account.credentials_version, adapter)
    return known[1]


@transaction.atomic
def save_account(*, provider: str, code: str, environment: str, credentials: Mapping[str, Any]) -> MerchantAccount:
    """Create a merchant account, or rotate the credentials of the one with this code.

    Raises CredentialsInvalid before anything is stored, AccountRefused when the code belongs to an account
    of another provider or environment: money pinned to it would change hands.
    """
    try:
        build_adapter(provider, credentials, live=is_live(environment))
    except KeyError:
        raise AccountRefused(f"there is no provider {provider!r}") from None
    account, _ = MerchantAccount.objects.select_for_update().get_or_create(
        code=code, defaults={"provider": provider, "environment": environment, "credentials_sealed": b""}
    )
    if (account.provider, account.environment) != (provider, environment):
        raise AccountRefused(f"{code} is a {account.environment} account of {account.provider}")
    account.set_credentials(credentials)
    account.summary = summary_of(provider, credentials)
    account.last_check = {}  # it spoke of other keys
    account.save(update_fields=["credentials_sealed", "credentials_version", "summary", "last_check", "updated_at"])
    return account


def summary_of(provider: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of credentials: numbers and names, and of every key its fingerprint and last day."""
    fields = ADAPTERS[provider].fields
    shown: dict[str, Any] = {
        field.name: credentials[field.name]
        for field in fields
        if field.kind in _SHOWN_KINDS and credentials.get(field.name)
    }
    shown["keys"] = [
        {
            "field": fact.field,
            "fingerprint": fact.fingerprint,
            "expires_at": fact.expires_at.isoformat() if fact.expires_at else None,
        }
        for fact in key_facts(fields, credentials)
    ]
    return shown


def merged_credentials(account: MerchantAccount, typed: Mapping[str, Any]) -> dict[str, Any]:
    """The credentials after a person filled in the form: an empty sealed field keeps what is stored.

    Every other field is shown in the form, so empty there means: not any more. Raises vault.VaultClosed.
    """
    kept = account.credentials()
    sealed = {field.name for field in ADAPTERS[account.provider].fields if field.is_sealed}
    merged = {name: value for name, value in kept.items() if name in sealed}
    merged.update({name: value for name, value in typed.items() if value is not None})
    return merged


# A closed account stays closed; before that, payments under way must have somewhere to end.
ACCOUNT_TRANSITIONS = {
    AccountState.ACTIVE: frozenset({AccountState.DRAINING}),
    AccountState.DRAINING: frozenset({AccountState.ACTIVE, AccountState.CLOSED}),
    AccountState.CLOSED: frozenset[AccountState](),
}


@transaction.atomic
def move_account(*, account_id: int, to: AccountState) -> MerchantAccount:
    """Move an account along active → draining → closed (or back from draining). Raises AccountRefused."""
    account = MerchantAccount.objects.select_for_update().get(pk=account_id)
    if to not in ACCOUNT_TRANSITIONS[AccountState(account.state)]:
        raise AccountRefused(f"{account.code} is {account.state}; it cannot become {to.value}")
    account.state = to
    account.save(update_fields=["state", "updated_at"])
    return account


@transaction.atomic
def replace_account(*, account_id: int, by_id: int) -> int:
    """Send every method of an account through another one, and let the first drain. Returns how many methods.

    Payments under way end where they were opened. Raises AccountRefused: another provider or environment, or an
    account that takes nothing new.
    """
    old, new = MerchantAccount.objects.select_for_update().filter(pk__in=(account_id, by_id)).order_by("pk")
    if old.pk != account_id:
        old, new = new, old
    if (old.provider, old.environment) != (new.provider, new.environment):
        raise AccountRefused(f"{new.code} is a {new.environment} account of {new.provider}")
    if new.state != AccountState.ACTIVE:
        raise AccountRefused(f"{new.code} is {new.state}; only an active account takes new payments")
    moved = ChannelMethod.objects.filter(account=old).update(account=new)
    if old.state == AccountState.ACTIVE:
        move_account(account_id=old.pk, to=AccountState.DRAINING)
    return moved


@transaction.atomic
def enable_method(*, channel: Channel, method: str, account: MerchantAccount) -> ChannelMethod:
    """Offer a method on a channel through an account (replacing the account it went through before).

    Raises AccountRefused: a method of another provider, or an account that opens nothing new.
    """
    if PROVIDER_OF_METHOD.get(method) != account.provider:
        raise AccountRefused(f"{account.code} is an account of {account.provider}, which has no method {method}")
    if account.state != AccountState.ACTIVE:
        raise AccountRefused(f"{account.code} is {account.state}; only an active account takes new payments")
    offered, _ = ChannelMethod.objects.update_or_create(
        channel=channel,
        environment=account.environment,
        method=method,
        defaults={"account": account, "is_enabled": True},
        create_defaults={
            "account": account,
            "position": ChannelMethod.objects.filter(channel=channel, environment=account.environment).count(),
        },
    )
    return offered


def rewrap_accounts() -> int:
    """Bring every account's credentials under the newest vault key. Returns how many were re-wrapped."""
    changed = 0
    for pk in list(MerchantAccount.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            account = MerchantAccount.objects.select_for_update().get(pk=pk)
            if vault.key_id_of(account.credentials_sealed) == vault.newest_key_id():
                continue
            account.credentials_sealed = vault.rewrap(account.credentials_sealed, at=account._cell())
            account.save(update_fields=["credentials_sealed"])
            changed += 1
    return changed


def rewrap_notifications() -> int:
    """Bring kept notifications under the newest vault key, in small batches. Returns how many."""
    changed = 0
    last = None
    while True:
        rows = Notification.objects.order_by("pk")
        batch = list((rows.filter(pk__gt=last) if last else rows)[:_BATCH].only("pk", "raw_sealed"))
        if not batch:
            return changed
        last = batch[-1].pk
        stale = [row for row in batch if vault.key_id_of(row.raw_sealed) != vault.newest_key_id()]
        for row in stale:
            row.raw_sealed = vault.rewrap(row.raw_sealed, at=raw_cell(row.pk))
        Notification.objects.bulk_update(stale, ["raw_sealed"])
        changed += len(stale)


def raw_cell(notification_id: object) -> bytes:
    """The vault's name for the raw message of a notification."""
    return vault.place("channels_app_notification", notification_id, "raw_sealed")
