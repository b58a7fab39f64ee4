"""The simulator's bills, as the fact sheets describe the real ones."""

import gzip
import hashlib
import io
import zipfile
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
import requests

from tests.simulator import wire

TODAY = datetime.now(wire.CHINA).date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture
def books(new_merchant, control):
    """A merchant with two payments of yesterday, one of them partly refunded today."""

    def keep(provider):
        desk = new_merchant(provider)
        numbers = [desk.open("app", subject="60 宝石")[0] for _ in range(2)]
        for hour, number in enumerate(numbers, start=9):
            paid_at = f"{YESTERDAY}T{hour:02d}:30:00+08:00"
            control.act(desk, number, "pay", paid_at=paid_at)
        control.act(desk, numbers[0], "refund", amount=250)
        return desk, numbers

    return keep


def get_bill(desk, day: date, **query):
    path = f"/v3/bill/tradebill?bill_date={day}" + "".join(f"&{name}={value}" for name, value in query.items())
    return wire.wechat(desk.credentials, "GET", path)


def download(desk, url: str) -> bytes:
    at = urlsplit(url)
    answer = wire.wechat(desk.credentials, "GET", f"{at.path}?{at.query}")
    assert answer.status_code == 200
    assert "wechatpay-signature" not in {name.lower() for name in answer.headers}
    return answer.content


def rows(content: bytes) -> tuple[list[str], list[list[str]], list[str], list[str]]:
    """Header, details, summary header, summary of a WeChat Pay bill."""
    lines = content.decode().split("\r\n")
    assert lines.pop() == ""
    split = [line[1:].split(",`") if line.startswith("`") else line.split(",") for line in lines]
    return split[0], split[1:-2], split[-2], split[-1]


class TestWechatPay:
    """The trade bill: 27, 20 or 29 columns, back-ticks, a summary that adds up."""

    def test_a_days_payments_are_listed_and_summed_up(self, books):
        desk, numbers = books("wechatpay")
        answer = get_bill(desk, YESTERDAY)
        assert wire.wechat_answer_is_signed(desk.credentials, answer)
        content = download(desk, answer.json()["download_url"])
        assert hashlib.sha1(content, usedforsecurity=False).hexdigest() == answer.json()["hash_value"]
        header, details, summary_header, summary = rows(content)
        assert len(header) == 27
        listed = [dict(zip(header, line, strict=True)) for line in details]
        assert [line["商户订单号"] for line in listed] == numbers
        assert {(line["订单金额"], line["交易状态"], line["微信退款单号"]) for line in listed} == {
            ("6.00", "SUCCESS", "0")
        }
        assert listed[0]["交易时间"] == f"{YESTERDAY} 09:30:00"
        totals = dict(zip(summary_header, summary, strict=True))
        assert (totals["总交易单数"], totals["订单总金额"], totals["申请退款总金额"]) == ("2", "12.00", "0.00")
        assert Decimal(totals["手续费总金额"]) == sum(Decimal(line["手续费"]) for line in listed)

    def test_a_refund_stands_on_the_day_it_was_accepted(self, books, control):
        desk, numbers = books("wechatpay")
        assert get_bill(desk, TODAY).json()["code"] == "STATEMENT_CREATING"
        control.post(f"merchants/wechatpay/{desk.code}", bills_at_once=True)
        header, (line,), _, _ = rows(download(desk, get_bill(desk, TODAY).json()["download_url"]))
        refund = dict(zip(header, line, strict=True))
        assert (refund["商户订单号"], refund["交易状态"], refund["申请退款金额"]) == (numbers[0], "REFUND", "2.50")
        assert refund["订单金额"] == "0.00"
        assert Decimal(refund["手续费"]) < 0

    def test_each_kind_has_its_columns(self, books, control):
        desk, _ = books("wechatpay")
        control.post(f"merchants/wechatpay/{desk.code}", bills_at_once=True)
        header, details, summary_header, _ = rows(
            download(desk, get_bill(desk, YESTERDAY, bill_type="SUCCESS").json()["download_url"])
        )
        assert (len(header), len(details), len(summary_header)) == (20, 2, 4)
        header, details, _, _ = rows(download(desk, get_bill(desk, TODAY, bill_type="REFUND").json()["download_url"]))
        assert (len(header), len(details)) == (29, 1)
        assert header[14:16] == ["退款申请时间", "退款成功时间"]

    def test_packed_it_is_the_same_file_and_the_hash_is_of_the_unpacked_one(self, books):
        desk, _ = books("wechatpay")
        answer = get_bill(desk, YESTERDAY, tar_type="GZIP").json()
        content = gzip.decompress(download(desk, answer["download_url"]))
        assert hashlib.sha1(content, usedforsecurity=False).hexdigest() == answer["hash_value"]

    def test_a_day_without_trade_has_none_and_another_merchant_gets_none(self, books, wechat):
        desk, _ = books("wechatpay")
        assert get_bill(desk, YESTERDAY - timedelta(days=9)).json()["code"] == "NO_STATEMENT_EXIST"
        at = urlsplit(get_bill(desk, YESTERDAY).json()["download_url"])
        assert wire.wechat(wechat.credentials, "GET", f"{at.path}?{at.query}").status_code == 404
        assert requests.get(f"{desk.credentials['base_url']}{at.path}?{at.query}", timeout=10).status_code == 401


class TestAlipay:
    """A ZIP of GBK files with GBK names, comments around 25 columns."""

    METHOD = "alipay.data.dataservice.bill.downloadurl.query"

    def _fetch(self, desk, day):
        terms = {"bill_type": "trade", "bill_date": str(day)}
        return wire.alipay(desk.credentials, self.METHOD, terms)

    def test_a_days_trade_is_in_the_detail_file(self, books, control):
        desk, numbers = books("alipay")
        control.post(f"merchants/alipay/{desk.code}", bills_at_once=True)
        listed = {}
        for day in (YESTERDAY, TODAY):
            packed = requests.get(self._fetch(desk, day)["bill_download_url"], timeout=10).content
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                names = {info.filename.encode("cp437").decode("gbk"): info for info in archive.infolist()}
                assert all(not info.flag_bits & 0x800 for info in names.values())
                (detail,) = [name for name in names if name.endswith("业务明细.csv")]
                assert any(name.endswith("业务明细(汇总).csv") for name in names)
                listed[day] = archive.read(names[detail]).decode("gb18030").split("\r\n")
        lines = listed[YESTERDAY]
        assert lines[0] == "#支付宝业务明细查询"
        assert any(line.startswith("#") and "列表结束" in line for line in lines)
        assert any("交易合计：2笔，商家实收共12.00元" in line for line in lines)
        header, *details = [line.split(",") for line in lines if line and not line.startswith("#")]
        assert [len(line) for line in (header, *details)] == [25] * 3
        found = [dict(zip(header, [value.strip() for value in line], strict=True)) for line in details]
        assert [(line["商户订单号"], line["业务类型"], line["订单金额（元）"]) for line in found] == [
            (number, "交易", "6.00") for number in numbers
        ]
        refund = [line.split(",") for line in listed[TODAY] if line and not line.startswith("#")][1]
        about = dict(zip(header, [value.strip() for value in refund], strict=True))
        assert (about["业务类型"], about["订单金额（元）"], about["商户订单号"]) == ("退款", "-2.50", numbers[0])
        assert about["退款批次号/请求号"].startswith("BACKOFFICE")

    def test_today_is_not_there_yet_and_an_empty_day_never(self, books):
        desk, _ = books("alipay")
        for day in (TODAY, YESTERDAY - timedelta(days=9)):
            assert self._fetch(desk, day)["sub_code"] == "isp.BILL_NOT_EXIST"


class TestControl:
    """A person can have any day's file without asking as a merchant."""

    @pytest.mark.parametrize("provider", ["wechatpay", "alipay"])
    def test_the_list_leads_to_the_file(self, books, simulator, provider):
        desk, _ = books(provider)
        listed = requests.get(f"{simulator.url}/control/bills/{provider}?date={YESTERDAY}", timeout=10).json()
        (mine,) = [each for each in listed["bills"] if each["merchant"] == desk.code]
        assert mine["lines"] == 2
        assert requests.get(simulator.url + mine["download"], timeout=10).status_code == 200
        assert requests.get(f"{simulator.url}/control/bills/{provider}?date=soon", timeout=10).status_code == 400
