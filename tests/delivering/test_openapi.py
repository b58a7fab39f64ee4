"""`/api/schema/` is complete and true: every call is in it, and every answer has the shape it promises."""

import json

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator

from fulfillment.filters import DeliveryFilter
from fulfillment.models import Delivery, DeliveryMode, DeliveryPolicy
from orders.documents import CLIENT_FIELDS
from orders.filters import OrderFilter
from tests.buying import attempt_at, get, make_order, order_body, post, settle
from tests.delivering.openapi import Document
from tests.delivering.streams import Listener, path_of, token_of

CALLS = {
    ("get", "/api/v1/orders"), ("post", "/api/v1/orders"), ("get", "/api/v1/orders/{order_no}"),
    ("post", "/api/v1/orders/{order_no}/pay"), ("post", "/api/v1/orders/{order_no}/cancel"),
    ("post", "/api/v1/orders/{order_no}/client-result"), ("post", "/api/v1/orders/{order_no}/proofs"), ("get", "/api/v1/orders/{order_no}/stream"),
    ("get", "/api/v1/products"), ("get", "/api/v1/channels"), ("get", "/api/v1/players/{uid}/balances"),
    ("get", "/api/v1/players/{uid}/ledger"), ("get", "/api/v1/players/{uid}/deliveries"),
    ("post", "/api/v1/deliveries/{delivery_id}/acknowledge"), ("get", "/api/v1/events"),
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Document:
    """The document that is served."""
    return Document(SchemaGenerator().get_schema(request=None, public=True))


class TestTheDocument:
    """Names every call, who may make it, and how it refuses."""

    def test_is_made_without_a_warning(self, tmp_path):
        call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))

    def test_names_every_call(self, document):
        assert document.calls() == CALLS

    @pytest.mark.parametrize("call", sorted(CALLS))
    def test_says_who_may_call_and_how_a_refusal_looks(self, document, call):
        method, path = call
        operation = document.document["paths"][path][method]
        allowed = {name for option in operation["security"] for name in option}
        of_one_order = "{order_no}" in path
        assert allowed == ({"apiKey", "clientToken"} if of_one_order else {"apiKey"})
        for status in ("4XX", "5XX"):
            content = operation["responses"][status]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        assert operation["description"]

    @pytest.mark.parametrize(
        ("path", "filters"), [("/api/v1/orders", OrderFilter), ("/api/v1/players/{uid}/deliveries", DeliveryFilter)]
    )
    def test_names_every_filter(self, document, path, filters):
        parameters = document.document["paths"][path]["get"]["parameters"]
        in_query = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        assert in_query == {*filters.base_filters, "cursor", "limit"}

    def test_shows_a_client_no_more_than_it_may_know(self, document):
        shape = document.document["components"]["schemas"]["ClientOrder"]
        assert set(shape["properties"]) == set(CLIENT_FIELDS)

    def test_knows_both_credentials(self, document):
        assert set(document.document["components"]["securitySchemes"]) == {"apiKey", "clientToken"}

    @pytest.mark.django_db
    def test_is_served_with_a_page_to_read_it(self, client):
        assert client.get("/api/schema/").status_code == 200
        assert b"swagger" in client.get("/api/docs/").content


@pytest.mark.django_db
class TestEveryAnswer:
    """Has the shape that the document promises, refusals included."""

    @pytest.fixture
    def shop(self, client, game, channel, api_key, wechat_account, alipay_account, document):
        """One who calls, and compares every answer."""

        class Shop:
            def __init__(self):
                self.key = api_key

            def get(self, path, status=200, bearer=api_key):
                answer = get(client, path, bearer=bearer)
                return self.compared("get", path, answer, status)

            def post(self, path, body, status=200, bearer=api_key):
                answer = post(client, path, body, bearer=bearer)
                return self.compared("post", path, answer, status)

            @staticmethod
            def compared(method, path, answer, status):
                assert answer.status_code == status, answer.content
                document.check(method, f"/api/v1/{path}", answer)
                return answer.json()

        return Shop()

    def test_about_orders(self, shop):
        body = order_body(zone_id="3", role_id="r", attach="x")
        made = shop.post("orders", body, 201)
        shop.post("orders", body, 200)
        shop.post("orders", {**body, "quantity": 2}, 409)
        shop.post("orders", {**body, "price": 1}, 400)
        shop.post("orders", order_body(), 401, bearer="nonsense")
        number, token = made["order_no"], made["client_token"]
        for bearer in (shop.key, token):
            shop.get(f"orders/{number}", bearer=bearer)
            shop.get("orders/none", 404, bearer=bearer)
        shop.get("orders?limit=1&state=pending")
        shop.get("orders?stat=pending", 400)
        shop.get("orders", 403, bearer=token)
        opened = shop.post(f"orders/{number}/pay", {"method": "alipay_app"}, bearer=token)
        assert opened["order_no"] == number
        shop.post(f"orders/{number}/pay", {"method": "bitcoin"}, 400)
        shop.post(f"orders/{number}/client-result", {"result": "failed", "detail": "user closed"}, bearer=token)
        shop.post(f"orders/{number}/client-result", {"result": "maybe"}, 400, bearer=token)
        for bearer in (shop.key, made["client_token"]):
            other = shop.post("orders", order_body(), 201)
            token = bearer if bearer == shop.key else other["client_token"]
            assert shop.post(f"orders/{other['order_no']}/cancel", {}, bearer=token)["state"] == "cancelled"
        shop.post("orders/none/cancel", {}, 404)

    def test_about_the_catalogue(self, shop):
        assert shop.get("products?channel_id=official")["results"]
        assert shop.get("channels")["results"][0]["methods"]
        shop.get("products?chanel=official", 400)

    def test_about_goods(self, shop, client, game, api_key, wechat_account):
        order = make_order(client, api_key)
        settle(attempt_at(order, wechat_account))
        assert shop.get(f"orders/{order.order_no}")["delivery_state"] == "delivered"
        DeliveryPolicy.objects.create(game=game, mode=DeliveryMode.GAME_SERVER)
        waiting = make_order(client, api_key, zone_id="3", role_id="r")
        settle(attempt_at(waiting, wechat_account))
        for what, rows in (("balances", 1), ("ledger", 1), ("deliveries", 2), ("deliveries?state=pending", 1)):
            assert len(shop.get(f"players/10086/{what}")["results"]) == rows
            shop.get(f"players/10086/{what}", 401, bearer="nonsense")
        page = shop.get("players/10086/deliveries?limit=1")
        assert page["next"]
        delivery = Delivery.objects.get(order=waiting)
        acknowledged = shop.post(f"deliveries/{delivery.pk}/acknowledge", {"receipt": "r1"})
        assert acknowledged["state"] == "delivered"
        shop.post(f"deliveries/{delivery.pk}/acknowledge", {"reciept": "r1"}, 400)
        shop.get("players/10086/ledger?limit=0", 400)


@pytest.mark.django_db(transaction=True)
class TestEveryEvent:
    """In the list and on the stream, has the shape that the document promises."""

    def test_is_as_promised(self, document, client, port, order, attempt, api_key):
        settle(attempt)
        cancelled = make_order(client, api_key)
        assert post(client, f"orders/{cancelled.order_no}/cancel", {}, bearer=api_key).status_code == 200
        answer = get(client, "events", bearer=api_key)
        document.check("get", "/api/v1/events", answer)
        assert [event["type"] for event in answer.json()["results"]] == [
            "order.paid", "order.delivered", "order.cancelled",
        ]  # fmt: skip
        document.check("get", "/api/v1/events", get(client, "events?limit=1", bearer=api_key))
        document.check("get", "/api/v1/events", get(client, "events?after=x", bearer=api_key))
        described = document.document["paths"]["/api/v1/orders/{order_no}/stream"]["get"]["responses"]["200"]
        shape = described["content"]["text/event-stream"]["x-event-data"]["$ref"].rsplit("/", 1)[1]
        with Listener(port, path_of(order), bearer=token_of(order)) as listener:
            for _ in range(2):
                document.fits(json.loads(json.dumps(listener.event()[2])), shape)
