"""A studio in the middle of a working day: a year of orders behind it, and one of everything that goes wrong.

For looking at the console with something in it (`make screenshots`). The year is written by SQL, today's troubles
are made by the real services; the running dispatcher then fails to reach the game server by itself.
"""

import itertools
from datetime import timedelta

from django.utils import timezone

from bench import history
from channels_app.accounts import save_account
from channels_app.models import Channel, Environment
from channels_app.money import Money
from channels_app.providers.base import PaymentProof
from fulfillment.endpoints import set_endpoint
from fulfillment.models import DeliveryPolicy, Item, ProductGrant
from orders import ordering
from orders.authentication import GameServer
from orders.cancelling import expire_orders
from orders.models import AttemptState, EventKind, Order, PaymentAttempt, ProofSource
from orders.ordering import OrderRequest
from orders.settling import Proof, settle_payment
from orders.timeline import record
from tests import keys

NOBODY = "http://127.0.0.1:9/payments"


class Scene:
    """Today's purchases of the year's game, with real services."""

    def __init__(self, year: history.History):
        self.year = year
        self.game = year.game
        self.account = year.account
        self._numbers = itertools.count(1)

    def order(self, uid: str, product: str = "gems_5", channel: str = "taptap", **asked) -> Order:
        """An order of a player."""
        caller = GameServer(0, self.game.pk, self.game.code, self.game.time_zone, Environment.PRODUCTION, ())
        number = next(self._numbers)
        request = OrderRequest(
            client_ref=f"scene-{number}", uid=uid, zone_id="12", role_id=f"12{number:04d}", product_id=product,
            channel_id=channel, client_ip="203.0.113.77", **asked,
        )  # fmt: skip
        return ordering.create_order(game=caller, request=request).order

    def attempt(self, order: Order, method: str = "alipay_app") -> PaymentAttempt:
        """A payment opened at the provider."""
        now = timezone.now()
        nth = order.attempts.count()
        attempt = PaymentAttempt.objects.create(
            order=order, account=self.account, method=method, attempt_no=f"{order.order_no}{nth or ''}",
            state=AttemptState.OPEN, inputs_sha256="", expires_at=now + timedelta(minutes=30),
            next_query_at=now + timedelta(hours=1), created_at=now,
        )  # fmt: skip
        facts = {"attempt_no": attempt.attempt_no, "method": method}
        record(order_id=order.pk, kind=EventKind.ATTEMPT_OPENED, actor="player", now=now, data=facts)
        return attempt

    def pay(self, attempt: PaymentAttempt, *, amount: int | None = None) -> None:
        """The provider's word that it was paid."""
        order = attempt.order
        proof = PaymentProof(
            attempt_no=attempt.attempt_no,
            transaction_id=f"2026{timezone.now():%m%d}2200141789{next(self._numbers):010d}",
            paid=Money(amount or order.amount_minor, order.currency),
            paid_at=timezone.now(),
        )
        settle_payment(Proof(account=self.account, payment=proof, source=ProofSource.QUERY, actor="worker"))


def play(*, orders: int = 60_000, say=lambda text: None) -> Scene:
    """Write the year, then today's troubles."""
    account = save_account(
        provider="alipay", code="ali-main", environment=Environment.PRODUCTION,
        credentials=keys.alipay_credentials(),
    )  # fmt: skip
    year = history.build(orders=orders, account=account, say=say)
    gem = Item.objects.get(game=year.game)
    for product in year.game.products.all():
        ProductGrant.objects.create(product=product, item=gem, quantity=600, bonus=60)
    scene = Scene(year)
    Channel.objects.filter(code="official").update(name="官网")

    delivered = scene.order("20917001", channel="official")
    scene.pay(scene.attempt(delivered))

    twice = scene.order("30558102", product="gems_7", channel="official")
    first, second = scene.attempt(twice), scene.attempt(twice, "alipay_qr")
    scene.pay(first)
    scene.pay(second)

    short = scene.order("28142407", product="gems_3", channel="huawei")
    scene.pay(scene.attempt(short), amount=1)

    late = scene.order("24560109", product="gems_7", channel="huawei")
    attempt = scene.attempt(late, "alipay_wap")
    Order.objects.filter(pk=late.pk).update(expires_at=late.created_at + timedelta(milliseconds=1))
    attempt.state = AttemptState.CLOSED
    attempt.next_query_at = None
    attempt.save()
    expire_orders(now=timezone.now())
    scene.pay(attempt)

    DeliveryPolicy.objects.update_or_create(game=scene.game, defaults={"mode": "game_server"})
    set_endpoint(game=scene.game, url=NOBODY)
    for uid in ("20917735", "22132690", "35654741"):
        refused = scene.order(uid, product="gems_2")
        scene.pay(scene.attempt(refused))
    scene.order("24550734")
    scene.attempt(scene.order("28142999", channel="appstore"))
    return scene
