"""Who is here, and about which order: one request, with everything the pages tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from orders.authentication import GameClient, peer_address, read_client_token
from orders.checkout.links import help_page, way_back
from orders.checkout.methods import Choice, Device, choices_on, device_of
from orders.checkout.stages import Stage, stage_of
from orders.models import Game, Order, Payment, PaymentAttempt
from orders.ordering import methods_of
from orders.reading import visible_order

_LONGEST_OPENID = 64


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request: the order as its player may see it, and everything the pages tell about it."""

    request: HttpRequest
    token: str
    openid: str  # WeChat's name for the player, when the game sent the player here from inside WeChat
    client: GameClient
    order: Order
    game: Game
    held: Sequence[Payment]
    now: datetime

    @cached_property
    def stage(self) -> Stage:
        """Where the order stands."""
        return stage_of(self.order, money_is_held=bool(self.held), now=self.now)

    @property
    def mark(self) -> str:
        """Changes exactly when another page should be shown."""
        return f"{self.stage}.{len(self.held)}.{self.order.refunded_minor}"

    # --- the device and what it can pay with ----------------------------------------------------------------
    @cached_property
    def device(self) -> Device:
        """What the page is shown on."""
        return device_of(self.request.headers.get("User-Agent", ""))

    @cached_property
    def offered(self) -> list[str]:
        """Every method of the order's channel, whatever the device."""
        return methods_of(self.order)

    @cached_property
    def choices(self) -> list[Choice]:
        """The methods that can be paid with here."""
        return choices_on(
            self.device,
            self.offered,
            openid=self.openid,
            # The address the player pays from: WeChat Pay compares it with the one its own page is opened from.
            client_ip=peer_address(self.request),
            return_url=f"{settings.PUBLIC_BASE_URL}{self.address(back='1')}",
        )

    def choice(self, code: str) -> Choice | None:
        """One of the choices, by its code."""
        return next((choice for choice in self.choices if choice.code == code), None)

    @cached_property
    def last_method(self) -> str:
        """The method tried last, or nothing."""
        attempts = PaymentAttempt.objects.filter(order=self.order.pk).order_by("-pk")
        return attempts.values_list("method", flat=True).first() or ""

    # --- addresses ------------------------------------------------------------------------------------------
    @property
    def path(self) -> str:
        """This page, without its token: where its forms go."""
        return f"/checkout/{self.order.order_no}"

    def address(self, **query: str) -> str:
        """This page, with its token."""
        who = {"token": self.token, **({"openid": self.openid} if self.openid else {})}
        return f"{self.path}?{urlencode({**who, **query})}"

    @property
    def way_back(self) -> str:
        """Into the game, or nothing."""
        return way_back(self.game, order_no=self.order.order_no, inside_wechat=self.device is Device.WECHAT)

    @property
    def help_page(self) -> str:
        """To customer service, or nothing."""
        return help_page(self.game, order_no=self.order.order_no)

    # --- times by the game's clock --------------------------------------------------------------------------
    @property
    def _clock(self) -> ZoneInfo:
        return ZoneInfo(self.game.time_zone)

    def at(self, moment: datetime | None) -> str:
        """A time by the game's clock."""
        return moment.astimezone(self._clock).strftime("%Y-%m-%d %H:%M:%S") if moment else ""

    def until(self, moment: datetime) -> str:
        """A deadline by the game's clock; with its date when that is not today."""
        local = moment.astimezone(self._clock)
        today = self.now.astimezone(self._clock).date()
        return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")

    def seconds_to(self, moment: datetime) -> int:
        """How long until then, never less than nothing."""
        return max(0, (moment - self.now) // timedelta(seconds=1))


def read_visit(request: HttpRequest, order_no: str) -> Visit:
    """Raises Problem: 401 for a token that does not hold, 404 for another order's."""
    # A form carries the token in its body, a link in its address.
    posted = request.POST if request.method == "POST" else request.GET
    token = posted.get("token") or request.GET.get("token", "")
    now = timezone.now()
    client = read_client_token(token, now=now)
    order = visible_order(order_no, client)
    return Visit(
        request=request,
        token=token,
        openid=(posted.get("openid") or request.GET.get("openid", ""))[:_LONGEST_OPENID],
        client=client,
        order=order,
        game=Game.objects.only("name", "time_zone", "return_url", "support_url").get(pk=order.game_id),
        held=list(Payment.objects.filter(order=order.pk, applied=False).order_by("pk")),
        now=now,
    )


def read_again(visit: Visit) -> Visit:
    """The same visit after something was done."""
    return read_visit(visit.request, visit.order.order_no)
