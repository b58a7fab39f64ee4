"""Calls to Alipay over real HTTP: exact parameters, nothing unsigned believed, errors that say enough."""

import json
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from channels_app.money import Money
from channels_app.providers import transport
from channels_app.providers.alipay import OFFICIAL_GATEWAY, AlipayAdapter
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    OpenRequest,
    PayKind,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RefundRequest,
    RefundStanding,
    Standing,
)
from channels_app.providers.transport import ConnectFailed
from tests import keys
from tests.providers.alipay_side import (
    ALIPAY_SN,
    AlipaySide,
    Answer,
    body_of,
    certificate_mode,
    node_of,
    refuses,
    request_parameters,
    says,
    signature,
    sn,
    succeeds,
)

NO = "20260102G0123456789ABCDEFGHJKM"
TRADE_NO = "2026010222001400000000000001"
NOTIFY = "https://pay.example.com/notify/alipay/ali1"
EXPIRES = datetime(2026, 1, 2, 20, 30, 15, tzinfo=UTC)
# Taken out of a paid answer: what only a trade has that was paid.
NO_MARKS = {"send_pay_date": ..., "receipt_amount": ..., "buyer_pay_amount": ...}


@pytest.fixture(scope="module")
def side():
    side = AlipaySide()
    yield side
    side.close()


@pytest.fixture
def alipay(side):
    side.calls.clear()
    side.complaints.clear()
    yield side
    assert side.complaints == []


@pytest.fixture(scope="module")
def adapter(side):
    return AlipayAdapter(keys.alipay_credentials(gateway=side.gateway))


def opening(method="alipay_app", **changes) -> OpenRequest:
    about = {
        "method": method,
        "attempt_no": NO,
        "due": Money(600, "CNY"),
        "subject": "60 钻石",
        "notify_url": NOTIFY,
        "expires_at": EXPIRES,
    }
    return OpenRequest(**{**about, **changes})


def refunding(**changes) -> RefundRequest:
    about = {
        "refund_no": "R1",
        "attempt_no": NO,
        "transaction_id": TRADE_NO,
        "amount": Money(200, "CNY"),
        "paid": Money(600, "CNY"),
        "reason": "player asked",
        "notify_url": NOTIFY,
    }
    return RefundRequest(**{**about, **changes})


def paid(**changes):
    fields = {
        "out_trade_no": NO,
        "trade_no": TRADE_NO,
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "6.00",
        "receipt_amount": "6.00",
        "buyer_pay_amount": "5.00",
        "send_pay_date": "2026-01-02 11:04:05",
        "buyer_logon_id": "159****5620",
    }
    return succeeds(**{name: value for name, value in {**fields, **changes}.items() if value is not ...})


def content_of(query: str) -> dict:
    return json.loads(request_parameters(query)["biz_content"])


def ask_refund(adapter):
    return adapter.query_refund(refunding())


CALLS = {
    "precreate": lambda adapter: adapter.open_payment(opening("alipay_qr")),
    "query": lambda adapter: adapter.query(AttemptRef(attempt_no=NO)),
    "close": lambda adapter: adapter.close(AttemptRef(attempt_no=NO)),
    "refund": lambda adapter: adapter.refund(refunding()),
    "query_refund": ask_refund,
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class TestOpeningAPayment:
    """The client gets exactly what Alipay's SDK, a browser or a QR code wants, always with a time limit."""

    def test_in_the_app_hands_out_a_signed_order_string_without_a_call(self, adapter, alipay):
        opened = adapter.open_payment(opening())
        assert (opened.kind, list(opened.params)) == (PayKind.SDK, ["order_string"])
        parameters = request_parameters(opened.params["order_string"])
        assert parameters["method"] == "alipay.trade.app.pay"
        assert parameters["notify_url"] == NOTIFY
        assert set(parameters) == {
            "app_id", "method", "format", "charset", "sign_type", "timestamp", "version", "biz_content",
            "notify_url", "sign",
        }  # fmt: skip
        assert json.loads(parameters["biz_content"]) == {
            "out_trade_no": NO,
            "total_amount": "6.00",
            "subject": "60 钻石",
            "time_expire": "2026-01-03 04:30:15",
            "product_code": "QUICK_MSECURITY_PAY",
        }
        assert ": " not in parameters["biz_content"]
        assert alipay.calls == []

    def test_leaves_no_character_that_a_client_sdk_could_read_twice(self, adapter):
        order_string = adapter.open_payment(opening()).params["order_string"]
        assert "+" not in order_string
        assert " " not in order_string

    @pytest.mark.parametrize(
        ("method", "wire", "product", "quits"),
        [
            ("alipay_wap", "alipay.trade.wap.pay", "QUICK_WAP_WAY", True),
            ("alipay_page", "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY", False),
        ],
    )
    def test_in_a_browser_is_an_address_of_the_gateway(self, adapter, alipay, method, wire, product, quits):
        back = "https://game.example/back?a=1&b=2"
        opened = adapter.open_payment(opening(method, inputs={"return_url": back}))
        assert (opened.kind, list(opened.params)) == (PayKind.REDIRECT, ["url"])
        address, _, query = opened.params["url"].partition("?")
        assert address == alipay.gateway
        parameters = request_parameters(query)
        assert (parameters["method"], parameters["return_url"], parameters["notify_url"]) == (
            wire,
            back,
            NOTIFY,
        )
        content = json.loads(parameters["biz_content"])
        assert (content["product_code"], content.get("quit_url")) == (product, back if quits else None)
        assert content["time_expire"] == "2026-01-03 04:30:15"
        assert alipay.calls == []

    @pytest.mark.parametrize("method", ["alipay_wap", "alipay_page"])
    def test_in_a_browser_needs_no_way_back(self, adapter, method):
        query = urlsplit(adapter.open_payment(opening(method)).params["url"]).query
        assert "return_url" not in request_parameters(query)
        assert "quit_url" not in content_of(query)

    def test_in_a_browser_stays_a_short_address_at_worst(self, adapter):
        worst = opening(
            "alipay_wap",
            subject="钻" * 500,
            inputs={"return_url": "https://game.example/?" + "&" * 233},
            attempt_no="G" * 64,
            notify_url="https://pay.example.com/" + "n" * 232,
        )
        assert len(adapter.open_payment(worst).params["url"]) < 4096

    def test_by_qr_code_asks_alipay_for_one(self, adapter, alipay):
        alipay.will(succeeds(out_trade_no=NO, qr_code="https://qr.alipay.com/bax01234"))
        opened = adapter.open_payment(opening("alipay_qr"))
        assert (opened.kind, opened.params) == (PayKind.QR, {"qr_code": "https://qr.alipay.com/bax01234"})
        (call,) = alipay.calls
        assert (call.method, call.parameters["notify_url"]) == ("alipay.trade.precreate", NOTIFY)
        assert call.content == {
            "out_trade_no": NO,
            "total_amount": "6.00",
            "subject": "60 钻石",
            "time_expire": "2026-01-03 04:30:15",
        }

    @pytest.mark.parametrize("link", ["", None, 7, "https://qr.alipay.com/a b", "https://qr.alipay.com/\n"])
    def test_by_qr_code_takes_nothing_but_a_link(self, adapter, alipay, link):
        alipay.will(succeeds(out_trade_no=NO, qr_code=link))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.open_payment(opening("alipay_qr"))

    def test_by_qr_code_takes_no_code_of_another_order(self, adapter, alipay):
        alipay.will(succeeds(out_trade_no="ANOTHER", qr_code="https://qr.alipay.com/bax01234"))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.open_payment(opening("alipay_qr"))

    @pytest.mark.parametrize(
        ("sub_code", "error"),
        [
            ("ACQ.TRADE_HAS_SUCCESS", AlreadyPaid),
            ("aop.ACQ.TRADE_HAS_SUCCESS", AlreadyPaid),
            ("ACQ.TRADE_HAS_CLOSE", AttemptUnusable),
            ("ACQ.CONTEXT_INCONSISTENT", AttemptUnusable),
            ("CONTEXT_INCONSISTENT", AttemptUnusable),
        ],
    )
    def test_of_a_spent_number_says_what_became_of_it(self, adapter, alipay, sub_code, error):
        alipay.will(refuses(sub_code))
        with pytest.raises(error) as caught:
            adapter.open_payment(opening("alipay_qr"))
        assert (type(caught.value), caught.value.code, caught.value.retryable) == (error, sub_code, False)

    @pytest.mark.parametrize(
        ("subject", "sent"),
        [
            ("a/b=c&d,e", "a b c d e"),
            ("  two \n lines\x00 ", "two lines"),
            ("/=&,", NO),
            ("", NO),
            ("钻" * 300, "钻" * 85),
            ('月卡 +30% “x"', '月卡 +30% “x"'),
        ],
    )
    def test_shows_a_subject_that_alipay_and_its_bills_can_carry(self, adapter, subject, sent):
        opened = adapter.open_payment(opening(subject=subject))
        assert content_of(opened.params["order_string"])["subject"] == sent

    @pytest.mark.parametrize(
        ("fen", "yuan"),
        [(1, "0.01"), (10, "0.10"), (600, "6.00"), (123456789, "1234567.89"), (10**10, "100000000.00")],
    )
    def test_asks_for_the_exact_amount(self, adapter, fen, yuan):
        opened = adapter.open_payment(opening(due=Money(fen, "CNY")))
        assert content_of(opened.params["order_string"])["total_amount"] == yuan

    @pytest.mark.parametrize("due", [Money(0, "CNY"), Money(10**10 + 1, "CNY"), Money(600, "USD")])
    @pytest.mark.parametrize("method", ["alipay_app", "alipay_wap", "alipay_page", "alipay_qr"])
    def test_refuses_what_alipay_does_not_take(self, adapter, alipay, method, due):
        with pytest.raises(ProviderRejected):
            adapter.open_payment(opening(method, due=due))
        assert alipay.calls == []

    def test_twice_is_the_same_order(self, adapter):
        first, second = (adapter.open_payment(opening()).params["order_string"] for _ in range(2))
        assert content_of(first) == content_of(second)


class TestAsking:
    """Only an explicit yes or no about our own number ends a payment."""

    @pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_FINISHED"])
    def test_about_a_paid_trade_gives_the_proof(self, adapter, alipay, status):
        alipay.will(paid(trade_status=status))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said) == (Standing.PAID, status)
        proof = answer.proof
        assert (proof.attempt_no, proof.transaction_id, proof.paid) == (NO, TRADE_NO, Money(600, "CNY"))
        assert proof.paid_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        (call,) = alipay.calls
        assert (call.method, call.content) == ("alipay.trade.query", {"out_trade_no": NO})
        assert "notify_url" not in call.parameters

    def test_about_a_paid_trade_without_a_pay_date_takes_this_moment(self, adapter, alipay):
        alipay.will(paid(send_pay_date=...))
        assert datetime.now(UTC) - adapter.query(AttemptRef(attempt_no=NO)).proof.paid_at < timedelta(seconds=5)

    def test_names_another_currency(self, adapter, alipay):
        alipay.will(paid(trans_currency="USD"))
        assert adapter.query(AttemptRef(attempt_no=NO)).proof.paid == Money(600, "USD")

    @pytest.mark.parametrize(
        ("fields", "standing"),
        [
            ({"trade_status": "WAIT_BUYER_PAY", "send_pay_date": ...}, Standing.WAITING),
            ({**NO_MARKS, "trade_status": "TRADE_CLOSED"}, Standing.CLOSED),
            (
                {"trade_status": "TRADE_CLOSED", "send_pay_date": "", "receipt_amount": "0.00",
                 "buyer_pay_amount": "0.00"},
                Standing.CLOSED,
            ),
            ({"trade_status": "TRADE_CLOSED", "send_pay_date": ...}, Standing.UNDECIDED),
            ({"trade_status": "TRADE_PENDING"}, Standing.UNDECIDED),
            ({"trade_status": "trade_success"}, Standing.UNDECIDED),
        ],
    )  # fmt: skip
    def test_about_an_unpaid_trade_gives_no_proof(self, adapter, alipay, fields, standing):
        alipay.will(paid(**fields))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said, answer.proof) == (standing, fields["trade_status"], None)

    def test_about_a_payment_given_back_in_full_says_that_it_was_paid(self, adapter, alipay):
        alipay.will(paid(trade_status="TRADE_CLOSED"))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said) == (Standing.PAID, "TRADE_CLOSED")
        assert answer.proof.paid == Money(600, "CNY")

    @pytest.mark.parametrize("sub_code", ["ACQ.TRADE_NOT_EXIST", "aop.ACQ.TRADE_NOT_EXIST", "TRADE_NOT_EXIST"])
    def test_about_what_no_buyer_has_opened_yet_decides_nothing(self, adapter, alipay, sub_code):
        alipay.will(refuses(sub_code))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said, answer.proof) == (Standing.UNKNOWN, sub_code, None)

    @pytest.mark.parametrize("number", [..., "", "ANOTHER", None, 7, NO.lower()])
    def test_takes_no_answer_about_another_order(self, adapter, alipay, number):
        alipay.will(paid(out_trade_no=number))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(AttemptRef(attempt_no=NO))

    @pytest.mark.parametrize(
        "changes",
        [
            {"trade_status": ...},
            {"trade_status": ["TRADE_SUCCESS"]},
            {"total_amount": ...},
            {"total_amount": "6,00"},
            {"total_amount": 6},
            {"total_amount": "0.00"},
            {"total_amount": "-6.00"},
            {"total_amount": "6.001"},
            {"total_amount": "６.00"},
            {"total_amount": "9" * 40},
            {"trade_no": ...},
            {"trade_no": "with blank s"},
            {"trade_no": "nul\x00"},
            {"send_pay_date": "yesterday"},
            {"send_pay_date": "2026-02-30 00:00:00"},
            {"send_pay_date": "0001-01-01 00:00:00"},
            {"send_pay_date": 20260102},
            {"trans_currency": "yuan"},
            {"trans_currency": ["CNY"]},
        ],
    )
    def test_takes_no_proof_that_is_not_written_as_documented(self, adapter, alipay, changes):
        alipay.will(paid(**changes))
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))


class TestClosing:
    """An attempt is unpayable only when Alipay says so."""

    def test_of_an_unpaid_trade_works(self, adapter, alipay):
        alipay.will(succeeds(out_trade_no=NO, trade_no=TRADE_NO))
        assert adapter.close(AttemptRef(attempt_no=NO)) is CloseAnswer.CLOSED
        (call,) = alipay.calls
        assert (call.method, call.content) == ("alipay.trade.close", {"out_trade_no": NO})

    def test_of_what_no_buyer_has_opened_yet_says_so(self, adapter, alipay):
        alipay.will(refuses("ACQ.TRADE_NOT_EXIST"))
        assert adapter.close(AttemptRef(attempt_no=NO)) is CloseAnswer.UNKNOWN

    @pytest.mark.parametrize(
        "sub_code",
        ["ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "aop.ACQ.REASON_ILLEGAL_STATUS"],
    )
    @pytest.mark.parametrize(
        ("trade", "answer"),
        [
            (paid(), CloseAnswer.PAID),
            (paid(trade_status="TRADE_CLOSED"), CloseAnswer.PAID),
            (
                paid(**NO_MARKS, trade_status="TRADE_CLOSED"),
                CloseAnswer.CLOSED,
            ),
            (refuses("ACQ.TRADE_NOT_EXIST"), CloseAnswer.UNKNOWN),
        ],
    )
    def test_refused_for_its_state_asks_which_state_that_is(self, adapter, alipay, sub_code, trade, answer):
        alipay.will(refuses(sub_code), trade)
        assert adapter.close(AttemptRef(attempt_no=NO)) is answer
        assert [call.method for call in alipay.calls] == ["alipay.trade.close", "alipay.trade.query"]

    def test_refused_for_its_state_and_still_waiting_is_not_closed(self, adapter, alipay):
        alipay.will(refuses("ACQ.TRADE_STATUS_ERROR"), paid(trade_status="WAIT_BUYER_PAY", send_pay_date=...))
        with pytest.raises(ProviderUnavailable):
            adapter.close(AttemptRef(attempt_no=NO))

    def test_takes_no_answer_about_another_order(self, adapter, alipay):
        alipay.will(succeeds(out_trade_no="ANOTHER"))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.close(AttemptRef(attempt_no=NO))

    def test_refused_otherwise_is_an_explicit_no(self, adapter, alipay):
        alipay.will(refuses("ACQ.INVALID_PARAMETER"))
        with pytest.raises(ProviderRejected) as caught:
            adapter.close(AttemptRef(attempt_no=NO))
        assert type(caught.value) is ProviderRejected


class TestGivingBack:
    """One refund number is one refund, and only Alipay's explicit word makes it one that happened."""

    def test_money_moved_when_alipay_says_that_funds_changed(self, adapter, alipay):
        alipay.will(
            succeeds(
                out_trade_no=NO,
                trade_no=TRADE_NO,
                fund_change="Y",
                refund_fee="5.00",  # with an earlier refund of 3.00
                gmt_refund_pay="2026-01-02 12:00:00",
            )
        )
        answer = adapter.refund(refunding())
        assert (answer.standing, answer.refund_no) == (RefundStanding.SUCCEEDED, "R1")
        assert answer.amount == Money(200, "CNY")
        assert answer.succeeded_at == datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
        (call,) = alipay.calls
        assert call.method == "alipay.trade.refund"
        assert call.content == {
            "trade_no": TRADE_NO,
            "refund_amount": "2.00",
            "out_request_no": "R1",
            "refund_reason": "player asked",
        }

    def test_is_about_our_number_while_alipays_is_unknown(self, adapter, alipay):
        alipay.will(succeeds(out_trade_no=NO, fund_change="Y", refund_fee="2.00"))
        answer = adapter.refund(refunding(transaction_id="", reason=" \n"))
        assert (answer.standing, answer.succeeded_at) == (RefundStanding.SUCCEEDED, None)
        assert alipay.calls[0].content == {
            "out_trade_no": NO,
            "refund_amount": "2.00",
            "out_request_no": "R1",
        }

    @pytest.mark.parametrize("fund_change", [{"fund_change": "N"}, {}, {"fund_change": True}])
    def test_without_a_change_of_funds_is_to_be_asked_about(self, adapter, alipay, fund_change):
        alipay.will(succeeds(out_trade_no=NO, trade_no=TRADE_NO, refund_fee="2.00", **fund_change))
        answer = adapter.refund(refunding())
        assert (answer.standing, answer.amount) == (RefundStanding.PROCESSING, None)

    @pytest.mark.parametrize("other", [{"out_trade_no": "ANOTHER"}, {"trade_no": "ANOTHER"}])
    def test_takes_no_answer_about_another_trade(self, adapter, alipay, other):
        alipay.will(succeeds(**{"out_trade_no": NO, "trade_no": TRADE_NO, "fund_change": "Y", **other}))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.refund(refunding())

    def test_with_a_garbled_time_is_not_believed(self, adapter, alipay):
        alipay.will(succeeds(out_trade_no=NO, fund_change="Y", gmt_refund_pay="soon"))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.refund(refunding())

    @pytest.mark.parametrize(
        ("sub_code", "error"),
        [
            ("ACQ.SELLER_BALANCE_NOT_ENOUGH", ProviderBusy),
            ("ACQ.DISCORDANT_REPEAT_REQUEST", ProviderRejected),
            ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", ProviderRejected),
            ("ACQ.REASON_TRADE_BEEN_FREEZEN", ProviderRejected),
            ("ACQ.TRADE_NOT_EXIST", ProviderRejected),
            ("ACQ.SYSTEM_ERROR", ProviderUnavailable),
        ],
    )
    def test_refused_says_whether_to_repeat(self, adapter, alipay, sub_code, error):
        alipay.will(refuses(sub_code))
        with pytest.raises(error) as caught:
            adapter.refund(refunding())
        assert type(caught.value) is error

    def test_asks_about_one_refund(self, adapter, alipay):
        alipay.will(
            succeeds(
                out_request_no="R1",
                out_trade_no=NO,
                trade_no=TRADE_NO,
                refund_status="REFUND_SUCCESS",
                refund_amount="2.00",
                total_amount="6.00",
                gmt_refund_pay="2026-01-02 12:00:00",
            )
        )
        answer = ask_refund(adapter)
        assert (answer.standing, answer.refund_no, answer.amount) == (
            RefundStanding.SUCCEEDED, "R1", Money(200, "CNY"),
        )  # fmt: skip
        assert answer.succeeded_at == datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
        (call,) = alipay.calls
        assert call.method == "alipay.trade.fastpay.refund.query"
        assert call.content == {
            "trade_no": TRADE_NO, "out_request_no": "R1", "query_options": ["gmt_refund_pay"],
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("fields", "standing"),
        [
            ({}, RefundStanding.UNKNOWN),
            ({"out_trade_no": NO, "trade_no": TRADE_NO}, RefundStanding.UNKNOWN),
            ({"out_request_no": "R1"}, RefundStanding.PROCESSING),
            ({"out_request_no": "R1", "refund_amount": "2.00"}, RefundStanding.SUCCEEDED),
            ({"refund_amount": "2.00"}, RefundStanding.UNKNOWN),
            ({"out_request_no": "R1", "refund_status": "REFUND_SUCCESS"}, RefundStanding.SUCCEEDED),
            (
                {"out_request_no": "R1", "refund_amount": "2.00", "refund_status": "REFUND_PROCESSING"},
                RefundStanding.PROCESSING,
            ),
            ({"out_request_no": "R1", "refund_status": "REFUND_DREAMT"}, RefundStanding.PROCESSING),
        ],
    )
    def test_happened_only_when_the_answer_says_it(self, adapter, alipay, fields, standing):
        alipay.will(succeeds(**fields))
        assert ask_refund(adapter).standing is standing

    @pytest.mark.parametrize(
        "fields",
        [
            {"out_request_no": "R2", "refund_status": "REFUND_SUCCESS"},
            {"refund_status": "REFUND_SUCCESS"},
            {"out_request_no": "R1", "out_trade_no": "ANOTHER", "refund_status": "REFUND_SUCCESS"},
            {"out_request_no": "R1", "trade_no": "ANOTHER", "refund_amount": "2.00"},
        ],
    )
    def test_is_not_proved_by_an_answer_about_another_refund(self, adapter, alipay, fields):
        alipay.will(succeeds(**fields))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            ask_refund(adapter)

    def test_of_an_unknown_trade_is_unknown(self, adapter, alipay):
        alipay.will(refuses("ACQ.TRADE_NOT_EXIST"))
        assert ask_refund(adapter).standing is RefundStanding.UNKNOWN

    def test_with_a_garbled_amount_is_not_believed(self, adapter, alipay):
        alipay.will(succeeds(out_request_no="R1", refund_status="REFUND_SUCCESS", refund_amount="two"))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            ask_refund(adapter)


class TestErrors:
    """An error says whether the call may have worked, and whether repeating it is of use."""

    @every_call
    @pytest.mark.parametrize(
        ("code", "sub_code", "error"),
        [
            ("20000", "isp.unknow-error", ProviderUnavailable),
            ("20000", "aop.unknow-error", ProviderUnavailable),
            ("20000", "", ProviderUnavailable),
            ("40004", "ACQ.SYSTEM_ERROR", ProviderUnavailable),
            ("40004", "aop.ACQ.SYSTEM_ERROR", ProviderUnavailable),
            ("40004", "SYSTEM_ERROR", ProviderUnavailable),
            ("10003", "", ProviderUnavailable),
            ("99999", "isv.of-tomorrow", ProviderUnavailable),
            ("40005", "isv.app-call-limited", ProviderBusy),
            ("20001", "aop.invalid-auth-token", ProviderRejected),
            ("40001", "isv.missing-method", ProviderRejected),
            ("40002", "isv.invalid-signature", ProviderRejected),
            ("40003", "isv.wrong-condition", ProviderRejected),
            ("40004", "ACQ.SOMETHING_ELSE", ProviderRejected),
            ("40006", "isv.insufficient-isv-permissions", ProviderRejected),
        ],
    )
    def test_are_told_apart_by_alipays_codes(self, adapter, alipay, call, code, sub_code, error):
        alipay.will(refuses(sub_code, code=code))
        with pytest.raises(error) as caught:
            call(adapter)
        assert type(caught.value) is error
        assert caught.value.code == (sub_code or code)
        assert len(alipay.calls) == 1

    @every_call
    def test_of_the_network_leave_the_result_unknown(self, adapter, alipay, call):
        def hang_up(handler):
            handler.connection.shutdown(socket.SHUT_RDWR)

        def half(handler):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)

        for raw in (hang_up, half):
            alipay.will(Answer(raw=raw))
            with pytest.raises(ProviderUnavailable):
                call(adapter)

    def test_of_a_gateway_that_is_silent_come_in_time(self, adapter, alipay, monkeypatch):
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.3)
        alipay.will(Answer(raw=lambda handler: handler.rfile.read(1)))
        with pytest.raises(ProviderUnavailable, match="read_timeout"):
            adapter.query(AttemptRef(attempt_no=NO))

    def test_of_a_gateway_that_is_away_sent_nothing(self):
        adapter = AlipayAdapter(keys.alipay_credentials())
        with pytest.raises(ConnectFailed):
            adapter.query(AttemptRef(attempt_no=NO))

    @every_call
    @pytest.mark.parametrize("status", [302, 403, 404, 429, 500, 502, 503])
    def test_of_machines_in_between_leave_the_result_unknown(self, adapter, alipay, call, status):
        whole = body_of("alipay.trade.query", '{"code":"10000"}')
        alipay.will(Answer(whole, status, {"Location": "http://127.0.0.1:9/"}))
        with pytest.raises(ProviderUnavailable, match=f"http_{status}"):
            call(adapter)

    @every_call
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>busy</html>",
            b"null",
            b"[]",
            b"{}",
            b'{"code":"10000"}',
            b'{"sign":"x"}',
            b'{"a":1,}',
            b'{"a":1 "b":2}',
            b'{"a"',
            b"{1:{}}",
            b"\xff\xfe{}",
            b'{"a":' + b"[" * 100_000,
            b'{"a":' + b"9" * 5_000 + b"}",
        ],
    )
    def test_of_a_garbled_answer_leave_the_result_unknown(self, adapter, alipay, call, body):
        alipay.will(Answer(body))
        with pytest.raises(ProviderUnavailable):
            call(adapter)

    @pytest.mark.parametrize("node", ['"base64"', "[]", "7", "null"])
    def test_of_an_answer_that_is_no_object_leave_the_result_unknown(self, adapter, alipay, node):
        alipay.will(says(node))
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))

    @pytest.mark.parametrize("code", [10000, ["10000"], None, "", {"a": 1}, True])
    def test_of_a_code_that_is_none_leave_the_result_unknown(self, adapter, alipay, code):
        alipay.will(paid(code=code))
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))


def query_node(**changes) -> str:
    """The text of a paid answer's node, to be signed as it stands."""
    fields = {
        "code": "10000", "msg": "Success", "out_trade_no": NO, "trade_no": TRADE_NO,
        "trade_status": "TRADE_SUCCESS", "total_amount": "6.00", "send_pay_date": "2026-01-02 11:04:05",
    }  # fmt: skip
    return json.dumps({**fields, **changes}, ensure_ascii=False)


class TestBelieving:
    """An answer counts only when Alipay signed the very characters of its node."""

    @pytest.mark.parametrize(
        "node",
        [
            query_node(),
            query_node(store_name="} \"{ \\ {{ }"),
            query_node(store_name='{"sign":"x"},"sign":"y"'),
            query_node(store_name="商店 🎮", fund_bill_list=[{"amount": "6.00", "x": {"y": "}"}}]),
            query_node().replace(", ", " ,\r\n\t ").replace("{", "{ ").replace("}", " }"),
            query_node().replace("Success", "\\u0053uccess\\/\\\\"),
            query_node().replace("Success", "tab\there"),
        ],
    )  # fmt: skip
    def test_takes_the_text_as_it_stands(self, adapter, alipay, node):
        alipay.will(says(node))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    def test_takes_blanks_around_the_node(self, adapter, alipay):
        node = query_node()
        body = body_of("alipay.trade.query", node).replace(b'_response":', b'_response" : \n')
        alipay.will(Answer(b" \r\n" + body + b"\n"))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    def test_takes_the_signature_before_the_node(self, adapter, alipay):
        node = query_node()
        name = node_of("alipay.trade.query")
        alipay.will(Answer(f'{{"sign":"{signature(node.encode())}","{name}":{node}}}'.encode()))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    def test_takes_slashes_that_were_escaped_after_signing(self, adapter, alipay):
        plain = query_node(store_name="a/b")
        alipay.will(says(plain.replace("/", "\\/"), signed_as=plain))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    def test_takes_a_signature_with_escaped_slashes(self, adapter, alipay):
        node = query_node()
        sign = signature(node.encode()).replace("/", "\\/")
        alipay.will(says(node, sign=sign))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    def test_takes_a_signed_gateway_error(self, adapter, alipay):
        alipay.will(refuses("isv.invalid-app-id", code="40002", name="error_response"))
        with pytest.raises(ProviderRejected, match=r"isv\.invalid-app-id"):
            adapter.query(AttemptRef(attempt_no=NO))

    @every_call
    @pytest.mark.parametrize(
        "about",
        [
            {"by": "stranger"},
            {"by": "alipay merchant"},
            {"sign": "AAAA"},
            {"sign": "not base64!"},
            {"sign": "签名"},
            {"signed_as": "{}"},
        ],
    )
    def test_refuses_another_signature(self, adapter, alipay, call, about):
        alipay.will(
            says(
                json.dumps({"code": "10000", "out_trade_no": NO, "out_request_no": "R1", "fund_change": "Y"}),
                **about,
            )
        )
        with pytest.raises(ProviderUnavailable, match="unverified_signature"):
            call(adapter)

    @every_call
    def test_refuses_an_unsigned_success(self, adapter, alipay, call):
        alipay.will(says(json.dumps({"code": "10000", "out_trade_no": NO, "fund_change": "Y"}), sign=""))
        with pytest.raises(ProviderUnavailable, match="unverified_unsigned"):
            call(adapter)

    @every_call
    @pytest.mark.parametrize("name", ["", "error_response"])
    @pytest.mark.parametrize("sub_code", ["ACQ.TRADE_NOT_EXIST", "ACQ.TRADE_HAS_CLOSE", "isv.invalid-app-id"])
    def test_takes_an_unsigned_no_for_no_answer_at_all(self, adapter, alipay, call, name, sub_code):
        alipay.will(refuses(sub_code, name=name, sign=""))
        with pytest.raises(ProviderUnavailable) as caught:
            call(adapter)
        assert (type(caught.value), caught.value.code) == (ProviderUnavailable, sub_code)

    @pytest.mark.parametrize("member", [query_node(), query_node(total_amount="0.01"), "null", '"}"'])
    @pytest.mark.parametrize("name", [node_of("alipay.trade.query"), "error_response", "sign"])
    @pytest.mark.parametrize("first", [True, False])
    def test_refuses_two_nodes_or_two_signatures(self, adapter, alipay, member, name, first):
        body = body_of("alipay.trade.query", query_node()).decode()
        second = f'"{name}":{member}'
        body = f"{{{second},{body[1:]}" if first else f"{body[:-1]},{second}}}"
        alipay.will(Answer(body.encode()))
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))

    def test_refuses_a_name_that_comes_twice_inside_the_node(self, adapter, alipay):
        alipay.will(says(query_node()[:-1] + ',"total_amount":"0.01"}'))
        with pytest.raises(ProviderUnavailable, match="answer_garbled"):
            adapter.query(AttemptRef(attempt_no=NO))

    def test_refuses_the_answer_to_another_method(self, adapter, alipay):
        alipay.will(says(query_node(), name="alipay_trade_close_response"))
        with pytest.raises(ProviderUnavailable, match="answer_node"):
            adapter.query(AttemptRef(attempt_no=NO))

    @pytest.mark.parametrize("behind", [b"x", b"{}", b",", b"\x00"])
    def test_refuses_what_follows_the_object(self, adapter, alipay, behind):
        alipay.will(Answer(body_of("alipay.trade.query", query_node()) + behind))
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))


class TestCertificateMode:
    """Requests name our certificates, and an answer names the certificate it is to be believed by."""

    @pytest.fixture
    def adapter(self, side):
        return AlipayAdapter(certificate_mode(gateway=side.gateway))

    def test_names_both_certificates_inside_the_signed_text(self, adapter, alipay):
        alipay.will(says(query_node(), cert_sn=ALIPAY_SN))
        adapter.query(AttemptRef(attempt_no=NO))
        (call,) = alipay.calls
        assert call.parameters["app_cert_sn"] == sn("alipay merchant", "Ant Class 2 R1", 77)
        assert call.parameters["alipay_root_cert_sn"] == sn("Ant Root R1", "Ant Root R1", 1)

    def test_names_them_in_what_the_client_opens_too(self, adapter):
        parameters = request_parameters(adapter.open_payment(opening()).params["order_string"])
        assert parameters["app_cert_sn"] == sn("alipay merchant", "Ant Class 2 R1", 77)

    def test_takes_the_name_of_the_certificate_between_node_and_signature(self, adapter, alipay):
        alipay.will(says(query_node(), cert_sn=ALIPAY_SN))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    def test_takes_an_answer_that_names_none(self, adapter, alipay):
        alipay.will(says(query_node()))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    @pytest.mark.parametrize("name", ["0" * 32, ALIPAY_SN.upper(), "x"])
    def test_refuses_a_certificate_it_does_not_know(self, adapter, alipay, name):
        alipay.will(says(query_node(), cert_sn=name))
        with pytest.raises(ProviderUnavailable, match="unverified_serial"):
            adapter.query(AttemptRef(attempt_no=NO))

    def test_refuses_a_signature_by_another_key(self, adapter, alipay):
        alipay.will(says(query_node(), cert_sn=ALIPAY_SN, by="stranger"))
        with pytest.raises(ProviderUnavailable, match="unverified_signature"):
            adapter.query(AttemptRef(attempt_no=NO))


class TestTheGateway:
    """Production unless the credentials name another."""

    def test_is_alipays_own(self):
        whole = keys.alipay_credentials()
        del whole["gateway"]
        opened = AlipayAdapter(whole).open_payment(opening("alipay_wap"))
        assert opened.params["url"].startswith(f"{OFFICIAL_GATEWAY}?")
        assert OFFICIAL_GATEWAY == "https://openapi.alipay.com/gateway.do"
        assert dict(parse_qsl(urlsplit(opened.params["url"]).query))["charset"] == "utf-8"


class TestFindingByTheirNumber:
    """A number that only Alipay knows is asked about; what it answers is believed as any other answer."""

    def test_asks_by_their_number(self, adapter, alipay):
        alipay.will(paid())
        answer = adapter.find(TRADE_NO)
        assert [(call.method, call.content) for call in alipay.calls] == [
            ("alipay.trade.query", {"trade_no": TRADE_NO})
        ]
        assert (answer.standing, answer.proof.attempt_no, answer.proof.transaction_id) == (Standing.PAID, NO, TRADE_NO)

    def test_that_nobody_knows(self, adapter, alipay):
        alipay.will(refuses("ACQ.TRADE_NOT_EXIST"))
        assert adapter.find(TRADE_NO).standing is Standing.UNKNOWN

    @pytest.mark.parametrize("number", [..., "", "2026", None])
    def test_takes_no_answer_about_another_trade(self, adapter, alipay, number):
        alipay.will(paid(trade_no=number))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.find(TRADE_NO)
