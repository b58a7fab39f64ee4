"""The little HTTP that the stream process needs, over bare ASGI: a request as it came, and whole answers."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.http import HttpRequest

from orders.problems import CONTENT_TYPE, Problem
from orders.request_id import current_request_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_PARAMETERS = 20
# A page of any origin may call: what opens a door is the token alone, never a cookie.
_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "X-Request-ID"}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, OPTIONS",
    "access-control-allow-headers": "Authorization, Last-Event-ID, Cache-Control, X-Request-ID",
    "access-control-max-age": "86400",
}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One HTTP request. Header names are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    peer: str

    @classmethod
    def of(cls, scope: Scope) -> "StreamRequest":
        """Read the ASGI scope. Raises Problem(400) for a query string that is no query string."""
        try:
            pairs = parse_qsl(
                scope["query_string"].decode("latin-1"),
                keep_blank_values=True,
                max_num_fields=_MOST_PARAMETERS,
            )
        except ValueError:
            raise Problem(400, "malformed_request", "The query string cannot be read.") from None
        return cls(
            method=scope["method"],
            path=scope["path"],
            headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
            query=dict(pairs),
            peer=(scope.get("client") or ("",))[0],
        )

    def as_django(self) -> HttpRequest:
        """What authentication looks at: where the request comes from."""
        request = HttpRequest()
        request.META = {
            "REMOTE_ADDR": self.peer,
            "HTTP_X_FORWARDED_FOR": self.headers.get("x-forwarded-for", ""),
        }
        return request


async def begin(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send status and headers; every answer may be read by pages of any origin and carries its request id."""
    every = {**_CORS, "cache-control": "no-store", "x-request-id": current_request_id.get(), **headers}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in every.items()],
        }
    )


async def answer(send: Send, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
    """Send a whole answer."""
    length = {} if status == 204 else {"content-length": str(len(body))}
    await begin(send, status, {**length, **(headers or {})})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def answer_json(send: Send, document: Mapping[str, Any]) -> None:
    """Send a document."""
    await answer(send, 200, compact(document), {"content-type": "application/json"})


async def answer_problem(send: Send, problem: Problem) -> None:
    """Send a refusal."""
    await answer(send, problem.status, compact(problem.document()), {"content-type": CONTENT_TYPE, **problem.headers})


async def answer_preflight(send: Send) -> None:
    """Tell a browser that it may ask."""
    await answer(send, 204, headers=_PREFLIGHT)


def compact(document: Mapping[str, Any]) -> bytes:
    """JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
