"""`dispatcher`: tells game servers what happened."""

from typing import Any

from django.core.management.base import BaseCommand

from fulfillment.dispatching import run_dispatcher
from payments_site.processes import until_told_to_stop
from payments_site.startup import refuse_unsafe_start


class Command(BaseCommand):
    help = "Run the dispatcher process. Several may run; each message is claimed by one."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        refuse_unsafe_start()
        with until_told_to_stop() as stop:
            run_dispatcher(stop)
