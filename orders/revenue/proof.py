"""What the audit compares: kept sums with what the raw rows say, to the last fen. Numbers as in docs/guarantees.md."""

from orders.auditing import Invariant
from orders.models import EventKind
from orders.revenue.facts import BOOKS, DETAILS, FIGURES, REAL, facts, keys_of, sums

_FOLDED = "e.id <= (SELECT coalesce(max(folded_to), 0) FROM orders_revenuecursor)"
_FIRST = """
    (fact.payer IS NOT NULL AND EXISTS (
        SELECT FROM orders_payer p WHERE p.game_id = fact.game_id AND p.environment = fact.environment
          AND p.uid = fact.payer AND p.first_event = fact.event))::int
"""


def _differences(table: str, keys: tuple[str, ...], figures: tuple[str, ...]) -> str:
    """Keys whose kept figures are not those of the facts, either way round; a row of zeros is no row."""
    named = ", ".join(keys)
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    counted = sums(figures).replace("sum(new_payers)", f"sum({_FIRST})")
    kept = ", ".join(f"{name}::bigint" for name in figures)
    some = " + ".join(figures)
    key = " || ' ' || ".join(f"coalesce({name}::text, '')" for name in keys)
    return f"""
        WITH raw AS (
            SELECT * FROM (SELECT {keys_of(keys)}, {counted} FROM ({facts(_FOLDED)}) AS fact GROUP BY {places}) AS added
            WHERE {some} > 0
        ), kept AS (SELECT {named}, {kept} FROM {table} WHERE {some} > 0)
        SELECT {key} FROM ((TABLE raw EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL TABLE raw)) AS differing
    """  # noqa: S608  # our own text and column names


_WRONG_FIRSTS = f"""
    SELECT coalesce(kept.uid, raw.uid) FROM orders_payer kept FULL JOIN (
        SELECT o.game_id, o.environment, o.uid, min(e.id) AS first_event
        FROM orders_orderevent e JOIN orders_order o ON o.id = e.order_id
        WHERE e.kind = '{EventKind.PAID.value}' AND {REAL} AND {_FOLDED} GROUP BY 1, 2, 3
    ) raw USING (game_id, environment, uid) WHERE kept.first_event IS DISTINCT FROM raw.first_event
"""  # noqa: S608  # our own text
_DAY = (*BOOKS, "day")
_ALL = (*FIGURES, "new_payers")

INVARIANTS = (
    Invariant(
        "I-41", "revenue of days, kept as sums, equals the raw rows to the fen",
        "orders_revenueday",
        _differences("orders_revenueday", (*_DAY, *DETAILS), _ALL),
    ),
    Invariant(
        "I-41", "revenue of days by channel equals the raw rows to the fen",
        "orders_revenuedaybychannel",
        _differences("orders_revenuedaybychannel", _DAY, _ALL),
    ),
    Invariant(
        "I-41", "revenue of hours equals the raw rows to the fen",
        "orders_revenuehour",
        _differences("orders_revenuehour", (*_DAY, "hour"), ("attempts", *FIGURES)),
    ),
    Invariant(
        "I-42", "a player is a first-time payer once: with the first paid order",
        "orders_payer",
        _WRONG_FIRSTS,
    ),
)  # fmt: skip
