"""A client without event streams asks with `?wait=` and is answered when something happens."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from fulfillment.delivering import confirm
from fulfillment.models import Delivery
from orders.cancelling import mark_cancelled
from orders.models import CancelReason
from orders.waiting import order_watch, wait_for_change, wait_seconds
from tests.buying import get, settle
from tests.delivering.streams import call, connections, listeners, token_of, until

in_earnest = pytest.mark.django_db(transaction=True)


@contextmanager
def asking(*questions):
    """Every question in a thread of its own; yields the futures of (answer, seconds)."""

    def timed(question):
        began = time.monotonic()
        try:
            return question(), time.monotonic() - began
        finally:
            connection.close()

    with ThreadPoolExecutor(len(questions)) as pool:
        yield [pool.submit(timed, question) for question in questions]
    until(lambda: connections() == 0)


def waiting() -> int:
    """How many are being watched for."""
    return len(order_watch._watches)


@in_earnest
class TestALongPoll:
    """Answers when the order changes, at once when it has changed, and never later than asked for."""

    def poll(self, order, wait=20):
        return lambda: get(Client(), f"orders/{order.order_no}?wait={wait}", bearer=token_of(order))

    def test_is_answered_the_moment_the_order_is_paid(self, order, attempt):
        with asking(self.poll(order), self.poll(order)) as polls:
            until(lambda: waiting() == 2)
            settle(attempt)
            settled = time.monotonic()
            for poll in polls:
                answer, _ = poll.result(10)
                assert (answer.json()["state"], answer.json()["delivery_state"]) == ("paid", "delivered")
            assert time.monotonic() - settled < 2

    def test_is_answered_the_moment_the_order_is_cancelled(self, order):
        with asking(self.poll(order)) as (poll,):
            until(lambda: waiting() == 1)
            mark_cancelled(order_id=order.pk, reason=CancelReason.PLAYER, actor="player", now=timezone.now())
            assert poll.result(10)[0].json()["state"] == "cancelled"

    def test_of_a_finished_order_does_not_wait(self, order, attempt):
        settle(attempt)
        with asking(self.poll(order)) as (poll,):
            answer, took = poll.result(10)
        assert (answer.json()["state"], took < 2) == ("paid", True)

    def test_ends_when_its_time_is_over(self, order):
        with asking(self.poll(order, wait=1)) as (poll,):
            answer, took = poll.result(10)
        assert (answer.json()["state"], 1 <= took < 4) == ("pending", True)

    def test_is_answered_at_once_when_too_many_wait(self, order, settings):
        settings.LONG_POLLS_AT_ONCE = 1
        with asking(self.poll(order, wait=2)) as (first,):
            until(lambda: waiting() == 1)
            answer = self.poll(order)()
            assert (answer.json()["state"], first.done()) == ("pending", False)


@in_earnest
class TestWaiting:
    """No change is missed between reading an order and waiting for it; nothing runs while nobody waits."""

    def test_returns_at_once_when_the_order_has_moved_since_it_was_read(self, order, attempt):
        settle(attempt)
        began = time.monotonic()
        wait_for_change(order.order_no, version=order.version, seconds=20)
        assert time.monotonic() - began < 1

    def test_leaves_no_thread_and_no_connection_behind(self, order):
        wait_for_change(order.order_no, version=order.version, seconds=0.3)
        until(lambda: not [thread for thread in threading.enumerate() if thread.name == "order-watch"])
        until(lambda: connections() == 0)

    def test_goes_on_when_its_connection_is_cut(self, order, attempt):
        moved = threading.Event()
        with order_watch.watching(order.order_no, version=order.version, wake=moved.set):
            until(lambda: connections() == 1)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            settle(attempt)
            assert moved.wait(8)

    def test_wakes_for_every_change_while_it_lasts(self, held_by_game, order, attempt):
        wakes = threading.Semaphore(0)
        with order_watch.watching(order.order_no, version=order.version, wake=wakes.release):
            settle(attempt)
            assert wakes.acquire(timeout=8)
            confirm(delivery_id=Delivery.objects.get().pk, receipt="", actor="game")
            assert wakes.acquire(timeout=8)
            assert not wakes.acquire(timeout=0.5)


@in_earnest
class TestTheStreamProcess:
    """Answers the same long poll, and holds no thread for it."""

    def test_answers_as_the_web_process_does(self, port, client, order, api_key):
        path = f"orders/{order.order_no}"
        for bearer in (token_of(order), api_key):
            status, headers, body = call(port, f"/api/v1/{path}", bearer=bearer)
            assert (status, headers["Content-Type"]) == (200, "application/json")
            assert json.loads(body) == get(client, path, bearer=bearer).json()

    def test_wakes_everybody_who_waits(self, port, order, attempt):
        threads = threading.active_count()
        path = f"/api/v1/orders/{order.order_no}?wait=20"
        with asking(*[lambda: call(port, path, bearer=token_of(order))] * 12) as polls:
            until(lambda: listeners() == 12)
            assert threading.active_count() <= threads + 12 + 1 + 4  # ours, the watch, the readers
            settle(attempt)
            for poll in polls:
                (status, _, body), _ = poll.result(10)
                assert (status, json.loads(body)["state"]) == (200, "paid")

    def test_refuses_whom_the_web_process_refuses(self, port, client, order):
        for bearer in ("", "nonsense", "ct_x.1.x"):
            answer = get(client, f"orders/{order.order_no}", bearer=bearer or None)
            status, _, body = call(port, f"/api/v1/orders/{order.order_no}", bearer=bearer)
            assert (status, json.loads(body)["code"]) == (answer.status_code, answer.json()["code"]) == (
                401, "not_authenticated",
            )  # fmt: skip
        token = token_of(order)
        assert call(port, f"/api/v1/orders/{order.order_no}?token={token}")[0] == 401


def test_a_caller_says_how_long_it_waits_in_plain_digits_and_half_a_minute_at_most():
    given = ("25", "99999", "", "-1", "1.5", "１", "x", "1e3", "999999")
    assert [wait_seconds(text) for text in given] == [25, 30, 0, 0, 0, 0, 0, 0, 0]
