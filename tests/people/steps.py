"""What a person does to get into the console in a browser, for every test that needs somebody inside."""

import base64
import re
import time

from django_otp.oath import hotp

from orders.models import RateCounter
from payments_site.models import STEP_S, Authenticator
from payments_site.people import factors


def authenticator_of(user) -> Authenticator:
    """An authenticator that the person has set up long ago."""
    authenticator = factors.begin(user)
    authenticator.confirmed = True
    authenticator.save()
    return authenticator


def code_of(authenticator: Authenticator) -> str:
    """The code that the app shows now, as if the one before had been used long ago and nobody had tried lately."""
    Authenticator.objects.filter(pk=authenticator.pk).update(last_step=-1)
    a_minute_passes()
    return code_for(authenticator.seed())


def code_for(seed: bytes, *, steps: int = 0) -> str:
    """The code of a seed, now or some steps of 30 seconds from now."""
    return f"{hotp(seed, int(time.time()) // STEP_S + steps):06d}"


def seed_on(text: str) -> bytes:
    """The key that a set-up page shows, as an app would read it."""
    shown = re.search(r"(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}", text)
    assert shown, text
    return base64.b32decode(shown[0].replace(" ", ""))


def a_minute_passes() -> None:
    """As far as limits per minute can tell."""
    RateCounter.objects.all().delete()


def put(page, selector: str, text: str) -> None:
    """Type into a field."""
    page.click(selector)
    page.evaluate(f"document.querySelector({selector!r}).value = ''")
    page._send("Input.insertText", text=text)


def log_in(page, site: str, user, password: str, authenticator: Authenticator | None = None) -> None:
    """Log in at `site` and arrive on the first page; with an authenticator through the second step too."""
    page.goto(f"{site}/admin/login/")
    put(page, "#id_username", user.get_username())
    put(page, "#id_password", password)
    page.click("#login-form button[type=submit]")
    if authenticator is not None:
        page.until("document.querySelector('#id_factor_code')", "the second step")
        put(page, "#id_factor_code", code_of(authenticator))
        page.click(".door-body button[type=submit]")
    page.until("document.querySelector('#logout-form') && document.readyState === 'complete'", "the console")
