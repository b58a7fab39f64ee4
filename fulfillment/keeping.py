"""Housekeeping of the events that games were told: kept for catching up, then forgotten."""

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

_BATCH = 2000

# By number, which follows time closely enough: no index on the time is needed, and the walk ends at the first
# event that is young enough.
_WINDOW = "SELECT seq, created_at < %s FROM fulfillment_gameevent WHERE seq > %s ORDER BY seq LIMIT %s"
# An event stays as long as somebody has not been told: nothing is ever dropped (I-27).
_FORGET = """
    WITH old AS (
        SELECT e.seq FROM fulfillment_gameevent e
        WHERE e.seq = ANY(%s) AND NOT EXISTS (
            SELECT 1 FROM fulfillment_webhookmessage m WHERE m.event_id = e.seq AND m.state <> 'delivered')
    ), told AS (
        DELETE FROM fulfillment_webhookmessage m USING old WHERE m.event_id = old.seq RETURNING m.id
    ), tries AS (
        DELETE FROM fulfillment_webhookattempt a USING told WHERE a.message_id = told.id
    )
    DELETE FROM fulfillment_gameevent e USING old WHERE e.seq = old.seq
"""


def forget_old_events() -> int:
    """Delete events older than GAME_EVENTS_KEPT_DAYS that everybody was told. Returns how many."""
    before = timezone.now() - timedelta(days=settings.GAME_EVENTS_KEPT_DAYS)
    forgotten = seq = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_WINDOW, (before, seq, _BATCH))
            old = [number for number, is_old in cursor.fetchall() if is_old]
            if not old:
                return forgotten
            seq = old[-1]
            cursor.execute(_FORGET, (old,))
            forgotten += cursor.rowcount
