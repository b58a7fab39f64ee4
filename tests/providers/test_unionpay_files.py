"""UnionPay's settlement file: asked for by clearing day, unpacked with a limit, every line read or the file refused."""

import base64
import zlib
from datetime import UTC, date, datetime

import pytest

from channels_app.money import Money
from channels_app.providers import unionpay_files
from channels_app.providers.base import ProviderRejected, ProviderUnavailable
from channels_app.providers.unionpay import UnionPayAdapter
from channels_app.providers.unionpay_files import SettledLine, read_lines
from channels_app.providers.unionpay_wire import Malformed
from tests.providers.unionpay_side import (
    Answer,
    UnionPaySide,
    beijing,
    credentials,
    deflated,
    file_content,
    says,
    zm_line,
)

NO = "20260102G0123456789ABCDEFGHJKM"
DAY = date(2026, 1, 2)
CONSUME = zm_line(NO)
REFUND = zm_line(
    "R20260103000001", c1="S30", c7="000000000200", c16="C000000000001", c17="D000000000199", c20="04", c21="00",
    c27="202601021104051234567",
)  # fmt: skip


@pytest.fixture(scope="module")
def side():
    side = UnionPaySide()
    yield side
    side.close()


@pytest.fixture
def unionpay(side):
    side.calls.clear()
    side.complaints.clear()
    yield side
    assert side.complaints == []


@pytest.fixture(scope="module")
def adapter(side):
    return UnionPayAdapter(credentials(base_url=side.url), live=False)


def giving(content: str, **changes):
    return says("00", fileName="INN26010288.zip", fileContent=content, **changes)


class TestTheFile:
    """A clearing day's transactions are fetched with one signed call."""

    def test_is_asked_for_by_day_and_read(self, adapter, unionpay):
        unionpay.will(giving(file_content(CONSUME, REFUND)))
        file = adapter.settlement_file(DAY)
        assert (file.day, file.name, len(file.lines)) == (DAY, "INN26010288.zip", 2)
        assert file.content.startswith(b"PK")
        (call,) = unionpay.calls
        asked = {name: call.fields[name] for name in ("txnType", "txnSubType", "bizType", "settleDate", "fileType")}
        assert (call.path, asked) == (
            "/",
            {"txnType": "76", "txnSubType": "01", "bizType": "000000", "settleDate": "0102", "fileType": "00"},
        )
        assert call.fields["txnTime"][:8] == beijing(datetime.now(UTC))[:8]
        assert "orderId" not in call.fields

    def test_that_does_not_exist_is_none(self, adapter, unionpay):
        unionpay.will(says("98"))
        assert adapter.settlement_file(DAY) is None

    def test_that_is_refused_says_so(self, adapter, unionpay):
        unionpay.will(says("32"))
        with pytest.raises(ProviderRejected, match="32"):
            adapter.settlement_file(DAY)

    def test_may_be_larger_than_any_other_answer(self, adapter, unionpay, monkeypatch):
        monkeypatch.setattr("channels_app.providers.transport.ANSWER_LIMIT_BYTES", 1000)
        unionpay.will(giving(file_content(CONSUME)))
        assert len(adapter.settlement_file(DAY).lines) == 1

    @pytest.mark.parametrize(
        ("content", "step"),
        [
            (..., "file_size"),
            ("not base64", "file_packing"),
            (base64.b64encode(b"not deflated").decode(), "file_packing"),
            (base64.b64encode(zlib.compress(b"x" * 5000)[:-8]).decode(), "file_size"),
            (deflated(b"no ZIP"), "file_packing"),
            (deflated(base64.b64decode(file_content(CONSUME))), "file_packing"),
            (file_content(CONSUME, name="some other member"), "file_packing"),
            (file_content(CONSUME[:-1]), "file_line"),
        ],
    )
    def test_that_is_damaged_is_not_taken_for_an_empty_one(self, adapter, unionpay, content, step):
        unionpay.will(giving(content))
        with pytest.raises(ProviderUnavailable, match=f"answer_{step}"):
            adapter.settlement_file(DAY)

    def test_that_swells_is_given_up_at_the_limit(self, adapter, unionpay, monkeypatch):
        monkeypatch.setattr(unionpay_files, "INFLATED_LIMIT_BYTES", 100_000)
        for bomb in (deflated(b"\0" * 5_000_000), file_content(b"\0" * 200_000)):
            assert len(bomb) < 10_000
            unionpay.will(giving(bomb))
            with pytest.raises(ProviderUnavailable, match="answer_file_size"):
                adapter.settlement_file(DAY)

    def test_without_a_body_is_no_answer(self, adapter, unionpay):
        for answer in (Answer(b""), Answer(b"", 500)):
            unionpay.will(answer)
            with pytest.raises(ProviderUnavailable):
                adapter.settlement_file(DAY)


class TestALine:
    """Columns are cut by bytes, amounts are fen with a direction, times get the year of their day."""

    @staticmethod
    def read(*lines: bytes, day=DAY) -> list[SettledLine]:
        return list(read_lines(b"".join(line + b"\r\n" for line in lines), day=day))

    def test_of_a_payment(self):
        assert self.read(CONSUME) == [
            SettledLine(
                kind="S56", transaction_id="202601021104051234567", attempt_no=NO, original_transaction_id="",
                txn_type="01", trace_no="123456", traced_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                amount=Money(600, "CNY"), fee=Money(-4, "CNY"), settled=Money(596, "CNY"),
                account="6226********0048", note="bm90ZQ==",
            )
        ]  # fmt: skip

    def test_of_a_refund_turns_the_signs_and_names_the_payment(self):
        (line,) = self.read(REFUND)
        assert (line.txn_type, line.attempt_no, line.original_transaction_id) == (
            "04", "R20260103000001", "202601021104051234567",
        )  # fmt: skip
        assert (line.amount, line.fee, line.settled) == (Money(200, "CNY"), Money(1, "CNY"), Money(-199, "CNY"))

    def test_has_607_bytes_of_gbk_whatever_its_characters(self):
        line = zm_line(NO, c31="某" * 16)
        assert len(line) == 607
        assert len(line.decode("gbk")) == 591
        assert self.read(line)[0].attempt_no == NO

    @pytest.mark.parametrize(("text", "fen"), [("", 0), ("0" * 12, 0), ("D000000000010", -10), ("C000000000010", 10)])
    def test_without_a_direction_has_no_amount(self, text, fen):
        assert self.read(zm_line(NO, c16=text))[0].fee.amount_minor == fen

    @pytest.mark.parametrize(
        ("text", "day", "year"),
        [("1231235959", date(2026, 1, 1), 2025), ("0101000001", date(2026, 1, 1), 2026), ("1231110000", date(2025, 12, 31), 2025)],
    )  # fmt: skip
    def test_gets_the_year_of_its_day_around_new_year(self, text, day, year):
        (line,) = self.read(zm_line(NO, c5=text), day=day)
        assert beijing(line.traced_at) == f"{year}{text}"

    @pytest.mark.parametrize(
        "line",
        [
            CONSUME[:-1],
            CONSUME + b" ",
            CONSUME[:3] + b"x" + CONSUME[4:],
            CONSUME.replace(b"bm90ZQ==", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
            CONSUME.replace("某某".encode("gbk"), b"\x81 \x81 "),
            zm_line(NO, c7="00000000600X"),
            zm_line(NO, c7=""),
            zm_line(NO, c16="X000000000004"),
            zm_line(NO, c17="000000000596"),
            zm_line(NO, c5="1332110405"),
        ],
    )
    def test_that_is_not_as_documented_stops_the_reading(self, line):
        with pytest.raises(Malformed, match="line 2"):
            self.read(CONSUME, line)
