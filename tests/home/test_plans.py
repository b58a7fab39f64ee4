"""What the first page costs: however long the tables are, it reads small indexes and short runs of keys."""

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Max
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orders.models import OrderEvent, RevenueCursor
from tests.console.conftest import PASSWORD
from tests.lists import crowd
from tests.lists.test_plans import BIG, scans

# Without a test that says so no test database is made, and the crowd would be built in the developer's own.
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def shop(django_db_setup, django_db_blocker):
    """The crowded shop, for all tests of this module."""
    with django_db_blocker.unblock(), transaction.atomic():
        crowded = crowd.build()
        newest = OrderEvent.objects.aggregate(newest=Max("pk"))["newest"]
        RevenueCursor.objects.update_or_create(pk=1, defaults={"folded_to": newest, "seen_to": newest})
        yield crowded
        transaction.set_rollback(True)


class TestFirstPage:
    """At any length of the tables the first page comes at once."""

    def test_scans_no_long_table(self, shop):
        with connection.cursor() as cursor:
            cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [BIG])
            big = {name for (name,) in cursor.fetchall()}
        assert "orders_order" in big
        browser = Client(HTTP_ACCEPT_LANGUAGE="en")
        browser.force_login(User.objects.create_superuser("planner", password=PASSWORD))
        for environment in ("production", "sandbox"):
            browser.post("/admin/scope/", {"game": str(shop.game.pk), "environment": environment})
            with CaptureQueriesContext(connection) as captured:
                response = browser.get("/admin/")
            assert response.status_code == 200
            assert response.context["home"].speed is not None
            assert scans(captured.captured_queries, big) == []
            assert len(captured) < 80
