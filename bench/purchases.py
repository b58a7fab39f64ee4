"""A game to buy from, orders waiting to be paid, and the count of what a purchase leaves behind."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.test import Client
from django.utils import timezone

from bench import alipay
from channels_app.accounts import enable_method, save_account
from channels_app.models import Channel, Environment, MerchantAccount
from channels_app.providers import ADAPTERS
from fulfillment.models import Item, ItemKind, ProductGrant, WebhookEndpoint
from orders.authentication import new_api_key
from orders.models import AttemptState, Game, Order, PaymentAttempt, Product, ProductPrice

ACCOUNT = "bench-alipay"
PRODUCT = "gems60"
CHANNEL = "official"
PRICE_MINOR, PRICE_YUAN = 600, "6.00"
_PLAYERS = 5000
_DAY = f"{timezone.now():%Y%m%d}"

# Far from every other number of the run, so that a recorded statement's parameter cannot mean anything else.
ORDER_BASE, ATTEMPT_BASE = 700_000_000_000, 800_000_000_000

# What must be true of every measured run: each grew by the requests made times what one request adds.
_EFFECTS = {
    "orders": "SELECT count(*) FROM orders_order",
    "orders paid and delivered": (
        "SELECT count(*) FROM orders_order WHERE state = 'paid' AND delivery_state = 'delivered'"
    ),
    "payments applied": "SELECT count(*) FROM orders_payment WHERE applied",
    "attempts paid": "SELECT count(*) FROM orders_paymentattempt WHERE state = 'paid'",
    "timeline events": "SELECT count(*) FROM orders_orderevent",
    "notifications applied": "SELECT count(*) FROM channels_app_notification WHERE verdict = 'applied'",
    "notifications": "SELECT count(*) FROM channels_app_notification",
    "deliveries": "SELECT count(*) FROM fulfillment_delivery WHERE state = 'delivered'",
    "delivery lines": "SELECT count(*) FROM fulfillment_deliveryline",
    "ledger entries": "SELECT count(*) FROM fulfillment_ledgerentry",
    "goods on players' accounts": "SELECT coalesce(sum(paid + free), 0) FROM fulfillment_balance",
    "game events": "SELECT count(*) FROM fulfillment_gameevent",
    "messages to tell": "SELECT count(*) FROM fulfillment_webhookmessage",
}
Effects = dict[str, int]


class Unproved(RuntimeError):
    """The rows are not what the requests should have left: the figure would be worth nothing."""


def effects() -> Effects:
    """Everything a purchase leaves behind, counted."""
    counted = {}
    with connection.cursor() as cursor:
        for name, query in _EFFECTS.items():
            cursor.execute(query)
            (counted[name],) = cursor.fetchone() or (0,)
    return {name: int(count) for name, count in counted.items()}


def prove(before: Effects, *, one: Effects, requests: int) -> None:
    """Raises Unproved unless everything grew by exactly `requests` times `one`."""
    now = effects()
    for name, each in one.items():
        if now[name] - before[name] != each * requests:
            raise Unproved(f"{name}: {now[name] - before[name]} instead of {requests} × {each}")


def growth(before: Effects) -> Effects:
    """What was added since."""
    return {name: count - before[name] for name, count in effects().items()}


@dataclass(frozen=True, slots=True)
class Stall:
    """A game that sells one product, through Alipay, in production."""

    api_key: str
    shop: alipay.Shop
    game_id: int

    @classmethod
    def set_up(cls, *, webhook_url: str) -> "Stall":
        """Make the game, its catalogue, channel, account, key and endpoint."""
        game = Game.objects.create(code="bench", name="Benchmark")
        product = Product.objects.create(game=game, product_id=PRODUCT, name="60 gems")
        ProductPrice.objects.create(product=product, currency="CNY", amount_minor=PRICE_MINOR)
        gem = Item.objects.create(game=game, item_id="gem", name="Gem", kind=ItemKind.CURRENCY)
        ProductGrant.objects.create(product=product, item=gem, quantity=60, bonus=6)
        endpoint = WebhookEndpoint.objects.create(game=game, url=webhook_url, secrets_sealed=b"")
        endpoint.set_secrets(["whsec_" + "YmVuY2htYXJr" * 4])
        endpoint.save(update_fields=["secrets_sealed"])
        provider = alipay.new_key()
        account = save_account(
            provider="alipay",
            code=ACCOUNT,
            environment=Environment.PRODUCTION,
            credentials={
                "app_id": "2021000000000001",
                "seller_id": "2088000000000001",
                "app_private_key": alipay.private_pem(alipay.new_key()),
                "alipay_public_key": alipay.public_pem(provider),
                "gateway": "http://127.0.0.1:9/gateway.do",  # nobody: nothing measured calls it
            },
        )
        channel = Channel.objects.create(code=CHANNEL, name="Official site")
        for method in ADAPTERS["alipay"].methods:
            enable_method(channel=channel, method=method, account=account)
        shop = alipay.Shop(
            path=f"/notify/alipay/{ACCOUNT}",
            app_id="2021000000000001",
            seller_id="2088000000000001",
            alipay_key=provider,
            amount_yuan=PRICE_YUAN,
            subject="60 gems",
        )
        return cls(new_api_key(game=game, environment=Environment.PRODUCTION), shop, game.pk)

    def order_body(self, number: int, *, run: str) -> dict[str, Any]:
        """What the game server asks for; every number is another purchase by another player."""
        return {
            "client_ref": f"{run}-{number:010d}", "uid": f"buyer-{number % 20000:06d}", "product_id": PRODUCT,
            "channel_id": CHANNEL, "zone_id": "3", "role_id": "role-7", "client_ip": "203.0.113.7",
            "attach": "bench",
        }  # fmt: skip

    def notification(self, number: int) -> bytes:
        """Alipay's signed POST for waiting order `number`."""
        return self.shop.notification(order_no=order_no(number), transaction_id=alipay.transaction_id(number))


# --- requests in this process -------------------------------------------------------------------------------
def ask_here(request: bytes) -> tuple[int, bytes]:
    """Answer prebuilt request bytes in this process, by the whole application."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    content_type = headers.pop("Content-Type", "application/octet-stream")
    headers.pop("Content-Length", None)
    response = Client().generic(method, path, body, content_type=content_type, headers=headers)
    return response.status_code, response.content


# --- orders that wait for their notification --------------------------------------------------------------
def order_no(number: int) -> str:
    """The order number of waiting order `number`."""
    return f"{_DAY}G{number:021d}"


def order_no_expression() -> str:
    """The same for pgbench's `:i`."""
    return f"('{_DAY}G' || lpad(:i::bigint::text, 21, '0'))"


def uid(number: int) -> str:
    """The player of waiting order `number`: some thousands of players come back again and again."""
    return f"player-{number % _PLAYERS:06d}"


def uid_expression() -> str:
    """The same for pgbench's `:i`."""
    return f"('player-' || lpad((:i::bigint % {_PLAYERS})::text, 6, '0'))"


class Waiting:
    """Orders with an opened attempt, copied in bulk from one that the API made."""

    def __init__(self, stall: Stall) -> None:
        """Make the pattern."""
        status, _ = ask_here(
            alipay.api_post("/api/v1/orders", stall.order_body(0, run="pattern"), bearer=stall.api_key)
        )
        if status != 201:
            raise RuntimeError(f"the order that all others are copied from was answered {status}")
        self._pattern = Order.objects.get(client_ref="pattern-0000000000")
        account = MerchantAccount.objects.get(code=ACCOUNT)
        now = timezone.now()
        self._attempt = PaymentAttempt.objects.create(
            order=self._pattern, account=account, method="alipay_app", attempt_no=self._pattern.order_no,
            state=AttemptState.OPEN, inputs_sha256="0" * 64, expires_at=now + timedelta(days=1),
            next_query_at=now + timedelta(days=1), created_at=now,
        )  # fmt: skip

    def add(self, numbers: range) -> range:
        """Add waiting orders of these numbers."""
        number = f"'{_DAY}G' || lpad(i::text, 21, '0')"
        player = f"'player-' || lpad((i %% {_PLAYERS})::text, 6, '0')"
        own = {
            "id": f"{ORDER_BASE} + i", "order_no": number, "client_ref": "'waiting-' || i", "uid": player,
            "expires_at": "expires_at + interval '1 day'",
        }  # fmt: skip
        _copy(Order, self._pattern.pk, own, numbers)
        own = {"id": f"{ATTEMPT_BASE} + i", "order_id": f"{ORDER_BASE} + i", "attempt_no": number}
        _copy(PaymentAttempt, self._attempt.pk, own, numbers)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE orders_order, orders_paymentattempt")
        return numbers


def _copy(model: type[Order] | type[PaymentAttempt], pattern: int, own: dict[str, str], numbers: range) -> None:
    columns = [str(field.column) for field in model._meta.concrete_fields]
    values = ", ".join(own.get(column, column) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {values}"  # our own columns
            f" FROM {model._meta.db_table}, generate_series(%s::bigint, %s::bigint) AS i WHERE id = %s",
            (numbers.start, numbers.stop - 1, pattern),
        )
