"""Calls to UnionPay over real HTTP: exact fields, nothing unsigned believed, codes that decide only what they decide."""

import socket
from datetime import UTC, datetime, timedelta, timezone

import pytest

from channels_app.money import Money
from channels_app.providers import transport
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    OpenRequest,
    PayKind,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RefundRequest,
    RefundStanding,
    Standing,
)
from channels_app.providers.transport import ConnectFailed
from channels_app.providers.unionpay import GATEWAY, UnionPayAdapter
from tests.providers.unionpay_side import (
    CERT_ID,
    MER_ID,
    Answer,
    UnionPaySide,
    beijing,
    certificate,
    credentials,
    joined,
    leaf,
    pem,
    request_fields,
    says,
    sealed,
    tells,
)

NO = "20260102G0123456789ABCDEFGHJKM"
QUERY_ID = "202601021104051234567"
REFUND_NO = "R20260103000001"
NOTIFY = "https://pay.example.com/notify/unionpay/up1"
BACK = "https://pay.example.com/checkout/N?token=a.b-c&back=1"
NOW = datetime.now(UTC)
JUST_NOW = NOW - timedelta(seconds=30)
SOON, LONG_AGO = NOW + timedelta(minutes=30), NOW - timedelta(days=1)
BACK_END, APP, QUERIES = (f"/gateway/api/{name}.do" for name in ("backTransReq", "appTransReq", "queryTrans"))


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


def opening(method="unionpay_gateway", **changes) -> OpenRequest:
    about = {
        "method": method, "attempt_no": NO, "due": Money(600, "CNY"), "subject": " 60 钻石 & {赠品=6} ",
        "notify_url": NOTIFY, "expires_at": SOON, "opened_at": JUST_NOW, "inputs": {"return_url": BACK},
    }  # fmt: skip
    return OpenRequest(**{**about, **changes})


def refunding(**changes) -> RefundRequest:
    about = {
        "refund_no": REFUND_NO, "attempt_no": NO, "transaction_id": QUERY_ID, "amount": Money(200, "CNY"),
        "paid": Money(600, "CNY"), "reason": "player asked", "notify_url": NOTIFY, "requested_at": JUST_NOW,
    }  # fmt: skip
    return RefundRequest(**{**about, **changes})


def attempt(**changes) -> AttemptRef:
    return AttemptRef(**{"attempt_no": NO, "opened_at": JUST_NOW, "expires_at": SOON, **changes})


WAITS, OVER = attempt(), attempt(opened_at=LONG_AGO, expires_at=NOW - timedelta(minutes=1))
CALLS = {
    "tn": lambda adapter: adapter.open_payment(opening("unionpay_app")),
    "query": lambda adapter: adapter.query(WAITS),
    "close": lambda adapter: adapter.close(WAITS),
    "refund": lambda adapter: adapter.refund(refunding()),
    "undo": lambda adapter: adapter.undo(refunding(amount=Money(600, "CNY"))),
    "query_refund": lambda adapter: adapter.query_refund(refunding()),
    "settlement_file": lambda adapter: adapter.settlement_file(LONG_AGO.date()),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class TestOpeningInTheBrowser:
    """The browser gets exactly the form that it has to post, signed, and the same one again."""

    def test_hands_out_the_whole_form_without_a_call(self, adapter, unionpay, side):
        opened = adapter.open_payment(opening())
        assert (opened.kind, set(opened.params)) == (PayKind.FORM, {"action", "fields"})
        assert opened.params["action"] == f"{side.url}/gateway/api/frontTransReq.do"
        fields = request_fields(dict(opened.params["fields"]))
        del fields["signature"]
        assert fields == {
            "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "certId": CERT_ID, "accessType": "0",
            "merId": MER_ID, "txnType": "01", "txnSubType": "01", "bizType": "000201", "channelType": "07",
            "orderId": NO, "txnTime": beijing(JUST_NOW), "payTimeout": beijing(SOON), "txnAmt": "600",
            "currencyCode": "156", "backUrl": NOTIFY, "frontUrl": BACK,
            "riskRateInfo": "{commodityName=60 钻石 赠品 6}",
        }  # fmt: skip
        assert unionpay.calls == []

    def test_again_is_the_same_form(self, adapter):
        assert adapter.open_payment(opening()) == adapter.open_payment(opening())

    def test_at_a_live_account_goes_to_unionpay(self):
        live = UnionPayAdapter(credentials(base_url=...))
        assert live.open_payment(opening()).params["action"] == f"{GATEWAY}/gateway/api/frontTransReq.do"

    def test_writes_beijing_time_whatever_the_clock(self, adapter):
        elsewhere = timezone(timedelta(hours=-5))
        opened = adapter.open_payment(opening(expires_at=datetime(2030, 1, 1, 12, tzinfo=elsewhere)))
        assert opened.params["fields"]["payTimeout"] == "20300102010000"

    def test_signs_values_as_unionpay_will_strip_them(self, adapter):
        padded = adapter.open_payment(opening(inputs={"return_url": f" {BACK} "}))
        assert request_fields(dict(padded.params["fields"]))["frontUrl"] == BACK

    def test_needs_a_name_for_nothing(self, adapter):
        assert "riskRateInfo" not in adapter.open_payment(opening(subject="{&}")).params["fields"]

    @pytest.mark.parametrize("due", [Money(0, "CNY"), Money(-1, "CNY"), Money(10**12, "CNY"), Money(600, "USD")])
    @pytest.mark.parametrize("method", ["unionpay_gateway", "unionpay_app"])
    def test_of_what_unionpay_does_not_take_is_refused_here(self, adapter, unionpay, method, due):
        with pytest.raises(ProviderRejected, match="amount_not_taken"):
            adapter.open_payment(opening(method, due=due))
        assert unionpay.calls == []

    @pytest.mark.parametrize("number", ["1234567", "A" * 41, "has-hyphen", "has_line", "Ａ2345678", ""])
    def test_under_a_number_that_unionpay_does_not_take_is_refused_here(self, adapter, number):
        with pytest.raises(ProviderRejected, match="number_not_taken"):
            adapter.open_payment(opening(attempt_no=number))

    @pytest.mark.parametrize("method", ["unionpay_gateway", "unionpay_app"])
    def test_so_late_that_its_time_is_not_current_takes_a_new_number(self, adapter, unionpay, method):
        with pytest.raises(AttemptUnusable, match="txn_time_passed"):
            adapter.open_payment(opening(method, opened_at=NOW - timedelta(minutes=11)))
        assert unionpay.calls == []
        adapter.open_payment(opening(opened_at=NOW - timedelta(minutes=9)))


class TestOpeningInTheApp:
    """The app gets the number that UnionPay gives out for the payment."""

    def test_hands_out_the_tn_and_keeps_it(self, adapter, unionpay):
        unionpay.will(says("00", tn="851234567890123456701"))
        opened = adapter.open_payment(opening("unionpay_app"))
        assert (opened.kind, opened.params, opened.handle) == (
            PayKind.SDK, {"tn": "851234567890123456701"}, "851234567890123456701",
        )  # fmt: skip
        (call,) = unionpay.calls
        assert (call.path, call.fields["channelType"], call.fields["txnTime"]) == (APP, "08", beijing(JUST_NOW))
        assert "frontUrl" not in call.fields

    @pytest.mark.parametrize("tn", [..., "", "a tn", "9" * 65])
    def test_without_a_tn_in_the_answer_is_not_opened(self, adapter, unionpay, tn):
        unionpay.will(says("00", tn=tn))
        with pytest.raises(ProviderUnavailable):
            adapter.open_payment(opening("unionpay_app"))

    @pytest.mark.parametrize(
        ("answer", "error"), [(tells("00"), AlreadyPaid), (tells("05"), AttemptUnusable), (says("34"), AttemptUnusable)]
    )
    def test_twice_is_paid_already_or_needs_a_new_number(self, adapter, unionpay, answer, error):
        unionpay.will(says("12"), answer)
        with pytest.raises(error):
            adapter.open_payment(opening("unionpay_app"))
        assert [call.path for call in unionpay.calls] == [APP, QUERIES]


class TestAsking:
    """What became of a payment is told by its own code; the query's code only says whether there is an answer."""

    def test_about_a_paid_one_proves_it(self, adapter, unionpay):
        unionpay.will(tells(traceTime=beijing(NOW)[4:]))
        answer = adapter.query(WAITS)
        assert (answer.standing, answer.said) == (Standing.PAID, "00")
        proof = answer.proof
        assert (proof.attempt_no, proof.transaction_id, proof.paid) == (NO, QUERY_ID, Money(600, "CNY"))
        assert proof.paid_at == NOW.replace(microsecond=0)
        assert proof.opened_at == JUST_NOW.replace(microsecond=0)
        assert not proof.review
        (call,) = unionpay.calls
        assert call.path == QUERIES
        del call.fields["signature"]
        assert call.fields == {
            "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "certId": CERT_ID, "accessType": "0",
            "merId": MER_ID, "txnType": "00", "txnSubType": "00", "bizType": "000201", "orderId": NO,
            "txnTime": beijing(JUST_NOW),
        }  # fmt: skip

    @pytest.mark.parametrize("code", ["42", "74", "75"])
    @pytest.mark.parametrize("of", [WAITS, OVER], ids=["waiting", "over"])
    def test_about_money_that_unionpay_is_not_sure_of_leaves_it_to_a_person(self, adapter, unionpay, code, of):
        unionpay.will(tells(code))
        answer = adapter.query(of)
        assert (answer.standing, answer.said) == (Standing.PAID, code)
        assert code in answer.proof.review

    @pytest.mark.parametrize(
        ("code", "before", "after"),
        [
            ("A6", Standing.PAID, Standing.PAID),
            ("05", Standing.WAITING, Standing.UNDECIDED),
            ("70", Standing.WAITING, Standing.UNDECIDED),
            ("03", Standing.UNDECIDED, Standing.UNDECIDED),
            ("04", Standing.UNDECIDED, Standing.UNDECIDED),
            ("01", Standing.WAITING, Standing.CLOSED),
            ("30", Standing.WAITING, Standing.CLOSED),
            ("64", Standing.WAITING, Standing.CLOSED),
            ("77", Standing.WAITING, Standing.CLOSED),
            ("34", Standing.UNKNOWN, Standing.CLOSED),
            ("ZZ", Standing.UNDECIDED, Standing.UNDECIDED),
            ("0", Standing.UNDECIDED, Standing.UNDECIDED),
            ("000", Standing.UNDECIDED, Standing.UNDECIDED),
            (..., Standing.UNDECIDED, Standing.UNDECIDED),
        ],
    )
    def test_decides_nothing_but_success_before_the_time_is_over(self, adapter, unionpay, code, before, after):
        unionpay.will(tells(origRespCode=code))
        assert [adapter.query(each).standing for each in (WAITS, OVER)] == [before, after]
        assert adapter.query(attempt(expires_at=None)).standing == before

    def test_about_what_unionpay_does_not_know_is_final_only_when_its_time_is_over(self, adapter, unionpay):
        unionpay.will(says("34"))
        assert [adapter.query(each).standing for each in (WAITS, OVER)] == [Standing.UNKNOWN, Standing.CLOSED]

    def test_about_an_attempt_that_was_never_opened_asks_nobody(self, adapter, unionpay):
        assert adapter.query(AttemptRef(attempt_no=NO)).standing == Standing.UNKNOWN
        assert adapter.close(AttemptRef(attempt_no=NO)) == CloseAnswer.UNKNOWN
        assert unionpay.calls == []

    @pytest.mark.parametrize("changes", [{"orderId": "20260102G0123456789ABCDEFGHJKN"}, {"orderId": ...},
                                         {"txnTime": "20260102110302"}, {"txnTime": ...}, {"txnType": "04"},
                                         {"txnType": "31"}, {"merId": "898340183980106"}, {"merId": ...}])  # fmt: skip
    def test_believes_no_answer_to_another_question(self, adapter, unionpay, changes):
        unionpay.will(tells(**changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(WAITS)

    @pytest.mark.parametrize("changes", [{"orderId": "20260102G0123456789ABCDEFGHJKN"}, {"txnTime": "20260102110302"},
                                         {"merId": "898340183980106"}])  # fmt: skip
    def test_believes_no_refusal_of_another_question(self, adapter, unionpay, changes):
        unionpay.will(says("34", **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(OVER)

    @pytest.mark.parametrize("changes", [{"txnAmt": ...}, {"txnAmt": "6.00"}, {"txnAmt": "0"}, {"txnAmt": "-600"},
                                         {"txnAmt": "６00"}, {"txnAmt": "6e2"}, {"txnAmt": "1" * 13}, {"queryId": ...},
                                         {"queryId": "has blank"}])  # fmt: skip
    def test_takes_no_money_that_cannot_be_read(self, adapter, unionpay, changes):
        unionpay.will(tells(**changes))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.query(WAITS)

    @pytest.mark.parametrize(("currency", "is_called"), [("156", "CNY"), (..., "CNY"), ("840", "XXX"), ("", "CNY")])
    def test_in_another_currency_is_no_yuan(self, adapter, unionpay, currency, is_called):
        unionpay.will(tells(currencyCode=currency))
        assert adapter.query(WAITS).proof.paid == Money(600, is_called)

    @pytest.mark.parametrize(
        ("opened", "traced", "paid_at"),
        [
            # Of a year that the time does not name: the one nearest to when it was opened.
            (datetime(2025, 12, 31, 15, 50, tzinfo=UTC), "0101000105", datetime(2025, 12, 31, 16, 1, 5, tzinfo=UTC)),
            (datetime(2025, 12, 31, 16, 0, 1, tzinfo=UTC), "1231235959", datetime(2025, 12, 31, 15, 59, 59, tzinfo=UTC)),
            (datetime(2024, 2, 29, 3, tzinfo=UTC), "0229110005", datetime(2024, 2, 29, 3, 0, 5, tzinfo=UTC)),
            (datetime(2026, 1, 2, 3, tzinfo=UTC), ..., datetime(2026, 1, 2, 3, tzinfo=UTC)),
            (datetime(2026, 1, 2, 3, tzinfo=UTC), "1301000000", datetime(2026, 1, 2, 3, tzinfo=UTC)),
        ],
    )  # fmt: skip
    def test_tells_the_time_of_payment_with_its_year(self, adapter, unionpay, opened, traced, paid_at):
        unionpay.will(tells(traceTime=traced))
        assert adapter.query(attempt(opened_at=opened)).proof.paid_at == paid_at

    def test_by_unionpays_own_number_is_not_possible(self, adapter, unionpay):
        with pytest.raises(ProviderRejected):
            adapter.find(QUERY_ID)
        assert unionpay.calls == []


class TestClosing:
    """UnionPay closes nothing: a payment is over when UnionPay says so after its time."""

    @pytest.mark.parametrize(
        ("answer", "before", "after"),
        [
            (tells("00"), CloseAnswer.PAID, CloseAnswer.PAID),
            (tells("42"), CloseAnswer.PAID, CloseAnswer.PAID),
            (tells("05"), CloseAnswer.CANNOT, CloseAnswer.CANNOT),
            (tells("30"), CloseAnswer.CANNOT, CloseAnswer.CLOSED),
            (tells("ZZ"), CloseAnswer.CANNOT, CloseAnswer.CANNOT),
            (says("34"), CloseAnswer.UNKNOWN, CloseAnswer.CLOSED),
        ],
    )
    def test_asks_and_says_what_was_said(self, adapter, unionpay, answer, before, after):
        unionpay.will(answer)
        assert [adapter.close(each) for each in (WAITS, OVER)] == [before, after]
        assert {call.path for call in unionpay.calls} == {QUERIES}


class TestRefunding:
    """A refund has a number and a time of its own, and happens once however often it is asked for."""

    def test_asks_for_it_and_is_told_that_it_was_accepted(self, adapter, unionpay):
        unionpay.will(says("00", queryId="202601031104057654321"))
        answer = adapter.refund(refunding())
        assert (answer.standing, answer.said, answer.refund_no, answer.provider_refund_id, answer.amount) == (
            RefundStanding.PROCESSING, "00", REFUND_NO, "202601031104057654321", Money(200, "CNY"),
        )  # fmt: skip
        (call,) = unionpay.calls
        del call.fields["signature"]
        assert (call.path, call.fields) == (
            BACK_END,
            {
                "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "certId": CERT_ID, "accessType": "0",
                "merId": MER_ID, "txnType": "04", "txnSubType": "00", "bizType": "000201", "channelType": "07",
                "orderId": REFUND_NO, "txnTime": beijing(JUST_NOW), "txnAmt": "200", "currencyCode": "156",
                "origQryId": QUERY_ID, "backUrl": NOTIFY,
            },
        )  # fmt: skip

    def test_that_was_asked_for_before_is_asked_about(self, adapter, unionpay):
        unionpay.will(says("12"), tells("00", txnType="04", txnAmt="200"))
        assert adapter.refund(refunding()).standing == RefundStanding.SUCCEEDED
        assert [call.path for call in unionpay.calls] == [BACK_END, QUERIES]

    @pytest.mark.parametrize("code", ["30", "34", "35", "36", "45", "46", "31"])
    def test_that_is_refused_says_so(self, adapter, unionpay, code):
        unionpay.will(says(code))
        with pytest.raises(ProviderRejected, match=code):
            adapter.refund(refunding())

    @pytest.mark.parametrize("code", ["03", "04", "05", "99", "ZZ"])
    def test_of_an_unknown_result_is_unknown(self, adapter, unionpay, code):
        unionpay.will(says(code))
        with pytest.raises(ProviderUnavailable, match=code):
            adapter.refund(refunding())

    @pytest.mark.parametrize("changes", [{"orderId": NO}, {"txnAmt": "201"}, {"origQryId": "1"}, {"txnTime": ...}])
    def test_believes_no_answer_about_another(self, adapter, unionpay, changes):
        unionpay.will(says("00", **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.refund(refunding())

    def test_too_late_for_its_time_is_asked_about_and_never_sent(self, adapter, unionpay):
        unionpay.will(tells("00", txnType="04", txnAmt="200"))
        answer = adapter.refund(refunding(requested_at=NOW - timedelta(minutes=11)))
        assert answer.standing == RefundStanding.SUCCEEDED
        assert [call.path for call in unionpay.calls] == [QUERIES]

    def test_that_has_never_arrived_takes_a_new_number_once_that_is_certain(self, adapter, unionpay):
        unionpay.will(says("34"))
        with pytest.raises(ProviderUnavailable, match="txn_time_passed"):
            adapter.refund(refunding(requested_at=NOW - timedelta(minutes=11)))
        with pytest.raises(ProviderRejected, match="txn_time_passed"):
            adapter.refund(refunding(requested_at=NOW - timedelta(minutes=31)))
        assert {call.path for call in unionpay.calls} == {QUERIES}

    @pytest.mark.parametrize("number", ["R1", "R-20260103-1", "R" * 41])
    def test_under_a_number_that_unionpay_does_not_take_is_refused_here(self, adapter, unionpay, number):
        for ask in (adapter.refund, adapter.query_refund):
            with pytest.raises(ProviderRejected, match="number_not_taken"):
                ask(refunding(refund_no=number))
        assert unionpay.calls == []

    @pytest.mark.parametrize(
        ("answer", "standing"),
        [
            (tells("A6", txnType="04", txnAmt="200"), RefundStanding.SUCCEEDED),
            (tells("05", txnType="04", txnAmt="200"), RefundStanding.PROCESSING),
            (tells("ZZ", txnType="04", txnAmt=...), RefundStanding.PROCESSING),
            (tells(origRespCode=..., txnType="04", txnAmt="200"), RefundStanding.PROCESSING),
            (tells("36", txnType="04", txnAmt="200"), RefundStanding.CLOSED),
            (tells("75", txnType="04", txnAmt="200"), RefundStanding.ABNORMAL),
            (says("34"), RefundStanding.UNKNOWN),
        ],
    )
    def test_stands_where_the_query_says(self, adapter, unionpay, answer, standing):
        unionpay.will(answer)
        told = adapter.query_refund(refunding())
        assert told.standing == standing
        assert (told.succeeded_at is not None) == (standing == RefundStanding.SUCCEEDED)
        (call,) = unionpay.calls
        assert (call.fields["orderId"], call.fields["txnTime"]) == (REFUND_NO, beijing(JUST_NOW))

    @pytest.mark.parametrize("changes", [{"txnType": "01", "txnAmt": "200"}, {"txnType": "04", "txnAmt": "600"},
                                         {"txnType": "04", "txnAmt": "200", "orderId": NO}])  # fmt: skip
    def test_is_not_found_in_an_answer_about_something_else(self, adapter, unionpay, changes):
        unionpay.will(tells("00", **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query_refund(refunding())

    def test_with_an_amount_that_cannot_be_read_is_not_known(self, adapter, unionpay):
        unionpay.will(tells("00", txnType="04", txnAmt="2.00"))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.query_refund(refunding())


class TestUndoing:
    """A whole payment can be undone on its day."""

    def test_asks_for_the_whole_amount_under_its_own_number(self, adapter, unionpay):
        unionpay.will(says("00"))
        answer = adapter.undo(refunding(amount=Money(600, "CNY")))
        assert answer.standing == RefundStanding.PROCESSING
        (call,) = unionpay.calls
        named = {name: call.fields[name] for name in ("txnType", "txnSubType", "orderId", "origQryId", "txnAmt")}
        assert named == {
            "txnType": "31", "txnSubType": "00", "orderId": REFUND_NO, "origQryId": QUERY_ID, "txnAmt": "600",
        }  # fmt: skip

    def test_in_part_is_refused_here(self, adapter, unionpay):
        with pytest.raises(ProviderRejected, match="amount_not_taken"):
            adapter.undo(refunding())
        assert unionpay.calls == []

    def test_is_found_as_a_refund_is(self, adapter, unionpay):
        unionpay.will(tells("00", txnType="31", txnAmt="200"))
        assert adapter.query_refund(refunding()).standing == RefundStanding.SUCCEEDED


class TestProbing:
    """A signed "no such transaction" shows that both sides accept each other."""

    def test_takes_the_signed_no(self, adapter, unionpay):
        unionpay.will(says("34"))
        answer = adapter.probe("CHECK0123456789ABCDEF0123")
        assert (answer.said, answer.verified) == ("34", True)
        at = datetime.strptime(unionpay.calls[0].fields["txnTime"] + "+0800", "%Y%m%d%H%M%S%z")
        assert abs(at - datetime.now(UTC)) < timedelta(seconds=5)

    def test_takes_no_yes(self, adapter, unionpay):
        unionpay.will(tells("00"))
        with pytest.raises(ProviderUnavailable):
            adapter.probe("CHECK0123456789ABCDEF0123")

    def test_shows_an_unsigned_no_without_believing_it(self, adapter, unionpay):
        unionpay.will(Answer("respCode=11&respMsg=验证签名失败[9100004]".encode()))
        with pytest.raises(ProviderUnavailable, match=r"^11"):
            adapter.probe("CHECK0123456789ABCDEF0123")


ANSWERS_NOT_BELIEVED = {
    "unsigned": (lambda fields: fields, "unverified_signature"),
    "signed by a stranger": (lambda fields: sealed(fields, by="stranger"), "unverified_signature"),
    "hashed once": (lambda fields: sealed(fields, how="once"), "unverified_signature"),
    "with upper-case digits": (lambda fields: sealed(fields, how="upper case"), "unverified_signature"),
    "changed": (lambda fields: {**sealed(fields), "respMsg": "x"}, "unverified_signature"),
    "with a field more": (lambda fields: {**sealed(fields), "extra": "1"}, "unverified_signature"),
    "by another authority": (
        lambda fields: sealed(fields, cert=pem(certificate("unionpay", issuer="stranger"))),
        "unverified_certificate_chain",
    ),
    "by a merchant": (
        lambda fields: sealed(fields, cert=pem(leaf("041@1@某某公司@1"))),
        "unverified_certificate_name",
    ),
    "of the older version": (lambda fields: sealed({**fields, "version": "5.0.0"}), "unverified_version"),
    "with a shared key": (lambda fields: sealed({**fields, "signMethod": "11"}), "unverified_sign_method"),
}


class TestAnswersThatAreNotBelieved:
    """Without UnionPay's signature an answer is none: nothing is concluded, and the call can be made again."""

    @every_call
    @pytest.mark.parametrize("name", ["unsigned", "changed"])
    def test_to_any_call(self, adapter, unionpay, call, name):
        seal, step = ANSWERS_NOT_BELIEVED[name]
        unionpay.will(says("00", seal=seal))
        with pytest.raises(ProviderUnavailable, match=step):
            call(adapter)

    @pytest.mark.parametrize("name", ANSWERS_NOT_BELIEVED)
    def test_to_a_query(self, adapter, unionpay, name):
        seal, step = ANSWERS_NOT_BELIEVED[name]
        unionpay.will(tells("00", seal=seal))
        with pytest.raises(ProviderUnavailable, match=step):
            adapter.query(WAITS)

    def test_are_believed_with_a_blank_field_more(self, adapter, unionpay):
        unionpay.will(tells(seal=lambda fields: {"blank": "", **sealed(fields)}))
        assert adapter.query(WAITS).standing == Standing.PAID

    @pytest.mark.parametrize("value", ["{a=1&b=2}", "[{x=1&y=2}&z=3]", "prefix{a=1&b=2}suffix", "{a=[1&2]&b}", "a=b=c"])
    def test_are_read_with_brackets_that_hold_what_separates_fields(self, adapter, unionpay, value):
        unionpay.will(tells(reserved=value, customerInfo="{phoneNo=1&origRespCode=30}"))
        assert adapter.query(WAITS).standing == Standing.PAID

    @pytest.mark.parametrize("body", [
        b"", b"<html>", b"respCode", b"=00", b"&respCode=00", b"respCode=00&respCode=00", b"encoding=GBK&respCode=00",
        "respMsg=成功".encode("gbk"), b"respCode=00&x={", b"\x00" * 20,
    ])  # fmt: skip
    def test_that_are_garbage_are_none(self, adapter, unionpay, body):
        unionpay.will(Answer(body))
        with pytest.raises(ProviderUnavailable):
            adapter.query(WAITS)


class TestTrouble:
    """Whatever happens on the way, the caller learns whether the result is known."""

    @every_call
    @pytest.mark.parametrize("code", ["02", "06", "37", "41"])
    def test_busy_means_later(self, adapter, unionpay, call, code):
        unionpay.will(says(code))
        with pytest.raises(ProviderBusy, match=code):
            call(adapter)

    @every_call
    @pytest.mark.parametrize("code", ["10", "11", "13", "14", "31", "32", "43"])
    def test_an_explicit_no_is_one(self, adapter, unionpay, call, code):
        unionpay.will(says(code))
        with pytest.raises(ProviderRejected, match=code):
            call(adapter)

    @every_call
    @pytest.mark.parametrize("code", ["03", "99", "ZZ", "001", ...])
    def test_a_word_that_nobody_told_us_is_no_answer(self, adapter, unionpay, call, code):
        unionpay.will(says(respCode=code))
        with pytest.raises(ProviderUnavailable):
            call(adapter)

    @every_call
    @pytest.mark.parametrize("status", [302, 404, 500, 502])
    def test_another_status_is_no_answer(self, adapter, unionpay, call, status):
        unionpay.will(Answer(joined(sealed({"respCode": "00", "version": "5.1.0", "signMethod": "01"})), status))
        with pytest.raises(ProviderUnavailable, match=f"http_{status}"):
            call(adapter)

    def test_a_cut_connection_is_no_answer(self, adapter, unionpay):
        unionpay.will(Answer(raw=lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)))
        with pytest.raises(ProviderUnavailable) as caught:
            adapter.refund(refunding())
        assert not isinstance(caught.value, ConnectFailed)

    def test_silence_is_no_answer(self, adapter, unionpay, monkeypatch):
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.2)
        unionpay.will(Answer(raw=lambda handler: handler.rfile.read(1)))
        with pytest.raises(ProviderUnavailable, match="read_timeout"):
            adapter.query(WAITS)

    def test_nobody_there_says_that_nothing_was_sent(self):
        with pytest.raises(ConnectFailed):
            UnionPayAdapter(credentials(), live=False).query(WAITS)

    @every_call
    def test_no_error_shows_a_key_or_signature(self, adapter, unionpay, call):
        unionpay.will(says("10", seal=lambda fields: sealed(fields, by="stranger")))
        with pytest.raises(ProviderError) as caught:
            call(adapter)
        told = repr(caught.value) + str(caught.value)
        assert "PRIVATE" not in told
        assert unionpay.calls[-1].fields["signature"][:20] not in told
