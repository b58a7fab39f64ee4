"""How often something may happen: counters in PostgreSQL, one atomic statement each, right across processes."""

from django.db import connection

from orders.problems import Problem

COUNT = """
    INSERT INTO orders_ratecounter AS c (key, "window", count) VALUES (%s, date_trunc('minute', now()), 1)
    ON CONFLICT (key, "window") DO UPDATE SET count = c.count + 1 RETURNING count
"""


def refuse_above(per_minute: int, *, key: str) -> None:
    """Count one more of `key` in this minute. Raises Problem(429) above the limit."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, (key,))
        (count,) = cursor.fetchone() or (0,)
    if count > per_minute:
        raise Problem(429, "too_many_requests", "Too often; try again in a minute.", headers={"Retry-After": "60"})
