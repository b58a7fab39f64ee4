"""A report says what the raw rows say, at every instant and on the game's own clock."""

import itertools
from datetime import date, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from channels_app.models import Environment
from orders.auditing import examine
from orders.models import Game, Order, RevenueDay, RevenueDayByChannel, RevenueHour
from orders.revenue.periods import Against, Days, Grain, custom_days, held_against, named_days, usual_grain
from orders.revenue.proof import INVARIANTS
from orders.revenue.rebuilding import rebuild_revenue
from orders.revenue.report import (
    Asked,
    Group,
    add_up,
    backlog,
    count_payers,
    currencies,
    make_report,
    paid_orders,
    sums_parameters,
    sums_statement,
)
from tests.revenue.conftest import Till, at, fold, raw

pytestmark = pytest.mark.django_db(transaction=True)

NOON = at("2026-03-02 12:00")


def figures_of(asked) -> dict:
    total = add_up(asked).total
    return {name: getattr(total, name) for name in raw(asked)}


def broken() -> list[str]:
    return [finding.invariant.says for finding in examine(INVARIANTS) if finding.broken]


class TestWhateverIsFolded:
    """Sums and what is not folded yet always add up to the raw rows."""

    @pytest.mark.parametrize("folded", ["nothing", "half", "all"])
    def test_the_report_is_the_same(self, till, folded):
        for number in range(6):
            order = till.sell(NOON + timedelta(hours=3 * number), uid=f"p{number % 4}")
            if number == 2:
                till.refund(order, NOON + timedelta(days=1), 100)
            if number == 3 and folded == "half":
                fold()
        till.order(NOON)
        if folded == "all":
            fold()
        assert (backlog() == 0) == (folded == "all")
        asked = till.asked("2026-03-01", "2026-03-05")
        assert figures_of(asked) == raw(asked)
        report = make_report(asked, compared=None, with_payers=True)
        assert (report.now.total.new_payers, report.payers.total) == (4, 4)
        assert report.now.total.net_minor == 6 * 600 - 100

    def test_a_player_who_paid_before_is_not_new_in_the_tail(self, till):
        till.sell(NOON, uid="a")
        fold()
        till.sell(NOON + timedelta(days=1), uid="a")
        till.sell(NOON + timedelta(days=1), uid="b")
        till.sell(NOON + timedelta(days=1), uid="b")
        assert add_up(till.asked("2026-03-03", "2026-03-03")).total.new_payers == 1


class TestGroups:
    """Rows add up to the total, whatever they are grouped by."""

    @pytest.mark.parametrize("group", list(Group))
    def test_rows_and_columns_add_up(self, till, group):
        for number in range(8):
            order = till.sell(
                NOON + timedelta(days=number), uid=f"p{number % 3}", channel=f"c{number % 2}", zone=str(number % 3),
                product=f"x{number % 2}", method=("alipay_app", "wechatpay_app")[number % 2], amount=100 + number,
            )  # fmt: skip
            if number == 4:
                fold()
        till.refund(order, NOON + timedelta(days=8), 7)
        asked = till.asked("2026-03-01", "2026-03-20", group=group)
        report = make_report(asked, compared=None, with_payers=True)
        for name in ("paid", "gross_minor", "refunded_minor", "new_payers"):
            assert sum(getattr(row, name) for row in report.now.rows.values()) == getattr(report.now.total, name)
        assert sum(report.now.gross.values()) == report.now.total.gross_minor == sum(range(100, 108))
        assert report.payers.total == 3
        assert set(report.payers.rows) == {key for key, row in report.now.rows.items() if row.paid}

    def test_filters_narrow_both_the_sums_and_the_tail(self, till):
        till.sell(NOON, channel="a", zone="1", product="x", method="alipay_app", uid="p1")
        till.sell(NOON, channel="b", zone="2", product="y", method="wechatpay_app", uid="p2")
        fold()
        till.sell(NOON, channel="a", zone="1", product="x", method="alipay_app", uid="p3")
        till.sell(NOON, channel="b", zone="", product="y", method="wechatpay_app", uid="p4")
        for filters, paid in (
            ({"channel": "a"}, 2), ({"zone": "2"}, 1), ({"zone": ""}, 1), ({"product": "y"}, 2),
            ({"method": "alipay_app"}, 2), ({"channel": "a", "zone": "2"}, 0),
        ):  # fmt: skip
            asked = till.asked("2026-03-02", "2026-03-02", **filters)
            assert add_up(asked).total.paid == paid == count_payers(asked).total

    def test_money_of_two_currencies_is_never_added(self, till):
        till.sell(NOON, amount=600)
        till.sell(NOON, amount=600)
        fold()
        till.sell(NOON, amount=99, currency="USD")
        assert currencies(games=[till.game], environment=Environment.PRODUCTION) == ["CNY", "USD"]
        assert add_up(till.asked("2026-03-02", "2026-03-02")).total.gross_minor == 1200
        assert add_up(till.asked("2026-03-02", "2026-03-02", currency="USD")).total.gross_minor == 99

    def test_a_player_of_two_games_counts_once_in_each(self, till, game):
        other = Game.objects.create(code="other", name="Other")
        till.sell(NOON, uid="same")
        Till(other).sell(NOON, uid="same")
        asked = till.asked("2026-03-02", "2026-03-02", games=[game, other], group=Group.GAME)
        assert count_payers(asked).rows == {game.pk: 1, other.pk: 1}
        assert count_payers(asked).total == 2


class TestClocks:
    """A day is the game's own: its zone, the hour its day turns, and daylight saving time."""

    def test_a_day_that_turns_at_five(self, till, game):
        Game.objects.filter(pk=game.pk).update(day_turns_at_hour=5)
        game.refresh_from_db()
        till.sell(at("2026-03-02 04:59:59"))
        till.sell(at("2026-03-02 05:00:00"))
        for folded in (False, True):
            if folded:
                fold()
            assert add_up(till.asked("2026-03-01", "2026-03-01")).total.paid == 1
            assert add_up(till.asked("2026-03-02", "2026-03-02")).total.paid == 1
            assert count_payers(till.asked("2026-03-01", "2026-03-01")).total == 1
        hours = RevenueHour.objects.filter(paid=1).order_by("day").values_list("day", "hour")
        assert list(hours) == [(date(2026, 3, 1), 23), (date(2026, 3, 2), 0)]

    def test_two_games_on_two_clocks(self, till, game):
        far = Game.objects.create(code="far", name="Far", time_zone="America/Los_Angeles", day_turns_at_hour=3)
        moment = at("2026-03-02 12:00")  # 2026-03-01 20:00 in Los Angeles
        till.sell(moment)
        Till(far).sell(moment)
        fold()
        assert dict(RevenueDay.objects.filter(paid=1).values_list("game__code", "day")) == {
            "demo": date(2026, 3, 2),
            "far": date(2026, 3, 1),
        }
        assert broken() == []

    def test_days_of_23_and_25_hours_lose_nothing(self, game):
        Game.objects.filter(pk=game.pk).update(time_zone="Europe/Berlin")
        game.refresh_from_db()
        till = Till(game)
        for first, hours in (("2026-03-28 22:30", 26), ("2026-10-24 22:30", 28)):
            for hour in range(hours):
                till.sell(at(first, "UTC") + timedelta(hours=hour), uid=f"{first}{hour}")
        fold()
        for day, sold in (("2026-03-29", 23), ("2026-10-25", 25)):
            asked = till.asked(day, day)
            assert figures_of(asked) == raw(asked)
            assert add_up(asked).total.paid == sold == count_payers(asked).total
        assert broken() == []

    def test_another_clock_moves_all_days_at_once(self, till, game, staff):
        till.sell(at("2026-03-02 02:00"), uid="a")
        till.sell(at("2026-03-02 23:00"), uid="b")
        fold()
        till.sell(at("2026-03-02 03:00"), uid="a")  # in the tail
        browser = staff("orders.view_game", "orders.change_game")
        answer = browser.post(
            f"/admin/orders/game/{game.pk}/change/",
            {"name": "Demo", "time_zone": "Asia/Shanghai", "day_turns_at_hour": 4, "return_url": "", "support_url": ""},
        )
        assert answer.status_code == 302, answer.content
        game.refresh_from_db()
        assert add_up(till.asked("2026-03-01", "2026-03-01")).total.paid == 2
        assert add_up(till.asked("2026-03-02", "2026-03-02")).total.paid == 1
        assert broken() == []

    def test_a_game_of_many_orders_changes_its_clock_by_command(self, till, game, staff, monkeypatch, capsys):
        monkeypatch.setattr("orders.revenue.rebuilding.QUICK_ORDERS", 1)
        till.sell(at("2026-03-02 02:00"))
        till.sell(at("2026-03-02 23:00"))
        fold()
        answer = staff("orders.view_game", "orders.change_game").post(
            f"/admin/orders/game/{game.pk}/change/",
            {"name": "Demo", "time_zone": "Asia/Shanghai", "day_turns_at_hour": 4, "return_url": "", "support_url": ""},
        )
        assert "manage.py rebuild_revenue demo" in answer.content.decode()
        game.refresh_from_db()
        assert game.day_turns_at_hour == 0
        call_command("rebuild_revenue", "demo", "--day-turns-at", "4")
        game.refresh_from_db()
        assert add_up(till.asked("2026-03-01", "2026-03-01")).total.paid == 1
        assert broken() == []


class TestTheProof:
    """The audit finds every fen by which sums and raw rows differ, and rebuilding mends it."""

    @pytest.mark.parametrize("table", [RevenueDay, RevenueDayByChannel, RevenueHour])
    def test_one_fen_too_much_is_found_and_mended(self, till, table, capsys):
        till.sell(NOON)
        fold()
        assert broken() == []
        table.objects.filter(paid=1).update(gross_minor=601)
        assert len(broken()) == 1
        call_command("rebuild_revenue", "demo")
        assert broken() == []
        assert table.objects.get(paid=1).gross_minor == 600

    def test_a_wrong_first_payer_is_found(self, till):
        till.sell(NOON, uid="a")
        fold()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE orders_payer SET first_event = first_event + 1")
        assert any("first-time payer" in says for says in broken())
        rebuild_revenue(till.game)
        assert broken() == []

    def test_rebuilding_one_game_leaves_the_others_and_the_cursor_alone(self, till):
        other = Till(Game.objects.create(code="other", name="Other"))
        till.sell(NOON)
        other.sell(NOON)
        fold()
        till.sell(NOON)  # not folded
        kept = list(RevenueDay.objects.filter(game=other.game).order_by("pk").values())
        assert rebuild_revenue(till.game) == 3
        assert list(RevenueDay.objects.filter(game=other.game).order_by("pk").values()) == kept
        assert add_up(till.asked("2026-03-02", "2026-03-02")).total.paid == 2
        fold()
        assert broken() == []


class TestPeriods:
    """Presets, days of one's own, and what they are held against."""

    TODAY = date(2026, 3, 27)

    def test_presets(self):
        day = date.fromisoformat
        assert named_days("month", today=self.TODAY) == Days(day("2026-03-01"), self.TODAY)
        assert named_days("last_month", today=self.TODAY) == Days(day("2026-02-01"), day("2026-02-28"))
        assert named_days("7days", today=self.TODAY) == Days(day("2026-03-21"), self.TODAY)
        assert named_days("12months", today=self.TODAY) == Days(day("2025-04-01"), self.TODAY)
        assert named_days("for ever", today=self.TODAY) is None

    def test_own_days_are_bounded_and_strangers_refused(self):
        assert len(custom_days("2020-01-01", "2026-03-27", today=self.TODAY)) == 400
        assert custom_days("2026-03-27", "2026-03-01", today=self.TODAY) == Days(date(2026, 3, 1), self.TODAY)
        for typed in ("", "yesterday", "2026-02-30", "0001-01-01", "9999-12-31"):
            assert custom_days(typed, typed, today=self.TODAY) is None

    def test_what_they_are_held_against(self):
        march = Days(date(2026, 3, 1), date(2026, 3, 31))
        assert held_against(march, Against.LAST_MONTH) == Days(date(2026, 2, 1), date(2026, 2, 28))
        assert held_against(march, Against.PREVIOUS) == Days(date(2026, 1, 29), date(2026, 2, 28))
        leap = Days(date(2028, 2, 29), date(2028, 2, 29))
        assert held_against(leap, Against.LAST_YEAR) == Days(date(2027, 2, 28), date(2027, 2, 28))
        assert held_against(march, Against.NOTHING) is None

    def test_columns_cover_the_period_without_a_gap(self):
        days = Days(date(2025, 12, 30), date(2026, 3, 3))
        for grain in Grain:
            columns = days.columns(grain)
            assert (columns[0].first, columns[-1].last) == (days.first, days.last)
            assert all(one.last + timedelta(days=1) == next_.first for one, next_ in itertools.pairwise(columns))
        assert len(days.columns(Grain.MONTH)) == 4
        assert usual_grain(days) is Grain.WEEK


class TestPlans:
    """A report reads a range of an index, never a whole table."""

    @pytest.fixture
    def full(self, till):
        """A till with some thousand orders, folded, and one that is not."""
        one = till.order(NOON)
        names = [field.column for field in Order._meta.concrete_fields if field.column != "id"]
        made = {
            "order_no": "'B' || n",
            "client_ref": "'B' || n",
            "zone_id": "mod(n, 50)::text",
            "created_at": "created_at + n * interval '2 hours'",
            "expires_at": "expires_at + n * interval '2 hours'",
        }
        picked = ", ".join(made.get(name, name) for name in names)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO orders_order ({', '.join(names)}) SELECT {picked} FROM orders_order,"
                " generate_series(1, 3000) AS n WHERE id = %s",
                [one.pk],
            )
            cursor.execute(
                "INSERT INTO orders_orderevent (order_id, kind, at, actor, data)"
                " SELECT id, 'created', created_at, 'test', '{}' FROM orders_order WHERE id <> %s",
                [one.pk],
            )
            fold()
            till.sell(NOON)
            cursor.execute("ANALYZE")
        return till

    def plan(self, asked) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sums_statement(asked)}", sums_parameters(asked))
            return [line for (line,) in cursor.fetchall()]

    def test_the_tail_is_read_by_its_keys_alone(self, full):
        month = full.asked("2026-05-01", "2026-05-31")
        assert add_up(month).total.made > 300
        plan = self.plan(month)
        for index in ("orders_orderevent_pkey", "orders_order_pkey"):
            assert [line for line in plan if f"Index Scan using {index}" in line], plan
        big = ("orders_order ", "orders_orderevent")
        assert not [line for line in plan if "Seq Scan" in line and any(table in line for table in big)]

    @pytest.mark.parametrize(
        ("group", "table", "index"),
        [
            (Group.CHANNEL, "orders_revenuedaybychannel", "revenue_day_by_channel_once"),
            (Group.MONTH, "orders_revenuedaybychannel", "revenue_day_by_channel_once"),
            (Group.ZONE, "orders_revenueday", "revenue_day_once"),
        ],
    )
    def test_sums_are_a_range_of_an_index(self, full, group, table, index):
        with connection.cursor() as cursor:
            # A few hundred rows are read faster whole; what is asked here is whether the index would do.
            cursor.execute("SET enable_seqscan = off")
            plan = self.plan(full.asked("2026-05-01", "2026-05-31", group=group))
            cursor.execute("RESET enable_seqscan")
        assert [line for line in plan if index in line], plan
        assert {line.split(" on ")[1].split()[0] for line in plan if " on orders_revenueday" in line} == {table}

    def test_payers_are_counted_within_bounds_of_keys(self, till, monkeypatch):
        monkeypatch.setattr("channels_app.console.periods._WORTH_BOUNDING", 0)
        monkeypatch.setattr("channels_app.console.periods._CLOSE_ENOUGH", 1)
        for number in range(40):
            till.sell(NOON + timedelta(days=number))
        rows = paid_orders(till.asked("2026-03-20", "2026-03-21"))
        conditions = str(rows.query)
        assert '"orders_order"."id" >= ' in conditions
        assert '"orders_order"."id" < ' in conditions
        first, last = Order.objects.order_by("pk").values_list("pk", flat=True)[0], Order.objects.order_by("-pk")[0].pk
        bounds = [where.rhs for where in rows.query.where.children if where.lhs.target.name == "id"]
        assert first < min(bounds) < max(bounds) < last
        assert count_payers(till.asked("2026-03-20", "2026-03-21")).total == 1
        assert rows.count() == 2


class TestStaff:
    """Whoever asks for nothing gets nothing."""

    def test_a_game_without_orders_has_an_empty_report(self, till):
        report = make_report(till.asked("2026-03-01", "2026-03-31"), compared=None, with_payers=True)
        assert (report.now.total.gross_minor, dict(report.now.rows), report.payers.total) == (0, {}, 0)
        assert isinstance(till.asked("2026-03-01", "2026-03-31"), Asked)
