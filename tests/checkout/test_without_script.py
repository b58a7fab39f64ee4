"""Paying without JavaScript: the page's forms do everything but live updates and copying."""

import json
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import segno
from django.utils import timezone

from fulfillment.models import LedgerEntry
from orders.models import EventKind, PaymentAttempt
from tests.buying import make_order
from tests.checkout.conftest import PHONE, Player, methods_shown, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(client, api_key, shop):
    """An order in a shop whose providers answer."""
    return make_order(client, api_key, role_id="霜降夜行", zone_id="3")


def granted(order) -> int:
    """Ledger entries of the player for an order."""
    return LedgerEntry.objects.filter(order_no=order.order_no, account="player").count()


def opened(order, provider: str) -> PaymentAttempt:
    return order.attempts.get(account__provider=provider)


class TestQr:
    """A QR code is drawn on our own server; "I have paid" asks the provider and shows the goods."""

    @pytest.mark.parametrize("method", ["wechatpay_native", "alipay_qr"])
    def test_from_choosing_to_the_goods(self, player, shop, order, method):
        provider = method.partition("_")[0]
        answer = player.press("pay", method=method)
        body = answer.content.decode()
        assert answer.status_code == 200
        assert "扫一扫付款 ¥6.00" in words(answer)
        assert len(re.findall(r'<svg [^>]*class="qr-code"', body)) == 1
        assert granted(order) == 0

        shop.pay(order, provider, notify="lost")
        back = player.press("result")
        assert back.status_code == 302
        answer = player.client.get(back["Location"])
        assert "付款成功，已到账" in words(answer)
        order.refresh_from_db()
        assert (order.state, order.delivery_state) == ("paid", "delivered")
        assert granted(order) == 1

    def test_sending_the_form_again_keeps_the_attempt(self, player, order):
        for _ in range(3):
            assert player.press("pay", method="alipay_qr").status_code == 200
        assert order.attempts.count() == 1

    def test_another_language_is_the_same_attempt(self, player, order):
        player.press("pay", method="alipay_qr")
        answer = player.press("pay", method="alipay_qr", lang="en")
        assert "Scan with Alipay to pay" in words(answer)
        assert order.attempts.count() == 1

    def test_i_have_paid_before_paying_says_not_yet(self, player, order):
        player.press("pay", method="wechatpay_native")
        answer = player.client.get(player.press("result")["Location"])
        assert "等待付款结果" in words(answer)
        assert "刚问过，还没收到" in words(answer)
        assert order.events.filter(kind=EventKind.CLIENT_RESULT).count() == 1
        assert granted(order) == 0

    def test_asking_all_the_time_is_answered_calmly(self, player, order):
        answers = [player.press("result") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [302] * 10 + [429]
        assert "请稍等一会儿" in words(answers[-1])


class TestDrawing:
    """What the script has opened through the API is drawn by the server, and only for who holds the token."""

    @staticmethod
    def drawn(player: Player, **changes: str):
        fields = {
            "token": player.token,
            "method": "alipay_qr",
            "params": json.dumps({"qr_code": "https://qr.alipay.com/bax03206ug0kulveltqc80a8"}),
        }
        return player.client.post(f"{player.path}/qr", {**fields, **changes})

    def test_the_code_says_what_the_provider_gave(self, player):
        answer = self.drawn(player)
        expected = segno.make("https://qr.alipay.com/bax03206ug0kulveltqc80a8", error="m", micro=False)
        assert expected.svg_inline(border=0, omitsize=True, svgclass="qr-code", lineclass=None) in (
            answer.content.decode()
        )
        assert "用支付宝扫一扫付款" in words(answer)

    def test_without_the_token_nothing_is_drawn(self, player):
        answer = self.drawn(player, token="x")
        assert answer.status_code == 401
        assert "qr-code" not in answer.content.decode()

    @pytest.mark.parametrize(
        "params", ["", "[]", "null", "{}", '{"qr_code": 7}', json.dumps({"qr_code": "x" * 600}), "[" * 5000]
    )
    def test_nonsense_is_not_drawn(self, player, params):
        answer = self.drawn(player, params=params)
        assert answer.status_code == 502
        assert "支付宝没有接受这笔订单" in words(answer)

    @pytest.mark.parametrize("method", ["alipay_page", "wechatpay_app", "nothing"])
    def test_what_is_no_qr_method_is_not_drawn(self, player, method):
        answer = self.drawn(player, method=method)
        assert "选择支付方式" in words(answer)

    def test_a_code_lives_two_hours_at_most(self, client, api_key, shop):
        player = Player(make_order(client, api_key, expires_in_s=24 * 3600), language="en")
        until = timezone.now() + timedelta(hours=10)  # two, and eight for the game's clock
        said = words(self.drawn(player))
        minutes = [until - timedelta(minutes=1), until]  # one may have begun
        assert any(f"valid until {at:%H:%M}" in said or f"{at:%Y-%m-%d %H:%M}" in said for at in minutes)


class TestGoingToTheProvider:
    """A method on the provider's own pages leads there, and back to this page."""

    @pytest.mark.parametrize(
        ("device", "method"), [(None, "alipay_page"), (PHONE, "alipay_wap"), (PHONE, "wechatpay_h5")]
    )
    def test_leads_there_and_back(self, order, shop, device, method):
        player = Player(order, **({"device": device} if device else {}))
        answer = player.press("pay", method=method)
        body = answer.content.decode().replace("&amp;", "&")
        there = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', body)[1]
        assert there.startswith(shop.url)
        assert f'href="{there}"' in body
        back = parse_qs(urlsplit(there).query)
        address = (back.get("return_url") or back.get("redirect_url"))[0]
        assert address.endswith(f"/checkout/{order.order_no}?token={player.token}&back=1")
        assert "等待付款结果" in player.reads(back="1")
        assert order.attempts.count() == 1


class TestProviderTrouble:
    """A provider that does not answer is named in plain words, and the other methods stay."""

    @pytest.fixture
    def order(self, client, api_key, wechat_account, alipay_account):
        """An order in a shop whose providers are not there."""
        return make_order(client, api_key)

    def test_no_answer(self, player):
        answer = player.press("pay", method="alipay_qr")
        assert answer.status_code == 503
        assert "支付宝现在没有回应" in words(answer)
        assert set(methods_shown(answer)) == {"wechatpay_native", "alipay_qr", "alipay_page"}
        assert not re.search(r'value="alipay_qr"[^>]*checked', answer.content.decode())

    def test_an_order_that_cannot_be_closed_stays_open_and_says_so(self, player, order):
        player.press("pay", method="wechatpay_native")
        answer = player.press("cancel")
        assert answer.status_code == 503
        assert "订单暂时没有取消" in words(answer)
        order.refresh_from_db()
        assert order.state == "pending"


class TestCancelling:
    """Cancelling asks first; it closes the order at the provider, unless money was faster."""

    def test_asks_first_and_changes_nothing_by_asking(self, player, order):
        assert "要取消这笔订单吗" in player.reads(ask="cancel")
        order.refresh_from_db()
        assert order.state == "pending"

    def test_cancels(self, player, order):
        player.press("pay", method="wechatpay_native")
        answer = player.client.get(player.press("cancel")["Location"])
        assert "订单已取消" in words(answer)
        order.refresh_from_db()
        assert (order.state, order.cancel_reason) == ("cancelled", "player")
        assert opened(order, "wechatpay").state == "closed"

    def test_money_that_was_faster_wins(self, player, order, shop):
        player.press("pay", method="wechatpay_native")
        shop.pay(order, "wechatpay", notify="lost")
        answer = player.press("cancel")
        assert "付款成功，已到账" in words(answer)
        assert granted(order) == 1
