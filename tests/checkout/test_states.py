"""What a player reads in every state an order can be in, in both languages."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from fulfillment.delivering import confirm, park
from fulfillment.models import Delivery, DeliveryMode, DeliveryPolicy
from orders.cancelling import mark_cancelled
from orders.checkout import words as its_words
from orders.checkout.pages import TEMPLATES
from orders.checkout.stages import STAGE_OF_DELIVERY, Stage
from orders.models import CancelReason, DeliveryState, HoldReason, Order, Payment
from orders.settling import Outcome
from tests.buying import attempt_at, make_order, settle
from tests.checkout.conftest import Player

pytestmark = pytest.mark.django_db

CHINESE, ENGLISH = "zh-CN", "en-GB"
# What would invite a second payment, or deny one that has arrived.
INVITES_TO_PAY = ('name="action" value="pay"', "选择支付方式", "Choose how to pay")
DENIES = ("失败", "failed", "Failed")


def both(order: Order) -> tuple[str, str]:
    """What the page says in Chinese and in English; neither invites to pay, nor denies money."""
    said = []
    for language in (CHINESE, ENGLISH):
        player = Player(order, language=language)
        answer = player.look()
        assert answer.status_code == 200
        body = answer.content.decode()
        assert not [words for words in (*INVITES_TO_PAY, *DENIES) if words in body]
        said.append(player.reads())
    return said[0], said[1]


def asked_of_game_server(game) -> None:
    DeliveryPolicy.objects.create(game=game, mode=DeliveryMode.GAME_SERVER)


def expire(order: Order) -> None:
    """Let its time pass: the row is moved back, as nothing but time can."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE orders_order SET created_at = created_at - interval '31 min',"
            " expires_at = expires_at - interval '31 min' WHERE id = %s",
            (order.pk,),
        )
        cursor.execute("SET session_replication_role = origin")
    order.refresh_from_db()


class TestBeforePaying:
    """Before paying, a player sees what is bought, for whom, and for how much."""

    def test_everything_is_there_in_chinese(self, player):
        said = player.reads()
        for words in (
            "60 gems",
            "Gem × 60",
            "Gem 赠送 × 6",
            "发给角色 霜降夜行",
            "区服 听雪 3 区",
            "账号 10086",
            "¥6.00",
        ):
            assert words in said
        assert "选择支付方式" in said
        assert "付款 ¥6.00" in said
        assert "沙盒，不是真钱" in said

    def test_everything_is_there_in_english(self, order):
        said = Player(order, language=ENGLISH).reads()
        for words in (
            "60 gems",
            "Gem Bonus × 6",
            "Goes to role 霜降夜行",
            "Zone 听雪 3 区",
            "Account 10086",
            "Pay ¥6.00",
        ):
            assert words in said
        assert "Sandbox, not real money" in said

    def test_the_deadline_is_told_by_the_games_clock(self, player, order):
        local = order.expires_at + timedelta(hours=8)
        assert f"{local:%H:%M} 前付款" in player.reads()

    def test_what_comes_out_of_two_is_twice_as_much(self, client, api_key, wechat_account):
        said = Player(make_order(client, api_key, quantity=2)).reads()
        assert "Gem × 120" in said
        assert "Gem 赠送 × 12" in said
        assert "共 2 份" in said
        assert "¥12.00" in said

    def test_an_order_without_role_and_zone_names_the_account(self, client, api_key, wechat_account):
        said = Player(make_order(client, api_key)).reads()
        assert "账号 10086" in said
        assert "区服 听" not in said
        assert "发给角色" not in said

    def test_what_a_game_calls_things_is_text_and_never_markup(self, client, api_key, wechat_account):
        order = make_order(client, api_key, role_id="<script>alert(1)</script>", zone_id="{{ token }}")
        body = Player(order).look().content.decode()
        assert "<script>alert" not in body
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
        assert "{{ token }}" in body


class TestAfterPaying:
    """Once money has arrived the page says so, says where the goods are, and never asks for more."""

    def test_delivered_shows_the_goods_the_role_and_the_time(self, order, wechat_account):
        assert settle(attempt_at(order, wechat_account)) is Outcome.APPLIED
        order.refresh_from_db()
        chinese, english = both(order)
        local = f"{order.delivered_at + timedelta(hours=8):%Y-%m-%d %H:%M:%S}"
        for words in (
            "付款成功，已到账",
            "已发到区服「听雪 3 区」的角色「霜降夜行」",
            "Gem +60",
            "赠送 +6",
            "¥6.00，微信支付",
            local,
        ):
            assert words in chinese
        for words in (
            "Paid and delivered",
            "Sent to role 霜降夜行 in zone 听雪 3 区",
            "¥6.00, WeChat Pay",
            local,
        ):
            assert words in english
        assert order.order_no in chinese

    def test_paid_and_not_there_yet_says_do_not_pay_again(self, client, api_key, game, wechat_account):
        asked_of_game_server(game)
        order = make_order(client, api_key, zone_id="3")
        settle(attempt_at(order, wechat_account))
        chinese, english = both(order)
        for words in ("已收到付款，物品在路上", "正在发到区服「3」", "不用再付一次，也不用守着"):
            assert words in chinese
        for words in ("your items are on their way", "Being sent to zone 3", "No need to pay again"):
            assert words in english
        delivery = Delivery.objects.get(order=order)
        confirm(delivery_id=delivery.pk, receipt="", actor="test")
        assert "付款成功，已到账" in Player(order).reads()

    def test_a_stopped_delivery_is_with_a_person(self, client, api_key, game, wechat_account):
        asked_of_game_server(game)
        order = make_order(client, api_key)
        settle(attempt_at(order, wechat_account))
        park(delivery_id=Delivery.objects.get(order=order).pk, reason="503")
        chinese, english = both(order)
        assert "已由专人处理" in chinese
        assert "a person is looking after it" in english

    def test_a_second_payment_is_named_and_safe(self, order, wechat_account, alipay_account):
        settle(attempt_at(order, wechat_account))
        second = attempt_at(order, alipay_account, method="alipay_qr")
        assert settle(second, transaction_id="second") is Outcome.HELD
        chinese, english = both(order)
        assert "付款成功，已到账" in chinese
        assert "这笔订单又收到一笔付款 ¥6.00。 这一笔没有使用，款项安全" in chinese
        assert "Another payment of ¥6.00 has arrived" in english

    def test_taken_back_and_refunded(self, order, wechat_account):
        settle(attempt_at(order, wechat_account))
        Order.objects.filter(pk=order.pk).update(delivery_state=DeliveryState.REVOKED, refunded_minor=600)
        chinese, english = both(order)
        assert "已退款 ¥6.00，原路退回" in chinese
        assert "Refunded ¥6.00" in english

    @pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.PARKED])
    def test_given_back_before_the_goods_came_is_no_longer_on_its_way(
        self, client, api_key, game, wechat_account, state
    ):
        asked_of_game_server(game)
        order = make_order(client, api_key)
        settle(attempt_at(order, wechat_account))
        Order.objects.filter(pk=order.pk).update(delivery_state=state, refunded_minor=order.amount_minor)
        chinese, english = both(order)
        assert "已退款 ¥6.00，原路退回" in chinese
        assert "这笔订单的物品没有发放" in chinese
        assert "were not sent" in english
        assert "物品在路上" not in chinese

    def test_a_part_given_back_is_told_beside_the_goods(self, client, api_key, game, wechat_account):
        asked_of_game_server(game)
        order = make_order(client, api_key)
        settle(attempt_at(order, wechat_account))
        Order.objects.filter(pk=order.pk).update(refunded_minor=100)
        chinese, english = both(order)
        assert "已收到付款，物品在路上" in chinese
        assert "已原路退回 ¥1.00" in chinese
        assert "Refunded the same way ¥1.00" in english

    @pytest.mark.parametrize("amount", [600, 500])
    def test_no_old_notice_unsettles_who_has_paid(self, order, wechat_account, amount):
        settle(attempt_at(order, wechat_account), amount=amount)
        calm = Player(order).reads()
        for code in (*its_words.ABOUT_PROVIDER, *its_words.BEFORE_PAYING, "anything", "tried_again"):
            assert Player(order).reads(notice=code, method="alipay_qr") == calm


class TestHeldMoney:
    """Money that may not be applied is safe and being checked; the page says so and never asks for more."""

    def test_another_amount(self, order, wechat_account):
        assert settle(attempt_at(order, wechat_account), amount=500) is Outcome.HELD
        chinese, english = both(order)
        assert "已收到付款，款项安全，正在核对" in chinese
        assert "收到 ¥5.00，与订单 ¥6.00 不同" in chinese
        assert "请不要重复付款" in chinese
        assert "We received ¥5.00; the order asks ¥6.00." in english

    def test_every_reason_has_its_words(self, order, wechat_account):
        assert set(its_words.HELD) == set(HoldReason)
        settle(attempt_at(order, wechat_account), amount=500)
        said = set()
        for reason in HoldReason:
            Payment.objects.update(hold_reason=reason)
            chinese, english = both(order)
            assert "款项安全" in chinese
            said |= {chinese, english}
        assert len(said) == 2 * len(HoldReason)

    def test_money_after_the_order_was_cancelled(self, order, wechat_account):
        attempt = attempt_at(order, wechat_account)
        mark_cancelled(order_id=order.pk, reason=CancelReason.PLAYER, actor="test", now=timezone.now())
        assert settle(attempt) is Outcome.HELD
        chinese, english = both(order)
        assert "收到 ¥6.00 时，订单已经关闭" in chinese
        assert "Payment received, safe, being checked" in english

    def test_opening_a_payment_by_hand_is_not_possible_then(self, order, player, wechat_account, alipay_account):
        settle(attempt_at(order, wechat_account), amount=500)
        answer = player.press("pay", method="alipay_qr")
        assert answer.status_code == 302
        assert order.attempts.count() == 1


class TestOver:
    """An order nobody can pay any more leads back to the game, and has a word for who paid anyway."""

    def test_cancelled_by_the_player(self, order):
        mark_cancelled(order_id=order.pk, reason=CancelReason.PLAYER, actor="test", now=timezone.now())
        chinese, english = both(order)
        assert "订单已取消" in chinese
        assert "请回到游戏重新下单" in chinese
        assert "This order was cancelled" in english

    @pytest.mark.parametrize("swept", [False, True])
    def test_not_paid_in_time(self, order, swept):
        expire(order)
        if swept:
            mark_cancelled(order_id=order.pk, reason=CancelReason.EXPIRED, actor="test", now=timezone.now())
        chinese, english = both(order)
        assert "没有在时间内付款" in chinese
        assert "其实已经付款了？ 请不要再付" in chinese
        assert "Not paid in time" in english


class TestWords:
    """No state, notice or amount is without words."""

    def test_every_state_has_its_page(self):
        assert set(STAGE_OF_DELIVERY) == set(DeliveryState)
        assert set(TEMPLATES) == set(Stage) - {Stage.OPEN}

    @pytest.mark.parametrize("code", [*its_words.ABOUT_PROVIDER, *its_words.BEFORE_PAYING, "something_new"])
    def test_every_notice_is_translated(self, order, code):
        shown = {}
        for language in (CHINESE, ENGLISH):
            answer = Player(order, language=language).look(notice=code, method="alipay_qr")
            shown[language] = (
                answer.content.decode().partition('<p class="notice" role="status" data-focus>')[2].partition("<")[0]
            )
        assert shown[CHINESE] != shown[ENGLISH]
        assert not any(letter.isascii() and letter.isalpha() for letter in shown[CHINESE])
