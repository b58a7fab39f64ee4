"""Books as files: exact, whole, safe to open; never a mixture of real and play money."""

import csv
import io
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fulfillment.exporting import DELIVERIES, LEDGER
from orders.exporting.asking import Export, period_of
from orders.exporting.cells import Look, harmless, line, major, person, text
from orders.exporting.files import RowsDiffer, stream
from orders.exporting.profiles import BYTE_ORDER_MARK, Profile
from orders.exporting.reports import ORDERS, PAYMENTS, REFUNDS
from orders.models import Order, Payment
from tests.console.conftest import Shop
from tests.exporting.conftest import content_of, export_of, read_finance, read_machine, refund

pytestmark = pytest.mark.django_db(transaction=True)

BEIJING = ZoneInfo("Asia/Shanghai")
LONG = "4200000000000000000000000001"
EVIL = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    '=HYPERLINK("http://evil")',
    "＝1+1",
    " =1",
    "\u3000=1",
    "\t=1",
]


def on_clock(at):
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}" if at else ""


class TestAFileForFinance:
    """Finance staff open it in a spreadsheet and see what is in the books, to the fen."""

    def test_equals_the_orders_row_by_row(self, shop):
        shop.purchase("10001", LONG)
        shop.order("10002", zone_id="华东 3 区", role_id='角色,"九"')
        rows, _footer = read_finance(content_of(export_of(shop, personal=True)))
        expected = [
            {
                "交易时间": on_clock(order.paid_at),
                "商户订单号": order.order_no,
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
                "支付方式": order.method,
                "支付状态": "已支付" if order.paid_at else "待付款",
                "发货状态": "已到账" if order.paid_at else "未发货",
                "发货时间": on_clock(order.delivered_at),
                "退款金额": "",
                "退款时间": "",
                "商户号": "wx1" if order.paid_at else "",
                "环境": "沙盒",
                "行类型": "订单",
                "下单时间": on_clock(order.created_at),
                "取消时间": "",
                "游戏订单号": order.client_ref,
                "透传参数": "",
                "玩家IP": "",
            }
            for order in Order.objects.order_by("pk")
        ]
        # The tab keeps a spreadsheet from rounding a long number; everything else is verbatim.
        assert [{name: cell.rstrip("\t") for name, cell in row.items()} for row in rows] == expected
        assert list(rows[0]) == list(expected[0])

    def test_opens_in_a_spreadsheet(self, shop):
        order = shop.purchase("10001", LONG)
        content = content_of(export_of(shop))
        assert content.startswith(BYTE_ORDER_MARK)
        assert content.count(b"\n") == content.count(b"\r\n") > 0
        rows, _footer = read_finance(content)
        assert rows[0]["平台交易号"] == f"{LONG}\t"
        assert rows[0]["商户订单号"] == order.order_no  # it has a letter, so it needs no help

    def test_runs_no_formula_that_a_player_typed(self, shop):
        for typed in EVIL:
            shop.order(typed[:60], zone_id=typed[:60], role_id=typed[:60], attach=typed)
        for personal in (True, False):
            rows, _footer = read_finance(content_of(export_of(shop, personal=personal)))
            assert len(rows) == len(EVIL)
            for row in rows:
                for cell in row.values():
                    assert not cell.strip().startswith(("=", "+", "-", "@", "＝"))
            assert [row["透传参数"] for row in rows] == [f"'{typed}" for typed in EVIL]

    def test_keeps_digits_dates_and_powers_as_they_were_typed(self, shop):
        typed = ["0012", "1234567890123456", "2026-03", "3/4", "12E5", "1.5", "123", "0"]
        for cell in typed:
            shop.order("a", zone_id=cell)
        rows, _footer = read_finance(content_of(export_of(shop)))
        assert [row["区服"] for row in rows] == [f"{cell}\t" for cell in typed[:6]] + ["123", "0"]

    def test_keeps_line_breaks_from_breaking_lines(self, shop):
        shop.order("a", attach="one\r\ntwo", zone_id="x\ny")
        shop.order("b", attach="three")
        content = content_of(export_of(shop))
        rows, _footer = read_finance(content)
        assert [(row["透传参数"], row["区服"]) for row in rows] == [("one  two", "x y"), ("three", "3")]
        assert content.count(b"\n") == content.count(b"\r\n")

    def test_takes_every_sign_there_is(self, shop):
        names = ["😀🐉", 'say "hi", ok', "；，。", "a,b", "日本語 ｶﾅ", "é\u0301", "\u202egnp.exe", "​zero"]
        for name in names:
            shop.order("a", zone_id=name)
        rows, _footer = read_finance(content_of(export_of(shop)))
        assert [row["区服"] for row in rows] == names

    def test_adds_up_what_stands_in_it(self, shop):
        for number in range(3):
            shop.purchase("10001", f"420000000000000000000000000{number}")
        shop.order("10002")
        refund(Order.objects.order_by("pk").first(), 250, timezone.now())
        rows, footer = read_finance(content_of(export_of(shop)))
        said = {row[0]: row[1:] for row in footer}
        headings = next(row for row in footer if row[:2] == ["合计", "币种"])[2:]
        totals = dict(zip(headings, next(row for row in footer if row[:2] == ["合计", "CNY"])[2:], strict=True))
        fen = lambda name: sum(round(float(row[name] or 0) * 100) for row in rows)  # noqa: E731
        assert totals == {
            "订单数": "4", "订单金额": "24.00", "已支付订单数": "3", "实付金额": "18.00", "退款笔数": "1", "退款金额": "-2.50",
        }  # fmt: skip
        assert (fen("订单金额"), fen("实付金额"), fen("退款金额")) == (2400, 1800, -250)
        assert said["行数"] == ["5"]
        assert len(rows) == 5

    def test_says_what_it_is_and_where_it_ends(self, shop):
        shop.order()
        since = datetime(2020, 1, 1, tzinfo=BEIJING)
        until = datetime(2120, 1, 1, tzinfo=BEIJING)
        rows = Order.objects.filter(created_at__gte=since, created_at__lt=until)
        export = export_of(shop, rows=rows, filters=["渠道: 官网", "=1+1"])
        _rows, footer = read_finance(content_of(export))
        said = {row[0]: row[1:] for row in footer}
        assert said["期间"] == ["2020-01-01 00:00:00", "2120-01-01 00:00:00"]
        assert said["时区"] == ["Asia/Shanghai (UTC+0800)"]
        assert said["环境"] == ["沙盒"]
        assert said["筛选条件"] == ["渠道: 官网；=1+1"]
        assert said["个人信息"] == ["已脱敏"]
        assert footer[-1] == ["文件结束"]
        assert export.file_name.startswith("orders-demo-sandbox-20200101-21191231-finance-")

    def test_shows_currencies_without_decimals_whole(self, shop):
        from orders.models import ProductPrice

        ProductPrice.objects.create(product=shop.game.products.get(), currency="JPY", amount_minor=120)
        shop.order("a", currency="JPY")
        shop.order("b")
        rows, footer = read_finance(content_of(export_of(shop)))
        assert [row["订单金额"] for row in rows] == ["120", "6.00"]
        assert [row[1:4] for row in footer if row[0] == "合计"][1:] == [["CNY", "1", "6.00"], ["JPY", "1", "120"]]


class TestARefund:
    """Money given back stands in a row of its own: negative, dated when it happened, with the order's number."""

    def test_has_its_own_row(self, shop):
        order = shop.purchase("10001", LONG)
        at = timezone.now() + timedelta(days=3)
        refund(order, 100, at)
        refund(order, 50, at + timedelta(hours=1))
        rows, _footer = read_finance(content_of(export_of(shop)))
        assert [
            (row["行类型"], row["商户订单号"], row["实付金额"], row["退款金额"], row["退款时间"]) for row in rows
        ] == [
            ("订单", order.order_no, "6.00", "", ""),
            ("退款", order.order_no, "", "-1.00", on_clock(at)),
            ("退款", order.order_no, "", "-0.50", on_clock(at + timedelta(hours=1))),
        ]
        assert rows[1]["交易时间"] == on_clock(at)

    def test_can_be_had_alone(self, shop):
        order = shop.purchase("10001", LONG)
        shop.purchase("10002", "4200000000000000000000000002")
        assert read_machine(content_of(export_of(shop, REFUNDS, profile=Profile.MACHINE))) == []
        refund(order, 100, timezone.now())
        (row,) = read_machine(content_of(export_of(shop, REFUNDS, profile=Profile.MACHINE)))
        assert (row["order_no"], row["refunded_minor"], row["row"]) == (order.order_no, "-100", "refund")


class TestAFileForMachines:
    """A program reads exactly what is in the books: nothing added, nothing changed, nothing neutralised."""

    def test_equals_the_books(self, shop):
        order = shop.purchase("10001", LONG)
        content = content_of(export_of(shop, profile=Profile.MACHINE, personal=True))
        (row,) = read_machine(content)
        assert not content.startswith(BYTE_ORDER_MARK)
        assert b"\r" not in content
        assert row["transaction_id"] == LONG
        assert (row["amount_minor"], row["paid_minor"], row["currency"]) == ("600", "600", "CNY")
        assert (row["state"], row["delivery_state"], row["environment"]) == ("paid", "delivered", "sandbox")
        assert row["created_at"].endswith("Z")
        assert datetime.fromisoformat(row["created_at"]) == order.created_at.astimezone(UTC)
        assert datetime.fromisoformat(row["paid_at"]) == order.paid_at
        assert all(name.replace("_", "").isalnum() and name.islower() for name in row)

    def test_keeps_what_people_typed(self, shop):
        for typed in [*EVIL, "one\r\ntwo\tthree", "0012"]:
            shop.order("a", attach=typed)
        rows = read_machine(content_of(export_of(shop, profile=Profile.MACHINE)))
        assert [row["attach"] for row in rows] == [*EVIL, "one\r\ntwo\tthree", "0012"]

    def test_has_the_columns_that_the_documentation_lists(self, shop):
        from pathlib import Path

        documented = Path("docs/exports.md").read_text()
        for report in (ORDERS, PAYMENTS, DELIVERIES, LEDGER):
            for column in report.columns:
                assert f"| {column.heading} | `{column.name}` |" in documented, (report.code, column)


class TestPersonalData:
    """Players, roles and addresses are masked unless the export is one of personal data."""

    def test_is_masked(self, shop):
        shop.order("10001234", role_id="r" * 60)
        shop.order("1234", role_id="")
        Order.objects.update(client_ip="203.0.113.77")
        for profile, read in ((Profile.MACHINE, read_machine), (Profile.FINANCE, lambda c: read_finance(c)[0])):
            content = content_of(export_of(shop, profile=profile))
            assert b"10001234" not in content.replace(b"ref-10001234", b"")
            assert b"113.77" not in content
            cells = [list(row.values()) for row in read(content)]
            assert [cell for row in cells for cell in row if "***" in cell or "/24" in cell] == [
                "****1234", "****rrrr", "203.0.113.0/24", "****", "203.0.113.0/24",
            ]  # fmt: skip

    def test_of_the_sixth_generation_is_masked_too(self, shop):
        for given_address, shown in (
            ("2001:db8:1:2::77", "2001:db8:1::/48"),
            ("2001:db8::1", "2001:db8::/48"),
            ("::ffff:203.0.113.77", "::ffff:203.0.113.0/24"),
            ("nonsense", "::/48"),
            ("", ""),
        ):
            Order.objects.all()  # one order per address
            order = shop.order("a")
            Order.objects.filter(pk=order.pk).update(client_ip=given_address)
            rows = read_machine(
                content_of(export_of(shop, rows=Order.objects.filter(pk=order.pk), profile=Profile.MACHINE))
            )
            assert rows[0]["client_ip"] == shown

    def test_stands_whole_in_an_export_of_personal_data(self, shop):
        shop.order("10001234", role_id="role-77")
        Order.objects.update(client_ip="203.0.113.77")
        (row,) = read_machine(content_of(export_of(shop, profile=Profile.MACHINE, personal=True)))
        assert (row["uid"], row["role_id"], row["client_ip"]) == ("10001234", "role-77", "203.0.113.77")


class TestItsBooks:
    """One game (or all of them) in one environment."""

    def test_play_money_never_stands_beside_real(self, shop):
        real = Shop(shop.game, shop.channel, shop.account, environment="production")
        play, earned = shop.order("player").order_no, real.order("player", client_ref="real-1").order_no
        for books, order_no in ((shop, play), (real, earned)):
            rows, footer = read_finance(content_of(export_of(books, game=None)))
            assert [row["商户订单号"] for row in rows] == [order_no]
            assert ["环境", "沙盒" if books is shop else "生产"] in footer

    def test_another_game_is_left_out(self, shop):
        from orders.models import Game

        shop.order()
        other = Game.objects.create(code="other", name="Other")
        assert read_finance(content_of(export_of(shop, game=other)))[0] == []

    def test_filters_that_nothing_fits_make_an_empty_file(self, shop):
        shop.order()
        rows, footer = read_finance(content_of(export_of(shop, rows=Order.objects.none())))
        assert rows == []
        assert ["行数", "0"] in footer
        assert footer[-1] == ["文件结束"]


class TestOtherReports:
    """Payments, deliveries and the goods ledger leave in the same ways."""

    def test_payments(self, shop):
        order = shop.purchase("10001", LONG)
        shop.attempt(shop.order("x"))
        shop.pay("nobody-knows-this", "4200000000000000000000000009", 700)
        rows, footer = read_finance(content_of(export_of(shop, PAYMENTS, game=None)))
        assert [(row["商户订单号"], row["实付金额"], row["入账状态"]) for row in rows] == [
            (order.order_no, "6.00", "已入账"), ("", "7.00", "暂挂"),
        ]  # fmt: skip
        assert ["合计", "CNY", "2", "13.00", "1", "6.00", "7.00"] in footer
        assert Payment.objects.count() == 2
        assert len(read_finance(content_of(export_of(shop, PAYMENTS)))[0]) == 1  # money of no order has no game

    def test_deliveries(self, shop):
        order = shop.purchase("10001234", LONG)
        (row,) = read_machine(content_of(export_of(shop, DELIVERIES, profile=Profile.MACHINE)))
        assert (row["order_no"], row["item_id"], row["quantity"], row["bonus"], row["state"], row["uid"]) == (
            order.order_no, "gem", "60", "6", "delivered", "****1234",
        )  # fmt: skip

    def test_the_goods_ledger(self, shop):
        shop.purchase("10001", LONG)
        shop.purchase("10001", "4200000000000000000000000002")
        rows, footer = read_finance(content_of(export_of(shop, LEDGER)))
        assert [(row["付费数量"], row["付费余额"], row["赠送余额"], row["原因"]) for row in rows] == [
            ("60", "60", "6", "购买"), ("60", "120", "12", "购买"),
        ]  # fmt: skip
        assert ["合计", "gem", "120", "12"] in footer


class TestACutOffFile:
    """Somebody who gets half a file can tell."""

    def test_has_no_end(self, shop):
        shop.order()
        blocks = list(stream(export_of(shop)))
        assert "文件结束" in blocks[-1].decode()
        assert "文件结束" not in b"".join(blocks[:-1]).decode("utf-8-sig")

    def test_is_not_finished_when_rows_and_totals_differ(self, shop, monkeypatch):
        from orders.exporting import files
        from orders.exporting.snapshot import Totals

        shop.order()
        monkeypatch.setattr(files, "totals_of", lambda raw, export: Totals(2, []))
        with pytest.raises(RowsDiffer):
            content_of(export_of(shop))

    def test_leaves_no_query_behind_when_the_reader_goes_away(self, shop):
        for number in range(3):
            shop.order(f"u{number}")
        blocks = stream(export_of(shop))
        next(blocks)
        next(blocks)
        blocks.close()
        copying = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query LIKE 'COPY%'"
        )
        deadline = time.monotonic() + 20
        with connection.cursor() as cursor:
            while cursor.execute(copying).fetchone() != (0,):
                assert time.monotonic() < deadline
                time.sleep(0.05)


class TestOneSnapshot:
    """Rows and totals are of the same moment, whatever is bought meanwhile."""

    def test_holds_while_orders_arrive(self, shop, monkeypatch):
        from orders.exporting import files

        shop.order("first")
        totals_of = files.totals_of

        def then_somebody_buys(raw, export):
            totals = totals_of(raw, export)
            shop.order("second")
            return totals

        monkeypatch.setattr(files, "totals_of", then_somebody_buys)
        rows, footer = read_finance(content_of(export_of(shop)))
        assert len(rows) == 1
        assert ["行数", "1"] in footer


class TestCells:
    """PostgreSQL and Python neutralise alike."""

    @pytest.mark.django_db
    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=24))
    @example("=1")
    @example("＠x")
    @example("00")
    @example("1e5")
    @example("1234567890123456")
    @example("\u00a0-1")
    def test_in_every_text(self, typed):
        look = Look(profile=Profile.FINANCE, time_zone="UTC")
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {text('x')(look)}, {person('x')(look)} FROM (SELECT %s::text AS x) t", (typed,))
            shown, masked = cursor.fetchone()
        assert shown.replace("\r", " ").replace("\n", " ") == harmless(typed)
        assert not shown.lstrip().startswith(("=", "+", "-", "@"))
        assert masked == ("" if not typed else f"****{typed[-4:] if len(typed) > 4 else ''}")

    def test_of_our_own_lines(self):
        assert [major(amount, "CNY") for amount in (0, 5, 600, -5, 123456)] == [
            "0.00",
            "0.05",
            "6.00",
            "-0.05",
            "1234.56",
        ]
        assert major(-120, "JPY") == "-120"
        assert line(["a", None, 'b"c'], Profile.FINANCE) == b'a,,"b""c"\r\n'
        assert line(["a", 1], Profile.MACHINE) == b"a,1\n"
        assert next(csv.reader(io.StringIO(line([harmless("=1\n2")], Profile.FINANCE).decode()))) == ["'=1 2"]


class TestWhatAJobKeeps:
    """An export can be written down and done later, exactly, and by nobody else's order."""

    def test_is_the_same_export(self, shop):
        export = export_of(shop, filters=["a"], rows=Order.objects.filter(created_at__gte=timezone.now()))
        assert Export.from_document(export.to_document()) == export

    def test_knows_its_period_by_the_time_it_is_filtered_by(self, shop):
        since, until = timezone.now(), timezone.now() + timedelta(days=1)
        assert period_of(Order.objects.filter(paid_at__gte=since, paid_at__lt=until), ORDERS) == (since, until)
        assert period_of(Order.objects.filter(uid="x"), ORDERS) == (None, None)
