"""What a list can be narrowed to: only what an index answers, or what the list's period bounds.

Every filter is a stranger's word from the address bar: what it does not know it takes as not said.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console import periods
from channels_app.console.bearings import bearings_of
from channels_app.console.periods import Period

# A chip says how many, as far as anybody acts on the number.
COUNTED_ON_CHIP = 99


class ExactFilter(admin.SimpleListFilter):
    """A filter whose choices are written out by hand: only what an index can answer."""

    shape: ClassVar[str] = "select"  # how the list shows it: select, text, views, period
    # Rows are the same whatever the period of the list says (few, and found by an index of their own).
    timeless = False

    def chosen(self) -> str | None:
        """The chosen value if it is one of the choices: the address bar is a stranger."""
        value = self.value()
        return value if value in {str(known) for known, _label in self.lookup_choices} else None

    def options(self) -> list[tuple[str, object, bool]]:
        """The choices as a select shows them: value, words, chosen."""
        chosen = self.chosen()
        return [(str(value), label, str(value) == chosen) for value, label in self.lookup_choices]


class ColumnFilter(ExactFilter):
    """Rows whose column has the chosen value. `offered` are the values that an index answers."""

    column: str
    offered: Sequence[Any] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The values on offer, in words."""
        return [(value.value, value.label) for value in self.offered]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows with the chosen value."""
        chosen = self.chosen()
        return queryset.filter(**{self.column: chosen}) if chosen else queryset


class SwitchFilter(ColumnFilter):
    """On or off, for a table short enough to be read."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Both."""
        return [("1", _("yes")), ("0", _("no"))]


class TextFilter(ExactFilter, ABC):
    """Something typed. `read` makes conditions of it, or None of what cannot be read."""

    shape: ClassVar[str] = "text"
    hint: str | Promise = ""
    longest = 64

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Nothing to choose from."""
        return []

    def has_output(self) -> bool:
        """Always there to be typed into."""
        return True

    def chosen(self) -> str | None:
        """What was typed, if it can be read."""
        typed = "".join(sign for sign in self.value() or "" if sign.isprintable()).strip()[: self.longest]
        return typed if typed and self.read(typed) is not None else None

    def choices(self, changelist: Any) -> Iterator[Any]:
        """What was typed, for whoever puts the filters of a list into words."""
        yield {"selected": True, "query_string": "?", "display": self.chosen() or ""}

    @abstractmethod
    def read(self, typed: str) -> dict[str, Any] | None:
        """The conditions."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows that fit."""
        chosen = self.chosen()
        return queryset.filter(**(self.read(chosen) or {})) if chosen else queryset


class AmountFilter(TextFilter):
    """An amount, or from one to another, in yuan as people write it: 648, 6.00, 100-648."""

    title = gettext_lazy("amount")
    parameter_name = "amount"
    hint = gettext_lazy("648 or 100-648")
    column = "amount_minor"
    longest = 30

    def read(self, typed: str) -> dict[str, Any] | None:
        """One amount exactly, or both ends included."""
        ends = [minor_of(part) for part in typed.replace("–", "-").replace("~", "-").split("-")]
        if not 1 <= len(ends) <= 2 or None in ends:
            return None
        return {f"{self.column}__gte": min(ends), f"{self.column}__lte": max(ends)}  # type: ignore[type-var]


def minor_of(text: str) -> int | None:
    """ "6.5" → 650; None for what is no amount."""
    whole, _dot, part = text.strip().lstrip("¥￥").replace(",", "").partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 12 and len(part) <= 2):
        return None
    if part and not (part.isascii() and part.isdigit()):
        return None
    return int(whole) * 100 + int(part.ljust(2, "0") or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A list people come back to, one click away. `counted`: somebody must act on it, so say how many."""

    code: str
    label: str | Promise
    rows: Callable[[QuerySet[Any]], QuerySet[Any]]
    tone: str = ""  # of the count: decide or working; none is counted without
    timeless: bool = False  # few rows with an index of their own: shown whatever their age
    shown: bool = True  # False: only links lead here


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice as a link: what it says, where it leads, whether it holds now, and how many wait there."""

    label: object
    address: str
    on: bool
    count: str = ""
    tone: str = ""


class ViewsFilter(ExactFilter):
    """Saved views as chips."""

    shape: ClassVar[str] = "views"
    title = gettext_lazy("view")
    parameter_name = "view"
    views: ClassVar[Sequence[View]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The views by name."""
        return [(view.code, view.label) for view in self.views]

    def view(self) -> View | None:
        """The chosen one."""
        chosen = self.chosen()
        return next((view for view in self.views if view.code == chosen), None)

    @classmethod
    def is_timeless(cls, request: HttpRequest) -> bool:
        """Whether the view that was asked for shows rows of any age."""
        asked = request.GET.get(cls.parameter_name)
        return any(view.code == asked and view.timeless for view in cls.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The view's rows."""
        view = self.view()
        return view.rows(queryset) if view else queryset

    def chips(self, changelist: Any) -> list[Chip]:
        """All, and every view; a count only where somebody must act."""
        chosen = self.chosen()
        everything = Chip(_("All"), changelist.get_query_string(remove=[self.parameter_name]), chosen is None)
        return [
            everything,
            *(
                self._chip(changelist, view, on=view.code == chosen)
                for view in self.views
                if view.shown or view.code == chosen
            ),
        ]

    def _chip(self, changelist: Any, view: View, *, on: bool) -> Chip:
        address = changelist.get_query_string({self.parameter_name: view.code})
        count = view.rows(changelist.counted_queryset())[: COUNTED_ON_CHIP + 1].count() if view.tone else 0
        words = f"{COUNTED_ON_CHIP}+" if count > COUNTED_ON_CHIP else str(count or "")
        return Chip(view.label, address, on, words, view.tone)


class PeriodFilter(ExactFilter):
    """When a row was made, in business days of the console's clock. Without a choice a list is bounded all the same.

    A search and a timeless view look at all times, unless a period is asked for along with them.
    """

    shape: ClassVar[str] = "period"
    title = gettext_lazy("period")
    parameter_name = "period"
    first_parameter, last_parameter = "from", "to"
    column = "created_at"
    usual = "7days"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        """Takes its three parameters out of `params`."""
        super().__init__(request, params, model, model_admin)
        self.first, self.last = (_last(params.pop(name, "")) for name in (self.first_parameter, self.last_parameter))
        self.now, self.turns_at_hour = timezone.now(), bearings_of(request).turns_at_hour
        self.unbounded = self.may_be_unbounded(request, model_admin)

    def may_be_unbounded(self, request: HttpRequest, model_admin: Any) -> bool:
        """Whether few rows are asked for, so that their age does not matter."""
        if request.GET.get("q", "").strip():
            return True
        views = (item for item in model_admin.list_filter if isinstance(item, type) and issubclass(item, ViewsFilter))
        return any(view.is_timeless(request) for view in views)

    def expected_parameters(self) -> list[str | None]:
        """The period's name, and the days of one's own."""
        return [self.parameter_name, self.first_parameter, self.last_parameter]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Common periods."""
        return [
            ("today", _("today")),
            ("yesterday", _("yesterday")),
            ("7days", _("last 7 days")),
            ("30days", _("last 30 days")),
            ("month", _("this month")),
            ("last_month", _("last month")),
            (periods.CUSTOM, _("from one day to another")),
            (periods.ANY, _("any time")),
        ]

    def chosen(self) -> str:
        """The period that holds: always one."""
        asked = self.used_parameters.get(self.parameter_name)
        chosen = asked if asked in dict(self.lookup_choices) else None
        if chosen in (periods.CUSTOM, None) and self._own_days():
            return periods.CUSTOM
        if chosen is None or chosen == periods.CUSTOM or (chosen == periods.ANY and not self.unbounded):
            return periods.ANY if self.unbounded else self.usual
        return chosen

    def period(self) -> Period:
        """The moments of the period that holds."""
        chosen = self.chosen()
        own = self._own_days() if chosen == periods.CUSTOM else None
        return own or periods.named_period(chosen, now=self.now, turns_at_hour=self.turns_at_hour)

    def _own_days(self) -> Period | None:
        return periods.custom_period(self.first, self.last, now=self.now, turns_at_hour=self.turns_at_hour)

    def _day_of(self, at: datetime) -> str:
        return periods.business_day(at, turns_at_hour=self.turns_at_hour).isoformat()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows of the period."""
        return periods.within(queryset, self.period(), column=self.column)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """The period that holds; days of one's own are named."""
        words = dict(self.lookup_choices)[self.chosen()]
        if self.chosen() == periods.CUSTOM:
            words = f"{self.first_day()} – {self.last_day()}"
        yield {"selected": True, "query_string": "?", "display": words}

    def value(self) -> str:
        """Never empty: a list is always bounded, and whoever puts it into words should say so."""
        return self.chosen()

    def chips(self, changelist: Any) -> list[Chip]:
        """The common periods; "any time" only where few rows are asked for."""
        chosen = self.chosen()
        names = [
            (name, label)
            for name, label in self.lookup_choices
            if name not in (periods.CUSTOM, "30days") and (name != periods.ANY or self.unbounded)
        ]
        own = {self.first_parameter: None, self.last_parameter: None}
        return [
            Chip(label, changelist.get_query_string({**own, self.parameter_name: name}), name == chosen)
            for name, label in names
        ]

    def is_custom(self) -> bool:
        """Whether the days are one's own."""
        return self.chosen() == periods.CUSTOM

    def first_day(self) -> str:
        """The first business day, as a date field wants it."""
        since = self.period().since
        return self._day_of(since) if since else ""

    def last_day(self) -> str:
        """The last business day, included."""
        period = self.period()
        if period.since is None and period.until is None:
            return ""
        return self._day_of(period.until - timedelta(seconds=1) if period.until else self.now)


def _last(value: Any) -> str:
    """The last value of a parameter as Django hands it over."""
    return str(value[-1] if isinstance(value, list) and value else value or "")


def parameters_of(filters: Iterable[Any]) -> set[str]:
    """The parameters that a list's filters read from the address bar."""
    names: set[str] = set()
    for item in filters:
        if isinstance(item, type) and issubclass(item, PeriodFilter):
            names |= {item.parameter_name, item.first_parameter, item.last_parameter}
        elif isinstance(item, type) and issubclass(item, admin.SimpleListFilter):
            names.add(str(item.parameter_name))
        else:
            names.add(str(item))
    return names
