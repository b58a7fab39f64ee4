"""The ways off the page that a game names: back into the game, and to the people who help.

What the console's form refuses is refused here once more when a page is drawn: a row may have been written by
other means, and an address on a page of ours is one that we vouch for.
"""

import re
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from orders.models import Game

# May stand in both addresses, for a game that wants to know which order its player comes back with.
ORDER_NO = "{order_no}"

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]{1,40})://[!-~]+", re.IGNORECASE)  # visible ASCII: no blanks, no controls
# Schemes that a browser gives a meaning of its own; whatever else is an app's.
_BROWSERS_OWN = frozenset(
    {
        "about", "blob", "chrome", "chrome-extension", "content", "data", "devtools", "edge", "feed", "file",
        "filesystem", "ftp", "javascript", "jar", "livescript", "mailto", "mhtml", "moz-extension", "resource", "sms",
        "tel", "vbscript", "view-source", "ws", "wss",
    }
)  # fmt: skip


def check_return_url(address: str) -> None:
    """Raises ValidationError unless the address leads to a web page over https or into an app by its own scheme."""
    scheme = _scheme(address)
    if not scheme:
        raise ValidationError(_("Write a whole address, like https://game.example/back or mygame://back."))
    if scheme in _BROWSERS_OWN:
        raise ValidationError(_("An address of this kind (%(scheme)s) is not allowed.") % {"scheme": scheme})
    _check_web(scheme, address)


def check_support_url(address: str) -> None:
    """Raises ValidationError unless the address is a web page over https."""
    scheme = _scheme(address)
    if scheme not in ("https", "http"):
        raise ValidationError(_("Write a whole address, like https://game.example/help."))
    _check_web(scheme, address)


def _scheme(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    return match[1].lower() if match else ""


def _check_web(scheme: str, address: str) -> None:
    # Unencrypted only on a developer's machine, where the game's page may be a local one.
    if scheme == "http" and not settings.SIMULATOR_ENABLED:
        raise ValidationError(_("In production the address must begin with https://."))
    if scheme not in ("https", "http"):
        return
    try:
        parts = urlsplit(address)
        complete = bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        complete = False
    if not complete:
        raise ValidationError(_("This address names no host."))


def way_back(game: Game, *, order_no: str, inside_wechat: bool) -> str:
    """Where "Back to the game" leads; empty when the game names nothing that can be opened here."""
    # WeChat's browser opens no other app by its scheme: the button would do nothing.
    if inside_wechat and not game.return_url.lower().startswith("https://"):
        return ""
    return _good(game.return_url, check_return_url, order_no)


def help_page(game: Game, *, order_no: str) -> str:
    """Where "Customer service" leads; empty when the game names nothing."""
    return _good(game.support_url, check_support_url, order_no)


def _good(address: str, check: Callable[[str], None], order_no: str) -> str:
    if not address:
        return ""
    try:
        check(address)
    except ValidationError:
        return ""
    return address.replace(ORDER_NO, quote(order_no, safe=""))
