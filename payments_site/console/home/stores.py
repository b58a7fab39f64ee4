"""What stores are owed by us, beyond payments: hints to be followed, deliveries to be told, lists to be read.

One cell of "them or us", shown where an account of the environment has such a provider.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min
from django.utils.translation import gettext as _

from channels_app.models import AccountState, MerchantAccount, Notification
from channels_app.providers import ADAPTERS
from orders.models import AttemptState, PaymentAttempt
from payments_site.console.home.health import Cell, at
from payments_site.console.home.words import NOTHING, age
from payments_site.console.scope import Scope

_VERBS = ("follow", "confirm", "happenings")
# A provider that answers is asked within minutes; a store is told within one round after the goods are there.
_HINTS_LATE = timedelta(minutes=15)
_TELLING_LATE = timedelta(hours=1)
# A case opens after two days; a store takes a purchase back after three.
_TELLING_ALARMS = timedelta(hours=24)
_ROUNDS_MISSED = 3


def stores(scope: Scope, *, now: datetime) -> list[Cell]:
    """The cell, when anything here is such a store."""
    accounts = [
        account
        for account in MerchantAccount.objects.filter(environment=scope.environment).order_by("pk")
        if any(hasattr(ADAPTERS.get(account.provider), verb) for verb in _VERBS)
    ]
    return [_cell(accounts, now)] if accounts else []


def _cell(accounts: list[MerchantAccount], now: datetime) -> Cell:
    hints, hint = _hints(accounts)
    untold, oldest = _untold(accounts)
    read = _read_until(accounts)
    normal = Cell(
        name=_("Stores"),
        tone="done",
        state=_("Normal"),
        figure=_("%(count)d waiting") % {"count": hints + untold},
        usual=_("ask %(hints)d, tell %(untold)d; oldest %(age)s")
        % {"hints": hints, "untold": untold, "age": age(now - min(one for one in (hint, oldest) if one))}
        if hint or oldest
        else _("nothing waits"),
        last=_("lists read %(age)s ago") % {"age": age(now - read)} if read else NOTHING,
    )
    if oldest and now - oldest > _TELLING_LATE:
        words = _("a store has not been told of a delivery since %(time)s") % {"time": at(oldest)}
        tone = "decide" if now - oldest > _TELLING_ALARMS else "working"
        return replace(normal, tone=tone, state=_("Not told of deliveries"), sentence=words)
    if hint and now - hint > _HINTS_LATE:
        words = _("a store does not answer about a purchase since %(time)s") % {"time": at(hint)}
        return replace(normal, tone="working", state=_("Does not answer"), sentence=words)
    if read and now - read > _ROUNDS_MISSED * timedelta(seconds=settings.LISTING_INTERVAL_S):
        words = _("a store’s list has not been read since %(time)s") % {"time": at(read)}
        return replace(normal, tone="working", state=_("List not read"), sentence=words)
    return normal


def _hints(accounts: list[MerchantAccount]) -> tuple[int, datetime | None]:
    """Messages whose providers are still being asked, through the small index of them."""
    waiting = Notification.objects.filter(account__in=accounts, ask_at__isnull=False).order_by()
    row = waiting.aggregate(count=Count("pk"), oldest=Min("received_at"))
    return row["count"], row["oldest"]


def _untold(accounts: list[MerchantAccount]) -> tuple[int, datetime | None]:
    """Paid purchases whose stores are still to be told; the time counts from the payment."""
    waiting = PaymentAttempt.objects.filter(
        account__in=accounts, next_query_at__isnull=False, state=AttemptState.PAID, confirmed_at=None
    ).order_by()
    row = waiting.aggregate(count=Count("pk"), oldest=Min("order__settled_at"))
    return row["count"], row["oldest"]


def _read_until(accounts: list[MerchantAccount]) -> datetime | None:
    """Up to when every list has been read; a list that was never read counts from when we had the account."""
    return min(
        (
            account.listed_until or account.created_at
            for account in accounts
            if hasattr(ADAPTERS[account.provider], "happenings") and account.state != AccountState.CLOSED
        ),
        default=None,
    )
