"""Orders as a file for finance: exact, safe to open, never a mixture of real and play money."""

import csv
import io
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry

from orders.exporting import BYTE_ORDER_MARK
from orders.models import Order
from tests.console.conftest import Shop

pytestmark = pytest.mark.django_db(transaction=True)

EXPORT = "/admin/orders/order/export/"
EVIL = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", '=HYPERLINK("http://evil")', "＝1+1", " =1"]


@pytest.fixture
def exporter(staff):
    return staff("orders.view_order", "orders.export_orders")


def download(browser, shop, query="", environment="sandbox"):
    answer = browser.post(f"{EXPORT}{query}", {"books": f"{shop.game.pk}.{environment}"})
    assert answer.status_code == 200
    assert answer.streaming
    return answer, b"".join(answer.streaming_content)


def read(content):
    """(headings and rows as dictionaries, footer lines) as the csv module reads them."""
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    end = lines.index([])
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:end]]
    return rows, lines[end + 1 :]


class TestTheFile:
    """What is in the file is what is in the books."""

    def test_equals_the_orders_row_by_row(self, shop, exporter):
        shop.purchase("10001", "4200000000000000000000000001")
        shop.order("10002", zone_id="华东 3 区", role_id='角色,"九"')
        _answer, content = download(exporter, shop)
        rows, footer = read(content)
        zone = ZoneInfo("Asia/Shanghai")
        expected = [
            {
                "下单时间": f"{order.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
                "交易时间": f"{order.paid_at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if order.paid_at else "",
                "商户订单号": order.order_no,
                "游戏订单号": order.client_ref,
                "平台交易号": order.transaction_id,
                "游戏": "demo",
                "渠道": "official",
                "区服": order.zone_id,
                "用户UID": order.uid,
                "角色ID": order.role_id,
                "商品ID": "gems60",
                "商品名称": "60 gems",
                "数量": "1",
                "币种": "CNY",
                "订单金额": "6.00",
                "实付金额": "6.00" if order.paid_at else "0.00",
                "退款金额": "0.00",
                "支付方式": order.method,
                "支付状态": "已支付" if order.paid_at else "待付款",
                "发货状态": "已到账" if order.paid_at else "未发货",
                "发货时间": f"{order.delivered_at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if order.delivered_at else "",
                "取消时间": "",
                "环境": "沙盒",
                "透传参数": "",
            }
            for order in Order.objects.order_by("pk")
        ]
        # The tab keeps a spreadsheet from rounding a long number; everything else is verbatim.
        assert [{name: cell.rstrip("\t") for name, cell in row.items()} for row in rows] == expected
        assert ["行数", "2"] in footer
        assert ["合计", "CNY", "2", "12.00", "1", "6.00", "0.00"] in footer
        assert footer[-1] == ["文件结束"]

    def test_opens_in_a_spreadsheet(self, shop, exporter):
        order = shop.purchase("10001", "4200000000000000000000000001")
        answer, content = download(exporter, shop)
        assert content.startswith(BYTE_ORDER_MARK)
        assert content.count(b"\n") == content.count(b"\r\n")
        rows, _footer = read(content)
        assert rows[0]["平台交易号"] == order.transaction_id + "\t"
        assert rows[0]["商户订单号"] == order.order_no  # it has a letter, so it needs no help
        name = answer["Content-Disposition"]
        assert name.startswith('attachment; filename="orders-demo-sandbox-finance-')

    def test_runs_no_formula_that_a_player_typed(self, shop, exporter):
        for text in EVIL:
            shop.order(text[:60], zone_id=text[:60], role_id=text[:60], attach=text)
        rows, _footer = read(download(exporter, shop)[1])
        for row in rows:
            for column in ("用户UID", "区服", "角色ID", "透传参数"):
                assert not row[column].lstrip().startswith(("=", "+", "-", "@", "＝"))
        assert [row["透传参数"] for row in rows] == [f"'{text}" for text in EVIL]

    def test_keeps_line_breaks_from_breaking_lines(self, shop, exporter):
        shop.order("a", attach="one\r\ntwo\tthree")
        rows, _footer = read(download(exporter, shop)[1])
        assert rows[0]["透传参数"] == "one  two three"

    def test_says_zone_environment_filters_and_period(self, shop, exporter):
        order = shop.order("10001")
        rows, footer = read(download(exporter, shop, "?state=pending&period=today")[1])
        assert len(rows) == 1
        said = {line[0]: line[1:] for line in footer if line}
        assert said["时区"] == ["Asia/Shanghai (UTC+0800)"]
        assert said["环境"] == ["沙盒"]
        made = f"{order.created_at.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M:%S}"
        assert said["期间"] == [made, made]
        assert "payment: awaiting payment" in said["筛选条件"][0]


class TestItsLimits:
    """An export holds what the list's filter lets through, of one game and one environment."""

    def test_never_mixes_play_money_with_real(self, shop, exporter):
        real = Shop(shop.game, shop.channel, shop.account, environment="production")
        play = shop.order("player").order_no
        earned = real.order("player", client_ref="real-1").order_no
        assert [row["商户订单号"] for row in read(download(exporter, shop)[1])[0]] == [play]
        rows, footer = read(download(exporter, shop, environment="production")[1])
        assert [row["商户订单号"] for row in rows] == [earned]
        assert ["环境", "生产"] in footer

    def test_needs_game_and_environment(self, shop, exporter):
        shop.order()
        for books in ("", "x", "1", f"{shop.game.pk}.moon"):
            answer = exporter.post(EXPORT, {"books": books})
            assert not answer.streaming

    def test_follows_filters_and_search(self, shop, exporter):
        paid = shop.purchase("10001")
        shop.order("10002")
        assert [row["商户订单号"] for row in read(download(exporter, shop, "?state=paid")[1])[0]] == [paid.order_no]
        assert [row["用户UID"] for row in read(download(exporter, shop, "?q=10002")[1])[0]] == ["10002"]
        assert read(download(exporter, shop, "?undelivered=parked")[1])[0] == []

    def test_is_for_those_who_may_and_is_written_down(self, shop, staff):
        shop.order()
        assert staff("orders.view_order").post(EXPORT, {"books": f"{shop.game.pk}.sandbox"}).status_code == 403
        assert LogEntry.objects.count() == 0
        download(staff("orders.view_order", "orders.export_orders"), shop)
        assert LogEntry.objects.get().object_repr.startswith("orders-demo-sandbox-finance-")

    def test_shows_first_what_will_be_in_it(self, shop, exporter):
        shop.order()
        text = exporter.get(f"{EXPORT}?state=pending").content.decode()
        assert "payment: awaiting payment" in text
        assert "1 order before game and environment are chosen" in text
