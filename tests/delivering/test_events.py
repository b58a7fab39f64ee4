"""A game server that was away reads everything it was told, word for word, without a gap and without twins."""

import json
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from fulfillment.keeping import forget_old_events
from fulfillment.models import GameEvent, WebhookAttempt, WebhookEndpoint, WebhookMessage
from tests.buying import attempt_at, get, make_order, settle


def page(client, key, address="events"):
    answer = get(client, address, bearer=key)
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def purchases(client, channel, api_key, wechat_account):
    """Three purchases: six events."""
    orders = [make_order(client, api_key) for _ in range(3)]
    for order in orders:
        settle(attempt_at(order, wechat_account))
    return orders


@pytest.mark.django_db(transaction=True)
class TestTheEventList:
    """Shows every event once, oldest first, in the words of the webhook."""

    def test_is_word_for_word(self, client, api_key, purchases):
        text = get(client, "events", bearer=api_key).content.decode()
        bodies = GameEvent.objects.order_by("xid", "seq").values_list("body", flat=True)
        assert text == f'{{"next":null,"previous":null,"results":[{",".join(bodies)}]}}'
        assert [event["type"] for event in json.loads(text)["results"]] == [
            "order.paid",
            "order.delivered",
        ] * 3

    def test_is_paged_without_loss(self, client, api_key, purchases):
        found, address = [], "events?limit=4"
        while address:
            shown = page(client, api_key, address)
            found += [event["id"] for event in shown["results"]]
            address = shown["next"] and shown["next"].partition("/api/v1/")[2]
        assert found == list(GameEvent.objects.order_by("xid", "seq").values_list("event_id", flat=True))

    def test_goes_on_after_the_last_event_that_was_handled(self, client, api_key, purchases, channel, wechat_account):
        last = page(client, api_key)["results"][-1]["id"]
        assert page(client, api_key, f"events?after={last}")["results"] == []
        order = make_order(client, api_key)
        settle(attempt_at(order, wechat_account))
        later = page(client, api_key, f"events?after={last}")["results"]
        assert [(event["type"], event["data"]["order_no"]) for event in later] == [
            ("order.paid", order.order_no), ("order.delivered", order.order_no),
        ]  # fmt: skip

    def test_never_shows_an_event_behind_one_that_was_shown(self, client, api_key, purchases):
        """A transaction that took its number early and commits late must not appear behind a reader."""
        known = [event["id"] for event in page(client, api_key)["results"]]
        params = connection.get_connection_params()
        about = {name: params[name] for name in ("host", "user", "password", "dbname", "port") if params.get(name)}
        copy = (
            "INSERT INTO fulfillment_gameevent (event_id, xid, game_id, environment, type, order_no, body, created_at)"
            " SELECT %s, pg_current_xact_id()::text::bigint, game_id, environment, type, order_no,"
            " replace(body, event_id, %s), created_at FROM fulfillment_gameevent ORDER BY seq LIMIT 1"
        )
        slow, quick = "evt_" + "a" * 32, "evt_" + "b" * 32
        with psycopg.connect(**about) as first, psycopg.connect(**about) as second:
            first.execute(copy, (slow, slow))
            second.execute(copy, (quick, quick))
            second.commit()
            # The quick one is committed, but the slow one could still come before it: neither is shown yet.
            assert [event["id"] for event in page(client, api_key)["results"]] == known
            first.commit()
        assert [event["id"] for event in page(client, api_key)["results"]] == [*known, slow, quick]

    def test_takes_no_nonsense(self, client, api_key):
        unknown = f"evt_{'0' * 32}"
        for query, code in (
            *((f"after={text}", "invalid_cursor") for text in ("nonsense", unknown, "%00", "é", "MS4x_", "LTEuMQ")),
            *((f"limit={text}", "invalid_limit") for text in ("0", "1000", "１", "-1")),
            ("since=1", "invalid_request"),
        ):
            answer = get(client, f"events?{query}", bearer=api_key)
            assert (query, answer.status_code, answer.json()["code"]) == (query, 400, code)

    def test_begins_with_the_first_when_after_is_empty(self, client, api_key, purchases):
        assert len(page(client, api_key, "events?after=")["results"]) == 6


@pytest.mark.django_db
class TestForgetting:
    """Events are kept as long as promised, and longer while somebody has not been told."""

    def age(self, **about):
        # Events are frozen for everybody, so a test makes them old with the rule switched off.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            GameEvent.objects.update(created_at=timezone.now() - timedelta(**about))
            cursor.execute("SET LOCAL session_replication_role = origin")

    @pytest.fixture
    def endpoint(self, game):
        return WebhookEndpoint.objects.create(game=game, url="https://game.example/hook", secrets_sealed=b"")

    def test_forgets_what_is_old_and_told(self, endpoint, purchases, settings):
        for message in WebhookMessage.objects.all():
            WebhookAttempt.objects.create(message=message, at=timezone.now(), duration_ms=1, status=200)
        WebhookMessage.objects.update(state="delivered", next_attempt_at=None)
        self.age(days=settings.GAME_EVENTS_KEPT_DAYS, minutes=1)
        assert (forget_old_events(), forget_old_events()) == (6, 0)
        assert (
            GameEvent.objects.count(),
            WebhookMessage.objects.count(),
            WebhookAttempt.objects.count(),
        ) == (0, 0, 0)

    def test_keeps_what_is_young(self, purchases, settings):
        self.age(days=settings.GAME_EVENTS_KEPT_DAYS - 1)
        assert (forget_old_events(), GameEvent.objects.count()) == (0, 6)

    def test_keeps_what_somebody_has_not_been_told(self, endpoint, purchases, settings):
        states = ["waiting", "parked", "delivered", "delivered", "waiting", "parked"]
        for message, state in zip(WebhookMessage.objects.order_by("pk"), states, strict=True):
            message.state = state
            message.next_attempt_at = timezone.now() if state == "waiting" else None
            message.save(update_fields=("state", "next_attempt_at"))
        self.age(days=settings.GAME_EVENTS_KEPT_DAYS + 1)
        assert (forget_old_events(), GameEvent.objects.count()) == (2, 4)
        assert set(WebhookMessage.objects.values_list("state", flat=True)) == {"waiting", "parked"}
