"""Finance and customer service in a real browser: revenue that leads to its orders, a file that arrives, a door that
stays shut and says so.
"""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from channels_app.models import AuditEntry
from payments_site.people.roles import install
from tests.revenue.conftest import Till

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def colleague(tab_of, game):
    """`colleague("finance", language="zh-CN")`: a tab of somebody of that role."""
    install(Group, Permission)  # tests on real transactions empty all tables

    def open_tab(role, **device):
        person = User.objects.create_user(role, is_staff=True)
        person.groups.add(Group.objects.get(name=role))
        return tab_of(person, **device)

    return open_tab


@pytest.fixture
def sold(game) -> list:
    """Three orders of today, real money."""
    till = Till(game)
    now = timezone.now()
    return [till.sell(now, uid=f"p{number}") for number in range(3)]


class TestRevenue:
    """A figure of the revenue page is the sum of the orders behind it, one click away."""

    @pytest.mark.parametrize(("language", "total"), [("en", "Total"), ("zh-CN", "合计")])
    def test_leads_to_exactly_its_orders(self, sold, colleague, language, total):
        page = colleague("finance", language=language)
        page.goto(f"{page.site}/admin/revenue/?period=today")
        page.until_text(total)
        assert "¥18.00" in page.text
        page.evaluate("document.querySelector('table a[href*=\"/orders/order/\"]').click()")
        page.until("location.pathname.endsWith('/orders/order/')", "the orders behind the figure")
        page.until("document.querySelectorAll('#result_list tbody tr').length === 3", "those three")


class TestExport:
    """Finance takes a list away as a file, and it is written down who did."""

    def test_says_what_will_be_in_it_and_sends_it(self, sold, game, colleague):
        page = colleague("finance")
        page.goto(f"{page.site}/admin/orders/order/?books={game.pk}.production&period=today")
        page.evaluate('document.querySelector(\'.page-acts a[href*="export"], a[href*="/export/"]\').click()')
        page.until("document.querySelector('#content form [name=kind]')", "the page that asks")
        # What the form would send, taken as the browser would: a download leaves no page behind.
        text = page.evaluate(
            "(async () => { const form = document.querySelector('#content form');"
            " const answer = await fetch(form.action || location.href,"
            " {method: 'POST', body: new URLSearchParams(new FormData(form))});"
            " return answer.headers.get('Content-Type') + '\\n' + await answer.text(); })()"
        )
        assert text.startswith("text/csv")
        assert all(order.order_no in text for order in sold)
        assert text.rstrip().endswith("文件结束")
        assert AuditEntry.objects.filter(action="export", actor="finance").count() == 1


class TestRefusals:
    """What a role may not see is refused at the door, not only left out of the menu, and the try is written down."""

    @pytest.mark.parametrize("address", ["/admin/revenue/", "/admin/exports/", "/admin/channels_app/auditentry/"])
    def test_customer_service_is_kept_out(self, sold, colleague, address):
        page = colleague("support", language="zh-CN")
        page.goto(f"{page.site}/admin/")
        assert page.evaluate(f"document.querySelector('#nav-sidebar a[href=\"{address}\"]') === null")
        assert "各渠道实收" not in page.text
        page.goto(page.site + address)
        assert "403" in page.text
        assert [fault for fault in page.faults if "403" not in fault] == []
        page.faults.clear()  # the refusal itself
        assert "¥18.00" not in page.text
        assert AuditEntry.objects.filter(action="refused", actor="support").count() == 1
