"""Cases (异常单): one queue for everything that needs a human. Opening one twice opens it once."""

from datetime import datetime

from django.db import connection, models, transaction
from django.utils.translation import gettext_lazy as _

from orders.models import Case, CaseKind


class Decision(models.TextChoices):
    """How a case ended."""

    REFUNDED = "refunded", _("money given back at the provider")
    DELIVERED = "delivered", _("goods delivered")
    TOLD = "told", _("game server was told")
    SWITCHED_ON = "switched on", _("endpoint switched on again")
    EXPLAINED = "explained", _("explained, nothing to do")


class CaseClosed(Exception):
    """Somebody else has closed this case."""


class ReasonMissing(ValueError):
    """A case is not closed without saying why."""


# Raw because it is used inside pipelined transactions too.
OPEN = """
    INSERT INTO orders_case
        (kind, subject, environment, game_id, order_id, payment_id, account_id, amount_minor, currency,
         detail, opened_at, decision, closed_by)
    VALUES (%s, %s, %s, %s, %s, (SELECT id FROM orders_payment WHERE account_id = %s AND transaction_id = %s),
            %s, %s, %s, %s, %s, '', '')
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
) -> tuple[object, ...]:
    """The parameters of OPEN. The payment is the one booked under (account, transaction)."""
    return (
        kind.value, subject[:120], environment, game_id, order_id, account_id, transaction_id, account_id,
        amount_minor, currency[:3], detail[:300], now,
    )  # fmt: skip


def open_case(**about: object) -> None:
    """Open a case outside the hot path; the arguments are those of `opening`."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN, opening(**about))  # type: ignore[arg-type]  # checked by `opening` itself


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
