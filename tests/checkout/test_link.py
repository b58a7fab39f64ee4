"""The link to a checkout page: who may open it, what it gives away, and to whom."""

import logging
import re
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from channels_app.providers import METHODS
from channels_app.providers.base import PayKind
from orders.authentication import client_token
from orders.models import Order
from orders.ordering import methods_of
from tests import keys
from tests.buying import attempt_at, make_order, settle
from tests.checkout.conftest import (
    DESKTOP,
    PHONE,
    WECHAT,
    WECHAT_ON_DESKTOP,
    Player,
    methods_shown,
    words,
)

pytestmark = pytest.mark.django_db


class TestToken:
    """A link opens the one order it was made for, while it holds; else a friendly page says what to do."""

    @pytest.mark.parametrize(
        "token", ["", "x", "ct_", "ct_a.1.b", "gk_sandbox_abc", "ct_%00.99999999999.é", "ct_x.٣.y"]
    )
    def test_without_a_valid_token_nothing_is_told(self, player, token):
        player.token = token
        answer = player.look()
        assert answer.status_code == 401
        assert "请从游戏里重新打开付款页面" in words(answer)
        assert "gems" not in answer.content.decode()
        assert player.order.order_no not in answer.content.decode()

    def test_an_expired_token_says_so(self, player):
        long_ago = timezone.now() - timedelta(days=1)
        player.token = client_token(order_no=player.order.order_no, expires_at=long_ago)
        answer = player.look()
        assert answer.status_code == 401
        assert "这个链接已经过期" in words(answer)

    def test_another_orders_token_opens_nothing(self, client, api_key, player):
        other = make_order(client, api_key, role_id="somebody else")
        player.token = client_token(order_no=other.order_no, expires_at=other.expires_at)
        for answer in (player.look(), player.press("pay", method="alipay_qr"), player.press("cancel")):
            assert answer.status_code == 404
            assert "这里没有这笔订单" in words(answer)
            assert "somebody else" not in answer.content.decode()
        assert Order.objects.filter(state="pending").count() == 2
        assert player.order.attempts.count() == other.attempts.count() == 0

    def test_a_form_with_a_broken_token_moves_nothing(self, player):
        for action in ("pay", "result", "cancel"):
            answer = player.client.post(player.path, {"token": f"{player.token}x", "action": action})
            assert answer.status_code == 401
        player.order.refresh_from_db()
        assert player.order.state == "pending"
        assert player.order.events.count() == 1

    @pytest.mark.parametrize("order_no", ["x", "a" * 200, "ünïcode", "1' OR 1=1"])
    def test_strange_numbers_find_nothing(self, player, order_no):
        answer = player.client.get(f"/checkout/{order_no}", {"token": player.token})
        assert answer.status_code == 404
        assert answer["Content-Type"].startswith("text/html")

    def test_other_methods_are_refused(self, player):
        assert player.client.put(player.path).status_code == 405
        assert player.client.delete(player.path).status_code == 405

    @pytest.mark.parametrize("content_type", ["multipart/form-data", "application/json", "text/plain"])
    def test_what_no_browser_sends_is_no_form(self, player, content_type):
        answer = player.client.post(player.path, b"token=1", content_type=content_type)
        assert answer.status_code in (400, 401)

    def test_nothing_needs_a_cookie(self, player):
        strict = Client(enforce_csrf_checks=True)
        answer = strict.post(player.path, {"token": player.token, "action": "cancel"})
        assert answer.status_code == 302
        player.order.refresh_from_db()
        assert player.order.state == "cancelled"

    def test_when_the_database_is_away_the_page_says_so_calmly(self, player, monkeypatch):
        def away(*_, **__):
            raise DatabaseError("secret table does not answer")

        monkeypatch.setattr("orders.checkout.visit.visible_order", away)
        answer = player.look()
        assert answer.status_code == 500
        assert "如果您已付款，款项是安全的" in words(answer)
        assert "secret table" not in answer.content.decode()


class TestWhatIsGivenAway:
    """Pages carry what a player needs and nothing else; their address and token go to nobody."""

    def test_the_headers_shut_every_door_that_is_not_used(self, player, settings):
        settings.STREAM_BASE_URL = "https://stream.example:8443"
        for answer in (player.look(), player.look(token="x"), player.press("nothing")):
            policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
            assert policy["connect-src"] == "'self' https://stream.example:8443"
            assert policy["frame-ancestors"] == "'none'"
            assert answer["Referrer-Policy"] == "no-referrer"
            assert answer["X-Frame-Options"] == "DENY"
            assert answer["Cache-Control"] == "no-store"
            assert answer["X-Content-Type-Options"] == "nosniff"

    def test_nothing_inline_and_nothing_from_elsewhere(self, player, order, wechat_account):
        pages = [player.look(), player.look(ask="cancel"), player.look(token="x")]
        settle(attempt_at(order, wechat_account))
        pages.append(player.look())
        for body in (answer.content.decode() for answer in pages):
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", body)
            assert all(it.startswith("/static/") for it in re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', body))

    def test_no_key_of_anybody_is_on_a_page(self, player, order, api_key, wechat_account):
        attempt = attempt_at(order, wechat_account)
        bodies = [player.look().content.decode(), player.look(back="1").content.decode()]
        settle(attempt)
        bodies.append(player.look().content.decode())
        secret = [api_key, api_key[:20]]
        for credentials in (keys.wechat_credentials(), keys.alipay_credentials()):
            secret += [str(value) for name, value in credentials.items() if name not in ("base_url", "gateway")]
        for body in bodies:
            assert not [value[:12] for value in secret if value in body]
            assert order.client_ref not in body

    def test_the_token_reaches_no_log(self, player, caplog, monkeypatch):
        caplog.set_level(logging.DEBUG)
        player.look()
        player.look(token=f"{player.token}x")
        player.press("pay", method="alipay_qr")
        player.press("cancel")
        monkeypatch.setattr("orders.checkout.visit.visible_order", lambda *_: 1 / 0)
        assert player.look().status_code == 500
        assert "division by zero" in caplog.text
        assert player.token not in caplog.text
        assert player.token.rpartition(".")[2] not in caplog.text


class TestLanguage:
    """The page speaks the browser's language, or the one its reader chose."""

    @pytest.mark.parametrize(
        ("accepted", "title", "lang"),
        [
            ("zh-CN,zh;q=0.9", "选择支付方式", "zh-Hans"),
            ("zh-TW", "选择支付方式", "zh-Hans"),
            ("en-US", "Choose how to pay", "en"),
            ("fr", "Choose how to pay", "en"),
        ],
    )
    def test_the_browsers(self, order, accepted, title, lang):
        answer = Player(order, language=accepted).look()
        assert title in words(answer)
        assert f'<html lang="{lang}">' in answer.content.decode()

    def test_the_chosen_one_stays_for_this_browser(self, player):
        assert "Choose how to pay" in player.reads(lang="en")
        assert "Choose how to pay" in player.reads()
        assert "选择支付方式" in player.reads(lang="zh-hans")
        assert "选择支付方式" in player.reads()

    def test_a_language_that_is_not_spoken_changes_nothing(self, player):
        answer = player.look(lang="../../xx")
        assert "选择支付方式" in words(answer)
        assert not answer.cookies

    def test_one_readers_choice_is_not_anothers(self, player, order):
        player.look(lang="en")
        assert "选择支付方式" in Player(order).reads()


class TestMethods:
    """A player is offered what can be paid on the device in hand, and told when nothing can."""

    @pytest.mark.parametrize(
        ("device", "expected"),
        [
            (DESKTOP, {"wechatpay_native", "alipay_qr", "alipay_page"}),
            (WECHAT_ON_DESKTOP, {"wechatpay_native", "alipay_qr", "alipay_page"}),
            (PHONE, {"wechatpay_h5", "alipay_wap"}),
        ],
    )
    def test_fit_the_device(self, order, device, expected):
        assert set(methods_shown(Player(order, device=device).look())) == expected

    def test_inside_wechat_its_own_bridge_when_it_knows_the_player(self, order):
        inside = Player(order, device=WECHAT)
        assert methods_shown(inside.look(openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")) == ["wechatpay_jsapi"]
        assert methods_shown(inside.look()) == []
        assert "需要游戏在链接里带上您的微信身份" in inside.reads()

    def test_a_phone_falls_back_to_a_qr_code_to_save(self, order, channel):
        channel.methods.filter(method__in=("wechatpay_h5", "alipay_wap")).delete()
        assert set(methods_shown(Player(order, device=PHONE).look())) == {"wechatpay_native", "alipay_qr"}

    def test_what_only_the_game_can_open_is_not_offered(self, player, channel):
        channel.methods.exclude(method__endswith="_app").delete()
        answer = player.look()
        assert methods_shown(answer) == []
        assert "这笔订单不能在本页付款" in words(answer)

    @pytest.mark.parametrize("device", [DESKTOP, PHONE, WECHAT])
    def test_what_a_store_sells_is_bought_in_the_game(self, client, api_key, game, shop, device):
        stores = [code for code, method in METHODS.items() if method.kind is PayKind.STORE or method.sells_products]
        game.products.update(store_ids=dict.fromkeys(stores, "gems60"))
        at_store = Player(make_order(client, api_key), device=device)
        assert set(stores) <= set(methods_of(at_store.order))
        assert not set(stores) & set(methods_shown(at_store.look(openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")))
        for method in stores:
            assert at_store.press("pay", method=method).status_code == 400
        assert at_store.order.attempts.count() == 0

    def test_an_order_that_only_a_store_can_take_leads_back_to_the_game(self, client, api_key, game, shop, channel):
        game.products.update(store_ids={"apple_iap": "gems60"})
        game.return_url = "mygame://back?order={order_no}"
        game.save()
        channel.methods.exclude(method="apple_iap").delete()
        at_store = Player(make_order(client, api_key))
        answer = at_store.look()
        assert "请回到游戏付款" in words(answer)
        assert f'href="mygame://back?order={at_store.order.order_no}"' in answer.content.decode()

    @pytest.mark.parametrize("method", ["wechatpay_app", "wechatpay_jsapi", "alipay_wap", "nothing", ""])
    def test_a_form_cannot_ask_for_what_is_not_offered(self, player, method):
        answer = player.press("pay", method=method)
        assert answer.status_code == 400
        assert "这种支付方式现在不可用" in words(answer)
        assert player.order.attempts.count() == 0

    def test_a_switched_off_method_is_gone(self, player, channel):
        channel.methods.filter(method="alipay_qr").update(is_enabled=False)
        assert "alipay_qr" not in methods_shown(player.look())

    def test_the_one_tried_last_is_chosen(self, player, order, alipay_account):
        attempt_at(order, alipay_account, method="alipay_page")
        assert re.search(r'value="alipay_page"[^>]*checked', player.look().content.decode())

    def test_the_one_that_did_not_answer_is_not(self, player):
        body = player.look(notice="provider_unavailable", method="wechatpay_native").content.decode()
        assert not re.search(r'value="wechatpay_native"[^>]*checked', body)
        assert "微信支付现在没有回应" in body
        assert "当前较慢" in body
