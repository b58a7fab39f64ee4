"""Who is calling: a game server with its API key, or a game client with the token of one order.

Both send `Authorization: Bearer …`. API keys are looked up by their SHA-256 and remembered for a few
seconds per process, so a revoked key stops working within `KEY_REMEMBERED_S`.
"""

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from orders.models import ApiKey, Game, Scope
from orders.problems import Problem

KEY_REMEMBERED_S = 5.0
_KEYS_REMEMBERED = 1000
_LAST_USED_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class GameServer:
    """The holder of an API key: one game in one environment."""

    key_id: int
    game_id: int
    game_code: str
    time_zone: str
    environment: str
    scopes: Collection[str]

    @property
    def actor(self) -> str:
        """How the timeline names it."""
        return f"api key {self.key_id}"


@dataclass(frozen=True, slots=True)
class GameClient:
    """The holder of one order's token. May read that order, pay it, report a result, cancel it."""

    order_no: str
    valid_until: float  # seconds since 1970
    actor: str = "player"


Caller = GameServer | GameClient


# --- API keys ---------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Remembered:
    caller: GameServer
    networks: list[Any]
    expires_at: datetime | None
    until: float


_remembered: dict[str, _Remembered] = {}
_lock = threading.Lock()


def new_api_key(*, game: Game, environment: str, scopes: Collection[str] | None = None, name: str = "") -> str:
    """Create a key and return it; it cannot be shown again."""
    key = f"gk_{environment}_{secrets.token_urlsafe(32)}"
    ApiKey.objects.create(
        game=game,
        name=name,
        environment=environment,
        prefix=key[: len(f"gk_{environment}_") + 6],
        digest=_digest(key),
        scopes=sorted(scopes) if scopes else list(Scope.values),
    )
    return key


def forget_keys() -> None:
    """Look every key up anew (tests, and a person who revokes one in this process)."""
    with _lock:
        _remembered.clear()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _game_server(key: str, request: HttpRequest) -> GameServer:
    digest = _digest(key)
    known = _remembered.get(digest)
    if known is None or known.until < time.monotonic():
        known = _look_up(digest)
    if known.expires_at is not None and known.expires_at <= timezone.now():
        raise _unknown()
    if known.networks:
        address = ipaddress.ip_address(peer_address(request))
        if not any(address in network for network in known.networks):
            raise Problem(403, "address_not_allowed", "This key may not be used from your address.")
    return known.caller


def _look_up(digest: str) -> _Remembered:
    row = ApiKey.objects.select_related("game").filter(digest=digest, revoked_at__isnull=True).first()
    if row is None:
        raise _unknown()
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > timedelta(seconds=_LAST_USED_EVERY_S):
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    known = _Remembered(
        caller=GameServer(
            row.pk, row.game_id, row.game.code, row.game.time_zone, row.environment, frozenset(row.scopes)
        ),
        networks=[ipaddress.ip_network(text, strict=False) for text in row.allowed_networks],
        expires_at=row.expires_at,
        until=time.monotonic() + KEY_REMEMBERED_S,
    )
    with _lock:
        if len(_remembered) >= _KEYS_REMEMBERED:
            _remembered.clear()
        _remembered[digest] = known
    return known


def peer_address(request: HttpRequest) -> str:
    """The caller's address: the connection's, or what the configured number of own proxies wrote.

    `X-Forwarded-For` is believed only from its end, one entry per trusted proxy; a caller can write the rest.
    """
    direct: str = request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104  # "unknown", nothing is bound
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        if len(hops) >= settings.TRUSTED_PROXIES:
            claimed = hops[-settings.TRUSTED_PROXIES]
            try:
                return str(ipaddress.ip_address(claimed))
            except ValueError:
                return direct
    return direct


# --- client tokens ----------------------------------------------------------------------------------------
_TOKEN = "ct_"  # noqa: S105  # a prefix


def client_token(*, order_no: str, expires_at: datetime) -> str:
    """The token for one order; valid until a while after the order expires, so that a result can be shown."""
    until = int(expires_at.timestamp()) + settings.CLIENT_TOKEN_AFTER_EXPIRY_S
    return f"{_TOKEN}{order_no}.{until}.{_mac(order_no, until, settings.SECRET_KEY)}"


def read_client_token(token: str, *, now: datetime) -> GameClient:
    """The client behind a token. Raises Problem(401)."""
    order_no, _, rest = token.removeprefix(_TOKEN).partition(".")
    until_text, _, mac = rest.partition(".")
    if not (until_text.isascii() and until_text.isdigit() and len(until_text) < 12):
        raise _unknown()
    until = int(until_text)
    given = mac.encode("utf-8", "replace")
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if not any(hmac.compare_digest(_mac(order_no, until, key).encode(), given) for key in keys):
        raise _unknown()
    if now.timestamp() > until:
        raise Problem(401, "token_expired", "This token has expired.", headers={"WWW-Authenticate": "Bearer"})
    return GameClient(order_no, until)


def _mac(order_no: str, until: int, key: str) -> str:
    digest = salted_hmac("orders.client_token", f"{order_no}.{until}", secret=key, algorithm="sha256").digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


# --- the edge ---------------------------------------------------------------------------------------------
class BearerAuthentication(BaseAuthentication):
    """DRF authentication: `request.auth` becomes a GameServer, a GameClient, or None."""

    def authenticate(self, request: Request) -> tuple[None, Caller] | None:
        """Read the Authorization header. Raises Problem(401) for a credential that does not hold."""
        header: str = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, credential = header.partition(" ")
        if scheme.lower() != "bearer":
            raise _unknown()
        return None, read_bearer(credential.strip(), request._request)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return "Bearer"


def read_bearer(credential: str, request: HttpRequest) -> Caller:
    """The caller behind a bearer credential. Raises Problem(401)."""
    if credential.startswith(_TOKEN):
        return read_client_token(credential, now=timezone.now())
    return _game_server(credential, request)


def game_server(request: Request, scope: Scope) -> GameServer:
    """The calling game server, or Problem 401/403."""
    return _server_with(scope, _caller(request))


def either(request: Request) -> Caller:
    """The calling game server (scope orders) or game client, or Problem 401."""
    return may_see_orders(_caller(request))


def _caller(request: Request) -> Caller | None:
    caller: Any = request.auth  # what BearerAuthentication found
    found: Caller | None = caller
    return found


def may_see_orders(caller: Caller | None) -> Caller:
    """A game client, or a game server with the scope orders. Raises Problem 401/403 for anybody else."""
    return caller if isinstance(caller, GameClient) else _server_with(Scope.ORDERS, caller)


def _server_with(scope: Scope, caller: Caller | None) -> GameServer:
    if caller is None:
        raise _unknown()
    if not isinstance(caller, GameServer):
        raise Problem(403, "api_key_required", "This call needs an API key; a client token may not make it.")
    if scope not in caller.scopes:
        raise Problem(403, "scope_missing", f"This key lacks the scope {scope.value}.")
    return caller


def _unknown() -> Problem:
    return Problem(
        401, "not_authenticated", "Send a valid key or token as Authorization: Bearer.",
        headers={"WWW-Authenticate": "Bearer"},
    )  # fmt: skip
