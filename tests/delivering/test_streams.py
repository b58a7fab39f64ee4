"""A player's client hears what happens to its order, as it happens, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from string import ascii_letters

import psycopg
import pytest
from django.conf import settings as site
from django.db import connection
from django.utils import timezone
from psycopg import sql

from fulfillment import streaming
from fulfillment.delivering import confirm
from fulfillment.models import Delivery, GameEvent
from orders.authentication import client_token, new_api_key
from orders.cancelling import mark_cancelled
from orders.documents import CLIENT_FIELDS
from orders.models import CancelReason, Game
from tests.buying import attempt_at, make_order, settle
from tests.delivering.streams import (
    Listener,
    answers,
    call,
    connections,
    free_port,
    listeners,
    path_of,
    token_of,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)


def listen(port, order, **about) -> Listener:
    """Listen with the order's own token."""
    return Listener(port, path_of(order), bearer=token_of(order), **about)


class TestAListener:
    """Is told everything that happens to its order, once, in order, the moment it is committed."""

    def test_hears_of_payment_and_goods_as_they_happen(self, port, order, attempt):
        with listen(port, order) as listener:
            assert listener.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert listener.block() == {"retry": "2000"}
            settle(attempt)
            settled = time.monotonic()
            told = [listener.event(), listener.event()]
            assert time.monotonic() - settled < 1.5
        assert [kind for _, kind, _ in told] == ["order.paid", "order.delivered"]
        assert [event_id for event_id, _, _ in told] == list(
            GameEvent.objects.order_by("seq").values_list("event_id", flat=True)
        )
        data = told[1][2]
        assert (data["state"], data["delivery_state"]) == ("paid", "delivered")
        assert data["items"] == [{"item_id": "gem", "name": "Gem", "quantity": 60, "bonus": 6}]

    def test_is_shown_only_what_a_client_may_know(self, port, order, attempt):
        settle(attempt)
        with listen(port, order) as listener:
            for _ in range(2):
                assert set(listener.event()[2]) == set(CLIENT_FIELDS)

    def test_hears_what_had_happened_before_it_came(self, port, order, attempt):
        settle(attempt)
        with listen(port, order) as listener:
            assert [listener.event()[1], listener.event()[1]] == ["order.paid", "order.delivered"]

    def test_goes_on_after_the_last_event_it_knows(self, port, order, attempt):
        settle(attempt)
        first, second = GameEvent.objects.order_by("seq").values_list("event_id", flat=True)
        for query, headers in (("", {"Last_Event_ID": first}), (f"?last_event_id={first}", {})):
            with Listener(port, path_of(order) + query, bearer=token_of(order), **headers) as listener:
                assert listener.event()[:2] == (second, "order.delivered")

    def test_with_an_unknown_last_event_hears_everything(self, port, order, attempt):
        settle(attempt)
        for last in (f"evt_{'0' * 32}", "nonsense", "'; --"):
            with listen(port, order, Last_Event_ID=last) as listener:
                assert listener.event()[1] == "order.paid"

    def test_of_another_orders_last_event_hears_everything(self, port, client, api_key, order, wechat_account):
        other = make_order(client, api_key)
        settle(attempt_at(order, wechat_account))
        settle(attempt_at(other, wechat_account))
        last = GameEvent.objects.filter(order_no=other.order_no).latest("seq").event_id
        with listen(port, order, Last_Event_ID=last) as listener:
            assert listener.event()[1] == "order.paid"

    def test_hears_nothing_of_the_talk_with_the_game_server(self, port, held_by_game, order, attempt):
        with listen(port, order) as listener:
            settle(attempt)
            assert listener.event()[1] == "order.paid"
            confirm(delivery_id=Delivery.objects.get().pk, receipt="r1", actor="game")
            assert listener.event()[1] == "order.delivered"
        assert set(GameEvent.objects.values_list("type", flat=True)) > {"delivery.requested"}

    def test_hears_that_its_order_was_cancelled(self, port, order):
        with listen(port, order) as listener:
            mark_cancelled(order_id=order.pk, reason=CancelReason.GAME, actor="game", now=timezone.now())
            _, kind, data = listener.event()
            assert (kind, data["state"], data["cancel_reason"]) == ("order.cancelled", "cancelled", "game")

    def test_hears_nothing_of_other_orders(self, port, client, api_key, order, wechat_account):
        other = make_order(client, api_key)
        with listen(port, order) as listener, listen(port, other) as neighbour:
            settle(attempt_at(other, wechat_account))
            assert neighbour.event()[1] == "order.paid"
            settle(attempt_at(order, wechat_account))
            assert listener.event()[2]["order_no"] == order.order_no

    def test_may_use_its_token_in_the_address_and_come_from_any_page(self, port, order, attempt):
        settle(attempt)
        with Listener(port, f"{path_of(order)}?token={token_of(order)}", Origin="https://game.example") as listener:
            assert (listener.status, listener.headers["Access-Control-Allow-Origin"]) == (200, "*")
            assert listener.event()[1] == "order.paid"
        status, headers, _ = call(port, path_of(order), method="OPTIONS", Origin="https://game.example")
        assert status == 204
        assert "Authorization" in headers["Access-Control-Allow-Headers"]

    def test_may_be_the_game_server(self, port, order, api_key, attempt):
        settle(attempt)
        with Listener(port, path_of(order), bearer=api_key) as listener:
            assert set(listener.event()[2]) == set(CLIENT_FIELDS)


class TestAStranger:
    """Hears nothing: the order's token or a key of its game opens the stream, nothing else does."""

    def refused(self, port, path, *, bearer="", status=401, code="not_authenticated"):
        answer, headers, body = call(port, path, bearer=bearer)
        problem = json.loads(body)
        assert (answer, problem["code"], headers["Content-Type"]) == (
            status,
            code,
            "application/problem+json",
        )
        assert problem["request_id"] == headers["X-Request-ID"]

    def test_without_a_credential_that_holds_is_refused(self, port, order):
        for bearer in ("", "nonsense", "gk_sandbox_nonsense", "ct_", "ct_a.b.c"):
            self.refused(port, path_of(order), bearer=bearer)
            self.refused(port, f"{path_of(order)}?token={bearer}")

    def test_with_the_token_of_another_order_finds_nothing(self, port, client, api_key, order):
        other = make_order(client, api_key)
        self.refused(port, path_of(order), bearer=token_of(other), status=404, code="not_found")

    def test_with_a_key_of_another_game_or_environment_finds_nothing(self, port, game, order):
        other = Game.objects.create(code="other", name="Other")
        for key in (
            new_api_key(game=other, environment="sandbox"),
            new_api_key(game=game, environment="production"),
        ):
            self.refused(port, path_of(order), bearer=key, status=404, code="not_found")

    def test_with_a_key_that_may_not_read_orders_is_refused(self, port, game, order):
        key = new_api_key(game=game, environment="sandbox", scopes=["events"])
        self.refused(port, path_of(order), bearer=key, status=403, code="scope_missing")

    def test_may_not_put_an_api_key_into_an_address(self, port, order, api_key):
        self.refused(port, f"{path_of(order)}?token={api_key}")

    def test_with_an_expired_token_is_refused(self, port, order):
        past = timezone.now() - timedelta(days=1)
        token = client_token(order_no=order.order_no, expires_at=past)
        self.refused(port, path_of(order), bearer=token, code="token_expired")

    def test_finds_no_other_doors(self, stream_port):
        for method, path, status in (
            *(("GET", f"/{path}", 404) for path in ("", "admin/", "api/v1/orders", "api/v1/orders/a/b/stream")),
            ("GET", "/api/v1/orders/%00/stream", 404),
            ("GET", f"/api/v1/orders/1?{'&'.join(ascii_letters)}", 400),
            ("POST", "/healthz", 405),
            ("DELETE", "/api/v1/orders/1/stream", 405),
        ):
            answer, headers, body = call(stream_port, path, method=method)
            assert (path, answer, json.loads(body)["status"]) == (path, status, status)
            assert headers["Content-Type"] == "application/problem+json"


class TestAStream:
    """Lives as long as it has something to tell, and costs next to nothing while it has not."""

    def test_beats_while_nothing_happens(self, port, order, monkeypatch):
        monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.1)
        with listen(port, order) as listener:
            assert [listener.block() for _ in range(4)] == [{"retry": "2000"}, {"": ""}, {"": ""}, {"": ""}]

    def test_ends_soon_after_the_last_event(self, port, order, attempt, monkeypatch):
        monkeypatch.setattr(streaming, "GRACE_S", 0.2)
        with listen(port, order) as listener:
            settle(attempt)
            assert listener.rest() == ["order.paid", "order.delivered"]
        until(lambda: listeners() == 0)

    def test_tells_a_client_that_knows_everything_not_to_come_back(self, port, order, attempt):
        settle(attempt)
        last = GameEvent.objects.latest("seq").event_id
        assert call(port, path_of(order), bearer=token_of(order), Last_Event_ID=last)[0] == 204

    def test_ends_with_its_token(self, port, order, settings):
        settings.CLIENT_TOKEN_AFTER_EXPIRY_S = 1
        token = client_token(order_no=order.order_no, expires_at=timezone.now())
        with Listener(port, path_of(order), bearer=token) as listener:
            began = time.monotonic()
            assert (listener.status, listener.rest()) == (200, [])
            assert time.monotonic() - began < 3

    def test_notices_that_its_client_has_left(self, port, order):
        listener = listen(port, order)
        assert listeners() == 1
        listener.leave()
        until(lambda: listeners() == 0, seconds=3)

    def test_is_refused_when_too_many_listen(self, port, order, settings):
        settings.STREAM_LISTENERS_AT_ONCE = 1
        with listen(port, order):
            status, headers, body = call(port, path_of(order), bearer=token_of(order))
            assert (status, json.loads(body)["code"], headers["Retry-After"]) == (
                503,
                "too_many_listeners",
                "5",
            )
        until(lambda: listeners() == 0)
        with listen(port, order) as listener:
            assert listener.status == 200

    def test_shares_one_connection_with_all_others(self, port, client, api_key, channel, wechat_account, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        orders = [make_order(client, api_key) for _ in range(40)]
        listening = [listen(port, order) for order in orders]
        until(lambda: connections() <= 1)
        for order in orders:
            settle(attempt_at(order, wechat_account))
        for listener in listening:
            assert [listener.event()[1], listener.event()[1]] == ["order.paid", "order.delivered"]
            listener.leave()
        until(lambda: connections() == 0)

    def test_outlives_its_database(self, port, order, attempt, monkeypatch):
        monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.2)
        with listen(port, order) as listener:
            assert listener.block() == {"retry": "2000"}
            with database_away():
                assert [listener.block() for _ in range(3)] == [{"": ""}] * 3
                status, headers, body = call(port, path_of(order), bearer=token_of(order))
                assert (status, json.loads(body)["code"], headers["Retry-After"]) == (503, "busy", "1")
                settle(attempt)
            assert listener.event()[1] == "order.paid"

    def test_process_ends_on_sigterm_although_somebody_listens(self, transactional_db, order):
        port = free_port()
        about = connection.get_connection_params()
        url = f"postgresql://{about['user']}@/{about['dbname']}?host={about['host']}"
        process = subprocess.Popen(
            [sys.executable, "manage.py", "stream"],
            cwd=site.BASE_DIR,
            env={**os.environ, "DATABASE_URL": url, "STREAM_PORT": str(port), "DEBUG": "1"},
        )
        try:
            until(lambda: answers(port), seconds=20)
            with listen(port, order) as listener:
                assert listener.block() == {"retry": "2000"}
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) in (0, -signal.SIGTERM)
        finally:
            process.kill()
            process.wait()


@contextmanager
def database_away():
    """Everybody but the test loses the database and cannot come back."""
    about = {**connection.get_connection_params(), "dbname": "postgres"}
    known = {name: about[name] for name in ("host", "user", "port", "password", "dbname") if about.get(name)}
    allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    name = sql.Identifier(connection.settings_dict["NAME"])
    with psycopg.connect(**known, autocommit=True) as elsewhere:
        elsewhere.execute(allow.format(name, sql.SQL("false")))
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            yield
        finally:
            elsewhere.execute(allow.format(name, sql.SQL("true")))
