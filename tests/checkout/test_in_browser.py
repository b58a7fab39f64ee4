"""A real browser, a real server, a real (simulated) provider: what a player sees happen."""

import json
from urllib.parse import urlencode

import pytest

from fulfillment import streaming
from fulfillment.models import LedgerEntry
from orders.models import EventKind
from tests.browser import Browser, chromium
from tests.buying import make_order
from tests.checkout.conftest import Player
from tests.delivering.streams import connections, stream_server, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed (looked for chromium, google-chrome)"),
]


@pytest.fixture(scope="module")
def browser():
    with Browser(chromium()) as running:
        yield running


@pytest.fixture
def site(live_server, settings) -> str:
    """A server that providers can reach. Nobody streams: pages fall back to asking, and are answered at once."""
    settings.PUBLIC_BASE_URL = live_server.url
    settings.STREAM_BASE_URL = "http://127.0.0.1:9"
    settings.LONG_POLLS_AT_ONCE = 0
    return live_server.url


@pytest.fixture
def order(client, api_key, shop, site):
    """An order in a shop whose providers answer."""
    return make_order(client, api_key, role_id="霜降夜行", zone_id="3")


@pytest.fixture
def link(order, site) -> str:
    return link_to(order, site)


def link_to(order, site: str) -> str:
    player = Player(order)
    return f"{site}{player.path}?{urlencode({'token': player.token})}"


@pytest.fixture
def tab(browser, site):
    """Opens tabs; afterwards closes them, lets no fault of a page pass, and waits until the server is quiet."""
    pages = []

    def open_tab(**device):
        pages.append(browser.page(**device))
        return pages[-1]

    yield open_tab
    faults = [fault for page in pages for fault in page.faults]
    for page in pages:
        page.close()
    until(lambda: connections() == 0)
    assert faults == []


@pytest.fixture
def stream(transactional_db, monkeypatch):
    """The stream process, at another origin than the page."""
    monkeypatch.setattr(streaming, "IDLE_S", 0.05)
    with stream_server() as port:
        yield f"http://127.0.0.1:{port}"


def asked_for(page) -> str:
    """Every address the page's script has asked."""
    return page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name).join(' ')")


def assert_delivered_once(order) -> None:
    order.refresh_from_db()
    assert (order.state, order.delivery_state) == ("paid", "delivered")
    assert LedgerEntry.objects.filter(order_no=order.order_no, account="player").count() == 1


def choose(page, method: str) -> None:
    page.click(f"input[value={method}]")
    page.click(".bar button")


class TestOnADesktop:
    """A player scans a code; the page shows the goods by itself."""

    def test_alipay_qr_from_choosing_to_delivered(self, order, link, shop, tab):
        page = tab()
        page.goto(link)
        page.until_text("选择支付方式")
        choose(page, "alipay_qr")
        page.until_text("用支付宝扫一扫付款")
        assert "二维码 29 分" in page.text
        assert page.evaluate("document.querySelector('.qr-code').getBoundingClientRect().width") > 150
        shop.pay(order, "alipay")
        page.until_text("付款成功，已到账")
        assert "已发到区服「3」的角色「霜降夜行」" in page.text
        assert_delivered_once(order)

    def test_a_long_poll_brings_the_news_when_nobody_streams(self, order, link, shop, settings, tab):
        settings.LONG_POLLS_AT_ONCE = 2
        page = tab()
        page.goto(link)
        choose(page, "wechatpay_native")
        page.until_text("用微信扫一扫付款")
        shop.pay(order, "wechatpay")
        page.until_text("付款成功，已到账")
        assert "wait=25" in asked_for(page)
        assert_delivered_once(order)

    def test_the_stream_brings_the_news_at_once(self, client, api_key, site, shop, settings, tab, stream):
        settings.STREAM_BASE_URL = stream
        order = make_order(client, api_key)
        page = tab()
        page.goto(link_to(order, site))
        choose(page, "wechatpay_native")
        page.until_text("用微信扫一扫付款")
        shop.pay(order, "wechatpay")
        page.until_text("付款成功，已到账")
        assert f"{stream}/api/v1/orders/{order.order_no}/stream" in asked_for(page)
        assert "wait=" not in asked_for(page)
        assert_delivered_once(order)

    def test_i_have_paid_asks_although_no_notification_came(self, order, link, shop, tab):
        page = tab(language="en-GB")
        page.goto(link)
        choose(page, "wechatpay_native")
        page.until_text("Scan with WeChat to pay")
        page.click("form[data-action=result] button")
        page.until_text("Asked just now: not there yet")
        shop.pay(order, "wechatpay", notify="lost")
        page.click("form[data-action=result] button")
        page.until_text("Paid and delivered")
        assert order.events.filter(kind=EventKind.CLIENT_RESULT).count() == 2
        assert_delivered_once(order)

    def test_cancelling_asks_first(self, order, link, tab):
        page = tab()
        page.goto(link)
        page.click(".cancel a")
        page.until_text("要取消这笔订单吗")
        page.click("form[data-action=cancel] button")
        page.until_text("订单已取消")
        order.refresh_from_db()
        assert (order.state, order.cancel_reason) == ("cancelled", "player")

    def test_without_script_the_code_is_there_too(self, order, link, tab):
        page = tab(scripts=False)
        page.goto(link)
        choose(page, "alipay_qr")
        page.until_text("用支付宝扫一扫付款")
        assert page.evaluate("document.querySelector('.qr-code').getBoundingClientRect().width") > 150
        assert order.attempts.count() == 1


class TestOnAPhone:
    """A player goes to the provider's page and comes back to the goods."""

    @pytest.mark.parametrize("method", ["alipay_wap", "wechatpay_h5"])
    def test_there_and_back(self, order, link, shop, tab, method):
        page = tab(width=390, height=844, mobile=True)
        page.goto(link)
        assert page.evaluate("innerHeight - document.querySelector('.bar').getBoundingClientRect().bottom") == 0
        choose(page, method)
        page.until(f"location.href.startsWith({json.dumps(shop.url)})", "the cashier's page")
        page.click("button.main")
        page.until_text("付款成功，已到账")
        assert page.address.partition("?")[0] == link.partition("?")[0]
        assert_delivered_once(order)

    def test_back_without_paying_waits_and_offers_another_way(self, order, link, shop, tab):
        page = tab(width=390, height=844, mobile=True)
        page.goto(link)
        choose(page, "wechatpay_h5")
        page.until(f"location.href.startsWith({json.dumps(shop.url)})", "the cashier's page")
        page.click("button[formaction$=cancel]")
        page.until_text("等待付款结果")
        page.until_text("刚问过，还没收到")
        page.click("a.button-plain")
        page.until_text("选择支付方式")
        assert page.evaluate("document.querySelector('input:checked').value") == "wechatpay_h5"
        assert order.attempts.count() == 1


class TestWhenThingsAreSlow:
    """A provider that does not answer is named, and the player can go on with another."""

    def test_another_method_is_offered(self, client, api_key, wechat_account, alipay_account, site, tab):
        order = make_order(client, api_key)
        page = tab()
        page.goto(link_to(order, site))
        choose(page, "alipay_qr")
        page.until_text("支付宝现在没有回应")
        assert "当前较慢，可能需要等待" in page.text
        assert page.evaluate("document.querySelector('input:checked').value") != "alipay_qr"
        assert page.evaluate("document.querySelector('.bar button').textContent") == "付款 ¥6.00"
