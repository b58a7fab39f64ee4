"""What this floor adds to the exports: deliveries line by line, and the goods ledger of players.

The ledger's counter-entries on the house's accounts mirror those of players and belong to no environment, so they
are left out: an export never mixes real goods with play goods.
"""

from django.utils.translation import gettext_lazy as _

from channels_app.models import Environment
from fulfillment.models import Delivery, DeliveryMode, DeliveryStatus, LedgerEntry, LedgerReason
from orders.exporting.cells import Cell, label, moment, person, plain, text
from orders.exporting.reports import Column, Report, Section, Sum, register

_DELIVERY_COLUMNS: list[tuple[Column, Cell]] = [
    (Column("商户订单号", "order_no"), plain("r.order_no")),
    (Column("游戏", "game"), text("r.player_game_code")),
    (Column("区服", "zone_id"), text("r.zone_id")),
    (Column("用户UID", "uid"), person("r.player_uid")),
    (Column("角色ID", "role_id"), person("r.role_id")),
    (Column("道具ID", "item_id"), text("i.item_id")),
    (Column("道具名称", "item_name"), text("i.name")),
    (Column("数量", "quantity", counts=True), plain("l.quantity")),
    (Column("赠送数量", "bonus", counts=True), plain("l.bonus")),
    (Column("发货方式", "mode"), label("r.mode", DeliveryMode.choices)),
    (Column("发货状态", "state"), label("r.state", DeliveryStatus.choices)),
    (Column("创建时间", "created_at"), moment("r.created_at")),
    (Column("发货时间", "delivered_at"), moment("r.delivered_at")),
    (Column("游戏回执", "receipt"), text("r.receipt")),
    (Column("发货单号", "delivery_id"), plain("r.id")),
    (Column("环境", "environment"), label("r.player_environment", Environment.choices)),
]

DELIVERIES = register(
    Report(
        code="deliveries",
        title=_("deliveries"),
        heading="发货",
        model=Delivery,
        permission="fulfillment.view_delivery",
        fields=(
            "id", "order_no", "zone_id", "role_id", "mode", "state", "receipt", "created_at", "delivered_at",
            "player__uid", "player__environment", "player__game__code",
        ),
        columns=[column for column, _cell in _DELIVERY_COLUMNS],
        sections=[
            Section(
                source="{rows} LEFT JOIN fulfillment_deliveryline l ON l.delivery_id = r.id"
                " LEFT JOIN fulfillment_item i ON i.id = l.item_id",
                order="r.id, l.id",
                cells=[cell for _column, cell in _DELIVERY_COLUMNS],
                by="coalesce(i.item_id, '')",
                sums=[
                    Sum("发货单数", "count(DISTINCT r.id)", is_money=False),
                    Sum("数量", "sum(l.quantity)", is_money=False),
                    Sum("赠送数量", "sum(l.bonus)", is_money=False),
                ],
            )
        ],
        grouped_by="道具ID",
        game="player__game",
        environment="player__environment",
        dated=("created_at",),
    )
)  # fmt: skip

_LEDGER_COLUMNS: list[tuple[Column, Cell]] = [
    (Column("时间", "at"), moment("r.at")),
    (Column("商户订单号", "order_no"), plain("r.order_no")),
    (Column("游戏", "game"), text("r.player_game_code")),
    (Column("用户UID", "uid"), person("r.player_uid")),
    (Column("道具ID", "item_id"), text("r.item_item_id")),
    (Column("道具名称", "item_name"), text("r.item_name")),
    (Column("付费数量", "paid", counts=True), plain("r.paid")),
    (Column("赠送数量", "free", counts=True), plain("r.free")),
    (Column("付费余额", "paid_after", counts=True), plain("r.paid_after")),
    (Column("赠送余额", "free_after", counts=True), plain("r.free_after")),
    (Column("原因", "reason"), label("r.reason", LedgerReason.choices)),
    (Column("流转号", "transfer"), plain("r.transfer")),
    (Column("环境", "environment"), label("r.player_environment", Environment.choices)),
]

LEDGER = register(
    Report(
        code="ledger",
        title=_("goods ledger"),
        heading="道具账本",
        model=LedgerEntry,
        permission="fulfillment.view_ledgerentry",
        fields=(
            "id", "at", "order_no", "transfer", "paid", "free", "paid_after", "free_after", "reason",
            "player__uid", "player__environment", "player__game__code", "item__item_id", "item__name",
        ),
        columns=[column for column, _cell in _LEDGER_COLUMNS],
        sections=[
            Section(
                source="{rows}",
                order="r.id",
                cells=[cell for _column, cell in _LEDGER_COLUMNS],
                by="r.item_item_id",
                sums=[
                    Sum("付费数量", "sum(r.paid)", is_money=False),
                    Sum("赠送数量", "sum(r.free)", is_money=False),
                ],
            )
        ],
        grouped_by="道具ID",
        game="player__game",
        environment="player__environment",
        dated=("at",),
    )
)  # fmt: skip
