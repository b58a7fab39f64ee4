"""The roads by which a store's purchase reaches us: the client's receipt, a hint, our own question; and the way back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app.models import Notification
from fulfillment.models import DeliveryPolicy
from orders.asking import tend
from orders.confirming import waits_for_confirmation
from orders.hints import accounts_with_hints, claim_hints, follow
from orders.models import Case, Order
from tests.buying import post
from tests.effects import NOTHING, ONE_PURCHASE, effects, timeline
from tests.stores.conftest import METHOD, attempt_of


def follow_due(now=None):
    """One round of the worker."""
    now = now or timezone.now()
    for account_id in accounts_with_hints(now=now):
        for hint in claim_hints(account_id=account_id, limit=10, now=now):
            follow(hint)


class TestAReceipt:
    """What the client holds is verified and delivered; the answer says when the purchase may be finished."""

    def test_delivers_and_lets_the_client_finish(self, store):
        order, params = store.opened()
        answer = store.hands_in(order, store.buys(params))
        assert (answer.status_code, answer.json()["result"], answer.json()["finish"]) == (200, "applied", True)
        assert answer.json()["order"]["delivery_state"] == "delivered"
        assert effects() == ONE_PURCHASE

    def test_given_again_and_again_delivers_once(self, store):
        order, params = store.opened()
        evidence = store.buys(params)
        assert [store.hands_in(order, evidence).json()["finish"] for _ in range(3)] == [True] * 3
        assert effects() == ONE_PURCHASE

    def test_lets_nobody_finish_before_the_goods_are_there(self, store, game):
        DeliveryPolicy.objects.create(
            game=Order.objects.model.game.field.related_model.objects.get(), mode="game_server"
        )
        order, params = store.opened()
        answer = store.hands_in(order, store.buys(params)).json()
        assert (answer["result"], answer["finish"], answer["order"]["delivery_state"]) == ("applied", False, "pending")

    def test_of_a_purchase_not_paid_yet_waits_and_is_remembered(self, store):
        order, params = store.opened()
        evidence = store.buys(params, pending=True)
        answer = store.hands_in(order, evidence).json()
        assert (answer["result"], answer["finish"], effects()) == ("waiting", False, NOTHING)
        assert attempt_of(order).handle
        store.control(f"trades/huawei/{order.order_no}/pay", notify="lost")
        tend(attempt_of(order).pk)
        assert effects() == ONE_PURCHASE

    def test_of_another_order_pays_that_order_and_tells_nothing_of_it(self, store):
        bought, params = store.opened()
        other, _ = store.opened(uid="another-player")
        evidence = store.buys(params)
        answer = store.hands_in(other, evidence)
        assert (answer.status_code, answer.json()["code"]) == (409, "proof_of_another_order")
        assert bought.order_no not in answer.content.decode()
        assert effects() == ONE_PURCHASE
        assert Order.objects.get(state="paid") == bought

    def test_that_the_store_does_not_know_moves_nothing(self, store):
        order, _ = store.opened()
        answer = store.hands_in(order, {"purchase_token": "made-up", "store_product_id": "com.game.gems60"})
        assert (answer.status_code, effects()) == (422, NOTHING)

    def test_is_asked_for_again_while_the_store_cannot_be_asked(self, store):
        order, params = store.opened()
        evidence = store.buys(params)
        store.weather("error500", "query")
        answer = store.hands_in(order, evidence)
        assert (answer.status_code, answer.json()["code"], effects()) == (503, "provider_unavailable", NOTHING)
        store.weather("ok")
        assert store.hands_in(order, evidence).json()["finish"] is True

    @pytest.mark.parametrize(
        ("changes", "field"),
        [({"purchase_token": ""}, "purchase_token"), ({"extra": "x"}, "extra"), ({"method": "alipay_app"}, "method")],
    )
    def test_that_is_not_one_is_refused_by_name(self, store, changes, field):
        order, _ = store.opened()
        answer = store.hands_in(order, {"purchase_token": "t", "store_product_id": "p"}, **changes)
        assert answer.status_code == 400
        assert field in {error["field"] for error in answer.json()["errors"]}

    def test_cannot_be_guessed_for_ever(self, store):
        order, _ = store.opened()
        guess = {"purchase_token": "made-up", "store_product_id": "com.game.gems60"}
        assert 429 in {store.hands_in(order, guess).status_code for _ in range(21)}


class TestAnOrderForAStore:
    """Offered only for what the store sells, and opened as the store wants it."""

    def test_is_not_opened_for_a_product_that_the_store_does_not_sell(self, store):
        order, _ = store.opened()
        type(order.product).objects.update(store_ids={})
        answer = post(store.client, f"orders/{order.order_no}/pay", {"method": METHOD}, bearer=store.api_key)
        assert (answer.status_code, answer.json()["code"]) == (400, "no_store_product")

    def test_keeps_the_product_that_it_was_opened_for(self, store):
        order, params = store.opened()
        type(order.product).objects.update(store_ids={METHOD: "com.game.changed"})
        assert store.hands_in(order, store.buys(params)).json()["result"] == "applied"


class TestAHint:
    """Kept and acknowledged at once; the provider is asked until it says something; alone it moves nothing."""

    def test_leads_to_the_goods(self, store):
        _, params = store.opened()
        assert store.tells(store.buys(params)).status_code == 200
        assert (effects(), Notification.objects.get().verdict) == (NOTHING, "asking")
        follow_due()
        assert (effects(), Notification.objects.get().verdict) == (ONE_PURCHASE, "applied")

    def test_that_is_made_up_moves_nothing(self, store):
        store.tells({"purchase_token": "made-up", "store_product_id": "com.game.gems60"})
        follow_due()
        kept = Notification.objects.get()
        assert (effects(), kept.verdict, kept.ask_at) == (NOTHING, "no_op", None)

    def test_is_asked_about_again_while_the_provider_is_silent(self, store):
        _, params = store.opened()
        store.tells(store.buys(params))
        store.weather("error500", "query")
        follow_due()
        kept = Notification.objects.get()
        assert (effects(), kept.verdict, kept.asked, kept.ask_at > timezone.now()) == (NOTHING, "asking", 1, True)
        store.weather("ok")
        follow_due(now=kept.ask_at)
        assert effects() == ONE_PURCHASE

    def test_is_put_before_a_person_after_a_day_of_silence(self, store):
        _, params = store.opened()
        store.tells(store.buys(params))
        Notification.objects.update(received_at=timezone.now() - timedelta(hours=25))
        store.weather("error500", "query")
        follow_due()
        assert (Notification.objects.get().verdict, Case.objects.get().kind) == ("unreadable", "unreadable")

    def test_is_followed_by_one_worker_at_a_time(self, store):
        _, params = store.opened()
        store.tells(store.buys(params))
        now = timezone.now()
        account_id = store.account.pk
        assert [len(claim_hints(account_id=account_id, limit=9, now=now)) for _ in range(2)] == [1, 0]

    def test_in_a_flood_is_turned_away_and_kept_nowhere(self, store, settings):
        settings.HINTS_PER_MINUTE = 3
        made_up = {"purchase_token": "made-up", "store_product_id": "com.game.gems60"}
        assert [store.tells(made_up).status_code for _ in range(5)] == [200, 200, 200, 503, 503]
        assert Notification.objects.count() == 3


class TestTellingTheStore:
    """After our own delivery is on record, until the store has heard it; a person hears of it after two days."""

    def bought(self, store):
        order, params = store.opened()
        store.hands_in(order, store.buys(params))
        return order

    def test_happens_at_once(self, store):
        order = self.bought(store)
        attempt = attempt_of(order)
        assert attempt.next_query_at <= timezone.now()
        tend(attempt.pk)
        attempt.refresh_from_db()
        assert (attempt.confirmed_at is not None, attempt.next_query_at) == (True, None)
        assert timeline(order)[-1] == "confirmed"

    def test_waits_for_the_goods(self, store, game):
        DeliveryPolicy.objects.create(game=game, mode="game_server")
        order = self.bought(store)
        tend(attempt_of(order).pk)
        attempt = attempt_of(order)
        assert (attempt.confirmed_at, attempt.next_query_at > timezone.now()) == (None, True)

    def test_is_tried_again_and_told_to_a_person_after_two_days(self, store):
        order = self.bought(store)
        store.weather("error500", "close")
        tend(attempt_of(order).pk)
        assert (waits_for_confirmation(attempt_of(order)), Case.objects.count()) == (True, 0)
        self.let_two_days_pass(order)
        tend(attempt_of(order).pk)
        assert (Case.objects.get().kind, Case.objects.get().closed_at) == ("unconfirmed", None)
        store.weather("ok")
        tend(attempt_of(order).pk)
        case = Case.objects.get()
        assert (case.decision, case.note, waits_for_confirmation(attempt_of(order))) == (
            "told", "the store was told", False,
        )  # fmt: skip

    def let_two_days_pass(self, order):
        """Only the test may turn back the clock: the order's times are guarded."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(
                "UPDATE orders_order SET created_at = created_at - interval '49 hours',"
                " settled_at = settled_at - interval '49 hours', expires_at = expires_at - interval '48 hours',"
                " paid_at = paid_at - interval '49 hours', delivered_at = delivered_at - interval '49 hours'"
            )
            cursor.execute("SET LOCAL session_replication_role = origin")
