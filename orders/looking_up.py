"""The one search box: any number a person may hold, looked up exactly and through an index each.

A `Place` is one index. Every floor adds its own (`PLACES.append`). What is found is limited to the games a person
works for and the tables they may see, and to one environment; the other one is looked at only when nothing is found,
so that nobody takes play money for real.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from channels_app.console import periods
from channels_app.console.lists import keys_of
from channels_app.console.periods import Period
from channels_app.models import Environment, Notification
from orders.finding import attempt_number, attempts_numbered, games_few, transactions
from orders.models import Order, Payment
from orders.number_shapes import Shape, shape_of

SHOWN_AT_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One index that knows a kind of number.

    `last_resort`: looked at only when the other places know nothing, because it only hints at what is missing.
    `names_one`: the number means one thing; a UID means many, and its orders are a list.
    """

    label: str | Promise
    model: type[Model]
    rows: Callable[[str], QuerySet[Any]]
    game_path: str | None = "game"  # None: rows of no game
    environment_path: str = "environment"
    names_one: bool = True
    last_resort: bool = False


def _order_with_attempt(term: str) -> QuerySet[Order]:
    return Order.objects.filter(pk__in=attempts_numbered(term).values("order"))


def _order_with_payment(term: str) -> QuerySet[Order]:
    paid = Payment.objects.filter(transaction_id__in=transactions(term), order__isnull=False)
    return Order.objects.filter(pk__in=paid.values("order"))


def _numbers(term: str) -> list[str]:
    """Our numbers are written in capitals; chat programs do not always keep them."""
    return list({term, term.upper()})


_TRANSACTION = gettext_lazy("provider transaction")
PLACES: list[Place] = [
    Place(
        label=gettext_lazy("order number"),
        model=Order,
        rows=lambda term: Order.objects.filter(order_no__in=_numbers(term)),
    ),
    Place(
        label=gettext_lazy("game's reference"),
        model=Order,
        rows=lambda term: Order.objects.filter(game__in=games_few(), client_ref=term),
    ),
    Place(label=gettext_lazy("attempt number"), model=Order, rows=_order_with_attempt),
    Place(
        label=_TRANSACTION,
        model=Order,
        # The exclusion repeats the condition of the partial index.
        rows=lambda term: Order.objects.filter(transaction_id__in=transactions(term)).exclude(transaction_id=""),
    ),
    # Money that is held is not on the order; it is on its payment.
    Place(label=_TRANSACTION, model=Order, rows=_order_with_payment),
    Place(
        label=_TRANSACTION,
        model=Payment,
        rows=lambda term: Payment.objects.filter(transaction_id__in=transactions(term), order__isnull=True),
        game_path=None,
    ),
    Place(
        label=gettext_lazy("UID"),
        model=Order,
        rows=lambda term: Order.objects.filter(game__in=games_few(), uid=term),
        names_one=False,
    ),
    Place(
        label=gettext_lazy("role id"),
        model=Order,
        rows=lambda term: Order.objects.filter(role_id=term).exclude(role_id=""),
        names_one=False,
    ),
    Place(
        label=gettext_lazy("notifications"),
        model=Notification,
        rows=lambda term: Notification.objects.filter(transaction_id__in=transactions(term)).exclude(
            transaction_id=""
        ),
        game_path=None,
        environment_path="account__environment",
        last_resort=True,
    ),
    Place(
        label=gettext_lazy("notifications"),
        model=Notification,
        rows=lambda term: Notification.objects.filter(attempt_no=attempt_number(term)).exclude(attempt_no=""),
        game_path=None,
        environment_path="account__environment",
        last_resort=True,
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How far a person sees: which tables, and which of their rows (by the path from a row to its game)."""

    may_see: Callable[[type[Model]], bool]
    narrowed: Callable[[QuerySet[Any], str | None], QuerySet[Any]]


@dataclass(slots=True)
class LookUp:
    """What came of looking up one number."""

    term: str
    environment: Environment
    shape: Shape | None
    labels: list[object] = field(default_factory=list)  # where it was looked for
    rows: dict[type[Model], list[Any]] = field(default_factory=dict)
    more: bool = False  # some place had more rows than are shown
    found_elsewhere: bool = False  # nothing in `environment`; the rows are of the other one
    took_ms: int = 0
    only: Model | None = None  # the one row that the number means

    @property
    def orders(self) -> list[Order]:
        """The orders among what was found, newest first."""
        return self.rows.get(Order, [])

    @property
    def others(self) -> list[Model]:
        """Everything else."""
        return [row for model, rows in self.rows.items() if model is not Order for row in rows]


def look_up(term: str, *, environment: Environment, sight: Sight) -> LookUp:
    """Look a cleaned number up everywhere. A dozen reads, each through an index and bounded."""
    began = time.perf_counter()
    found = LookUp(term, environment, shape_of(term))
    if term:
        places = [place for place in PLACES if sight.may_see(place.model)]
        found.labels = list(dict.fromkeys(str(place.label) for place in places))
        other = Environment.SANDBOX if environment == Environment.PRODUCTION else Environment.PRODUCTION
        for where in (environment, other):
            _look(found, places, where, sight)
            if found.rows:
                found.found_elsewhere = where != environment
                break
    found.took_ms = max(1, round((time.perf_counter() - began) * 1000))
    return found


def _look(found: LookUp, places: Sequence[Place], where: Environment, sight: Sight) -> None:
    named: set[Model] = set()
    for last_resort in (False, True):
        for place in places:
            if place.last_resort != last_resort:
                continue
            rows = _rows(place, found.term, where, sight)
            found.more |= len(rows) > SHOWN_AT_MOST
            known = found.rows.setdefault(place.model, []) if rows else []
            known.extend(row for row in rows[:SHOWN_AT_MOST] if row not in known)
            if place.names_one:
                named.update(rows)
        if found.rows:
            break
    for model, rows in found.rows.items():
        found.rows[model] = sorted(rows, key=lambda row: row.pk, reverse=True)[:SHOWN_AT_MOST]
    everything = [row for rows in found.rows.values() for row in rows]
    found.only = everything[0] if len(everything) == 1 and everything[0] in named else None


def _rows(place: Place, term: str, where: Environment, sight: Sight) -> list[Any]:
    rows = sight.narrowed(place.rows(term).filter(**{place.environment_path: where}), place.game_path)
    keys = list(keys_of(rows))[: SHOWN_AT_MOST + 1]
    return list(place.model._default_manager.filter(pk__in=keys).order_by("-pk")) if keys else []


# --- by amount and time -----------------------------------------------------------------------------------------
WIDEST = timedelta(hours=12)
# A player remembers when they paid; the order was made a little before.
_CHOOSING = timedelta(minutes=30)


def by_amount(
    *,
    amount_minor: int,
    around: datetime,
    give_or_take: timedelta,
    who: str,
    environment: Environment,
    games: Sequence[int] | None,
) -> list[Order]:
    """Orders of this amount made or paid about then: "about nine, 648 yuan". `who`: a UID or a role, if known."""
    width = min(give_or_take, WIDEST)
    since, until = around - width, around + width
    orders = periods.within(
        Order.objects.all(), Period(since - _CHOOSING, until), column="created_at"
    ).filter(
        Q(created_at__gte=since) | Q(paid_at__gte=since, paid_at__lt=until),
        environment=environment,
        amount_minor=amount_minor,
    )  # fmt: skip
    if games is not None:
        orders = orders.filter(game__in=games)
    if who:
        orders = orders.filter(Q(uid=who) | Q(role_id=who))
    return list(orders.order_by("-pk")[: 2 * SHOWN_AT_MOST])
