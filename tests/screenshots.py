"""`make screenshots`: the main pages of console and checkout as they look today, in var/screenshots.

Starts the whole system on a database of its own, plays a working day into it, and walks through the pages in a real
Chromium: Chinese and English, light and dark, desktop and phone.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browser import Browser, chromium

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "var" / "screenshots"
_READY_WITHIN_S = 90.0
# Looks: name → what the browser is.
LOOKS = {
    "zh": {"language": "zh-CN"},
    "en": {"language": "en-GB"},
    "zh-dark": {"language": "zh-CN", "dark": True},
    "zh-phone": {"language": "zh-CN", "width": 390, "height": 844, "mobile": True},
}


def say(text: str) -> None:
    """Progress, on the error stream."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Take them all; 1 when there is no browser."""
    binary = chromium()
    if binary is None:
        say("no Chromium is installed")
        return 1
    home = Path(tempfile.mkdtemp(prefix="screenshots-"))
    environment = {
        **os.environ, "DEBUG": "1", "PAYMENTS_DATA_DIR": str(home), "PORT": "9640", "DATABASE_URL": "",
        "WEBHOOK_LADDER_S": "5,10,20,300",
    }  # fmt: skip
    log = home / "run.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "manage.py", "run"], cwd=ROOT, env=environment, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        password = _welcome(log)
        os.environ.update({name: environment[name] for name in ("DEBUG", "PAYMENTS_DATA_DIR", "PORT")})
        pages = _play()
        _take(binary, "http://127.0.0.1:9640", password, pages)
    finally:
        os.killpg(running.pid, signal.SIGINT)
        running.wait(30)
        shutil.rmtree(home, ignore_errors=True)
    say(f"in {TARGET.relative_to(ROOT)}")
    return 0


def _welcome(log: Path) -> str:
    until = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until:
        found = re.search(r"password (\S+)[\s\S]*Ctrl-C", log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.2)
    raise RuntimeError(f"the system did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _play() -> dict[str, str]:
    """Fill the database; returns the pages to look at."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "payments_site.settings"
    import django

    django.setup()
    from orders.models import Case, Order
    from tests.scene import play

    play(say=say)
    time.sleep(20)  # the dispatcher of the running system meets a game server that is not there
    page = "/admin/orders/order/%s/change/"
    of = {case.kind: case.order_id for case in Case.objects.all()}
    refused = Order.objects.filter(delivery_state="pending").latest("pk")
    delivered = Order.objects.filter(uid="20917001").latest("pk")
    return {
        "home": "/admin/",
        "orders": "/admin/orders/order/",
        "case-delivered": page % delivered.pk,
        "case-refused": page % refused.pk,
        "case-paid-twice": page % of["second_payment"],
        "case-late": page % of["late_payment"],
        "case-amount": page % of["amount_differs"],
        "cases": "/admin/orders/case/",
        "revenue": "/admin/revenue/",
        "exports": "/admin/exports/",
        "not-found": "/admin/look-up/?q=4200002291202603279941027733",
        "players": "/admin/fulfillment/player/",
        "payments": "/admin/orders/payment/",
        "deliveries": "/admin/fulfillment/delivery/",
        "ledger": "/admin/fulfillment/ledgerentry/",
        "webhooks": "/admin/fulfillment/webhookmessage/",
        "notifications": "/admin/channels_app/notification/",
        "accounts": "/admin/channels_app/merchantaccount/",
        "account-new": "/admin/channels_app/merchantaccount/add/?provider=wechatpay",
        "audit": "/admin/channels_app/auditentry/",
        "proposals": "/admin/channels_app/proposal/",
        "people": "/admin/auth/user/",
    }


def _take(binary: str, base: str, password: str, pages: dict[str, str]) -> None:
    wanted = set(sys.argv[1:])
    TARGET.mkdir(parents=True, exist_ok=True)
    with Browser(binary) as browser:
        for look, how in LOOKS.items():
            page = browser.page(**how)
            page.goto(f"{base}/admin/login/")
            page.evaluate(
                "document.querySelector('[name=username]').value = 'admin';"
                f"document.querySelector('[name=password]').value = {password!r}"
            )
            page.click("#login-form [type=submit]")
            page.until("document.querySelector('#user-tools')")
            for name, address in pages.items():
                if wanted and name not in wanted:
                    continue
                page.goto(base + address)
                page.screenshot(str(TARGET / f"{look}-{name}.png"))
                if page.faults:
                    say(f"{look} {name}: {page.faults}")
                    page.faults.clear()
            page.close()


if __name__ == "__main__":
    sys.exit(main())
