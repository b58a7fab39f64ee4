"""The first page: what waits, whether the money is normal, them or us; for each person what that person may see."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from channels_app.models import Environment, Proposal
from orders.models import Case, CaseKind, DeliveryState, Game, GameStaff, Job, Order
from payments_site.console.home import cases, hours
from payments_site.console.home.cases import DUTIES
from payments_site.console.home.speed import p95, speed
from payments_site.console.home.undelivered import undelivered
from payments_site.console.navigation import GROUPS, Own
from tests.home.conftest import scope_for
from tests.revenue.conftest import fold

SUPPORT = ("orders.view_case", "orders.view_order", "orders.view_payment", "fulfillment.view_delivery")


def open_case(kind, *, game=None, environment="production", amount=100, hours=1, subject=""):
    return Case.objects.create(
        kind=kind, subject=subject or f"{kind} {Case.objects.count()}", environment=environment, game=game,
        amount_minor=amount, currency="CNY", opened_at=timezone.now() - timedelta(hours=hours),
    )  # fmt: skip


def words_of(response) -> str:
    """What the page says, without its tags."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def line_of(home, name):
    return next(row for row in [*home.queue.people, *home.queue.system] if row.name == name)


@pytest.fixture
def production(client):
    """The person looks at real money."""

    def look(browser):
        assert browser.post("/admin/scope/", {"game": "", "environment": "production"}).status_code in (302, 400)
        game = Game.objects.first()
        browser.post("/admin/scope/", {"game": str(game.pk), "environment": "production"})
        return browser

    return look


class TestWhatWaits:
    """Every kind says how many, how much, since when, until when, who and how."""

    def test_every_kind_has_a_duty(self):
        assert set(DUTIES) == set(CaseKind)

    def test_counts_adds_and_links(self, game, staff, production):
        open_case(CaseKind.SECOND_PAYMENT, game=game, amount=32800)
        open_case(CaseKind.SECOND_PAYMENT, game=game, amount=32800, hours=2)
        open_case(CaseKind.AMOUNT_DIFFERS, game=game, amount=6800, hours=5.4)
        response = production(staff(superuser=True)).get("/admin/")
        home = response.context["home"]
        twice = line_of(home, "Paid twice")
        assert (twice.count, twice.money, twice.oldest, twice.late) == (2, "¥656.00", "2 h 00 m", False)
        assert twice.address.endswith("/admin/orders/case/?status=second_payment")
        assert "3 cases</strong> wait for a person (¥724.00)." in home.lead

    def test_over_the_limit_is_said(self, game, staff, production):
        open_case(CaseKind.AMOUNT_DIFFERS, game=game, hours=5.4)
        response = production(staff(superuser=True)).get("/admin/")
        assert line_of(response.context["home"], "Amount differs").late
        assert "limit 4 h over" in words_of(response)

    def test_kinds_with_nothing_open_share_one_line(self, game, staff, production):
        open_case(CaseKind.AMOUNT_DIFFERS, game=game)
        home = production(staff(superuser=True)).get("/admin/").context["home"]
        assert "Paid twice" in home.queue.idle
        assert "Amount differs" not in home.queue.idle

    def test_nothing_waits(self, game, staff, production):
        case = open_case(CaseKind.AMOUNT_DIFFERS, game=game)
        Case.objects.filter(pk=case.pk).update(closed_at=timezone.now(), closed_by="lin", decision="explained")
        said = words_of(production(staff(superuser=True)).get("/admin/"))
        assert "Nothing waits for a person; the last case was closed at" in said

    def test_goods_on_their_way_are_not_counted_as_waiting_for_people(self, game, counter, staff, production):
        counter.sell(timezone.now() - timedelta(minutes=38), amount=184600, zone="12")
        home = production(staff(superuser=True)).get("/admin/").context["home"]
        (retried,) = home.queue.system
        assert (retried.count, retried.money, retried.oldest) == (1, "¥1,846.00", "38 m")
        assert home.queue.total == 0
        assert "1 order is being retried; nothing is lost." in home.lead
        assert home.speed.missing_where == "all in zone 12"

    def test_sandbox_cases_are_not_in_production(self, game, staff, production):
        open_case(CaseKind.AMOUNT_DIFFERS, game=game, environment="sandbox")
        assert production(staff(superuser=True)).get("/admin/").context["home"].queue.total == 0

    def test_proposals_and_stopped_jobs_wait_too(self, game, staff, production):
        browser = staff(superuser=True)
        now = timezone.now()
        Proposal.objects.create(
            kind="account.new", subject="y", payload_sealed=b"", payload_sha256="", reason="because", requested_at=now,
            expires_at=now + timedelta(days=1), requested_by=User.objects.create_user("colleague"),
        )  # fmt: skip
        Job.objects.create(
            kind="export", asked={}, title="Orders", environment=Environment.PRODUCTION, requested_by="lin",
            created_at=now - timedelta(minutes=20),
        )  # fmt: skip
        home = production(browser).get("/admin/").context["home"]
        assert line_of(home, "For a second person").count == line_of(home, "Stopped work").count == 1


class TestRoles:
    """Who may not see totals sees what waits and whether everything works."""

    def test_customer_service_sees_no_turnover(self, game, counter, staff, production):
        counter.deliver(counter.sell(timezone.now(), amount=123400), timezone.now())
        open_case(CaseKind.SECOND_PAYMENT, game=game)
        response = production(staff(*SUPPORT)).get("/admin/")
        home = response.context["home"]
        assert (home.today, home.shares, home.no_figures) == (None, None, "")
        assert home.queue.total == 1
        assert [cell.name for cell, _trend in home.cells][-1] == "This system"
        assert "1,234.00" not in words_of(response)

    def test_whoever_may_see_totals_sees_them(self, game, counter, staff, production):
        counter.sell(timezone.now(), amount=123400)
        response = production(staff(*SUPPORT, "orders.view_totals")).get("/admin/")
        assert "¥1,234.00" in words_of(response)

    def test_staff_of_another_game_see_nothing_of_this_one(self, game, counter, staff):
        counter.sell(timezone.now(), amount=123400)
        open_case(CaseKind.SECOND_PAYMENT, game=game)
        open_case(CaseKind.UNKNOWN_ORDER)
        other = Game.objects.create(code="other", name="Other")
        browser = staff(*SUPPORT, "orders.view_totals")
        GameStaff.objects.create(user=User.objects.get(), game=other)
        browser.post("/admin/scope/", {"game": str(other.pk), "environment": "production"})
        response = browser.get("/admin/")
        assert response.context["home"].queue.total == 0
        assert "1,234.00" not in words_of(response)
        assert "Demo" not in words_of(response)

    def test_somebody_without_a_role_is_told_so(self, game, staff):
        assert "Your account has no role yet" in words_of(staff().get("/admin/"))


class TestFigures:
    """The panels say what the rows say, in either language, or why they say nothing."""

    @pytest.fixture
    def sold(self, game, counter):
        now = timezone.now()
        for days in (8, 7, 1, 0):
            counter.deliver(counter.sell(now - timedelta(days=days, seconds=9)), now - timedelta(days=days, seconds=8))
        fold()

    def test_the_page_obeys_the_strict_content_policy(self, sold, staff, production):
        page = production(staff(superuser=True)).get("/admin/").content.decode()
        assert page.count("<svg") > 8
        assert not re.search(r"<[^>]+ style=", page)
        assert not re.search(r"<[^>]+ on\w+=", page)

    def test_no_english_is_left_in_chinese(self, sold, staff, production):
        open_case(CaseKind.SECOND_PAYMENT)
        home = production(staff(superuser=True, language="zh-hans")).get("/admin/").content.decode()
        body = home[home.index('<div id="home">') : home.index('<nav class="phone-navigation"')]
        said = re.sub(r"<[^>]+>", " ", body)
        assert set(re.findall(r"[A-Za-z]{3,}", said)) <= {"CNY", "Official"}
        assert "已超" not in said
        assert "重复付款" in said

    def test_by_method_too(self, sold, staff, production):
        home = production(staff(superuser=True)).get("/admin/?by=method").context["home"]
        assert [row.name for row in home.shares.rows] == ["WeChat Pay (app)"]
        assert home.shares.total.money == home.today.lines[0].now

    def test_without_orders_the_axis_and_words_stay(self, game, staff, production):
        response = production(staff(superuser=True)).get("/admin/")
        assert response.content.decode().count("<svg") > 2
        assert "Nothing received on these days." in words_of(response)

    def test_while_sums_are_far_behind_no_figure_is_shown(self, sold, counter, staff, production, monkeypatch):
        counter.sell(timezone.now())
        monkeypatch.setattr(hours, "LONGEST_TAIL", 1)
        response = production(staff(superuser=True)).get("/admin/")
        assert response.context["home"].today is None
        assert "so none are shown" in words_of(response)

    def test_without_any_game_it_opens(self, db, staff):
        assert "No game yet" in words_of(staff(superuser=True).get("/admin/"))


class TestLinks:
    """A figure leads to the rows it counts."""

    @pytest.fixture
    def page(self, game, counter, staff, production):
        now = timezone.now()
        for channel in ("official", "official", "huawei"):
            counter.sell(now - timedelta(seconds=9), channel=channel)
        counter.order(now - timedelta(seconds=8))
        counter.sell(now - timedelta(days=3))
        open_case(CaseKind.SECOND_PAYMENT, game=game)
        open_case(CaseKind.AMOUNT_DIFFERS, game=game)
        self.browser = production(staff(superuser=True))
        return self.browser.get("/admin/").context["home"]

    def rows(self, address):
        return len(self.browser.get(address).context["cl"].result_list)

    def test_of_today_to_the_orders_of_today(self, page):
        found = {line.name: (line.now, self.rows(line.address)) for line in page.today.lines if line.address}
        assert found == {
            "Received": ("¥18.00", 3), "Orders made": ("4", 4), "Paid orders": ("3", 3), "Refunds": ("¥0.00", 0),
        }  # fmt: skip

    def test_of_a_channel_to_its_orders(self, page):
        assert [(row.orders, self.rows(row.address)) for row in page.shares.rows] == [("2", 2), ("1", 1)]

    def test_of_cases_to_the_cases(self, page):
        assert [self.rows(row.address) for row in page.queue.people] == [1, 1]
        assert self.rows(page.queue.all_address) == 2

    def test_of_goods_on_their_way_to_the_list(self, page):
        assert [self.browser.get(row.address).status_code for row in page.queue.system] == [200]


class TestSpeed:
    """From payment to goods, and what has not arrived."""

    def test_buckets_percentiles_and_what_is_missing(self, game, counter):
        now = timezone.now()
        scope = scope_for(game)
        start = now - timedelta(minutes=30)
        for took in (0.5, 0.8, 2, 9, 59, 61, 3600):
            counter.deliver(counter.sell(start), start + timedelta(seconds=took))
        counter.sell(start)
        counter.sell(now - timedelta(seconds=5))  # has still time
        found = speed(scope, since=now - timedelta(hours=1), now=now)
        assert found.counts == [2, 1, 1, 1, 1, 1]
        assert (found.paid, found.within_goal, found.judged, found.met) == (9, 5, 8, False)
        assert (found.half, found.most) == (9.0, 3600.0)
        assert undelivered(scope, now=now).count == 2

    def test_p95_counts_only_what_was_there_by_then(self, game, counter):
        until = timezone.now() - timedelta(days=1)
        start = until - timedelta(minutes=10)
        counter.deliver(counter.sell(start), start + timedelta(seconds=3))
        counter.deliver(counter.sell(start), until + timedelta(hours=2))
        assert p95(scope_for(game), until=until) == 3.0

    def test_a_provider_whose_clock_is_ahead_makes_no_negative_time(self, game, counter):
        now = timezone.now()
        order = counter.deliver(counter.sell(now - timedelta(minutes=2)), now - timedelta(minutes=1))
        Order.objects.filter(pk=order.pk).update(paid_at=now)
        assert speed(scope_for(game), since=now - timedelta(hours=1), now=now).half == 0.0

    def test_parked_goods_are_not_said_to_be_retried(self, game, counter):
        order = counter.sell(timezone.now())
        Order.objects.filter(pk=order.pk).update(delivery_state=DeliveryState.PARKED)
        assert undelivered(scope_for(game), now=timezone.now()).count == 0


class TestNavigation:
    """Pages are grouped by work; a number says what waits; "Add" is offered to who may."""

    def groups(self, browser):
        return {str(group["name"]): group["models"] for group in browser.get("/admin/").context["app_list"]}

    def test_groups_follow_the_work(self, game, staff):
        groups = self.groups(staff(superuser=True))
        assert list(groups)[:3] == ["Orders and support", "Delivery", "Finance"]
        assert [page["name"] for page in groups["Orders and support"]][:2] == ["Cases", "Orders"]

    def test_the_badge_counts_what_waits_for_people(self, game, counter, staff, production):
        open_case(CaseKind.SECOND_PAYMENT, game=game)
        open_case(CaseKind.SECOND_PAYMENT, game=game, environment="sandbox")
        counter.sell(timezone.now())  # on its way by itself
        browser = production(staff(superuser=True))
        (cases_page, *_others) = self.groups(browser)["Orders and support"]
        assert cases_page["waiting"] == 1
        assert '<span class="badge"' in browser.get("/admin/orders/order/").content.decode()

    def test_nobody_adds_history(self, game, staff):
        addable = {
            page["name"]
            for pages in self.groups(staff(superuser=True)).values()
            for page in pages
            if page.get("add_url")
        }
        assert addable.isdisjoint({"Cases", "Orders", "Payments", "Deliveries", "Goods ledger", "Notifications"})

    def test_nothing_registered_is_lost(self, game, staff):
        from django.contrib import admin

        browser = staff(superuser=True)
        shown = {
            page["admin_url"] for pages in self.groups(browser).values() for page in pages if page.get("admin_url")
        }
        request = browser.get("/admin/").wsgi_request
        for model, model_admin in admin.site._registry.items():
            if model_admin.has_module_permission(request) and model_admin.has_view_permission(request):
                assert f"/admin/{model._meta.app_label}/{model._meta.model_name}/" in shown

    def test_a_page_without_a_table_appears_for_who_may(self, game, staff):
        own = [page for group in GROUPS for page in group.pages if isinstance(page, Own)]
        assert own
        pages = self.groups(staff("orders.view_order")).values()
        assert not {page["name"] for group in pages for page in group} & {str(page.name) for page in own}


class TestScope:
    """What is looked at is chosen once, said on every page, and never mixes."""

    def test_a_choice_holds_on_every_page(self, game, staff):
        browser = staff(superuser=True)
        browser.post("/admin/scope/", {"game": str(game.pk), "environment": "sandbox"})
        for address in ("/admin/", "/admin/orders/order/"):
            assert "Sandbox, not real money" in words_of(browser.get(address))

    def test_it_goes_back_to_where_it_was_chosen_and_nowhere_else(self, game, staff):
        browser = staff(superuser=True)
        chosen = {"game": str(game.pk), "environment": "production"}
        assert browser.post("/admin/scope/", {**chosen, "next": "/admin/orders/order/"}).url == "/admin/orders/order/"
        assert browser.post("/admin/scope/", {**chosen, "next": "https://evil.example/"}).url == "/admin/"

    def test_a_game_of_others_cannot_be_chosen(self, game, staff):
        other = Game.objects.create(code="other", name="Other")
        browser = staff("orders.view_order")
        GameStaff.objects.create(user=User.objects.get(), game=other)
        assert browser.post("/admin/scope/", {"game": str(game.pk), "environment": "production"}).status_code == 400
        assert browser.post("/admin/scope/", {"game": "x", "environment": "production"}).status_code == 400
        assert browser.get("/admin/").context["console_scope"].games == (other,)

    def test_games_on_different_clocks_are_not_looked_at_together(self, game, staff):
        Game.objects.create(code="late", name="Late", day_turns_at_hour=5)
        scope = staff(superuser=True).get("/admin/").context["console_scope"]
        assert (scope.game, scope.may_take_all) == (game, False)

    def test_games_that_share_a_clock_are(self, game, staff):
        second = Game.objects.create(code="second", name="Second")
        scope = staff(superuser=True).get("/admin/").context["console_scope"]
        assert (scope.game, scope.games, scope.name) == (None, (game, second), "All games")

    def test_a_choice_that_is_gone_does_no_harm(self, game, staff):
        browser = staff(superuser=True)
        second = Game.objects.create(code="second", name="Second")
        browser.post("/admin/scope/", {"game": str(second.pk), "environment": "sandbox"})
        second.delete()
        assert browser.get("/admin/").context["console_scope"].games == (game,)

    def test_where_only_play_money_is_set_up_that_is_what_is_shown(self, game, wechat_account, staff):
        assert staff(superuser=True).get("/admin/").context["console_scope"].is_sandbox

    def test_the_clock_is_named(self, game, staff):
        assert "Beijing time UTC+8" in words_of(staff(superuser=True).get("/admin/"))


class TestSums:
    """Amounts of one list stand in their own currencies."""

    def test_currencies_are_not_added(self, game):
        open_case(CaseKind.SECOND_PAYMENT, game=game, amount=100)
        case = open_case(CaseKind.SECOND_PAYMENT, game=game, amount=100)
        Case.objects.filter(pk=case.pk).update(currency="USD")
        person = User.objects.create_user("lin")
        person.user_permissions.add(Permission.objects.get(codename="view_case"))
        found = cases.queue(person, scope_for(game), now=timezone.now(), failing_since=[], undelivered=None)
        assert found.sums == ["¥1.00", "$1.00"]
        assert found.people[0].count == 2
