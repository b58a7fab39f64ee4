"""Pages of the console that belong to no table: revenue, exports, the look-up. Each floor puts its own on the site."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponseBase

_View = TypeVar("_View", bound=Callable[..., HttpResponseBase])


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """One address below /admin/, open to staff; the view itself decides who else may."""

    route: str
    name: str
    view: Callable[..., Any]


PAGES: list[ConsolePage] = []


def console_page(route: str, *, name: str) -> Callable[[_View], _View]:
    """Put a view on the console's site at `route`, reversed as `admin:<name>`. For modules the admin imports."""

    def put(view: _View) -> _View:
        PAGES.append(ConsolePage(route, name, view))
        return view

    return put


# Set by a page that loads itself anew: nobody pressed anything, so it does not keep a session alive.
BY_ITSELF = "by_itself"


def refresh_by_itself(request: HttpRequest, seconds: int) -> str:
    """The header `Refresh` of a page that looks again by itself."""
    query = request.GET.copy()
    query[BY_ITSELF] = "1"
    return f"{seconds}; url={request.path}?{query.urlencode()}"
