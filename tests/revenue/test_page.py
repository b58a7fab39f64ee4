"""The revenue page as finance lives with it: one sentence, figures that subtract, orders behind every figure, files."""

import csv
import io
import re
from datetime import date
from html import unescape

import pytest

from channels_app.models import AuditEntry, Channel, MerchantAccount
from orders.models import Game, GameStaff
from tests.revenue.conftest import Till, at, fold

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/revenue/"
MARCH = "?from=2026-03-01&to=2026-03-31"
NOON = at("2026-03-02 12:00")


@pytest.fixture
def till(game, wechat_account) -> Till:
    """A till that takes real money; an account for it exists, so the console looks at production."""
    MerchantAccount.objects.filter(pk=wechat_account.pk).update(environment="production")
    return Till(game)


@pytest.fixture
def month(till) -> Till:
    """Three channels and two methods in March, one refund, one order unpaid; something before, something not folded."""
    till.sell(at("2026-02-10 12:00"), uid="a", amount=5000)
    till.sell(NOON, uid="a", amount=600)
    till.sell(NOON, uid="a", amount=600, channel="taptap", method="alipay_app")
    order = till.sell(at("2026-03-05 12:00"), uid="b", amount=3000, channel="taptap", method="alipay_app")
    fold()
    till.refund(order, at("2026-03-06 12:00"), 1000)
    till.order(at("2026-03-07 12:00"), uid="c")
    till.sell(at("2026-03-31 23:50"), paid=at("2026-04-01 00:10"), uid="d", amount=99900)
    return till


@pytest.fixture
def finance(staff):
    def log_in(language="en", *more):
        return staff(
            "orders.view_totals", "orders.export_orders", "orders.view_order", "orders.list_orders", *more,
            language=language,
        )  # fmt: skip

    return log_in


def text_of(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def table_of(answer) -> dict[str, list[str]]:
    """The table's rows by their name."""
    body = answer.content.decode()
    rows = re.findall(r"<tr[^>]*>\s*<th scope=\"row\">(.*?)</th>(.*?)</tr>", body.split("<thead>")[-1], re.DOTALL)
    clean = lambda cell: unescape(re.sub(r"<[^>]+>", "", cell)).strip()  # noqa: E731
    return {clean(name): [clean(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", cells, re.DOTALL)]
            for name, cells in rows}  # fmt: skip


def strip_of(answer) -> list[str]:
    return [
        unescape(re.sub(r"<[^>]+>", "", figure)) for figure in re.findall(r"<dd><b>(.*?)</b>", answer.content.decode())
    ]


class TestWhatItSays:
    """Period, clock, currency and environment stand above figures that subtract to the fen."""

    def test_in_english(self, month, finance):
        answer = finance().get(PAGE + MARCH)
        assert "2026-03-01 to 2026-03-31, calendar days, renminbi, without sandbox." in text_of(answer)
        assert strip_of(answer) == ["¥42.00", "−¥10.00", "¥32.00", "3", "2"]
        rows = table_of(answer)
        assert list(rows) == ["Taptap", "Official site", "Total"]
        assert rows["Taptap"] == ["2", "2", "100.0%", "36.00", "−10.00", "26.00", "2", "18.00", "1", "85.7%", "–"]
        assert rows["Official site"][:6] == ["3", "1", "66.7%", "6.00", "0.00", "6.00"]
        assert rows["Total"][:9] == ["5", "3", "80.0%", "42.00", "−10.00", "32.00", "2", "21.00", "1"]

    def test_in_chinese_nothing_is_left_in_english(self, month, finance):
        answer = finance("zh-hans").get(PAGE + MARCH + "&group=method")
        text = text_of(answer)
        assert "2026-03-01 至 2026-03-31，自然日，人民币，不含沙盒。" in text
        assert "下单时还没有选择支付方式" in answer.content.decode()
        content = text.split("渠道收入")[-1]
        left = set(re.findall(r"[A-Za-z]{3,}", content)) - {"Taptap", "CSV", "ARPPU", "App"}
        assert left == set()

    def test_a_period_is_held_against_another(self, month, finance):
        answer = finance().get(PAGE + "?from=2026-03-01&to=2026-03-28&against=month")
        # Official site: 50.00 in February, 6.00 in March.
        assert table_of(answer)["Official site"][-1] == "−88.0%"
        assert "Compared with 2026-02-01 to 2026-02-28." in text_of(answer)
        assert '<rect class="tick"' in answer.content.decode()

    def test_per_method_orders_made_are_not_known_and_the_page_says_why(self, month, finance):
        answer = finance().get(PAGE + MARCH + "&group=method")
        rows = table_of(answer)
        assert rows["Alipay (app)"][:4] == ["–", "2", "–", "36.00"]
        assert rows["Total"][:3] == ["5", "3", "80.0%"]
        assert "it is chosen after the order is made" in text_of(answer)

    def test_a_day_that_is_not_over_is_said_to_be(self, month, finance):
        browser = finance()
        assert "is not over yet" in text_of(browser.get(PAGE))
        assert "is not over yet" not in text_of(browser.get(PAGE + MARCH))

    def test_a_year_counts_payers_only_when_asked(self, month, finance):
        year = "?from=2025-04-01&to=2026-03-31"
        browser = finance()
        answer = browser.get(PAGE + year)
        assert strip_of(answer)[4] == "–"
        assert "Count payers too" in text_of(answer)
        assert strip_of(browser.get(PAGE + year + "&payers=1"))[4] == "2"

    @pytest.mark.parametrize(
        "query",
        [
            "?period=nonsense&group=x&grain=y&against=z&channel=no&method=no&product=no&currency=XXX",
            "?from=9999-12-31&to=0001-01-01", "?from=%00&zone=%27%3B--", "?zone=-", "?group=game", "?period=12months&grain=day",
            "?file=pdf",
        ],
    )  # fmt: skip
    def test_what_a_stranger_types_does_no_harm(self, month, finance, query):
        assert finance().get(PAGE + query).status_code == 200

    def test_without_a_sale_it_says_what_would_stand_here(self, till, finance):
        assert "Nothing was sold in this period" in text_of(finance().get(PAGE))


class TestClickThrough:
    """Every figure leads to its orders, and there are as many of them."""

    def linked(self, answer, row, place) -> str:
        body = answer.content.decode()
        cells = re.search(rf">{row}(?:</a>)?</th>(.*?)</tr>", body, re.DOTALL)[1]
        cell = re.findall(r"<td.*?>(.*?)</td>", cells, re.DOTALL)[place]
        return unescape(re.search(r'href="([^"]+)"', cell)[1])

    @pytest.mark.parametrize(
        ("query", "row", "place", "orders"),
        [
            ("", "Total", 0, 5), ("", "Total", 1, 3), ("", "Taptap", 0, 2), ("", "Taptap", 3, 2),
            ("", "Official site", 2, 2), ("&group=method", r"Alipay \(app\)", 1, 2), ("&group=zone", "1", 1, 3),
            ("&group=product", "60 gems", 1, 3), ("&group=day", "03-02 Mon", 1, 2),
        ],
    )  # fmt: skip
    def test_numbers_agree_with_the_list(self, month, finance, query, row, place, orders):
        browser = finance()
        address = self.linked(browser.get(PAGE + MARCH + query), row, place)
        listed = browser.get(address)
        assert listed.status_code == 200
        assert len(listed.context["cl"].result_list) == orders

    def test_a_period_longer_than_lists_go_leads_to_its_months(self, month, finance):
        browser = finance()
        address = self.linked(browser.get(PAGE + "?from=2025-04-01&to=2026-03-31"), "Taptap", 1)
        months = table_of(browser.get(PAGE + address))
        assert months["March 2026"][1] == "2"


class TestFiles:
    """The table as a file says the same as the page."""

    def read(self, answer):
        assert answer.status_code == 200
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return content, list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))

    def test_for_finance(self, month, finance, game):
        Channel.objects.filter(code="taptap").update(name="=1+1")
        answer = finance().get(PAGE + MARCH + "&file=finance")
        content, lines = self.read(answer)
        assert content.startswith(b"\xef\xbb\xbf")
        assert content.count(b"\r\n") == content.count(b"\n")
        assert (
            'filename="revenue-demo-production-20260301-20260331-by-channel-CNY-finance-'
            in answer["Content-Disposition"]
        )
        assert lines[0][:7] == ["渠道", "币种", "下单数", "其中已付", "付款订单数", "流水", "退款笔数"]
        assert lines[1][:9] == ["'=1+1", "CNY", "2", "2", "2", "36.00", "1", "-10.00", "26.00"]
        assert lines[3][:9] == ["合计", "CNY", "5", "4", "3", "42.00", "1", "-10.00", "32.00"]
        # A tab behind a date keeps a spreadsheet from writing it in its own way.
        foot = {line[0]: [cell.rstrip("\t") for cell in line[1:]] for line in lines if len(line) > 1}
        assert foot["期间（营业日）"] == ["2026-03-01", "2026-03-31"]
        assert foot["环境"] == ["生产"]
        assert lines[-1] == ["文件结束"]
        entry = AuditEntry.objects.filter(action="export_revenue").get()
        assert entry.label.startswith("revenue-demo-production")

    def test_for_programs(self, month, finance):
        content, lines = self.read(finance().get(PAGE + MARCH + "&group=day&file=machine"))
        assert not content.startswith(b"\xef\xbb\xbf")
        assert b"\r" not in content
        rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
        assert len(rows) == 31
        assert rows[1] == {
            "day": "2026-03-02", "currency": "CNY", "orders_made": "2", "orders_made_paid": "2", "orders_paid": "2",
            "gross_minor": "1200", "refunds": "0", "refunded_minor": "0", "net_minor": "1200", "payers": "1",
            "arppu_minor": "1200", "first_time_payers": "0", "compared_gross_minor": "0",
        }  # fmt: skip
        assert sum(int(row["gross_minor"]) for row in rows) == 4200

    def test_only_for_those_who_may_export(self, month, staff):
        browser = staff("orders.view_totals")
        assert "CSV" not in text_of(browser.get(PAGE + MARCH))
        assert browser.get(PAGE + MARCH + "&file=finance").status_code == 403


class TestWhoMaySee:
    """Totals are for those who may see totals, of the games they work for; play money never meets real money."""

    def test_a_role_without_totals_is_refused(self, month, staff):
        assert staff("orders.view_order", "orders.list_orders").get(PAGE).status_code == 403

    def test_staff_of_one_game_see_that_game_alone(self, month, game, finance):
        other = Game.objects.create(code="other", name="Other")
        Till(other).sell(NOON, amount=77700)
        browser = finance()
        assert strip_of(browser.get(PAGE + MARCH))[0] == "¥819.00"
        GameStaff.objects.create(user_id=int(browser.session["_auth_user_id"]), game=other)
        assert strip_of(browser.get(PAGE + MARCH))[0] == "¥777.00"

    def test_sandbox_is_shown_alone_and_says_so(self, month, game, finance):
        Till(game, environment="sandbox").sell(NOON, amount=123)
        browser = finance()
        assert strip_of(browser.get(PAGE + MARCH))[0] == "¥42.00"
        chosen = browser.post("/admin/scope/", {"game": str(game.pk), "environment": "sandbox", "next": PAGE + MARCH})
        assert chosen.status_code == 302
        answer = browser.get(PAGE + MARCH)
        assert strip_of(answer)[0] == "¥1.23"
        assert "sandbox, not real money" in text_of(answer)
        assert "sandbox-band" in answer.content.decode()


def test_days_of_the_fixture_are_what_the_tests_believe():
    """2026-03-02 is a Monday."""
    assert date(2026, 3, 2).weekday() == 0
