"""Errors as RFC 9457 problem documents: every refusal has a stable `code`, and nothing leaks.

`Problem` is raised anywhere below a view; `answer_exception` turns it, and everything DRF, Django or
PostgreSQL may raise for a stranger's input, into `application/problem+json`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from orders.request_id import current_request_id

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """A refusal that the caller can understand: an HTTP status, a stable code, a sentence."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`errors` lists single fields: {"field", "code", "detail"}."""
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {
            "type": f"urn:payments:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": current_request_id.get(),
        }
        if self.errors:
            body["errors"] = self.errors
        return body


def invalid(errors: Sequence[Mapping[str, str]]) -> Problem:
    """400 for fields that do not hold."""
    named = ", ".join(sorted({error["field"] for error in errors}))
    return Problem(400, "invalid_request", f"These fields are not acceptable: {named}.", errors=errors)


def not_found(what: str) -> Problem:
    """404, also for what belongs to somebody else: existence is not told."""
    return Problem(404, "not_found", f"There is no such {what}.")


def busy() -> Problem:
    """503 while the database cannot be asked."""
    return Problem(503, "busy", "We cannot answer right now; try again shortly.", headers={"Retry-After": "1"})


def plain_response(problem: Problem) -> HttpResponse:
    """A problem outside DRF (middleware, URL resolver)."""
    return JsonResponse(problem.document(), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers)


_DRF_CODES: Mapping[type[exceptions.APIException], str] = {
    exceptions.ParseError: "malformed_body",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "too_many_requests",
    exceptions.ValidationError: "invalid_request",
}


def problem_of(error: BaseException) -> Problem:
    """The problem that answers an exception; unknown ones become a logged 500 that says nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Http404):
        return Problem(404, "not_found", "There is nothing at this address.")
    if isinstance(error, PermissionDenied):
        return Problem(403, "permission_denied", "This is not allowed.")
    if isinstance(error, exceptions.APIException):
        code = _DRF_CODES.get(type(error), "request_refused")
        headers = {"WWW-Authenticate": "Bearer"} if error.status_code == 401 else {}
        if isinstance(error, exceptions.ValidationError):
            fields = error.detail if isinstance(error.detail, dict) else {"": error.detail}
            return invalid(
                [{"field": str(name), "code": "invalid", "detail": str(text)} for name, text in fields.items()]
            )
        return Problem(error.status_code, code, str(error.detail), headers=headers)
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        # Gone, restarting, out of connections, or a lock that did not come free: later, never 4xx.
        logger.warning("database not available: %s", type(error.__cause__ or error).__name__)
        return busy()
    if isinstance(error, DatabaseError):
        logger.error("database refused a statement", exc_info=error)
    else:
        logger.error("unexpected error", exc_info=error)
    return Problem(500, "internal_error", "Something went wrong on our side; it has been recorded.")


def answer_exception(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler (settings.REST_FRAMEWORK)."""
    problem = problem_of(error)
    return Response(problem.document(), status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE)
