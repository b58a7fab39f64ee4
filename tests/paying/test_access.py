"""A caller sees and touches its own objects only, and only what its credential is for."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from orders.authentication import client_token, new_api_key
from orders.models import ApiKey, Game, Order
from tests.buying import get, make_order, order_body, post


@pytest.fixture
def order(client, channel, api_key):
    return make_order(client, api_key)


class TestAnApiKey:
    """Names one game in one environment; shown once, kept as a digest, limited as asked."""

    def test_is_not_kept(self, api_key):
        row = ApiKey.objects.get()
        assert api_key.startswith(row.prefix)
        assert len(row.prefix) < len(api_key) / 2
        assert api_key not in {str(value) for value in vars(row).values()}

    def test_of_another_game_finds_nothing(self, client, order):
        stranger = new_api_key(game=Game.objects.create(code="other", name="Other"), environment="sandbox")
        assert get(client, f"orders/{order.order_no}", bearer=stranger).status_code == 404
        assert get(client, "orders", bearer=stranger).json()["results"] == []
        for call in ("cancel", "pay", "client-result"):
            answer = post(client, f"orders/{order.order_no}/{call}", {}, bearer=stranger)
            assert answer.status_code == 404
        order.refresh_from_db()
        assert order.state == "pending"

    def test_of_the_other_environment_finds_nothing(self, client, game, order):
        production = new_api_key(game=game, environment="production")
        assert get(client, f"orders/{order.order_no}", bearer=production).status_code == 404
        assert get(client, "orders", bearer=production).json()["results"] == []

    def test_cannot_take_over_a_reference_of_the_other_environment(self, client, game, order):
        production = new_api_key(game=game, environment="production")
        answer = post(client, "orders", order_body(client_ref=order.client_ref), bearer=production)
        assert (answer.status_code, Order.objects.count()) == (409, 1)

    def test_does_only_what_its_scopes_say(self, client, game, channel):
        key = new_api_key(game=game, environment="sandbox", scopes=["catalogue"])
        assert get(client, "products", bearer=key).status_code == 200
        answer = post(client, "orders", order_body(), bearer=key)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert Order.objects.count() == 0

    def test_ends_when_revoked_or_expired(self, client, channel, api_key):
        assert get(client, "orders", bearer=api_key).status_code == 200
        from orders.authentication import forget_keys

        for change in (
            {"revoked_at": timezone.now()},
            {"revoked_at": None, "expires_at": timezone.now() - timedelta(seconds=1)},
        ):
            ApiKey.objects.update(**change)
            forget_keys()
            assert get(client, "orders", bearer=api_key).status_code == 401

    def test_works_from_its_networks_only(self, channel, api_key):
        ApiKey.objects.update(allowed_networks=["10.1.0.0/16", "2001:db8::/32"])
        for address, status in (("10.1.2.3", 200), ("10.2.0.1", 403), ("2001:db8::5", 200), ("::1", 403)):
            caller = Client(REMOTE_ADDR=address)
            assert get(caller, "orders", bearer=api_key).status_code == status

    def test_does_not_believe_a_forwarded_address_without_a_proxy(self, channel, api_key, settings):
        ApiKey.objects.update(allowed_networks=["10.1.0.0/16"])
        caller = Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="10.1.2.3")
        assert get(caller, "orders", bearer=api_key).status_code == 403
        settings.TRUSTED_PROXIES = 1
        assert get(caller, "orders", bearer=api_key).status_code == 200
        forged = Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="10.1.2.3, 192.0.2.9")
        assert get(forged, "orders", bearer=api_key).status_code == 403

    @pytest.mark.parametrize(
        "header",
        ["", "Basic x", "Bearer", "Bearer nonsense", "Bearer é", "Bearer gk_sandbox_", "Bearer \x00"],
    )
    def test_nonsense_is_refused(self, client, channel, header):
        answer = client.get("/api/v1/orders", headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")


class TestAClientToken:
    """Valid for one order: it reads it, starts paying, reports a result, cancels; nothing else."""

    def token(self, order):
        return client_token(order_no=order.order_no, expires_at=order.expires_at)

    def test_reads_only_what_a_client_may_know(self, client, order):
        shown = get(client, f"orders/{order.order_no}", bearer=self.token(order)).json()
        assert shown["order_no"] == order.order_no
        for hidden in ("client_ref", "attach", "transaction_id", "uid", "game"):
            assert hidden not in shown

    def test_does_not_open_another_order(self, client, api_key, order):
        other = make_order(client, api_key)
        for path in (f"orders/{other.order_no}", "orders", "products", "channels"):
            assert get(client, path, bearer=self.token(order)).status_code in (403, 404)
        answer = post(client, f"orders/{other.order_no}/cancel", {}, bearer=self.token(order))
        other.refresh_from_db()
        assert (answer.status_code, other.state) == (404, "pending")

    def test_makes_no_order(self, client, order):
        assert post(client, "orders", order_body(), bearer=self.token(order)).status_code == 403
        assert Order.objects.count() == 1

    @pytest.mark.parametrize(
        "forge",
        [
            lambda token, other: token[:-1] + ("A" if token[-1] != "A" else "B"),
            lambda token, other: token.replace(token[3:33], other),
            lambda token, other: token.rsplit(".", 2)[0] + ".99999999999." + token.rsplit(".", 1)[1],
            lambda token, other: token.rsplit(".", 1)[0] + ".",
            lambda token, other: "ct_" + other,
            lambda token, other: token + "é",
        ],
    )
    def test_cannot_be_forged(self, client, api_key, order, forge):
        other = make_order(client, api_key).order_no
        forged = forge(self.token(order), other)
        for number in (order.order_no, other):
            assert get(client, f"orders/{number}", bearer=forged).status_code == 401

    def test_expires(self, client, order, settings):
        settings.CLIENT_TOKEN_AFTER_EXPIRY_S = 1
        token = client_token(order_no=order.order_no, expires_at=timezone.now() - timedelta(seconds=5))
        answer = get(client, f"orders/{order.order_no}", bearer=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
