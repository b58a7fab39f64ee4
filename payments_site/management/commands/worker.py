"""`worker`: asks about silent payments, closes expired orders, finishes what a dead process left."""

from typing import Any

from django.core.management.base import BaseCommand

from channels_app.auditing import seal_entries
from channels_app.proposals import expire_proposals
from fulfillment.keeping import forget_old_events
from orders.exporting.running import forget_old_exports
from orders.sweeping import run_worker
from payments_site.people.keeping import forget_old_log_ins
from payments_site.processes import until_told_to_stop
from payments_site.startup import refuse_unsafe_start


class Command(BaseCommand):
    help = "Run the worker process. SIGTERM ends it after what is under way."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        refuse_unsafe_start()
        with until_told_to_stop() as stop:
            run_worker(
                stop,
                housekeeping=[
                    forget_old_events,
                    forget_old_log_ins,
                    forget_old_exports,
                    expire_proposals,
                    seal_entries,
                ],
            )
