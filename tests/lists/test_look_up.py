"""The one search box: paste anything, land on the page; and what happens when nothing is found."""

import re
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels_app.models import AuditEntry
from channels_app.providers import ADAPTERS
from fulfillment.models import Delivery, GameEvent, Player
from orders.casefile import prose
from orders.models import Case, Game, GameStaff, Order, OrderEvent, Payment
from orders.number_shapes import cleaned, shape_of
from orders.receipts import where
from tests.console.conftest import page_of

LOOKER = "orders.view_order"
UNKNOWN = "4200002291202603279941027733"


def look_up(browser, term, **more):
    return browser.get("/admin/look-up/", {"q": term, **more})


def words(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


class TestOneHit:
    """A number that means one thing opens its page at once."""

    @pytest.mark.parametrize("number", ["order_no", "client_ref", "transaction_id"])
    def test_opens_the_order_by_its_own_numbers(self, busy_shop, staff, number):
        answer = look_up(staff(LOOKER), getattr(busy_shop.bought, number))
        assert (answer.status_code, answer["Location"]) == (302, page_of(busy_shop.bought))

    def test_opens_the_order_by_a_later_attempt(self, busy_shop, staff):
        again = busy_shop.attempt(busy_shop.waiting, attempt_no=busy_shop.waiting.order_no + "02")
        assert look_up(staff(LOOKER), again.attempt_no)["Location"] == page_of(busy_shop.waiting)

    def test_opens_the_order_by_the_token_that_apple_has_for_it(self, busy_shop, staff):
        busy_shop.attempt(busy_shop.waiting, attempt_no="5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d")
        browser = staff(LOOKER)
        for pasted in ("5F1B2C3D-4E5F-4A6B-8C7D-9E0F1A2B3C4D", "5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d"):
            assert look_up(browser, pasted)["Location"] == page_of(busy_shop.waiting)

    def test_opens_the_order_by_a_store_number_in_small_letters(self, busy_shop, staff):
        bought = busy_shop.purchase("player5", transaction_id="GPA.3312-4567-8901-23456")
        assert look_up(staff(LOOKER), "gpa.3312-4567-8901-23456")["Location"] == page_of(bought)

    def test_opens_the_order_by_money_that_is_held(self, busy_shop, staff):
        answer = look_up(staff(LOOKER, "orders.view_payment"), "4200000000000000000000000002")
        assert answer["Location"] == page_of(busy_shop.waiting)

    def test_opens_money_of_no_order(self, busy_shop, staff):
        busy_shop.pay("NOBODYS", "4200000000000000000000000077", 600)
        answer = look_up(staff(LOOKER, "orders.view_payment"), "4200000000000000000000000077")
        assert answer["Location"] == page_of(Payment.objects.get(attempt_no="NOBODYS"))

    def test_opens_a_delivery_and_an_event_by_their_ids(self, busy_shop, staff):
        browser = staff(LOOKER, "fulfillment.view_delivery", "fulfillment.view_gameevent")
        delivery, event = Delivery.objects.get(), GameEvent.objects.first()
        assert look_up(browser, str(delivery.pk))["Location"] == page_of(delivery)
        assert look_up(browser, event.event_id)["Location"] == page_of(event)

    @pytest.mark.parametrize(
        "pasted",
        [
            "  {}\n", '"{}"', "“{}”", "\u200b{}\ufeff", "`{}", "商户订单号：{}", "Order: {}", "\t{}\t", "{}。",
        ],
    )  # fmt: skip
    def test_takes_a_number_as_people_paste_it(self, busy_shop, staff, pasted):
        answer = look_up(staff(LOOKER), pasted.format(busy_shop.bought.order_no))
        assert answer["Location"] == page_of(busy_shop.bought)

    def test_takes_full_width_digits_groups_and_small_letters(self, busy_shop, staff):
        browser = staff(LOOKER)
        wide = str.maketrans("0123456789", "０１２３４５６７８９")
        number = busy_shop.bought.transaction_id
        grouped = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
        for pasted in (number.translate(wide), grouped, busy_shop.bought.order_no.lower()):
            assert look_up(browser, pasted)["Location"] == page_of(busy_shop.bought)


class TestSeveralHits:
    """A UID means a player and everything they bought: a short list, newest first."""

    def test_lists_the_player_and_the_orders(self, busy_shop, staff):
        more = busy_shop.order("player1")
        answer = look_up(staff(LOOKER, "fulfillment.view_player"), "player1")
        found = answer.context["found"]
        assert [order.pk for order in found.orders] == [more.pk, busy_shop.bought.pk]
        assert found.others == [Player.objects.get(uid="player1")]

    def test_lists_by_role(self, busy_shop, staff):
        answer = look_up(staff(LOOKER), "role9")
        assert {order.pk for order in answer.context["found"].orders} == {busy_shop.bought.pk, busy_shop.waiting.pk}

    def test_lists_no_more_than_a_screen(self, shop, staff):
        for _ in range(24):
            shop.order("buyer")
        answer = look_up(staff(LOOKER), "buyer")
        assert len(answer.context["found"].orders) == 20
        assert "the newest 20" in words(answer)

    def test_finds_nothing_by_half_a_number(self, busy_shop, staff):
        browser = staff(LOOKER)
        for term in ("player", "%", "player_", busy_shop.bought.order_no[:-1]):
            assert look_up(browser, term).context["found"].orders == []


class TestLimits:
    """Nobody finds what they may not see."""

    def test_without_the_right_to_see_orders_there_is_no_look_up(self, busy_shop, staff):
        browser = staff("orders.view_game")
        assert look_up(browser, busy_shop.bought.order_no).status_code == 403
        assert browser.get("/admin/look-up/by-amount/").status_code == 403

    def test_tables_one_may_not_see_are_not_looked_at(self, busy_shop, staff):
        answer = look_up(staff(LOOKER), str(Delivery.objects.get().pk))
        assert answer.context["found"].rows == {}
        assert "delivery id" not in words(answer)

    def test_staff_of_another_game_find_nothing(self, busy_shop, staff):
        browser = staff(LOOKER, "orders.view_payment", "fulfillment.view_player")
        other = Game.objects.create(code="other", name="Other")
        GameStaff.objects.create(user=User.objects.latest("pk"), game=other)
        for term in (busy_shop.bought.order_no, busy_shop.bought.transaction_id, "player1", "role9"):
            answer = look_up(browser, term)
            assert answer.status_code == 200
            assert answer.context["found"].rows == {}

    def test_play_money_found_from_production_is_called_so(self, busy_shop, staff):
        answer = look_up(staff(LOOKER), busy_shop.bought.order_no, environment="production")
        assert answer.status_code == 200  # never opened as if it were real
        assert answer.context["found"].found_elsewhere
        assert "Not in production" in words(answer)

    def test_a_stranger_is_sent_to_the_door(self, busy_shop, client):
        assert look_up(client, busy_shop.bought.order_no).status_code == 302

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(term=st.text(max_size=60))
    def test_nothing_pasted_breaks_it(self, superuser, term):
        assert look_up(superuser, term).status_code in (200, 302)

    @pytest.fixture
    def superuser(self, busy_shop, staff):
        return staff(superuser=True)


class TestNothingFound:
    """Nothing found says where it was looked for, what the number looks like, and what to do next."""

    def test_says_where_it_looked_and_how_long_it_took(self, busy_shop, staff):
        said = words(look_up(staff(LOOKER), UNKNOWN))
        assert f"Nothing found for {UNKNOWN}" in said
        for place in ("order number", "game's reference", "attempt number", "provider transaction", "UID", "role id"):
            assert place.replace("'", "&#x27;") in said
        assert re.search(r"in \d+ ms", said)

    def test_says_what_it_looks_like_and_offers_the_steps(self, busy_shop, staff):
        answer = look_up(staff(LOOKER, "orders.ask_provider"), UNKNOWN)
        said = words(answer)
        assert "a WeChat Pay transaction (28 digits, begins with 4200, of 2026-03-27)" in said
        assert "Ask WeChat Pay" in said
        assert "Search by amount and time" in said
        assert 'href="/admin/look-up/by-amount/?day=2026-03-27"' in answer.content.decode()
        assert UNKNOWN in said[said.index("Hello, we have checked") :]

    def test_in_chinese_too(self, busy_shop, staff):
        said = words(look_up(staff(LOOKER, "orders.ask_provider", language="zh-hans"), UNKNOWN))
        for sentence in (
            "没有找到",
            "28 位，4200 开头，日期 2026-03-27",
            "去问微信支付",
            "按金额和时间找",
            "我们马上再查",
        ):
            assert sentence in said

    def test_a_disabled_button_says_why(self, busy_shop, staff):
        browser = staff(LOOKER)
        assert "Your role may not ask providers." in words(look_up(browser, UNKNOWN))
        assert "nobody can be asked about it" in words(look_up(browser, "what"))

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            (UNKNOWN, "wechatpay"),
            ("2026032722001434561234567890", "alipay"),
            ("9926032722001434561234567890", None),
            ("20260327G1M88EJCQ9ZERPKMNQ38YT", "ours"),
            ("20260327G1M88EJCQ9ZERPKMNQ38YT02", "ours"),
            ("MQ2XKJP4RT7", "apple"),
            ("GPA.3312-4567-8901-23456", "google"),
            ("2000000123456789", "apple"),
            ("350001234567890", "apple"),
            ("pi_3MtwBwLkdIwHu7ix28a3tqPa", "stripe"),
            ("cs_test_a1b2c3d4e5f6g7h8i9", "stripe"),
            ("du_1MtJUT2eZvKYlo2CNaw2HvEv", "stripe"),
            ("xx_3MtwBwLkdIwHu7ix28a3tqPa", None),
            ("202603271439001234567", "unionpay"),
            ("5f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "token"),
            ("5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d", "token"),
            ("5f1b2c3d4e5f-4a6b-8c7d-9e0f1a2b3c4d", None),
            ("24550734", "player"),
            ("霜降夜行", None),
        ],
    )
    def test_knows_whose_number_it_is(self, number, code):
        shape = shape_of(number)
        assert (shape.code if shape else None) == code

    def test_speaks_of_every_provider_by_its_own_label(self):
        for code, adapter in ADAPTERS.items():
            assert prose.provider(code) == str(adapter.label)
            assert where(code)

    def test_says_where_a_player_finds_the_number(self, busy_shop, staff):
        assert "Bills → the payment" in words(look_up(staff(LOOKER), UNKNOWN))

    def test_lets_a_person_say_whose_number_it_is(self, busy_shop, staff):
        """What looks like nothing we know may be a provider's all the same."""
        browser = staff(LOOKER, "orders.ask_provider")
        assert '<option value="wechatpay">' in look_up(browser, "XY-17902886508").content.decode()
        for number in ("霜降夜行", UNKNOWN, "20260327G1M88EJCQ9ZERPKMNQ38YT", "24550734"):
            assert 'name="provider"' not in look_up(browser, number).content.decode()

    def test_cleans_without_harming(self):
        for number in (UNKNOWN, "霜降夜行", "role-9_x", "a:b" * 3, str(uuid4())):
            assert cleaned(cleaned(number)) == cleaned(number)
        assert cleaned("\x00\u200b") == ""


class TestByAmountAndTime:
    """Only "about nine, 6 yuan" is known: the orders of that amount about then."""

    def search(self, browser, **asked):
        now = timezone.localtime(timezone=ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%dT%H:%M")
        query = {"amount": "6", "at": now, "minutes": "30", "who": "", **asked}
        return browser.get("/admin/look-up/by-amount/", query)

    def test_finds_the_orders(self, busy_shop, staff):
        answer = self.search(staff(LOOKER))
        assert busy_shop.bought.order_no in answer.content.decode()
        assert busy_shop.waiting.order_no in answer.content.decode()

    def test_narrows_by_uid_or_role(self, busy_shop, staff):
        text = self.search(staff(LOOKER), who="player1").content.decode()
        assert busy_shop.bought.order_no in text
        assert busy_shop.waiting.order_no not in text

    @pytest.mark.parametrize(
        "asked",
        [{"amount": "648"}, {"at": "2020-01-01T12:00"}, {"amount": "x"}, {"at": "9999-12-31T23:59"}, {"minutes": "9"}],
    )
    def test_shows_nothing_else(self, busy_shop, staff, asked):
        answer = self.search(staff(LOOKER), **asked)
        assert answer.status_code == 200
        assert busy_shop.bought.order_no not in answer.content.decode()


class TestAskingTheProvider:
    """A number that only the provider knows is asked about; what is ours is booked, once, and nothing else moves."""

    @pytest.fixture
    def browser(self, django_user_model):
        browser = Client(HTTP_ACCEPT_LANGUAGE="en")
        browser.force_login(django_user_model.objects.create_superuser("asker", password="x" * 20))
        return browser

    def paid_in_silence(self, simulated, method="wechatpay_native") -> tuple[Order, str]:
        """An order whose payment nobody told us of, and the provider's number for it."""
        provider = method.partition("_")[0]
        order = simulated.opened(method)
        done = simulated.control(f"trades/{provider}/{order.order_no}/pay", notify="lost")
        return order, re.search(r"transaction (\d+)", str(done))[1]

    def ask(self, browser, number):
        return browser.post("/admin/look-up/ask/", {"q": number})

    @pytest.mark.parametrize("method", ["wechatpay_native", "alipay_qr"])
    def test_settles_a_payment_of_ours(self, simulated, browser, method):
        order, number = self.paid_in_silence(simulated, method)
        assert look_up(browser, number).context["found"].rows == {}
        answer = self.ask(browser, number)
        order.refresh_from_db()
        assert (order.state, order.transaction_id) == ("paid", number)
        assert f"Order {order.order_no} is settled now" in words(answer)
        assert look_up(browser, number)["Location"] == page_of(order)

    def test_asking_again_books_nothing_twice(self, simulated, browser):
        order, number = self.paid_in_silence(simulated)
        self.ask(browser, number)
        events = OrderEvent.objects.filter(order=order).count()
        assert "booked before" in words(self.ask(browser, number))
        assert Payment.objects.filter(transaction_id=number).count() == 1
        assert OrderEvent.objects.filter(order=order).count() == events

    def test_writes_down_who_asked(self, simulated, browser):
        order, number = self.paid_in_silence(simulated)
        self.ask(browser, number)
        entry = AuditEntry.objects.get(action="ask_by_transaction")
        assert (entry.actor, entry.label, entry.subject_id) == ("asker", number, str(order.pk))
        assert OrderEvent.objects.get(order=order, kind="paid").actor == "staff asker"

    @pytest.mark.parametrize("number", [UNKNOWN, "2026032722001434561234567890"])
    def test_says_when_the_provider_does_not_know_it(self, simulated, browser, number):
        answer = self.ask(browser, number)
        assert "it has no such payment" in words(answer)
        assert "You can answer the player" in words(answer)
        assert (Payment.objects.count(), Case.objects.count()) == (0, 0)

    def test_says_when_the_payment_is_none_of_ours(self, simulated, browser):
        order, number = self.paid_in_silence(simulated)
        order.attempts.update(attempt_no="SOMEBODYELSES")
        answer = self.ask(browser, number)
        assert "which is none of ours" in words(answer)
        assert (Payment.objects.count(), Case.objects.count()) == (0, 0)
        order.refresh_from_db()
        assert order.state == "pending"

    def test_asks_whom_a_person_names(self, simulated, browser):
        order, number = self.paid_in_silence(simulated)
        answer = browser.post("/admin/look-up/ask/", {"q": number, "provider": "alipay"})
        assert "it has no such payment" in words(answer)
        order.refresh_from_db()
        assert order.state == "pending"

    def test_asks_nobody_that_does_not_exist(self, simulated, browser):
        answer = browser.post("/admin/look-up/ask/", {"q": "XY-17902886508", "provider": "nobody"})
        assert answer.status_code == 302

    def test_says_when_a_provider_is_never_asked_by_such_a_number(self, simulated, browser):
        answer = self.ask(browser, "202603271439001234567")  # UnionPay is asked by our own number
        assert "cannot be asked by such a number" in words(answer)
        assert "You can answer the player" not in words(answer)

    def test_says_when_the_provider_cannot_be_asked(self, simulated, browser):
        _order, number = self.paid_in_silence(simulated)
        simulated.weather("error500", "query")
        answer = self.ask(browser, number)
        assert "could not be asked now" in words(answer)
        assert Payment.objects.count() == 0

    def test_takes_a_right_of_its_own(self, simulated, staff):
        browser = staff(LOOKER)
        order, number = self.paid_in_silence(simulated)
        assert self.ask(browser, number).status_code == 403
        order.refresh_from_db()
        assert order.state == "pending"

    def test_asks_nobody_about_a_number_of_nobodys(self, simulated, browser):
        assert self.ask(browser, "player1").status_code == 302
        assert not AuditEntry.objects.filter(action="ask_by_transaction").exists()
