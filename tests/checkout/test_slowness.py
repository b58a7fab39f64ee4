"""A provider that has not been answering is named as slow before a player waits for it."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orders.checkout import slowness
from orders.checkout.slowness import forget_slow_providers
from orders.models import AttemptState
from tests.buying import attempt_at, make_order
from tests.checkout.conftest import Player, words

pytestmark = pytest.mark.django_db
SLOW = "当前较慢，可能需要等待"


@pytest.fixture
def opened(client, api_key, wechat_account, alipay_account):
    """Others' attempts to open a payment: whether the provider answered, and how long ago."""
    accounts = {"wechatpay": wechat_account, "alipay": alipay_account}

    def open_one(method: str, *, answered: bool, ago_s: int = 60):
        return attempt_at(
            make_order(client, api_key),
            accounts[method.partition("_")[0]],
            method=method,
            state=AttemptState.OPEN if answered else AttemptState.OPENING,
            created_at=timezone.now() - timedelta(seconds=ago_s),
        )

    return open_one


def slow_methods(order) -> list[str]:
    """Which of the methods the page calls slow."""
    forget_slow_providers()
    labels = re.findall(r'<label class="method">.*?</label>', Player(order).look().content.decode(), re.DOTALL)
    return [re.search(r'value="(\w+)"', label)[1] for label in labels if SLOW in label]


class TestSlowProviders:
    """Half of the latest calls unanswered, at least two: said beside the name, and another method is chosen."""

    def test_is_said_beside_every_method_of_the_provider(self, order, opened):
        opened("wechatpay_native", answered=False)
        opened("wechatpay_h5", answered=False)
        assert slow_methods(order) == ["wechatpay_native"]
        assert not re.search(r'value="wechatpay_native"[^>]*checked', Player(order).look().content.decode())

    def test_one_silent_call_is_an_accident(self, order, opened):
        opened("wechatpay_native", answered=False)
        assert slow_methods(order) == []

    def test_most_calls_answered_is_not_slow(self, order, opened):
        for answered in (False, False, True, True, True):
            opened("wechatpay_native", answered=answered)
        assert slow_methods(order) == []

    def test_what_is_long_past_is_forgotten(self, order, opened):
        for _ in range(3):
            opened("wechatpay_native", answered=False, ago_s=600)
        assert slow_methods(order) == []

    def test_calls_under_way_prove_nothing(self, order, opened):
        for _ in range(3):
            opened("wechatpay_native", answered=False, ago_s=5)
        assert slow_methods(order) == []

    def test_methods_that_ask_no_provider_prove_nothing(self, order, opened):
        for _ in range(9):
            opened("alipay_page", answered=True)
        for _ in range(2):
            opened("alipay_qr", answered=False)
        assert set(slow_methods(order)) == {"alipay_qr", "alipay_page"}

    def test_another_environments_provider_is_another(self, order, opened, wechat_account):
        for _ in range(2):
            opened("wechatpay_native", answered=False)
        wechat_account.environment = "production"
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("UPDATE channels_app_merchantaccount SET environment = 'production'")
            cursor.execute("SET session_replication_role = origin")
        assert slow_methods(order) == []

    def test_when_all_are_slow_one_is_chosen_all_the_same(self, order, opened):
        for method in ("wechatpay_native", "alipay_qr"):
            for _ in range(2):
                opened(method, answered=False)
        forget_slow_providers()
        answer = Player(order).look()
        assert words(answer).count(SLOW) == 3
        assert len(re.findall("checked", answer.content.decode())) == 1


class TestCost:
    """It is looked at every few seconds, by primary key, however many attempts there are."""

    def test_many_pages_ask_once(self, order, django_assert_num_queries):
        now = timezone.now()
        with django_assert_num_queries(1):
            for _ in range(20):
                slowness.slow_providers(environment="sandbox", now=now)
        with django_assert_num_queries(1):
            slowness.slow_providers(environment="sandbox", now=now + timedelta(seconds=6))

    def test_the_plan_takes_the_newest_by_primary_key(self, opened):
        opened("wechatpay_native", answered=True)
        now = timezone.now()
        about = {
            "newest": 200, "since": now, "calling": ["wechatpay_native"], "unanswered_before": now, "at_least": 2
        }  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {slowness._SILENT}", about)
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Index Scan Backward using orders_paymentattempt_pkey" in plan
        assert "Limit" in plan
