"""UnionPay's way: the browser carries a form to its gateway, and is brought back by another form."""

import html
import re

import pytest
import requests
from django.test import Client

from orders.models import PaymentAttempt
from tests.buying import make_order, post
from tests.checkout.conftest import DESKTOP, PHONE, WECHAT, Player, methods_shown, words

pytestmark = pytest.mark.django_db

# Of what UnionPay posts to a frontUrl; it says "paid", which here nobody believes.
BROUGHT = {
    "version": "5.1.0", "encoding": "UTF-8", "txnType": "01", "respCode": "00", "respMsg": "成功[0000000]",
    "txnAmt": "600", "signature": "bm90IGNoZWNrZWQgaGVyZQ==",
}  # fmt: skip


@pytest.fixture
def order(client, api_key, shop):
    """An order in a shop whose providers answer."""
    return make_order(client, api_key)


def form_of(answer) -> tuple[str, dict[str, str]]:
    """Where the page's form for the provider leads, and what it carries."""
    form = re.search(r'<form method="post" action="([^"]+)"[^>]*data-leave>(.*?)</form>', answer.content.decode(), re.S)
    return form[1], {name: html.unescape(said) for name, said in re.findall(r'name="([^"]+)" value="([^"]*)"', form[2])}


def policy_of(answer) -> dict[str, str]:
    """Where a page may go, by kind."""
    return dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))


class TestLeaving:
    """The page in between carries exactly the fields that were signed, to UnionPay's gateway and to nobody else."""

    def test_the_form_is_the_one_of_the_pay_call(self, client, player, shop):
        action, fields = form_of(player.press("pay", method="unionpay_gateway"))
        assert action == f"{shop.url}/gateway/api/frontTransReq.do"
        assert fields["frontUrl"].endswith(f"{player.path}?token={player.token}&back=1")
        asked = {"method": "unionpay_gateway", "return_url": fields["frontUrl"]}
        opened = post(client, f"orders/{player.order.order_no}/pay", asked, bearer=player.token).json()
        assert opened["params"] == {"action": action, "fields": fields}
        assert player.order.attempts.count() == 1

    def test_it_may_post_to_that_gateway_and_to_us(self, player, shop):
        assert policy_of(player.press("pay", method="unionpay_gateway"))["form-action"] == f"'self' {shop.url}"
        assert policy_of(player.press("pay", method="alipay_page"))["form-action"] == "'self'"

    def test_without_script_there_is_a_button(self, player):
        body = player.press("pay", method="unionpay_gateway").content.decode()
        form = re.search(r"<form[^>]*data-leave>.*?</form>", body, re.S)[0]
        assert '<button class="button">去银联云闪付付款</button>' in form

    @pytest.mark.parametrize(("device", "is_offered"), [(DESKTOP, True), (PHONE, True), (WECHAT, False)])
    def test_is_offered_where_a_form_can_be_carried(self, order, device, is_offered):
        shown = methods_shown(Player(order, device=device).look(openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"))
        assert ("unionpay_gateway" in shown) is is_offered


class TestComingBack:
    """A form of a stranger's brings the browser back: it is led to the page, and changes nothing."""

    @pytest.fixture
    def stranger(self, player):
        """Another site's form, sent to the address that UnionPay was given."""
        player.press("pay", method="unionpay_gateway")
        browser = Client(enforce_csrf_checks=True, headers={"Origin": "https://gateway.95516.com"})

        def send(*, token: str = player.token, **fields: str):
            return browser.post(f"{player.path}?token={token}&back=1", {**BROUGHT, **fields})

        return send

    def test_leads_to_the_page_where_the_answer_is_awaited(self, player, stranger):
        answer = stranger()
        assert answer.status_code == 303
        assert answer["Location"] == f"{player.path}?token={player.token}&back=1"
        assert "等待付款结果" in words(player.client.get(answer["Location"]))

    @pytest.mark.parametrize("fields", [{}, {"action": "cancel"}, {"action": "pay", "method": "alipay_qr"}])
    def test_changes_nothing_whatever_it_says(self, player, order, stranger, fields):
        before = list(order.events.values_list("kind", flat=True))
        assert stranger(**fields).status_code == 303
        order.refresh_from_db()
        assert order.state == "pending"
        assert list(order.events.values_list("kind", flat=True)) == before
        assert PaymentAttempt.objects.count() == 1

    def test_in_any_encoding(self, player):
        body = "respMsg=成功".encode("gbk")
        answer = player.client.post(
            f"{player.path}?token={player.token}&back=1", body, content_type="application/x-www-form-urlencoded"
        )
        assert answer.status_code == 303

    def test_opens_nothing_without_the_token(self, stranger):
        answer = stranger(token="x")
        assert answer.status_code == 401
        assert 'name="action"' not in answer.content.decode()


class TestCancelling:
    """UnionPay closes nothing: while somebody may be paying there, the order stays, and the page says why."""

    def test_is_told_to_wait(self, player, order):
        answer = player.press("pay", method="unionpay_gateway")
        action, fields = form_of(answer)
        assert "UnionPay (simulated)" in requests.post(action, data=fields, timeout=10).text
        answer = player.press("cancel")
        assert answer.status_code == 409
        assert "这笔订单正在付款中，等付款有了结果才能取消" in words(answer)
        order.refresh_from_db()
        assert order.state == "pending"
