"""Which browser and which network a request comes from, in words short enough to recognise one's own."""

import ipaddress

from django.http import HttpRequest

from orders.authentication import peer_address

# The first that fits; the order matters, because nearly every browser claims to be several.
_BROWSERS = (
    ("MicroMessenger/", "WeChat"), ("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("HarmonyOS", "HarmonyOS"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def browser_of(request: HttpRequest) -> str:
    """ "Chrome, Windows"; the beginning of what it calls itself when that is unknown."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    browser = next((name for sign, name in _BROWSERS if sign in agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    known = ", ".join(filter(None, (browser, system)))
    return known or "".join(letter for letter in agent[:60] if letter.isprintable())


def address_of(request: HttpRequest) -> str:
    """Where the request comes from."""
    return peer_address(request)[:45]


def network_of(address: str) -> str:
    """The network of an address, as large as one household or office: providers hand out others within it daily."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))
