"""Questions of people are planned anew each time.

A statement that is prepared may get one plan for whatever values come. For a page of ours, asked a few times a minute,
that saves nothing and can cost everything: "state = ?" is planned as if every state were equally common, and reads
millions of rows for one that hardly occurs, past the small index made for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def planned_anew() -> Iterator[None]:
    """Statements inside are planned for the very values they carry, and not prepared."""
    connection.ensure_connection()
    raw: Any = connection.connection
    kept = raw.prepare_threshold
    raw.prepare_threshold = None
    try:
        yield
    finally:
        raw.prepare_threshold = kept
