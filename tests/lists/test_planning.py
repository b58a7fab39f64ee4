"""Pages and folding are planned for the values they ask for: a plan for any value reads millions of rows for a rare one."""

import pytest
from django.db import connection

from orders.revenue.folding import fold_some, look
from tests.revenue.conftest import Till, at

pytestmark = pytest.mark.django_db(transaction=True)
# PostgreSQL considers a plan for any value from the sixth time on.
OFTEN = 12


def prepared(about: str) -> list[tuple[str, int]]:
    """What this connection has prepared about a table, and how often it was planned for any value."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT left(statement, 80), generic_plans FROM pg_prepared_statements WHERE statement LIKE %s",
            [f"%{about}%"],
        )
        return cursor.fetchall()


class TestAPageThatIsOpenedOften:
    """The hundredth look at a list costs what the first one did."""

    @pytest.mark.parametrize("table", ["fulfillment_delivery", "orders_order"])
    def test_is_planned_anew_each_time(self, busy_shop, staff, table):
        app, _underscore, name = table.partition("_")
        browser = staff(superuser=True)
        for _time in range(OFTEN):
            assert browser.get(f"/admin/{app}/{name}/").status_code == 200
        assert prepared(f'FROM "{table}"') == []

    def test_while_the_paths_of_every_purchase_keep_theirs(self, busy_shop, api_key, client):
        for _time in range(OFTEN):
            path = f"/api/v1/orders/{busy_shop.bought.order_no}"
            assert client.get(path, headers={"Authorization": f"Bearer {api_key}"}).status_code == 200
        assert prepared("orders_order") != []


class TestFoldingForYears:
    """Each chunk reads its own orders, however many there are beside them."""

    def test_no_chunk_is_planned_for_any_numbers(self, game):
        till = Till(game)
        for number in range(OFTEN):
            till.sell(at("2026-03-01 12:00"), uid=f"p{number}")
            while fold_some(seen=look()) is not None:
                pass
        folds = prepared("orders_revenuehour")
        assert folds
        assert [generic for _statement, generic in folds] == [0] * len(folds)
