"""A till: orders with the dates, channels and methods a test needs, and their raw rows added up another way."""

import itertools
from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from channels_app.models import Channel, Environment
from orders.models import EventKind, Game, Order, OrderEvent, OrderState, Product, RevenueCursor
from orders.revenue.folding import fold_some, look
from orders.revenue.periods import Days
from orders.revenue.report import Asked
from orders.timeline import record
from tests.console.conftest import staff

__all__ = ["staff"]  # fixtures

SHANGHAI = ZoneInfo("Asia/Shanghai")
_numbers = itertools.count(1)


def at(text: str, zone: str = "Asia/Shanghai") -> datetime:
    """ "2026-03-01 12:00" on a clock."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


class Till:
    """Writes orders and their timelines as the services leave them, at any time one likes."""

    def __init__(self, game: Game, *, environment: str = "production"):
        self.game, self.environment = game, environment

    def order(self, made: datetime, *, channel="official", uid="p1", product="gems60", zone="1", amount=600,
              currency="CNY") -> Order:  # fmt: skip
        """An order made then."""
        number = f"N{next(_numbers):09}"
        sold, _new = Product.objects.get_or_create(game=self.game, product_id=product, defaults={"name": product})
        through, _new = Channel.objects.get_or_create(code=channel, defaults={"name": channel.title()})
        order = Order.objects.create(
            order_no=number, game=self.game, game_code=self.game.code, environment=self.environment,
            client_ref=number, request_sha256="", uid=uid, zone_id=zone, product=sold, product_code=product,
            product_name=product, quantity=1, amount_minor=amount, currency=currency, contents=[],
            fulfilment_mode="ledger", channel=through, channel_code=channel, created_at=made,
            expires_at=made + timedelta(days=7),
        )  # fmt: skip
        record(order_id=order.pk, kind=EventKind.CREATED, actor="test", now=made)
        return order

    def attempt(self, order: Order, opened: datetime, method="wechatpay_app") -> None:
        """A payment opened at the provider."""
        record(order_id=order.pk, kind=EventKind.ATTEMPT_OPENED, actor="test", now=opened, data={"method": method})

    def pay(self, order: Order, paid: datetime, method="wechatpay_app") -> Order:
        """The order is paid."""
        Order.objects.filter(pk=order.pk).update(
            state=OrderState.PAID, method=method, paid_at=paid, settled_at=max(paid, order.created_at),
            transaction_id=f"T{order.order_no}", delivery_state="pending",
        )  # fmt: skip
        record(order_id=order.pk, kind=EventKind.PAID, actor="test", now=paid)
        order.refresh_from_db()
        return order

    def sell(self, moment: datetime, *, method="wechatpay_app", paid: datetime | None = None, **about) -> Order:
        """Made and paid."""
        return self.pay(self.order(moment, **about), paid or moment, method)

    def refund(self, order: Order, given_back: datetime, amount: int) -> None:
        """Money is given back."""
        Order.objects.filter(pk=order.pk).update(refunded_minor=order.refunded_minor + amount)
        data = {"amount": amount, "currency": order.currency}
        record(order_id=order.pk, kind=EventKind.REFUNDED, actor="test", now=given_back, data=data)
        order.refresh_from_db()

    def asked(self, first: str, last: str, **about) -> Asked:
        """A report on those days."""
        days = Days(datetime.fromisoformat(first).date(), datetime.fromisoformat(last).date())
        usual = {"games": [self.game], "environment": Environment(self.environment), "currency": "CNY"}
        return Asked(**{**usual, "days": days, **about})


@pytest.fixture
def till(game) -> Till:
    """A till that takes real money. The events of tests before it have used up numbers; folding begins behind them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM orders_orderevent_id_seq")
        (used,) = cursor.fetchone()
    RevenueCursor.objects.create(pk=1, folded_to=used, seen_to=used)
    return Till(game)


def fold(chunk: int = 20_000) -> int:
    """Fold everything that is there. Returns in how many chunks."""
    chunks = 0
    while fold_some(seen=look(), chunk=chunk) is not None:
        chunks += 1
    return chunks


def raw(asked: Asked) -> Counter:
    """Figures of the raw rows, added up in Python on the game's own clock: (day, channel, method) → figures."""
    zone = ZoneInfo(asked.games[0].time_zone)
    hours = asked.games[0].day_turns_at_hour

    def day(moment):
        return (moment.astimezone(zone) - timedelta(hours=hours)).date()

    counted: Counter = Counter()
    orders = Order.objects.filter(game__in=asked.games, environment=asked.environment, currency=asked.currency)
    for order in orders:
        counted[day(order.created_at), "made"] += 1
        if order.state == OrderState.PAID:
            counted[day(order.created_at), "made_paid"] += 1
            counted[day(order.paid_at), "paid"] += 1
            counted[day(order.paid_at), "gross_minor"] += order.amount_minor
    for event in OrderEvent.objects.filter(kind=EventKind.REFUNDED, order__in=orders):
        counted[day(event.at), "refunds"] += 1
        counted[day(event.at), "refunded_minor"] += event.data["amount"]
    return Counter(
        {
            name: sum(count for (when, what), count in counted.items()
                      if what == name and asked.days.first <= when <= asked.days.last)
            for name in ("made", "made_paid", "paid", "gross_minor", "refunds", "refunded_minor")
        }
    )  # fmt: skip
