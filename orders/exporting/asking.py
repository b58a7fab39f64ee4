"""What one export is: which rows, for whom, in which form; complete enough to be written down and done later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from django.core import signing
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from django.utils import translation
from django.utils.text import slugify

from channels_app.models import Environment
from orders.exporting.cells import Look
from orders.exporting.profiles import Format, Profile
from orders.exporting.reports import REPORTS, Report
from orders.models import Game

_SALT = "orders.exporting"
ALL_GAMES = "all-games"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export. `rows` is the SELECT of its rows as it stood when it was asked for: what a person saw is exported.

    `period`: from and up to, as the rows were bounded; `filters`: the words of the list they come from.
    """

    report: Report
    rows: str
    game_code: str  # empty: all games
    environment: Environment
    time_zone: str
    profile: Profile
    format: Format = Format.CSV
    personal: bool = False
    period: tuple[datetime | None, datetime | None] = (None, None)
    filters: Sequence[str] = ()
    asked_at: datetime

    @property
    def look(self) -> Look:
        """How its cells are written."""
        return Look(
            profile=self.profile,
            time_zone=self.time_zone,
            personal=self.personal,
            typed=self.format == Format.XLSX,
        )

    @property
    def zone(self) -> ZoneInfo:
        """The business clock."""
        return ZoneInfo(self.time_zone)

    @property
    def stem(self) -> str:
        """Report, game, environment, period, profile, time of asking."""
        since, until = (at.astimezone(self.zone) if at else None for at in self.period)
        days = f"{since:%Y%m%d}" if since else "begin"
        # The period ends before `until`: a month's last day is the day before the next month.
        days += f"-{_last_day(until):%Y%m%d}" if until else f"-{self.asked_at.astimezone(self.zone):%Y%m%d}"
        made = f"{self.asked_at.astimezone(self.zone):%Y%m%d%H%M%S}"
        game = slugify(self.game_code) or ALL_GAMES
        return f"{self.report.code}-{game}-{self.environment.value}-{days}-{self.profile.in_file_name}-{made}"

    @property
    def file_name(self) -> str:
        """The name of its only file."""
        return f"{self.stem}.{self.format.value}"

    def part_name(self, part: int, parts: int) -> str:
        """The name of one of several files."""
        return self.file_name if parts == 1 else f"{self.stem}-part{part}of{parts}.{self.format.value}"

    def to_document(self) -> dict[str, Any]:
        """As a job keeps it. The statement is signed: the worker runs only what this system wrote."""
        return {
            "report": self.report.code,
            "rows": signing.dumps(self.rows, salt=_SALT, compress=True),
            "game": self.game_code,
            "environment": self.environment.value,
            "time_zone": self.time_zone,
            "profile": self.profile.value,
            "format": self.format.value,
            "personal": self.personal,
            "period": [at.isoformat() if at else None for at in self.period],
            "filters": list(self.filters),
            "asked_at": self.asked_at.isoformat(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Export":
        """The export that `to_document` wrote. Raises signing.BadSignature when somebody else did; KeyError."""
        since, until = (datetime.fromisoformat(at) if at else None for at in document["period"])
        return cls(
            report=REPORTS[document["report"]],
            rows=signing.loads(document["rows"], salt=_SALT),
            game_code=document["game"],
            environment=Environment(document["environment"]),
            time_zone=document["time_zone"],
            profile=Profile(document["profile"]),
            format=Format(document["format"]),
            personal=bool(document["personal"]),
            period=(since, until),
            filters=list(document["filters"]),
            asked_at=datetime.fromisoformat(document["asked_at"]),
        )


def make_export(
    *,
    report: Report,
    rows: QuerySet[Any],
    game: Game | None,
    environment: Environment,
    time_zone: str,
    profile: Profile,
    format: Format = Format.CSV,
    personal: bool = False,
    filters: Sequence[str] = (),
    now: datetime,
) -> Export:
    """An export of `rows` as far as they belong to these books: one game (or all) in one environment."""
    if format == Format.XLSX and profile != Profile.FINANCE:
        raise ValueError("a spreadsheet is for finance")
    kept = rows.filter(**{report.environment: environment})
    if game is not None:
        kept = kept.filter(**{report.game: game})
    return Export(
        report=report,
        rows=_frozen(kept, report),
        game_code=game.code if game else "",
        environment=environment,
        time_zone=time_zone,
        profile=profile,
        format=format,
        personal=personal,
        period=period_of(kept, report),
        filters=filters,
        asked_at=now,
    )


def period_of(rows: QuerySet[Any], report: Report) -> tuple[datetime | None, datetime | None]:
    """From and up to which moment the rows are bounded, by the first of the report's times that bounds them."""
    conditions: Sequence[Any] = rows.query.where.children
    for name in report.dated:
        bounds = [
            (condition.lookup_name, condition.rhs)
            for condition in conditions
            if getattr(getattr(getattr(condition, "lhs", None), "target", None), "name", "") == name
            and isinstance(condition.rhs, datetime)
        ]
        since = max((at for lookup, at in bounds if lookup in ("gt", "gte")), default=None)
        until = min((at for lookup, at in bounds if lookup in ("lt", "lte")), default=None)
        if since or until:
            return since, until
    return None, None


def _frozen(rows: QuerySet[Any], report: Report) -> str:
    """The rows' SELECT with its values written into it, so that it means the same whenever it runs."""
    wanted = rows.order_by().values_list(*report.fields)
    try:
        return _written_out(wanted)
    except EmptyResultSet:  # filters that nothing can fit
        everything = rows.model._default_manager.order_by().values_list(*report.fields)
        return f"SELECT * FROM ({_written_out(everything)}) AS everything WHERE false"  # noqa: S608  # made by the ORM


def _written_out(rows: QuerySet[Any, Any]) -> str:
    connection.ensure_connection()
    return str(psycopg.ClientCursor(connection.connection).mogrify(*rows.query.sql_with_params()))


def named(rows: str, report: Report) -> str:
    """The rows' SELECT as a table called r, whose columns are the report's fields."""
    names = ", ".join(name.replace("__", "_") for name in report.fields)
    return f"({rows}) AS r({names})"


def in_chinese(words: Any) -> str:
    """Something translatable, as finance staff read it."""
    with translation.override("zh-hans"):
        return str(words)


def _last_day(until: datetime) -> datetime:
    return until - timedelta(microseconds=1)
