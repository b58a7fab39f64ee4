"""Orders as a file for finance: one game, one environment, streamed as PostgreSQL writes it.

The rows are formatted by PostgreSQL and copied out, so a million orders cost no memory here. Rows and totals
come from one snapshot and agree. The profile speaks Chinese whoever downloads it, because finance staff open
it: UTF-8 with a byte order mark, CRLF, yuan with two decimals, times on the game's clock.

A cell that a spreadsheet would run as a formula is written with an apostrophe in front; digits that it would
round or shorten are followed by a tab. Line breaks inside a cell become spaces.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from django.db import connection, transaction
from django.db.models import Case, CharField, Count, F, Func, Q, QuerySet, Sum, TextField, Value, When
from django.utils import translation

from channels_app.console.words import WITHOUT_DECIMALS
from channels_app.models import Environment
from orders.models import DeliveryState, Game, Order, OrderState

PROFILE = "finance"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK_BYTES = 64 * 1024
# An export may run long; a query that hangs may not.
_LONGEST = "10min"
_CLOCK = "%Y-%m-%d %H:%M:%S"


class _Text(Func):
    """A cell of text that no spreadsheet will run, round or break."""

    template = (
        r"(CASE WHEN %(expressions)s ~ '^\s*[=+\-@＝＋－＠]|^[\t\r\n]' THEN '''' ELSE '' END"
        r" || translate(%(expressions)s, E'\r\n\t', '   ')"
        r" || CASE WHEN %(expressions)s ~ '^(0[0-9]+|[0-9]{16,})$' THEN E'\t' ELSE '' END)"
    )
    output_field = TextField()


class _Major(Func):
    """Minor units as yuan; `minor` must be a plain column."""

    template = "to_char(%(expressions)s / 100.0, 'FM999999999999990.00')"
    output_field = TextField()


class _Clock(Func):
    """A moment on a game's clock."""

    template = "to_char(timezone(%(expressions)s)::timestamp, 'YYYY-MM-DD HH24:MI:SS')"
    arity = 2
    output_field = TextField()


class _Whole(Func):
    """A whole number."""

    template = "(%(expressions)s)::text"
    output_field = TextField()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExport:
    """One file of orders. `filters`: the words of the list it comes from; `orders`: what they let through."""

    game: Game
    environment: Environment
    orders: QuerySet[Order]
    filters: Sequence[str]
    now: datetime

    @property
    def zone(self) -> ZoneInfo:
        """The game's clock."""
        return ZoneInfo(self.game.time_zone)

    @property
    def file_name(self) -> str:
        """Game, environment, profile, time of making."""
        made = self.now.astimezone(self.zone).strftime("%Y%m%d-%H%M%S")
        return f"orders-{self.game.code}-{self.environment.value}-{PROFILE}-{made}.csv"

    def stream(self) -> Iterator[bytes]:
        """The file, block by block. The last line names the end: a file without it was cut off."""
        rows = self.orders.filter(game=self.game, environment=self.environment)
        columns = _columns(self.game.time_zone)
        yield BYTE_ORDER_MARK + _line([header for header, _cell in columns])
        # One snapshot for rows and totals, and nothing can be written by accident.
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{_LONGEST}'")
            count = 0
            for lines, block in _copied(rows.order_by("pk").values_list(*(cell for _header, cell in columns))):
                count += lines
                yield block
            yield self._footer(rows, count)

    def _footer(self, rows: QuerySet[Order], count: int) -> bytes:
        totals = (
            rows.order_by()
            .values("currency")
            .annotate(
                orders=Count("pk"),
                ordered=Sum("amount_minor"),
                paid=Count("pk", filter=Q(state=OrderState.PAID)),
                received=Sum("amount_minor", filter=Q(state=OrderState.PAID)),
                refunded=Sum("refunded_minor"),
            )
            .order_by("currency")
        )
        made = self.now.astimezone(self.zone)
        lines: list[list[object]] = [
            [],
            ["游戏", self.game.code],
            ["环境", _environment_word(self.environment)],
            ["筛选条件", "；".join(self.filters) or "无"],
            ["时区", f"{self.game.time_zone} (UTC{made:%z})"],
            ["导出时间", made.strftime(_CLOCK)],
            ["期间", *_period(rows, self.zone)],
            ["行数", count],
            ["合计", "币种", "订单数", "订单金额", "已支付订单数", "实付金额", "退款金额"],
        ]
        lines += [
            [
                "合计", row["currency"], row["orders"], _major(row["ordered"], row["currency"]), row["paid"],
                _major(row["received"] or 0, row["currency"]), _major(row["refunded"], row["currency"]),
            ]
            for row in totals
        ]  # fmt: skip
        lines.append(["文件结束"])
        return b"".join(_line(line) for line in lines)


def _columns(time_zone: str) -> list[tuple[str, Any]]:
    """Headings and cells, in the order finance staff know."""
    paid = Q(state=OrderState.PAID)
    with translation.override("zh-hans"):
        payment = _labels("state", OrderState.choices)
        delivery = _labels("delivery_state", DeliveryState.choices)
        environment = _labels("environment", Environment.choices)
    return [
        ("下单时间", _clock("created_at", time_zone)),
        ("交易时间", _clock("paid_at", time_zone)),
        ("商户订单号", _Text(F("order_no"))),
        ("游戏订单号", _Text(F("client_ref"))),
        ("平台交易号", _Text(F("transaction_id"))),
        ("游戏", _Text(F("game_code"))),
        ("渠道", _Text(F("channel_code"))),
        ("区服", _Text(F("zone_id"))),
        ("用户UID", _Text(F("uid"))),
        ("角色ID", _Text(F("role_id"))),
        ("商品ID", _Text(F("product_code"))),
        ("商品名称", _Text(F("product_name"))),
        ("数量", _Whole(F("quantity"))),
        ("币种", _Text(F("currency"))),
        ("订单金额", _yuan("amount_minor")),
        (
            "实付金额",
            Case(When(paid, then=_yuan("amount_minor")), default=Value("0.00"), output_field=TextField()),
        ),
        ("退款金额", _yuan("refunded_minor")),
        ("支付方式", _Text(F("method"))),
        ("支付状态", payment),
        ("发货状态", delivery),
        ("发货时间", _clock("delivered_at", time_zone)),
        ("取消时间", _clock("cancelled_at", time_zone)),
        ("环境", environment),
        ("透传参数", _Text(F("attach"))),
    ]


def _clock(column: str, time_zone: str) -> Func:
    return _Clock(Value(time_zone), F(column))


def _yuan(column: str) -> Case:
    return Case(
        When(currency__in=WITHOUT_DECIMALS, then=_Whole(F(column))),
        default=_Major(F(column)),
        output_field=TextField(),
    )


def _labels(column: str, choices: Sequence[tuple[str, Any]]) -> Case:
    """The Chinese word of a state."""
    whens = [When(**{column: value}, then=Value(str(label))) for value, label in choices]
    return Case(*whens, default=F(column), output_field=CharField())


def _major(amount_minor: int, currency: str) -> str:
    if currency in WITHOUT_DECIMALS:
        return str(amount_minor)
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def _environment_word(environment: Environment) -> str:
    with translation.override("zh-hans"):
        return str(environment.label)


def _period(rows: QuerySet[Order], zone: ZoneInfo) -> list[str]:
    """When the first and the last order of the file were made."""
    first, last = (rows.order_by(key).values_list("created_at", flat=True).first() for key in ("pk", "-pk"))
    return [at.astimezone(zone).strftime(_CLOCK) for at in (first, last) if at is not None]


def _copied(rows: QuerySet[Order, Any]) -> Iterator[tuple[int, bytes]]:
    """What `COPY … TO STDOUT` writes, in blocks: (lines in it, bytes). psycopg hands over line by line."""
    sql, parameters = rows.query.sql_with_params()
    raw: psycopg.Connection[Any] = connection.connection
    # PostgreSQL ends its lines with LF; no cell contains one, so each becomes CRLF safely.
    with raw.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT WITH (FORMAT csv)", parameters) as copy:
        lines: list[bytes] = []
        size = 0
        for line in copy:
            lines.append(bytes(line))
            size += len(lines[-1])
            if size >= _BLOCK_BYTES:
                yield len(lines), b"".join(lines).replace(b"\n", b"\r\n")
                lines, size = [], 0
        if lines:
            yield len(lines), b"".join(lines).replace(b"\n", b"\r\n")


def _line(cells: Sequence[object]) -> bytes:
    """One line of our own: headings and footer. Filters carry what a person typed: neutralised too."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_harmless(str(cell)) for cell in cells])
    return text.getvalue().encode()


def _harmless(text: str) -> str:
    flat = text.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return f"'{flat}" if flat.lstrip()[:1] in tuple("=+-@＝＋－＠") else flat
