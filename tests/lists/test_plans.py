"""What a list costs: every list, filter, search, page, count and look-up is answered through an index.

The filters are read from the lists themselves, so that a new one is covered on the day it is written.
"""

import itertools
import json
import re
from copy import copy
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from channels_app.console.filters import PeriodFilter, TextFilter, ViewsFilter
from channels_app.console.pages import ReadOnlyAdmin
from orders.models import Order
from tests.console.conftest import PASSWORD, list_of
from tests.lists import crowd

pytestmark = pytest.mark.django_db

BIG = 10_000
# What may be typed into a filter that offers no choices.
TYPED = {"amount": ("6.00", "100-648"), "zone": ("3", "nowhere")}
PERIODS = ({}, {"period": "last_month"}, {"from": "2020-01-01", "to": "2020-03-01"}, {"period": "any"})


@pytest.fixture(scope="module")
def shop(django_db_setup, django_db_blocker):
    """The crowded shop, for all tests of this module."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield crowd.build()
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def browser(shop):
    """Somebody who may see everything."""
    client = Client(HTTP_ACCEPT_LANGUAGE="en")
    client.force_login(User.objects.create_superuser("planner", password=PASSWORD))
    return client


@pytest.fixture(scope="module")
def big(shop) -> set[str]:
    """The tables that are too long to be read whole."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [BIG])
        return {name for (name,) in cursor.fetchall()}


def long_lists(big):
    return [model for model in admin.site._registry if model._meta.db_table in big]


def scans(queries, big) -> list[str]:
    """The statements that read a long table from one end to the other."""
    found = []
    for sql in dict.fromkeys(query["sql"] for query in queries):
        if not re.match(r"\s*(SELECT|WITH)\b", sql) or not any(table in sql for table in big):
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + sql.replace("%", "%%"), [])
            plan = "\n".join(line for (line,) in cursor.fetchall())
        read_whole = set(re.findall(r"Seq Scan on (\w+)", plan)) & big
        if read_whole:
            found.append(f"{sorted(read_whole)}\n{sql}\n{plan}")
    return found


def look(browser, address, big, **query):
    """Open a page; the statements of it that scan, and what it says."""
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(address, query)
    assert answer.status_code in (200, 302), (address, query)
    return scans(captured.captured_queries, big), answer


def narrow(request, model, big, **query):
    """What a list asks the database for its rows and its counts, without the page around them: what scans."""
    asked = copy(request)
    asked.GET = QueryDict(urlencode(query))
    with CaptureQueriesContext(connection) as captured:
        listed = admin.site.get_model_admin(model).get_changelist_instance(asked)
        assert listed.view_chips is not None
    return scans(captured.captured_queries, big)


@pytest.fixture(scope="module")
def request_of_staff(browser):
    """A request of somebody who may see everything."""
    request = browser.get(list_of(Order)).wsgi_request
    assert request.user.is_superuser
    return request


def values_of(item, request, model):
    """Everything one filter of a list can be set to."""
    if issubclass(item, PeriodFilter):
        return [
            {item.parameter_name: name} for name in ("today", "yesterday", "7days", "30days", "month", "last_month")
        ]
    if issubclass(item, TextFilter):
        return [{item.parameter_name: text} for text in TYPED[item.parameter_name]]
    spec = item(request, {}, model, admin.site.get_model_admin(model))
    return [{item.parameter_name: str(value)} for value, _label in spec.lookup_choices]


class TestLists:
    """At any length of its table a list answers at once, whatever it is narrowed to."""

    def test_every_table_of_history_is_long_here(self, shop, big):
        histories = {
            model._meta.db_table
            for model, model_admin in admin.site._registry.items()
            if isinstance(model_admin, ReadOnlyAdmin)
            and any(isinstance(item, type) and issubclass(item, PeriodFilter) for item in model_admin.list_filter)
        }
        assert histories - big == set()

    def test_no_list_scans_its_table(self, browser, big):
        for model in long_lists(big):
            found, answer = look(browser, list_of(model), big)
            assert found == [], model
            listed = answer.context["cl"]
            for address in (listed.older_address, listed.newer_address):
                if address:
                    assert look(browser, list_of(model) + address, big)[0] == [], model

    def test_no_filter_scans_its_table(self, request_of_staff, big):
        tried = 0
        for model in long_lists(big):
            filters = admin.site.get_model_admin(model).list_filter
            bounded = any(issubclass(item, PeriodFilter) for item in filters)
            for item in filters:
                periods = (PERIODS if issubclass(item, ViewsFilter) else PERIODS[:2]) if bounded else ({},)
                for value, period in itertools.product(values_of(item, request_of_staff, model), periods):
                    found = narrow(request_of_staff, model, big, **{**period, **value})
                    assert found == [], (model, value, period)
                    tried += 1
        assert tried > 100

    def test_no_two_filters_together_scan(self, request_of_staff, big):
        for view, other in itertools.product(
            ("attention", "undelivered", "awaiting", "refunded", "clawback", "cancelled"),
            ({"amount": "999"}, {"zone": "9"}, {"by": "paid"}, {"product": "gems60", "method": "wechatpay_app"}),
        ):
            for period in ({}, {"period": "last_month"}):
                found = narrow(request_of_staff, Order, big, view=view, **other, **period)
                assert found == [], (view, other, period)

    def test_counts_scan_nothing_either(self, browser, big):
        for query in ({}, {"view": "cancelled", "period": "last_month"}, {"amount": "999"}):
            listed = browser.get(list_of(Order), query).context["cl"]
            with CaptureQueriesContext(connection) as captured:
                assert listed.paginator.count >= 0
            assert scans(captured.captured_queries, big) == []

    def test_no_search_scans_a_table(self, browser, big, shop):
        for model in long_lists(big):
            for term in ("nothing-like-it", "uid77", shop.bought.order_no, shop.bought.transaction_id):
                found, _answer = look(browser, list_of(model), big, q=term)
                assert found == [], (model, term)


class TestLookUp:
    """The box at the top of every page asks indexes alone."""

    @pytest.mark.parametrize("term", ["uid77", "role77", "4200000000000000000000012345", "nothing-like-it", "C" * 30])
    def test_scans_nothing(self, browser, big, term):
        found, _answer = look(browser, "/admin/look-up/", big, q=term)
        assert found == []

    def test_nor_does_a_search_by_amount_and_time(self, browser, big):
        for at, who in (("2026-01-01T12:00", ""), ("2026-01-01T12:00", "uid77")):
            query = {"amount": "6", "at": at, "minutes": "720", "who": who}
            found, answer = look(browser, "/admin/look-up/by-amount/", big, **query)
            assert found == []
            assert answer.status_code == 200


class TestPeriods:
    """A period of long ago is read from where it begins, and holds exactly its own rows."""

    @pytest.mark.parametrize("column", ["created_at", "paid_at"])
    def test_holds_exactly_its_rows(self, browser, shop, column):
        with connection.cursor() as cursor:
            cursor.execute("SELECT (max(created_at) - interval '200 days')::date::text FROM orders_order")
            (day,) = cursor.fetchone()
            cursor.execute(
                f"SELECT id FROM orders_order WHERE {column} >= %s::timestamp AT TIME ZONE 'Asia/Shanghai' AND"
                f" {column} < (%s::timestamp + interval '3 days') AT TIME ZONE 'Asia/Shanghai' ORDER BY id DESC",
                [day, day],
            )
            wanted = [key for (key,) in cursor.fetchall()]
            cursor.execute("SELECT (%s::date + 2)::text", [day])
            (last,) = cursor.fetchone()
        query = {"from": day, "to": last, "size": "100", **({"by": "paid"} if column == "paid_at" else {})}
        shown, address = [], f"{list_of(Order)}?{urlencode(query)}"
        while address:
            listed = browser.get(address).context["cl"]
            shown += [row.pk for row in listed.result_list]
            address = listed.older_address and list_of(Order) + listed.older_address
        assert len(wanted) > 100
        assert shown == wanted

    def test_reads_hardly_more_than_its_page(self, browser, shop):
        listed = browser.get(list_of(Order), {"period": "last_month"}).context["cl"]
        plan = json.loads(listed.queryset[:19].explain(format="json", analyze=True))
        assert _rows_read(plan[0]["Plan"]) < 2_000


def _rows_read(node) -> int:
    here = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return max([here, *(_rows_read(child) for child in node.get("Plans", []))])
