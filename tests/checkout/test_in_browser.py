"""A real browser, a real server, a real (simulated) provider: what a player sees happen."""

import json
from urllib.parse import urlencode

import pytest

from fulfillment import streaming
from fulfillment.delivering import confirm
from fulfillment.endpoints import set_endpoint
from fulfillment.models import Delivery, DeliveryMode, DeliveryPolicy, LedgerEntry
from orders.models import EventKind
from tests.buying import attempt_at, make_order, settle
from tests.checkout.conftest import WECHAT, Player
from tests.delivering.streams import connections, stream_server, until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(live_server, settings):
    """A server that providers can reach. Nobody streams: pages fall back to asking, and are answered at once."""
    settings.PUBLIC_BASE_URL = live_server.url
    settings.STREAM_BASE_URL = "http://127.0.0.1:9"
    settings.LONG_POLLS_AT_ONCE = 0
    yield live_server.url
    until(lambda: connections() == 0)


@pytest.fixture
def tab(site, tab):
    """Its pages are closed before the server is waited for to be quiet."""
    return tab


@pytest.fixture
def order(client, api_key, site, shop):
    """An order in a shop whose providers answer."""
    return make_order(client, api_key, role_id="霜降夜行", zone_id="3")


@pytest.fixture
def link(order, site) -> str:
    return link_to(order, site)


def link_to(order, site: str) -> str:
    player = Player(order)
    return f"{site}{player.path}?{urlencode({'token': player.token})}"


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


def press_key(page, key: str, code: int, **more: object) -> None:
    """One key of the keyboard, down and up."""
    about = {"key": key, "windowsVirtualKeyCode": code, **more}
    page._send("Input.dispatchKeyEvent", type="keyDown", **about)
    page._send("Input.dispatchKeyEvent", type="keyUp", **about)


def focused(page) -> str:
    """The words of what has the keyboard."""
    return page.evaluate("document.activeElement.textContent.trim()")


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


class TestInsideWeChat:
    """WeChat's own bridge takes the money when the game's link names the player; what it says is only a hint."""

    def test_the_bridge_gets_what_it_needs_and_the_goods_arrive(self, order, link, shop, tab):
        page = tab(width=390, height=844, mobile=True)
        page._send("Emulation.setUserAgentOverride", userAgent=WECHAT, acceptLanguage="zh-CN")
        page.goto(f"{link}&openid=oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
        page.evaluate("window.WeixinJSBridge = { invoke(...asked) { window.asked = asked; } }; 0")
        choose(page, "wechatpay_jsapi")
        page.until("window.asked", "the bridge to be asked")
        assert page.evaluate("window.asked[0]") == "getBrandWCPayRequest"
        assert page.evaluate("Object.keys(window.asked[1]).sort().join(' ')") == (
            "appId nonceStr package paySign signType timeStamp"
        )
        shop.pay(order, "wechatpay")
        page.evaluate("window.asked[2]({ err_msg: 'get_brand_wcpay_request:ok' })")
        page.until_text("付款成功，已到账")
        assert_delivered_once(order)

    def test_giving_up_leaves_the_choice_and_says_nothing_of_money(self, order, link, shop, tab):
        page = tab(width=390, height=844, mobile=True)
        page._send("Emulation.setUserAgentOverride", userAgent=WECHAT, acceptLanguage="zh-CN")
        page.goto(f"{link}&openid=oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
        page.evaluate("window.WeixinJSBridge = { invoke(...asked) { window.asked = asked; } }; 0")
        choose(page, "wechatpay_jsapi")
        page.until("window.asked", "the bridge to be asked")
        page.evaluate("window.asked[2]({ err_msg: 'get_brand_wcpay_request:cancel' })")
        page.until("document.querySelector('.bar button').getAttribute('aria-busy') === null", "the button to be free")
        assert "选择支付方式" in page.text
        order.refresh_from_db()
        assert order.state == "pending"


class TestFromChoiceToGoods:
    """On a desktop and on a phone, in both languages, through the provider's own page and back to the goods."""

    @pytest.mark.parametrize(
        ("language", "button", "goods"),
        [("zh-CN", "付款 ¥6.00", "付款成功，已到账"), ("en-GB", "Pay ¥6.00", "Paid and delivered")],
    )
    @pytest.mark.parametrize(
        ("device", "method"),
        [({}, "alipay_page"), ({"width": 390, "height": 844, "mobile": True}, "wechatpay_h5")],
    )
    def test_is_one_purchase(self, game, order, link, shop, tab, device, method, language, button, goods):
        game.return_url = "mygame://back?order={order_no}"
        game.save()
        page = tab(language=language, **device)
        page.goto(link)
        assert page.evaluate("document.querySelector('.bar button').textContent") == button
        choose(page, method)
        page.until(f"location.href.startsWith({json.dumps(shop.url)})", "the cashier's page")
        page.click("button.main")
        page.until_text(goods)
        assert "+60" in page.text
        assert "+6" in page.text
        back = page.evaluate("document.querySelector('a.button').href")
        assert back == f"mygame://back?order={order.order_no}"
        assert_delivered_once(order)

    def test_without_script_the_page_looks_again_by_itself(self, order, link, shop, tab):
        page = tab(language="en-GB", scripts=False, width=390, height=844, mobile=True)
        page.goto(link)
        choose(page, "alipay_wap")
        page.until(f"location.href.startsWith({json.dumps(shop.url)})", "the cashier's page")
        page.click("button.main")
        page.until_text("Paid and delivered")
        assert_delivered_once(order)


class TestByForm:
    """UnionPay takes the browser by a form and brings it back by another; between them is its own page."""

    @pytest.mark.parametrize(
        ("device", "scripts", "language", "goods"),
        [
            ({}, True, "zh-CN", "付款成功，已到账"),
            ({"width": 390, "height": 844, "mobile": True}, True, "en-GB", "Paid and delivered"),
            ({}, False, "en-GB", "Paid and delivered"),
        ],
    )
    def test_there_and_back_to_the_goods(self, order, link, shop, tab, device, scripts, language, goods):
        page = tab(scripts=scripts, language=language, **device)
        page.goto(link)
        choose(page, "unionpay_gateway")
        if not scripts:
            page.click("form[data-leave] button")
        page.until(f"location.href === {json.dumps(shop.url + '/gateway/api/frontTransReq.do')}", "UnionPay's page")
        page.click("button.main")  # pay
        page.until("document.querySelector('form[action*=checkout]') !== null", "the way back")
        page.click("button.main")
        if not scripts:
            page.until_text("Waiting for your payment")
            page.click("form[data-action=result] button")  # as the worker would ask by itself
        page.until_text(goods)
        assert page.address.partition("?")[0] == link.partition("?")[0]
        assert order.attempts.count() == 1
        assert_delivered_once(order)

    def test_the_back_button_leads_to_the_choice(self, order, link, shop, tab):
        page = tab()
        page.goto(link)
        choose(page, "unionpay_gateway")
        page.until(f"location.href.startsWith({json.dumps(shop.url)})", "UnionPay's page")
        page.evaluate("history.back()")
        page.until_text("选择支付方式")
        assert page.evaluate("document.querySelector('input:checked').value") == "unionpay_gateway"


class TestByCard:
    """A card is typed on Stripe's page and never on ours; a declined one loses nothing."""

    @pytest.fixture
    def order(self, client, api_key, game, site, shop):
        """An order in dollars."""
        game.products.get().prices.create(currency="USD", amount_minor=99)
        return make_order(client, api_key, currency="USD")

    @pytest.mark.parametrize(
        ("device", "language", "button", "goods"),
        [
            ({}, "en-GB", "Pay $0.99", "Paid and delivered"),
            ({"width": 390, "height": 844, "mobile": True}, "zh-CN", "付款 $0.99", "付款成功，已到账"),
        ],
    )
    def test_there_and_back_to_the_goods(self, order, link, shop, tab, device, language, button, goods):
        page = tab(language=language, **device)
        page.goto(link)
        assert page.evaluate("document.querySelector('.bar button').textContent") == button
        choose(page, "stripe_card")
        page.until(f"location.href.startsWith({json.dumps(shop.url)})", "Stripe's page")
        page.click("button[formaction$=decline]")
        page.until("document.querySelector('[role=alert]') !== null", "the refusal of the card")
        page.click("button.main")
        page.until_text(goods)
        assert page.address.partition("?")[0] == link.partition("?")[0]
        assert order.attempts.count() == 1
        assert_delivered_once(order)


class TestPaidAndNotArrived:
    """Who has paid and waits may have the goods tried now; when they arrive the page shows them by itself."""

    @pytest.fixture
    def order(self, client, api_key, game, wechat_account, site):
        """Paid; the game server has to grant the goods and has not been told yet."""
        DeliveryPolicy.objects.create(game=game, mode=DeliveryMode.GAME_SERVER)
        set_endpoint(game=game, url="https://game.example/hook")
        game.support_url = "https://help.example/?order={order_no}"
        game.save()
        order = make_order(client, api_key, role_id="霜降夜行", zone_id="3")
        settle(attempt_at(order, wechat_account, method="wechatpay_native"))
        return order

    @pytest.mark.parametrize(
        ("scripts", "language", "button", "said"),
        [
            (True, "zh-CN", "现在再试一次", "物品正在发送，或马上就会发送"),
            (False, "en-GB", "Try again now", "Your items are being sent already"),
        ],
    )
    def test_trying_again_and_the_arrival(self, order, link, tab, scripts, language, button, said):
        page = tab(language=language, scripts=scripts)
        page.goto(link)
        assert button in page.text
        page.click("form[data-action=again] button")
        page.until_text(said)
        assert page.evaluate("document.querySelector('a.button-plain').href") == (
            f"https://help.example/?order={order.order_no}"
        )
        confirm(delivery_id=Delivery.objects.get(order=order).pk, receipt="", actor="test")
        if scripts:
            page.until_text("付款成功，已到账")
        order.refresh_from_db()
        assert order.delivery_state == "delivered"


class TestTheCode:
    """A QR code has a back button, one attempt, and a successor when it runs out before its order."""

    def test_back_leads_to_the_choice(self, order, link, tab):
        page = tab()
        page.goto(link)
        choose(page, "alipay_qr")
        page.until_text("用支付宝扫一扫付款")
        assert focused(page) == "用支付宝扫一扫付款"
        page.evaluate("history.back()")
        page.until_text("选择支付方式")
        assert focused(page) == "选择支付方式"
        assert page.evaluate("document.querySelector('input:checked').value") == "alipay_qr"

    def test_a_double_click_opens_one_payment(self, order, link, tab):
        page = tab()
        page.goto(link)
        page.click("input[value=alipay_qr]")
        page.evaluate("(() => { const it = document.querySelector('.bar button'); it.click(); it.click(); })()")
        page.until_text("用支付宝扫一扫付款")
        assert order.attempts.count() == 1
        assert asked_for(page).count("/pay") == 1

    def test_one_that_ran_out_is_shown_anew(self, client, api_key, shop, site, tab):
        order = make_order(client, api_key, expires_in_s=24 * 3600)
        page = tab()
        page.goto(link_to(order, site))
        choose(page, "alipay_qr")
        page.until_text("用支付宝扫一扫付款")
        page.evaluate("document.querySelector('[data-countdown]').ends = Date.now() - 1")
        page.until_text("这个二维码已失效，订单仍可付款")
        assert page.evaluate("Number(getComputedStyle(document.querySelector('.qr')).opacity)") < 0.2
        page.click("[data-renew] button")
        page.until("document.querySelector('[data-renew]').hidden", "a new code")
        assert "二维码" in page.text
        assert order.attempts.count() == 1

    def test_another_tab_that_cancels_is_noticed(self, order, link, tab):
        here, there = tab(), tab()
        here.goto(link)
        choose(here, "alipay_qr")
        here.until_text("用支付宝扫一扫付款")
        there.goto(link)
        there.click(".cancel a")
        there.click("form[data-action=cancel] button")
        there.until_text("订单已取消")
        here.until_text("订单已取消")


class TestSleepingPhone:
    """A phone that slept, or was off the net, asks anew when it wakes, and listens on a new connection."""

    def test_wakes_to_the_goods(self, client, api_key, site, shop, settings, tab, stream):
        settings.STREAM_BASE_URL = stream
        order = make_order(client, api_key)
        page = tab()
        page.goto(link_to(order, site))
        choose(page, "wechatpay_native")
        page.until_text("用微信扫一扫付款")
        page.evaluate(
            """(() => {
                window.listened = 0;
                const Real = window.EventSource;
                window.EventSource = function (address) { window.listened += 1; return new Real(address); };
                const turn = (hidden) => {
                    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
                    document.dispatchEvent(new Event("visibilitychange"));
                };
                const clock = Date.now;
                turn(true);
                Date.now = () => clock() + 60000;
                turn(false);
            })()"""
        )
        page.until("window.listened === 1", "a new connection")
        shop.pay(order, "wechatpay")
        page.until_text("付款成功，已到账")
        assert_delivered_once(order)


class TestEveryReader:
    """Keyboards, narrow phones, calm screens and dark rooms are served; nothing but our own script ever runs."""

    def test_a_keyboard_is_enough(self, order, link, tab):
        page = tab()
        page.goto(link)
        for _ in range(2):  # the other language, then the chosen method
            press_key(page, "Tab", 9)
        first = page.evaluate("document.activeElement.value")
        press_key(page, "ArrowDown", 40)
        chosen = page.evaluate("document.querySelector('input:checked').value")
        assert chosen != first
        page.click("input[value=wechatpay_native]")
        page.evaluate("document.querySelector('input:checked').focus()")
        press_key(page, "Enter", 13, text="\r")
        page.until_text("用微信扫一扫付款")

    @pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
    def test_320_pixels_and_long_names(self, client, api_key, wechat_account, alipay_account, site, tab, language):
        names = {"role_id": "R" * 64, "zone_id": "超" * 64, "uid": "u" * 64}
        unpaid, held, paid = (make_order(client, api_key, **names, quantity=99) for _ in range(3))
        settle(attempt_at(held, wechat_account), amount=1)
        settle(attempt_at(paid, wechat_account))
        page = tab(width=320, height=568, mobile=True, language=language)
        for order in (unpaid, held, paid):
            page.goto(link_to(order, site))
            assert page.evaluate("document.documentElement.scrollWidth") == 320
            assert page.evaluate(
                "[...document.querySelectorAll('*')].every((it) => parseFloat(getComputedStyle(it).fontSize) >= 12)"
            )

    def test_reduced_motion_and_dark(self, order, link, shop, tab):
        page = tab(dark=True)
        page.goto(link)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 21)"
        choose(page, "alipay_qr")
        page.until_text("用支付宝扫一扫付款")
        # A scanner wants dark on white in any room.
        assert page.evaluate("getComputedStyle(document.querySelector('.qr')).backgroundColor") == "rgb(255, 255, 255)"
        spins = "getComputedStyle(document.querySelector('.spinner')).animationName"
        assert page.evaluate(spins) == "turn"
        page._send(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}]
        )  # fmt: skip
        assert page.evaluate(spins) == "none"

    def test_what_is_inline_does_not_run(self, order, link, tab):
        page = tab()
        page.goto(link)
        assert page.faults == []
        page.evaluate(
            "(() => { const it = document.createElement('script'); it.textContent = 'window.ran = 1';"
            " document.body.append(it); document.body.setAttribute('style', 'color: red'); })()"
        )
        page.until("true")
        assert page.evaluate("window.ran") is None
        assert len(page.faults) == 2
        assert all("Content Security Policy" in fault for fault in page.faults)
        page.faults.clear()


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
