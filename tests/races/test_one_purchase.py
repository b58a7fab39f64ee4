"""Whatever happens at the same instant, an order is made once, paid once and delivered once."""

from collections import Counter
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from fulfillment.models import Balance
from orders.cancelling import expire_orders, mark_cancelled
from orders.models import CancelReason, Case, IdempotencyRecord, Order, OrderEvent, PaymentAttempt
from orders.ordering import COUNT
from orders.settling import Outcome
from tests.buying import attempt_at, make_order, order_body, post, settle
from tests.effects import ONE_PURCHASE, Effects, effects
from tests.races.at_once import at_once

pytestmark = pytest.mark.django_db(transaction=True)


class TestTwins:
    """Fifty identical requests at once make one order."""

    def test_with_one_reference_make_one_order(self, channel, api_key, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        body = order_body()
        answers = at_once([lambda: post(Client(), "orders", body, bearer=api_key)] * 30)
        assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 29}
        assert len({answer.json()["order_no"] for answer in answers}) == 1
        assert (Order.objects.count(), OrderEvent.objects.count()) == (1, 1)

    def test_with_one_idempotency_key_make_one_order(self, channel, api_key, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        body = order_body()
        answers = at_once([lambda: post(Client(), "orders", body, bearer=api_key, **{"Idempotency-Key": "once"})] * 20)
        assert set(Counter(answer.status_code for answer in answers)) <= {201, 409}
        assert Order.objects.count() == 1
        assert IdempotencyRecord.objects.get().status == 201

    def test_never_pass_the_limit_together(self, channel, api_key, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 5
        answers = at_once([lambda: post(Client(), "orders", order_body(uid="bot"), bearer=api_key)] * 30)
        made = sum(answer.status_code == 201 for answer in answers)
        assert made == Order.objects.count()
        assert made in (5, 10)  # ten when the minute turned in between


class TestProofsAtOnce:
    """However many proofs arrive together, the money counts once and the goods leave once."""

    @pytest.fixture
    def attempt(self, client, channel, api_key, wechat_account):
        return attempt_at(make_order(client, api_key), wechat_account)

    def test_fifty_of_one_transaction_deliver_once(self, attempt):
        outcomes = at_once([lambda: settle(attempt, transaction_id="T1")] * 50)
        assert Counter(outcomes) == {Outcome.APPLIED: 1, Outcome.DUPLICATE: 49}
        assert effects() == ONE_PURCHASE
        assert Balance.objects.get().paid == 60

    def test_of_different_transactions_one_is_applied_and_the_others_held(self, attempt):
        jobs = [lambda number=number: settle(attempt, transaction_id=f"T{number}") for number in range(12)]
        outcomes = at_once(jobs)
        assert Counter(outcomes) == {Outcome.APPLIED: 1, Outcome.HELD: 11}
        assert effects() == Effects(1, 12, 1, 2, 1, 2, 0, 11)

    def test_of_an_unknown_number_are_kept_once(self, attempt):
        PaymentAttempt.objects.all().delete()
        outcomes = at_once([lambda: settle(attempt, transaction_id="T1")] * 20)
        assert Counter(outcomes) == {Outcome.ORPHAN: 1, Outcome.DUPLICATE: 19}
        assert (effects().payments, effects().cases) == (1, 1)

    def test_for_one_player_add_up(self, client, api_key, wechat_account, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        attempts = [attempt_at(make_order(client, api_key), wechat_account) for _ in range(20)]
        at_once([lambda attempt=attempt: settle(attempt) for attempt in attempts])
        balance = Balance.objects.get()
        assert (balance.paid, balance.free) == (20 * 60, 20 * 6)
        assert effects().deliveries == 20

    def test_against_cancelling_end_in_one_of_two_ways(self, client, api_key, wechat_account, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        for _ in range(8):
            attempt = attempt_at(make_order(client, api_key), wechat_account)
            order = attempt.order

            def cancel(order=order):
                return mark_cancelled(order_id=order.pk, reason=CancelReason.PLAYER, actor="player", now=timezone.now())

            outcome, cancelled = at_once([lambda attempt=attempt: settle(attempt), cancel])
            order.refresh_from_db()
            if cancelled:
                assert (outcome, order.state, order.delivery_state) == (Outcome.HELD, "cancelled", "none")
                assert Case.objects.filter(order=order, kind="late_payment").count() == 1
            else:
                assert (outcome, order.state, order.delivery_state) == (Outcome.APPLIED, "paid", "delivered")

    def test_against_expiry_end_in_one_of_two_ways(self, client, api_key, wechat_account, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        for _ in range(8):
            attempt = attempt_at(make_order(client, api_key), wechat_account, state="closed", next_query_at=None)
            later = attempt.order.expires_at + timedelta(seconds=1)
            outcome, _ = at_once(
                [lambda attempt=attempt: settle(attempt), lambda later=later: expire_orders(now=later)]
            )
            attempt.order.refresh_from_db()
            ends = {Outcome.APPLIED: ("paid", "delivered"), Outcome.HELD: ("cancelled", "none")}
            assert (attempt.order.state, attempt.order.delivery_state) == ends[outcome]


class TestCounting:
    """A limit counts right although many processes count at once."""

    def test_every_request_is_counted_once(self, db):
        def count():
            from django.db import connection

            with connection.cursor() as cursor:
                cursor.execute(COUNT, ("race",))
                return cursor.fetchone()[0]

        counted = at_once([count] * 30)
        assert max(Counter(counted).values()) <= 2  # a number appears twice only when the minute turned
