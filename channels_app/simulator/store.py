"""The simulator's memory: one SQLite file, so that a restart keeps keys, trades and notifications on their way.

Written by one simulator process; other processes may make merchants and read beside it.
"""

import json
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from channels_app.simulator import formats, merchants
from channels_app.simulator.merchants import KINDS, PROVIDERS
from channels_app.simulator.rows import (
    ACKNOWLEDGED,
    CLOSED,
    DUE,
    GENUINE,
    HELD,
    PAID,
    WAITING,
    Attempt,
    Merchant,
    Notice,
    Payment,
    Refund,
    Trade,
    Weather,
)

_CREATED_WITHIN_S = 30.0

_TABLES = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS merchant (
    id INTEGER PRIMARY KEY, provider TEXT NOT NULL, code TEXT NOT NULL, number TEXT NOT NULL, about TEXT NOT NULL,
    UNIQUE (provider, code), UNIQUE (provider, number));
CREATE TABLE IF NOT EXISTS trade (
    id INTEGER PRIMARY KEY, merchant_id INTEGER NOT NULL REFERENCES merchant, provider TEXT NOT NULL,
    out_trade_no TEXT NOT NULL, product TEXT NOT NULL, amount INTEGER NOT NULL, subject TEXT NOT NULL,
    attach TEXT NOT NULL, notify_url TEXT NOT NULL, return_url TEXT NOT NULL, state TEXT NOT NULL,
    opened INTEGER NOT NULL, trade_no TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
    closed_at REAL, terms TEXT NOT NULL, UNIQUE (merchant_id, out_trade_no));
CREATE INDEX IF NOT EXISTS trade_number ON trade (provider, out_trade_no);
CREATE INDEX IF NOT EXISTS trade_waiting ON trade (expires_at) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS code (
    code TEXT PRIMARY KEY, trade_id INTEGER NOT NULL REFERENCES trade, expires_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS code_trade ON code (trade_id);
CREATE TABLE IF NOT EXISTS payment (
    id INTEGER PRIMARY KEY, trade_id INTEGER NOT NULL REFERENCES trade, transaction_id TEXT NOT NULL UNIQUE,
    amount INTEGER NOT NULL, paid_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS payment_trade ON payment (trade_id);
CREATE TABLE IF NOT EXISTS refund (
    id INTEGER PRIMARY KEY, payment_id INTEGER NOT NULL REFERENCES payment, number TEXT NOT NULL,
    refund_id TEXT NOT NULL UNIQUE, amount INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    notify_url TEXT NOT NULL, created_at REAL NOT NULL, succeeds_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS refund_payment ON refund (payment_id);
CREATE INDEX IF NOT EXISTS refund_number ON refund (number);
CREATE INDEX IF NOT EXISTS refund_under_way ON refund (succeeds_at) WHERE state = 'PROCESSING';
CREATE TABLE IF NOT EXISTS notice (
    id INTEGER PRIMARY KEY, number TEXT NOT NULL, provider TEXT NOT NULL, trade_id INTEGER NOT NULL REFERENCES trade,
    event TEXT NOT NULL, url TEXT NOT NULL, content TEXT NOT NULL, state TEXT NOT NULL, how TEXT NOT NULL,
    attempts INTEGER NOT NULL, due_at REAL NOT NULL, created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS notice_trade ON notice (trade_id);
CREATE INDEX IF NOT EXISTS notice_due ON notice (due_at) WHERE state IN ('due', 'held');
CREATE TABLE IF NOT EXISTS attempt (
    id INTEGER PRIMARY KEY, notice_id INTEGER NOT NULL REFERENCES notice, at REAL NOT NULL, how TEXT NOT NULL,
    status INTEGER NOT NULL, answer TEXT NOT NULL, acknowledged INTEGER NOT NULL, took_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS attempt_notice ON attempt (notice_id);
CREATE TABLE IF NOT EXISTS weather (
    provider TEXT NOT NULL, call TEXT NOT NULL, mode TEXT NOT NULL, remaining INTEGER, carried_out INTEGER NOT NULL,
    PRIMARY KEY (provider, call));
"""
_JSON_COLUMNS = ("about", "terms", "content")
_FLAG_COLUMNS = ("opened", "acknowledged", "carried_out")

Row = TypeVar("Row", Merchant, Trade, Payment, Refund, Notice, Attempt, Weather)


class Store:
    """Everything the simulator knows. Safe for many threads; made ready for use by being constructed."""

    def __init__(self, directory: Path) -> None:
        """Open, or create, the memory in this directory; only its owner may read the keys."""
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "simulator.sqlite3"
        file.touch(mode=0o600)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(file, timeout=_CREATED_WITHIN_S, isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # A simulator that is killed loses nothing; one whose machine loses power may.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_TABLES)
        self.platform = merchants.Platform(self._kept)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside stands or falls together; nests."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- merchants ------------------------------------------------------------------------------------------
    def merchant(
        self, provider: str, code: str, base_url: str = "http://127.0.0.1:8002", *, certificates: bool = False,
        notify_url: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """The credentials file of a merchant, who is made when unknown; `base_url` is where the simulator listens.

        `certificates` (Alipay only) gives the certificate mode instead of the key mode and moves the application
        over to it. `notify_url` is what a merchant types into the provider's console, where no call carries it.
        """
        merchant = self.find_merchant(provider, code) or self._new_merchant(provider, code)
        if notify_url and merchant.about.get("notify_url") != notify_url:
            merchant = self.change_merchant(merchant, notify_url=notify_url)
        if provider == "alipay" and merchant.about["certificates"] != certificates:
            merchant = self.change_merchant(merchant, certificates=certificates)
        return KINDS[provider].credentials(merchant, self.platform, base_url)

    def find_merchant(self, provider: str, code: str) -> Merchant | None:
        """By the code of our side."""
        return self._one(Merchant, "provider = ? AND code = ?", provider, code)

    def merchant_by_number(self, provider: str, number: str) -> Merchant | None:
        """By mchid or app_id."""
        return self._one(Merchant, "provider = ? AND number = ?", provider, number)

    def merchant_of(self, trade: Trade) -> Merchant:
        """Whose trade it is."""
        return self._exactly(self._one(Merchant, "id = ?", trade.merchant_id))

    def merchants(self) -> list[Merchant]:
        """All of them."""
        return self._all(Merchant, "1 ORDER BY id")

    def change_merchant(self, merchant: Merchant, **about: Any) -> Merchant:
        """Other settings for a merchant."""
        self._write("UPDATE merchant SET about = ? WHERE id = ?", _text({**merchant.about, **about}), merchant.id)
        return self._exactly(self._one(Merchant, "id = ?", merchant.id))

    def _new_merchant(self, provider: str, code: str) -> Merchant:
        if provider not in PROVIDERS:
            raise ValueError(f"the simulator plays {', '.join(PROVIDERS)}, not {provider}")
        about = KINDS[provider].make(code, self.platform)
        number = about.pop("number")
        # Two processes may make the same merchant at once: the first wins, both read it.
        self._write(
            "INSERT OR IGNORE INTO merchant (provider, code, number, about) VALUES (?, ?, ?, ?)",
            provider, code, number, _text(about),
        )  # fmt: skip
        return self._exactly(self.find_merchant(provider, code))

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        found = self._db_value("SELECT value FROM kept WHERE name = ?", name)
        if found is None:
            self._write("INSERT OR IGNORE INTO kept (name, value) VALUES (?, ?)", name, make())
            found = self._db_value("SELECT value FROM kept WHERE name = ?", name)
        return str(found)

    # --- trades ---------------------------------------------------------------------------------------------
    def add_trade(self, merchant: Merchant, **about: Any) -> Trade:
        """A new trade, of its other columns."""
        values = {
            "merchant_id": merchant.id, "provider": merchant.provider, "state": WAITING, "created_at": time.time(),
            "trade_no": "", **about, "terms": _text(about["terms"]),
        }  # fmt: skip
        return self._exactly(self._one(Trade, "id = ?", self._insert("trade", values)))

    def trade(self, trade_id: int) -> Trade:
        """As it is now."""
        return self._exactly(self._one(Trade, "id = ?", trade_id))

    def trade_by_number(self, merchant: Merchant, out_trade_no: str) -> Trade | None:
        """The trade a merchant knows by this number."""
        return self._one(Trade, "merchant_id = ? AND out_trade_no = ?", merchant.id, out_trade_no)

    def trade_by_trade_no(self, merchant: Merchant, trade_no: str) -> Trade | None:
        """The trade Alipay knows by this number, paid or not."""
        return self._one(Trade, "merchant_id = ? AND trade_no = ? AND trade_no != ''", merchant.id, trade_no)

    def trades(self, *, provider: str = "", out_trade_no: str = "", limit: int = 1000) -> list[Trade]:
        """The newest first."""
        where, values = "1", []
        for column, value in (("provider", provider), ("out_trade_no", out_trade_no)):
            if value:
                where += f" AND {column} = ?"
                values.append(value)
        return self._all(Trade, f"{where} ORDER BY id DESC LIMIT ?", *values, limit)

    def trade_by_code(self, code: str) -> tuple[Trade, float] | None:
        """What a prepay_id, QR code or cashier address stands for, and until when it can be used."""
        with self._lock:
            row = self._db.execute("SELECT trade_id, expires_at FROM code WHERE code = ?", (code,)).fetchone()
        return (self.trade(row["trade_id"]), row["expires_at"]) if row else None

    def code_of(self, trade: Trade, prefix: str) -> str:
        """The newest code of a trade that begins like this; "" when there is none."""
        found = self._db_value(
            "SELECT code FROM code WHERE trade_id = ? AND substr(code, 1, ?) = ? ORDER BY expires_at DESC LIMIT 1",
            trade.id, len(prefix), prefix,
        )  # fmt: skip
        return str(found or "")

    def add_code(self, trade: Trade, code: str, *, lives_s: float) -> None:
        """Another code by which a buyer reaches the trade."""
        self._write("INSERT OR REPLACE INTO code VALUES (?, ?, ?)", code, trade.id, time.time() + lives_s)

    def open_trade(self, trade: Trade, trade_no: str) -> Trade:
        """The buyer is there."""
        self._write("UPDATE trade SET opened = 1, trade_no = ? WHERE id = ? AND opened = 0", trade_no, trade.id)
        return self.trade(trade.id)

    def close_trade(self, trade: Trade, at: float) -> Trade:
        """Unpaid and over."""
        self._write(
            "UPDATE trade SET state = ?, closed_at = ? WHERE id = ? AND state = ?",
            CLOSED,
            at,
            trade.id,
            WAITING,
        )
        return self.trade(trade.id)

    def overdue_trades(self, now: float) -> list[Trade]:
        """Unpaid trades whose time is over."""
        return self._all(Trade, "state = 'waiting' AND expires_at <= ? LIMIT 500", now)

    # --- money ----------------------------------------------------------------------------------------------
    def add_payment(self, trade: Trade, *, transaction_id: str, amount: int, at: float) -> Payment:
        """Money taken."""
        with self.together():
            made = self._insert(
                "payment",
                {"trade_id": trade.id, "transaction_id": transaction_id, "amount": amount, "paid_at": at},
            )
            self._write("UPDATE trade SET state = ?, opened = 1 WHERE id = ?", PAID, trade.id)
        return self._exactly(self._one(Payment, "id = ?", made))

    def payments(self, trade: Trade) -> list[Payment]:
        """Of one trade, the first first."""
        return self._all(Payment, "trade_id = ? ORDER BY id", trade.id)

    def payment(self, payment_id: int) -> Payment:
        """As it is."""
        return self._exactly(self._one(Payment, "id = ?", payment_id))

    def payment_by_transaction(self, transaction_id: str) -> Payment | None:
        """By the provider's number."""
        return self._one(Payment, "transaction_id = ?", transaction_id)

    def payments_between(self, merchant: Merchant, start: float, end: float) -> list[Payment]:
        """A merchant's takings, for a bill."""
        mine = "trade_id IN (SELECT id FROM trade WHERE merchant_id = ?)"
        return self._all(
            Payment, f"{mine} AND paid_at >= ? AND paid_at < ? ORDER BY paid_at, id", merchant.id, start, end
        )

    def add_refund(self, payment: Payment, **about: Any) -> Refund:
        """number, refund_id, amount, state, reason, notify_url, succeeds_at."""
        made = self._insert("refund", {"created_at": time.time(), **about, "payment_id": payment.id})
        return self._exactly(self._one(Refund, "id = ?", made))

    def refund(self, refund_id: int) -> Refund:
        """As it is."""
        return self._exactly(self._one(Refund, "id = ?", refund_id))

    def refund_by_refund_id(self, refund_id: str) -> Refund | None:
        """By the provider's number."""
        return self._one(Refund, "refund_id = ?", refund_id)

    def refunds(self, payment: Payment) -> list[Refund]:
        """Of one payment."""
        return self._all(Refund, "payment_id = ? ORDER BY id", payment.id)

    def refund_by_number(self, merchant: Merchant, number: str) -> Refund | None:
        """By the merchant's refund number."""
        mine = "payment_id IN (SELECT p.id FROM payment p JOIN trade t ON t.id = p.trade_id WHERE t.merchant_id = ?)"
        return self._one(Refund, f"number = ? AND {mine}", number, merchant.id)

    def refunds_between(self, merchant: Merchant, start: float, end: float) -> list[Refund]:
        """Refunds a merchant's bill of that time shows: by the time they were accepted."""
        mine = "payment_id IN (SELECT p.id FROM payment p JOIN trade t ON t.id = p.trade_id WHERE t.merchant_id = ?)"
        return self._all(
            Refund,
            f"{mine} AND created_at >= ? AND created_at < ? ORDER BY created_at, id",
            merchant.id,
            start,
            end,
        )

    def refunds_under_way(self, now: float) -> list[Refund]:
        """Refunds that have been processed long enough."""
        return self._all(Refund, "state = 'PROCESSING' AND succeeds_at <= ? LIMIT 500", now)

    def refund_succeeded(self, refund: Refund) -> Refund:
        """The money is back with the buyer."""
        self._write("UPDATE refund SET state = 'SUCCESS' WHERE id = ?", refund.id)
        return self.refund(refund.id)

    def move_refund(self, refund: Refund, state: str) -> Refund:
        """What became of it afterwards: CLOSED is no refund any more."""
        self._write("UPDATE refund SET state = ? WHERE id = ?", state, refund.id)
        return self.refund(refund.id)

    # --- notifications --------------------------------------------------------------------------------------
    def add_notice(
        self, trade: Trade, *, number: str, event: str, content: Mapping[str, Any], url: str = "",
        state: str = DUE, how: str = GENUINE, delay_s: float = 0.0,
    ) -> Notice:  # fmt: skip
        """A notification to be sent."""
        now = time.time()
        values = {
            "number": number, "provider": trade.provider, "trade_id": trade.id, "event": event,
            "url": url or trade.notify_url, "content": _text(content), "state": state, "how": how, "attempts": 0,
            "due_at": now + delay_s, "created_at": now,
        }  # fmt: skip
        return self.notice(self._insert("notice", values))

    def notice(self, notice_id: int) -> Notice:
        """As it is."""
        return self._exactly(self._one(Notice, "id = ?", notice_id))

    def notices(self, *, trade: Trade | None = None, limit: int = 1000) -> list[Notice]:
        """The newest first."""
        where, values = ("trade_id = ?", [trade.id]) if trade else ("1", [])
        return self._all(Notice, f"{where} ORDER BY id DESC LIMIT ?", *values, limit)

    def due_notices(self, now: float, limit: int) -> list[Notice]:
        """Notifications whose time has come, the longest waiting first."""
        return self._all(Notice, "state IN ('due', 'held') AND due_at <= ? ORDER BY due_at LIMIT ?", now, limit)

    def next_due_at(self) -> float | None:
        """When the next notification is to be sent."""
        found = self._db_value("SELECT min(due_at) FROM notice WHERE state IN ('due', 'held')")
        return None if found is None else float(found)

    def move_notice(self, notice: Notice, *, state: str, due_at: float | None = None) -> None:
        """Where its sending stands. What was acknowledged stays acknowledged."""
        self._write(
            "UPDATE notice SET state = ?, due_at = ? WHERE id = ? AND state != ?",
            state, notice.due_at if due_at is None else due_at, notice.id, ACKNOWLEDGED,
        )  # fmt: skip

    def release_held(self, trade_id: int, *, but: int, now: float) -> None:
        """Something later has overtaken: what was held back may go."""
        self._write(
            "UPDATE notice SET state = ?, due_at = ? WHERE trade_id = ? AND state = ? AND id != ?",
            DUE, now, trade_id, HELD, but,
        )  # fmt: skip

    def add_attempt(self, notice: Notice, *, counts: bool, **about: Any) -> Attempt:
        """One sending and its answer: at, how, status, answer, acknowledged, took_ms. `counts` on the ladder or not."""
        with self.together():
            made = self._insert("attempt", {**about, "notice_id": notice.id})
            self._write("UPDATE notice SET attempts = attempts + ? WHERE id = ?", int(counts), notice.id)
        return self._exactly(self._one(Attempt, "id = ?", made))

    def attempts(self, notice: Notice) -> list[Attempt]:
        """The first first."""
        return self._all(Attempt, "notice_id = ? ORDER BY id", notice.id)

    # --- weather --------------------------------------------------------------------------------------------
    def set_weather(self, provider: str, call: str, mode: str, *, remaining: int | None, carried_out: bool) -> None:
        """Bad weather for one call; mode `ok` ends it."""
        with self.together():
            self._write("DELETE FROM weather WHERE provider = ? AND call = ?", provider, call)
            if mode != "ok":
                self._write(
                    "INSERT INTO weather VALUES (?, ?, ?, ?, ?)",
                    provider,
                    call,
                    mode,
                    remaining,
                    int(carried_out),
                )

    def weather(self) -> list[Weather]:
        """Everything that is not well."""
        return self._all(Weather, "1 ORDER BY provider, call")

    def take_weather(self, provider: str, call: str) -> Weather | None:
        """The weather for one call that happens now."""
        with self.together():
            found = self._one(Weather, "provider = ? AND call = ?", provider, call)
            if found is not None and found.remaining is not None:
                if found.remaining > 1:
                    self._write(
                        "UPDATE weather SET remaining = remaining - 1 WHERE provider = ? AND call = ?",
                        provider,
                        call,
                    )
                else:
                    self._write("DELETE FROM weather WHERE provider = ? AND call = ?", provider, call)
        return found

    # --- SQL ------------------------------------------------------------------------------------------------
    def _one(self, kind: type[Row], where: str, *values: Any) -> Row | None:
        found = self._all(kind, f"{where} LIMIT 1", *values)
        return found[0] if found else None

    def _all(self, kind: type[Row], where: str, *values: Any) -> list[Row]:
        # Table names are class names and `where` is written in this file: no outside text gets in.
        statement = f"SELECT * FROM {kind.__name__.lower()} WHERE {where}"  # noqa: S608
        with self._lock:
            found = self._db.execute(statement, values).fetchall()
        return [kind(**_columns(row)) for row in found]

    def _insert(self, table: str, values: Mapping[str, Any]) -> int:
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        with self._lock:
            return int(self._db.execute(statement, tuple(values.values())).lastrowid or 0)

    def _write(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._db.execute(statement, values)

    def _db_value(self, statement: str, *values: Any) -> Any:
        with self._lock:
            row = self._db.execute(statement, values).fetchone()
        return row[0] if row else None

    @staticmethod
    def _exactly(row: Row | None) -> Row:
        if row is None:
            raise LookupError("the simulator's memory has lost a row")
        return row


def new_number(at: float, prefix: str = "", digits: int = 15) -> str:
    """A number as providers make them: the day, then digits nobody guesses."""
    return f"{prefix}{formats.compact_day(at)}{secrets.randbelow(10**digits):0{digits}d}"


def _columns(row: sqlite3.Row) -> dict[str, Any]:
    columns = dict(row)
    for name in _JSON_COLUMNS:
        if name in columns:
            columns[name] = json.loads(columns[name])
    for name in _FLAG_COLUMNS:
        if name in columns:
            columns[name] = bool(columns[name])
    return columns


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)
