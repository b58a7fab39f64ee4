"""A year of business in the tables: millions of orders with everything that belongs to them, written by SQL.

The rows are as the services would have left them, except that no game was told anything (the audit, I-25, misses that
for the last month); nothing was bought: triggers rest while the rows are written. Made of hashes of the order's number,
so that every run builds the same year.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from channels_app.models import Channel, MerchantAccount
from fulfillment.models import Item
from orders.models import Game, Product, ProductPrice

DAYS = 365
_CHUNK = 250_000
_CHANNELS = (
    ("official", "官网"),
    ("appstore", "App Store"),
    ("huawei", "华为"),
    ("taptap", "TapTap"),
    ("bilibili", "B 站"),
)
_PRICES = (600, 1200, 3000, 6800, 9800, 12800, 19800, 32800, 64800)
_METHODS = ("alipay_app", "alipay_wap", "alipay_qr", "alipay_page")
_ZONES = 40
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class History:
    """What was built: enough to ask for it."""

    game: Game
    account: MerchantAccount
    orders: int
    began: datetime
    ended: datetime


def build(*, orders: int, account: MerchantAccount, say: Say) -> History:
    """Write a year of `orders` orders of a game of their own, up to now."""
    ended = timezone.now()
    began = ended - timedelta(days=DAYS)
    game, gem = _game()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET synchronous_commit = off; SET work_mem = '128MB'")
        cursor.execute("SET session_replication_role = replica")
        for first in range(0, orders, _CHUNK):
            last = min(first + _CHUNK, orders)
            cursor.execute(_seed(orders), _parameters(game, account, began, first, last))
            for table in _ROWS:
                cursor.execute(table % {"game": game.pk, "account": account.pk})
            cursor.execute("DROP TABLE bench_seed")
            say(f"{last:,} of {orders:,} orders of a year written")
        for table in _WITH_SEQUENCE:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
        for table in _GOODS:
            cursor.execute(table % {"item": gem.pk})
        say("goods written; analysing")
        cursor.execute("SET session_replication_role = origin; SET synchronous_commit = on")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout; RESET work_mem")
    return History(game, account, orders, began, ended)


def _game() -> tuple[Game, Item]:
    game = Game.objects.create(code="year", name="A year of business")
    gem = Item.objects.create(game=game, item_id="gem", name="Gem", kind="currency")
    for code, name in _CHANNELS:
        Channel.objects.get_or_create(code=code, defaults={"name": name})
    for number, price in enumerate(_PRICES):
        product = Product.objects.create(game=game, product_id=f"gems_{number}", name=f"{price // 10} gems")
        ProductPrice.objects.create(product=product, currency="CNY", amount_minor=price)
    return game, gem


def _parameters(game: Game, account: MerchantAccount, began: datetime, first: int, last: int) -> dict[str, object]:
    products = list(game.products.order_by("pk").values_list("pk", flat=True))
    channels = [Channel.objects.get(code=code).pk for code, _name in _CHANNELS]
    return {
        "first": first, "last": last - 1, "began": began, "products": products, "prices": list(_PRICES),
        "channels": channels, "codes": [code for code, _name in _CHANNELS], "methods": list(_METHODS),
    }  # fmt: skip


def _seed(orders: int) -> str:
    """One chunk of the year, a row per order. Ids begin far above what the other trials make."""
    return f"""
        CREATE UNLOGGED TABLE bench_seed AS
        SELECT s.*, {_FIRST_ID} + s.i AS id,
            to_char(s.made AT TIME ZONE 'Asia/Shanghai', 'YYYYMMDD') || 'G'
                || lpad(upper(to_hex((extract(epoch FROM s.made) * 1000)::bigint)), 9, '0')
                || lpad(upper(to_hex(s.i)), 12, '0') AS order_no,
            'p' || lpad((abs(s.a %% 600000) * abs(s.b %% 1000) / 1000)::text, 7, '0') AS uid,
            (%(prices)s::bigint[])[s.product] AS amount,
            CASE WHEN abs(s.c %% 100) < 76 THEN 'paid'
                 WHEN s.made > now() - interval '30 minutes' THEN 'pending' ELSE 'cancelled' END AS state,
            s.made + (3 + abs(s.c %% 60)) * interval '1 second' AS paid_at,
            CASE WHEN abs(s.c %% 1000) = 7 THEN true ELSE false END AS refunded,
            lpad(to_hex((extract(epoch FROM s.made) * 1000)::bigint), 12, '0') || '7' || substr(md5(s.i::text), 1, 3)
                || '8' || substr(md5(s.i::text), 4, 15) AS stamp
        FROM (
            SELECT i, %(began)s::timestamptz + i * (interval '{DAYS} days' / {orders}) AS made,
                hashint8extended(i, 1) AS a, hashint8extended(i, 2) AS b, hashint8extended(i, 3) AS c,
                1 + abs(hashint8extended(i, 4) %% {len(_PRICES)})::int AS product,
                1 + abs(hashint8extended(i, 5) %% {len(_CHANNELS)})::int AS channel,
                1 + abs(hashint8extended(i, 6) %% {len(_METHODS)})::int AS method,
                %(products)s::bigint[] AS products, %(channels)s::bigint[] AS channels, %(codes)s::text[] AS codes,
                %(methods)s::text[] AS methods
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
        ) AS s
    """  # our own numbers


_FIRST_ID = 1_000_000
# What follows from the deliveries, once all of them are written.
_GOODS = (
    """
    INSERT INTO fulfillment_deliveryline (delivery_id, item_id, quantity, bonus)
    SELECT id, %(item)s, 60, 6 FROM fulfillment_delivery WHERE player_id >= 5000000 ORDER BY delivered_at
    """,
    """
    INSERT INTO fulfillment_ledgerentry
        (transfer, account, player_id, item_id, paid, free, paid_after, free_after, reason, delivery_id, order_no, at)
    SELECT id, side.account, CASE WHEN side.sign > 0 THEN player_id END, %(item)s, 60 * side.sign, 6 * side.sign,
        CASE WHEN side.sign > 0 THEN 60 * nth END, CASE WHEN side.sign > 0 THEN 6 * nth END,
        'purchase', id, order_no, delivered_at
    FROM (
        SELECT *, row_number() OVER (PARTITION BY player_id ORDER BY delivered_at, id) AS nth
        FROM fulfillment_delivery WHERE player_id >= 5000000
    ) AS d, (VALUES ('player', 1), ('sold', -1)) AS side (account, sign)
    ORDER BY delivered_at
    """,
    """
    INSERT INTO fulfillment_balance (player_id, item_id, paid, free)
    SELECT player_id, %(item)s, 60 * count(*), 6 * count(*) FROM fulfillment_delivery
    WHERE player_id >= 5000000 GROUP BY player_id
    """,
)
_WITH_SEQUENCE = (
    "orders_order", "orders_paymentattempt", "orders_payment", "orders_orderevent", "fulfillment_player",
)  # fmt: skip
_ROWS = (
    """
    INSERT INTO fulfillment_player (id, game_id, environment, uid, created_at)
    SELECT DISTINCT ON (uid) 5000000 + substr(uid, 2)::bigint, %(game)s, 'production', uid, made
    FROM bench_seed WHERE state = 'paid' ORDER BY uid, made ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO orders_order
        (id, order_no, game_id, game_code, environment, client_ref, request_sha256, uid, zone_id, role_id, product_id,
         product_code, product_name, quantity, amount_minor, currency, contents, fulfilment_mode, channel_id,
         channel_code, client_ip, attach, state, cancel_reason, delivery_state, method, transaction_id, refunded_minor,
         version, created_at, expires_at, paid_at, settled_at, delivered_at, cancelled_at)
    SELECT id, order_no, %(game)s, 'year', 'production', 'year-' || i, '', uid, (1 + abs(a %% 40))::text,
        'r' || substr(uid, 2), products[product], 'gems_' || product - 1, (amount / 10) || ' gems', 1, amount, 'CNY',
        '[{"item_id": "gem", "name": "Gem", "quantity": 60, "bonus": 6}]', 'ledger', channels[channel], codes[channel],
        '203.0.113.7', '', state, CASE state WHEN 'cancelled' THEN 'expired' ELSE '' END,
        CASE state WHEN 'paid' THEN 'delivered' ELSE 'none' END,
        CASE state WHEN 'paid' THEN methods[method] ELSE '' END,
        CASE state WHEN 'paid' THEN '2026' || lpad(id::text, 24, '0') ELSE '' END,
        CASE WHEN refunded AND state = 'paid' THEN amount ELSE 0 END, 2, made, made + interval '30 minutes',
        CASE state WHEN 'paid' THEN paid_at END, CASE state WHEN 'paid' THEN paid_at + interval '1 second' END,
        CASE state WHEN 'paid' THEN paid_at + interval '2 seconds' END,
        CASE state WHEN 'cancelled' THEN made + interval '31 minutes' END
    FROM bench_seed ORDER BY id
    """,
    """
    INSERT INTO orders_paymentattempt
        (id, order_id, account_id, method, attempt_no, state, inputs_sha256, expires_at, provider_said, queries,
         next_query_at, created_at, closed_at)
    SELECT id, id, %(account)s, methods[method], order_no, CASE state WHEN 'paid' THEN 'paid' ELSE 'closed' END, '',
        made + interval '30 minutes', '', 0, NULL, made + interval '1 second', NULL
    FROM bench_seed WHERE state <> 'pending' ORDER BY id
    """,
    """
    INSERT INTO orders_payment
        (id, account_id, environment, transaction_id, attempt_no, attempt_id, order_id, amount_minor, currency, applied,
         hold_reason, source, paid_at, received_at)
    SELECT id, %(account)s, 'production', '2026' || lpad(id::text, 24, '0'), order_no, id, id, amount, 'CNY', true, '',
        'notification', paid_at, paid_at + interval '1 second'
    FROM bench_seed WHERE state = 'paid' ORDER BY id
    """,
    """
    INSERT INTO orders_orderevent (order_id, kind, at, actor, data)
    SELECT id, kind, at, actor, data FROM (
        SELECT id, 'created' AS kind, made AS at, 'key bench' AS actor, '{}'::jsonb AS data FROM bench_seed
        UNION ALL
        SELECT id, 'attempt_opened', made + interval '1 second', 'player',
            jsonb_build_object('attempt_no', order_no, 'method', methods[method]) FROM bench_seed
        UNION ALL
        SELECT id, 'paid', paid_at + interval '1 second', 'notification ' || stamp::uuid,
            jsonb_build_object('amount', amount, 'currency', 'CNY', 'source', 'notification') FROM bench_seed
        WHERE state = 'paid'
        UNION ALL
        SELECT id, 'refunded', paid_at + interval '1 hour', 'bench',
            jsonb_build_object('amount', amount, 'currency', 'CNY') FROM bench_seed WHERE state = 'paid' AND refunded
    ) AS told ORDER BY at
    """,
    """
    INSERT INTO fulfillment_delivery
        (id, order_id, order_no, player_id, zone_id, role_id, mode, state, receipt, created_at, delivered_at)
    SELECT stamp::uuid, id, order_no, 5000000 + substr(uid, 2)::bigint, (1 + abs(a %% 40))::text, 'r' || substr(uid, 2),
        'ledger', 'delivered', '', paid_at + interval '1 second', paid_at + interval '2 seconds'
    FROM bench_seed WHERE state = 'paid' ORDER BY id
    """,
)
