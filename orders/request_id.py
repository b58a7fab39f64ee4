"""The id of the request being answered; carried into log lines, error documents and timeline entries."""

from contextvars import ContextVar

current_request_id: ContextVar[str] = ContextVar("request_id", default="")
