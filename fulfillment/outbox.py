"""The outbox: which message is sent next, and what is written down afterwards. Rows only; no network in here.

A dispatcher claims due messages by moving `next_attempt_at` (the row it locks) to the end of a lease; a dead
dispatcher's lease runs out and the message is due again, with the same id and bytes. An endpoint is in one of two
moods: *flowing* (`next_probe_at` empty), or *probing* after several failures in a row: then one message at a time is
tried, the one that waits longest, and the first success releases all the others.

Times are the database's clock. Seconds are floats, ends of intervals are written in SQL.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from channels_app.vault import VaultClosed
from fulfillment import delivering, telling
from fulfillment.models import LEASE_S, Delivery, DeliveryStatus, WebhookEndpoint
from orders import cases
from orders.models import CaseKind
from orders.sql import pipelined_transaction, raw_connection, retrying

IN_FLIGHT_PER_ENDPOINT = 32
FAILURES_BEFORE_PROBING = 5
# An endpoint that has been away for long is asked less often: every twentieth of its absence, between one and twenty
# probe intervals. It is found again within 5 % of the time it was away.
_PROBE_SHARE = 0.05
PROBE_STRETCH = 20
_PARKED_AT_ONCE = 50


# --- what travels between the rows and the network ----------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An endpoint as it was when messages were claimed for it. `secrets` is empty when the vault did not open them."""

    pk: int
    game_id: int
    url: str
    secrets: Sequence[str] = field(repr=False)
    probing: bool
    failing_for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that this process may send until its lease runs out."""

    pk: int
    target: Target
    seq: int
    event_id: str
    type: str
    order_no: str
    environment: str
    body: str
    attempts: int
    age_s: float

    def delivery_id(self) -> uuid.UUID:
        """Of a `delivery.requested`: which delivery."""
        return uuid.UUID(json.loads(self.body)["data"]["delivery_id"])


class Verdict(Enum):
    """What one try came to."""

    TOLD = "told"
    REFUSED = "refused"  # the server is there and does not want this message
    FAILED = "failed"  # the server is not there, or not well: about the endpoint, not about the message
    GONE = "gone"  # 410: nothing is to be sent there any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One try: what happened and what was answered. Texts are free of control characters."""

    message: Claimed
    verdict: Verdict
    at: datetime
    duration_ms: int
    status: int | None = None
    error: str = ""
    answer: str = ""
    receipt: str = ""
    retry_after_s: float = 0.0


# --- claiming -----------------------------------------------------------------------------------------------
_OPEN = """
    SELECT e.id, e.game_id, e.url, e.secrets_sealed, e.next_probe_at IS NOT NULL,
           coalesce(extract(epoch FROM now() - e.failing_since), 0)::float8
    FROM fulfillment_webhookendpoint e
    WHERE e.state = 'active' AND e.url <> '' AND (e.next_probe_at IS NULL OR e.next_probe_at <= now())
      AND EXISTS (SELECT FROM fulfillment_webhookmessage m
                  WHERE m.endpoint_id = e.id AND m.state = 'waiting' AND m.next_attempt_at <= now())
"""
# A message waits while an earlier one of its order was never tried or is due, so `order.paid` comes before what
# follows it. It does not wait for one that has failed and is on its ladder: goods never hang on a refused notice.
_DUE = """
    SELECT m.id, g.seq, g.event_id, g.type, g.order_no, g.environment, g.body
    FROM fulfillment_webhookmessage m JOIN fulfillment_gameevent g ON g.seq = m.event_id
    WHERE m.endpoint_id = %(endpoint)s AND m.state = 'waiting' AND m.next_attempt_at <= now()
      AND (g.order_no = '' OR g.order_no <> ALL(%(busy)s::text[]) AND NOT EXISTS (
          SELECT FROM fulfillment_gameevent earlier
          JOIN fulfillment_webhookmessage before ON before.event_id = earlier.seq
          WHERE earlier.order_no = g.order_no AND earlier.order_no <> '' AND earlier.seq < g.seq
            AND before.endpoint_id = m.endpoint_id AND before.state = 'waiting'
            AND (before.attempts = 0 OR before.next_attempt_at <= now())))
"""
_DUE_END = """
    ORDER BY m.next_attempt_at, m.id LIMIT %(room)s FOR UPDATE OF m SKIP LOCKED
"""
_TAKE = """
    UPDATE fulfillment_webhookmessage message SET next_attempt_at = now() + make_interval(secs => %(lease_s)s)
    FROM due WHERE message.id = due.id
    RETURNING message.id, due.seq, due.event_id, due.type, due.order_no, due.environment, due.body, message.attempts,
              extract(epoch FROM now() - message.created_at)::float8
"""
_CLAIM = f"WITH due AS ({_DUE} {_DUE_END}) {_TAKE}"
# The endpoint's row is the turn to probe: of several dispatchers one gets it.
_CLAIM_PROBE = f"""
    WITH turn AS (
        SELECT id FROM fulfillment_webhookendpoint
        WHERE id = %(endpoint)s AND state = 'active' AND next_probe_at <= now()
        FOR UPDATE SKIP LOCKED
    ), due AS ({_DUE} AND EXISTS (SELECT FROM turn) {_DUE_END}),
    taken AS (
        UPDATE fulfillment_webhookendpoint SET next_probe_at = now() + make_interval(secs => %(lease_s)s)
        WHERE id IN (SELECT turn.id FROM turn, due)
    )
    {_TAKE}
"""  # noqa: S608  # our own text
# Of the order whose last message was just told, but perhaps not yet written down.
_CLAIM_NEXT = f"""
    WITH due AS (
        SELECT m.id, g.seq, g.event_id, g.type, g.order_no, g.environment, g.body
        FROM fulfillment_gameevent g JOIN fulfillment_webhookmessage m ON m.event_id = g.seq
        WHERE g.order_no = %(order_no)s AND g.seq > %(seq)s AND m.endpoint_id = %(endpoint)s
          AND m.state = 'waiting' AND m.attempts = 0 AND m.next_attempt_at <= now()
        ORDER BY g.seq LIMIT 1 FOR UPDATE OF m SKIP LOCKED
    ) {_TAKE}
"""  # noqa: S608  # our own text
# Everything is parked, so nothing is due that could find out whether the endpoint is back: the oldest is tried where
# it lies.
_CLAIM_PARKED = """
    WITH turn AS (
        UPDATE fulfillment_webhookendpoint SET next_probe_at = now() + make_interval(secs => %(lease_s)s)
        WHERE id = %(endpoint)s AND state = 'active' AND next_probe_at <= now()
          AND NOT EXISTS (SELECT FROM fulfillment_webhookmessage
                          WHERE endpoint_id = %(endpoint)s AND state = 'waiting')
        RETURNING id
    )
    SELECT m.id, g.seq, g.event_id, g.type, g.order_no, g.environment, g.body, m.attempts,
           extract(epoch FROM now() - m.created_at)::float8
    FROM turn JOIN fulfillment_webhookmessage m ON m.endpoint_id = turn.id
    JOIN fulfillment_gameevent g ON g.seq = m.event_id
    WHERE m.state = 'parked' ORDER BY m.id LIMIT 1
"""
_FAILING = """
    SELECT e.id, e.game_id, e.url, e.secrets_sealed, true,
           coalesce(extract(epoch FROM now() - e.failing_since), 0)::float8
    FROM fulfillment_webhookendpoint e
    WHERE e.state = 'active' AND e.url <> '' AND e.next_probe_at IS NOT NULL
"""


def claim(*, busy: Mapping[int, Collection[str]]) -> list[Claimed]:
    """Claim what is due, per endpoint as much as it has room for, oldest first.

    `busy`: per endpoint the order number ('' for none) of everything this process is sending to it.
    """
    targets = [_target(row) for row in raw_connection().execute(_OPEN).fetchall()]
    wanted: list[tuple[Target, psycopg.Cursor[Any]]] = []
    claimed: list[Claimed] = []
    if not targets:
        return claimed
    with pipelined_transaction() as raw:
        for target in targets:
            under_way = busy.get(target.pk, ())
            room = IN_FLIGHT_PER_ENDPOINT - len(under_way)
            if room > 0:
                about = {
                    "endpoint": target.pk, "busy": [number for number in under_way if number],
                    "room": 1 if target.probing else room, "lease_s": LEASE_S,
                }  # fmt: skip
                wanted.append((target, raw.execute(_CLAIM_PROBE if target.probing else _CLAIM, about)))
        for target, cursor in wanted:
            claimed += sorted((_claimed(target, row) for row in cursor.fetchall()), key=lambda message: message.seq)
    return claimed


def claim_next(message: Claimed) -> Claimed | None:
    """What follows a message that was just told of its order, if it was never tried and is due."""
    about = {
        "order_no": message.order_no, "seq": message.seq, "endpoint": message.target.pk, "lease_s": LEASE_S
    }  # fmt: skip
    row = raw_connection().execute(_CLAIM_NEXT, about).fetchone()
    return None if row is None else _claimed(message.target, row)


def failing_targets() -> list[Target]:
    """Endpoints of which only one message at a time is tried."""
    return [_target(row) for row in raw_connection().execute(_FAILING).fetchall()]


def claim_parked(target: Target) -> Claimed | None:
    """The oldest parked message of a failing endpoint that has nothing else to be probed with."""
    row = raw_connection().execute(_CLAIM_PARKED, {"endpoint": target.pk, "lease_s": LEASE_S}).fetchone()
    return None if row is None else _claimed(target, row)


def _target(row: Sequence[Any]) -> Target:
    pk, game_id, url, sealed, probing, failing_for_s = row
    try:
        secrets = WebhookEndpoint(pk=pk, secrets_sealed=sealed).secrets()
    except VaultClosed:
        secrets = []
    return Target(pk=pk, game_id=game_id, url=url, secrets=secrets, probing=probing, failing_for_s=failing_for_s)


def _claimed(target: Target, row: Sequence[Any]) -> Claimed:
    pk, seq, event_id, kind, order_no, environment, body, attempts, age_s = row
    return Claimed(
        pk=pk, target=target, seq=seq, event_id=event_id, type=kind, order_no=order_no, environment=environment,
        body=body, attempts=attempts, age_s=age_s,
    )  # fmt: skip


_GIVE_BACK = """
    UPDATE fulfillment_webhookmessage SET next_attempt_at = now()
    WHERE id = ANY(%s) AND state = 'waiting' AND next_attempt_at > now()
"""
_GIVE_TURN_BACK = """
    UPDATE fulfillment_webhookendpoint SET next_probe_at = now() WHERE id = ANY(%s) AND next_probe_at IS NOT NULL
"""


def give_back(messages: Sequence[Claimed]) -> None:
    """End the lease of messages that will not be sent by this process after all."""
    with pipelined_transaction() as raw:
        raw.execute(_GIVE_BACK, ([message.pk for message in messages],))
        raw.execute(_GIVE_TURN_BACK, ([message.target.pk for message in messages if message.target.probing],))


# --- writing down what happened -----------------------------------------------------------------------------
_TRIES = """
    INSERT INTO fulfillment_webhookattempt (message_id, at, duration_ms, status, error, answer)
    SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::int[], %s::smallint[], %s::text[], %s::text[])
"""
_TOLD = """
    UPDATE fulfillment_webhookmessage m
    SET state = 'delivered', delivered_at = now(), next_attempt_at = NULL, attempts = m.attempts + 1,
        last_status = o.status, last_error = ''
    FROM unnest(%s::bigint[], %s::smallint[]) AS o (id, status)
    WHERE m.id = o.id AND m.state <> 'delivered'
"""
# A parked message that was tried as a probe stays parked.
_NOT_TOLD = """
    UPDATE fulfillment_webhookmessage m
    SET next_attempt_at = CASE WHEN m.state = 'waiting' THEN now() + make_interval(secs => o.delay_s) END,
        attempts = m.attempts + 1, last_status = o.status, last_error = o.error
    FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::float8[]) AS o (id, status, error, delay_s)
    WHERE m.id = o.id AND m.state <> 'delivered'
"""
_PARK = """
    UPDATE fulfillment_webhookmessage SET state = 'parked', next_attempt_at = NULL
    WHERE id = ANY(%s) AND state = 'waiting'
"""
_NEEDLESS = """
    UPDATE fulfillment_webhookmessage
    SET state = 'delivered', delivered_at = now(), next_attempt_at = NULL, last_error = 'granted meanwhile without it'
    WHERE id = ANY(%s) AND state <> 'delivered'
"""
_CLOSE_CASES = """
    UPDATE orders_case SET closed_at = now(), closed_by = 'dispatcher', decision = 'told'
    WHERE kind = 'webhook_parked' AND subject = ANY(%s) AND closed_at IS NULL
"""
# Written only when there is something to say: a healthy endpoint's row is not touched for every message.
_WELL = """
    UPDATE fulfillment_webhookendpoint
    SET failures_in_a_row = 0, failing_since = NULL, last_error = '', last_success_at = now()
    WHERE id = ANY(%s) AND next_probe_at IS NULL
      AND (failures_in_a_row > 0 OR last_success_at IS NULL OR last_success_at < now() - interval '10 seconds')
"""
# A try that was under way when probing began must not shorten the pause that was asked for since; a probe's own
# failure decides when the next one goes.
_UNWELL = """
    UPDATE fulfillment_webhookendpoint e
    SET failures_in_a_row = e.failures_in_a_row + o.failures,
        failing_since = coalesce(e.failing_since, now()),
        last_error = o.error,
        next_probe_at = CASE
            WHEN o.pause_s > 0 THEN greatest(e.next_probe_at, now() + make_interval(secs => o.pause_s))
            WHEN o.probed THEN now() + make_interval(secs => %(interval_s)s)
            WHEN e.next_probe_at IS NOT NULL OR e.failures_in_a_row + o.failures >= %(limit)s
                THEN greatest(e.next_probe_at, now() + make_interval(secs => %(interval_s)s))
        END
    FROM unnest(%(ids)s::bigint[], %(failures)s::int[], %(errors)s::text[], %(pauses)s::float8[], %(probed)s::bool[])
        AS o (id, failures, error, pause_s, probed)
    WHERE e.id = o.id
"""
_SWITCH_OFF = """
    UPDATE fulfillment_webhookendpoint
    SET state = 'disabled', next_probe_at = NULL, last_error = 'answered 410'
    WHERE id = %s AND url = %s AND state = 'active'
"""


def record(outcomes: Sequence[Outcome]) -> None:
    """Write down a batch of tries, in the order in which they ended: messages, tries, endpoints, cases.

    A told `delivery.requested` has been confirmed before (see `dispatching`): dying between the two sends it again.
    """
    if outcomes:
        retrying(lambda: _record(outcomes))


def _record(outcomes: Sequence[Outcome]) -> None:
    told = [outcome for outcome in outcomes if outcome.verdict is Verdict.TOLD]
    others = [outcome for outcome in outcomes if outcome.verdict is not Verdict.TOLD]
    overdue = [outcome for outcome in others if outcome.message.age_s >= settings.WEBHOOK_PARK_AFTER_S]
    to_park, needless = _stop_deliveries([(outcome.message, outcome.error) for outcome in overdue])
    with pipelined_transaction() as raw:
        raw.execute(
            _TRIES,
            (
                [outcome.message.pk for outcome in outcomes], [outcome.at for outcome in outcomes],
                [outcome.duration_ms for outcome in outcomes], [outcome.status for outcome in outcomes],
                [outcome.error for outcome in outcomes], [outcome.answer for outcome in outcomes],
            ),
        )  # fmt: skip
        if told:
            raw.execute(_TOLD, ([outcome.message.pk for outcome in told], [outcome.status for outcome in told]))
            raw.execute(_CLOSE_CASES, ([subject_of(outcome.message.pk) for outcome in told],))
        if others:
            raw.execute(
                _NOT_TOLD,
                (
                    [outcome.message.pk for outcome in others], [outcome.status for outcome in others],
                    [outcome.error for outcome in others], [delay_s(outcome) for outcome in others],
                ),
            )  # fmt: skip
        _park(raw, to_park, needless)
        _note_health(raw, outcomes)


def delay_s(outcome: Outcome) -> float:
    """How long a message waits after a failed try: its rung of the ladder, or what the server asked for.

    While its endpoint is probed it comes round again with the probes; else nothing would be due for hours that could
    find the endpoint well again.
    """
    message = outcome.message
    ladder = settings.WEBHOOK_LADDER_S
    rung = float(ladder[min(message.attempts, len(ladder) - 1)])
    if message.target.probing:
        shortest = float(settings.WEBHOOK_PROBE_INTERVAL_S)
        stretched = min(message.target.failing_for_s * _PROBE_SHARE, PROBE_STRETCH * shortest)
        rung = min(rung, max(shortest, stretched))
    return max(rung, outcome.retry_after_s)


def _note_health(raw: psycopg.Connection[Any], outcomes: Sequence[Outcome]) -> None:
    by_endpoint: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_endpoint[outcome.message.target.pk].append(outcome)
    well = [pk for pk, its in by_endpoint.items() if any(outcome.verdict is Verdict.TOLD for outcome in its)]
    if well:
        raw.execute(_WELL, (sorted(well),))
    unwell = {pk: _since_success(by_endpoint[pk]) for pk in sorted(by_endpoint)}
    notes = [
        (
            pk,
            sum(map(_counts, its)),
            its[-1].error,
            max(o.retry_after_s for o in its),
            its[-1].message.target.probing,
        )
        for pk, its in unwell.items()
        if its
    ]
    notes = [note for note in notes if any(note[1:2] + note[3:])]
    if notes:
        pks, failures, errors, pauses, probed = map(list, zip(*notes, strict=True))
        raw.execute(
            _UNWELL,
            {
                "ids": pks, "failures": failures, "errors": errors, "pauses": pauses, "probed": probed,
                "interval_s": float(settings.WEBHOOK_PROBE_INTERVAL_S), "limit": FAILURES_BEFORE_PROBING,
            },
        )  # fmt: skip
    for outcome in outcomes:
        if outcome.verdict is Verdict.GONE:
            _switch_off(raw, outcome)


def _since_success(outcomes: Sequence[Outcome]) -> list[Outcome]:
    after = 0
    for place, outcome in enumerate(outcomes, start=1):
        if outcome.verdict is Verdict.TOLD:
            after = place
    return list(outcomes[after:])


def _counts(outcome: Outcome) -> int:
    # One message that the server keeps refusing must not look like a server that is down: it counts once.
    return int(outcome.verdict is Verdict.FAILED or outcome.message.attempts == 0)


def _switch_off(raw: psycopg.Connection[Any], outcome: Outcome) -> None:
    target = outcome.message.target
    raw.execute(_SWITCH_OFF, (target.pk, target.url))
    raw.execute(
        cases.OPEN,
        cases.opening(
            kind=CaseKind.WEBHOOK_PARKED,
            subject=subject_of_endpoint(target.pk),
            environment=outcome.message.environment,
            now=outcome.at,
            game_id=target.game_id,
            detail="the game server answered 410: its endpoint is switched off, everything waits",
        ),
    )


# --- parking ------------------------------------------------------------------------------------------------
_OVERDUE = """
    SELECT m.id, g.seq, g.event_id, g.type, g.order_no, g.environment, g.body, m.attempts,
           extract(epoch FROM now() - m.created_at)::float8, m.last_error
    FROM fulfillment_webhookmessage m JOIN fulfillment_gameevent g ON g.seq = m.event_id
    WHERE m.endpoint_id = %(endpoint)s AND m.state = 'waiting' AND m.next_attempt_at <= now()
      AND m.created_at <= now() - make_interval(secs => %(park_after_s)s)
    ORDER BY m.next_attempt_at, m.id LIMIT %(limit)s
"""
_ABOUT_ORDER = "SELECT id, amount_minor, currency FROM orders_order WHERE order_no = %s"


def subject_of(message_id: int) -> str:
    """What the case of a parked message is about."""
    return f"message:{message_id}"


def subject_of_endpoint(endpoint_id: int) -> str:
    """What the case of an endpoint that was switched off is about."""
    return f"endpoint:{endpoint_id}"


def park_overdue(target: Target) -> int:
    """Park what has waited too long at a failing endpoint without its turn to be tried. Returns how many."""
    about = {
        "endpoint": target.pk, "park_after_s": float(settings.WEBHOOK_PARK_AFTER_S), "limit": _PARKED_AT_ONCE
    }  # fmt: skip
    rows = raw_connection().execute(_OVERDUE, about).fetchall()
    if rows:
        to_park, needless = _stop_deliveries([(_claimed(target, row[:-1]), row[-1]) for row in rows])
        with pipelined_transaction() as raw:
            _park(raw, to_park, needless)
    return len(rows)


def _stop_deliveries(
    overdue: Sequence[tuple[Claimed, str]],
) -> tuple[list[tuple[Claimed, str]], list[Claimed]]:
    """Park the deliveries behind messages that are about to be; returns (messages to park, messages no longer needed).

    Done first, each in its own transaction: dying in between repeats it, and it changes nothing twice.
    """
    to_park: list[tuple[Claimed, str]] = []
    needless: list[Claimed] = []
    for message, error in overdue:
        if message.type == telling.DELIVERY_REQUESTED and not delivering.park(
            delivery_id=message.delivery_id(), reason=_reason(error)
        ):
            delivery = Delivery.objects.get(pk=message.delivery_id())
            if delivery.state != DeliveryStatus.PARKED:
                needless.append(message)
                continue
        to_park.append((message, error))
    return to_park, needless


def _park(raw: psycopg.Connection[Any], to_park: Sequence[tuple[Claimed, str]], needless: Sequence[Claimed]) -> None:
    if needless:
        raw.execute(_NEEDLESS, ([message.pk for message in needless],))
    if to_park:
        raw.execute(_PARK, ([message.pk for message, _ in to_park],))
    # A parked delivery has its own case, opened with it.
    told_of = [(message, error) for message, error in to_park if message.type != telling.DELIVERY_REQUESTED]
    asked = [raw.execute(_ABOUT_ORDER, (message.order_no,)) for message, _ in told_of]
    orders = [cursor.fetchone() or (None, None, "") for cursor in asked]
    for (message, error), (order_id, amount_minor, currency) in zip(told_of, orders, strict=True):
        raw.execute(
            cases.OPEN,
            cases.opening(
                kind=CaseKind.WEBHOOK_PARKED,
                subject=subject_of(message.pk),
                environment=message.environment,
                now=timezone.now(),
                game_id=message.target.game_id,
                order_id=order_id,
                amount_minor=amount_minor,
                currency=currency,
                detail=f"{message.type}: {_reason(error)}",
            ),
        )


def _reason(error: str) -> str:
    return f"the game server was not told: {error}" if error else "the game server was not told in time"


# --- recovery -----------------------------------------------------------------------------------------------
# What is being sent right now keeps its lease, which ends within LEASE_S; what is due within that time anyway is left
# alone with it. Rows that are being written are skipped: they have just had their turn.
_RELEASE = """
    UPDATE fulfillment_webhookmessage SET state = 'waiting', next_attempt_at = now()
    WHERE id IN (
        SELECT id FROM fulfillment_webhookmessage
        WHERE endpoint_id = %(endpoint)s
          AND (state = 'parked' OR state = 'waiting' AND next_attempt_at > now() + make_interval(secs => %(lease_s)s))
        ORDER BY id FOR UPDATE SKIP LOCKED)
"""
_RECOVERED = """
    UPDATE fulfillment_webhookendpoint
    SET failures_in_a_row = 0, failing_since = NULL, next_probe_at = NULL, last_error = '', last_success_at = now()
    WHERE id = %s
"""


def recover(*, endpoint_id: int) -> int:
    """A probe got through: everything that waits for the endpoint, parked or not, is due now. Returns how many.

    One transaction: dying before its end leaves the endpoint failing, and the next probe repeats it.
    """
    with transaction.atomic():
        released = release(endpoint_id=endpoint_id)
        with connection.cursor() as cursor:
            cursor.execute(_RECOVERED, (endpoint_id,))
    return released


def release(*, endpoint_id: int) -> int:
    """Make everything that waits for an endpoint, parked or not, due now; part of the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '5min'")  # days of backlog are one statement
        cursor.execute(_RELEASE, {"endpoint": endpoint_id, "lease_s": LEASE_S})
        return int(cursor.rowcount)


_ASK_FOR_WAITING = """
    INSERT INTO fulfillment_webhookmessage
        (event_id, endpoint_id, state, attempts, next_attempt_at, created_at, last_error)
    SELECT g.seq, %(endpoint)s, 'waiting', 0, now(), now(), ''
    FROM fulfillment_delivery d
    JOIN fulfillment_gameevent g ON g.order_no = d.order_no AND g.type = %(requested)s
    WHERE d.state IN ('pending', 'parked') AND g.game_id = %(game)s
    ORDER BY g.seq
    ON CONFLICT (event_id, endpoint_id) DO NOTHING
"""


def ask_for_waiting(*, endpoint_id: int, game_id: int) -> int:
    """Ask an endpoint that has got its address for the deliveries made while it had none. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            _ASK_FOR_WAITING, {"endpoint": endpoint_id, "game": game_id, "requested": telling.DELIVERY_REQUESTED}
        )
        return int(cursor.rowcount)
