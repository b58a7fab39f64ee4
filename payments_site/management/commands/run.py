"""`run`: the whole system on one machine, for trying out and developing. `make run` calls it.

Every process is a child of honcho, which labels their output and ends all when one ends or on Ctrl-C. In production
each of these commands is a service of its own (deploy/).
"""

import shlex
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from honcho.manager import Manager
from honcho.printer import Printer

from payments_site.demo_data import DemoAccess, ensure_demo
from payments_site.embedded_postgres import keep_running

PROCESSES = ("web", "stream", "worker", "dispatcher")
_READY_WITHIN_S = 60.0


class Command(BaseCommand):
    help = "Start web, stream, worker, dispatcher and (with DEBUG) the provider simulator; Ctrl-C stops all."

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, load the demo game into an empty database, start everything, say where it is."""
        call_command("migrate", verbosity=0)
        access = ensure_demo() if settings.SIMULATOR_ENABLED else None
        manager = Manager(Printer(sys.stdout))
        for name in (*PROCESSES, *(("simulator",) if settings.SIMULATOR_ENABLED else ())):
            command = f"exec {shlex.quote(sys.executable)} {shlex.quote(sys.argv[0])} {name}"
            manager.add_process(name, command)
        threading.Thread(target=self._welcome, args=(access,), daemon=True).start()
        stop = threading.Event()
        if settings.EMBEDDED_POSTGRES:
            keeper = threading.Thread(target=keep_running, args=(settings.PAYMENTS_DATA_DIR, stop), daemon=True)
            keeper.start()
        manager.loop()
        stop.set()
        # Ctrl-C is how one stops it: nothing failed.
        sys.exit(0 if manager.returncode in (130, 143) else manager.returncode)

    def _welcome(self, access: DemoAccess | None) -> None:
        until = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{settings.PORT}/readyz", timeout=2):
                    break
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        self.stdout.write(welcome(access))
        self.stdout.flush()


def welcome(access: DemoAccess | None) -> str:
    """Everything a newcomer needs for a first purchase."""
    base = settings.PUBLIC_BASE_URL
    lines = ["", "=" * 100, f"Payments is running at {base}", f"  console      {base}/admin/"]
    if access is not None:
        lines += [
            f"               user {access.admin}   password {access.password}",
            f"  API          {base}/api/v1/   documentation {base}/api/docs/",
            f"  API key      {access.api_key}",
            f"  simulator    http://127.0.0.1:{settings.SIMULATOR_PORT}/   (every provider, in any weather)",
            "",
            "A first order; paste this, then open its checkout_url in a browser and pay with Alipay:",
            "",
            f"  curl -s {base}/api/v1/orders -H 'Authorization: Bearer {access.api_key}' \\",
            "    -H 'Content-Type: application/json' \\",
            """    -d '{"client_ref":"'$(date +%s%N)'","uid":"10086","""
            f"""\"product_id":"{access.product}","channel_id":"{access.channel}"}}'""",
            "",
            f"A ready checkout page: {access.checkout_url}",
            "Purchases through every method, step by step: .venv/bin/python manage.py demo",
        ]
    return "\n".join([*lines, "Ctrl-C stops everything.", "=" * 100, ""])
