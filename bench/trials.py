"""The trials: each measures one kind of request over HTTP and its floors, one round at a time.

Rounds are interleaved (floor, ours, next trial …), because a shared machine drifts; ratios are taken within a
round.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from bench import alipay, load, purchases, recording
from bench.floors import CLIENTS, Floors, Measured
from bench.purchases import Effects, Stall, Waiting
from bench.soak import Watch, Watched
from bench.stack import ROOT, Stack, fetch

CONNECTIONS = 4
Say = Callable[[str], None]

# A first guess of each rate, for the warm-up; afterwards the last run says how many requests fill the time.
_GUESS = {
    "settle floor": 1500.0, "settle own": 1000.0, "notify": 400.0, "create floor": 4000.0,
    "create own": 2000.0, "create": 600.0, "empty": 3000.0, "read": 1500.0, "read own": 20000.0, "purchase": 150.0,
}  # fmt: skip
# Every web thread prepares its statements on a connection of its own, after five times: warm them all.
_WARM_UP = 1500
_SOAK_WARM_UP, _SOAK_STEP = 2000, 2500


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one trial."""

    rate: float
    p50_ms: float
    p99_ms: float
    floors: dict[str, float] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)


class Trials:
    """Everything that is measured on the running stack."""

    def __init__(self, stack: Stack, *, seconds: float, say: Say) -> None:
        """Set up the game and the floors' tables."""
        self._stack, self._seconds, self._say = stack, seconds, say
        self.stall = Stall.set_up(webhook_url=f"http://127.0.0.1:{stack.sink_port}/payments")
        self._floors = Floors(stack)
        self._waiting = Waiting(self.stall)
        self._rates = dict(_GUESS)
        self._next = 1
        self._round_floor: tuple[int, Measured] | None = None
        self._readable = self._waiting.add(self._numbers(5000))
        self._settles_one, self._creates_one, self._buys_one = self._effects_of_one()

    def _effects_of_one(self) -> tuple[Effects, Effects, Effects]:
        """What one notification, one order and one whole purchase leave behind, seen on a request of each."""
        before = purchases.effects()
        body = self.stall.order_body(0, run="one")
        order = json.loads(_good(alipay.api_post("/api/v1/orders", body, bearer=self.stall.api_key), 201))
        creates = purchases.growth(before)
        pay = f"/api/v1/orders/{order['order_no']}/pay"
        _good(alipay.api_post(pay, {"method": "alipay_app"}, bearer=self.stall.api_key))
        opened = purchases.effects()
        _good(self.stall.shop.notification(order_no=order["order_no"], transaction_id=alipay.transaction_id(0)))
        settles, buys = purchases.growth(opened), purchases.growth(before)
        if not settles["orders paid and delivered"] == settles["deliveries"] == settles["notifications applied"] == 1:
            raise purchases.Unproved(f"one notification left {settles}")
        return settles, creates, buys

    def warm_up(self) -> None:
        """Run everything a little and forget the figures."""
        self._say("warming up")
        numbers = self._waiting.add(self._numbers(_WARM_UP))
        self._load([self.stall.notification(number) for number in numbers], "notify")
        self._load([self._creation(number, "warm") for number in range(_WARM_UP)], "create")
        self._load([self._reading(number) for number in self._readable[:_WARM_UP]], "read")
        self._buy(_WARM_UP // 2)

    # --- T1: a notification becomes a delivered order -----------------------------------------------------
    def notification(self, turn: int) -> Sample:
        """H2 over HTTP: the provider's message in, `success` out, paid and delivered in between."""
        fixed = self._settle_floor(turn)
        count = self._count("notify")
        numbers = self._waiting.add(self._numbers(count))
        requests = [self.stall.notification(number) for number in numbers]
        before = purchases.effects()
        seen = self._load(requests, "notify")
        purchases.prove(before, one=self._settles_one, requests=count)
        own = self._settle_own()
        return _sample(seen, {"fixed H2": fixed.tps, "own statements": own.tps})

    def _settle_floor(self, turn: int) -> Measured:
        """The fixed floor, once a round whoever needs it."""
        if self._round_floor is None or self._round_floor[0] != turn:
            self._round_floor = (turn, self._floor("settle floor", self._floors.settle))
        return self._round_floor[1]

    def _settle_own(self) -> Measured:
        """The statements of one notification, by pgbench."""
        first, number = self._waiting.add(self._numbers(2))
        _good(self.stall.notification(first))  # what a process remembers for seconds is not asked again
        with recording.recording() as statements:
            _good(self.stall.notification(number))
        script = recording.Translation(
            numbers={purchases.ORDER_BASE + number: ":order", purchases.ATTEMPT_BASE + number: ":attempt"},
            texts={
                purchases.order_no(number): purchases.order_no_expression(),
                purchases.uid(number): purchases.uid_expression(),
                alipay.transaction_id(number): alipay.transaction_id_expression(),
            },
        ).script(statements)
        variables = f"\\set order :i + {purchases.ORDER_BASE}\n\\set attempt :i + {purchases.ATTEMPT_BASE}\n"
        count = self._count("settle own")
        numbers = self._waiting.add(self._numbers(count))
        return self._own("settle own", variables + script, numbers, self._settles_one)

    # --- T2: a game server creates an order ---------------------------------------------------------------
    def creation(self, turn: int) -> Sample:
        """H1 over HTTP."""
        fixed = self._floor("create floor", self._floors.create_order)
        count = self._count("create")
        numbers = self._numbers(count)
        requests = [self._creation(number, f"round{turn}") for number in numbers]
        before = purchases.effects()
        seen = self._load(requests, "create")
        purchases.prove(before, one=self._creates_one, requests=count)
        own = self._create_own(turn)
        return _sample(seen, {"fixed H1": fixed.tps, "own statements": own.tps})

    def _create_own(self, turn: int) -> Measured:
        first, number = self._numbers(2)
        _good(self._creation(first, f"own{turn}"), 201)
        body = self.stall.order_body(number, run=f"own{turn}")
        with recording.recording() as statements:
            answer = _good(alipay.api_post("/api/v1/orders", body, bearer=self.stall.api_key), 201)
        made: str = json.loads(answer)["order_no"]
        script = recording.Translation(
            numbers={},
            texts={
                # The day and the milliseconds of now, then a counter where the random digits were.
                made: f"('{made[:18]}' || lpad(:i::bigint::text, 12, '0'))",
                body["client_ref"]: f"('own{turn}-' || lpad(:i::bigint::text, 10, '0'))",
                body["uid"]: "('buyer-' || lpad((:i::bigint % 20000)::text, 6, '0'))",
            },
        ).script(statements)
        numbers = self._numbers(self._count("create own"))
        return self._own("create own", script, numbers, self._creates_one)

    def _numbers(self, count: int) -> range:
        """Numbers that nothing in this run has used: of orders, players, transactions."""
        numbers = range(self._next, self._next + count)
        self._next += count
        return numbers

    def _creation(self, number: int, run: str) -> bytes:
        return alipay.api_post("/api/v1/orders", self.stall.order_body(number, run=run), bearer=self.stall.api_key)

    # --- T3: a status read --------------------------------------------------------------------------------
    def reading(self, turn: int) -> Sample:
        """H3 over HTTP, beside an empty view of the same server."""
        empty = self._load([alipay.http("GET", "/healthz", headers={})] * self._count("empty"), "empty")
        count = self._count("read")
        chosen = random.Random(turn).choices(self._readable, k=count)  # no secret
        seen = self._load([self._reading(number) for number in chosen], "read")
        with recording.recording() as statements:
            _good(self._reading(self._readable[0]))
        statements = statements[-1:]
        script = recording.Translation(
            numbers={}, texts={purchases.order_no(self._readable[0]): purchases.order_no_expression()}
        ).script(statements)
        rows = f"\\set i random({self._readable.start}, {self._readable.stop - 1})\n"
        own = self._floors.run(rows + script, self._count("read own"), start=0)
        self._rates["read own"] = own.tps
        return _sample(seen, {"empty view": _rate(empty), "own statements": own.tps})

    def _reading(self, number: int) -> bytes:
        return alipay.api_get(f"/api/v1/orders/{purchases.order_no(number)}", bearer=self.stall.api_key)

    # --- T4: whole purchases ------------------------------------------------------------------------------
    def purchase(self, turn: int) -> Sample:
        """Create, open with alipay_app, notify, delivered; a buyer's next step waits for the answer before."""
        fixed = self._settle_floor(turn)
        count = self._count("purchase")
        before = purchases.effects()
        seen = self._buy(count)
        purchases.prove(before, one=self._buys_one, requests=count)
        steps = seen["steps"]
        notes = {f"{name} p50 ms": steps[name]["p50_ms"] for name in ("create", "pay", "notify")}
        notes["the provider's signing ms"] = seen["signing_s"] / count * 1000
        whole = steps["purchase"]
        return Sample(
            count / seen["seconds"],
            whole["p50_ms"],
            whole["p99_ms"],
            {"fixed H2": fixed.tps},
            seen["cpu"] | notes,
        )

    def _buy(self, count: int) -> dict[str, Any]:
        numbers = self._numbers(count)
        file = self._stack.home / "purchases.json"
        file.write_text(
            json.dumps(
                {
                    "shop": self.stall.shop.document(), "order": self.stall.order_body(0, run=""),
                    "run": "buy", "api_key": self.stall.api_key, "start": numbers.start, "count": count,
                }
            )
        )  # fmt: skip
        seen = self._run_load("purchases", str(file))
        self._rates["purchase"] = count / seen["seconds"]
        return seen

    def soak(self, count: int, watch: Watch) -> tuple[float, list[Watched]]:
        """Many purchases with everything running; what a process allocates once, it has before the watch."""
        self._stack.start_sink()
        self._stack.start("dispatcher")
        self._buy(min(count, _SOAK_WARM_UP))
        before, sent, seconds = purchases.effects(), 0, 0.0
        with watch:
            while sent < count:
                some = min(_SOAK_STEP, count - sent)
                seconds += self._buy(some)["seconds"]
                sent += some
                self._say(f"{sent:,} of {count:,} purchases")
        purchases.prove(before, one=self._buys_one, requests=count)
        self._stack.check_alive()
        return count / seconds, watch.result()

    # --- the dispatcher -----------------------------------------------------------------------------------
    def telling(self) -> Sample:
        """Messages told to one game server on this machine, from the backlog that the trials before left."""
        self._stack.start_sink()
        empty = alipay.http("POST", "/payments", headers={"Content-Type": "application/json"}, body=b"x" * 900)
        floor = self._load([empty] * 20000, "sink", port=self._stack.sink_port)
        before = _told()
        self._stack.start("dispatcher")
        began, first = time.monotonic(), before
        while first == before:  # its start does not count
            time.sleep(0.05)
            first = _told()
            if time.monotonic() - began > 30:
                raise RuntimeError(f"the dispatcher tells nothing:\n{self._stack.log('dispatcher')}")
        began = time.monotonic()
        waiting = True
        while time.monotonic() - began < 2 * self._seconds and waiting:
            time.sleep(0.1)
            waiting = _waiting() > 0
        last, seconds = _told(), time.monotonic() - began
        self._stack.stop("dispatcher")
        received = self._sink_count()
        if received < _told() - before:
            raise purchases.Unproved(f"{_told() - before} messages marked as told, {received} arrived")
        return Sample((last - first) / seconds, 0, 0, {"the receiver alone": _rate(floor)}, {"backlog": _waiting()})

    def _sink_count(self) -> int:
        seen = json.loads(fetch(f"http://127.0.0.1:{self._stack.sink_port}/count"))
        return int(seen["different"])

    # --- tools --------------------------------------------------------------------------------------------
    def _count(self, name: str) -> int:
        """As many as fill the time, by the last figure; at least a few hundred for a percentile."""
        return max(400, -(-int(self._rates[name] * self._seconds) // CLIENTS) * CLIENTS)

    def _floor(self, name: str, run: Callable[[int], Measured]) -> Measured:
        measured = run(self._count(name))
        self._rates[name] = measured.tps
        return measured

    def _own(self, name: str, script: str, numbers: range, one: Effects) -> Measured:
        before = purchases.effects()
        measured = self._floors.run(script, len(numbers), start=numbers.start)
        purchases.prove(before, one=one, requests=measured.transactions)
        self._rates[name] = measured.tps
        return measured

    def _load(self, requests: list[bytes], name: str, *, port: int | None = None) -> dict[str, Any]:
        file = self._stack.home / "requests"
        load.write_requests(file, requests)
        seen = self._run_load("requests", str(file), port=port)
        self._rates[name] = len(requests) / seen["seconds"]
        return seen

    def _run_load(self, *arguments: str, port: int | None = None) -> dict[str, Any]:
        self._stack.check_alive()
        command = [
            sys.executable,
            "-m",
            "bench.load",
            str(port or self._stack.port),
            str(CONNECTIONS),
            *arguments,
        ]
        before = self._stack.cpu_seconds()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        after = self._stack.cpu_seconds()
        if done.returncode:
            raise RuntimeError(f"the load generator failed:\n{done.stderr[-1500:]}")
        seen: dict[str, Any] = json.loads(done.stdout)
        if seen["complaint"]:
            raise purchases.Unproved(seen["complaint"])
        units = max(step["count"] for step in seen["steps"].values())
        seen["cpu"] = {f"{name} CPU ms": (after[name] - before[name]) / units * 1000 for name in after}
        return seen


def _rate(seen: dict[str, Any]) -> float:
    return float(seen["steps"]["request"]["count"] / seen["seconds"])


def _sample(seen: dict[str, Any], floors: dict[str, float]) -> Sample:
    step = seen["steps"]["request"]
    return Sample(_rate(seen), step["p50_ms"], step["p99_ms"], floors, seen["cpu"])


def _good(request: bytes, expected: int = 200) -> bytes:
    """An answer of this process, which must be good."""
    status, body = purchases.ask_here(request)
    if status != expected:
        raise RuntimeError(f"{request[:60]!r} was answered {status}: {body[:300]!r}")
    return body


def _told() -> int:
    return _messages("delivered")


def _waiting() -> int:
    return _messages("waiting")


def _messages(state: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM fulfillment_webhookmessage WHERE state = %s", (state,))
        (count,) = cursor.fetchone() or (0,)
    return int(count)
