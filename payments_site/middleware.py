"""What happens to every request before a view sees it: an id, a size limit, and a short way for machines."""

import io
import re
from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from orders.problems import Problem, plain_response
from orders.request_id import current_request_id, request_id_for

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class RequestIdMiddleware:
    """Gives each request an id (the caller's own when it sent a sensible one), echoes it, and bounds the body."""

    def __init__(self, get_response: GetResponse) -> None:
        """Standard Django middleware."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        request_id = request_id_for(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = current_request_id.set(request_id)
        try:
            problem = self._refuse(request)
            response = plain_response(problem) if problem else self.get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-ID"] = request_id
        return response

    @staticmethod
    def _refuse(request: HttpRequest) -> Problem | None:
        if _UNPRINTABLE.search(request.path):
            return Problem(404, "not_found", "There is nothing at this address.")
        limit: int = settings.REQUEST_BODY_LIMIT_BYTES
        length = request.META.get("CONTENT_LENGTH") or ""
        if length and not (length.isascii() and length.isdigit()):
            return Problem(400, "malformed_body", "Content-Length is not a number.")
        size = int(length[:20]) if length else 0
        if not length and "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            size = _take_chunked(request, limit)
        if size > limit:
            return Problem(413, "body_too_large", f"A body may have {limit} bytes at most.")
        return None


def _take_chunked(request: HttpRequest, limit: int) -> int:
    """Django reads nothing of a body without a length: read it here, bounded, and put it back with one."""
    environ: dict[str, Any] = request.environ  # type: ignore[attr-defined]  # WSGIRequest
    body = environ["wsgi.input"].read(limit + 1)
    request._stream = io.BytesIO(body)  # where HttpRequest.body reads from
    request.META["CONTENT_LENGTH"] = str(len(body))
    return len(body)


class LeanPathsMiddleware:
    """Machines skip what only browsers need: sessions, CSRF, languages, messages.

    Those ten layers cost a status read a fifth of its time and cannot do anything for a bearer token or a
    signed notification. Everything outside the lean paths goes through the full chain.
    """

    LEAN = ("/api/v1/", "/notify/", "/healthz", "/readyz", "/metrics")

    def __init__(self, get_response: GetResponse) -> None:
        """Standard Django middleware; builds the short way once."""
        self.full_way = get_response
        self.short_way = cast("GetResponse", convert_exception_to_response(_ViewOnly()._get_response))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request by the way its path deserves."""
        way = self.short_way if request.path.startswith(self.LEAN) else self.full_way
        return way(request)


class _ViewOnly(BaseHandler):
    """Django's own handler with no middleware below us: resolve the URL, call the view."""

    _view_middleware: ClassVar[list[Any]] = []
    _template_response_middleware: ClassVar[list[Any]] = []
    _exception_middleware: ClassVar[list[Any]] = []
    _get_response: GetResponse  # typed by nobody else


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler404: a problem document for machines, and for everybody else too."""
    return plain_response(Problem(404, "not_found", "There is nothing at this address."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: what Django itself found suspicious (host names, form sizes)."""
    return plain_response(Problem(400, "malformed_request", "The request cannot be read."))


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500."""
    return plain_response(Problem(500, "internal_error", "Something went wrong on our side; it has been recorded."))
