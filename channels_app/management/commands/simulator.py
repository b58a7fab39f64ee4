"""`simulator`: every provider on one port of this machine, for trying out and testing. Never in production."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.simulator.server import serve


class Command(BaseCommand):
    help = "Run the provider simulator (DEBUG only): every provider, in every kind of bad weather."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen."""
        parser.add_argument("--port", type=int, default=settings.SIMULATOR_PORT)

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        """Serve until told to stop."""
        if not settings.SIMULATOR_ENABLED:
            raise CommandError("the provider simulator never runs in production (it needs DEBUG=1)")
        try:
            serve(
                settings.PAYMENTS_DATA_DIR / "simulator",
                port,
                speed=settings.SIMULATOR_LADDER_SPEED,
                on_ready=lambda url: self.stdout.write(f"provider simulator at {url}/"),
            )
        except OSError as error:
            raise CommandError(f"port {port} cannot be used: {error.strerror or error}") from error
