"""A provider's message is written down before anything in it is believed, judged once, and answered after the commit."""

import hashlib
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from channels_app import inbox, vault
from channels_app.accounts import forget_accounts, save_account
from channels_app.models import MerchantAccount, Notification, RefusedTally
from channels_app.providers.base import RawNotification
from orders.models import Case, OrderEvent
from orders.notifying import judge_unfinished
from tests import keys
from tests.buying import attempt_at, make_order
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.providers.wechat_side import envelope, signed, transaction


@pytest.fixture
def order(client, channel, api_key, wechat_account):
    order = make_order(client, api_key)
    attempt_at(order, wechat_account)
    return order


def send(client, body: bytes, headers=None, *, account: str = "wx1", **more: str):
    return client.post(
        f"/notify/wechatpay/{account}", body, content_type="application/json",
        headers={**(signed(body) if headers is None else headers), **more},
    )  # fmt: skip


def paid(order) -> bytes:
    return envelope(transaction(order.order_no))


class TestTheInbox:
    """Every acknowledged message is on disk, byte for byte, with one verdict; its secrets are sealed."""

    def test_keeps_the_very_bytes_and_headers(self, client, order):
        body = paid(order)
        assert send(client, body, Cookie="session=canary", Authorization="Bearer canary").status_code == 204
        row = Notification.objects.get()
        headers, kept = inbox.open_raw(row)
        assert (kept, row.body_sha256, row.body_size) == (body, hashlib.sha256(body).hexdigest(), len(body))
        assert "wechatpay-signature" in headers
        assert "canary" not in str(headers)
        assert (row.verdict, row.attempt_no, row.transaction_id) == (
            "applied", order.order_no, transaction(order.order_no)["transaction_id"],
        )  # fmt: skip

    def test_seals_them_in_their_own_row(self, client, order):
        body = paid(order)
        send(client, body)
        row = Notification.objects.get()
        assert body not in bytes(row.raw_sealed)
        assert order.order_no.encode() not in bytes(row.raw_sealed)
        row.pk = inbox.uuid7()
        with pytest.raises(vault.VaultClosed):
            inbox.open_raw(row)

    def test_names_itself_as_the_cause(self, client, order):
        send(client, paid(order))
        row = Notification.objects.get()
        assert OrderEvent.objects.get(order=order, kind="paid").actor == f"notification {row.pk}"

    def test_gives_each_repeat_its_own_row_and_verdict(self, client, order):
        body = paid(order)
        for _ in range(3):
            assert send(client, body).status_code == 204
        assert verdicts() == [("applied", ""), ("duplicate", ""), ("duplicate", "")]
        assert effects() == ONE_PURCHASE

    def test_does_not_fill_the_disk_with_forgeries(self, client, order, settings):
        settings.REFUSED_KEPT_PER_MINUTE = 5
        body = paid(order)
        for _ in range(30):
            assert send(client, body, signed(body, by="stranger")).status_code == 401
        kept = Notification.objects.count()
        assert kept in (5, 10)  # ten when the minute turned in between
        assert sum(RefusedTally.objects.values_list("refused", flat=True)) == 30
        assert effects() == NOTHING
        assert send(client, body).status_code == 204
        assert effects() == ONE_PURCHASE


class TestAddresses:
    """Only the address of an account takes messages, and only by POST."""

    @pytest.mark.parametrize("path", ["wechatpay/none", "alipay/wx1", "nobody/wx1", "wechatpay/WX1", "wechatpay/%00"])
    def test_of_nobody_take_nothing(self, client, order, path):
        body = paid(order)
        answer = client.post(f"/notify/{path}", body, content_type="application/json", headers=signed(body))
        assert answer.status_code == 404
        assert Notification.objects.count() == 0

    def test_take_nothing_by_get(self, client, order):
        assert client.get("/notify/wechatpay/wx1").status_code == 405
        assert Notification.objects.count() == 0

    def test_take_nothing_too_large(self, client, order):
        body = b"x" * (256 * 1024 + 1)
        assert send(client, body).status_code == 413
        assert Notification.objects.count() == 0

    def test_of_a_draining_account_still_take_money(self, client, order):
        MerchantAccount.objects.update(state="draining")
        forget_accounts()
        assert send(client, paid(order)).status_code == 204
        assert effects() == ONE_PURCHASE

    def test_do_not_believe_a_host_header(self, client, order, settings):
        settings.ALLOWED_HOSTS = ["*"]
        body = paid(order)
        answer = client.post(
            "/notify/wechatpay/wx1", body, content_type="application/json",
            headers={**signed(body, by="stranger"), "Host": "localhost"},
        )  # fmt: skip
        assert answer.status_code == 401
        assert effects() == NOTHING


class TestWhenWeCannotJudge:
    """Neither thanks nor refusal: the provider sends it again, and then it counts."""

    def test_because_the_keys_do_not_open(self, client, order, settings):
        good = settings.PAYMENTS_VAULT_KEYS
        settings.PAYMENTS_VAULT_KEYS = [("other", b"x" * 32)]
        vault.forget_keys()
        forget_accounts()
        assert send(client, paid(order)).status_code == 503
        assert effects() == NOTHING
        settings.PAYMENTS_VAULT_KEYS = good
        vault.forget_keys()
        assert send(client, paid(order)).status_code == 204
        assert effects() == ONE_PURCHASE

    def test_because_the_api_v3_key_is_wrong(self, client, order):
        wrong = keys.wechat_credentials(api_v3_key="z" * 32)
        save_account(provider="wechatpay", code="wx1", environment="sandbox", credentials=wrong)
        forget_accounts()
        for _ in range(2):
            assert send(client, paid(order)).status_code == 503
        assert verdicts() == [("unreadable", "decryption")] * 2
        assert (effects().payments, Case.objects.get().kind) == (0, "unreadable")
        save_account(provider="wechatpay", code="wx1", environment="sandbox", credentials=keys.wechat_credentials())
        forget_accounts()
        assert send(client, paid(order)).status_code == 204
        assert (effects().deliveries, effects().payments) == (1, 1)

    @pytest.mark.django_db(transaction=True)
    def test_because_the_database_is_held_elsewhere(self, client, order):
        other = connection.copy()
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 300")
        try:
            other.set_autocommit(False)
            with other.cursor() as cursor:
                cursor.execute("SELECT 1 FROM orders_order FOR UPDATE")
            began = time.monotonic()
            assert send(client, paid(order)).status_code == 503
            assert time.monotonic() - began < 3
            assert (effects(), verdicts()) == (NOTHING, [("received", "")])
            other.rollback()
        finally:
            other.close()
        assert send(client, paid(order)).status_code == 204
        assert effects() == ONE_PURCHASE


class TestAProcessThatDied:
    """A message that was kept, but never judged, is judged by the worker as of the moment it arrived."""

    def kept(self, order, *, ago: timedelta):
        at = timezone.now() - ago
        body = paid(order)
        headers = {name.lower(): value for name, value in signed(body, at=at.timestamp()).items()}
        account = MerchantAccount.objects.get()
        return inbox.keep(RawNotification(headers=headers, body=body, received_at=at), account=account, remote_addr="")

    def test_is_finished_by_another(self, order):
        self.kept(order, ago=timedelta(minutes=20))
        assert judge_unfinished() == 1
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("applied", "")])
        assert judge_unfinished() == 0

    def test_is_left_alone_while_it_may_still_live(self, order):
        self.kept(order, ago=timedelta(seconds=5))
        assert judge_unfinished() == 0
        assert effects() == NOTHING

    def test_changes_nothing_when_the_provider_was_faster(self, client, order):
        self.kept(order, ago=timedelta(minutes=20))
        send(client, paid(order))
        judge_unfinished()
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("duplicate", ""), ("applied", "")])
