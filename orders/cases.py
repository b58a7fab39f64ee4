"""Cases (异常单): one queue for everything that needs a human. Opening one twice opens it once.

How long each kind may wait, and for whom it waits, stands here once: the first page, the queue and what a player is
told ("an answer by …") read the same table.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection, models, transaction
from django.utils.translation import gettext_lazy as _

from orders.models import Case, CaseKind, Order


class Decision(models.TextChoices):
    """How a case ended."""

    REFUNDED = "refunded", _("money given back at the provider")
    DELIVERED = "delivered", _("goods delivered")
    TOLD = "told", _("game server was told")
    SWITCHED_ON = "switched on", _("endpoint switched on again")
    WON = "won", _("the bank decided for us")
    LOST = "lost", _("the bank decided for the buyer")
    TAKEN_BACK = "taken back", _("the provider took it back")
    EXPLAINED = "explained", _("explained, nothing to do")


class Queue(models.TextChoices):
    """Whose turn it is while nobody in person has taken a case. The values are the names of roles."""

    SUPPORT = "support", _("customer service lead")
    OPERATIONS = "operations", _("operations")
    FINANCE = "finance", _("finance")
    ENGINEER = "engineer", _("engineers")


# Hours within which a person has decided.
LIMIT_HOURS: Mapping[CaseKind, int] = {
    CaseKind.UNKNOWN_ORDER: 24,
    CaseKind.AMOUNT_DIFFERS: 4,
    CaseKind.SECOND_PAYMENT: 24,
    CaseKind.LATE_PAYMENT: 4,
    CaseKind.GIVEN_BACK: 8,
    CaseKind.UNMATCHED: 8,
    CaseKind.PURCHASE_DIFFERS: 4,
    CaseKind.TEST_MONEY: 24,
    CaseKind.REVIEW: 8,
    CaseKind.UNDECIDED: 4,
    CaseKind.PROVIDER_REFUND: 8,
    CaseKind.REFUND_ASKED: 8,
    CaseKind.DISPUTE: 48,
    CaseKind.UNCONFIRMED: 4,
    CaseKind.DELIVERY_PARKED: 4,
    CaseKind.WEBHOOK_PARKED: 8,
    CaseKind.HANDED_OVER: 4,
    CaseKind.UNREADABLE_NOTIFICATION: 4,
}
QUEUES: Mapping[CaseKind, Queue] = {
    CaseKind.UNKNOWN_ORDER: Queue.FINANCE,
    CaseKind.AMOUNT_DIFFERS: Queue.FINANCE,
    CaseKind.SECOND_PAYMENT: Queue.SUPPORT,
    CaseKind.LATE_PAYMENT: Queue.SUPPORT,
    CaseKind.GIVEN_BACK: Queue.FINANCE,
    CaseKind.UNMATCHED: Queue.SUPPORT,
    CaseKind.PURCHASE_DIFFERS: Queue.SUPPORT,
    CaseKind.TEST_MONEY: Queue.OPERATIONS,
    CaseKind.REVIEW: Queue.FINANCE,
    CaseKind.UNDECIDED: Queue.FINANCE,
    CaseKind.PROVIDER_REFUND: Queue.FINANCE,
    CaseKind.REFUND_ASKED: Queue.SUPPORT,
    CaseKind.DISPUTE: Queue.FINANCE,
    CaseKind.UNCONFIRMED: Queue.ENGINEER,
    CaseKind.DELIVERY_PARKED: Queue.OPERATIONS,
    CaseKind.WEBHOOK_PARKED: Queue.OPERATIONS,
    CaseKind.HANDED_OVER: Queue.SUPPORT,
    CaseKind.UNREADABLE_NOTIFICATION: Queue.ENGINEER,
}
# Decisions of somebody outside, and what they decide about.
_DECIDED_OUTSIDE: Mapping[Decision, tuple[CaseKind, ...]] = {
    Decision.WON: (CaseKind.DISPUTE,),
    Decision.LOST: (CaseKind.DISPUTE,),
    Decision.TAKEN_BACK: (CaseKind.PROVIDER_REFUND, CaseKind.REFUND_ASKED, CaseKind.UNCONFIRMED),
}
# `assignee` holds a user name, or this followed by a queue that the case was given to.
_OF_QUEUE = "queue:"


def decisions_for(kind: CaseKind) -> list[Decision]:
    """The decisions that can end a case of this kind."""
    return [decision for decision in Decision if kind in _DECIDED_OUTSIDE.get(decision, tuple(CaseKind))]


def answer_by(case: Case) -> datetime:
    """Until when a person should have decided; never later than somebody outside waits for us."""
    limit = case.opened_at + timedelta(hours=LIMIT_HOURS[CaseKind(case.kind)])
    return min(limit, case.due_at) if case.due_at else limit


def is_late(case: Case, now: datetime) -> bool:
    """Whether an open case has waited longer than its kind may."""
    return case.closed_at is None and answer_by(case) < now


def queue_of(case: Case) -> Queue:
    """Whose turn it is while no person has taken the case."""
    if case.assignee.startswith(_OF_QUEUE):
        return Queue(case.assignee.removeprefix(_OF_QUEUE))
    return QUEUES[CaseKind(case.kind)]


def taken_by(case: Case) -> str:
    """The user name of the person who has taken the case; empty while it waits in a queue."""
    return "" if case.assignee.startswith(_OF_QUEUE) else case.assignee


class CaseClosed(Exception):
    """Somebody else has closed this case."""


class ReasonMissing(ValueError):
    """A case is not closed without saying why."""


# Raw because it is used inside pipelined transactions too.
OPEN = """
    INSERT INTO orders_case
        (kind, subject, environment, game_id, order_id, payment_id, account_id, amount_minor, currency,
         detail, opened_at, due_at, decision, closed_by)
    VALUES (%s, %s, %s, %s, %s, (SELECT id FROM orders_payment WHERE account_id = %s AND transaction_id = %s),
            %s, %s, %s, %s, %s, %s, '', '')
    ON CONFLICT (kind, subject) WHERE closed_at IS NULL DO NOTHING
"""


def opening(
    *,
    kind: CaseKind,
    subject: str,
    environment: str,
    now: datetime,
    game_id: int | None = None,
    order_id: int | None = None,
    account_id: int | None = None,
    transaction_id: str = "",
    amount_minor: int | None = None,
    currency: str = "",
    detail: str = "",
    due_at: datetime | None = None,
) -> tuple[object, ...]:
    """The parameters of OPEN. The payment is the one booked under (account, transaction)."""
    return (
        kind.value, subject[:120], environment, game_id, order_id, account_id, transaction_id, account_id,
        amount_minor, currency[:3], detail[:300], now, due_at,
    )  # fmt: skip


def open_case(**about: object) -> None:
    """Open a case outside the hot path; the arguments are those of `opening`."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN, opening(**about))  # type: ignore[arg-type]  # checked by `opening` itself


def close_by_fact(*, kind: CaseKind, subject: str, decision: Decision, fact: str, actor: str, now: datetime) -> bool:
    """Close the open case about something because what it waited for has happened; `fact` says what.

    Returns whether there was one.
    """
    closed = Case.objects.filter(kind=kind, subject=subject[:120], closed_at=None).update(
        closed_at=now, decision=decision.value, closed_by=actor[:80], note=fact[:500]
    )
    return bool(closed)


@transaction.atomic
def close_case(*, case_id: int, decision: Decision, reason: str, by: str, now: datetime) -> Case:
    """Close an open case with a decision, once. `by` names the person, `reason` says why; both stay on the case.

    Raises CaseClosed when another was faster, ReasonMissing when nothing was typed.
    """
    note = reason.strip()
    if not note:
        raise ReasonMissing
    case = Case.objects.select_for_update().get(pk=case_id)
    if case.closed_at is not None:
        raise CaseClosed
    case.closed_at = now
    case.decision = decision.value
    case.closed_by = by[:80]
    case.note = note[:500]
    case.save(update_fields=["closed_at", "decision", "closed_by", "note"])
    return case


@transaction.atomic
def assign_case(*, case_id: int, to: str | Queue) -> Case:
    """Give an open case to a person (by user name) or to a queue. Raises CaseClosed."""
    case = Case.objects.select_for_update().get(pk=case_id)
    if case.closed_at is not None:
        raise CaseClosed
    case.assignee = f"{_OF_QUEUE}{to.value}" if isinstance(to, Queue) else to[:150]
    case.save(update_fields=["assignee"])
    return case


class AlreadyHandedOver(Exception):
    """The order waits for a colleague already."""


@transaction.atomic
def hand_over(*, order: Order, to: Queue, detail: str, now: datetime) -> Case:
    """Put an order before a colleague as a case of its own. Raises AlreadyHandedOver while one is open."""
    about = {"kind": CaseKind.HANDED_OVER, "subject": f"order:{order.order_no}"}
    # The row that is inserted is locked; of two who ask at once the second finds the first's.
    if Case.objects.filter(**about, closed_at__isnull=True).exists():
        raise AlreadyHandedOver
    open_case(
        **about, environment=order.environment, now=now, game_id=order.game_id, order_id=order.pk,
        amount_minor=order.amount_minor, currency=order.currency, detail=detail,
    )  # fmt: skip
    case = Case.objects.select_for_update().get(**about, closed_at__isnull=True)
    if case.assignee:
        raise AlreadyHandedOver
    return assign_case(case_id=case.pk, to=to)
