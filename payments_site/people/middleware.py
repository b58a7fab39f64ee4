"""What the console's requests pass: sessions that are over are put out, and the browser is told what a page may do.

Only paths below /admin/ are looked at; machines never come this way (see LeanPathsMiddleware).
"""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _

from channels_app.console.addresses import BY_ITSELF
from payments_site.models import SessionOver
from payments_site.people import sessions

GetResponse = Callable[[HttpRequest], HttpResponseBase]

CONSOLE = "/admin/"
# Nothing inline, nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class ContentPolicyMiddleware:
    """Says on every page of the console what a browser may load and run there."""

    def __init__(self, get_response: GetResponse) -> None:
        """Standard Django middleware."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        response = self.get_response(request)
        if request.path.startswith(CONSOLE):
            response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class StaffSessionMiddleware:
    """Lets a session through while it lasts; what is over is forgotten, and the person is told why at the door."""

    def __init__(self, get_response: GetResponse) -> None:
        """Standard Django middleware."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        if not request.path.startswith(CONSOLE):
            return self.get_response(request)
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            self._look_at(request)
        response = self.get_response(request)
        sessions.follow_key(request)
        return response

    @staticmethod
    def _look_at(request: HttpRequest) -> None:
        now = timezone.now()
        row = sessions.session_of(request)
        over = row.over(now=now) if row is not None else SessionOver.ENDED
        if row is not None and over is None:
            if not _asked_by_the_page_itself(request):
                sessions.seen(row, now=now)
            return
        if row is not None and row.ended_at is None:
            sessions.end(row, now=now)
        request.session.flush()
        request.user = AnonymousUser()
        again = _("Please log in again.")
        messages.warning(request, f"{over.label if over else ''} {again}".strip())


def _asked_by_the_page_itself(request: HttpRequest) -> bool:
    """A page that refreshes its figures is not a person at work: only what somebody opened or sent counts."""
    return request.headers.get("Sec-Fetch-Dest") == "empty" or BY_ITSELF in request.GET
