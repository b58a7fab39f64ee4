"""Where game servers may live: the addresses a webhook is allowed to reach (SSRF).

An address is typed in by a person and its name is answered by a stranger's DNS, so neither is believed. A name is
resolved once per connection, every address in the answer is judged, and the socket is opened to a judged address: no
second resolution between judging and connecting (DNS rebinding). A literal address meets the same judge when its
socket is made. `settings.WEBHOOK_PRIVATE_TARGETS` (a developer's machine) switches the judge off and allows plain http.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings

URL_LIMIT = 500
# A name server that hangs holds a thread for up to half a minute; another endpoint's name must still find one.
_RESOLVER_THREADS = 64

# What the IANA special-purpose registries do not call globally reachable. Python's own words do not suffice:
# `is_private` misses 100.64/10; `is_global` is true for multicast, 64:ff9b::/96 and 2002::/16 (any IPv4 inside).
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # public by number, but every Azure machine's own platform service
    )
)  # fmt: skip
# Of IPv6 only global unicast is allowed at all; what wraps IPv4, tunnels or documents is taken out of it again.
_ALLOWED_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class TargetRefused(OSError):
    """This address is not reached. An OSError, because that is how a connector hears that a peer cannot be had."""


def check_url(url: str) -> str:
    """The address of an endpoint as it may be stored. Raises TargetRefused with a sentence for the person."""
    if len(url) > URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url:
        # Not ASCII includes full-width digits and dots, which resolvers fold into plain ones.
        raise TargetRefused(f"the address must be at most {URL_LIMIT} plain ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused("the address cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise TargetRefused("the address must begin with https://")
    if parts.scheme == "http" and not settings.WEBHOOK_PRIVATE_TARGETS:
        raise TargetRefused("plain http is not used in production; the address must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("the address must not carry a user name or password")
    if not parts.hostname or port == 0 or "\\" in url or "%" in parts.hostname or parts.fragment:
        raise TargetRefused("the address needs a plain host, and no backslash or fragment")
    _judge_literal(parts.hostname)
    return url


def judge(address: str) -> None:
    """Raise TargetRefused unless an IP address (as a resolver or socket spells it) may be reached."""
    if settings.WEBHOOK_PRIVATE_TARGETS:
        return
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise TargetRefused(f"{address} is not an IP address") from None
    if isinstance(ip, ipaddress.IPv4Address):
        allowed = not any(ip in network for network in _REFUSED_V4)
    else:
        allowed = ip in _ALLOWED_V6 and not any(ip in network for network in _REFUSED_V6)
    if not allowed:
        raise TargetRefused(f"{address} is not a public address")


def open_judged_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """The socket for one connection; judges the very address it is about to be connected to."""
    family, kind, protocol, _, address = address_info
    judge(address[0])
    return socket.socket(family, kind, protocol)


class JudgingResolver(AbstractResolver):
    """Resolves names in threads of its own and refuses a name of which any address is refused."""

    def __init__(self) -> None:
        """Threads start when a name is asked for."""
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError when there is no such name, TargetRefused when it leads inside."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _ask, host, port, family)
        for _, address in found:
            judge(address)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Do not wait for a name server that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ask(host: str, port: int, family: socket.AddressFamily) -> list[tuple[int, str]]:
    answers = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [(kind, str(address[0])) for kind, _, _, _, address in answers]


def _judge_literal(host: str) -> None:
    # A name that is made of digits alone is an address in one of its many spellings (0x7f000001, 0177.1, 2130706433);
    # resolving those needs no network. Real names wait until they are connected to.
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    for _, _, _, _, address in answers:
        judge(str(address[0]))
