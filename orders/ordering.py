"""Making an order: price and contents from the catalogue, one order per reference of the game, for ever.

Hot path: two round trips and one commit. The first asks for everything that is needed (and counts the request), the
second writes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings

from channels_app.providers import METHODS
from orders.authentication import GameServer
from orders.fulfilment import Promise, fulfilment
from orders.limits import COUNT
from orders.models import DeliveryState, EventKind, Order, OrderState
from orders.order_numbers import new_order_no
from orders.problems import Problem
from orders.settling import ORDER_COLUMNS, order_from_record
from orders.sql import only_row, raw_connection, retrying

_METHODS = """
    SELECT offered.method FROM channels_app_channelmethod offered
    JOIN channels_app_merchantaccount account ON account.id = offered.account_id AND account.state = 'active'
    WHERE offered.channel_id = {channel} AND offered.environment = {environment} AND offered.is_enabled
    ORDER BY offered.position, offered.id
"""
METHODS_OFFERED = _METHODS.format(channel="%s", environment="%s")
# The price for the channel, else the general one; without a wanted currency the channel's own comes first.
_ASK = f"""
    WITH counted AS ({COUNT})
    SELECT counted.count, clock_timestamp(), ARRAY({_METHODS.format(channel="channel.id", environment="%s")}),
           channel.id, product.id, product.name, price.amount_minor, price.currency, product.store_ids,
           {", ".join(f"before.{name}" for name in ORDER_COLUMNS)}
    FROM counted
    LEFT JOIN orders_order before ON before.game_id = %s AND before.client_ref = %s
    LEFT JOIN channels_app_channel channel ON channel.code = %s AND channel.is_active
    LEFT JOIN orders_product product
        ON product.game_id = %s AND product.product_id = %s AND product.is_active
    LEFT JOIN LATERAL (
        SELECT p.amount_minor, p.currency FROM orders_productprice p
        WHERE p.product_id = product.id AND (p.channel_id = channel.id OR p.channel_id IS NULL)
          AND p.currency = coalesce(%s, p.currency)
        ORDER BY p.channel_id IS NULL, p.currency <> 'CNY', p.currency LIMIT 1
    ) price ON true
"""  # noqa: S608  # column names of our own model
_BY_CLIENT_REF = f"SELECT {', '.join(ORDER_COLUMNS)} FROM orders_order WHERE game_id = %s AND client_ref = %s"  # noqa: S608
_INSERTED = tuple(name for name in ORDER_COLUMNS if name != "id")
_INSERT = f"""
    WITH made AS (
        INSERT INTO orders_order ({", ".join(_INSERTED)}) VALUES ({", ".join(["%s"] * len(_INSERTED))})
        ON CONFLICT (game_id, client_ref) DO NOTHING RETURNING id, created_at
    )
    INSERT INTO orders_orderevent (order_id, kind, at, actor, data)
    SELECT id, '{EventKind.CREATED.value}', created_at, %s, '{{}}' FROM made RETURNING order_id
"""  # noqa: S608  # column names of our own model


class _Offer(NamedTuple):
    """What the catalogue answers, in the order of _ASK's columns."""

    channel_id: int
    product_id: int
    product_name: str
    price_minor: int
    currency: str
    store_ids: str  # JSON: what the product is called in stores


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a game server asks for. Nothing in it sets a price or contents."""

    client_ref: str
    uid: str
    product_id: str
    channel_id: str
    quantity: int = 1
    zone_id: str = ""
    role_id: str = ""
    currency: str = ""
    client_ip: str = ""
    attach: str = ""
    expires_in_s: int | None = None

    def sha256(self) -> str:
        """A digest of everything asked: a repeat must ask for the same."""
        fields = [str(getattr(self, name)) for name in sorted(self.__slots__)]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


class MadeOrder(NamedTuple):
    """An order, whether it was made just now, and the methods its channel offers for its product."""

    order: Order
    is_new: bool
    methods: Sequence[str]


def create_order(*, game: GameServer, request: OrderRequest) -> MadeOrder:
    """Make the order, or find the one made for this `client_ref` before.

    Raises Problem: unknown_product, unknown_channel, no_price, client_ref_conflict, too_many_orders.
    """
    return retrying(lambda: _create(game, request))


def _create(game: GameServer, request: OrderRequest) -> MadeOrder:
    raw = raw_connection()
    digest = request.sha256()
    with raw.pipeline():
        asked = raw.execute(
            _ASK,
            (
                f"order:{game.game_id}:{game.environment}:{request.uid}", game.environment, game.game_id,
                request.client_ref, request.channel_id, game.game_id, request.product_id, request.currency or None,
            ),
        )  # fmt: skip
        promised = fulfilment().promise(
            raw, game_id=game.game_id, product_code=request.product_id, quantity=request.quantity
        )
    count, now, methods, *rest = only_row(asked)
    catalogue, existing = rest[: len(_Offer._fields)], rest[len(_Offer._fields) :]
    methods = sold_by(methods, json.loads(catalogue[-1] or "{}"))
    if existing[0] is not None:
        return MadeOrder(_the_same(order_from_record(existing), game, digest), is_new=False, methods=methods)
    _refuse_flood(count)
    order = _new_order(game, request, _on_sale(request, catalogue), promised(), now, digest)
    # One statement, so one transaction: the order and the first line of its timeline.
    made = raw.execute(_INSERT, (*_values(order), game.actor)).fetchone()
    if made is None:  # a twin with the same reference committed first
        twin = raw.execute(_BY_CLIENT_REF, (game.game_id, request.client_ref))
        return MadeOrder(
            _the_same(order_from_record(list(only_row(twin))), game, digest), is_new=False, methods=methods
        )
    order.pk = made[0]
    return MadeOrder(order, is_new=True, methods=methods)


def _new_order(
    game: GameServer, request: OrderRequest, offer: _Offer, promise: Promise, now: datetime, digest: str
) -> Order:
    """The order as it will be inserted. `now` is the database's clock."""
    amount = offer.price_minor * request.quantity
    if amount > MOST_MINOR:
        raise Problem(400, "amount_too_large", "Such an order is beyond what a payment can carry.")
    return Order(
        order_no=new_order_no(now=now, time_zone=game.time_zone),
        game_id=game.game_id,
        game_code=game.game_code,
        environment=game.environment,
        client_ref=request.client_ref,
        request_sha256=digest,
        uid=request.uid,
        zone_id=request.zone_id,
        role_id=request.role_id,
        product_id=offer.product_id,
        product_code=request.product_id,
        product_name=offer.product_name,
        quantity=request.quantity,
        amount_minor=amount,
        currency=offer.currency,
        contents=list(promise.contents),
        fulfilment_mode=promise.mode,
        channel_id=offer.channel_id,
        channel_code=request.channel_id,
        client_ip=request.client_ip,
        attach=request.attach,
        state=OrderState.PENDING,
        delivery_state=DeliveryState.NONE,
        created_at=now,
        expires_at=now + timedelta(seconds=request.expires_in_s or settings.ORDER_EXPIRES_S),
    )


# The largest order: a hundred million yuan, Alipay's own limit (alipay.trade.*, total_amount).
MOST_MINOR = 100_000_000_00


def methods_of(order: Order) -> list[str]:
    """The methods this order's channel offers, in the channel's order."""
    raw = raw_connection()
    with raw.pipeline():
        offered = raw.execute(METHODS_OFFERED, (order.channel_id, order.environment))
        named = raw.execute("SELECT store_ids FROM orders_product WHERE id = %s", (order.product_id,))
    (store_ids,) = only_row(named)
    return payable_by(order, sold_by([code for (code,) in offered.fetchall()], json.loads(store_ids)))


def sold_by(methods: Iterable[str], store_ids: Mapping[str, str]) -> list[str]:
    """Those of the methods that can sell a product: a store sells what it knows by a name of its own."""
    return [code for code in methods if not METHODS[code].sells_products or store_ids.get(code)]


def payable_by(order: Order, methods: Iterable[str]) -> list[str]:
    """Those of the methods that take the order's currency."""
    return [code for code in methods if METHODS[code].takes(order.currency)]


def method_document(code: str) -> dict[str, Any]:
    """How a caller sees a method."""
    method = METHODS[code]
    return {"method": code, "kind": method.kind.value, "needs": list(method.needs)}


def _values(order: Order) -> list[Any]:
    record: Mapping[str, Any] = {**order.__dict__, "contents": json.dumps(order.contents)}
    return [record[name] for name in _INSERTED]


def _the_same(order: Order, game: GameServer, digest: str) -> Order:
    if order.request_sha256 != digest or order.environment != game.environment:
        raise Problem(409, "client_ref_conflict", f"client_ref was used before, for another order ({order.order_no}).")
    return order


def _refuse_flood(count: int) -> None:
    if count > settings.ORDERS_PER_PLAYER_PER_MINUTE:
        raise Problem(
            429,
            "too_many_orders",
            "This player ordered too often; try again in a minute.",
            headers={"Retry-After": "60"},
        )


def _on_sale(request: OrderRequest, catalogue: Sequence[Any]) -> _Offer:
    channel, product, _, price, *_ = catalogue
    if channel is None:
        raise Problem(400, "unknown_channel", f"There is no channel {request.channel_id!r} on sale.")
    if product is None:
        raise Problem(400, "unknown_product", f"There is no product {request.product_id!r} on sale.")
    if price is None:
        raise Problem(400, "no_price", "This product has no price for this channel and currency.")
    return _Offer(*catalogue)
