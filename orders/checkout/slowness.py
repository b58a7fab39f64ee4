"""Which providers have not been answering: said beside their names before a player waits for one.

The proof is at hand: an attempt is committed as `opening` before its provider is called and becomes `open` with
the answer. Of the newest attempts, those that are still `opening` after the longest time a call may take were never
answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from channels_app.providers import METHODS
from channels_app.providers.transport import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

# The newest rows by primary key: a fixed number of them, however large the table is.
_NEWEST = 200
_LATELY = timedelta(minutes=3)
# An answer may take this long; until then an attempt proves nothing.
_ANSWER_WITHIN = timedelta(seconds=CONNECT_TIMEOUT_S + READ_TIMEOUT_S)
# One silent call is an accident of the network.
_SILENT_AT_LEAST = 2
_KEPT_S = 5.0

# A method whose parameters we only sign is `open` without its provider having been asked.
_CALLING = [code for code, method in METHODS.items() if method.calls_provider]
_SILENT = """
    WITH newest AS (
        SELECT account_id, method, state, created_at FROM orders_paymentattempt ORDER BY id DESC LIMIT %(newest)s
    )
    SELECT account.environment, account.provider
    FROM newest JOIN channels_app_merchantaccount account ON account.id = newest.account_id
    WHERE newest.created_at > %(since)s AND newest.method = ANY(%(calling)s)
      AND (newest.state <> 'opening' OR newest.created_at < %(unanswered_before)s)
    GROUP BY account.environment, account.provider
    HAVING count(*) FILTER (WHERE newest.state = 'opening') >= %(at_least)s
       AND count(*) FILTER (WHERE newest.state = 'opening') * 2 >= count(*)
"""


@dataclass(frozen=True, slots=True)
class _Seen:
    slow: Mapping[str, frozenset[str]]  # by environment
    until: datetime


_seen: _Seen | None = None


def slow_providers(*, environment: str, now: datetime) -> frozenset[str]:
    """The providers that left half of the latest calls unanswered. Looked at every few seconds, not per page."""
    global _seen  # of this process
    seen = _seen
    if seen is None or seen.until <= now:
        seen = _seen = _Seen(_look(now), now + timedelta(seconds=_KEPT_S))
    return seen.slow.get(environment, frozenset())


def forget_slow_providers() -> None:
    """Look again at once."""
    global _seen  # as above
    _seen = None


def _look(now: datetime) -> Mapping[str, frozenset[str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _SILENT,
            {
                "newest": _NEWEST, "since": now - _LATELY, "calling": _CALLING,
                "unanswered_before": now - _ANSWER_WITHIN, "at_least": _SILENT_AT_LEAST,
            },
        )  # fmt: skip
        slow: dict[str, set[str]] = {}
        for environment, provider in cursor.fetchall():
            slow.setdefault(environment, set()).add(provider)
    return {environment: frozenset(providers) for environment, providers in slow.items()}
