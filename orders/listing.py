"""Reading a provider's own list of what happened, where it has one: what was never told to us is found again.

Each account remembers up to when its list was read. A reading reaches back a little further, because lists lag; what
comes twice changes nothing.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from channels_app.models import AccountState, MerchantAccount
from channels_app.providers import ADAPTERS
from channels_app.providers.base import Hint, Listing, ProviderError
from orders.attempts import adapter_for
from orders.messages import Arrival, take
from orders.models import ProofSource

logger = logging.getLogger(__name__)

_OVERLAP = timedelta(minutes=30)
_LISTED = tuple(code for code, adapter in ADAPTERS.items() if hasattr(adapter, "happenings"))


def accounts_to_list(*, now: datetime) -> list[int]:
    """Accounts whose provider has a list that was not read for a while."""
    before = now - timedelta(seconds=settings.LISTING_INTERVAL_S)
    due = MerchantAccount.objects.filter(Q(listed_until__lt=before) | Q(listed_until=None), provider__in=_LISTED)
    return list(due.exclude(state=AccountState.CLOSED).order_by("pk").values_list("pk", flat=True))


def read_list(account_id: int, *, now: datetime) -> int | None:
    """Read what has happened since the last reading and act on it. Returns how many messages; None: not now."""
    account = MerchantAccount.objects.get(pk=account_id)
    taken = 0
    try:
        adapter = adapter_for(account)
        if not isinstance(adapter, Listing):
            return 0
        since = max((account.listed_until or account.created_at) - _OVERLAP, now - adapter.reaches_back)
        arrival = Arrival(account=account, source=ProofSource.LISTING, actor="list")
        for message in adapter.happenings(since=since, until=now):
            if not isinstance(message, Hint):
                take(message, arrival)
                taken += 1
    except ProviderError as error:
        # What was taken so far is safe; the next reading begins where this one began.
        logger.warning("list of %s not read to its end: %s", account.code, error.code)
        return None
    MerchantAccount.objects.filter(pk=account_id).update(listed_until=now)
    return taken
