"""Real orders that a store's reviewer paid with play money: delivered, and money to nobody.

The sums of revenue know them by their event. Whoever adds up orders themselves takes these out.
"""

from collections.abc import Collection

from django.db import connection

# Reviewers are few and never deleted; nobody else's order is paid like this (I-08).
_PLAYED = """
    SELECT o.id FROM orders_reviewer r
    JOIN orders_order o ON o.game_id = r.game_id AND o.uid = r.uid
    JOIN orders_payment p ON p.order_id = o.id AND p.applied AND p.environment <> o.environment
    WHERE r.game_id = ANY(%s)
"""


def paid_with_play_money(game_ids: Collection[int]) -> list[int]:
    """The keys of such orders of these games."""
    with connection.cursor() as cursor:
        cursor.execute(_PLAYED, [list(game_ids)])
        return [pk for (pk,) in cursor.fetchall()]
