"""What the OpenAPI document needs beyond the shapes: who may call, pages, problems, the event stream.

`/api/schema/` is checked against the running API in the tests.
"""

from typing import Any

import django_filters
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from orders.problems import CONTENT_TYPE
from orders.serializers import ProblemSerializer

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="same key and body: the first answer again"
)
PAGING = [
    OpenApiParameter("cursor", str, description="from `next` or `previous` of a page"),
    OpenApiParameter("limit", int, description="rows of a page, 1 to 200"),
]
_API_KEY, _CLIENT_TOKEN = "apiKey", "clientToken"
EITHER: list[dict[str, list[str]]] = [{_API_KEY: []}, {_CLIENT_TOKEN: []}]
_SCHEMES: dict[str, dict[str, str]] = {
    _API_KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of a game (`gk_…`), for game servers. It belongs to one environment.",
    },
    _CLIENT_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "The `client_token` of one order (`ct_…`), for the player's game client.",
    },
}
_PROBLEM = OpenApiResponse(ProblemSerializer, description="an RFC 9457 problem document with a stable `code`")


def problems() -> dict[tuple[str, str], OpenApiResponse]:
    """The refusals that every call may answer."""
    return {("4XX", CONTENT_TYPE): _PROBLEM, ("5XX", CONTENT_TYPE): _PROBLEM}


def page_of(rows: type[serializers.Serializer[None]]) -> type[serializers.Serializer[None]]:
    """The shape of one page of a list."""
    name = rows.__name__.removesuffix("Serializer")
    members = {
        "__doc__": f"A page of a list: {name}.",
        "__module__": rows.__module__,
        "next": serializers.URLField(allow_null=True, help_text="address of the next page; null on the last"),
        "previous": serializers.URLField(allow_null=True),
        "results": rows(many=True),
    }
    build: Any = type  # DRF's metaclass is not typed
    made: type[serializers.Serializer[None]] = build(f"{name}PageSerializer", (serializers.Serializer,), members)
    return made


def filters_of(filters: type[django_filters.FilterSet]) -> list[OpenApiParameter]:
    """The query parameters of a filtered list, paging included."""
    found = []
    for name, one in filters.base_filters.items():
        choices = [value for value, _ in one.extra["choices"]] if "choices" in one.extra else None
        is_time = isinstance(one, django_filters.IsoDateTimeFilter)
        found.append(OpenApiParameter(name, OpenApiTypes.DATETIME if is_time else str, enum=choices))
    return [*found, *PAGING]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    """The two credentials; a view that a client token may call says so (`client_token_allowed`)."""

    target_class = "orders.authentication.BearerAuthentication"
    name = [_API_KEY, _CLIENT_TOKEN]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        """Either credential, or the API key alone."""
        allowed = getattr(auto_schema.view, "client_token_allowed", False)
        return EITHER if allowed else EITHER[:1]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        """Both."""
        return [_SCHEMES[name] for name in self.name]


_STREAM = """\
Server-sent events of one order, answered by the stream process; take the address from `stream_url`.
First come the events after `Last-Event-ID` (without it: all there are), then whatever happens, as it is
committed. Each has an `id`, one of the types `order.paid`, `order.delivered`, `order.cancelled`, and as `data`
the order as it was then (ClientOrder). A comment comes every 15 seconds. The stream ends shortly after the
last event; 204 says that nothing will follow."""


def describe_stream(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the call that no Django view answers: the event stream (SPECTACULAR_SETTINGS, postprocessing)."""
    problem = {
        "description": _PROBLEM.description,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    result["paths"]["/api/v1/orders/{order_no}/stream"] = {
        "get": {
            "operationId": "orders_stream",
            "description": _STREAM,
            "tags": ["orders"],
            "parameters": [
                {"name": "order_no", "in": "path", "required": True, "schema": {"type": "string"}},
                {
                    "name": "token", "in": "query", "schema": {"type": "string"},
                    "description": "the client token, where a header cannot be sent (EventSource)",
                },
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
                {
                    "name": "last_event_id", "in": "query", "schema": {"type": "string"},
                    "description": "the same, where a header cannot be sent",
                },
            ],
            "security": EITHER,
            "responses": {
                "200": {
                    "description": "the stream",
                    "content": {
                        "text/event-stream": {
                            "schema": {"type": "string"},
                            "x-event-data": {"$ref": "#/components/schemas/ClientOrder"},
                        }
                    },
                },
                "204": {"description": "everything has been told; do not come back"},
                "4XX": problem,
                "5XX": problem,
            },
        }
    }  # fmt: skip
    return result
