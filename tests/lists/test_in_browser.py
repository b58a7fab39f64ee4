"""A real browser on the list: narrow it, leaf through it, act on what it finds, look at the results."""

import itertools

import pytest
from django.contrib.auth.models import User

from orders.jobs import run_due_jobs
from orders.models import Order

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def tab(tab_of):
    """A tab of somebody who may do everything."""
    people = itertools.count(1)
    return lambda **device: tab_of(User.objects.create_superuser(f"lin{next(people)}"), **device)


def rows(page) -> int:
    return page.evaluate("document.querySelectorAll('#result_list tbody tr').length")


class TestList:
    """What people do all day works with mouse and keyboard, and without a script too."""

    @pytest.fixture
    def thirty(self, shop):
        orders = [shop.order(f"player{number}") for number in range(30)]
        for order in orders[:3]:
            shop.attempt(order)
        return orders

    def test_from_the_list_to_the_results(self, thirty, tab):
        page = tab()
        page.goto(f"{page.site}/admin/orders/order/")
        assert rows(page) == 18
        page.click("a[rel=next]")
        page.until("document.querySelectorAll('#result_list tbody tr').length === 12", "the older page")
        page.click("a[rel=prev]")
        page.until("document.querySelectorAll('#result_list tbody tr').length === 18", "the newest page")
        page.evaluate(
            "(() => { const field = document.querySelector('.list-selects [name=amount]'); field.value = '6';"
            " field.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )
        page.until("location.search.includes('amount=6')", "the filter to be sent as soon as it is chosen")
        page.click("[data-tick-all]")
        page.until_text("ticked: 18")
        page.evaluate("document.querySelector('#bulk-act').value = 'ask'")
        page.click("button[name=of][value=filter]")
        page.until_text("Of 30 orders 3 would be acted on; 27 would be left alone.")
        page.evaluate("document.querySelector('#id_reason').value = 'provider was silent, ticket 7'")
        page.click(".bulk-form button[type=submit]")
        page.until("/\\/bulk\\/.+/.test(location.pathname)", "the page of results")
        run_due_jobs()
        page.goto(page.address)
        page.until_text("30 of 30 orders")
        assert Order.objects.filter(state="pending").count() == 30

    def test_without_a_script(self, thirty, tab):
        page = tab(scripts=False)
        page.goto(f"{page.site}/admin/orders/order/")
        page.click(".list-selects button[type=submit]")
        page.until("location.search !== '' && document.querySelector('#result_list')", "the list again")
        page.click(".own-days summary")
        page.click(".own-days button[type=submit]")
        page.until("location.search.includes('period=custom')", "days of one's own")
        assert rows(page) == 18

    def test_the_slash_key_leads_to_the_box_and_the_box_to_the_page(self, thirty, tab):
        page = tab()
        page.goto(f"{page.site}/admin/orders/order/")
        for kind in ("keyDown", "keyUp"):
            page._send("Input.dispatchKeyEvent", type=kind, key="/", text="/" if kind == "keyDown" else "")
        assert page.evaluate("document.activeElement.id") == "look-up"
        page._send("Input.insertText", text=f" {thirty[0].order_no} ")
        for kind in ("keyDown", "keyUp"):
            page._send(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )
        page.until(f"location.pathname.endsWith('/order/{thirty[0].pk}/change/')", "the order's page")
