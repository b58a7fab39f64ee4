"""Sessions in the database, under a digest of their key: whoever reads the table cannot use what stands there."""

import hashlib
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

_ROW_KEY_LETTERS = 40  # the width of Django's column; 160 bits


def digest_of(session_key: str) -> str:
    """What our own rows know a session by."""
    return hashlib.sha256(session_key.encode()).hexdigest()


def _row_key(session_key: str) -> str:
    """What Django's table knows a session by: the beginning of the same digest."""
    return digest_of(session_key)[:_ROW_KEY_LETTERS]


class SessionStore(DatabaseStore):
    """Django's store, except that the key of a row is not the key in the cookie."""

    def _get_session_from_db(self) -> Any:
        key = _row_key(self.session_key or "")
        row = self.model.objects.filter(session_key=key, expire_date__gt=timezone.now()).first()
        if row is None:
            self._session_key = None
        return row

    def exists(self, session_key: str) -> bool:
        """Whether there is such a session."""
        return super().exists(_row_key(session_key))

    def create_model_instance(self, data: Any) -> Any:
        """The row to save."""
        row = super().create_model_instance(data)
        row.session_key = _row_key(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        """Delete this session, or the one with the given key."""
        key = session_key or self.session_key
        if key is not None:
            super().delete(_row_key(key))
