"""What a case file is judged from: the rows of one order as they stand, and what the floor above knows of its goods.

Everything here is data; `gather` alone reads. The floor above (whoever delivers) says what it knows through
`FloorAbove`, which it registers; without one nothing is known of deliveries.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from channels_app.models import Notification
from orders.casefile.moments import Moment
from orders.models import Case, EventKind, Order, OrderEvent, Payment, PaymentAttempt

# A timeline longer than this is no timeline any more; the newest lines are shown.
SHOWN_AT_MOST = 200
_RECEIVERS_LOOKED_AT = 50


class Server(StrEnum):
    """Whether the game server is being told things."""

    TOLD = "told"
    PAUSED = "paused"  # by a person
    SWITCHED_OFF = "switched_off"  # by its own answer
    NO_ADDRESS = "no_address"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFacts:
    """How far the goods have come, as the floor above knows."""

    kept_by_us: bool = False  # the goods stand in our own ledger, no game server is needed for them
    server: Server = Server.TOLD
    tries: int = 0  # at telling the game server to deliver
    last_try_at: datetime | None = None
    last_status: int | None = None  # None after a try: no answer came
    last_words: str = ""  # what it answered, or why there was no answer
    next_try_at: datetime | None = None
    sending: bool = False  # a try is under way just now
    stops_at: datetime | None = None  # when the system gives up and asks a person
    receipt: str = ""  # the game's own number for the grant
    untold: bool = False  # delivered, but the game server has refused to hear of it so far

    @property
    def refused(self) -> bool:
        """Whether the game server was asked, and has not granted it."""
        return self.tries > 0


@dataclass(frozen=True, slots=True)
class Receiver:
    """Another role for which the same player bought."""

    zone_id: str
    role_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a verdict is made of. `cases` are the order's, open and closed, oldest first."""

    now: datetime
    order: Order
    attempts: Sequence[PaymentAttempt] = ()
    payments: Sequence[Payment] = ()
    cases: Sequence[Case] = ()
    events: Sequence[OrderEvent] = ()
    delivery: DeliveryFacts = field(default_factory=DeliveryFacts)
    other_receivers: Sequence[Receiver] = ()

    @property
    def open_cases(self) -> Mapping[str, Case]:
        """The oldest open case of each kind."""
        found: dict[str, Case] = {}
        for case in self.cases:
            if case.closed_at is None:
                found.setdefault(case.kind, case)
        return found

    @property
    def applied(self) -> Payment | None:
        """The payment that counts for the order."""
        return next((payment for payment in self.payments if payment.applied), None)

    @property
    def charged(self) -> tuple[int, str]:
        """What the payer was charged, in minor units of a currency; the order's price while nothing counts for it."""
        payment = self.applied
        if payment is None:
            return self.order.amount_minor, self.order.currency
        return payment.amount_minor, payment.currency

    @property
    def is_play_money(self) -> bool:
        """Whether a store's reviewer bought a real order in the store's sandbox."""
        payment = self.applied
        return payment is not None and payment.environment != self.order.environment

    @property
    def held(self) -> Sequence[Payment]:
        """Money that arrived and is not used."""
        return [payment for payment in self.payments if not payment.applied]

    @property
    def money_arrived(self) -> bool:
        """Whether any money ever arrived for the order."""
        return bool(self.payments)

    @property
    def refunded_at(self) -> datetime | None:
        """When money was last given back."""
        return next((event.at for event in reversed(self.events) if event.kind == EventKind.REFUNDED), None)


@dataclass(frozen=True, slots=True)
class FloorAbove:
    """What whoever delivers adds to a case file."""

    delivery: Callable[[Order, datetime], DeliveryFacts]
    moments: Callable[[Order], Sequence[Moment]]


_floors: list[FloorAbove] = []


def register(floor: FloorAbove) -> None:
    """Let a floor above speak in every case file from now on."""
    _floors.append(floor)


def moments_above(order: Order) -> list[Moment]:
    """What the floors above saw happen."""
    return [moment for floor in _floors for moment in floor.moments(order)]


def gather(order: Order, *, now: datetime) -> Facts:
    """Read everything about one order: a handful of queries, each through an index and bounded."""
    return Facts(
        now=now,
        order=order,
        attempts=list(order.attempts.select_related("account").order_by("pk")[:SHOWN_AT_MOST]),
        payments=list(order.payments.select_related("account", "attempt").order_by("pk")[:SHOWN_AT_MOST]),
        cases=list(order.cases.select_related("payment__account").order_by("pk")[:SHOWN_AT_MOST]),
        events=list(reversed(order.events.order_by("-pk")[:SHOWN_AT_MOST])),
        delivery=next((floor.delivery(order, now) for floor in _floors), DeliveryFacts()),
        other_receivers=_other_receivers(order),
    )


def notifications_about(attempts: Iterable[PaymentAttempt]) -> list[Notification]:
    """What providers said about these attempts. (The exclusion names the partial index.)"""
    numbers = [attempt.attempt_no for attempt in attempts]
    about = Notification.objects.filter(attempt_no__in=numbers).exclude(attempt_no="")
    return list(about.select_related("account").order_by("pk")[:SHOWN_AT_MOST])


def _other_receivers(order: Order) -> list[Receiver]:
    """The other roles among the player's newest orders: where players look for goods that went elsewhere."""
    newest = (
        Order.objects.filter(game=order.game_id, uid=order.uid)
        .order_by("-pk")
        .values_list("environment", "zone_id", "role_id", "created_at")[:_RECEIVERS_LOOKED_AT]
    )
    found: dict[tuple[str, str], Receiver] = {}
    for environment, zone_id, role_id, at in newest:
        if environment == order.environment and role_id and (zone_id, role_id) != (order.zone_id, order.role_id):
            found.setdefault((zone_id, role_id), Receiver(zone_id, role_id, at))
    return list(found.values())[:3]
