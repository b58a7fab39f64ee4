"""The audit trail: whoever changes a setting, by whatever way, leaves who, what, why and from where behind."""

import os
import subprocess
import sys
import threading

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from channels_app import auditing, trail
from channels_app.accounts import move_account, save_account
from channels_app.models import AccountState, AuditEntry, AuditSeal, Channel, MerchantAccount
from fulfillment.endpoints import set_endpoint
from fulfillment.models import WebhookEndpoint
from orders.authentication import new_api_key
from orders.models import ApiKey, Game, Product, ProductPrice
from payments_site.models import Authenticator
from tests import keys
from tests.console.conftest import page_of


def newest(count=1):
    """The newest entries, oldest of them first."""
    return list(AuditEntry.objects.order_by("-pk")[:count])[::-1]


class TestWhoeverChangesIt:
    """Every change of a setting is written down in its own transaction, with the name of who made it."""

    def test_in_the_console_a_person_an_address_a_reason(self, game, person):
        admin = person("admin")
        product = Product.objects.get()
        form = {
            "name": "60 gems", "is_active": "on", "store_ids": "{}", "reason": "spring sale", "ticket": "",
            "prices-TOTAL_FORMS": 1, "prices-INITIAL_FORMS": 1, "prices-0-id": ProductPrice.objects.get().pk,
            "prices-0-product": product.pk, "prices-0-currency": "CNY", "prices-0-amount_minor": 800,
            "grants-TOTAL_FORMS": 0, "grants-INITIAL_FORMS": 0,
        }  # fmt: skip
        del form["grants-TOTAL_FORMS"], form["grants-INITIAL_FORMS"]
        grant = product.grants.get()
        form |= {
            "grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 1, "grants-0-id": grant.pk, "grants-0-product": product.pk,
            "grants-0-item": grant.item_id, "grants-0-quantity": 60, "grants-0-bonus": 6,
        }  # fmt: skip
        before = AuditEntry.objects.count()
        assert admin.post(page_of(product), **form).status_code == 302
        (entry,) = newest(AuditEntry.objects.count() - before)
        assert (entry.actor, entry.address, entry.reason) == (admin.user.username, "127.0.0.1", "spring sale")
        assert (entry.action, entry.subject, entry.subject_id) == ("changed price", "orders.product", str(product.pk))
        assert entry.detail == {"amount_minor": [600, 800]}

    @pytest.mark.django_db(transaction=True)
    def test_by_command_its_name(self):
        database = connection.settings_dict
        environment = {
            **os.environ,
            "DATABASE_URL": make_conninfo(
                dbname=database["NAME"], user=database["USER"], host=database["HOST"], port=database["PORT"]
            ),
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "create_channel", "taptap", "--name", "TapTap"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (entry,) = newest()
        assert (entry.actor, entry.action, entry.label) == ("command create_channel", "added", "taptap")

    def test_with_sql_the_role_of_the_database(self, channel):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE channels_app_channel SET name = 'by hand' WHERE id = %s", [channel.pk])
        (entry,) = newest()
        assert (entry.actor, entry.action) == (f"database {_role()}", "changed")
        assert entry.detail == {"name": ["Official site", "by hand"]}

    def test_what_is_taken_back_leaves_neither_change_nor_entry(self, channel):
        before = AuditEntry.objects.count()
        with transaction.atomic():
            Channel.objects.filter(pk=channel.pk).update(name="never")
            assert AuditEntry.objects.count() == before + 1
            transaction.set_rollback(True)
        channel.refresh_from_db()
        assert (channel.name, AuditEntry.objects.count()) == ("Official site", before)

    def test_a_name_does_not_outlive_its_work(self, channel):
        with trail.acting(actor="li", address="198.51.100.9"):
            Channel.objects.filter(pk=channel.pk).update(name="by li")
        Channel.objects.filter(pk=channel.pk).update(name="by nobody")
        li, nobody = newest(2)
        assert (li.actor, li.address) == ("li", "198.51.100.9")
        assert (nobody.actor, nobody.address) == (f"database {_role()}", "")

    def test_covers_accounts_keys_addresses_people_and_roles(self, game, channel):
        account = save_account(
            provider="wechatpay", code="wx9", environment="sandbox", credentials=keys.wechat_credentials()
        )
        move_account(account_id=account.pk, to=AccountState.DRAINING)
        new_api_key(game=game, environment="sandbox")
        set_endpoint(game=game, url="https://game.example/hook")
        user = User.objects.create_user("wang", password="a long console password")
        user.groups.add(Group.objects.get(name="finance"))
        Game.objects.filter(pk=game.pk).update(name="Renamed")
        Authenticator.objects.create(user=user, name="phone", seed_sealed=b"CANARY")
        seen = {(entry.subject, entry.action) for entry in AuditEntry.objects.all()}
        assert seen >= {
            ("channels_app.merchantaccount", "added"), ("channels_app.merchantaccount", "changed"),
            ("orders.apikey", "added"), ("fulfillment.webhookendpoint", "added"), ("auth.user", "added"),
            ("auth.user", "added role"), ("orders.game", "changed"), ("auth.user", "added authenticator app"),
            ("orders.product", "added price"), ("orders.product", "added contents"), ("fulfillment.item", "added"),
        }  # fmt: skip


class TestSecrets:
    """Of what is secret the trail says that it changed, and nothing more."""

    def test_no_key_password_digest_or_seed_stands_in_it(self, game, channel):
        account = save_account(
            provider="wechatpay", code="wx9", environment="sandbox", credentials=keys.wechat_credentials()
        )
        key = new_api_key(game=game, environment="sandbox")
        endpoint = set_endpoint(game=game, url="https://game.example/hook").endpoint
        user = User.objects.create_user("wang", password="CANARY console password")
        Authenticator.objects.create(user=user, name="phone", seed_sealed=b"CANARY-SEED")
        kept = [
            bytes(MerchantAccount.objects.get(pk=account.pk).credentials_sealed).hex()[:40],
            bytes(WebhookEndpoint.objects.get(pk=endpoint.pk).secrets_sealed).hex()[:40],
            User.objects.get(pk=user.pk).password[20:], ApiKey.objects.get().digest, b"CANARY-SEED".hex(), key[12:],
        ]  # fmt: skip
        text = "".join(str(entry.detail) for entry in AuditEntry.objects.all())
        assert [secret for secret in kept if secret in text] == []
        assert AuditEntry.objects.filter(subject="auth.user", action="added").last().detail["password"] == "changed"

    def test_what_moves_by_itself_writes_nothing(self, game, wechat_account, api_key):
        endpoint = set_endpoint(game=game, url="https://game.example/hook").endpoint
        user = User.objects.create_user("wang")
        before = AuditEntry.objects.count()
        now = timezone.now()
        ApiKey.objects.update(last_used_at=now)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failures_in_a_row=3, last_error="503", failing_since=now)
        MerchantAccount.objects.update(last_check={"ok": True}, updated_at=now)
        User.objects.filter(pk=user.pk).update(last_login=now)
        Product.objects.update(updated_at=now)
        assert AuditEntry.objects.count() == before


class TestAppendOnly:
    """Nobody rewrites the trail: not the application, not by switching its triggers off."""

    @pytest.fixture
    def application(self, db):
        """The role that the application has in production: it owns nothing."""
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE trail_application NOLOGIN")
            cursor.execute(
                "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON channels_app_auditentry TO trail_application"
            )
            cursor.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO trail_application")
            cursor.execute("SET ROLE trail_application")
            yield cursor
            cursor.execute("RESET ROLE")

    def test_refuses_the_application_four_times_out_of_four(self, channel, application):
        attempts = (
            "UPDATE channels_app_auditentry SET actor = 'somebody else'",
            "DELETE FROM channels_app_auditentry",
            "TRUNCATE channels_app_auditentry",
            "ALTER TABLE channels_app_auditentry DISABLE TRIGGER ALL",
        )
        refused = 0
        for attempt in attempts:
            with pytest.raises(DatabaseError), transaction.atomic():
                application.execute(attempt)
            refused += 1
        application.execute("INSERT INTO channels_app_auditentry (actor, action, detail) VALUES ('a', 'b', '{}')")
        assert refused == 4

    def test_keeps_its_triggers_under_watch(self, db):
        from orders.auditing import Invariant
        from payments_site.people.proof import INVARIANTS

        def broken(invariant: Invariant):
            with connection.cursor() as cursor:
                cursor.execute(invariant.broken)
                return [key for (key,) in cursor.fetchall()]

        assert [broken(invariant) for invariant in INVARIANTS] == [[], [], []]
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE orders_productprice DISABLE TRIGGER ALL")
        assert len(broken(INVARIANTS[0])) == 2
        assert set(broken(INVARIANTS[1])) == {
            "orders_productprice insert", "orders_productprice update", "orders_productprice delete"
        }  # fmt: skip


@pytest.mark.django_db(transaction=True)
class TestSeals:
    """Seals chain the whole trail: whatever is altered, removed or slipped in later is found."""

    def _write(self, count: int):
        for number in range(count):
            AuditEntry.objects.create(actor="li", action="test", label=f"entry {number}", detail={"n": [number, 1.5]})

    def _tamper(self, sql: str):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql)

    def test_cover_everything_once_and_hold(self, monkeypatch):
        monkeypatch.setattr(auditing, "ENTRIES_PER_SEAL", 4)
        self._write(10)
        assert auditing.seal_entries() == 3
        self._write(1)
        assert auditing.seal_entries() == 1
        assert auditing.seal_entries() == 0
        chain = auditing.verify_chain()
        assert (chain.entries, chain.seals, chain.broken) == (11, 4, [])
        assert auditing.verify_chain(logged=chain.head).broken == []

    @pytest.mark.parametrize(
        "tampering",
        [
            "UPDATE channels_app_auditentry SET actor = 'wang' WHERE label = 'entry 3'",
            "UPDATE channels_app_auditentry SET detail = '{}' WHERE label = 'entry 3'",
            "DELETE FROM channels_app_auditentry WHERE label = 'entry 3'",
            "DELETE FROM channels_app_auditentry WHERE label = 'entry 0'",
            "DELETE FROM channels_app_auditseal WHERE id = (SELECT min(id) + 1 FROM channels_app_auditseal)",
            "UPDATE channels_app_auditseal SET entries = entries + 1",
            "UPDATE channels_app_auditentry SET at = at + interval '1 second' WHERE label = 'entry 3'",
        ],
    )
    def test_find_what_was_done_with_the_triggers_off(self, monkeypatch, tampering):
        monkeypatch.setattr(auditing, "ENTRIES_PER_SEAL", 3)
        self._write(9)
        auditing.seal_entries()
        assert auditing.verify_chain().broken == []
        self._tamper(tampering)
        assert auditing.verify_chain().broken != []

    def test_find_by_the_log_what_was_rewritten_as_a_whole(self):
        self._write(3)
        auditing.seal_entries()
        logged = AuditSeal.objects.get().digest
        self._tamper("DELETE FROM channels_app_auditseal")
        self._tamper("UPDATE channels_app_auditentry SET actor = 'wang'")
        auditing.seal_entries()
        assert auditing.verify_chain().broken == []
        assert auditing.verify_chain(logged=logged).broken == [f"seal {logged[:12]} of the log is not in the chain"]

    def test_find_what_was_never_sealed(self):
        self._write(1)
        self._tamper("UPDATE channels_app_auditentry SET at = at - interval '3 hours'")
        (found,) = auditing.verify_chain().broken
        assert "was never sealed" in found

    def test_wait_for_an_entry_that_is_not_committed_yet(self, monkeypatch):
        monkeypatch.setattr(auditing, "_WAIT_MS", 50)
        written, finish = threading.Event(), threading.Event()

        def slow_writer():
            try:
                with transaction.atomic():
                    self._write(1)
                    written.set()
                    finish.wait(10)
            finally:
                connection.close()

        writer = threading.Thread(target=slow_writer)
        writer.start()
        try:
            assert written.wait(10)
            assert auditing.seal_entries() == 0
        finally:
            finish.set()
            writer.join()
        assert auditing.seal_entries() == 1
        assert auditing.verify_chain().entries == 1

    def test_hold_with_many_writers_at_once(self):
        def writer():
            try:
                self._write(5)
            finally:
                connection.close()

        writers = [threading.Thread(target=writer) for _ in range(20)]
        for thread in writers:
            thread.start()
        while any(thread.is_alive() for thread in writers):
            auditing.seal_entries()
        for thread in writers:
            thread.join()
        auditing.seal_entries()
        chain = auditing.verify_chain()
        assert (chain.entries, chain.broken) == (100, [])

    def test_the_newest_is_logged_because_a_log_leaves_the_machine(self, caplog):
        self._write(2)
        with caplog.at_level("INFO", logger="channels_app.auditing"):
            auditing.seal_entries()
        assert AuditSeal.objects.get().digest in caplog.text


def _role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        return cursor.fetchone()[0]
