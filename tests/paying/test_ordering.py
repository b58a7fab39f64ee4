"""A game server asks for an order."""

import pytest

from fulfillment.models import ProductGrant
from orders.models import Order, OrderEvent, Product, ProductPrice
from tests.buying import get, make_order, order_body, post
from tests.effects import NOTHING, effects


class TestMakingAnOrder:
    """Price and contents come from the catalogue; the number is ours, unique, and starts with the date."""

    def test_answers_everything_the_client_needs_to_pay(self, client, game, channel, api_key, wechat_account):
        answer = post(client, "orders", order_body(zone_id="3", role_id="r7", attach="附加|x"), bearer=api_key)
        assert answer.status_code == 201
        order = answer.json()
        assert (order["amount"], order["currency"], order["state"], order["delivery_state"]) == (
            600,
            "CNY",
            "pending",
            "none",
        )
        assert order["items"] == [{"item_id": "gem", "name": "Gem", "quantity": 60, "bonus": 6}]
        assert (order["zone_id"], order["role_id"], order["attach"]) == ("3", "r7", "附加|x")
        assert {method["method"] for method in order["methods"]} == {
            "wechatpay_app", "wechatpay_jsapi", "wechatpay_h5", "wechatpay_native",
        }  # fmt: skip
        assert order["order_no"] in order["checkout_url"]
        assert get(client, f"orders/{order['order_no']}", bearer=order["client_token"]).status_code == 200

    def test_numbers_sort_by_time_and_fit_every_provider(self, client, channel, api_key):
        numbers = [make_order(client, api_key).order_no for _ in range(20)]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == 20
        for number in numbers:
            assert len(number) <= 32
            assert number.isalnum()
            assert number.isascii()
            assert not number.isdigit()

    def test_multiplies_price_and_contents_by_the_quantity(self, client, channel, api_key):
        order = make_order(client, api_key, quantity=3)
        assert order.amount_minor == 1800
        assert [(line["quantity"], line["bonus"]) for line in order.contents] == [(180, 18)]

    def test_takes_the_channels_own_price_first(self, client, game, channel, api_key):
        product = Product.objects.get(product_id="gems60")
        ProductPrice.objects.create(product=product, currency="CNY", channel=channel, amount_minor=500)
        assert make_order(client, api_key).amount_minor == 500

    def test_takes_the_wanted_currency(self, client, game, channel, api_key):
        ProductPrice.objects.create(product=Product.objects.get(), currency="USD", amount_minor=99)
        order = make_order(client, api_key, currency="USD")
        assert (order.amount_minor, order.currency) == (99, "USD")

    def test_freezes_price_and_contents(self, client, channel, api_key):
        order = make_order(client, api_key)
        ProductPrice.objects.update(amount_minor=1)
        ProductGrant.objects.update(quantity=99999)
        order.refresh_from_db()
        assert (order.amount_minor, order.contents[0]["quantity"]) == (600, 60)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"product_id": "nothing"}, "unknown_product"),
            ({"channel_id": "nowhere"}, "unknown_channel"),
            ({"currency": "EUR"}, "no_price"),
            ({"quantity": 0}, "invalid_request"),
            ({"quantity": 10000}, "invalid_request"),
            ({"quantity": "1"}, "invalid_request"),
            ({"quantity": True}, "invalid_request"),
            ({"quantity": 1.0}, "invalid_request"),
            ({"quantity": 10**900}, "invalid_request"),
            ({"quantity": 10**4000}, "invalid_request"),
            ({"amount": 1}, "invalid_request"),
            ({"uid": ""}, "invalid_request"),
            ({"uid": "a\nb"}, "invalid_request"),
            ({"uid": "x" * 65}, "invalid_request"),
            ({"client_ip": "１２７.0.0.1"}, "invalid_request"),
            ({"attach": "汉" * 43}, "invalid_request"),
            ({"expires_in_s": 59}, "invalid_request"),
        ],
    )
    def test_refuses_what_the_catalogue_or_the_contract_does_not_know(self, client, channel, api_key, changes, code):
        answer = post(client, "orders", order_body(**changes), bearer=api_key)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert Order.objects.count() == 0

    def test_names_every_faulty_field_at_once(self, client, channel, api_key):
        answer = post(client, "orders", {"uid": 1, "price": 5, "channel_id": "official"}, bearer=api_key)
        faults = {error["field"]: error["code"] for error in answer.json()["errors"]}
        assert faults == {
            "client_ref": "required",
            "product_id": "required",
            "uid": "invalid",
            "price": "unknown",
        }

    def test_stops_a_player_who_orders_without_end(self, client, channel, api_key, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 3
        answers = [post(client, "orders", order_body(uid="bot"), bearer=api_key) for _ in range(8)]
        refused = [answer for answer in answers if answer.status_code == 429]
        # A minute may turn in between, which allows three more.
        assert 2 <= len(refused) <= 5
        assert all(answer.json()["code"] == "too_many_orders" for answer in refused)
        assert Order.objects.filter(uid="bot").count() == 8 - len(refused)
        assert post(client, "orders", order_body(uid="another"), bearer=api_key).status_code == 201

    def test_moves_no_money_and_no_goods(self, client, channel, api_key):
        make_order(client, api_key)
        assert effects() == NOTHING


class TestTheGamesReference:
    """One reference means one purchase, for ever: a retry can never buy twice."""

    def test_repeated_with_the_same_content_it_is_the_same_order(self, client, channel, api_key):
        body = order_body()
        first, again = (post(client, "orders", body, bearer=api_key) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["order_no"] == again.json()["order_no"]
        assert Order.objects.count() == 1
        assert OrderEvent.objects.count() == 1

    def test_with_other_content_it_is_refused(self, client, channel, api_key):
        body = order_body()
        post(client, "orders", body, bearer=api_key)
        answer = post(client, "orders", {**body, "quantity": 2}, bearer=api_key)
        assert (answer.status_code, answer.json()["code"]) == (409, "client_ref_conflict")
        assert Order.objects.count() == 1

    def test_still_answers_when_the_product_is_no_longer_on_sale(self, client, channel, api_key):
        body = order_body()
        first = post(client, "orders", body, bearer=api_key)
        Product.objects.update(is_active=False)
        again = post(client, "orders", body, bearer=api_key)
        assert (again.status_code, again.json()["order_no"]) == (200, first.json()["order_no"])


class TestTheIdempotencyKey:
    """Same key and request: the first answer word for word, errors included. Other request: refused."""

    def test_repeats_the_first_answer(self, client, channel, api_key):
        body = order_body()
        first, again = (post(client, "orders", body, bearer=api_key, **{"Idempotency-Key": "k1"}) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert Order.objects.count() == 1

    def test_repeats_an_error_too(self, client, channel, api_key):
        body = order_body(product_id="later")
        first = post(client, "orders", body, bearer=api_key, **{"Idempotency-Key": "k2"})
        Product.objects.update(product_id="later")
        again = post(client, "orders", body, bearer=api_key, **{"Idempotency-Key": "k2"})
        assert (first.status_code, again.status_code) == (400, 400)
        assert first.json() == again.json()
        assert Order.objects.count() == 0

    def test_refuses_another_request_under_the_same_key(self, client, channel, api_key):
        post(client, "orders", order_body(), bearer=api_key, **{"Idempotency-Key": "k3"})
        answer = post(client, "orders", order_body(), bearer=api_key, **{"Idempotency-Key": "k3"})
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert Order.objects.count() == 1

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "密"])
    def test_must_be_printable_and_short(self, client, channel, api_key, key):
        answer = post(client, "orders", order_body(), bearer=api_key, **{"Idempotency-Key": key})
        assert answer.status_code == 400
        assert Order.objects.count() == 0
