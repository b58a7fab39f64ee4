"""The simulator's pages: one for the person who tests, and the cashiers where a buyer pays."""

import html
import re
import uuid
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from channels_app.providers.base import AttemptRef, PaymentProof, Standing
from tests.simulator import wire
from tests.simulator.test_notifications import read

EVIL = "<script>alert(1)</script>"


def press(page: requests.Response, button: str) -> requests.Response:
    """Submit the page's form with one of its buttons, following nothing."""
    action = html.unescape(re.search(rf'formaction="([^"]+/{button})"', page.text)[1])
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    fields = {name: html.unescape(value) for name, value in fields.items()}
    at = urlsplit(page.url)
    return requests.post(f"{at.scheme}://{at.netloc}{action}", data=fields, allow_redirects=False, timeout=10)


def buttons_of(page: requests.Response, number: str) -> list[str]:
    """What the page lets happen to a trade."""
    row = page.text[page.text.index(f"<code>{number}</code></td>") :]
    return re.findall(r'name="act" value="([^"]+)"', row[: row.index("</form>")])


class TestCashier:
    """A purchase can be finished in a browser."""

    @pytest.mark.parametrize("product", ["wap", "page"])
    def test_alipay_shows_the_order_and_returns_with_signed_parameters(self, alipay, control, product, receiver):
        number, params = alipay.open(product)
        page = requests.get(params["url"], timeout=10)
        assert page.status_code == 200
        assert all(text in page.text for text in (number, "6.00", "60 宝石"))
        back = press(page, "pay")
        assert back.status_code == 303
        query = {name: values[0] for name, values in parse_qs(urlsplit(back.headers["Location"]).query).items()}
        assert query.pop("order") == "1"  # the merchant's own parameter survives
        signature = query.pop("sign")
        text = "&".join(f"{name}={query[name]}" for name in sorted(query) if name != "sign_type")
        assert wire.is_signed(alipay.credentials["alipay_public_key"], text.encode(), signature)
        assert (query["out_trade_no"], query["total_amount"]) == (number, "6.00")
        assert alipay.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.PAID

    def test_a_form_that_posts_itself_gets_the_same_page(self, alipay):
        request = alipay.request("page")
        at = urlsplit(alipay.adapter.open_payment(request).params["url"])
        form = {name: values[0] for name, values in parse_qs(at.query).items()}
        page = requests.post(f"{at.scheme}://{at.netloc}{at.path}", data=form, timeout=10)
        assert request.attempt_no in page.text
        assert press(page, "pay").status_code == 303

    def test_wechats_mobile_page_returns_to_the_redirect_url(self, wechat, control):
        number, params = wechat.open("h5")
        page = requests.get(params["h5_url"], timeout=10)
        assert number in page.text
        assert press(page, "pay").headers["Location"] == "https://game.example/back?order=1"
        assert wechat.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.PAID

    @pytest.mark.parametrize("desk_name", ["wechat", "alipay"])
    def test_a_code_can_be_scanned_and_paid(self, desk_name, request, simulator, receiver, control):
        desk = request.getfixturevalue(desk_name)
        number, params = desk.open("native" if desk_name == "wechat" else "qr")
        code = params.get("code_url") or params["qr_code"]
        assert code.startswith(("weixin://wxpay/bizpayurl?pr=", "https://qr.alipay.com/"))
        page = requests.get(f"{simulator.url}/scan?{urlencode({'code': code})}", timeout=10)
        assert desk.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.WAITING
        done = press(page, "pay")
        assert done.status_code == 200
        control.act(desk, number, "notify")
        assert all(isinstance(read(desk, raw), PaymentProof) for raw in receiver.received)

    def test_cancelling_leaves_the_order_payable(self, alipay):
        number, params = alipay.open("wap")
        page = requests.get(params["url"], timeout=10)
        assert press(page, "cancel").status_code == 303
        assert alipay.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.WAITING
        assert press(page, "pay").status_code == 303
        assert alipay.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.PAID

    def test_pressing_twice_pays_once(self, alipay, control):
        number, params = alipay.open("page")
        page = requests.get(params["url"], timeout=10)
        assert [press(page, "pay").status_code for _ in range(2)] == [303, 303]
        assert len(control.trade(alipay, number)["payments"]) == 1

    def test_a_changed_address_an_unknown_code_and_a_closed_order_cannot_be_paid(self, alipay, simulator, control):
        number, params = alipay.open("page")
        changed = requests.get(params["url"].replace("6.00", "0.01"), timeout=10)
        unknown = requests.get(f"{simulator.url}/scan?code=https://qr.alipay.com/none", timeout=10)
        page = requests.get(params["url"], timeout=10)
        control.act(alipay, number, "close")
        assert [changed.status_code, unknown.status_code, press(page, "pay").status_code] == [400] * 3
        assert control.trade(alipay, number)["payments"] == []

    def test_what_strangers_wrote_is_shown_as_text(self, alipay, simulator):
        _, params = alipay.open("page", subject=EVIL)
        assert EVIL not in requests.get(params["url"], timeout=10).text
        assert EVIL not in requests.get(f"{simulator.url}/", timeout=10).text
        assert EVIL not in requests.get(f"{simulator.url}/scan?{urlencode({'code': EVIL})}", timeout=10).text

    def test_a_way_back_is_never_a_script(self, wechat):
        _, params = wechat.open("h5", inputs={"client_ip": "203.0.113.7", "return_url": "javascript:alert(1)"})
        done = press(requests.get(params["h5_url"], timeout=10), "pay")
        assert (done.status_code, "Location" in done.headers) == (200, False)


class TestPage:
    """Everything the control API can do has a button, at the providers that do it."""

    @pytest.fixture
    def bought(self, simulator, control, receiver):
        """Plays a buyer's device; returns the number the store knows the purchase by."""

        def bought(provider, params, **asked):
            simulator.store.merchant(provider, "page", simulator.url, notify_url=receiver.url)
            done = control.post("buy", provider=provider, merchant="page", params=params, wait=True, **asked)
            return done["trade"]["out_trade_no"]

        return bought

    def test_it_lists_merchants_trades_notifications_and_weather(self, desk, control, simulator):
        number, _ = desk.open("app")
        control.act(desk, number, "pay")
        control.post("weather", provider=desk.provider, mode="timeout", calls=["refund"])
        page = requests.get(simulator.url, timeout=10)
        assert page.headers["Content-Type"].startswith("text/html")
        for text in (number, desk.code, desk.credentials.get("mchid") or desk.credentials["app_id"], "no answer"):
            assert text in page.text
        acts = [
            "pay",
            "pay-twice",
            "pay-late",
            "wrong-amount",
            "foreign-merchant",
            "close",
            "refund",
            "notify",
            "forged",
        ]
        assert buttons_of(page, number) == acts + (["probe"] if desk.provider == "wechatpay" else [])
        assert not re.search(r'(src|href)="https?://', page.text)
        assert desk.credentials.get("private_key", desk.credentials.get("app_private_key"))[30:90] not in page.text

    def test_a_provider_has_the_buttons_of_what_it_does(self, bought, simulator, control):
        number = bought("apple", {"app_account_token": str(uuid.uuid4()), "product_id": "g"})
        page = requests.get(simulator.url, timeout=10)
        assert buttons_of(page, number) == [
            "pay-twice", "foreign-merchant", "refund", "notify", "forged", "refund-reversed", "consumption-request",
        ]  # fmt: skip
        control.post(f"trades/apple/{number}/close", expect=404)

    def test_what_only_one_provider_does_is_done(self, bought, simulator, control):
        number = bought("apple", {"app_account_token": str(uuid.uuid4()), "product_id": "g"})
        trade = next(each for each in simulator.store.trades() if each.out_trade_no == number)
        form = {"trade": trade.id, "act": "refund-reversed"}
        assert "there is no refund to reverse" in requests.post(f"{simulator.url}/act", data=form, timeout=10).text
        assert [each.event for each in simulator.store.notices(trade=trade)] == ["ONE_TIME_CHARGE"]
        control.post(f"trades/apple/{number}/refund", notify="lost")
        assert requests.post(f"{simulator.url}/act", data=form, timeout=10).status_code == 200
        assert simulator.store.notices(trade=trade)[0].event == "REFUND_REVERSED"

    @pytest.mark.parametrize(("price", "currency", "shown"), [(99, "USD", "0.99 USD"), (120, "JPY", "120 JPY")])
    def test_amounts_have_their_currency(self, bought, simulator, price, currency, shown):
        params = {"app_account_token": str(uuid.uuid4()), "product_id": "g"}
        bought("apple", params, price=price, currency=currency)
        page = requests.get(simulator.url, timeout=10).text
        assert f'<td class="money">{shown}</td>' in page

    def test_its_buttons_do_what_they_say(self, desk, control, simulator):
        number, _ = desk.open("app")
        trade = next(each.id for each in simulator.store.trades() if each.out_trade_no == number)
        for act, fields in (("pay", {"notify": "lost"}), ("refund", {"amount": "250"})):
            answer = requests.post(f"{simulator.url}/act", data={"trade": trade, "act": act, **fields}, timeout=10)
            assert answer.status_code == 200
        payments = control.trade(desk, number)["payments"]
        assert [[each["amount"] for each in payment["refunds"]] for payment in payments] == [[250]]
        refused = requests.post(f"{simulator.url}/act", data={"trade": trade, "act": "pay"}, timeout=10)
        assert "This order is paid." in refused.text

    def test_its_weather_switches_work(self, alipay, simulator):
        asked = {"provider": "alipay", "mode": "reset", "calls": ["query", "close"], "count": "3"}
        requests.post(f"{simulator.url}/weather", data=asked, timeout=10)
        assert {(each.call, each.mode, each.remaining) for each in simulator.store.weather()} == {
            ("query", "reset", 3), ("close", "reset", 3),
        }  # fmt: skip

    def test_it_speaks_the_browsers_language(self, simulator):
        said = {}
        for asked in ("zh-CN,zh;q=0.9,en;q=0.8", "en-GB,en;q=0.9", "de", ""):
            page = requests.get(simulator.url, headers={"Accept-Language": asked}, timeout=10)
            title = re.search(r"<h1>([^<]+)</h1>", page.text)[1]
            said[asked] = (re.search(r'<html lang="([^"]+)"', page.text)[1], title)
        english = ("en", "Provider simulator")
        assert list(said.values()) == [("zh-hans", "支付方模拟器"), english, english, english]

    def test_another_sites_form_cannot_drive_it(self, alipay, control, simulator):
        number, _ = alipay.open("app")
        answer = requests.post(
            f"{simulator.url}/control/trades/alipay/{number}/pay",
            headers={"Origin": "https://evil.example"},
            timeout=10,
        )
        assert answer.status_code == 403
        assert control.trade(alipay, number)["state"] == "waiting"
