"""Finding: one box, every number, exactly, and never by reading a whole table."""

import pytest
from django.db import connection
from django.test import RequestFactory

from channels_app.console.lists import keys_of
from channels_app.models import Notification
from fulfillment.models import Delivery, GameEvent, LedgerEntry, Player, WebhookMessage
from orders.finding import order_places
from orders.models import Case, Order, Payment, PaymentAttempt
from tests.console.conftest import list_of


def found(browser, model, term, **more):
    """The primary keys a list shows for a search."""
    answer = browser.get(list_of(model), {"q": term, **more})
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


class TestOneBox:
    """Paste any number into the order list: exactly its order comes up."""

    @pytest.fixture
    def crowd(self, busy_shop):
        """Others whose numbers look alike."""
        for number in range(20):
            busy_shop.purchase(f"player1{number}", f"42000000000000000000000000010{number}")
        return busy_shop

    @pytest.mark.parametrize("number", ["order_no", "client_ref", "transaction_id", "uid"])
    def test_finds_by_the_orders_own_numbers(self, crowd, staff, number):
        browser = staff("orders.view_order")
        assert found(browser, Order, getattr(crowd.bought, number)) == {crowd.bought.pk}

    def test_finds_by_a_later_attempts_number(self, crowd, staff):
        again = crowd.attempt(crowd.waiting, attempt_no=crowd.waiting.order_no + "02")
        assert found(staff("orders.view_order"), Order, again.attempt_no) == {crowd.waiting.pk}

    def test_finds_by_the_transaction_of_money_that_is_held(self, crowd, staff):
        browser = staff("orders.view_order")
        assert found(browser, Order, "4200000000000000000000000002") == {crowd.waiting.pk}

    def test_finds_every_order_of_a_player(self, crowd, staff):
        more = {crowd.order("player1").pk for _ in range(3)}
        assert found(staff("orders.view_order"), Order, " player1 ") == {crowd.bought.pk, *more}

    @pytest.mark.parametrize(
        "term", ["player", "PLAYER1", "%", "player1%", "_layer1", "420000000000000000000000000", "\\"]
    )
    def test_finds_nothing_by_half_a_number(self, crowd, staff, term):
        assert found(staff("orders.view_order"), Order, term) == set()

    @pytest.mark.parametrize("term", ["\x00", "x" * 5000, "订单", "' OR 1=1 --"])
    def test_bears_any_input(self, crowd, staff, term):
        assert staff("orders.view_order").get(list_of(Order), {"q": term}).status_code == 200


class TestOtherLists:
    """The other lists are searched the same way."""

    def test_by_order_number(self, busy_shop, staff):
        browser = staff(superuser=True)
        order = busy_shop.bought
        assert found(browser, PaymentAttempt, order.order_no) == {order.attempts.get().pk}
        assert found(browser, Payment, order.order_no) == {order.payments.get().pk}
        assert found(browser, Delivery, order.order_no) == {order.deliveries.get().pk}
        assert len(found(browser, LedgerEntry, order.order_no)) == 2
        assert len(found(browser, GameEvent, order.order_no)) == 2
        assert len(found(browser, WebhookMessage, order.order_no)) == 2
        assert len(found(browser, Notification, order.order_no)) == 1

    def test_by_player(self, busy_shop, staff):
        browser = staff(superuser=True)
        assert found(browser, Player, "player1") == {Player.objects.get().pk}
        assert found(browser, Delivery, "player1") == {Delivery.objects.get().pk}
        assert len(found(browser, LedgerEntry, "player1")) == 1

    def test_cases_by_the_order_the_player_or_the_transaction(self, busy_shop, staff):
        browser = staff(superuser=True)
        for term in (busy_shop.waiting.order_no, "player2", "4200000000000000000000000002"):
            assert found(browser, Case, term) == {Case.objects.get().pk}
        assert found(browser, Case, busy_shop.bought.order_no) == set()


def multiply(row, times: int, **changed: str) -> None:
    """Insert copies of a row; `changed` gives columns as SQL over `n`, the number of the copy."""
    table = row._meta.db_table
    columns = [field.column for field in row._meta.concrete_fields if not field.primary_key]
    chosen = ", ".join(changed.get(column, f"row.{column}") for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)})"
            f" SELECT {chosen} FROM {table} row, generate_series(1, %s) n WHERE row.{row._meta.pk.column} = %s",
            [times, row.pk],
        )
        cursor.execute(f"ANALYZE {table}")


@pytest.fixture
def many_orders(busy_shop):
    """Three thousand orders of many players, and statistics that know of them."""
    multiply(
        busy_shop.order("template"),
        3000,
        order_no="'20260101G' || lpad(n::text, 21, '0')",
        client_ref="'many-' || n",
        uid="'uid' || mod(n, 500)",
    )
    return busy_shop


@pytest.fixture
def many_payments(many_orders):
    """As many attempts, and payments that are held."""
    multiply(many_orders.waiting.attempts.get(), 3000, attempt_no="'20260101G' || lpad(n::text, 21, '0')")
    multiply(many_orders.waiting.payments.get(), 3000, transaction_id="'many' || n")
    return many_orders


def plan(queryset) -> str:
    return queryset.explain()


class TestPlans:
    """No list and no search reads the whole table of orders."""

    def test_the_default_list_walks_the_primary_key(self, many_orders):
        from django.contrib import admin

        request = RequestFactory().get("/admin/orders/order/")
        request.user = None
        rows = Order.objects.order_by(*admin.site.get_model_admin(Order).get_ordering(request))[:50]
        assert "orders_order_pkey" in plan(rows)

    def test_every_place_of_the_search_is_answered_by_an_index(self, many_payments):
        names = (
            "orders_order_order_no", "order_client_ref_once", "order_player", "order_role", "order_transaction",
            "attempt_no_once_per_account", "payment_transaction",
        )  # fmt: skip
        for place, name in zip(order_places("20260101G000000000000000000007"), names, strict=True):
            said = plan(keys_of(place))
            assert name in said, said
            assert "Seq Scan" not in said, said

    def test_the_page_of_what_was_found_is_read_by_key(self, many_orders):
        keys = list(Order.objects.order_by("-pk").values_list("pk", flat=True)[:40])
        assert "Seq Scan" not in plan(Order.objects.filter(pk__in=keys).order_by("-pk")[:50])


class TestMessages:
    """Messages that wait, and those that were given up, are found among millions that were delivered."""

    @pytest.fixture
    def many_messages(self, busy_shop):
        """Three thousand messages of three thousand events were delivered; a few wait, a few were given up."""
        message = WebhookMessage.objects.order_by("pk").first()
        multiply(message.event, 3000, event_id="'many-' || n")
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO fulfillment_webhookmessage"
                " (event_id, endpoint_id, state, attempts, delivered_at, created_at, last_error)"
                " SELECT e.seq, %s, CASE WHEN e.event_id LIKE '%%500' THEN 'parked' ELSE 'delivered' END, 1, now(), now(),"
                " '' FROM fulfillment_gameevent e WHERE e.event_id LIKE 'many-%%'",
                [message.endpoint_id],
            )
            cursor.execute("ANALYZE fulfillment_webhookmessage")
        return busy_shop

    @pytest.mark.parametrize(("state", "index"), [("waiting", "message_due"), ("parked", "message_parked")])
    def test_are_listed_through_an_index(self, many_messages, staff, state, index):
        answer = staff("fulfillment.view_webhookmessage", "orders.list_orders").get(
            list_of(WebhookMessage), {"untold": state}
        )
        listed = answer.context["cl"]
        assert listed.paginator.count == WebhookMessage.objects.filter(state=state).count() > 0
        assert {row.state for row in listed.result_list} == {state}
        said = plan(listed.queryset[:50])
        assert index in said, said
        assert "Seq Scan on fulfillment_webhookmessage" not in said, said
