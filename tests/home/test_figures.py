"""Today beside yesterday and last week: right to the minute, whatever is folded and wherever the day turns."""

import random
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from channels_app.models import Environment
from orders.models import EventKind, Order, OrderEvent, OrderState
from payments_site.console.home.figures import DAYS_AGO, day_began, read_hours, same_clock, today
from tests.home.conftest import TillWithGoods, scope_for
from tests.revenue.conftest import at, fold

NOW = at("2026-03-27 14:36")
FIGURES = ("made", "paid", "gross", "refunded")


def counted_by_hand(scope, now, days_ago, currency="CNY"):
    """The figures of one day until the same clock time, from the rows alone."""
    zone, turn = scope.zone, timedelta(hours=scope.turns_at_hour)
    cut = now.astimezone(zone) - timedelta(days=days_ago)
    day = (cut - turn).date()

    def inside(moment):
        local = moment.astimezone(zone)
        # Today nothing is cut: what a provider's clock says of the next minute has been paid all the same.
        return (local - turn).date() == day and (local < cut or not days_ago)

    orders = Order.objects.filter(game__in=scope.games, environment=scope.environment, currency=currency)
    paid = [order for order in orders if order.state == OrderState.PAID and inside(order.paid_at)]
    refunds = OrderEvent.objects.filter(kind=EventKind.REFUNDED, order__in=orders)
    return {
        "made": sum(inside(order.created_at) for order in orders),
        "paid": len(paid),
        "gross": sum(order.amount_minor for order in paid),
        "refunded": sum(event.data["amount"] for event in refunds if inside(event.at)),
    }


def figures(scope, now=NOW):
    return [
        {name: getattr(day.until_cut, name) for name in FIGURES}
        for day in today(scope, read_hours(scope, now=now)).days
    ]


def trade_at_random(till: TillWithGoods, now, seed: int, orders: int = 70):
    """Orders of nine days, some paid long after they were made, some given back."""
    chance = random.Random(seed)
    moments = sorted(
        now
        - timedelta(
            days=chance.choice((0, 0, 1, 1, 7, 7, 8, 2)),
            minutes=chance.randrange(-50, 900),
            seconds=chance.randrange(60),
        )
        for _ in range(orders)
    )
    for moment in (one for one in moments if one <= now):
        order = till.order(
            moment, amount=chance.choice((600, 3000, 6800)), channel=chance.choice(("official", "huawei"))
        )
        if chance.random() < 0.8:
            waits = chance.choice((timedelta(seconds=20), timedelta(minutes=25), timedelta(hours=3), timedelta(days=2)))
            if moment + waits <= now:
                till.pay(order, moment + waits)
                if chance.random() < 0.3 and moment + waits + timedelta(minutes=10) <= now:
                    till.refund(order, moment + waits + timedelta(minutes=10), 100)


@pytest.mark.parametrize("turns_at", [0, 5])
@pytest.mark.parametrize("seed", [1, 2])
class TestTheSameClockTime:
    """Every figure of every day stops at the same time on the wall."""

    @pytest.mark.parametrize("folded", [True, False])
    def test_equals_the_rows_counted_by_hand(self, game, counter, seed, turns_at, folded):
        game.day_turns_at_hour = turns_at
        game.save()
        trade_at_random(counter, NOW, seed)
        if folded:
            fold()
        scope = scope_for(game)
        assert figures(scope) == [counted_by_hand(scope, NOW, days_ago) for days_ago in DAYS_AGO]
        assert sum(day["paid"] for day in figures(scope)) > 5


class TestTheTurnOfTheDay:
    """A game's day turns at its own hour."""

    @pytest.fixture
    def scope(self, game):
        game.day_turns_at_hour = 5
        game.save()
        return scope_for(game)

    def test_at_five_to_five_it_is_still_yesterday(self, scope, counter):
        counter.sell(at("2026-03-27 04:50"))
        (now, _before, _week) = figures(scope, at("2026-03-27 04:55"))
        assert now["paid"] == 1
        assert day_began(scope, at("2026-03-27 04:55")) == at("2026-03-26 05:00")

    def test_at_five_past_five_the_new_day_begins_from_nothing(self, scope, counter):
        counter.sell(at("2026-03-27 04:50"))
        (now, before, _week) = figures(scope, at("2026-03-27 05:05"))
        assert now["paid"] == 0
        assert before["paid"] == 0  # paid at 04:50 today, which is after 05:05 of the day that has ended

    def test_summer_time_keeps_the_clock_on_the_wall(self, game):
        game.time_zone = "Europe/Berlin"
        scope = scope_for(game)
        now = at("2026-03-30 14:36", "Europe/Berlin")  # the clocks were put forward on the 29th
        assert [f"{same_clock(scope, now, days):%d %H:%M}" for days in DAYS_AGO] == ["30 14:36", "29 14:36", "23 14:36"]
        assert same_clock(scope, now, 7).utcoffset() == timedelta(hours=1)
        assert scope.zone == ZoneInfo("Europe/Berlin")


class TestRate:
    """Of the orders made until the cut so many were paid by then: a payment after the cut is not foreseen."""

    def test_a_payment_after_the_cut_does_not_count_yet(self, game, counter):
        counter.sell(at("2026-03-26 14:30"), paid=at("2026-03-26 14:31"))
        counter.sell(at("2026-03-26 14:30"), paid=at("2026-03-26 14:50"))
        counter.sell(at("2026-03-26 14:40"))
        fold()
        scope = scope_for(game)
        (_now, before, _week) = today(scope, read_hours(scope, now=NOW)).days
        assert (before.until_cut.made, before.until_cut.made_paid) == (2, 1)

    def test_an_order_of_long_ago_paid_in_that_hour_is_found(self, game, counter):
        counter.sell(at("2026-03-20 09:00"), paid=at("2026-03-26 14:50"))
        counter.sell(at("2026-03-26 14:10"))
        fold()
        scope = scope_for(game)
        assert figures(scope)[1]["paid"] == 1


class TestBooks:
    """Play money and other games are never added; currencies stand side by side."""

    def test_sandbox_is_not_in_production(self, game, counter):
        counter.sell(NOW - timedelta(minutes=5))
        TillWithGoods(game, environment="sandbox").sell(NOW - timedelta(minutes=5), amount=9900)
        assert figures(scope_for(game))[0]["gross"] == 600
        assert figures(scope_for(game, environment=Environment.SANDBOX))[0]["gross"] == 9900

    def test_currencies_are_not_added(self, game, counter):
        counter.sell(NOW - timedelta(minutes=5))
        counter.sell(NOW - timedelta(minutes=4))
        counter.sell(NOW - timedelta(minutes=3), currency="USD", amount=99)
        scope = scope_for(game)
        found = today(scope, read_hours(scope, now=NOW))
        assert (found.currency, found.days[0].until_cut.gross) == ("CNY", 1200)
        assert found.others == [("USD", 99, 1)]

    def test_channels_add_up_to_the_total(self, game, counter):
        for channel in ("official", "huawei", "huawei"):
            counter.sell(at("2026-03-26 14:20"), channel=channel)
            counter.sell(at("2026-03-26 14:50"), channel=channel)
        fold()
        scope = scope_for(game)
        day = today(scope, read_hours(scope, now=NOW)).days[1]
        assert day.by_channel == {"official": (600, 1), "huawei": (1200, 2)}
        assert sum(gross for gross, _orders in day.by_method.values()) == day.until_cut.gross == 1800
