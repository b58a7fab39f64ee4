"""Whatever a stranger sends, the answer is a clear problem document and nothing is lost or half done."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orders.models import IdempotencyRecord, Order
from orders.parsing import read_object
from orders.problems import Problem
from tests.buying import get, make_order, order_body
from tests.effects import NOTHING, effects


def send(client, body: bytes, api_key: str, *, content_type: str = "application/json", path: str = "orders"):
    return client.generic(
        "POST",
        f"/api/v1/{path}",
        body,
        content_type=content_type,
        headers={"Authorization": f"Bearer {api_key}"},
    )


def is_problem(answer, *statuses: int) -> bool:
    document = answer.json()
    return (
        answer.status_code in statuses
        and answer["Content-Type"] == "application/problem+json"
        and {"type", "title", "status", "detail", "code", "request_id"} <= set(document)
        and document["status"] == answer.status_code
        and document["request_id"] == answer["X-Request-ID"]
        and not any(word in answer.content.decode() for word in ("Traceback", "psycopg", "SELECT", "site-packages"))
    )


def body_with(member: str) -> bytes:
    """A good order with one raw JSON member more (or instead)."""
    good = json.dumps(order_body())
    return f"{good[:-1]}, {member}}}".encode()


BODIES = {
    "nested 200,000 deep": b"[" * 200_000,
    "nested 5,000 deep and closed": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "nested 50 deep": b'{"a":' * 50 + b"1" + b"}" * 50,
    "a NUL character": body_with('"role_id": "a\\u0000b"'),
    "a lone surrogate": body_with('"role_id": "\\ud800"'),
    "a raw surrogate in UTF-8": body_with('"role_id": "X"').replace(b"X", b"\xed\xa0\x80"),
    "not UTF-8": body_with('"role_id": "X"').replace(b"X", b"\xff"),
    "UTF-16": json.dumps(order_body()).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(order_body()).encode(),
    "a key twice": body_with('"uid": "thief"'),
    "NaN": body_with('"quantity": NaN'),
    "Infinity": body_with('"quantity": Infinity'),
    "a huge integer": body_with('"quantity": ' + "9" * 900),
    "a huger integer": body_with('"quantity": ' + "9" * 9000),
    "an exponent": body_with('"quantity": 1e3'),
    "full-width digits": body_with('"quantity": "１２"'),
    "an array": b"[]",
    "a text": b'"x"',
    "nothing": b"",
    "half an object": b'{"uid": "1"',
    "two objects": b"{}{}",
    "single quotes": b"{'uid': 1}",
}


class TestBodies:
    """What cannot be an order is refused by name; no order, no 500."""

    @pytest.mark.parametrize("name", BODIES)
    def test_that_are_nonsense_are_refused(self, client, channel, api_key, name):
        answer = send(client, BODIES[name], api_key)
        assert is_problem(answer, 400), answer.content[:300]
        assert Order.objects.count() == 0
        assert effects() == NOTHING

    @pytest.mark.parametrize("size", [256 * 1024 + 1, 3_000_000])
    def test_that_are_too_large_are_refused(self, client, channel, api_key, size):
        answer = send(client, b'{"uid": "' + b"x" * size + b'"}', api_key)
        assert is_problem(answer, 413), answer.content[:300]
        assert answer.json()["code"] == "body_too_large"

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    )
    def test_of_another_type_are_refused(self, client, channel, api_key, kind):
        answer = send(client, json.dumps(order_body()).encode(), api_key, content_type=kind)
        assert is_problem(answer, 415), answer.content[:300]
        assert Order.objects.count() == 0

    def test_refused_under_a_key_answer_the_same_again(self, client, channel, api_key):
        for _ in range(2):
            answer = client.generic(
                "POST", "/api/v1/orders", b"[]", content_type="application/json",
                headers={"Authorization": f"Bearer {api_key}", "Idempotency-Key": "bad"},
            )  # fmt: skip
            assert is_problem(answer, 400)
        assert (Order.objects.count(), IdempotencyRecord.objects.filter(status=None).count()) == (0, 0)

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(max_size=200) | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode()))  # fmt: skip
    def test_of_any_kind_are_an_object_or_a_problem(self, body):
        refusal = None
        try:
            assert isinstance(read_object(body), dict)
        except Problem as problem:
            refusal = (problem.status, problem.code)
        assert refusal in (None, (400, "malformed_body"))

    @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.dictionaries(
        st.sampled_from([*order_body(), "quantity", "attach", "currency", "zone_id", "expires_in_s", "client_ip", "x"]),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=140) | st.lists(st.integers(), max_size=2),
        max_size=4,
    ))  # fmt: skip
    def test_with_any_fields_make_a_correct_order_or_none(self, client, channel, api_key, settings, changes):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 100_000
        before = Order.objects.count()
        answer = send(client, json.dumps({**order_body(), **changes}).encode(), api_key)
        if answer.status_code == 201:
            order = Order.objects.latest("pk")
            assert (order.amount_minor, Order.objects.count()) == (600 * order.quantity, before + 1)
        else:
            assert is_problem(answer, 400, 409, 422) or answer.status_code == 200
            assert Order.objects.count() == before


class TestAddresses:
    """A path or query nobody can mean is a 404 or a 400, never a crash."""

    @pytest.mark.parametrize(
        "path",
        ["orders/%00", "orders/a%00b", "orders/%ED%A0%80", "orders/%FF", "orders/" + "9" * 500, "orders/..%2f", "nothing", "orders/",
         "orders/２０２６"],
    )  # fmt: skip
    def test_that_lead_nowhere_are_not_found(self, client, channel, api_key, path):
        answer = get(client, path, bearer=api_key)
        assert is_problem(answer, 404), answer.content[:300]

    @pytest.mark.parametrize(
        "query",
        ["cursor=x", "cursor=%00", "cursor=é", "cursor=bjk5OTk5OTk5OTk5OTk5OTk5OTk5", "limit=0", "limit=１", "limit=-1", "limit=99999",
         "state=nothing", "created_from=x", "created_from=2026-02-30T00:00:00Z", "color=red", "uid=%00", "uid=" + "x" * 500,
         "created_from=0001-01-01T00:00:00%2B14:00"],
    )  # fmt: skip
    def test_with_odd_parameters_are_refused(self, client, channel, api_key, query):
        answer = get(client, f"orders?{query}", bearer=api_key)
        assert is_problem(answer, 400) or (answer.status_code == 200 and answer.json()["results"] == [])

    @pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
    def test_do_not_take_other_verbs(self, client, channel, api_key, verb):
        answer = client.generic(verb, "/api/v1/orders", headers={"Authorization": f"Bearer {api_key}"})
        assert is_problem(answer, 405)

    def test_answer_json_whatever_accept_says(self, client, channel, api_key):
        for accept in ("text/html", "application/xml", "*/*;q=0", "\x7f"):
            answer = client.get("/api/v1/orders", headers={"Authorization": f"Bearer {api_key}", "Accept": accept})
            assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


class TestRequestIds:
    """The caller's own id comes back; an id that could forge a log line does not."""

    @pytest.mark.parametrize(
        ("given_id", "kept"),
        [("order-1:a/b", True), ("a\nb", False), ("x" * 101, False), ("é", False), ("", False)],
    )
    def test_are_echoed_when_sensible(self, client, channel, api_key, given_id, kept):
        answer = client.get(
            "/api/v1/orders/none", headers={"Authorization": f"Bearer {api_key}", "X-Request-ID": given_id}
        )
        assert (answer["X-Request-ID"] == given_id) is kept
        assert answer.json()["request_id"] == answer["X-Request-ID"]


class TestPages:
    """Lists are pages by cursor: nothing twice, nothing missing, forwards and back."""

    def test_walk_all_orders_once(self, client, channel, api_key, settings):
        settings.ORDERS_PER_PLAYER_PER_MINUTE = 1000
        numbers = [make_order(client, api_key).order_no for _ in range(7)][::-1]
        page = get(client, "orders?limit=3", bearer=api_key).json()
        forwards, pages = [], 0
        while True:
            forwards += [order["order_no"] for order in page["results"]]
            pages += 1
            if page["next"] is None:
                break
            page = get(client, page["next"].partition("/api/v1/")[2], bearer=api_key).json()
        assert (forwards, pages) == (numbers, 3)
        page = get(client, page["previous"].partition("/api/v1/")[2], bearer=api_key).json()
        assert [order["order_no"] for order in page["results"]] == numbers[3:6]

    def test_filter_by_what_is_indexed(self, client, channel, api_key):
        wanted = make_order(client, api_key, uid="7")
        make_order(client, api_key, uid="8")
        for query in (
            "uid=7",
            f"client_ref={wanted.client_ref}",
            "uid=7&state=pending&delivery_state=none&channel_id=official",
        ):
            page = get(client, f"orders?{query}", bearer=api_key).json()
            assert [order["order_no"] for order in page["results"]] == [wanted.order_no]
