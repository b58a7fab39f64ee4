"""People who open the console, and a shop with something in every table."""

import json
from datetime import timedelta
from functools import cache

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from channels_app import inbox, proposals
from channels_app.auditing import seal_entries
from channels_app.inbox import Judgement
from channels_app.models import Notification, RefusedTally, Verdict
from channels_app.money import Money
from channels_app.providers.base import PaymentProof, RawNotification
from fulfillment.models import DeliveryPolicy, WebhookAttempt, WebhookEndpoint, WebhookMessage
from orders import ordering
from orders.authentication import GameServer
from orders.models import (
    ApiKey,
    AttemptState,
    EventKind,
    Job,
    JobKind,
    JobState,
    Order,
    PaymentAttempt,
    ProofSource,
    Reviewer,
)
from orders.ordering import OrderRequest
from orders.settling import Proof, settle_payment
from orders.timeline import record

WEBHOOK_SECRET = "whsec_" + "Q0FOQVJZLXdlYmhvb2stc2VjcmV0LWNhbmFyeQ=="
SIGNATURE = "CANARYSIGNATURE" * 8
PASSWORD = "a long console password"


class Shop:
    """Makes orders, payments and everything around them with the real services."""

    def __init__(self, game, channel, account, *, environment="sandbox"):
        self.game, self.channel, self.account, self.environment = game, channel, account, environment
        self.made = 0

    def order(self, uid="player1", **asked) -> Order:
        """An order of `uid`."""
        self.made += 1
        caller = GameServer(1, self.game.pk, self.game.code, self.game.time_zone, self.environment, ("orders",))
        request = OrderRequest(
            client_ref=asked.pop("client_ref", f"ref-{uid}-{self.made}"),
            uid=uid,
            product_id="gems60",
            channel_id=self.channel.code,
            **{"zone_id": "3", "role_id": "role9", **asked},
        )
        return ordering.create_order(game=caller, request=request).order

    def attempt(self, order, *, attempt_no="") -> PaymentAttempt:
        """A payment of the order, opened at the provider."""
        now = timezone.now()
        attempt = PaymentAttempt.objects.create(
            order=order,
            account=self.account,
            method="wechatpay_native",
            attempt_no=attempt_no or order.order_no,
            state=AttemptState.OPEN,
            inputs_sha256="",
            expires_at=now + timedelta(minutes=30),
            next_query_at=now + timedelta(seconds=5),
            created_at=now,
        )
        facts = {"attempt_no": attempt.attempt_no, "method": attempt.method}
        record(order_id=order.pk, kind=EventKind.ATTEMPT_OPENED, actor="test", now=now, data=facts)
        return attempt

    def notification(self, attempt_no: str, transaction_id: str) -> Notification:
        """A message of the provider, written down and not judged yet."""
        raw = RawNotification(
            headers={"wechatpay-signature": SIGNATURE, "wechatpay-serial": "PUB_KEY_ID_1"},
            body=json.dumps({"out_trade_no": attempt_no, "transaction_id": transaction_id}).encode(),
            received_at=timezone.now(),
        )
        return Notification.objects.get(pk=inbox.keep(raw, account=self.account, remote_addr="203.0.113.7"))

    def pay(self, attempt_no: str, transaction_id: str, amount_minor: int):
        """The provider's notification that an attempt was paid, judged and settled."""
        notification = self.notification(attempt_no, transaction_id)
        payment = PaymentProof(
            attempt_no=attempt_no,
            transaction_id=transaction_id,
            paid=Money(amount_minor, "CNY"),
            paid_at=timezone.now(),
        )
        return settle_payment(
            Proof(
                account=self.account,
                payment=payment,
                source=ProofSource.NOTIFICATION,
                actor=f"notification {notification.pk}",
                judgement=Judgement(notification.pk),
            )
        )

    def purchase(self, uid="player1", transaction_id="4200000000000000000000000001", **asked) -> Order:
        """An order, paid and delivered."""
        order = self.order(uid, **asked)
        self.attempt(order)
        self.pay(order.order_no, transaction_id, order.amount_minor)
        order.refresh_from_db()
        return order


@pytest.fixture
def shop(game, channel, wechat_account) -> Shop:
    """A shop that sells for play money."""
    return Shop(game, channel, wechat_account)


@pytest.fixture
def busy_shop(shop, api_key) -> Shop:
    """A shop with at least one row in every table: a purchase, a case, a webhook that was refused once."""
    endpoint = WebhookEndpoint.objects.create(
        game=shop.game, url="https://game.example/hook", secrets_sealed=b"", failures_in_a_row=2,
        failing_since=timezone.now(), last_error="HTTP 503",
    )  # fmt: skip
    endpoint.set_secrets([WEBHOOK_SECRET])
    endpoint.save()
    DeliveryPolicy.objects.create(game=shop.game, mode="ledger")
    Reviewer.objects.create(game=shop.game, uid="reviewer", until=timezone.now(), note="App Review of March")
    shop.bought = shop.purchase()
    second = shop.order("player2")
    shop.attempt(second)
    shop.pay(second.order_no, "4200000000000000000000000002", 1)  # one fen: held, with a case
    shop.waiting = second
    message = WebhookMessage.objects.order_by("pk").first()
    WebhookAttempt.objects.create(message=message, at=timezone.now(), duration_ms=12, status=503, answer="busy")
    RefusedTally.objects.create(account=shop.account, minute=timezone.now().replace(second=0, microsecond=0), refused=3)
    inbox.conclude(
        shop.notification("", "").pk, verdict=Verdict.REFUSED, now=timezone.now(), failed_step="signature",
        detail="forged",
    )  # fmt: skip
    finished = timezone.now()
    Job.objects.create(
        kind=JobKind.EXPORT, asked={}, title="Orders", game=shop.game, environment="sandbox", requested_by="lin",
        state=JobState.DONE, created_at=finished, finished_at=finished,
    )  # fmt: skip
    shop.api_key = api_key
    shop.key = ApiKey.objects.get()
    proposals.propose(
        kind="product", subject="gems60", payload={}, summary=[["name", "60 gems", "Sixty gems"]], reason="a better name",
        by=User.objects.create_user("asker"), now=timezone.now(),
    )  # fmt: skip
    seal_entries()
    return shop


@cache
def _hashed() -> str:
    """The password as it is kept. Hashing is slow by design; hundreds of people share this one."""
    return make_password(PASSWORD)


@pytest.fixture
def staff(client):
    """Log a member of staff in: `staff("orders.view_order", language="zh-hans")` returns the browser."""

    def log_in(*permissions: str, language="en", superuser=False):
        user = User.objects.create(
            username=f"staff{User.objects.filter(username__startswith='staff').count()}",
            password=_hashed(),
            is_staff=True,
            is_superuser=superuser,
        )
        for permission in permissions:
            app, _dot, codename = permission.partition(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client.force_login(user)
        client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
        return client

    return log_in


@pytest.fixture
def auditor(staff):
    """Somebody who may see everything and change nothing."""

    def log_in(language="en"):
        views = Permission.objects.filter(codename__startswith="view_").values_list(
            "content_type__app_label", "codename"
        )
        ours = [f"{app}.{code}" for app, code in views if app in {"channels_app", "orders", "fulfillment"}]
        return staff(*ours, "orders.list_orders", language=language)

    return log_in


def page_of(row) -> str:
    """The address of a row's page."""
    meta = row._meta
    return f"/admin/{meta.app_label}/{meta.model_name}/{row.pk}/change/"


def list_of(model) -> str:
    """The address of a model's list."""
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
