"""Cases (异常单): one queue for everything that needs a human. Opening one twice opens it once."""

from datetime import datetime

from django.db import connection

from orders.models import CaseKind

# Raw because it is used inside pipelined transactions too.
OPEN = """
    INSERT INTO orders_case
        (kind, subject, environment, game_id, order_id, payment_id, account_id, amount_minor, currency, detail,
         opened_at, decision, closed_by)
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
        kind.value, subject[:120], environment, game_id, order_id, account_id, transaction_id, account_id, amount_minor,
        currency[:3], detail[:300], now,
    )  # fmt: skip


def open_case(**about: object) -> None:
    """Open a case outside the hot path; the arguments are those of `opening`."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN, opening(**about))  # type: ignore[arg-type]  # checked by `opening` itself
