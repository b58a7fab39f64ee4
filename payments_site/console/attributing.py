"""Whoever uses the console is known to the audit trail: their changes bear their name, their refusals are kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from channels_app import trail
from channels_app.console.audit import REFUSED, write_down
from orders.authentication import peer_address


@contextmanager
def attributed(request: HttpRequest) -> Iterator[None]:
    """Everything done in here is done by the person behind `request`. A refusal is written down and goes on."""
    with trail.acting(actor=request.user.get_username() or "anonymous", address=peer_address(request)[:45]):
        try:
            yield
        except PermissionDenied:
            write_down(request, REFUSED, label=f"{request.method} {request.path}")
            raise
