"""The scene of every evening: "I paid, but got nothing". A real browser, a real game server, a real click."""

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from channels_app.models import MerchantAccount
from fulfillment.models import Delivery, WebhookEndpoint, WebhookMessage
from orders.models import Order
from payments_site.people.roles import Role, permissions_of
from tests.casefile.test_delivering_again import in_game, refused
from tests.console.conftest import Shop
from tests.people.steps import authenticator_of, log_in, put
from tests.telling.conftest import buy, dispatching, server, servers, told, wait_for

__all__ = ["buy", "in_game", "refused", "server", "servers", "told"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "a long console password"


@pytest.fixture
def site(live_server, settings) -> str:
    settings.PUBLIC_BASE_URL = live_server.url
    return live_server.url


@pytest.fixture
def support(transactional_db) -> User:
    """A member of customer service."""
    person = User.objects.create_user("xiaozhou", password=PASSWORD, is_staff=True)
    for name in permissions_of(Role.SUPPORT):
        app, _dot, code = name.partition(".")
        person.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=code))
    return person


def copied(page) -> str:
    """What the clipboard holds."""
    return page.evaluate("navigator.clipboard.readText()")


def let_copy(browser, page, site) -> None:
    """As a person who works in this window: the browser lets it use the clipboard."""
    browser.run(
        browser.send(
            "Browser.grantPermissions", origin=site, browserContextId=page.context,
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        )
    )  # fmt: skip


class TestPaidButGotNothing:
    """From a pasted number to the goods: read the verdict, copy the reply, press once."""

    def test_support_finds_reads_replies_and_delivers_again(self, refused, server, support, browser, tab, site):
        page = tab()
        let_copy(browser, page, site)
        log_in(page, site, support, PASSWORD, authenticator_of(support))
        refused.refresh_from_db()
        put(page, "#look-up", refused.transaction_id)
        page.evaluate("document.querySelector('.look-up').requestSubmit()")
        page.until_text("已付款，货还没到，系统在重试")
        assert "沙盒订单，不是真钱" in page.text
        assert "游戏服拒收了 1 次（503 maintenance）" in page.text
        assert "安全：最多入账一次" in page.text
        page.until("document.querySelector('.can-copy') && document.readyState === 'complete'")
        page.click(".page-acts button.copy")
        wait_for(lambda: refused.order_no in copied(page))
        server.answer = 200
        page.click(".deed button[type=submit]")
        page.until_text("已再次发出")
        with dispatching():
            wait_for(lambda: Order.objects.get(pk=refused.pk).delivery_state == "delivered")
        page.goto(f"{site}/admin/orders/order/{refused.pk}/change/")
        page.until_text("已付款，已到账")
        assert "再次发货：同一通知，同一编号。" in page.text
        asked = server.of("delivery.requested")
        assert len({message.id for message in asked}) == 1
        assert [server.granted.count(message.id) for message in asked[:1]] == [1]
        assert Delivery.objects.filter(state="delivered").count() == 1

    def test_the_reply_is_copied_in_the_language_that_is_shown(
        self, refused, server, support, browser, tab, site
    ):  # fmt: skip
        MerchantAccount.objects.update(environment="production")
        account = MerchantAccount.objects.get()
        shop = Shop(refused.game, refused.channel, account, environment="production")
        order = shop.purchase("player7", "4200000000000000000000000077")
        page = tab(language="en")
        let_copy(browser, page, site)
        log_in(page, site, support, PASSWORD, authenticator_of(support))
        page.goto(f"{site}/admin/orders/order/{order.pk}/change/")
        assert page.evaluate("document.getElementById('reply-en').hidden")
        page.click(".reply button.copy")
        wait_for(lambda: copied(page).startswith("您好，"))
        page.click(".tab[lang=en]")
        page.until("document.getElementById('reply-zh').hidden")
        page.click(".reply button.copy")
        wait_for(lambda: copied(page).startswith("Hello, "))

    def test_without_script_everything_but_copying_works(self, refused, server, support, tab, site, browser):
        with_script = tab()
        log_in(with_script, site, support, PASSWORD, authenticator_of(support))
        page = with_script
        page._send("Emulation.setScriptExecutionDisabled", value=True)
        page._send("Page.navigate", url=f"{site}/admin/orders/order/{refused.pk}/change/")
        before = WebhookMessage.objects.order_by("pk").last().next_attempt_at
        page.until("document.querySelector('.deed form')")
        page.click(".deed button[type=submit]")
        wait_for(lambda: WebhookMessage.objects.order_by("pk").last().next_attempt_at < before)
        assert WebhookMessage.objects.order_by("pk").last().next_attempt_at <= timezone.now()
        assert WebhookEndpoint.objects.count() == 1


class TestSizes:
    """Verdict, acts, player, reply and timeline stand above the fold; on a phone nothing runs off the side."""

    def test_on_a_desktop(self, refused, support, tab, site):
        page = tab()
        log_in(page, site, support, PASSWORD, authenticator_of(support))
        page.goto(f"{site}/admin/orders/order/{refused.pk}/change/")
        for part in (".verdict", ".deeds", ".strip", ".reply"):
            assert page.evaluate(f"document.querySelector('{part}').getBoundingClientRect().bottom") <= 900, part
        assert page.evaluate("document.querySelector('.timeline').getBoundingClientRect().top") < 700

    def test_on_a_phone(self, refused, support, tab, site):
        page = tab(width=390, height=844, mobile=True)
        log_in(page, site, support, PASSWORD, authenticator_of(support))
        page.goto(f"{site}/admin/orders/order/{refused.pk}/change/")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("document.querySelector('.deed .button').getBoundingClientRect().width") > 250
