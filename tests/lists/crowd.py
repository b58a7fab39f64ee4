"""A shop with so many rows that a wrong plan shows: a year of orders, and everything that follows from them."""

from django.db import connection
from django.db.models import DateTimeField

from channels_app.accounts import enable_method
from channels_app.models import Channel
from channels_app.providers import ADAPTERS
from fulfillment.models import Item, ProductGrant, WebhookEndpoint
from orders.models import Game, Product, ProductPrice
from tests.conftest import _account
from tests.console.conftest import Shop
from tests.keys import wechat_credentials

ORDERS = 24_000
DAYS = 400
# The moment of the n-th row; the newest are of today.
_AT = f"(now() - interval '{DAYS} days' + n * interval '{DAYS} days' / {ORDERS} - interval '1 minute')"


def _uuid7(at: str, salt: str) -> str:
    """A UUIDv7 of a moment, in SQL."""
    millis = f"lpad(to_hex((extract(epoch from {at}) * 1000)::bigint), 12, '0')"
    random = f"md5({salt} || n)"
    return f"({millis} || '7' || substr({random}, 1, 3) || '8' || substr({random}, 4, 15))::uuid"


def copy_rows(row, source: str, **changed: str) -> None:
    """Insert a copy of a row for every row of `source` (SQL that gives n); `changed` gives columns as SQL."""
    table = row._meta.db_table
    columns = [field.column for field in row._meta.concrete_fields if not field.primary_key or field.column in changed]
    chosen = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} t, {source}"
            f" WHERE t.{row._meta.pk.column} = %s",
            [row.pk],
        )
        if "id" in changed:
            return  # its key says when it was made
        # Keys rise with time: what was made first must be the oldest.
        times = [field.column for field in row._meta.concrete_fields if isinstance(field, DateTimeField)]
        if times:
            older = ", ".join(f"{column} = {column} - interval '{DAYS + 1} days'" for column in times)
            cursor.execute(f"UPDATE {table} SET {older} WHERE {row._meta.pk.column} = %s", [row.pk])


def build() -> Shop:
    """Every table of history, filled. Inside the caller's transaction."""
    game = Game.objects.create(code="crowd", name="Crowd")
    product = Product.objects.create(game=game, product_id="gems60", name="60 gems")
    ProductPrice.objects.create(product=product, currency="CNY", amount_minor=600)
    item = Item.objects.create(game=game, item_id="gem", name="Gem")
    ProductGrant.objects.create(product=product, item=item, quantity=60, bonus=6)
    channel = Channel.objects.create(code="crowded", name="Crowded")
    account = _account(channel, "wechatpay", "crowd", wechat_credentials())
    for method in ADAPTERS["wechatpay"].methods:
        enable_method(channel=channel, method=method, account=account)
    endpoint = WebhookEndpoint.objects.create(game=game, url="https://game.example/hook", secrets_sealed=b"")
    endpoint.set_secrets(["whsec_" + "Q0FOQVJZLXdlYmhvb2stc2VjcmV0LWNhbmFyeQ=="])
    endpoint.save()
    shop = Shop(game, channel, account)
    shop.bought, shop.waiting, shop.held = shop.purchase("template"), shop.order("waiting"), shop.order("held")
    shop.attempt(shop.held)
    shop.pay(shop.held.order_no, "4200000000000000000000000009", 1)
    with connection.cursor() as cursor:
        # Triggers would work row by row; what they guard is not the matter here.
        cursor.execute("SET LOCAL session_replication_role = replica")
        _orders(shop)
        _around_orders(shop, cursor)
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE")
    return shop


def _orders(shop: Shop) -> None:
    bought, waiting = shop.bought, shop.waiting
    unpaid = {
        "order_no": "'C' || lpad(n::text, 29, '0')", "client_ref": "'crowd-' || n", "uid": "'uid' || mod(n, 12000)",
        "role_id": "'role' || mod(n, 12000)", "created_at": _AT, "expires_at": f"{_AT} + interval '30 minutes'",
    }  # fmt: skip
    refunded = "CASE WHEN mod(n, 97) = 0 THEN 600 ELSE 0 END"
    paid = {
        **unpaid, "transaction_id": "'4200009' || lpad(n::text, 21, '0')", "paid_at": f"{_AT} + interval '1 minute'",
        "settled_at": f"{_AT} + interval '1 minute'", "refunded_minor": refunded,
    }  # fmt: skip
    undelivered = f"n > {ORDERS - 4000} AND mod(n, 80) = 1"
    series = f"generate_series(1, {ORDERS}) n"
    copy_rows(
        bought, f"(SELECT n FROM {series} WHERE mod(n, 4) > 0 ORDER BY n) s", **paid,
        delivery_state=f"CASE WHEN {undelivered} THEN CASE WHEN mod(n, 160) = 1 THEN 'parked' ELSE 'pending' END"
        " ELSE 'delivered' END",
        delivered_at=f"CASE WHEN {undelivered} THEN NULL ELSE {_AT} + interval '2 minutes' END",
    )  # fmt: skip
    copy_rows(
        waiting, f"(SELECT n FROM {series} WHERE mod(n, 4) = 0 ORDER BY n) s", **unpaid,
        state=f"CASE WHEN n > {ORDERS - 40} THEN 'pending' ELSE 'cancelled' END",
        cancel_reason=f"CASE WHEN n > {ORDERS - 40} THEN '' ELSE 'expired' END",
        cancelled_at=f"CASE WHEN n > {ORDERS - 40} THEN NULL ELSE {_AT} + interval '31 minutes' END",
    )  # fmt: skip
    _in_order_of_time()


def _in_order_of_time() -> None:
    """Keys rise with time, as they do where orders are made one after another."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE in_time ON COMMIT DROP AS SELECT id, row_number() OVER (ORDER BY created_at, id) AS place"
            " FROM orders_order WHERE client_ref LIKE 'crowd-%'"
        )
        cursor.execute("SELECT min(id), max(id) FROM orders_order")
        _low, high = cursor.fetchone()
        cursor.execute("UPDATE orders_order o SET id = %s + t.place FROM in_time t WHERE o.id = t.id", [high + ORDERS])
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('orders_order', 'id'), (SELECT max(id) FROM orders_order))"
        )


_OF_ORDERS = (
    "(SELECT o.*, row_number() OVER (ORDER BY o.id) AS n FROM orders_order o"
    " WHERE o.client_ref LIKE 'crowd-%%' ORDER BY o.id) o"
)
_OF_PAID = _OF_ORDERS.replace("'crowd-%%'", "'crowd-%%' AND o.state = 'paid'")


def _around_orders(shop: Shop, cursor) -> None:
    from channels_app.models import AuditEntry, Notification, RefusedTally
    from fulfillment.models import (
        Balance,
        Delivery,
        GameEvent,
        LedgerEntry,
        Player,
        WebhookAttempt,
        WebhookMessage,
    )
    from orders.models import Case, Job, JobKind, JobState, Payment, PaymentAttempt

    bought, made = shop.bought, "o.created_at"
    copy_rows(
        bought.attempts.get(), _OF_ORDERS, order_id="o.id", attempt_no="o.order_no", created_at=made,
        next_query_at="CASE WHEN o.state = 'pending' THEN o.expires_at END",
    )  # fmt: skip
    copy_rows(
        bought.payments.get(), _OF_PAID, order_id="o.id", attempt_no="o.order_no", transaction_id="o.transaction_id",
        paid_at="o.paid_at", received_at="o.settled_at", attempt_id="NULL",
        applied="mod(o.n, 50) > 0", hold_reason="CASE WHEN mod(o.n, 50) > 0 THEN '' ELSE 'second_payment' END",
    )  # fmt: skip
    copy_rows(bought.events.order_by("pk").first(), _OF_ORDERS, order_id="o.id", at=made)
    player = Player.objects.get(uid="template")
    copy_rows(
        player, "(SELECT generate_series(0, 11999) n) s", uid="'uid' || n", created_at=_AT.replace("n *", "n * 2 *")
    )
    player_of = "(SELECT p.id FROM fulfillment_player p WHERE p.uid = o.uid AND p.game_id = o.game_id)"
    delivery = Delivery.objects.get(player=player)
    entry = LedgerEntry.objects.filter(player=player).first()
    copy_rows(
        delivery, _OF_PAID, id=_uuid7("o.settled_at", "'delivery'").replace("|| n)", "|| o.n)"), order_id="o.id",
        order_no="o.order_no", player_id=player_of, state="o.delivery_state", created_at="o.settled_at",
        delivered_at="o.delivered_at",
    )  # fmt: skip
    copy_rows(entry, _OF_PAID, player_id=player_of, delivery_id="NULL", order_no="o.order_no", at="o.settled_at")
    copy_rows(
        Balance.objects.first(), "(SELECT id FROM fulfillment_player p WHERE uid LIKE 'uid%%') p", player_id="p.id"
    )
    event = GameEvent.objects.order_by("pk").first()
    copy_rows(event, _OF_PAID, event_id="'evt_crowd' || o.n", order_no="o.order_no", created_at="o.settled_at")
    message = WebhookMessage.objects.order_by("pk").first()
    events = "(SELECT e.*, row_number() OVER (ORDER BY seq) n FROM fulfillment_gameevent e WHERE event_id LIKE 'evt_crowd%%') e"
    told = "mod(e.n, 500)"
    copy_rows(
        message, events, event_id="e.seq", created_at="e.created_at",
        state=f"CASE {told} WHEN 1 THEN 'waiting' WHEN 2 THEN 'parked' ELSE 'delivered' END",
        next_attempt_at=f"CASE {told} WHEN 1 THEN now() END",
        delivered_at=f"CASE WHEN {told} > 2 THEN e.created_at END",
    )  # fmt: skip
    WebhookAttempt.objects.create(message=message, at=message.created_at, duration_ms=12, status=200)
    messages = "(SELECT m.id, m.created_at FROM fulfillment_webhookmessage m ORDER BY m.id) m"
    copy_rows(WebhookAttempt.objects.get(), messages, message_id="m.id", at="m.created_at")
    copy_rows(
        Notification.objects.first(), _OF_PAID, id=_uuid7("o.settled_at", "'told'").replace("|| n)", "|| o.n)"),
        attempt_no="o.order_no", transaction_id="o.transaction_id", received_at="o.settled_at",
        verdict="CASE WHEN mod(o.n, 400) = 0 THEN 'refused' ELSE 'applied' END",
    )  # fmt: skip
    copy_rows(
        Case.objects.get(order=shop.held), _OF_ORDERS, subject="'crowd' || o.n", order_id="o.id", payment_id="NULL", opened_at=made,
        kind="CASE WHEN mod(o.n, 3) = 0 THEN 'second_payment' ELSE 'late_payment' END",
        closed_at=f"CASE WHEN o.n > {ORDERS - 60} THEN NULL ELSE o.created_at + interval '1 day' END",
        closed_by=f"CASE WHEN o.n > {ORDERS - 60} THEN '' ELSE 'lin' END",
        decision=f"CASE WHEN o.n > {ORDERS - 60} THEN '' ELSE 'no_action' END",
    )  # fmt: skip
    tally = RefusedTally.objects.create(account=shop.account, minute=bought.created_at, refused=3)
    copy_rows(tally, f"generate_series(1, {ORDERS}) n", minute=f"date_trunc('minute', {_AT}) - n * interval '1 minute'")
    job = Job.objects.create(
        kind=JobKind.EXPORT, asked={}, title="export", environment="sandbox", requested_by="lin",
        state=JobState.DONE, created_at=bought.created_at, finished_at=bought.created_at,
    )  # fmt: skip
    copy_rows(job, f"generate_series(1, {ORDERS}) n", id=_uuid7(_AT, "'job'"), created_at=_AT)
    entry = AuditEntry.objects.create(actor="lin", action="looked")
    copy_rows(entry, f"generate_series(1, {ORDERS}) n", actor="'lin' || mod(n, 50)", at=_AT)
    assert PaymentAttempt.objects.count() > ORDERS
    assert Payment.objects.count() > ORDERS // 2
