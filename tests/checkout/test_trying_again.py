"""A player who has paid and waits may ask for the goods once more: safely, and not all the time."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from fulfillment import delivering, outbox, redelivering
from fulfillment.delivering import confirm, park
from fulfillment.endpoints import pause_endpoint, set_endpoint
from fulfillment.models import (
    Delivery,
    DeliveryMode,
    DeliveryPolicy,
    EndpointState,
    GameEvent,
    MessageState,
    WebhookEndpoint,
    WebhookMessage,
)
from tests.buying import attempt_at, make_order, settle
from tests.checkout.conftest import Player, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint(game) -> WebhookEndpoint:
    """A game server that grants the goods itself."""
    DeliveryPolicy.objects.create(game=game, mode=DeliveryMode.GAME_SERVER)
    set_endpoint(game=game, url="https://game.example/hook")
    return WebhookEndpoint.objects.get(game=game)


@pytest.fixture
def order(client, api_key, endpoint, wechat_account):
    """A paid order whose goods wait for the game server."""
    order = make_order(client, api_key, role_id="霜降夜行", zone_id="3")
    settle(attempt_at(order, wechat_account, method="wechatpay_native"))
    order.refresh_from_db()
    return order


@pytest.fixture
def request_(order) -> WebhookMessage:
    """What asks the game server for the goods: refused some times, tried again in an hour."""
    messages = WebhookMessage.objects.filter(event__order_no=order.order_no)
    message = messages.get(event__type="delivery.requested")
    messages.exclude(pk=message.pk).update(
        state=MessageState.DELIVERED, next_attempt_at=None, delivered_at=timezone.now()
    )  # fmt: skip
    an_hour = timedelta(hours=1)
    WebhookMessage.objects.filter(pk=message.pk).update(
        attempts=4, created_at=timezone.now() - an_hour, next_attempt_at=timezone.now() + an_hour
    )
    message.refresh_from_db()
    return message


def follow(player: Player):
    """Press "Try again now" and go where it leads."""
    answer = player.press("again")
    return player.client.get(answer["Location"]) if answer.status_code == 302 else answer


class TestTryingAgain:
    """ "Try again now" moves the next try to now: the same message, so that nothing can be granted twice."""

    def test_the_request_is_due_at_once(self, player, request_, endpoint):
        events = GameEvent.objects.count()
        answer = follow(player)
        assert "刚刚又向游戏发送了一次" in words(answer)
        request_.refresh_from_db()
        assert request_.next_attempt_at <= timezone.now()
        assert (request_.state, request_.attempts) == (MessageState.WAITING, 4)
        assert GameEvent.objects.count() == events
        assert [message.pk for message in outbox.claim(busy={})] == [request_.pk]

    def test_a_stopped_delivery_is_tried_too_and_stays_with_its_person(self, player, order, request_):
        delivery = Delivery.objects.get(order=order)
        park(delivery_id=delivery.pk, reason="503")
        WebhookMessage.objects.filter(pk=request_.pk).update(state=MessageState.PARKED, next_attempt_at=None)
        assert "刚刚又向游戏发送了一次" in words(follow(player))
        request_.refresh_from_db()
        delivery.refresh_from_db()
        assert (request_.state, delivery.state) == (MessageState.WAITING, "parked")
        assert confirm(delivery_id=delivery.pk, receipt="", actor="test") is True

    def test_what_is_being_sent_just_now_is_left_alone(self, player, request_):
        soon = timezone.now() + timedelta(seconds=10)
        WebhookMessage.objects.filter(pk=request_.pk).update(next_attempt_at=soon)
        assert "物品正在发送，或马上就会发送" in words(follow(player))
        request_.refresh_from_db()
        assert request_.next_attempt_at == soon

    def test_a_game_server_that_is_down_keeps_its_pace(self, player, request_, endpoint):
        in_five_minutes = timezone.now() + timedelta(minutes=5)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            next_probe_at=in_five_minutes, failing_since=timezone.now()
        )
        follow(player)
        endpoint.refresh_from_db()
        assert endpoint.next_probe_at == in_five_minutes
        assert outbox.claim(busy={}) == []

    def test_a_paused_game_server_is_not_asked(self, player, request_, endpoint):
        pause_endpoint(endpoint_id=endpoint.pk)
        before = request_.next_attempt_at
        follow(player)
        request_.refresh_from_db()
        assert request_.next_attempt_at == before
        assert WebhookEndpoint.objects.get(pk=endpoint.pk).state == EndpointState.PAUSED

    def test_three_times_a_minute_and_no_more(self, player, request_):
        answers = [player.press("again") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [302, 302, 302, 429]
        assert "请稍等一会儿" in words(answers[-1])
        assert "已收到付款，物品在路上" in words(answers[-1])

    def test_only_this_orders_goods(self, client, api_key, wechat_account, player, request_):
        other = make_order(client, api_key)
        settle(attempt_at(other, wechat_account, attempt_no=other.order_no))
        theirs = WebhookMessage.objects.filter(event__order_no=other.order_no)
        theirs.update(next_attempt_at=timezone.now() + timedelta(hours=1))
        before = sorted(theirs.values_list("pk", "next_attempt_at"))
        follow(player)
        assert sorted(theirs.values_list("pk", "next_attempt_at")) == before

    def test_delivered_goods_are_never_asked_for_again(self, player, order, request_):
        confirm(delivery_id=Delivery.objects.get(order=order).pk, receipt="", actor="test")
        WebhookMessage.objects.filter(pk=request_.pk).update(
            state=MessageState.DELIVERED, next_attempt_at=None, delivered_at=timezone.now()
        )
        assert "付款成功，已到账" in words(follow(player))
        request_.refresh_from_db()
        assert request_.state == MessageState.DELIVERED

    def test_an_order_that_is_not_paid_has_nothing_to_try(self, client, api_key, endpoint, wechat_account):
        player = Player(make_order(client, api_key))
        assert "选择支付方式" in words(follow(player))
        assert WebhookMessage.objects.count() == 0

    def test_it_is_found_by_its_order_however_many_there_are(self, order, request_):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = WebhookMessage.objects.filter(event__in=redelivering.requests_of(order)).explain()
        assert "game_event_order" in plan
        assert "Seq Scan" not in plan


class TestTheNextTry:
    """While the goods wait, the page says when they are tried next, by the game's clock."""

    def test_in_both_languages(self, order, request_):
        at = request_.next_attempt_at + timedelta(hours=8)
        assert f"会自动重试，下次 {at:%H:%M}" in Player(order).reads().replace(f"{at:%Y-%m-%d} ", "")
        said = Player(order, language="en").reads().replace(f"{at:%Y-%m-%d} ", "")
        assert f"tried again by itself at {at:%H:%M}" in said

    def test_a_server_that_is_probed_later_is_tried_later(self, order, request_, endpoint):
        probe = timezone.now() + timedelta(hours=2)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(next_probe_at=probe)
        at = probe + timedelta(hours=8)
        assert f"下次 {at:%H:%M}" in Player(order).reads().replace(f"{at:%Y-%m-%d} ", "")

    def test_a_try_within_the_minute_has_no_time(self, order, request_):
        WebhookMessage.objects.filter(pk=request_.pk).update(next_attempt_at=timezone.now() + timedelta(seconds=20))
        assert "一般只要几秒" in Player(order).reads()

    def test_before_paying_there_is_none(self, client, api_key, endpoint, wechat_account):
        order = make_order(client, api_key)
        assert delivering.next_try(order=order) is None
        assert delivering.try_now(order=order) is False
