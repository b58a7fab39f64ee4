"""A production start refuses what would lose money or secrets; health and figures tell the truth."""

import base64
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from channels_app import vault
from payments_site.startup import refuse_unsafe_start
from tests.buying import attempt_at, make_order, settle

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "SECRET_KEY": secrets.token_urlsafe(50),
    "PAYMENTS_VAULT_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
    "PUBLIC_BASE_URL": "https://pay.example.com",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
}


def start(command: str = "check", *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command as production would run it."""
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "manage.py", command, *arguments], cwd=ROOT, env={**inherited, "DEBUG": "0", **environment},
        text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


class TestTheEnvironment:
    """Without DEBUG every secret must be there; the message names the variable and never its value."""

    @pytest.mark.parametrize("missing", GOOD)
    def test_must_be_complete(self, missing):
        ran = start(**{name: value for name, value in GOOD.items() if name != missing})
        assert ran.returncode == 1
        assert f"{missing} is not set" in ran.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PAYMENTS_VAULT_KEYS", "k1:canary"),
            ("PAYMENTS_VAULT_KEYS", "canary"),
            pytest.param(
                "PAYMENTS_VAULT_KEYS", GOOD["PAYMENTS_VAULT_KEYS"] + "," + GOOD["PAYMENTS_VAULT_KEYS"], id="twice k1"
            ),
            ("PORT", "canary"),
            ("DEBUG", "canary"),
            ("QUERY_LADDER_S", "1,canary"),
            ("ORDER_EXPIRES_S", "1"),
        ],
    )
    def test_must_make_sense(self, name, value):
        ran = start(**{**GOOD, name: value})
        assert ran.returncode == 1
        assert name in ran.stderr
        assert GOOD["SECRET_KEY"] not in ran.stderr
        assert name != "PAYMENTS_VAULT_KEYS" or value.partition(":")[2] not in ran.stderr or value == "canary"

    def test_is_enough_when_complete(self):
        assert start(**GOOD).returncode == 0

    @pytest.mark.parametrize("command", ["simulator", "demo"])
    def test_knows_no_play_money_in_production(self, command):
        ran = start(command, **GOOD)
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr


class TestAProductionStart:
    """A process that could lose acknowledged payments, or not open its keys, does not serve."""

    @pytest.fixture(autouse=True)
    def _production(self, settings, db):
        settings.DEBUG = False
        settings.CONSOLE_SECOND_FACTOR = "required"

    @pytest.fixture(autouse=True)
    def _own_role(self, _production, request):
        """The application's role is no superuser, as in production. After what the test itself sets up."""
        for name in request.fixturenames:
            if name.endswith("_account"):
                request.getfixturevalue(name)
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE payments_app IN ROLE pg_read_all_data")
            cursor.execute("SET LOCAL ROLE payments_app")

    def test_serves_when_all_is_well(self, wechat_account):
        refuse_unsafe_start()

    def test_refuses_a_database_role_that_may_do_everything(self):
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
        with pytest.raises(CommandError, match="superuser"):
            refuse_unsafe_start()

    def test_refuses_people_without_a_second_factor(self, settings):
        settings.CONSOLE_SECOND_FACTOR = "optional"
        with pytest.raises(CommandError, match="CONSOLE_SECOND_FACTOR"):
            refuse_unsafe_start()

    def test_refuses_a_clock_that_is_not_the_databases(self, monkeypatch):
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 31)
        with pytest.raises(CommandError, match="31 seconds apart"):
            refuse_unsafe_start()

    def test_refuses_a_database_that_forgets(self, db):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
        with pytest.raises(CommandError, match="synchronous_commit"):
            refuse_unsafe_start()

    def test_refuses_keys_that_do_not_open(self, wechat_account, settings):
        settings.PAYMENTS_VAULT_KEYS = [("other", b"x" * 32)]
        vault.forget_keys()
        with pytest.raises(CommandError, match="wx1"):
            refuse_unsafe_start()
        vault.forget_keys()


class TestTheDeployCheck:
    """Django's own list of what a site on the internet needs finds nothing to say."""

    def test_is_clean(self):
        ran = start("check", "--deploy", "--fail-level", "WARNING", **GOOD)
        assert (ran.returncode, ran.stderr) == (0, "")

    def test_finds_cookies_that_stay_with_this_host(self):
        ran = start("diffsettings", "--all", **GOOD)
        shown = dict(line.strip("# ").partition(" = ")[::2] for line in ran.stdout.splitlines())
        for cookie in ("SESSION", "CSRF", "LANGUAGE"):
            assert shown[f"{cookie}_COOKIE_NAME"].startswith("'__Host-")
            assert shown[f"{cookie}_COOKIE_PATH"] == "'/'"
            assert shown[f"{cookie}_COOKIE_DOMAIN"] == "None"
            assert shown[f"{cookie}_COOKIE_SECURE"] == shown[f"{cookie}_COOKIE_HTTPONLY"] == "True"
            assert shown[f"{cookie}_COOKIE_SAMESITE"] == "'Lax'"
        assert shown["CONSOLE_SECOND_FACTOR"] == "'required'"


class TestHealth:
    """Alive, ready, and figures read from the rows."""

    def test_is_ready_only_with_every_migration(self, client, db):
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'fulfillment'")
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "migrations_missing")

    def test_counts_what_waits_and_names_no_player(self, client, channel, api_key, wechat_account):
        settle(attempt_at(make_order(client, api_key, uid="canary-player"), wechat_account))
        settle(attempt_at(make_order(client, api_key, uid="canary-player"), wechat_account), amount=1)
        text = client.get("/metrics").content.decode()
        figures = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert figures["payments_orders_last_hour", "paid", "sandbox"] == 1
        assert figures["payments_orders_last_hour", "pending", "sandbox"] == 1
        assert figures["payments_cases_open", "amount_differs"] == 1
        assert figures["payments_undelivered_oldest_seconds",] == 0
        assert "canary-player" not in text
