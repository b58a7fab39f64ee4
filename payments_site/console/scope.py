"""Which game and which money the console is looking at: chosen once, kept in the person's session, named on every page.

Production and sandbox are never looked at together. All games are looked at together only when they share a clock:
a figure has one day, and that day begins at one hour of one zone. Staff who work for some games choose among those.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from channels_app.console import bearings
from channels_app.console.addresses import console_page
from channels_app.console.bearings import Bearings
from channels_app.models import Environment, MerchantAccount
from orders.models import Game
from orders.staff import games_of

_SESSION_KEY = "console_scope"
_KEPT_ON_REQUEST = "_console_scope"
_BEIJING = ("Asia/Shanghai", "Asia/Chongqing", "Asia/Harbin", "PRC")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at. `games` share one clock; `game` is the only one, or None for all that are `offered`."""

    game: Game | None
    games: tuple[Game, ...]
    offered: tuple[Game, ...]
    may_take_all: bool
    sees_all_games: bool  # staff who are not limited to some games
    environment: Environment
    zone: ZoneInfo
    turns_at_hour: int

    @property
    def is_sandbox(self) -> bool:
        """Whether this is play money."""
        return self.environment == Environment.SANDBOX

    @property
    def name(self) -> str:
        """The game by name, or that it is all of them."""
        if self.game is not None:
            return self.game.name
        return _("All games") if self.games else _("No game yet")

    @property
    def game_ids(self) -> list[int]:
        """The keys of the games looked at."""
        return [game.pk for game in self.games]

    @property
    def environments(self) -> list[tuple[str, str]]:
        """Both environments, for the chooser."""
        return [(environment.value, str(environment.label)) for environment in Environment]


def scope_of(request: HttpRequest) -> Scope:
    """What this person looks at now. Asked often on one page, read once."""
    known: Scope | None = getattr(request, _KEPT_ON_REQUEST, None)
    if known is None:
        known = _scope(request)
        setattr(request, _KEPT_ON_REQUEST, known)
    return known


def _scope(request: HttpRequest) -> Scope:
    offered = _offered(request)
    chosen = request.session.get(_SESSION_KEY, {})
    together = len({(game.time_zone, game.day_turns_at_hour) for game in offered}) <= 1
    game = next((game for game in offered if game.pk == chosen.get("game")), None)
    if game is None and offered and (not together or len(offered) == 1):
        game = offered[0]
    games = (game,) if game is not None else offered
    environment = chosen.get("environment")
    return Scope(
        game=game,
        games=games,
        offered=offered,
        may_take_all=together and len(offered) > 1,
        sees_all_games=games_of(request.user) is None,
        environment=Environment(environment) if environment in Environment.values else _first_environment(),
        zone=zone_of(games[0]) if games else ZoneInfo(settings.TIME_ZONE),
        turns_at_hour=games[0].day_turns_at_hour if games else 0,
    )


def _offered(request: HttpRequest) -> tuple[Game, ...]:
    allowed = games_of(request.user)
    games = Game.objects.order_by("code")
    return tuple(games if allowed is None else games.filter(pk__in=allowed))


def _first_environment() -> Environment:
    """Production, unless nothing has been set up there yet: then all there is to see is play money."""
    real = MerchantAccount.objects.filter(environment=Environment.PRODUCTION).exists()
    return Environment.PRODUCTION if real or not MerchantAccount.objects.exists() else Environment.SANDBOX


def zone_of(game: Game) -> ZoneInfo:
    """The zone of a game's clock; the server's when somebody mistyped it."""
    try:
        return ZoneInfo(game.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(settings.TIME_ZONE)


def zone_in_words(now: datetime) -> str:
    """The zone of a moment as people say it: "Beijing time UTC+8"."""
    offset = now.utcoffset() or timedelta(0)
    minutes = abs(int(offset.total_seconds())) // 60
    shown = f"UTC{'−' if offset < timedelta(0) else '+'}{minutes // 60}{f':{minutes % 60:02d}' if minutes % 60 else ''}"
    name = str(now.tzinfo)
    said = _("Beijing time") if name in _BEIJING else name
    return f"{said} {shown}"


def _bearings(request: HttpRequest) -> Bearings:
    scope = scope_of(request)
    games = None if scope.game is None and scope.sees_all_games and scope.may_take_all else tuple(scope.game_ids)
    return Bearings(environment=scope.environment, games=games or None, turns_at_hour=scope.turns_at_hour)


bearings.learn(_bearings)


@console_page("scope/", name="choose_scope")
@require_POST
def choose_scope(request: HttpRequest) -> HttpResponse:
    """Remember a choice and go back to the page it was made on. `game` is empty for all games."""
    scope = scope_of(request)
    game, environment = request.POST.get("game", ""), request.POST.get("environment", "")
    known = {str(one.pk) for one in scope.offered} | ({""} if scope.may_take_all or not scope.offered else set())
    if game not in known or environment not in Environment.values:
        return HttpResponseBadRequest(_("There is no such game or environment for you."))
    request.session[_SESSION_KEY] = {"game": int(game) if game else None, "environment": environment}
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = reverse("admin:index")
    return HttpResponseRedirect(back)
