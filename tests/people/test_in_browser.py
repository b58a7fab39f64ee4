"""A real browser at the door of the console, and what its pages may load and run."""

import io
import logging
from functools import partial

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection

from payments_site.models import Authenticator
from payments_site.people import factors
from payments_site.people.session_store import SessionStore
from tests.people.conftest import PASSWORD
from tests.people.steps import a_minute_passes, authenticator_of, code_for, code_of, log_in, put, seed_on

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(live_server, settings) -> str:
    settings.PUBLIC_BASE_URL = live_server.url
    return live_server.url


@pytest.fixture
def tab(tab):
    """In English, unless a test says otherwise."""
    return partial(tab, language="en")


@pytest.fixture
def staff(transactional_db) -> User:
    return User.objects.create_superuser("lin", password=PASSWORD)


def give_code(page, code: str) -> None:
    put(page, "#id_factor_code", code)
    page.click(".door-body button[type=submit]")


def give_password(page, site: str) -> None:
    page.goto(f"{site}/admin/")
    put(page, "#id_username", "lin")
    put(page, "#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")


def log_out(page) -> None:
    page.click("#logout-form button")
    page.until("document.querySelector('#login-form')", "the door")


@pytest.fixture
def heard():
    """Everything that is logged, at every level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(name) for name in ("", "axes", "django.request", "django.server")]
    levels = [logger.level for logger in loggers]
    loggers[0].addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield text
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    loggers[0].removeHandler(handler)


class TestTheWholeWay:
    """From the first log-in to a lost phone, as a person goes it; what was shown once is nowhere afterwards."""

    def test_in_out_and_in_again(self, tab, site, staff, heard):
        page = tab()
        give_password(page, site)
        page.until_text("Set up your authenticator")
        assert page.evaluate("document.querySelector('.seed svg').getBoundingClientRect().width") > 150
        seed = seed_on(page.text)
        give_code(page, code_for(seed))
        page.until_text("Recovery codes")
        codes = page.evaluate("[...document.querySelectorAll('.recovery-codes li')].map((one) => one.textContent)")
        assert len(codes) == 10
        page.click(".door-body a.default")
        page.until("document.querySelector('#logout-form')", "the console")

        log_out(page)
        authenticator = Authenticator.objects.get()
        give_password(page, site)
        code = code_of(authenticator)
        give_code(page, code)
        page.until("document.querySelector('#logout-form')", "the console")

        log_out(page)
        give_password(page, site)
        give_code(page, code)
        page.until_text("used already")
        give_code(page, codes[0])
        page.until("document.querySelector('#logout-form')", "the console")
        page.until_text("You have 9 left")

        log_out(page)
        a_minute_passes()
        give_password(page, site)
        give_code(page, codes[0])
        page.until_text("used already")
        page.goto(f"{site}/admin/")
        page.until("document.querySelector('#login-form')", "the door")

        secrets = [seed.hex(), factors.seed_text(authenticator), code, PASSWORD]
        secrets += [
            factors.seed_text(authenticator).replace(" ", ""),
            *codes,
            *(code.replace("-", "") for code in codes),
        ]
        for place, text in (("the log", heard.getvalue()), ("the database", dump())):
            assert [secret for secret in secrets if secret in text] == [], place

    def test_without_scripts(self, tab, site, staff):
        page = tab(scripts=False)
        give_password(page, site)
        page.until_text("Set up your authenticator")
        give_code(page, code_for(seed_on(page.text)))
        page.until_text("Recovery codes")
        assert "Print" not in page.text

    def test_on_a_phone_in_chinese(self, tab, site, staff):
        page = tab(width=390, height=844, mobile=True, language="zh-CN")
        give_password(page, site)
        page.until_text("设置验证器")
        assert page.evaluate("document.documentElement.scrollWidth <= 390")

    def test_stepping_up_sends_on_what_waited(self, tab, site, staff):
        authenticator = authenticator_of(staff)
        page = tab()
        log_in(page, site, staff, PASSWORD, authenticator)
        for row in Session.objects.all():
            data = SessionStore().decode(row.session_data)
            row.session_data = SessionStore().encode({**data, "factor_at": 0})
            row.save()
        page.goto(f"{site}/admin/login/mine/")
        page.click("form[action='/admin/login/recovery-codes/'] button")
        page.until_text("Confirm that it is you")
        give_code(page, code_of(authenticator))
        page.until("document.querySelectorAll('.recovery-codes li').length === 10", "new recovery codes")


def dump() -> str:
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        rows = []
        for table in tables:
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')
            rows += [row for (row,) in cursor.fetchall()]
    return "\n".join(rows)


class TestTheContentPolicy:
    """The console's pages load and run nothing but our own files; a browser complains of nothing."""

    def test_is_kept_by_every_page(self, tab, site, staff, busy_shop):
        page = tab()
        log_in(page, site, staff, PASSWORD, authenticator_of(staff))
        addresses = ["/admin/", "/admin/login/mine/", "/admin/password_change/"]
        for model in admin.site._registry:
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            addresses.append(base)
            row = model._default_manager.order_by("-pk").first()
            if row is not None:
                addresses.append(f"{base}{row.pk}/change/")
        for address in addresses:
            page.goto(site + address)
            assert page.evaluate("document.querySelector('#content') !== null"), address
            assert page.faults == [], address

    def test_would_be_noticed_if_it_were_not(self, tab, site, staff):
        page = tab()
        page.goto(f"{site}/admin/login/")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">inline</p>')")
        page.until("document.body.innerText.includes('inline')")
        assert "Content Security Policy" in page.faults.pop()

    def test_leaves_the_admins_own_scripts_working(self, tab, site, staff):
        page = tab()
        log_in(page, site, staff, PASSWORD, authenticator_of(staff))
        page.click("#header .theme-toggle")
        page.until("['light', 'dark'].includes(document.documentElement.dataset.theme)", "a chosen theme")
        put(page, "#nav-filter", "Aud")
        page.until("[...document.querySelectorAll('#nav-sidebar tr')].some((row) => row.hidden || !row.offsetParent)")

    def test_names_only_ourselves(self, client, transactional_db):
        answer = client.get("/admin/login/")
        policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "img-src", "form-action")} == {"'self'"}
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"
        assert answer["X-Frame-Options"] == "DENY"
