"""A till, a clock that can be set, and people who look at the first page."""

from zoneinfo import ZoneInfo

import pytest

from channels_app.models import Environment
from orders.models import DeliveryState, Order
from payments_site.console.scope import Scope
from tests.console.conftest import auditor, busy_shop, shop, staff
from tests.revenue.conftest import Till, till

__all__ = ["auditor", "busy_shop", "shop", "staff", "till"]


class TillWithGoods(Till):
    """A till that also says when the goods were there."""

    def deliver(self, order: Order, at) -> Order:
        """The goods are there."""
        Order.objects.filter(pk=order.pk).update(delivery_state=DeliveryState.DELIVERED, delivered_at=at)
        order.refresh_from_db()
        return order


@pytest.fixture
def counter(game) -> TillWithGoods:
    """Sells for real money, and hands over."""
    return TillWithGoods(game)


def scope_for(*games, environment=Environment.PRODUCTION) -> Scope:
    """What somebody looks at who may see everything."""
    first = games[0]
    return Scope(
        game=first if len(games) == 1 else None,
        games=tuple(games),
        offered=tuple(games),
        may_take_all=len(games) > 1,
        sees_all_games=True,
        environment=environment,
        zone=ZoneInfo(first.time_zone),
        turns_at_hour=first.day_turns_at_hour,
    )
