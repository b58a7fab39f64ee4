"""The ways off the page that a game names: back into the game, and to customer service."""

import pytest

from orders.admin.games import GameForm
from tests.buying import attempt_at, settle
from tests.checkout.conftest import PHONE, WECHAT, Player, words

pytestmark = pytest.mark.django_db

BACK = 'class="button" href="{}"'


def form(game, **changes) -> GameForm:
    """What the console's form makes of these entries."""
    as_it_is = {"code": game.code, "name": game.name, "time_zone": game.time_zone, "day_turns_at_hour": 0}
    return GameForm({**as_it_is, "return_url": "", "support_url": "", **changes}, instance=game)


def names(game, **addresses: str) -> None:
    """The game names these, whoever wrote them into its row."""
    for name, address in addresses.items():
        setattr(game, name, address)
    game.save()


def delivered(order, wechat_account) -> None:
    settle(attempt_at(order, wechat_account, method="wechatpay_native"))


class TestWhatTheFormTakes:
    """A game's addresses lead over https or into its own app, and nowhere else."""

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "https://game.example/back",
            "https://game.example/back?order={order_no}",
            "mygame://",
            "mygame://back/{order_no}",
            "com.studio.game://shop",
            "intent://back#Intent;scheme=mygame;package=com.studio.game;end",
        ],
    )
    def test_a_way_back_by_web_or_by_the_apps_own_scheme(self, game, address):
        if address == "mygame://":
            assert "return_url" in form(game, return_url=address).errors  # leads nowhere
        else:
            assert form(game, return_url=address).errors == {}

    @pytest.mark.parametrize(
        "address",
        [
            "javascript:alert(1)",
            "javascript://x/%0aalert(1)",
            "JavaScript://x/%0aalert(1)",
            "data:text/html,x",
            "data://text/html,x",
            "vbscript://x",
            "file:///etc/passwd",
            "blob://x",
            "ws://game.example",
            "//game.example",
            "game.example/back",
            "https://",
            "https:///back",
            "https://bank.example@game.example/",
            "https://[::1/",
            "https://game.example/a b",
            "mygame://a\nb",
            "mygame://游戏",
        ],
    )
    def test_nothing_that_a_browser_gives_a_meaning_of_its_own(self, game, address):
        assert list(form(game, return_url=address).errors) == ["return_url"]
        game.refresh_from_db()
        assert game.return_url == ""

    def test_unencrypted_only_on_a_developers_machine(self, game, settings):
        local = {"return_url": "http://127.0.0.1:3000/back", "support_url": "http://127.0.0.1:3000/help"}
        settings.SIMULATOR_ENABLED = True
        assert form(game, **local).errors == {}
        settings.SIMULATOR_ENABLED = False
        assert set(form(game, **local).errors) == {"return_url", "support_url"}

    @pytest.mark.parametrize(
        "address", ["mygame://help", "javascript:alert(1)", "data:,x", "help", "https://a@b.example"]
    )
    def test_customer_service_is_a_web_page(self, game, address):
        assert "support_url" in form(game, support_url=address).errors

    def test_what_was_entered_is_kept(self, game):
        entered = {"return_url": "mygame://back/{order_no}", "support_url": "https://help.example/?order={order_no}"}
        form(game, **entered).save()
        game.refresh_from_db()
        assert {name: getattr(game, name) for name in entered} == entered


class TestBackToTheGame:
    """After a purchase one button leads back into the game, if the game says where."""

    def test_with_the_order_number_where_the_game_wants_it(self, game, order, wechat_account):
        names(game, return_url="mygame://back?order={order_no}&from=pay")
        delivered(order, wechat_account)
        body = Player(order).look().content.decode()
        assert BACK.format(f"mygame://back?order={order.order_no}&amp;from=pay") in body
        assert "可以关闭本页" not in body

    def test_without_an_address_the_words_say_it(self, order, wechat_account):
        delivered(order, wechat_account)
        answer = Player(order).look()
        assert "可以关闭本页，回到游戏了" in words(answer)
        assert "回到游戏</a>" not in answer.content.decode()

    def test_inside_wechat_only_a_web_page_can_be_opened(self, game, order, wechat_account):
        names(game, return_url="mygame://back")
        delivered(order, wechat_account)
        assert "mygame" in Player(order, device=PHONE).look().content.decode()
        assert "mygame" not in Player(order, device=WECHAT).look().content.decode()
        names(game, return_url="https://game.example/back")
        assert BACK.format("https://game.example/back") in Player(order, device=WECHAT).look().content.decode()

    @pytest.mark.parametrize("address", ["javascript:alert(1)", "javascript://x/%0aalert(1)", "http://game.example"])
    def test_a_row_written_past_the_form_gives_nothing_away(self, game, order, wechat_account, settings, address):
        settings.SIMULATOR_ENABLED = False
        names(game, return_url=address, support_url=address)
        delivered(order, wechat_account)
        body = Player(order).look().content.decode()
        assert address not in body
        assert "回到游戏</a>" not in body
        assert "客服凭订单号可以查到" in body


class TestCustomerService:
    """Whoever misses something finds the people who help, with the order number."""

    def test_from_the_goods_that_are_not_seen(self, game, order, wechat_account):
        names(game, support_url="https://help.example/ask?order={order_no}")
        delivered(order, wechat_account)
        body = Player(order).look().content.decode()
        assert f'href="https://help.example/ask?order={order.order_no}" rel="noreferrer">帮我查一下</a>' in body

    def test_from_money_that_is_being_checked(self, game, order, wechat_account):
        attempt = attempt_at(order, wechat_account)
        settle(attempt, amount=500)
        assert "联系客服时请提供订单号" in Player(order).reads()
        names(game, support_url="https://help.example/")
        body = Player(order).look().content.decode()
        assert 'class="button button-plain" href="https://help.example/" rel="noreferrer">联系客服</a>' in body
