"""The player strip: who bought, and what is known of them, in bands rather than sums.

Read from the player's own orders through one index, at most the newest READ_AT_MOST; sandbox orders never count
towards a production player, nor the other way round.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from channels_app.console.words import money_in_prose
from channels_app.money import WITHOUT_DECIMALS
from orders.models import Case, Note, Order, OrderState
from orders.play_money import paid_with_play_money

READ_AT_MOST = 2_000
NOTES_SHOWN = 10
_RECENTLY = timedelta(days=30)
# Where one band ends and the next begins, in whole units of the currency.
_EDGES = (50, 100, 500, 1_000, 2_000, 5_000, 10_000, 50_000)


@dataclass(frozen=True, slots=True)
class PlayerStrip:
    """What the strip shows. Spends are per currency: money of different currencies never adds up."""

    uid: str
    orders: int
    more: bool  # the player has more orders than were read
    lifetime: Counter[str]
    recently: Counter[str]
    refunds: int
    open_cases: int
    closed_cases: int
    notes: Sequence[Note]


def read_player(order: Order, *, now: datetime) -> PlayerStrip:
    """What is known of the player of an order: four queries, each through an index."""
    rows = list(
        Order.objects.filter(game=order.game_id, uid=order.uid)
        .order_by("-pk")
        .values_list("pk", "environment", "state", "amount_minor", "currency", "paid_at", "refunded_minor")
        [:READ_AT_MOST]
    )  # fmt: skip
    own = [row for row in rows if row[1] == order.environment]
    played = set(paid_with_play_money([order.game_id]))
    lifetime: Counter[str] = Counter()
    recently: Counter[str] = Counter()
    for pk, _environment, state, amount_minor, currency, paid_at, refunded_minor in own:
        if state == OrderState.PAID and pk not in played:
            lifetime[currency] += amount_minor - refunded_minor
            if paid_at and paid_at > now - _RECENTLY:
                recently[currency] += amount_minor - refunded_minor
    closed = Case.objects.filter(order__in=[row[0] for row in own]).values_list("closed_at", flat=True)
    cases = Counter(at is None for at in closed)
    return PlayerStrip(
        uid=order.uid,
        orders=len(own),
        more=len(rows) == READ_AT_MOST,
        lifetime=lifetime,
        recently=recently,
        refunds=sum(1 for row in own if row[6]),
        open_cases=cases[True],
        closed_cases=cases[False],
        notes=_notes(order),
    )


def _notes(order: Order) -> list[Note]:
    """About the player and about any of their orders here, newest first."""
    about = Note.objects.filter(game=order.game_id, uid=order.uid).select_related("order").order_by("-pk")
    return [note for note in about[: NOTES_SHOWN * 3] if note.environment == order.environment][:NOTES_SHOWN]


def spend(sums: Counter[str], *, exact: bool, more: bool = False) -> str:
    """A spend in words: as a band, or exactly for those who may see totals."""
    said = [
        money_in_prose(total, currency) if exact else band(total, currency)
        for currency, total in sorted(sums.items())
        if total
    ]
    words = _(", ").join(said) or _("nothing")
    return _("at least %(amount)s") % {"amount": words} if more and said else words


def band(total_minor: int, currency: str) -> str:
    """30000, "CNY" → "¥100–500": enough to know whom one talks to, too little to add up."""
    units = total_minor if currency in WITHOUT_DECIMALS else total_minor // 100
    above = [edge for edge in _EDGES if edge <= units]
    below = [edge for edge in _EDGES if edge > units]
    sign = money_in_prose(0, currency).removesuffix("0.00")
    sign, unit = (sign, "") if not sign.endswith(currency) else ("", f" {currency}")
    if not above:
        return f"<{sign}{below[0]}{unit}"
    if not below:
        return f"{sign}{above[-1]:,}+{unit}"
    return f"{sign}{above[-1]:,}–{below[0]:,}{unit}"
