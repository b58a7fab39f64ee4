"""Leafing and narrowing: what a list shows, in which order, and what it does with whatever the address bar says."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels_app.console.filters import AmountFilter, parameters_of
from fulfillment.models import Delivery, WebhookMessage
from orders.models import Case, Order, Payment
from tests.console.conftest import list_of, page_of

OPERATOR = ("orders.view_order", "orders.list_orders")


def keys_on(answer) -> list:
    return [row.pk for row in answer.context["cl"].result_list]


def made_ago(order, **ago) -> None:
    """Move an order into the past."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE orders_order SET created_at = created_at - %s, expires_at = expires_at - %s,"
            " paid_at = paid_at - %s, settled_at = settled_at - %s, delivered_at = delivered_at - %s WHERE id = %s",
            [timedelta(**ago)] * 5 + [order.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


class TestLeafing:
    """Older and newer are places in the list, not page numbers: rows that arrive move nothing."""

    @pytest.fixture
    def forty(self, shop):
        return [shop.order(f"leafing{number}") for number in range(40)][::-1]

    def test_shows_the_newest_first_a_screen_at_a_time(self, forty, staff):
        browser = staff(*OPERATOR)
        answer = browser.get(list_of(Order))
        assert keys_on(answer) == [order.pk for order in forty[:18]]
        assert answer.context["cl"].newer_address == ""

    def test_older_and_newer_pages_join_without_a_gap(self, forty, staff):
        browser = staff(*OPERATOR)
        first = browser.get(list_of(Order)).context["cl"]
        second = browser.get(list_of(Order) + first.older_address)
        third = browser.get(list_of(Order) + second.context["cl"].older_address)
        assert keys_on(second) + keys_on(third) == [order.pk for order in forty[18:]]
        assert third.context["cl"].older_address == ""
        back = browser.get(list_of(Order) + third.context["cl"].newer_address)
        assert keys_on(back) == keys_on(second)

    def test_a_page_stays_what_it_is_while_orders_arrive(self, forty, staff, shop):
        browser = staff(*OPERATOR)
        older = browser.get(list_of(Order)).context["cl"].older_address
        before = keys_on(browser.get(list_of(Order) + older))
        arrived = [shop.order("new").pk for _ in range(5)]
        after = browser.get(list_of(Order) + older)
        assert keys_on(after) == before
        top = browser.get(list_of(Order) + after.context["cl"].newer_address)
        assert len(keys_on(top)) == 18
        assert set(arrived) & set(keys_on(top)) == set()
        assert keys_on(browser.get(list_of(Order) + top.context["cl"].newer_address))[:5] == arrived[::-1]

    def test_the_top_is_a_full_page_again(self, forty, staff):
        answer = staff(*OPERATOR).get(list_of(Order), {"newer": forty[3].pk})
        assert keys_on(answer) == [order.pk for order in forty[:18]]

    @pytest.mark.parametrize(("size", "shown"), [("18", 18), ("50", 40), ("100", 40), ("7", 18), ("x", 18)])
    def test_holds_as_many_as_were_asked_for(self, forty, staff, size, shown):
        assert len(keys_on(staff(*OPERATOR).get(list_of(Order), {"size": size}))) == shown

    def test_keys_that_are_no_numbers_work_too(self, busy_shop, staff):
        for _ in range(20):
            busy_shop.purchase(f"p{busy_shop.made}", f"42000000000000000000000000{busy_shop.made:02}")
        browser = staff("fulfillment.view_delivery", "orders.list_orders")
        first = browser.get(list_of(Delivery))
        second = browser.get(list_of(Delivery) + first.context["cl"].older_address)
        assert keys_on(first) + keys_on(second) == list(Delivery.objects.order_by("-pk").values_list("pk", flat=True))

    def test_counts_nothing_unless_asked(self, forty, staff, django_assert_max_num_queries):
        text = staff(*OPERATOR).get(list_of(Order)).content.decode()
        assert "the list counts no total" in text


class TestPeriods:
    """A list is always of some days, on the game's clock; what must be acted on is shown whatever its age."""

    @pytest.fixture
    def old_and_new(self, shop):
        """Orders of today, yesterday, six days ago and two months ago."""
        orders = {name: shop.order(name) for name in ("today", "yesterday", "week", "long")}
        made_ago(orders["yesterday"], days=1)
        made_ago(orders["week"], days=6)
        made_ago(orders["long"], days=60)
        return {name: order.pk for name, order in orders.items()}

    @pytest.mark.parametrize(
        ("asked", "shown"),
        [
            ({}, {"today", "yesterday", "week"}),
            ({"period": "today"}, {"today"}),
            ({"period": "yesterday"}, {"yesterday"}),
            ({"period": "7days"}, {"today", "yesterday", "week"}),
            ({"period": "nonsense"}, {"today", "yesterday", "week"}),
            # Nobody reads the whole table by mistake.
            ({"period": "any"}, {"today", "yesterday", "week"}),
            ({"from": "2020-01-01", "to": "2020-02-01"}, set()),
        ],
    )
    def test_shows_the_orders_of_the_period(self, old_and_new, staff, asked, shown):
        found = set(keys_on(staff(*OPERATOR).get(list_of(Order), asked)))
        assert found == {old_and_new[name] for name in shown}

    def test_takes_days_of_ones_own_both_included(self, old_and_new, staff):
        first = timezone.localdate() - timedelta(days=61)
        asked = {"from": first.isoformat(), "to": (first + timedelta(days=3)).isoformat()}
        answer = staff(*OPERATOR).get(list_of(Order), asked)
        assert keys_on(answer) == [old_and_new["long"]]
        assert answer.context["cl"].period_filter.is_custom()

    def test_goes_by_payment_when_a_link_says_so(self, shop, staff):
        paid = shop.purchase("payer")
        made_ago(paid, days=20)
        browser = staff(*OPERATOR)
        assert keys_on(browser.get(list_of(Order), {"period": "30days", "by": "paid"})) == [paid.pk]
        assert keys_on(browser.get(list_of(Order), {"period": "today", "by": "paid"})) == []

    def test_a_search_looks_at_all_times(self, old_and_new, staff):
        assert keys_on(staff(*OPERATOR).get(list_of(Order), {"q": "long"})) == [old_and_new["long"]]

    def test_what_waits_for_a_person_is_shown_whatever_its_age(self, busy_shop, staff):
        made_ago(busy_shop.waiting, days=90)
        browser = staff(*OPERATOR)
        assert keys_on(browser.get(list_of(Order), {"view": "attention"})) == [busy_shop.waiting.pk]
        assert keys_on(browser.get(list_of(Order), {"view": "attention", "period": "today"})) == []


class TestViews:
    """The lists people come back to are one click away, with a number where somebody must act."""

    @pytest.fixture
    def every_kind(self, busy_shop):
        """One order of each kind that has a view."""
        shop = busy_shop
        twice = shop.purchase("twice", "4200000000000000000000000011")
        again = shop.attempt(twice, attempt_no=twice.order_no + "02")
        shop.pay(again.attempt_no, "4200000000000000000000000012", 600)
        late = shop.order("late")
        shop.attempt(late)
        Order.objects.filter(pk=late.pk).update(state="cancelled", cancel_reason="expired", cancelled_at=timezone.now())
        shop.pay(late.order_no, "4200000000000000000000000013", 600)
        Order.objects.filter(pk=shop.bought.pk).update(refunded_minor=600)
        return {"differs": shop.waiting, "twice": twice, "late": late, "refunded": shop.bought}

    @pytest.mark.parametrize(
        ("view", "shown"),
        [
            ("attention", {"differs", "twice", "late"}),
            ("undelivered", set()),
            ("awaiting", {"differs"}),
            ("twice", {"twice"}),
            ("late", {"late"}),
            ("refunded", {"refunded"}),
            ("clawback", {"refunded"}),
            ("cancelled", {"late"}),
            ("paid", {"twice", "refunded"}),
        ],
    )
    def test_each_shows_its_own(self, every_kind, staff, view, shown):
        found = set(keys_on(staff(*OPERATOR).get(list_of(Order), {"view": view})))
        assert found == {every_kind[name].pk for name in shown}

    def test_numbers_stand_only_where_somebody_must_act(self, every_kind, staff):
        chips = staff(*OPERATOR).get(list_of(Order)).context["cl"].view_chips
        counts = {str(chip.label): chip.count for chip in chips}
        assert counts["needs a person"] == "3"
        assert counts["paid twice"] == "1"
        assert counts["paid after cancel"] == "1"
        assert counts["cancelled"] == ""

    def test_play_money_is_never_counted_with_real(self, every_kind, staff):
        browser = staff(*OPERATOR)
        browser.post("/admin/scope/", {"game": str(every_kind["late"].game_id), "environment": "production"})
        answer = browser.get(list_of(Order))
        assert keys_on(answer) == []
        assert not any(chip.count for chip in answer.context["cl"].view_chips)

    def test_only_rows_that_need_a_look_are_tinted(self, every_kind, staff):
        answer = staff(*OPERATOR).get(list_of(Order))
        row_tone = admin.site.get_model_admin(Order).row_tone
        tones = {row.pk: row_tone(row) for row in answer.context["cl"].result_list}
        assert tones[every_kind["refunded"].pk] == ""
        assert {tones[every_kind[name].pk] for name in ("differs", "twice", "late")} == {"decide"}
        assert answer.content.decode().count('class="row-decide"') == 3

    def test_held_money_and_messages_have_theirs(self, every_kind, staff):
        browser = staff("orders.view_payment", "fulfillment.view_webhookmessage", "orders.list_orders")
        assert len(keys_on(browser.get(list_of(Payment), {"view": "held"}))) == 3
        assert len(keys_on(browser.get(list_of(WebhookMessage), {"untold": "waiting"}))) > 0


class TestNarrowing:
    """Rarer questions are asked by fields; each says exactly what it says."""

    @pytest.mark.parametrize(
        ("asked", "fits"),
        [
            ({"amount": "6"}, True), ({"amount": "6.00"}, True), ({"amount": "¥6"}, True), ({"amount": "5-7"}, True),
            ({"amount": "7-5"}, True), ({"amount": "6.01"}, False), ({"amount": "648"}, False),
            ({"amount": "six"}, True), ({"zone": "3"}, True), ({"zone": "4"}, False),
            ({"product": "gems60"}, True), ({"product": "other"}, True), ({"method": "wechatpay_native"}, True),
            ({"method": "alipay_app"}, False),
        ],
    )  # fmt: skip
    def test_shows_what_fits(self, busy_shop, staff, asked, fits):
        found = keys_on(staff(*OPERATOR).get(list_of(Order), asked))
        assert (busy_shop.bought.pk in found) is fits

    def test_amounts_are_read_as_people_write_them(self):
        read = AmountFilter.read
        assert read(AmountFilter, "1,000.5") == {"amount_minor__gte": 100050, "amount_minor__lte": 100050}
        assert read(AmountFilter, "1-2-3") is None
        assert read(AmountFilter, "1.234") is None
        assert read(AmountFilter, "²") is None

    def test_takes_no_filter_that_is_not_on_offer(self, busy_shop, staff):
        browser = staff(*OPERATOR)
        for lookup in ("attach__contains", "uid", "product__name__icontains", "state__regex"):
            assert browser.get(list_of(Order), {lookup: "x"}).status_code in (302, 400), lookup

    def test_works_without_a_script(self, busy_shop, staff):
        text = staff(*OPERATOR).get(list_of(Order), {"view": "paid", "zone": "3"}).content.decode()
        form = text[text.index('class="list-selects"') :]
        form = form[: form.index("</form>")]
        assert 'name="view" value="paid"' in form
        assert 'name="zone" value="3"' in form
        assert '<button type="submit"' in form


class TestWhoMayLeaf:
    """Customer service looks at single orders by number; only those who may list leaf through all."""

    def test_support_gets_the_box_and_a_sentence_why(self, busy_shop, staff):
        answer = staff("orders.view_order").get(list_of(Order))
        text = answer.content.decode()
        assert keys_on(answer) == []
        assert busy_shop.bought.order_no not in text
        assert "not at whole lists" in text
        assert 'id="searchbar"' in text

    def test_support_finds_an_order_by_its_number_there(self, busy_shop, staff):
        browser = staff("orders.view_order")
        assert keys_on(browser.get(list_of(Order), {"q": busy_shop.bought.order_no})) == [busy_shop.bought.pk]
        assert keys_on(browser.get(list_of(Order), {"q": " "})) == []

    def test_no_view_and_no_count_opens_a_side_door(self, busy_shop, staff):
        browser = staff("orders.view_order", "orders.ask_provider")
        for asked in ({"view": "attention"}, {"period": "today"}, {"amount": "6"}, {"size": "100"}):
            answer = browser.get(list_of(Order), asked)
            assert keys_on(answer) == []
            assert 'class="chip' not in answer.content.decode()
        assert browser.get("/admin/orders/order/bulk/", {"act": "ask", "of": "filter"}).status_code == 403


LISTS = [model for model in admin.site._registry if hasattr(admin.site._registry[model], "list_note")]
_words = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", "0", "-1", "99999999999999999999999", "today", "custom", "any", "9999-12-31", "0001-01-01"]),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"),
)


class TestAddressBar:
    """Whatever stands in the address, a list answers; it never breaks."""

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_no_query_breaks_a_list(self, busy_shop, staff_browser, data):
        model = data.draw(st.sampled_from([Order, Payment, Delivery, WebhookMessage, Case]))
        known = sorted(parameters_of(admin.site.get_model_admin(model).list_filter))
        names = st.sampled_from([*known, "q", "older", "newer", "size", "p", "o", "e", "all", "act", "of", "row"])
        query = data.draw(st.dictionaries(names, _words, max_size=5))
        assert staff_browser.get(list_of(model), query).status_code in (200, 302)

    @pytest.fixture
    def staff_browser(self, staff):
        return staff(superuser=True)

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_every_list_opens_in_both_languages(self, busy_shop, staff, language):
        browser = staff(superuser=True, language=language)
        for model in LISTS:
            answer = browser.get(list_of(model))
            assert answer.status_code == 200, model
            assert f'lang="{language}"' in answer.content.decode()

    def test_links_lead_to_pages(self, busy_shop, staff):
        assert page_of(busy_shop.bought) in staff(*OPERATOR).get(list_of(Order)).content.decode()
