"""`stream`: the ASGI process for event streams; ten thousand listeners hold no thread."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from payments_site.startup import refuse_unsafe_start


class Command(BaseCommand):
    help = "Run the stream process (ASGI)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGTERM."""
        refuse_unsafe_start()
        Granian(
            "payments_site.asgi:application",
            address=settings.LISTEN_ADDRESS,
            port=settings.STREAM_PORT,
            interface=Interfaces.ASGI,
            workers=1,
            backpressure=settings.STREAM_LISTENERS_AT_ONCE + 100,
            respawn_failed_workers=True,
            respawn_interval=0.5,
            workers_kill_timeout=3,
            websockets=False,
            log_level=LogLevels.error,
            log_access=False,
        ).serve()
