"""What somebody asks of the revenue page, read from the address bar: what is unknown counts as not said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from channels_app.console.filters import Chip
from channels_app.models import Channel
from channels_app.providers import ADAPTERS
from orders.business_time import business_day
from orders.models import Product
from orders.revenue.periods import (
    CUSTOM,
    MOST_DAYS_BY_GRAIN,
    Against,
    Days,
    Grain,
    custom_days,
    held_against,
    named_days,
    usual_grain,
)
from orders.revenue.report import PAYERS_COUNTED_DAYS, Asked, Group, currencies
from payments_site.console.scope import Scope, scope_of

USUAL_PERIOD = "month"
_PRESETS = ("today", "yesterday", "7days", "month", "last_month", "12months")
# Besides these the address may carry `file`, which says in which form the answer is wanted.
_KEPT = (
    "period", "from", "to", "against", "group", "grain", "channel", "method", "product", "zone", "currency", "payers",
)  # fmt: skip
_PRODUCTS_OFFERED = 500
NO_ZONE = "-"


@dataclass(frozen=True, slots=True)
class Select:
    """One select of the page: its parameter, its name, its options (value, words, chosen)."""

    parameter: str
    label: object
    options: Sequence[tuple[str, object, bool]]


@dataclass(frozen=True, slots=True)
class Names:
    """How channels, methods, products and games are called, by what the figures know of them."""

    channels: Mapping[str, Channel]
    methods: Mapping[str, object]
    products: Mapping[str, str]

    def of(self, column: str, key: Any, scope: Scope) -> object:
        """The name of a value of a column; a code that nobody knows any more stands for itself."""
        if column == "channel_code":
            return self.channels[key].name if key in self.channels else key
        if column == "method":
            return self.methods.get(key, key)
        if column == "product_code":
            return self.products.get(key, key)
        if column == "game_id":
            return next((game.name for game in scope.games if game.pk == key), key)
        return key or _("without a zone")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and everything the page offers to ask instead."""

    asked: Asked
    scope: Scope
    now: datetime
    period: str
    against: Against
    names: Names
    currencies: Sequence[str]
    given: Mapping[str, str]

    @property
    def today(self) -> date:
        """The business day under way."""
        return _today(self.scope, self.now)

    @property
    def compared(self) -> Days | None:
        """The days it is held against."""
        return held_against(self.asked.days, self.against)

    @property
    def counts_payers(self) -> bool:
        """Whether players are counted: a short period, or somebody wants to wait."""
        return len(self.asked.days) <= PAYERS_COUNTED_DAYS or self.given.get("payers") == "1"

    def address(self, **changes: str) -> str:
        """The address of another question; an empty value takes a parameter away."""
        said = {**self.given, **changes}
        return f"?{urlencode({name: value for name, value in said.items() if value})}"

    def kept(self, *but: str) -> list[tuple[str, str]]:
        """What a form carries on besides its own fields."""
        return [(name, value) for name, value in self.given.items() if value and name not in but]

    def chips(self) -> list[Chip]:
        """The preset periods."""
        words = {
            "today": _("Today"),
            "yesterday": _("Yesterday"),
            "7days": _("Last 7 days"),
            "month": _("This month"),
            "last_month": _("Last month"),
            "12months": _("12 months"),
        }
        own = {"from": "", "to": "", "payers": "", "grain": ""}
        return [Chip(words[name], self.address(period=name, **own), name == self.period) for name in _PRESETS]

    def selects(self) -> list[Select]:
        """Held against, grouped by, how long a column is, and what the figures are narrowed to."""
        asked = self.asked
        selects = [
            Select("against", _("Compare"), _options(self._comparisons(), self.against.value)),
            Select("group", _("Group by"), _options(_groups(self.scope), asked.group.value)),
        ]
        if not asked.by_time:
            selects.append(Select("grain", _("Columns"), _options(self._grains(), asked.grain.value)))
        return selects

    def narrowing(self) -> list[Select]:
        """What the figures are narrowed to."""
        asked = self.asked
        channels = [(code, channel.name) for code, channel in self.names.channels.items()]
        selects = [
            Select("channel", _("Channel"), _options([("", _("all channels")), *channels], asked.channel)),
            Select("method", _("Payment method"),
                   _options([("", _("all methods")), *self.names.methods.items()], asked.method)),
            Select("product", _("Product"),
                   _options([("", _("all products")), *self.names.products.items()], asked.product)),
        ]  # fmt: skip
        if len(self.currencies) > 1:
            offered = [(code, code) for code in self.currencies]
            selects.append(Select("currency", _("Currency"), _options(offered, asked.currency)))
        return selects

    def zone_typed(self) -> str:
        """The zone as it was typed."""
        return self.given.get("zone", "")

    def filters_in_words(self) -> list[str]:
        """The filters as a person reads them, for files and the audit trail."""
        asked, names = self.asked, self.names
        named = [
            (_("Channel"), "channel_code", asked.channel),
            (_("Payment method"), "method", asked.method),
            (_("Product"), "product_code", asked.product),
        ]
        words = [f"{label}: {names.of(column, value, self.scope)}" for label, column, value in named if value]
        if asked.zone is not None:
            words.append(f"{capfirst(_('zone'))}: {names.of('zone_id', asked.zone, self.scope)}")
        return words

    def _comparisons(self) -> list[tuple[str, object]]:
        return [(one.value, against_in_words(one)) for one in Against]

    def _grains(self) -> list[tuple[str, object]]:
        words = {Grain.DAY: _("day"), Grain.WEEK: _("week"), Grain.MONTH: _("month")}
        days = len(self.asked.days)
        return [(grain.value, words[grain]) for grain in Grain if days <= MOST_DAYS_BY_GRAIN[grain]]


def question_of(request: HttpRequest, *, now: datetime) -> Question | None:
    """What the address asks; None when there is no game yet to ask about."""
    scope = scope_of(request)
    if not scope.games:
        return None
    given = {name: "".join(filter(str.isprintable, request.GET.get(name, ""))).strip()[:64] for name in _KEPT}
    period, days = _period(given, _today(scope, now))
    names = _names(scope)
    sold_in = currencies(games=scope.games, environment=scope.environment)
    asked = Asked(
        games=scope.games,
        environment=scope.environment,
        currency=given["currency"] if given["currency"] in sold_in else (sold_in or ["CNY"])[0],
        days=days,
        group=_group(given["group"], days, scope),
        grain=_grain(given["grain"], days),
        channel=given["channel"] if given["channel"] in names.channels else "",
        method=given["method"] if given["method"] in names.methods else "",
        product=given["product"] if given["product"] in names.products else "",
        zone="" if given["zone"] == NO_ZONE else given["zone"] or None,
    )
    return Question(asked, scope, now, period, _against(given["against"], period), names, sold_in, given)


def against_in_words(against: Against) -> object:
    """What a period is held against."""
    return {
        Against.PREVIOUS: _("the days before"),
        Against.LAST_MONTH: _("same days last month"),
        Against.LAST_YEAR: _("same days last year"),
        Against.NOTHING: _("no comparison"),
    }[against]


def group_in_words(group: Group) -> object:
    """What the rows are."""
    return {
        Group.CHANNEL: _("Channel"),
        Group.METHOD: _("Payment method"),
        Group.PRODUCT: _("Product"),
        Group.ZONE: capfirst(_("zone")),
        Group.GAME: _("Game"),
        Group.DAY: _("Day"),
        Group.WEEK: _("Week"),
        Group.MONTH: _("Month"),
    }[group]


def _today(scope: Scope, now: datetime) -> date:
    return business_day(now, time_zone=str(scope.zone), turns_at_hour=scope.turns_at_hour)


def _period(given: Mapping[str, str], today: date) -> tuple[str, Days]:
    own = custom_days(given["from"], given["to"], today=today)
    if own is not None and given["period"] in ("", CUSTOM):
        return CUSTOM, own
    named = named_days(given["period"], today=today)
    if named is not None:
        return given["period"], named
    return USUAL_PERIOD, named_days(USUAL_PERIOD, today=today) or Days(today, today)


def _against(given: str, period: str) -> Against:
    if given in set(Against):
        return Against(given)
    return Against.LAST_MONTH if period in ("month", "last_month") else Against.PREVIOUS


def _group(given: str, days: Days, scope: Scope) -> Group:
    group = Group(given) if given in set(Group) else Group.CHANNEL
    if group is Group.DAY and len(days) > MOST_DAYS_BY_GRAIN[Grain.DAY]:
        return Group.WEEK
    return Group.CHANNEL if group is Group.GAME and len(scope.games) < 2 else group


def _groups(scope: Scope) -> list[tuple[str, object]]:
    return [(group.value, group_in_words(group)) for group in Group if group is not Group.GAME or len(scope.games) > 1]


def _grain(given: str, days: Days) -> Grain:
    grain = Grain(given) if given in set(Grain) else usual_grain(days)
    return grain if len(days) <= MOST_DAYS_BY_GRAIN[grain] else usual_grain(days)


def _names(scope: Scope) -> Names:
    methods = {method.code: method.label for adapter in ADAPTERS.values() for method in adapter.methods.values()}
    products = Product.objects.filter(game__in=scope.game_ids).order_by("product_id", "-pk")
    return Names(
        channels={channel.code: channel for channel in Channel.objects.order_by("pk")},
        methods=methods,
        products=dict(products.values_list("product_id", "name")[:_PRODUCTS_OFFERED]),
    )


def _options(choices: Sequence[tuple[str, object]], chosen: str) -> list[tuple[str, object, bool]]:
    return [(value, words, value == chosen) for value, words in choices]
