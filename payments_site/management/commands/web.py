"""`web`: the WSGI process for API, notifications, checkout and console."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from payments_site.startup import refuse_unsafe_start

# A connection on which no head arrives for so long is ended: slow senders and idle clients. Longer than clients keep
# idle connections by habit, so that seldom one is used that is just being closed.
_HEAD_WITHIN_MS = 75_000


class Command(BaseCommand):
    help = "Run the web process (WSGI)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGTERM; requests that run are finished."""
        refuse_unsafe_start()
        Granian(
            "payments_site.web:application",
            address=settings.LISTEN_ADDRESS,
            port=settings.PORT,
            interface=Interfaces.RSGI,
            workers=settings.WEB_WORKERS,
            backpressure=settings.WEB_CONNECTIONS_AT_ONCE,
            http1_settings=HTTP1Settings(header_read_timeout=_HEAD_WITHIN_MS),
            respawn_failed_workers=True,
            respawn_interval=0.5,
            workers_kill_timeout=35,  # longer than the longest poll
            websockets=False,
            log_level=LogLevels.error,  # its warnings are about the number of threads, which is chosen
            log_access=False,
        ).serve()
