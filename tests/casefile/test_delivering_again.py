"""Delivering again: support presses one button, and the player has the goods once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from fulfillment.models import Delivery, DeliveryPolicy, EndpointState, WebhookEndpoint, WebhookMessage
from fulfillment.redelivering import Redelivery, deliver_again, hindrance
from orders.models import Case, CaseKind, Order
from tests.casefile.test_page import act, read
from tests.console.conftest import page_of
from tests.telling.conftest import buy, dispatching, server, servers, told, wait_for

__all__ = ["buy", "server", "servers", "told"]
RIGHTS = ("orders.view_order", "fulfillment.redeliver")


@pytest.fixture
def in_game(told):
    """The game server holds the goods, and is under maintenance."""
    DeliveryPolicy.objects.create(game=told.game, mode="game_server")
    return told


@pytest.fixture
def refused(in_game, buy, server):
    """An order whose goods the game server has refused; the next try is an hour away."""
    server.answer = (503, "maintenance")
    order = buy()
    with dispatching():
        wait_for(lambda: WebhookMessage.objects.filter(attempts__gte=1).count() == 2)
    # Refused long enough ago that nothing is under way.
    WebhookEndpoint.objects.update(next_probe_at=None)
    WebhookMessage.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))
    return order


def requests_to_deliver(server):
    return server.of("delivery.requested")


class TestEffect:
    """Delivering again sends the very same message at once; however often, the goods are granted once."""

    def test_the_same_id_and_bytes_go_out_at_once_and_the_goods_arrive_once(self, refused, server, staff):
        first = requests_to_deliver(server)[-1]
        server.answer = 200
        browser = staff(*RIGHTS)
        answer = read(browser.post(act(refused, "deliver"), follow=True))
        assert "The request went out again" in answer
        with dispatching():
            wait_for(lambda: Order.objects.get().delivery_state == "delivered")
        again = requests_to_deliver(server)[-1]
        assert (again.id, again.body) == (first.id, first.body)
        assert Delivery.objects.filter(state="delivered").count() == 1
        assert server.granted.count(first.id) == 1
        text = read(browser.get(page_of(refused)))
        assert "Paid and delivered" in text
        assert "Had the goods delivered again: the same message, the same id." in text

    def test_pressing_many_times_grants_once(self, refused, server, staff):
        server.answer = 200
        browser = staff(*RIGHTS)
        for _ in range(5):
            browser.post(act(refused, "deliver"))
        with dispatching():
            wait_for(lambda: Order.objects.get().delivery_state == "delivered")
        browser.post(act(refused, "deliver"))
        assert Delivery.objects.count() == 1
        assert len({message.id for message in requests_to_deliver(server)}) == 1
        assert "Arrived at" in read(browser.get(page_of(refused)))

    def test_a_parked_delivery_is_tried_again_and_its_case_closes_by_itself(self, refused, server, settings):
        settings.WEBHOOK_PARK_AFTER_S = 0
        WebhookMessage.objects.update(next_attempt_at=timezone.now())
        with dispatching():
            wait_for(lambda: Order.objects.get().delivery_state == "parked")
        settings.WEBHOOK_PARK_AFTER_S = 3600
        assert Case.objects.get(kind=CaseKind.DELIVERY_PARKED).closed_at is None
        server.answer = 200
        assert deliver_again(Order.objects.get(), now=timezone.now()) is Redelivery.SENT
        with dispatching():
            wait_for(lambda: Order.objects.get().delivery_state == "delivered")
        assert Case.objects.get(kind=CaseKind.DELIVERY_PARKED).decision == "delivered"

    def test_a_failing_endpoint_is_tried_at_a_persons_word(self, refused, server):
        later = timezone.now() + timedelta(minutes=5)
        WebhookEndpoint.objects.update(failures_in_a_row=9, failing_since=timezone.now(), next_probe_at=later)
        server.answer = 200
        assert deliver_again(refused, now=timezone.now()) is Redelivery.SENT
        with dispatching():
            wait_for(lambda: Order.objects.get().delivery_state == "delivered")


class TestReasons:
    """When it cannot be done now, the page says why, and nothing is sent."""

    def test_the_verdict_counts_what_the_server_refused(self, refused, staff):
        text = read(staff(*RIGHTS).get(page_of(refused)))
        assert "The game server refused 1 time (503 maintenance)." in text
        assert "Next automatic try (no. 2)." in text
        assert "Safe: credited once at most" in text

    @pytest.mark.parametrize(
        ("state", "why", "outcome"),
        [
            (EndpointState.PAUSED, "Telling the game server is paused", Redelivery.PAUSED),
            (EndpointState.DISABLED, "switched its endpoint off", Redelivery.SWITCHED_OFF),
        ],
    )
    def test_paused_or_switched_off(self, refused, staff, state, why, outcome):
        WebhookEndpoint.objects.update(state=state)
        due = WebhookMessage.objects.order_by("pk").values_list("next_attempt_at", flat=True)
        before = list(due)
        browser = staff(*RIGHTS)
        assert why in read(browser.get(page_of(refused)))
        assert why in read(browser.post(act(refused, "deliver"), follow=True))
        assert deliver_again(refused, now=timezone.now()) is outcome
        assert list(due) == before

    def test_the_role_that_may_not_is_refused(self, refused, staff):
        before = WebhookMessage.objects.order_by("pk").last().next_attempt_at
        assert staff("orders.view_order").post(act(refused, "deliver")).status_code == 403
        assert WebhookMessage.objects.order_by("pk").last().next_attempt_at == before

    def test_nothing_is_sent_for_goods_in_the_ledger_or_without_money(self, shop):
        now = timezone.now()
        assert hindrance(shop.order("a"), now=now) is Redelivery.UNPAID
        bought = shop.purchase("b")
        assert deliver_again(bought, now=now) is Redelivery.IN_LEDGER
        assert WebhookMessage.objects.count() == 0
