"""Notifications get lost. The providers are asked, and every purchase still comes to its end by itself."""

import threading
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from orders.asking import accounts_due, claim_due, tend
from orders.attempts import ask_provider
from orders.cancelling import expire_orders
from orders.models import Case, Order, OrderEvent, PaymentAttempt
from orders.sweeping import Worker
from tests.asking.conftest import attempt_of, let_time_pass
from tests.buying import post
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, timeline
from tests.races.at_once import at_once


class TestASilentPayment:
    """Paid at the provider, and no word of it: asking completes the purchase, once."""

    @pytest.mark.parametrize(("method", "provider"), [("wechatpay_native", "wechatpay"), ("alipay_qr", "alipay")])
    def test_is_found_when_its_turn_comes(self, shop, method, provider):
        order = shop.opened(method)
        shop.player_pays(order.order_no, provider)
        assert effects() == NOTHING
        tend(attempt_of(order).pk)
        order.refresh_from_db()
        assert (order.state, order.delivery_state, order.method) == ("paid", "delivered", method)
        assert effects() == ONE_PURCHASE
        assert OrderEvent.objects.get(order=order, kind="paid").actor == "query"
        tend(attempt_of(order).pk)
        assert effects() == ONE_PURCHASE
        assert attempt_of(order).next_query_at is None

    def test_is_asked_about_ever_less_often(self, shop, settings):
        settings.QUERY_LADDER_S = (5, 10, 60)
        order = shop.opened()
        pauses = []
        for _ in range(4):
            now = timezone.now()
            attempt = attempt_of(order)
            assert attempt.next_query_at is not None
            claimed = claim_due(account_id=attempt.account_id, limit=5, now=attempt.next_query_at)
            assert claimed == [attempt.pk]
            tend(attempt.pk)
            pauses.append(round((attempt_of(order).next_query_at - now).total_seconds()))
        assert pauses == [10, 60, 60, 60]
        assert (effects(), attempt_of(order).state) == (NOTHING, "open")

    def test_is_asked_about_at_once_when_the_client_says_success(self, shop):
        order = shop.opened()
        shop.player_pays(order.order_no)
        answer = post(shop.client, f"orders/{order.order_no}/client-result", {"result": "success"}, bearer=shop.api_key)
        assert (answer.status_code, answer.json()["state"], answer.json()["delivery_state"]) == (
            200,
            "paid",
            "delivered",
        )
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize("result", ["success", "failed", "cancelled"])
    def test_is_not_believed_on_the_clients_word(self, shop, result):
        order = shop.opened()
        answer = post(shop.client, f"orders/{order.order_no}/client-result", {"result": result}, bearer=shop.api_key)
        order.refresh_from_db()
        assert (answer.status_code, order.state, effects()) == (200, "pending", NOTHING)
        assert "client_result" in timeline(order)

    @pytest.mark.parametrize("mode", ["error500", "error429", "garbage", "unsigned", "wrong_signature", "reset"])
    @pytest.mark.parametrize(("method", "provider"), [("wechatpay_native", "wechatpay"), ("alipay_qr", "alipay")])
    def test_is_found_after_the_providers_bad_weather(self, shop, mode, method, provider):
        order = shop.opened(method)
        shop.player_pays(order.order_no, provider)
        shop.weather(mode, "query", provider=provider)
        tend(attempt_of(order).pk)
        assert (effects(), attempt_of(order).state) == (NOTHING, "open")
        assert attempt_of(order).next_query_at > timezone.now()
        shop.weather("ok", provider=provider)
        tend(attempt_of(order).pk)
        assert effects() == ONE_PURCHASE

    def test_that_was_refunded_at_the_provider_meanwhile_is_held(self, shop):
        order = shop.opened()
        shop.player_pays(order.order_no)
        shop.control(f"trades/wechatpay/{order.order_no}/refund", amount=600, notify="lost")
        tend(attempt_of(order).pk)
        order.refresh_from_db()
        assert (order.state, Case.objects.get().kind) == ("pending", "given_back")
        assert effects() == Effects(0, 1, 0, 0, 0, 0, 0, 1)

    @pytest.mark.django_db(transaction=True)
    def test_is_found_by_the_worker_itself(self, shop, settings):
        settings.SWEEP_INTERVAL_S = 1
        orders = [shop.opened() for _ in range(5)]
        for order in orders:
            shop.player_pays(order.order_no)
        PaymentAttempt.objects.update(next_query_at=timezone.now())
        stop = threading.Event()
        worker = threading.Thread(target=Worker().run, args=(stop,))
        worker.start()
        try:
            for _ in range(200):
                if Order.objects.filter(delivery_state="delivered").count() == 5:
                    break
                stop.wait(0.05)
        finally:
            stop.set()
            worker.join(20)
        assert Order.objects.filter(delivery_state="delivered").count() == 5
        assert effects().deliveries == 5

    @pytest.mark.django_db(transaction=True)
    def test_is_claimed_by_one_worker_of_many(self, shop):
        order = shop.opened()
        account = attempt_of(order).account_id
        due = timezone.now() + timedelta(minutes=1)
        claims = at_once([lambda: claim_due(account_id=account, limit=5, now=due)] * 12)
        assert sorted(claims) == [[]] * 11 + [[attempt_of(order).pk]]
        # The lease: a worker that died gives it back.
        assert accounts_due(now=due) == []
        assert accounts_due(now=due + timedelta(seconds=61)) == [account]


class TestTheEndOfAnOrder:
    """Nobody can pay what nobody waits for: closed at the provider first, then here. Money that wins the race wins."""

    def test_comes_with_closing_at_the_provider(self, shop):
        order = shop.opened()
        let_time_pass(order, minutes=31)
        assert expire_orders(now=timezone.now()) == 0
        tend(attempt_of(order).pk)
        assert (shop.trade_state(order.order_no), attempt_of(order).state) == ("closed", "closed")
        assert expire_orders(now=timezone.now()) == 1
        order.refresh_from_db()
        assert (order.state, order.cancel_reason) == ("cancelled", "expired")
        assert timeline(order) == ["created", "attempt_opened", "attempt_closed", "cancelled"]

    def test_does_not_come_when_it_was_paid_in_the_last_second(self, shop):
        order = shop.opened()
        shop.player_pays(order.order_no)
        let_time_pass(order, minutes=31)
        tend(attempt_of(order).pk)
        expire_orders(now=timezone.now())
        order.refresh_from_db()
        assert (order.state, order.delivery_state, effects()) == ("paid", "delivered", ONE_PURCHASE)

    def test_waits_for_a_provider_that_does_not_answer(self, shop):
        order = shop.opened()
        let_time_pass(order, minutes=31)
        shop.weather("error500", "close", "query")
        tend(attempt_of(order).pk)
        assert expire_orders(now=timezone.now()) == 0
        shop.weather("ok")
        tend(attempt_of(order).pk)
        assert expire_orders(now=timezone.now()) == 1

    def test_of_an_alipay_order_nobody_opened_waits_for_its_time_limit(self, shop):
        order = shop.opened("alipay_app")
        let_time_pass(order, minutes=30, seconds=5)
        tend(attempt_of(order).pk)
        assert attempt_of(order).state == "open"  # the order string can still be presented
        let_time_pass(order, minutes=1)
        tend(attempt_of(order).pk)
        assert attempt_of(order).state == "closed"
        assert expire_orders(now=timezone.now()) == 1

    def test_without_any_attempt_comes_by_itself(self, shop):
        order = shop.opened()
        PaymentAttempt.objects.all().delete()
        let_time_pass(order, minutes=31)
        assert expire_orders(now=timezone.now()) == 1
        assert expire_orders(now=timezone.now()) == 0
        assert timeline(order)[-1] == "cancelled"

    def test_keeps_money_that_comes_after_it(self, shop):
        order = shop.opened()
        let_time_pass(order, minutes=31)
        tend(attempt_of(order).pk)
        expire_orders(now=timezone.now())
        shop.player_pays(order.order_no, late=True)
        ask_provider(attempt_of(order), actor="query")
        assert (Case.objects.get().kind, effects().deliveries, effects().payments) == ("late_payment", 0, 1)


class TestCancelling:
    """The game server or the player gives up: closed at the provider first; 409 when the money won."""

    @pytest.mark.parametrize(("method", "provider"), [("wechatpay_native", "wechatpay"), ("alipay_qr", "alipay")])
    def test_closes_at_the_provider(self, shop, method, provider):
        order = shop.opened(method)
        if provider == "alipay":  # the trade exists there once the buyer has scanned the code
            code = shop.pay(order, method).json()["params"]["qr_code"]
            assert requests.get(f"{shop.url}/scan", params={"code": code}, timeout=10).ok
        answer = shop.cancel(order)
        assert shop.trade_state(order.order_no, provider) == "closed"
        assert (answer.status_code, answer.json()["state"], answer.json()["cancel_reason"]) == (
            200,
            "cancelled",
            "game",
        )
        assert shop.cancel(order).status_code == 200
        order.refresh_from_db()
        assert timeline(order).count("cancelled") == 1

    def test_loses_against_the_money(self, shop):
        order = shop.opened()
        shop.player_pays(order.order_no)
        answer = shop.cancel(order)
        assert (answer.status_code, answer.json()["code"]) == (409, "order_paid")
        assert effects() == ONE_PURCHASE

    def test_changes_nothing_while_the_provider_is_away(self, shop):
        order = shop.opened()
        shop.weather("error500", "close", "query")
        answer = shop.cancel(order)
        order.refresh_from_db()
        assert (answer.status_code, answer.json()["code"], order.state) == (503, "provider_unavailable", "pending")

    def test_opens_no_new_payment_afterwards(self, shop):
        order = shop.opened()
        shop.cancel(order)
        answer = shop.pay(order, "alipay_qr")
        assert (answer.status_code, answer.json()["code"]) == (409, "order_cancelled")
        assert PaymentAttempt.objects.count() == 1


class TestOpening:
    """Opening again keeps the number; a provider's trouble loses nothing; a spent number is replaced."""

    def test_again_keeps_the_attempt(self, shop):
        order = shop.opened()
        again = shop.pay(order, "wechatpay_native").json()
        assert again["attempt_no"] == order.order_no
        assert PaymentAttempt.objects.count() == 1

    def test_by_another_method_is_another_attempt(self, shop):
        order = shop.opened()
        other = shop.pay(order, "alipay_qr").json()
        third = shop.pay(order, "wechatpay_app").json()
        assert other["attempt_no"] == order.order_no  # the first at that account
        assert third["attempt_no"] == f"{order.order_no}02"
        shop.player_pays(order.order_no, "alipay")
        tend(PaymentAttempt.objects.get(method="alipay_qr").pk)
        assert effects() == ONE_PURCHASE
        for attempt in PaymentAttempt.objects.exclude(method="alipay_qr"):
            assert attempt.next_query_at <= timezone.now()
            tend(attempt.pk)
            assert shop.trade_state(attempt.attempt_no) == "closed"
        assert PaymentAttempt.objects.filter(state="closed").count() == 2

    def test_of_an_order_paid_twice_before_we_heard_delivers_once(self, shop):
        order = shop.opened()
        shop.pay(order, "alipay_qr")
        shop.player_pays(order.order_no)
        shop.player_pays(order.order_no, "alipay")
        for attempt in PaymentAttempt.objects.all():
            tend(attempt.pk)
        assert effects() == Effects(1, 2, 1, 2, 1, 2, 0, 1)
        assert Case.objects.get().kind == "second_payment"

    @pytest.mark.parametrize(
        ("mode", "code"),
        [("error500", "provider_unavailable"), ("error429", "provider_busy"), ("unsigned", "provider_unavailable")],
    )
    def test_during_bad_weather_says_so_and_can_be_repeated(self, shop, mode, code):
        order = shop.opened("alipay_app")
        shop.weather(mode, "create")
        refused = shop.pay(order, "wechatpay_native")
        assert (refused.status_code, refused.json()["code"]) == (503, code)
        shop.weather("ok")
        answer = shop.pay(order, "wechatpay_native")
        assert (answer.status_code, answer.json()["attempt_no"]) == (200, order.order_no)
        assert PaymentAttempt.objects.filter(method="wechatpay_native").count() == 1

    def test_of_a_number_closed_at_the_provider_takes_the_next(self, shop):
        order = shop.opened()
        shop.control(f"trades/wechatpay/{order.order_no}/close")
        answer = shop.pay(order, "wechatpay_native")
        assert (answer.status_code, answer.json()["attempt_no"]) == (200, f"{order.order_no}02")

    def test_of_a_number_paid_meanwhile_settles_it(self, shop):
        order = shop.opened()
        shop.player_pays(order.order_no)
        answer = shop.pay(order, "wechatpay_native")
        assert (answer.status_code, answer.json()["code"]) == (409, "order_paid")
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({}, "invalid_request"),
            ({"method": "cash"}, "invalid_request"),
            ({"method": "wechatpay_jsapi"}, "invalid_request"),
            ({"method": "alipay_wap", "return_url": "javascript:alert(1)"}, "invalid_request"),
            ({"method": "alipay_app", "amount": 1}, "invalid_request"),
        ],
    )
    def test_refuses_what_no_provider_would_take(self, shop, body, code):
        order = shop.opened()
        before = PaymentAttempt.objects.count()
        answer = post(shop.client, f"orders/{order.order_no}/pay", body, bearer=shop.api_key)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert PaymentAttempt.objects.count() == before

    def test_of_a_method_the_channel_does_not_offer_is_refused(self, shop, channel):
        order = shop.opened()
        channel.methods.filter(method="alipay_qr").update(is_enabled=False)
        answer = shop.pay(order, "alipay_qr")
        assert (answer.status_code, answer.json()["code"]) == (400, "method_not_offered")
