"""The orders part of the HTTP API: authenticate, read the input, make one service call, answer."""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from channels_app.models import Channel
from channels_app.providers import METHODS
from orders import serializers as shapes
from orders.asking import CLIENT_RESULTS, report_client_result
from orders.authentication import GameClient, client_token, either, game_server
from orders.cancelling import cancel_order
from orders.documents import client_document, order_document
from orders.filters import OrderFilter, filtered, refuse_unknown
from orders.idempotency import once
from orders.models import CancelReason, Order, Product, Scope
from orders.openapi import IDEMPOTENCY_KEY, filters_of, page_of, problems
from orders.opening import needed_inputs, open_payment
from orders.ordering import MadeOrder, OrderRequest, create_order, method_document, payable_by
from orders.pages import newest_first
from orders.parsing import Fields, body_of
from orders.proving import PROVING_METHODS, hand_in
from orders.reading import visible_order
from orders.waiting import wait_for_change, wait_seconds

_NAME = re.compile(r"[^\x00-\x1f\x7f]+")
_CURRENCY = re.compile(r"[A-Z]{3}")
_SHORTEST_EXPIRY_S, _LONGEST_EXPIRY_S = 60, 7 * 86400
_ATTACH_BYTES = 128
_VISIBLE = re.compile(r"[!-~]+")
_LONGEST_EVIDENCE = 20_000


# A game server and a game client are shown different orders.
EITHER_ORDER = PolymorphicProxySerializer(
    component_name="EitherOrder",
    serializers=[shapes.OrderSerializer, shapes.ClientOrderSerializer],
    resource_type_field_name=None,
)


class Orders(APIView):
    """The orders of the calling game."""

    @extend_schema(
        operation_id="orders_create",
        parameters=[IDEMPOTENCY_KEY],
        request=shapes.CreateOrderSerializer,
        responses={201: shapes.CreatedOrderSerializer, 200: shapes.CreatedOrderSerializer, **problems()},
    )
    def post(self, request: Request) -> Response:
        """Make an order; repeated with the same `client_ref` and content it answers the same order (200)."""
        game = game_server(request, Scope.ORDERS)

        def work() -> Response:
            made = create_order(game=game, request=_order_request(body_of(request)))
            return Response(created_document(made), status=201 if made.is_new else 200)

        return once(request, game, work)

    @extend_schema(
        operation_id="orders_list",
        parameters=filters_of(OrderFilter),
        responses={200: page_of(shapes.OrderSerializer), **problems()},
    )
    def get(self, request: Request) -> Response:
        """A page of orders, newest first."""
        game = game_server(request, Scope.ORDERS)
        rows = Order.objects.filter(game=game.game_id, environment=game.environment)
        return newest_first(request, filtered(request, rows, OrderFilter), order_document)


class OneOrder(APIView):
    """One order."""

    client_token_allowed = True

    @extend_schema(
        operation_id="orders_read",
        parameters=[
            OpenApiParameter("wait", int, description="answer when something happens, or after so many seconds (30)")
        ],
        responses={200: EITHER_ORDER, **problems()},
    )
    def get(self, request: Request, order_no: str) -> Response:
        """The order as it stands; with a client token the smaller client shape."""
        caller = either(request)
        order = visible_order(order_no, caller)
        wait = wait_seconds(request.query_params.get("wait", "0"))
        if wait and not order.is_final:
            wait_for_change(order.order_no, version=order.version, seconds=wait)
            order = visible_order(order_no, caller)
        document = client_document if isinstance(caller, GameClient) else order_document
        return Response(document(order))


class PayOrder(APIView):
    """Start paying an order."""

    client_token_allowed = True

    @extend_schema(
        operation_id="orders_pay",
        parameters=[IDEMPOTENCY_KEY],
        request=shapes.PaySerializer,
        responses={200: shapes.OpenedPaymentSerializer, **problems()},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Open a payment at the provider; repeating it keeps the attempt."""
        caller = either(request)

        def work() -> Response:
            order = visible_order(order_no, caller)
            method, inputs = _pay_request(body_of(request), order)
            return Response(
                open_payment(order=order, method=method, inputs=inputs, actor=caller.actor, now=timezone.now())
            )

        return once(request, caller, work)


class CancelOrder(APIView):
    """Cancel an order."""

    client_token_allowed = True

    @extend_schema(
        operation_id="orders_cancel",
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={200: EITHER_ORDER, **problems()},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Close the order at the provider, then here. 409 `order_paid` when the money won the race."""
        caller = either(request)

        def work() -> Response:
            Fields(body_of(request)).done()
            by_player = isinstance(caller, GameClient)
            order = cancel_order(
                order=visible_order(order_no, caller),
                reason=CancelReason.PLAYER if by_player else CancelReason.GAME,
                actor=caller.actor,
            )
            return Response(client_document(order) if by_player else order_document(order))

        return once(request, caller, work)


class ClientResult(APIView):
    """What the provider's SDK told the game client."""

    client_token_allowed = True

    @extend_schema(
        operation_id="orders_client_result",
        request=shapes.ClientResultSerializer,
        responses={200: shapes.ClientOrderSerializer, **problems()},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """A hint, never proof; `success` makes us ask the provider at once."""
        caller = either(request)
        order = visible_order(order_no, caller)
        fields = Fields(body_of(request))
        result = fields.choice("result", CLIENT_RESULTS)
        detail = fields.text("detail", most=200, least=0, default="")
        fields.done()
        report_client_result(order=order, result=result, detail=detail, actor=caller.actor, now=timezone.now())
        return Response(client_document(visible_order(order_no, caller)))


class Proofs(APIView):
    """What the client's store SDK holds after a purchase."""

    client_token_allowed = True

    @extend_schema(
        operation_id="orders_proofs",
        parameters=[IDEMPOTENCY_KEY],
        request=shapes.ProofSerializer,
        responses={200: shapes.ProvedSerializer, **problems()},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Verify a store's receipt and deliver; until `finish` is true the client keeps the purchase unfinished."""
        caller = either(request)

        def work() -> Response:
            order = visible_order(order_no, caller)
            method, evidence = _evidence(body_of(request))
            proved = hand_in(order=order, method=method, evidence=evidence, actor=caller.actor)
            document = client_document if isinstance(caller, GameClient) else order_document
            return Response(
                {
                    "result": proved.result.value,
                    "said": proved.said,
                    "finish": proved.finish,
                    "order": document(visible_order(order_no, caller)),
                }
            )

        return once(request, caller, work)


class Products(APIView):
    """The catalogue of the calling game."""

    @extend_schema(
        operation_id="products_list",
        parameters=[OpenApiParameter("channel_id", str)],
        responses={200: page_of(shapes.ProductSerializer), **problems()},
    )
    def get(self, request: Request) -> Response:
        """Products on sale with prices (a channel's own win) and contents."""
        game = game_server(request, Scope.CATALOGUE)
        fields = Fields(request.query_params.dict())
        channel = fields.text("channel_id", most=32, default="")
        fields.done()
        rows = Product.objects.filter(game=game.game_id, is_active=True).order_by("product_id")
        rows = rows.prefetch_related("prices__channel", "grants__item")
        return Response({"next": None, "previous": None, "results": [product_document(row, channel) for row in rows]})


class Channels(APIView):
    """Sales channels."""

    @extend_schema(operation_id="channels_list", responses={200: page_of(shapes.ChannelSerializer), **problems()})
    def get(self, request: Request) -> Response:
        """Channels on sale and the methods each offers in this key's environment."""
        game = game_server(request, Scope.CATALOGUE)
        refuse_unknown(request, ())
        rows = Channel.objects.filter(is_active=True).order_by("code").prefetch_related("methods__account")
        results = [
            {
                "channel_id": channel.code,
                "name": channel.name,
                "methods": [
                    method_document(offer.method)
                    for offer in sorted(channel.methods.all(), key=lambda offer: (offer.position, offer.pk))
                    if offer.is_enabled and offer.environment == game.environment and offer.account.state == "active"
                ],
            }
            for channel in rows
        ]
        return Response({"next": None, "previous": None, "results": results})


# --- answers ----------------------------------------------------------------------------------------------
def created_document(made: MadeOrder) -> dict[str, Any]:
    """The answer to creating an order: the order, and all a client needs to pay it."""
    order = made.order
    token = client_token(order_no=order.order_no, expires_at=order.expires_at)
    return {
        **order_document(order),
        "client_token": token,
        "checkout_url": f"{settings.PUBLIC_BASE_URL}/checkout/{order.order_no}?token={token}",
        "stream_url": f"{settings.STREAM_BASE_URL}/api/v1/orders/{order.order_no}/stream",
        "methods": [method_document(code) for code in payable_by(order, made.methods)],
    }


def product_document(product: Product, channel: str) -> dict[str, Any]:
    """A product as callers see it, priced for one channel (or without any)."""
    prices: dict[str, int] = {}
    for price in sorted(product.prices.all(), key=lambda price: price.channel_id is not None):
        if price.channel is None or price.channel.code == channel:
            prices[price.currency] = price.amount_minor
    grants: Any = product.grants  # the floor above hangs them on
    return {
        "product_id": product.product_id,
        "name": product.name,
        "prices": [{"currency": currency, "amount": amount} for currency, amount in sorted(prices.items())],
        "grants": [
            {"item_id": grant.item.item_id, "name": grant.item.name, "quantity": grant.quantity, "bonus": grant.bonus}
            for grant in grants.all()
        ],
        "store_ids": product.store_ids,
    }


# --- input ------------------------------------------------------------------------------------------------
def _order_request(body: dict[str, Any]) -> OrderRequest:
    fields = Fields(body)
    expires = fields.integer("expires_in_s", least=0, most=_LONGEST_EXPIRY_S, default=0)
    request = OrderRequest(
        client_ref=fields.text("client_ref", most=64, pattern=_NAME),
        uid=fields.text("uid", most=64, pattern=_NAME),
        zone_id=fields.text("zone_id", most=64, default="", pattern=_NAME),
        role_id=fields.text("role_id", most=64, default="", pattern=_NAME),
        product_id=fields.text("product_id", most=64, pattern=_NAME),
        quantity=fields.integer("quantity", least=1, most=9999, default=1),
        channel_id=fields.text("channel_id", most=32, pattern=_NAME),
        currency=fields.text("currency", most=3, least=3, default="", pattern=_CURRENCY),
        client_ip=_address(fields),
        attach=fields.text("attach", most=_ATTACH_BYTES, least=0, default=""),
        expires_in_s=expires or None,
    )
    if len(request.attach.encode()) > _ATTACH_BYTES:
        fields.refuse("attach", f"must have {_ATTACH_BYTES} bytes at most")
    if "expires_in_s" in body and expires < _SHORTEST_EXPIRY_S:
        fields.refuse("expires_in_s", f"must be from {_SHORTEST_EXPIRY_S} to {_LONGEST_EXPIRY_S}")
    fields.done()
    return request


def _pay_request(body: dict[str, Any], order: Order) -> tuple[str, dict[str, str]]:
    fields = Fields(body)
    method = fields.choice("method", METHODS)
    inputs = {
        "openid": fields.text("openid", most=128, default="", pattern=_NAME),
        "return_url": _web_address(fields),
        "client_ip": _address(fields) or order.client_ip,
        "channel_uid": fields.text("channel_uid", most=128, default="", pattern=_NAME),
    }
    inputs = {name: value for name, value in inputs.items() if value}
    for name in needed_inputs(METHODS[method], inputs) if method in METHODS else ():
        fields.refuse(name, f"is required for {method}")
    fields.done()
    return method, inputs


def _evidence(body: dict[str, Any]) -> tuple[str, dict[str, str]]:
    fields = Fields(body)
    method = fields.choice("method", PROVING_METHODS)
    wanted = METHODS[method].evidence if method in PROVING_METHODS else tuple(name for name in body if name != "method")
    evidence = {name: fields.text(name, most=_LONGEST_EVIDENCE, pattern=_VISIBLE) for name in wanted}
    fields.done()
    return method, evidence


def _address(fields: Fields) -> str:
    text = fields.text("client_ip", most=45, default="")
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        fields.refuse("client_ip", "must be an IP address")
        return ""


def _web_address(fields: Fields) -> str:
    text = fields.text("return_url", most=255, default="", pattern=_NAME)
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        fields.refuse("return_url", "must be an http(s) address")
        return ""
    return text
