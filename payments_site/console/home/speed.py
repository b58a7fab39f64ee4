"""From payment to goods: how long it takes, how many are within the goal, and what has not arrived.

Read from the newest orders of the day, at most `ORDERS_READ` of them, by primary key. The clock runs from the
provider's word for the payment until the goods were there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Aggregate, Case, Count, DurationField, F, Q, Value, When
from django.utils.translation import gettext_lazy

from channels_app.console.periods import Period, within
from orders.models import OrderState
from payments_site.console.home.figures import orders_of
from payments_site.console.scope import Scope

ORDERS_READ = 20_000
GOAL = 0.999
GOAL_WITHIN = timedelta(seconds=60)
# (name, above, up to)
BUCKETS = (
    (gettext_lazy("≤ 1 s"), None, timedelta(seconds=1)),
    (gettext_lazy("1–3 s"), timedelta(seconds=1), timedelta(seconds=3)),
    (gettext_lazy("3–10 s"), timedelta(seconds=3), timedelta(seconds=10)),
    (gettext_lazy("10–60 s"), timedelta(seconds=10), GOAL_WITHIN),
    (gettext_lazy("1–10 min"), GOAL_WITHIN, timedelta(minutes=10)),
    (gettext_lazy("> 10 min"), timedelta(minutes=10), None),
)
# p95 beside that of other days: of the orders made in the hour before the same clock time.
COMPARED = timedelta(hours=1)


class _Percentile(Aggregate):
    """The value that a fraction of the rows does not exceed."""

    function = "percentile_disc"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, column: str, fraction: float) -> None:
        super().__init__(column, fraction=fraction, output_field=DurationField())


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast goods followed payments. `counts` belong to BUCKETS; `paid` is how many orders were looked at."""

    paid: int
    capped: bool
    half: float | None
    most: float | None
    within_goal: int
    judged: int
    counts: list[int]

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return not self.judged or self.within_goal >= self.judged * GOAL


def speed(scope: Scope, *, since: datetime, now: datetime) -> Speed:
    """The orders made since the day began."""
    rows: Any = (
        within(orders_of(scope), Period(since=since), column="created_at")
        .filter(state=OrderState.PAID)
        .annotate(took=_took())
        .order_by("-pk")[:ORDERS_READ]
    )
    found = rows.aggregate(
        paid=Count("pk"),
        half=_Percentile("took", 0.5),
        most=_Percentile("took", 0.95),
        # An order just paid has still time to reach the goal.
        young=Count("pk", filter=Q(took__isnull=True, settled_at__gt=now - GOAL_WITHIN)),
        **{f"bucket{place}": Count("pk", filter=_between(*edges)) for place, (_name, *edges) in enumerate(BUCKETS)},
    )
    counts = [found[f"bucket{place}"] for place in range(len(BUCKETS))]
    return Speed(
        paid=found["paid"],
        capped=found["paid"] >= ORDERS_READ,
        half=_seconds(found["half"]),
        most=_seconds(found["most"]),
        within_goal=sum(counts[:4]),
        judged=found["paid"] - found["young"],
        counts=counts,
    )


def p95(scope: Scope, *, until: datetime) -> float | None:
    """The 95th percentile of what was made within the hour before `until` and there by then, in seconds."""
    rows = within(orders_of(scope), Period(until - COMPARED, until), column="created_at")
    rows = rows.filter(state=OrderState.PAID, delivered_at__lte=until)
    return _seconds(rows.annotate(took=_took()).aggregate(most=_Percentile("took", 0.95))["most"])


def _took() -> Any:
    """How long the goods took; nothing while they are on their way."""
    # A provider's clock may be ahead of ours; goods never come before the money.
    ahead = When(delivered_at__lt=F("paid_at"), then=Value(timedelta(0)))
    return Case(ahead, default=F("delivered_at") - F("paid_at"), output_field=DurationField())


def _between(above: timedelta | None, up_to: timedelta | None) -> Q:
    return (Q(took__gt=above) if above is not None else Q()) & (Q(took__lte=up_to) if up_to is not None else Q())


def _seconds(length: timedelta | None) -> float | None:
    return length.total_seconds() if length is not None else None
