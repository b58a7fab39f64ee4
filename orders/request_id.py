"""The id of the request being answered; carried into log lines, error documents and timeline entries."""

import re
import secrets
from contextvars import ContextVar

current_request_id: ContextVar[str] = ContextVar("request_id", default="")

_SENSIBLE = re.compile(r"[0-9A-Za-z._:+/=-]{1,100}")


def request_id_for(given: str) -> str:
    """The caller's own id (X-Request-ID) when it is a sensible one, else a new one."""
    return given if _SENSIBLE.fullmatch(given) else secrets.token_hex(12)
