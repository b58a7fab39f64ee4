"""Reading UnionPay's notifications: verified exactly; success is asked about once more, refunds bear their own number."""

from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    Following,
    Foreign,
    Hint,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    PaymentProof,
    ProviderRejected,
    ProviderUnavailable,
    RawNotification,
    RefundNotice,
    RefundStanding,
)
from channels_app.providers.unionpay import UnionPayAdapter
from tests.providers.unionpay_side import MIDDLE, UnionPaySide, credentials, form, paid, refunded, says, sealed, tells

NO = "20260102G0123456789ABCDEFGHJKM"
NOW = datetime.now(UTC)
OPENED = datetime(2026, 1, 2, 3, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def side():
    side = UnionPaySide()
    yield side
    side.close()


@pytest.fixture(scope="module")
def adapter(side):
    return UnionPayAdapter(credentials(base_url=side.url), live=False)


@pytest.fixture(scope="module")
def read(adapter):
    def read(fields: dict[str, str], *, seal=sealed):
        return adapter.read_notification(RawNotification(headers={}, body=form(seal(fields)), received_at=NOW))

    return read


@pytest.fixture
def unionpay(side):
    side.calls.clear()
    side.complaints.clear()
    yield side
    assert side.complaints == []


class TestAPayment:
    """A notification of a payment leads to a query, never by itself to goods."""

    @pytest.mark.parametrize("code", ["00", "A6", "42", "74", "75", "03", "04", "05", "70", "99", "ZZ", "1"])
    def test_that_may_have_been_made_is_a_hint_that_names_number_and_time(self, read, code):
        assert read(paid(NO, respCode=code)) == Hint(said=code, about=AttemptRef(attempt_no=NO, opened_at=OPENED))

    def test_without_a_code_is_a_hint_as_well(self, read):
        assert read(paid(NO, respCode=...)).said == "no_code"

    @pytest.mark.parametrize("code", ["01", "30", "33", "64", "65", "77", "78"])
    def test_that_failed_moves_nothing(self, read, code):
        assert read(paid(NO, respCode=code)) == NothingToDo(said=code, attempt_no=NO)

    @pytest.mark.parametrize("kind", ["00", "02", "03", "21", "99", ...])
    def test_of_a_kind_that_we_never_ask_for_moves_nothing(self, read, kind):
        assert isinstance(read(paid(NO, txnType=kind)), NothingToDo)

    @pytest.mark.parametrize("changes", [{"merId": "898340183980106"}, {"merId": ...}, {"merId": " 898340183980105"}])
    def test_of_another_merchant_is_foreign(self, read, changes):
        message = read(paid(NO, **changes))
        assert isinstance(message, Foreign)
        assert message.attempt_no == NO

    @pytest.mark.parametrize(
        "changes",
        [{"orderId": ...}, {"orderId": "a-b"}, {"orderId": "Ａ0000000"}, {"txnTime": ...}, {"txnTime": "2026010211030"},
         {"txnTime": "20260230110301"}, {"txnTime": "２0260102110301"}],
    )  # fmt: skip
    def test_that_cannot_be_understood_is_sent_again(self, read, changes):
        with pytest.raises(NotificationUnreadable):
            read(paid(NO, **changes))

    def test_of_long_ago_still_counts(self, read):
        assert isinstance(read(paid(NO, txnTime="20190101000000", traceTime="0101000000")), Hint)


class TestFollowing:
    """The query decides: its success pays, and as long as it disagrees with a notification nothing is concluded."""

    @staticmethod
    def hint(code="00", **about) -> Hint:
        return Hint(said=code, about=AttemptRef(**{"attempt_no": NO, "opened_at": OPENED, **about}))

    def test_asks_about_that_very_number_and_time(self, adapter, unionpay):
        assert isinstance(adapter, Following)
        unionpay.will(tells())
        proof = adapter.follow(self.hint())
        assert proof == PaymentProof(
            attempt_no=NO,
            transaction_id="202601021104051234567",
            paid=Money(600, "CNY"),
            paid_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            opened_at=OPENED,
        )
        (call,) = unionpay.calls
        assert (call.path, call.fields["orderId"], call.fields["txnTime"]) == (
            "/gateway/api/queryTrans.do", NO, "20260102110301",
        )  # fmt: skip

    @pytest.mark.parametrize("code", ["42", "74", "75"])
    def test_of_money_that_unionpay_is_not_sure_of_proves_it_for_a_person(self, adapter, unionpay, code):
        unionpay.will(tells(code))
        proof = adapter.follow(self.hint(code))
        assert proof.paid == Money(600, "CNY")
        assert code in proof.review

    def test_believes_the_query_when_all_is_well_by_then(self, adapter, unionpay):
        unionpay.will(tells("00"))
        assert adapter.follow(self.hint("42")).review == ""

    @pytest.mark.parametrize("told", ["00", "A6", "42", "74", "75"])
    @pytest.mark.parametrize("answer", [says("34"), tells("05"), tells("01"), tells("ZZ")])
    def test_goes_on_while_the_query_does_not_know_the_money_yet(self, adapter, unionpay, told, answer):
        unionpay.will(answer)
        with pytest.raises(ProviderUnavailable, match="query_disagrees"):
            adapter.follow(self.hint(told))

    def test_goes_on_when_the_query_is_refused(self, adapter, unionpay):
        unionpay.will(says("32"))
        with pytest.raises(ProviderUnavailable, match="32"):
            adapter.follow(self.hint())
        with pytest.raises(ProviderRejected):
            adapter.follow(self.hint("05"))

    @pytest.mark.parametrize("code", ["03", "05", "ZZ"])
    def test_of_an_open_question_ends_when_nothing_was_paid(self, adapter, unionpay, code):
        unionpay.will(says("34"))
        assert adapter.follow(self.hint(code)) == NothingToDo(said="34", attempt_no=NO)
        unionpay.will(tells())
        assert isinstance(adapter.follow(self.hint(code)), PaymentProof)


class TestARefund:
    """A refund's notification bears the refund's number; the payment is named by UnionPay's own."""

    def test_is_a_refund_notice_and_no_payment(self, read):
        assert read(refunded("R20260103000001")) == RefundNotice(
            attempt_no="",
            transaction_id="202601021104051234567",
            refund_no="R20260103000001",
            standing=RefundStanding.SUCCEEDED,
            said="00",
            amount=Money(200, "CNY"),
            provider_refund_id="202601031104057654321",
            at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )

    @pytest.mark.parametrize("kind", ["04", "31"])
    def test_under_the_number_of_a_payment_pays_nothing(self, read, kind):
        message = read(paid(NO, txnType=kind))
        assert isinstance(message, RefundNotice)
        assert (message.attempt_no, message.transaction_id, message.payment) == ("", "", None)

    @pytest.mark.parametrize(
        ("code", "standing"),
        [("A6", RefundStanding.SUCCEEDED), ("05", RefundStanding.PROCESSING), ("ZZ", RefundStanding.PROCESSING),
         ("30", RefundStanding.CLOSED), ("36", RefundStanding.CLOSED), ("74", RefundStanding.ABNORMAL)],
    )  # fmt: skip
    def test_stands_where_its_code_says(self, read, code, standing):
        assert read(refunded("R20260103000001", respCode=code)).standing is standing


class TestTheForm:
    """Bytes that are no notification of UnionPay's are refused at the first look."""

    @pytest.mark.parametrize(
        ("body", "step"),
        [
            (b"", "form"),
            (b"{}", "form"),
            (b"txnType", "form"),
            (b"a=1&&b=2", "form"),
            (b"a=1&b= 2", "form"),
            ("a=\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), "form"),
            (b"a=1&a=1", "form"),
            (b"&".join(b"a%d=1" % at for at in range(201)), "form"),
            (b"a=%FF%FE", "charset"),
            (b"encoding=GBK&version=5.1.0", "charset"),
        ],
    )
    def test_is_refused_where_it_is_none(self, adapter, body, step):
        with pytest.raises(NotificationRefused) as caught:
            adapter.read_notification(RawNotification(headers={}, body=body, received_at=NOW))
        assert caught.value.step == step

    def test_may_write_its_encoding_in_small_letters(self, read):
        assert isinstance(read(paid(NO, encoding="utf-8")), Hint)


class TestAnswers:
    """UnionPay hears a 200 when a message is ours, and never when it is not."""

    @pytest.mark.parametrize(
        ("ack", "status", "body"), [(Ack.DONE, 200, b"ok"), (Ack.REFUSED, 401, b"fail"), (Ack.LATER, 503, b"fail")]
    )
    def test_are_plain_words(self, adapter, ack, status, body):
        reply = adapter.reply(ack)
        assert (reply.status, reply.body, reply.content_type) == (status, body, "text/plain")


class TestClaims:
    """A person sees who issued the certificate that came along, and who would have been believed."""

    def test_name_the_issuer(self, adapter):
        def claims(body):
            return adapter.claims(RawNotification(headers={}, body=body, received_at=NOW + timedelta(days=1)))

        told = claims(form(sealed(paid(NO), by="stranger")))
        assert (told.key, told.known_keys, told.sent_at) == (MIDDLE, (MIDDLE,), None)
        assert claims(b"\x00").key == claims(form(paid(NO, signPubKeyCert="x"))).key == ""
