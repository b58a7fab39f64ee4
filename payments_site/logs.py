"""Log lines: UTC time, level, logger, message, and the request's id. Control characters are escaped.

Messages name the event and carry numbers (provider, order_no, transaction_id); never keys, signatures,
tokens or bodies.
"""

import logging
from datetime import UTC, datetime

from orders.request_id import current_request_id

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code != 10}


class LineFormatter(logging.Formatter):
    """One line per record; a traceback follows indented by its own newlines."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage().translate(_ESCAPES).replace("\n", "\\n")
        request_id = current_request_id.get()
        line = f"{at} {record.levelname} {record.name} {message}" + (f" request_id={request_id}" if request_id else "")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
