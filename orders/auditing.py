"""The books prove themselves: invariants of orders, payments and notifications, read from the rows alone.

Numbers as in docs/guarantees.md. Every invariant is one query for the rows it looks at and one for those that break
it; both read only. `manage.py audit` runs them all, these and the goods' own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection, transaction

_KEYS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold for every row. `broken` selects one text column: the offending keys."""

    code: str
    says: str
    rows: str
    broken: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one invariant's check found."""

    invariant: Invariant
    checked: int
    broken: Sequence[str]


def examine(invariants: Sequence[Invariant]) -> Iterator[Finding]:
    """Check each invariant on one snapshot of the database, so that payments going on cannot blur it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for invariant in invariants:
            cursor.execute(f"SELECT count(*) FROM {invariant.rows}")  # noqa: S608  # our own texts below
            (checked,) = cursor.fetchone() or (0,)
            cursor.execute(f"SELECT key::text FROM ({invariant.broken}) AS found (key) LIMIT {_KEYS_SHOWN}")  # noqa: S608
            yield Finding(invariant, checked, [key for (key,) in cursor.fetchall()])


INVARIANTS = (
    Invariant(
        "I-04", "one provider transaction is booked once",
        "orders_payment",
        "SELECT account_id || '/' || transaction_id FROM orders_payment"
        " GROUP BY account_id, transaction_id HAVING count(*) > 1",
    ),
    Invariant(
        "I-04", "a paid order stands on exactly one applied payment, an unpaid one on none",
        "orders_order",
        "SELECT o.order_no FROM orders_order o LEFT JOIN orders_payment p ON p.order_id = o.id AND p.applied"
        " GROUP BY o.id HAVING count(p.id) <> (o.state = 'paid')::int",
    ),
    Invariant(
        "I-05", "a payment that was not applied has a case",
        "orders_payment WHERE NOT applied",
        "SELECT p.transaction_id FROM orders_payment p WHERE NOT p.applied"
        " AND NOT EXISTS (SELECT 1 FROM orders_case c WHERE c.payment_id = p.id)",
    ),
    Invariant(
        "I-06", "the applied payment has the order's amount, currency and transaction, in its environment",
        "orders_payment WHERE applied",
        "SELECT o.order_no FROM orders_payment p JOIN orders_order o ON o.id = p.order_id"
        " JOIN channels_app_merchantaccount a ON a.id = p.account_id"
        " JOIN orders_paymentattempt t ON t.id = p.attempt_id WHERE p.applied AND"
        " ((p.transaction_id, a.environment) IS DISTINCT FROM (o.transaction_id, o.environment)"
        # What a store sells has the store's price: there product and quantity count, compared when it is settled.
        " OR t.store_product_id = '' AND (p.amount_minor, p.currency) <> (o.amount_minor, o.currency))",
    ),
    Invariant(
        "I-08", "play money paid a real order for listed reviewers only",
        "orders_payment WHERE applied AND environment = 'sandbox'",
        "SELECT o.order_no FROM orders_payment p JOIN orders_order o ON o.id = p.order_id"
        " WHERE p.applied AND p.environment <> o.environment AND (p.environment <> 'sandbox'"
        " OR NOT EXISTS (SELECT 1 FROM orders_reviewer r WHERE r.game_id = o.game_id AND r.uid = o.uid))",
    ),
    Invariant(
        "I-08", "an attempt is made at an account of its order's environment",
        "orders_paymentattempt",
        "SELECT t.attempt_no FROM orders_paymentattempt t JOIN orders_order o ON o.id = t.order_id"
        " JOIN channels_app_merchantaccount a ON a.id = t.account_id WHERE a.environment <> o.environment",
    ),
    Invariant(
        "I-09", "no order gave back more than it took",
        "orders_order",
        "SELECT order_no FROM orders_order WHERE refunded_minor > amount_minor"
        " OR (refunded_minor > 0 AND state <> 'paid')",
    ),
    Invariant(
        "I-17", "of all notifications of one transaction at most one was applied",
        "channels_app_notification WHERE verdict = 'applied'",
        "SELECT account_id || '/' || transaction_id FROM channels_app_notification WHERE verdict = 'applied'"
        " GROUP BY account_id, transaction_id HAVING count(*) > 1",
    ),
    Invariant(
        "I-17", "a notification that was applied, held or a duplicate has its payment",
        "channels_app_notification WHERE verdict IN ('applied', 'duplicate') OR verdict = 'orphan'",
        "SELECT n.id FROM channels_app_notification n WHERE n.verdict IN ('applied', 'duplicate', 'orphan')"
        " AND n.transaction_id <> '' AND NOT EXISTS (SELECT 1 FROM orders_payment p"
        " WHERE p.account_id = n.account_id AND p.transaction_id = n.transaction_id)",
    ),
    Invariant(
        "I-18", "nothing was done because of a message that is not genuine",
        "orders_orderevent WHERE actor LIKE 'notification %'",
        "SELECT n.id FROM orders_orderevent e JOIN channels_app_notification n"
        " ON n.id = substring(e.actor from 14)::uuid WHERE e.actor LIKE 'notification %' AND n.verdict = 'refused'",
    ),
    Invariant(
        "I-20", "every attempt that may still be paid has a time at which the provider is asked",
        "orders_paymentattempt WHERE state IN ('opening', 'open')",
        "SELECT attempt_no FROM orders_paymentattempt WHERE state IN ('opening', 'open') AND next_query_at IS NULL",
    ),
    Invariant(
        "I-21", "no notification waits for its verdict longer than five minutes",
        "channels_app_notification",
        "SELECT id FROM channels_app_notification WHERE verdict = 'received'"
        " AND received_at < now() - interval '5 minutes'",
    ),
    Invariant(
        "I-24", "every step of an order names its cause, and the steps that happen once happened once",
        "orders_orderevent",
        "SELECT o.order_no FROM orders_order o JOIN orders_orderevent e ON e.order_id = o.id GROUP BY o.id"
        " HAVING bool_or(e.actor = '') OR count(*) FILTER (WHERE e.kind = 'created') <> 1"
        " OR count(*) FILTER (WHERE e.kind = 'paid') <> (o.state = 'paid')::int"
        " OR count(*) FILTER (WHERE e.kind = 'delivered') > 1",
    ),
    Invariant(
        "I-35", "created, booked and delivered follow each other, and nothing lies in the future",
        "orders_order",
        "SELECT order_no FROM orders_order WHERE settled_at < created_at OR delivered_at < settled_at"
        " OR greatest(created_at, settled_at, delivered_at, cancelled_at) > clock_timestamp() + interval '2 seconds'",
    ),
)  # fmt: skip
