"""When goods that wait for the game server are asked for next, and how their player brings that forward.

Only the time of the next try moves: a dispatcher sends it, with the same id and the same bytes, so a game server that
has granted it before grants nothing twice. Unlike a member of staff (fulfillment.redelivering), a player never moves
the turn of an endpoint that is being probed: a server that is down keeps its pace, however many press the button.
"""

from datetime import datetime

from fulfillment.poking import poke
from fulfillment.telling import DELIVERY_REQUESTED
from orders.sql import raw_connection

# At least as long as a dispatcher's lease (fulfillment.outbox, which builds on deliveries and so on this).
_LEASE_S = 20.0

_REQUEST = """
    FROM fulfillment_gameevent g
    JOIN fulfillment_webhookmessage m ON m.event_id = g.seq
    JOIN fulfillment_webhookendpoint e ON e.id = m.endpoint_id
    WHERE g.order_no = %(order_no)s AND g.order_no <> '' AND g.type = %(requested)s
"""
_NEXT_TRY = f"""
    SELECT greatest(m.next_attempt_at, e.next_probe_at) {_REQUEST} AND m.state = 'waiting' AND e.state = 'active'
"""
# What is due within a lease is being sent just now, or is about to be.
_TRY_NOW = f"""
    UPDATE fulfillment_webhookmessage SET state = 'waiting', next_attempt_at = now()
    WHERE id IN (
        SELECT m.id {_REQUEST} AND e.state = 'active'
          AND (m.state = 'parked'
               OR m.state = 'waiting' AND m.next_attempt_at > now() + make_interval(secs => %(lease_s)s))
        FOR UPDATE OF m SKIP LOCKED)
"""  # noqa: S608  # our own text


def next_try(*, order_no: str) -> datetime | None:
    """When the game server is asked for an order's goods next. None: nothing is going to be tried by itself."""
    about = {"order_no": order_no, "requested": DELIVERY_REQUESTED}
    row = raw_connection().execute(_NEXT_TRY, about).fetchone()
    return row[0] if row else None


def try_now(*, order_no: str) -> bool:
    """Ask for an order's goods now rather than later, parked or not. False when nothing had to be moved."""
    about = {"order_no": order_no, "requested": DELIVERY_REQUESTED, "lease_s": _LEASE_S}
    moved = raw_connection().execute(_TRY_NOW, about).rowcount > 0
    if moved:
        poke()
    return moved
