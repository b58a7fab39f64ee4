"""Where the game server holds the goods, a delivery waits for it, and is made exactly once."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from fulfillment.delivering import confirm, park
from fulfillment.models import Balance, Delivery, GameEvent, LedgerEntry
from orders.models import Case
from tests.buying import get, post, settle
from tests.effects import timeline
from tests.races.at_once import at_once


@pytest.fixture
def delivery(held_by_game, attempt):
    """A paid order's delivery that waits for the game server."""
    settle(attempt)
    return Delivery.objects.get()


def acknowledge(client, delivery, api_key, **body):
    return post(client, f"deliveries/{delivery.pk}/acknowledge", body, bearer=api_key)


def told() -> Counter:
    return Counter(GameEvent.objects.values_list("type", flat=True))


@pytest.mark.django_db
class TestADeliveryOfTheGameServer:
    """Waits until the game server has granted it."""

    def test_waits_and_is_asked_for(self, delivery, order):
        order.refresh_from_db()
        assert (order.state, order.delivery_state, order.delivered_at) == ("paid", "pending", None)
        assert told() == {"order.paid": 1, "delivery.requested": 1}
        assert (LedgerEntry.objects.count(), Balance.objects.count()) == (0, 0)

    def test_is_found_at_login(self, client, api_key, delivery, order):
        (row,) = get(client, "players/10086/deliveries?state=pending", bearer=api_key).json()["results"]
        assert row["items"] == [{"item_id": "gem", "name": "Gem", "quantity": 60, "bonus": 6}]
        assert (row["id"], row["order_no"], row["mode"]) == (str(delivery.pk), order.order_no, "game_server")
        assert get(client, "players/10086/deliveries?state=delivered", bearer=api_key).json()["results"] == []

    def test_is_delivered_when_acknowledged(self, client, api_key, delivery, order):
        answer = acknowledge(client, delivery, api_key, receipt="mail-77")
        assert (answer.status_code, answer.json()["state"], answer.json()["receipt"]) == (
            200,
            "delivered",
            "mail-77",
        )
        order.refresh_from_db()
        assert (order.delivery_state, order.delivered_at is None) == ("delivered", False)
        assert told() == {"order.paid": 1, "delivery.requested": 1, "order.delivered": 1}
        assert timeline(order) == ["created", "paid", "delivery_requested", "delivered"]

    def test_acknowledged_again_answers_the_same_and_changes_nothing(self, client, api_key, delivery, order):
        first = acknowledge(client, delivery, api_key, receipt="mail-77")
        order.refresh_from_db()
        version = order.version
        again = acknowledge(client, delivery, api_key, receipt="other")
        order.refresh_from_db()
        assert (again.status_code, again.json(), order.version) == (200, first.json(), version)
        assert told()["order.delivered"] == 1

    def test_that_was_parked_is_delivered_and_its_case_closed(self, client, api_key, delivery):
        park(delivery_id=delivery.pk, reason="no answer for 72 h")
        assert Case.objects.filter(closed_at__isnull=True).count() == 1
        assert acknowledge(client, delivery, api_key).json()["state"] == "delivered"
        assert Case.objects.get().decision == "delivered"

    def test_that_was_taken_back_cannot_be_acknowledged(self, client, api_key, delivery):
        acknowledge(client, delivery, api_key)
        Delivery.objects.update(state="revoked")
        answer = acknowledge(client, delivery, api_key)
        assert (answer.status_code, answer.json()["code"]) == (409, "delivery_revoked")

    @pytest.mark.parametrize(
        "body",
        [
            {"receipt": 5},
            {"receipt": "x" * 201},
            {"receipt": "a\nb"},
            {"state": "delivered"},
            {"receipt": None},
        ],
    )
    def test_takes_no_nonsense(self, client, api_key, delivery, body):
        answer = acknowledge(client, delivery, api_key, **body)
        delivery.refresh_from_db()
        assert (answer.status_code, answer.json()["code"], delivery.state) == (
            400,
            "invalid_request",
            "pending",
        )

    @pytest.mark.parametrize("name", ["0198c5d2-7c1e-7b51-9d4e-2f1f0a6d3b11", "nonsense", "1"])
    def test_that_does_not_exist_is_not_found(self, client, api_key, name):
        answer = post(client, f"deliveries/{name}/acknowledge", {}, bearer=api_key)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_in_our_ledger_is_delivered_already(self, client, api_key, attempt):
        settle(attempt)
        answer = acknowledge(client, Delivery.objects.get(), api_key, receipt="late")
        assert (answer.status_code, answer.json()["state"], answer.json()["receipt"]) == (
            200,
            "delivered",
            None,
        )
        assert told() == {"order.paid": 1, "order.delivered": 1}


@pytest.mark.django_db(transaction=True)
class TestAcknowledgingAtOnce:
    """However often it is acknowledged at the same moment, it is delivered once."""

    def test_twenty_at_once_deliver_once(self, api_key, delivery, order):
        jobs = [
            lambda number=number: acknowledge(Client(), delivery, api_key, receipt=f"r{number}") for number in range(20)
        ]
        answers = at_once(jobs)
        assert Counter(answer.status_code for answer in answers) == {200: 20}
        assert len({answer.content for answer in answers}) == 1
        assert told() == {"order.paid": 1, "delivery.requested": 1, "order.delivered": 1}
        assert timeline(order).count("delivered") == 1
        version = order.version
        order.refresh_from_db()
        assert order.version == version + 2

    def test_two_that_overlap_deliver_once(self, delivery, order):
        """The second reads while the first has decided and not yet committed."""
        holder = connection.copy()
        try:
            holder.set_autocommit(False)
            with holder.cursor() as cursor:
                # Nobody gets past writing the timeline, which comes after the decision.
                cursor.execute("LOCK TABLE orders_orderevent IN SHARE MODE")
            with ThreadPoolExecutor(2) as pool:
                confirming = [pool.submit(confirm_in_thread, delivery, f"r{number}") for number in range(2)]
                until(lambda: waiting_for_locks() == 2, seconds=3)
                holder.rollback()
                assert sorted(each.result() for each in confirming) == [False, True]
        finally:
            holder.close()
        assert told() == {"order.paid": 1, "delivery.requested": 1, "order.delivered": 1}
        assert timeline(order).count("delivered") == 1


def confirm_in_thread(delivery, receipt: str) -> bool:
    try:
        return confirm(delivery_id=delivery.pk, receipt=receipt, actor="test")
    finally:
        connection.close()


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return cursor.fetchone()[0]


def until(condition, *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to overlap"
        time.sleep(0.01)
