"""Over two games, two environments, keys, tokens and scopes: everybody sees its own, and nothing else (I-31)."""

import itertools

import pytest

from channels_app.accounts import save_account
from fulfillment.catalogue import load_catalogue
from fulfillment.models import Delivery, DeliveryMode, DeliveryPolicy, GameEvent
from orders.authentication import client_token, new_api_key
from orders.models import Game, Scope
from tests.buying import attempt_at, get, make_order, post, settle
from tests.keys import wechat_credentials

pytestmark = pytest.mark.django_db(transaction=True)

WORLDS = list(itertools.product(("demo", "other"), ("sandbox", "production")))
UID = "10086"  # the same player id everywhere: only the key tells them apart


@pytest.fixture
def worlds(client, game, channel):
    """In each game and environment: a key, and one delivery of the same player that waits."""
    other = Game.objects.create(code="other", name="Other")
    load_catalogue(
        game=other,
        document={
            "items": [{"item_id": "gem", "name": "Gem", "kind": "currency"}],
            "products": [
                {
                    "product_id": "gems60", "name": "60", "prices": [{"currency": "CNY", "amount": 600}],
                    "grants": [{"item_id": "gem", "quantity": 60}],
                }
            ],
        },
    )  # fmt: skip
    made = {}
    for code, environment in WORLDS:
        owner = Game.objects.get(code=code)
        account = save_account(
            provider="wechatpay",
            code=f"{code}-{environment}",
            environment=environment,
            credentials=wechat_credentials(),
        )
        key = new_api_key(game=owner, environment=environment)
        bought = make_order(client, key, uid=UID)
        settle(attempt_at(bought, account))
        # One in our ledger, one waiting for the game server.
        policy = DeliveryPolicy.objects.create(game=owner, mode=DeliveryMode.GAME_SERVER)
        waiting = make_order(client, key, uid=UID)
        settle(attempt_at(waiting, account))
        policy.delete()
        made[code, environment] = {
            "key": key,
            "orders": {bought.order_no, waiting.order_no},
            "waiting": waiting,
        }
    return made


class TestTheGrid:
    """Four worlds with the same player in each: a key of one finds what is of that one."""

    def test_every_list_shows_the_keys_own_world(self, client, worlds):
        for world in worlds.values():
            for what in ("ledger", "deliveries"):
                rows = get(client, f"players/{UID}/{what}", bearer=world["key"]).json()["results"]
                assert rows
                assert {row["order_no"] for row in rows} <= world["orders"]
            assert len(get(client, f"players/{UID}/deliveries", bearer=world["key"]).json()["results"]) == 2
            (balance,) = get(client, f"players/{UID}/balances", bearer=world["key"]).json()["results"]
            assert balance["paid"] == 60

    def test_every_event_list_shows_the_keys_own_world(self, client, worlds):
        shown = {}
        for (code, environment), world in worlds.items():
            events = get(client, "events?limit=200", bearer=world["key"]).json()["results"]
            assert {(event["game"], event["environment"]) for event in events} == {(code, environment)}
            shown[code, environment] = {event["id"] for event in events}
        assert sum(map(len, shown.values())) == len(set().union(*shown.values())) == GameEvent.objects.count()

    def test_nobody_acknowledges_in_another_world(self, client, worlds):
        for mine, theirs in itertools.permutations(worlds.values(), 2):
            delivery = Delivery.objects.get(order=theirs["waiting"])
            answer = post(client, f"deliveries/{delivery.pk}/acknowledge", {}, bearer=mine["key"])
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert Delivery.objects.filter(state="pending").count() == len(worlds)

    def test_nobody_goes_on_from_another_worlds_event(self, client, worlds):
        for mine, theirs in itertools.permutations(worlds.values(), 2):
            event_id = get(client, "events?limit=1", bearer=theirs["key"]).json()["results"][0]["id"]
            answer = get(client, f"events?after={event_id}", bearer=mine["key"])
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")

    def test_no_token_of_a_player_opens_any_of_it(self, client, worlds):
        for world in worlds.values():
            order = world["waiting"]
            token = client_token(order_no=order.order_no, expires_at=order.expires_at)
            delivery = Delivery.objects.get(order=order)
            answers = [get(client, path, bearer=token) for path in paths()]
            answers.append(post(client, f"deliveries/{delivery.pk}/acknowledge", {}, bearer=token))
            assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "api_key_required")}
        assert Delivery.objects.filter(state="pending").count() == len(worlds)

    def test_without_a_credential_nothing_opens(self, client, worlds):
        answers = [get(client, path, bearer=bearer) for path in paths() for bearer in (None, "nonsense")]
        answers.append(post(client, f"deliveries/{Delivery.objects.first().pk}/acknowledge", {}))
        assert {(answer.status_code, answer["Content-Type"]) for answer in answers} == {
            (401, "application/problem+json")
        }

    def test_a_key_does_what_its_scopes_say(self, client, game, worlds):
        for scope in Scope.values:
            key = new_api_key(game=game, environment="sandbox", scopes=[scope])
            for path in paths():
                needed = Scope.EVENTS if path.startswith("events") else Scope.PLAYERS
                answer = get(client, path, bearer=key)
                assert answer.status_code == (200 if scope == needed else 403)


def paths() -> list[str]:
    """Every reading call of the goods part."""
    return [*(f"players/{UID}/{what}" for what in ("balances", "ledger", "deliveries")), "events"]
