"""The list of everything a game was told, for catching up: in an order that never shows a gap.

Numbers are taken before their transaction commits, so by number alone a slow transaction's event would appear
behind a reader who has passed it. `(xid, seq)` orders by transaction, and only transactions older than every
running one are shown: whatever is before the end of the list is there for good.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from orders.authentication import GameServer
from orders.problems import Problem
from orders.sql import raw_connection

_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")
_EVENT_ID = re.compile(r"evt_[0-9a-f]{32}")
_PLACE_OF = """
    SELECT xid, seq FROM fulfillment_gameevent WHERE event_id = %s AND game_id = %s AND environment = %s
"""
_AFTER = """
    SELECT xid, seq, body FROM fulfillment_gameevent
    WHERE game_id = %s AND environment = %s AND (xid, seq) > (%s, %s)
      AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY xid, seq LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events as they were told, byte for byte; the cursor goes on after them (empty: no more now)."""

    bodies: Sequence[str]
    cursor: str


def events_after(*, game: GameServer, after: str, limit: int) -> EventPage:
    """Events after a cursor of an earlier page or the id of an event; empty `after`: from the first kept.

    Raises Problem(400, invalid_cursor).
    """
    xid, seq = _place(game, after) if after else (0, 0)
    found = raw_connection().execute(_AFTER, (game.game_id, game.environment, xid, seq, limit + 1)).fetchall()
    shown = found[:limit]
    more = len(found) > limit
    return EventPage([body for _, _, body in shown], _cursor(*shown[-1][:2]) if more else "")


def _cursor(xid: int, seq: int) -> str:
    return urlsafe_b64encode(f"{xid}.{seq}".encode()).rstrip(b"=").decode()


def _place(game: GameServer, after: str) -> tuple[int, int]:
    if _EVENT_ID.fullmatch(after):
        row = raw_connection().execute(_PLACE_OF, (after, game.game_id, game.environment)).fetchone()
        if row is not None:
            return row[0], row[1]
    else:
        try:
            text = urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4)).decode("ascii")
        except ValueError:
            text = ""
        match = _CURSOR.fullmatch(text)
        if match is not None:
            return int(match[1]), int(match[2])
    raise Problem(400, "invalid_cursor", "`after` is the id of an event that is still kept, or comes from `next`.")
