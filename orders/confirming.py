"""Telling a store that the goods were delivered. A store that is not told gives the buyer's money back.

Only after our own delivery is on record, and repeated until the store has heard it. When it has not within two days,
a person is told: Google, for one, takes a purchase back after three.
"""

import logging
from datetime import datetime, timedelta

from channels_app.providers import METHODS
from channels_app.providers.base import Confirming, ProviderError
from orders.attempts import adapter_for, reference
from orders.cases import Decision, close_by_fact, open_case
from orders.models import CaseKind, DeliveryState, EventKind, Order, PaymentAttempt
from orders.timeline import record

logger = logging.getLogger(__name__)

_ALARM_AFTER = timedelta(hours=48)


def waits_for_confirmation(attempt: PaymentAttempt) -> bool:
    """Whether the store of a paid attempt has still to be told."""
    method = METHODS.get(attempt.method)
    return method is not None and method.confirms and attempt.confirmed_at is None


def confirm(attempt: PaymentAttempt, *, now: datetime) -> bool:
    """Tell the store when the goods are the player's. Whether nothing is left to do."""
    order = attempt.order
    if not attempt.payments.filter(applied=True).exists():
        return True  # held money is not confirmed: what nobody gets, the store gives back
    if order.delivery_state == DeliveryState.REVOKED:
        return True
    if order.delivery_state == DeliveryState.DELIVERED and _told(attempt, order):
        PaymentAttempt.objects.filter(pk=attempt.pk).update(confirmed_at=now)
        said = {"attempt_no": attempt.attempt_no}
        record(order_id=order.pk, kind=EventKind.CONFIRMED, actor="worker", now=now, data=said)
        close_by_fact(
            kind=CaseKind.UNCONFIRMED, subject=_subject(attempt), decision=Decision.TOLD, fact="the store was told",
            actor="worker", now=now,
        )  # fmt: skip
        return True
    if order.settled_at is not None and order.settled_at + _ALARM_AFTER < now:
        _alarm(attempt, order, now)
    return False


def _told(attempt: PaymentAttempt, order: Order) -> bool:
    adapter = adapter_for(attempt.account)
    if not isinstance(adapter, Confirming):
        raise TypeError(f"{adapter.code} wants to be told and has no words for it")
    try:
        adapter.confirm(reference(attempt), transaction_id=order.transaction_id)
    except ProviderError as error:
        logger.warning(
            "store not told: account=%s attempt_no=%s said=%s", attempt.account.code, attempt.attempt_no, error.code
        )
        PaymentAttempt.objects.filter(pk=attempt.pk).update(provider_said=error.code[:60])
        return False
    return True


def _alarm(attempt: PaymentAttempt, order: Order, now: datetime) -> None:
    open_case(
        kind=CaseKind.UNCONFIRMED,
        subject=_subject(attempt),
        environment=order.environment,
        now=now,
        game_id=order.game_id,
        order_id=order.pk,
        account_id=attempt.account_id,
        transaction_id=order.transaction_id,
        amount_minor=order.amount_minor,
        currency=order.currency,
        detail=f"delivery is {order.delivery_state}; the store last said {attempt.provider_said or 'nothing'}",
    )


def _subject(attempt: PaymentAttempt) -> str:
    return f"confirm:{attempt.account.code}:{attempt.attempt_no}"
