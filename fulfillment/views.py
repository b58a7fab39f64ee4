"""The goods part of the HTTP API, for game servers: what players own, deliveries, events for catching up."""

import json
import re
import uuid
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fulfillment import serializers as shapes
from fulfillment.delivering import confirm
from fulfillment.events import events_after
from fulfillment.filters import DeliveryFilter
from fulfillment.models import Balance, Delivery, DeliveryStatus, LedgerEntry
from orders.authentication import GameServer, game_server
from orders.documents import item_lines, rfc3339
from orders.filters import filtered, refuse_unknown
from orders.idempotency import once
from orders.models import Scope
from orders.openapi import IDEMPOTENCY_KEY, PAGING, filters_of, page_of, problems
from orders.pages import newest_first, page_size
from orders.parsing import Fields, body_of
from orders.problems import Problem, not_found

_M = TypeVar("_M", bound=Model)
_RECEIPT = re.compile(r"[^\x00-\x1f\x7f]*")


class Balances(APIView):
    """What a player owns."""

    @extend_schema(
        operation_id="players_balances",
        parameters=PAGING,
        responses={200: page_of(shapes.BalanceSerializer), **problems()},
    )
    def get(self, request: Request, uid: str) -> Response:
        """A page of items with paid and free quantities; empty for a player who owns nothing."""
        rows = _of_player(Balance.objects.select_related("item"), game_server(request, Scope.PLAYERS), uid)
        return newest_first(request, filtered(request, rows), balance_document)


class Ledger(APIView):
    """How a player came to own it."""

    @extend_schema(
        operation_id="players_ledger",
        parameters=PAGING,
        responses={200: page_of(shapes.LedgerEntrySerializer), **problems()},
    )
    def get(self, request: Request, uid: str) -> Response:
        """A page of movements, newest first. Entries never change; their sum is the balance."""
        rows = _of_player(LedgerEntry.objects.select_related("item"), game_server(request, Scope.PLAYERS), uid)
        return newest_first(request, filtered(request, rows), entry_document)


class Deliveries(APIView):
    """A player's deliveries."""

    @extend_schema(
        operation_id="players_deliveries",
        parameters=filters_of(DeliveryFilter),
        responses={200: page_of(shapes.DeliverySerializer), **problems()},
    )
    def get(self, request: Request, uid: str) -> Response:
        """A page of deliveries, newest first. At login, ask for `state=pending` and `state=parked`."""
        rows = _of_player(_deliveries(), game_server(request, Scope.PLAYERS), uid)
        return newest_first(request, filtered(request, rows, DeliveryFilter), delivery_document)


class Acknowledge(APIView):
    """The game server has granted a delivery."""

    @extend_schema(
        operation_id="deliveries_acknowledge",
        parameters=[IDEMPOTENCY_KEY],
        request=shapes.AcknowledgeSerializer,
        responses={200: shapes.DeliverySerializer, **problems()},
    )
    def post(self, request: Request, delivery_id: uuid.UUID) -> Response:
        """Mark it delivered, once. Repeating it answers the same; the first receipt is kept."""
        game = game_server(request, Scope.PLAYERS)

        def work() -> Response:
            fields = Fields(body_of(request))
            receipt = fields.text("receipt", most=200, least=0, default="", pattern=_RECEIPT)
            fields.done()
            _visible_delivery(game, delivery_id)
            confirm(delivery_id=delivery_id, receipt=receipt, actor=game.actor)
            delivery = _visible_delivery(game, delivery_id)
            if delivery.state == DeliveryStatus.REVOKED:
                raise Problem(409, "delivery_revoked", "These goods were taken back; do not grant them.")
            return Response(delivery_document(delivery))

        return once(request, game, work)


class Events(APIView):
    """Everything the game was told."""

    @extend_schema(
        operation_id="events_list",
        parameters=[
            OpenApiParameter("after", str, description="id of the last event that was handled; empty: from the first"),
            OpenApiParameter("limit", int),
        ],
        responses={200: page_of(shapes.EventSerializer), **problems()},
    )
    def get(self, request: Request) -> HttpResponse:
        """Events of this key's environment, oldest first, word for word as webhooks told them.

        Kept 30 days. `next` is null at the end; go on later with `after` and the id of the last event.
        """
        game = game_server(request, Scope.EVENTS)
        refuse_unknown(request, ("after", "limit"))
        limit = page_size(request)
        page = events_after(game=game, after=request.query_params.get("after", ""), limit=limit)
        query = urlencode({"after": page.cursor, "limit": limit})
        following = f"{settings.PUBLIC_BASE_URL}{request.path}?{query}" if page.cursor else None
        # The bodies are put in as they are: parsing them would cost time and could change a byte.
        body = f'{{"next":{json.dumps(following)},"previous":null,"results":[{",".join(page.bodies)}]}}'
        return HttpResponse(body, content_type="application/json")


# --- answers ------------------------------------------------------------------------------------------------
def balance_document(balance: Balance) -> dict[str, Any]:
    """What a player owns of one item."""
    return {
        "item_id": balance.item.item_id,
        "name": balance.item.name,
        "kind": balance.item.kind,
        "paid": balance.paid,
        "free": balance.free,
        "quantity": balance.paid + balance.free,
    }


def entry_document(entry: LedgerEntry) -> dict[str, Any]:
    """One movement."""
    return {
        "id": entry.pk,
        "at": rfc3339(entry.at),
        "item_id": entry.item.item_id,
        "quantity": entry.paid + entry.free,
        "paid": entry.paid,
        "free": entry.free,
        "quantity_after": (entry.paid_after or 0) + (entry.free_after or 0),
        "reason": entry.reason,
        "order_no": entry.order_no or None,
        "delivery_id": str(entry.delivery_id) if entry.delivery_id else None,
    }


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """A delivery; its items are the lines frozen on the order, which are what is delivered (I-02)."""
    return {
        "id": str(delivery.pk),
        "order_no": delivery.order_no,
        "uid": delivery.player.uid,
        "state": delivery.state,
        "mode": delivery.mode,
        "zone_id": delivery.zone_id or None,
        "role_id": delivery.role_id or None,
        "created_at": rfc3339(delivery.created_at),
        "delivered_at": rfc3339(delivery.delivered_at),
        "receipt": delivery.receipt or None,
        "items": item_lines(delivery.order),
    }


# --- rows a caller may see ----------------------------------------------------------------------------------
def _of_player(rows: QuerySet[_M], game: GameServer, uid: str) -> QuerySet[_M]:
    return rows.filter(player__game=game.game_id, player__environment=game.environment, player__uid=uid)


def _deliveries() -> QuerySet[Delivery]:
    return Delivery.objects.select_related("player", "order")


def _visible_delivery(game: GameServer, delivery_id: uuid.UUID) -> Delivery:
    of_game = _deliveries().filter(order__game=game.game_id, order__environment=game.environment)
    delivery = of_game.filter(pk=delivery_id).first()
    if delivery is None:
        raise not_found("delivery")
    return delivery
