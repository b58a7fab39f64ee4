"""What can be exported: for each report its columns, where its rows come from, and what is added up.

A report names the columns of its table that it needs (`fields`); its sections are SELECTs over those rows, one after
another in the file: an order stands in one line, each refund of it in a line of its own. Floors above register
reports of their own (`register`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels_app.models import Environment
from orders.exporting.cells import (
    Cell,
    address,
    amount,
    label,
    moment,
    nothing,
    person,
    plain,
    text,
    word,
)
from orders.models import DeliveryState, EventKind, HoldReason, Order, OrderState, Payment, ProofSource


@dataclass(frozen=True, slots=True)
class Column:
    """A heading in both profiles. `counts`: its cells are quantities or money, which a workbook may add up."""

    heading: str
    name: str
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """A figure of the footer. `value`: an SQL aggregate over a section's rows; money is in minor units."""

    heading: str
    value: str
    is_money: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One SELECT. `source` is what stands after FROM, with `{rows}` for the rows asked for; they are called `r`.

    `by` is what figures are grouped by: the currency, or the item.
    """

    source: str
    order: str
    cells: Sequence[Cell]
    by: str
    sums: Sequence[Sum] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Something that can be exported. `permission`: what it takes to see such rows at all.

    `game` and `environment` are the ways from a row to its books, `dated` are the times a period may speak of.
    `rows_without_game`: there are rows that belong to no game; they stand in files of all games only.
    """

    code: str
    title: str | Promise
    heading: str
    model: type[Model]
    permission: str
    fields: Sequence[str]
    columns: Sequence[Column]
    sections: Sequence[Section]
    grouped_by: str
    game: str = "game"
    environment: str = "environment"
    dated: Sequence[str] = ("created_at", "paid_at")
    rows_without_game: bool = field(default=False)

    def __post_init__(self) -> None:
        """Every section fills every column."""
        for section in self.sections:
            if len(section.cells) != len(self.columns):
                raise ValueError(f"{self.code}: {len(section.cells)} cells for {len(self.columns)} columns")


REPORTS: dict[str, Report] = {}


def register(report: Report) -> Report:
    """Offer a report."""
    REPORTS[report.code] = report
    return report


# --- orders, and their refunds --------------------------------------------------------------------------------------
# Not what a store's reviewer paid with play money: delivered, and no revenue.
_PAID = f"(r.state = '{OrderState.PAID.value}' AND p.environment = r.environment)"
_ACCOUNT = (
    " LEFT JOIN orders_payment p ON p.order_id = r.id AND p.applied"
    " LEFT JOIN channels_app_merchantaccount a ON a.id = p.account_id"
)
_REFUNDED_MINOR = "(e.data->>'amount')::bigint"


def _order_columns() -> list[tuple[Column, Cell, Cell]]:
    """Heading, cell of an order, cell of one of its refunds. What a refund leaves empty would be counted twice."""
    both = [
        (Column("商户订单号", "order_no"), plain("r.order_no")),
        (Column("平台交易号", "transaction_id"), text("r.transaction_id")),
        (Column("游戏", "game"), text("r.game_code")),
        (Column("渠道", "channel"), text("r.channel_code")),
        (Column("区服", "zone_id"), text("r.zone_id")),
        (Column("用户UID", "uid"), person("r.uid")),
        (Column("角色ID", "role_id"), person("r.role_id")),
        (Column("商品ID", "product_id"), text("r.product_code")),
        (Column("商品名称", "product_name"), text("r.product_name")),
    ]
    paid = amount(f"CASE WHEN {_PAID} THEN r.amount_minor ELSE 0 END", "r.currency")
    state, delivery = label("r.state", OrderState.choices), label("r.delivery_state", DeliveryState.choices)
    return [
        (Column("交易时间", "paid_at"), moment("r.paid_at"), moment("e.at")),
        *((column, cell, cell) for column, cell in both),
        (Column("数量", "quantity", counts=True), plain("r.quantity"), nothing),
        (Column("币种", "currency"), plain("r.currency"), plain("r.currency")),
        (Column("订单金额", "amount_minor", counts=True), amount("r.amount_minor", "r.currency"), nothing),
        (Column("实付金额", "paid_minor", counts=True), paid, nothing),
        (Column("支付方式", "method"), plain("r.method"), plain("r.method")),
        (Column("支付状态", "state"), state, state),
        (Column("发货状态", "delivery_state"), delivery, delivery),
        (Column("发货时间", "delivered_at"), moment("r.delivered_at"), nothing),
        (Column("退款金额", "refunded_minor", counts=True), nothing, amount(f"-{_REFUNDED_MINOR}", "r.currency")),
        (Column("退款时间", "refunded_at"), nothing, moment("e.at")),
        (Column("商户号", "account"), text("a.code"), text("a.code")),
        (
            Column("环境", "environment"),
            label("r.environment", Environment.choices),
            label("r.environment", Environment.choices),
        ),
        (Column("行类型", "row"), word("订单", "order"), word("退款", "refund")),
        (Column("下单时间", "created_at"), moment("r.created_at"), nothing),
        (Column("取消时间", "cancelled_at"), moment("r.cancelled_at"), nothing),
        (Column("游戏订单号", "client_ref"), text("r.client_ref"), text("r.client_ref")),
        (Column("透传参数", "attach"), text("r.attach"), text("r.attach")),
        (Column("玩家IP", "client_ip"), address("r.client_ip"), nothing),
    ]


ORDERS = register(
    Report(
        code="orders",
        title=_("orders with their refunds"),
        heading="订单",
        model=Order,
        permission="orders.view_order",
        fields=(
            "id", "order_no", "transaction_id", "game_code", "channel_code", "zone_id", "uid", "role_id",
            "product_code", "product_name", "quantity", "currency", "amount_minor", "method", "state",
            "delivery_state", "refunded_minor", "environment", "client_ref", "attach", "client_ip", "created_at",
            "paid_at", "delivered_at", "cancelled_at",
        ),
        columns=[column for column, _order, _refund in _order_columns()],
        sections=[
            Section(
                source="{rows}" + _ACCOUNT,
                order="r.id",
                cells=[order for _column, order, _refund in _order_columns()],
                by="r.currency",
                sums=[
                    Sum("订单数", "count(*)", is_money=False),
                    Sum("订单金额", "sum(r.amount_minor)"),
                    Sum("已支付订单数", f"count(*) FILTER (WHERE {_PAID})", is_money=False),
                    Sum("实付金额", f"sum(r.amount_minor) FILTER (WHERE {_PAID})"),
                ],
            ),
            # Only orders that say so are looked up in the timeline.
            Section(
                source="{rows} JOIN orders_orderevent e ON r.refunded_minor > 0 AND e.order_id = r.id"
                f" AND e.kind = '{EventKind.REFUNDED.value}'" + _ACCOUNT,
                order="r.id, e.id",
                cells=[refund for _column, _order, refund in _order_columns()],
                by="r.currency",
                sums=[
                    Sum("退款笔数", "count(*)", is_money=False),
                    Sum("退款金额", f"-sum({_REFUNDED_MINOR})"),
                ],
            ),
        ],
        grouped_by="币种",
    )
)  # fmt: skip

# --- refunds alone -------------------------------------------------------------------------------------------------
REFUNDS = register(
    Report(
        code="refunds",
        title=_("refunds alone"),
        heading="退款",
        model=Order,
        permission="orders.view_order",
        fields=ORDERS.fields,
        columns=ORDERS.columns,
        sections=ORDERS.sections[1:],
        grouped_by="币种",
    )
)

# --- payments ------------------------------------------------------------------------------------------------------
_PAYMENT_COLUMNS: list[tuple[Column, Cell]] = [
    (Column("交易时间", "paid_at"), moment("r.paid_at")),
    (Column("商户订单号", "order_no"), plain("r.order_order_no")),
    (Column("平台交易号", "transaction_id"), text("r.transaction_id")),
    (Column("游戏", "game"), text("r.order_game_code")),
    (Column("渠道", "channel"), text("r.order_channel_code")),
    (Column("区服", "zone_id"), text("r.order_zone_id")),
    (Column("用户UID", "uid"), person("r.order_uid")),
    (Column("角色ID", "role_id"), person("r.order_role_id")),
    (Column("币种", "currency"), plain("r.currency")),
    (Column("实付金额", "amount_minor", counts=True), amount("r.amount_minor", "r.currency")),
    (Column("支付方式", "method"), plain("r.attempt_method")),
    (Column("入账状态", "applied"), label("(CASE WHEN r.applied THEN 'applied' ELSE 'held' END)", [
        ("applied", "已入账"), ("held", "暂挂"),
    ])),
    (Column("暂挂原因", "hold_reason"), label("r.hold_reason", HoldReason.choices)),
    (Column("商户号", "account"), text("r.account_code")),
    (Column("环境", "environment"), label("r.environment", Environment.choices)),
    (Column("支付单号", "attempt_no"), text("r.attempt_no")),
    (Column("证明来源", "source"), label("r.source", ProofSource.choices)),
    (Column("收到时间", "received_at"), moment("r.received_at")),
]  # fmt: skip

PAYMENTS = register(
    Report(
        code="payments",
        title=_("payments"),
        heading="支付",
        model=Payment,
        permission="orders.view_payment",
        fields=(
            "id", "paid_at", "received_at", "transaction_id", "attempt_no", "currency", "amount_minor", "applied",
            "hold_reason", "source", "environment", "account__code", "attempt__method", "order__order_no",
            "order__game_code", "order__channel_code", "order__zone_id", "order__uid", "order__role_id",
        ),
        columns=[column for column, _cell in _PAYMENT_COLUMNS],
        sections=[
            Section(
                source="{rows}",
                order="r.id",
                cells=[cell for _column, cell in _PAYMENT_COLUMNS],
                by="r.currency",
                sums=[
                    Sum("笔数", "count(*)", is_money=False),
                    Sum("到账金额", "sum(r.amount_minor)"),
                    Sum("已入账笔数", "count(*) FILTER (WHERE r.applied)", is_money=False),
                    Sum("已入账金额", "sum(r.amount_minor) FILTER (WHERE r.applied)"),
                    Sum("暂挂金额", "sum(r.amount_minor) FILTER (WHERE NOT r.applied)"),
                ],
            )
        ],
        grouped_by="币种",
        game="order__game",
        dated=("received_at", "paid_at"),
        rows_without_game=True,
    )
)  # fmt: skip
