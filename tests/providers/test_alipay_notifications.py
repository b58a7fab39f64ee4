"""Reading Alipay's notifications: the bytes are verified exactly, then told apart by their marks."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers.alipay import AlipayAdapter
from channels_app.providers.base import (
    Ack,
    Foreign,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    PaymentProof,
    RawNotification,
    RefundNotice,
    RefundStanding,
)
from tests import keys
from tests.providers.alipay_side import (
    ALIPAY_SN,
    certificate_mode,
    form,
    full_refund,
    partial_refund,
    percent,
    sealed,
    signature,
    signed_text,
    trade,
    unpaid_closing,
)

NO = "20260102G0123456789ABCDEFGHJKM"
RECEIVED = datetime(2026, 1, 2, 5, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def adapter():
    return AlipayAdapter(keys.alipay_credentials())


@pytest.fixture(scope="module")
def read(adapter):
    def read(body: bytes):
        return adapter.read_notification(RawNotification(headers={}, body=body, received_at=RECEIVED))

    return read


@pytest.fixture(scope="module")
def refusal(read):
    def refusal(body: bytes) -> str:
        with pytest.raises(NotificationRefused) as caught:
            read(body)
        return caught.value.step

    return refusal


class TestAPayment:
    """TRADE_SUCCESS and TRADE_FINISHED, without the marks of a refund, prove money."""

    @pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_FINISHED"])
    def test_is_proved_to_the_fen_and_second(self, read, status):
        message = read(sealed(trade(NO, trade_status=status, trade_no="T1", gmt_payment="2026-01-02 11:04:05")))
        assert message == PaymentProof(
            attempt_no=NO,
            transaction_id="T1",
            paid=Money(600, "CNY"),
            paid_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )

    def test_is_worth_its_total_not_what_the_buyer_paid_after_coupons(self, read):
        assert read(sealed(trade(NO, buyer_pay_amount="1.00", receipt_amount="5.50"))).paid == Money(600, "CNY")

    @pytest.mark.parametrize(("text", "fen"), [("6", 600), ("6.0", 600), ("0.01", 1), ("100000000.00", 10_000_000_000)])
    def test_is_read_however_alipay_writes_the_amount(self, read, text, fen):
        assert read(sealed(trade(NO, total_amount=text))).paid.amount_minor == fen

    def test_in_another_currency_says_so(self, read):
        assert read(sealed(trade(NO, trans_currency="USD"))).paid == Money(600, "USD")

    @pytest.mark.parametrize(
        ("changes", "at"),
        [
            ({"gmt_payment": ..., "notify_time": "2026-01-02 12:00:00"}, datetime(2026, 1, 2, 4, tzinfo=UTC)),
            ({"gmt_payment": "", "notify_time": "2026-01-02 12:00:00"}, datetime(2026, 1, 2, 4, tzinfo=UTC)),
            ({"gmt_payment": ..., "notify_time": ...}, RECEIVED),
        ],
    )
    def test_without_its_own_time_takes_the_nearest_one(self, read, changes, at):
        assert read(sealed(trade(NO, **changes))).paid_at == at

    def test_of_long_ago_still_counts(self, read):
        old = trade(NO, notify_time="2019-01-01 00:00:00", gmt_payment="2019-01-01 00:00:00")
        assert read(sealed(old)).paid_at == datetime(2018, 12, 31, 16, tzinfo=UTC)

    @pytest.mark.parametrize("marks", [{"refund_fee": "0.00"}, {"refund_fee": "", "gmt_refund": ""}])
    def test_with_empty_marks_of_a_refund_is_a_payment(self, read, marks):
        assert isinstance(read(sealed(trade(NO, **marks))), PaymentProof)


class TestARefund:
    """A refund repeats the payment's states: its marks tell it from a payment and from an unpaid closing."""

    def test_in_part_is_a_refund_notice(self, read):
        message = read(sealed(partial_refund(NO, trade_no="T1", gmt_refund="2026-01-02 11:04:05.6")))
        assert message == RefundNotice(
            attempt_no=NO,
            transaction_id="T1",
            refund_no="R1",
            standing=RefundStanding.SUCCEEDED,
            said="TRADE_SUCCESS",
            refunded_total=Money(200, "CNY"),
            at=datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC),
        )

    def test_in_full_is_a_refund_notice(self, read):
        message = read(sealed(full_refund(NO)))
        assert isinstance(message, RefundNotice)
        assert (message.said, message.refunded_total) == ("TRADE_CLOSED", Money(600, "CNY"))

    @pytest.mark.parametrize(
        "fields",
        [
            partial_refund(NO, gmt_refund=...),
            partial_refund(NO, refund_fee=...),
            partial_refund(NO, trade_status="TRADE_FINISHED"),
            partial_refund(NO, out_biz_no=...),
            full_refund(NO, refund_fee=..., gmt_refund=..., out_biz_no=...),  # closed, but it was paid
            full_refund(NO, gmt_payment=..., gmt_refund=...),
            full_refund(NO, gmt_payment=..., refund_fee=...),
        ],
    )
    def test_is_known_by_any_of_its_marks(self, read, fields):
        message = read(sealed(fields))
        assert isinstance(message, RefundNotice)
        assert message.refund_no == fields.get("out_biz_no", "")
        assert message.refunded_total == (
            Money(200 if fields["refund_fee"] == "2.00" else 600, "CNY") if "refund_fee" in fields else None
        )


class TestNothing:
    """Every other genuine message moves nothing and is told by its own word."""

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            (unpaid_closing(NO), "TRADE_CLOSED"),
            (unpaid_closing(NO, refund_fee="0.00"), "TRADE_CLOSED"),
            (trade(NO, trade_status="WAIT_BUYER_PAY", gmt_payment=...), "WAIT_BUYER_PAY"),
            (trade(NO, trade_status="WAIT_BUYER_PAY"), "WAIT_BUYER_PAY"),
            (trade(NO, trade_status="TRADE_PENDING"), "TRADE_PENDING"),
            (trade(NO, trade_status="trade_success"), "trade_success"),
            (trade(NO, trade_status="TRADE_SUCCESS "), "TRADE_SUCCESS "),
            (trade(NO, trade_status=...), "no trade_status"),
            (trade(NO, notify_type="open_app_auth_notify"), "open_app_auth_notify"),
        ],
    )
    def test_is_moved_by_it(self, read, fields, said):
        assert read(sealed(fields)) == NothingToDo(said=said, attempt_no=NO)


class TestForeign:
    """Rightly signed, but for another application or seller: acknowledged, never applied."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"app_id": "2021000000000002"},
            {"auth_app_id": "2021000000000002"},
            {"app_id": "2021000000000002", "auth_app_id": "2021000000000002"},
            {"app_id": "2021000000000002", "auth_app_id": ...},
            {"app_id": ..., "auth_app_id": "2021000000000002"},
            {"app_id": ..., "auth_app_id": ...},
            {"app_id": "", "auth_app_id": ""},
            {"app_id": " 2021000000000001"},
            {"seller_id": "2088000000000002"},
            {"seller_id": "2088000000000001\x00"},
        ],
    )
    def test_is_not_ours(self, read, changes):
        message = read(sealed(trade(NO, **changes)))
        assert isinstance(message, Foreign)
        assert (message.attempt_no, "\x00" in message.said) == (NO, False)

    @pytest.mark.parametrize("changes", [{"auth_app_id": ...}, {"app_id": ...}, {"seller_id": ...}])
    def test_is_not_what_only_leaves_out_a_name(self, read, changes):
        assert isinstance(read(sealed(trade(NO, **changes))), PaymentProof)


class TestTheSignature:
    """It covers every field but itself and its kind, exactly as received; it is always RSA2."""

    def test_counts_blank_and_unknown_fields_and_outer_blanks(self, read):
        assert isinstance(read(sealed(trade(NO, body="", a_field_of_tomorrow="  x  ", z="%2B+"))), PaymentProof)

    @pytest.mark.parametrize("sign_type", ["RSA2", "RSA", "", ..., "none"])
    def test_is_rsa2_whatever_the_message_says(self, read, sign_type):
        assert isinstance(read(sealed(trade(NO, sign_type=sign_type))), PaymentProof)

    @pytest.mark.parametrize("spelling", [percent, lambda text: percent(text).lower()])
    def test_does_not_depend_on_the_spelling_of_the_form(self, read, spelling):
        fields = trade(NO)
        fields["sign"] = signature(signed_text(fields).encode())
        body = "&".join(f"{percent(name)}={spelling(value)}" for name, value in fields.items())
        assert isinstance(read(body.encode()), PaymentProof)

    @pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "gbk", "GBK", "gb18030"])
    def test_is_made_in_the_charset_of_the_message(self, read, charset):
        assert isinstance(read(sealed(trade(NO, charset=charset), charset=charset)), PaymentProof)

    def test_without_a_charset_is_utf_8(self, read):
        assert isinstance(read(sealed(trade(NO, charset=...))), PaymentProof)

    @pytest.mark.parametrize("left_out", [(), ("alipay_cert_sn",)])
    def test_may_leave_out_the_name_of_the_certificate(self, left_out):
        adapter = AlipayAdapter(certificate_mode())
        body = sealed(trade(NO, alipay_cert_sn=ALIPAY_SN), without=("sign", "sign_type", *left_out))
        raw = RawNotification(headers={}, body=body, received_at=datetime.now(UTC))
        assert isinstance(adapter.read_notification(raw), PaymentProof)

    @pytest.mark.parametrize("left_out", [("sign",), ("sign", "sign_type", "body"), ("sign", "sign_type", "charset")])
    def test_over_anything_else_is_refused(self, refusal, left_out):
        assert refusal(sealed(trade(NO), without=left_out)) == "signature"


def tampered(old: bytes, new: bytes) -> bytes:
    body = sealed(trade(NO))
    assert old in body
    return body.replace(old, new)


class TestAForm:
    """What is not exactly one form is refused before anything is computed."""

    @pytest.mark.parametrize(
        ("body", "step"),
        [
            (b"", "form"),
            (b"&", "form"),
            (b"=", "form"),
            (b"a", "form"),
            (b"{}", "form"),
            (b"<xml/>", "form"),
            (sealed(trade(NO)) + b"&", "form"),
            (b"&" + sealed(trade(NO)), "form"),
            (sealed(trade(NO)) + b"&a", "form"),
            (sealed(trade(NO)) + b"&=a", "form"),
            (sealed(trade(NO)) + b"\n", "form"),
            (sealed(trade(NO)) + b"\x00", "form"),
            (sealed(trade(NO)) + b"&a=%", "form"),
            (sealed(trade(NO)) + b"&a=%4", "form"),
            (sealed(trade(NO)) + b"&a=%zz", "form"),
            (sealed(trade(NO)) + "&a=钻".encode(), "form"),
            (sealed(trade(NO)) + b"&total_amount=6.00", "form"),
            (sealed(trade(NO)) + b"&%74otal_amount=6.00", "form"),
            (sealed(trade(NO)) + b"&sign=x", "form"),
            (b"&".join(b"a%d=" % number for number in range(400)), "form"),
            (b"a=" + b"%" * 200_000, "form"),
            (sealed(trade(NO)) + b"&a=%FF", "charset"),
            (sealed(trade(NO)) + b"&%FF=a", "charset"),
            (tampered(b"charset=utf-8", b"charset=utf-16"), "charset"),
            (tampered(b"charset=utf-8", b"charset="), "charset"),
            (tampered(b"charset=utf-8", b"charset=%FF"), "charset"),
            (tampered(b"charset=utf-8", b"charset=ascii"), "charset"),
            (tampered(b"charset=utf-8", b"charset=rot13"), "charset"),
            (form(trade(NO)), "signature"),
            (form(trade(NO, sign="")), "signature"),
            (form(trade(NO, sign="签名")), "signature"),
            (form(trade(NO, sign="AAAA\x00")), "signature"),
        ],
    )
    def test_is_refused_by_the_check_that_failed(self, refusal, body, step):
        assert refusal(body) == step


class TestUnreadable:
    """A genuine message that is not written as documented is asked for again, never guessed at."""

    @pytest.mark.parametrize("name", ["total_amount", "gmt_payment", "refund_fee"])
    @pytest.mark.parametrize(
        "value",
        [
            "x", "-1", "6.001", "６.００", "\x00", "9" * 70, "1e3", " 6.00", "6.00\n", "6,00",
            "2026-02-30 00:00:00", "2026-01-02T00:00:00", "0001-01-01 00:00:00", "9999-99-99 99:99:99",
        ],
    )  # fmt: skip
    def test_is_an_amount_or_a_time_that_is_none(self, read, name, value):
        with pytest.raises(NotificationUnreadable, match=f"^shape: {name} is not "):
            read(sealed(trade(NO, **{name: value})))

    @pytest.mark.parametrize("name", ["out_trade_no", "trade_no"])
    @pytest.mark.parametrize("value", ["\x00", "9" * 65, "a b", "1\n", "１", "钻", "\u202e"])
    def test_is_a_number_that_could_not_be_stored(self, read, name, value):
        with pytest.raises(NotificationUnreadable, match=f"^shape: {name} is not "):
            read(sealed(trade(NO, **{name: value})))

    @pytest.mark.parametrize("name", ["total_amount", "out_trade_no", "trade_no"])
    @pytest.mark.parametrize("value", ["", ...])
    def test_is_what_lacks_a_value(self, read, name, value):
        with pytest.raises(NotificationUnreadable):
            read(sealed(trade(NO, **{name: value})))

    def test_is_a_payment_of_nothing(self, read):
        with pytest.raises(NotificationUnreadable):
            read(sealed(trade(NO, total_amount="0.00")))

    @pytest.mark.parametrize("changes", [{"refund_fee": "two"}, {"gmt_refund": "soon"}, {"trade_no": ""}])
    def test_is_a_refund_with_a_malformed_value(self, read, changes):
        with pytest.raises(NotificationUnreadable):
            read(sealed(partial_refund(NO, **changes)))


class TestSignedTraffic:
    """Nothing that Alipay signs makes us crash, whatever stands in whichever field."""

    @pytest.mark.parametrize(
        "value", ["", "\x00", "钻" * 300, "x" * 5000, "-", "１", "\u202e", "🎮", "&=%+", "null", "[]"]
    )
    @pytest.mark.parametrize("make", [trade, partial_refund, full_refund, unpaid_closing])
    def test_is_always_read_or_called_unreadable(self, read, make, value):
        for name in make(NO):
            if name == "charset":
                continue
            with contextlib.suppress(NotificationUnreadable):
                message = read(sealed(make(NO, **{name: value})))
                assert "\x00" not in message.attempt_no
                assert len(getattr(message, "said", "")) < 200


class TestAnswers:
    """Alipay hears its own words: exactly `success`, or `fail`."""

    @pytest.mark.parametrize(
        ("ack", "status", "body"),
        [(Ack.DONE, 200, b"success"), (Ack.REFUSED, 401, b"fail"), (Ack.LATER, 503, b"fail")],
    )
    def test_are_plain_text(self, adapter, ack, status, body):
        reply = adapter.reply(ack)
        assert (reply.status, reply.body, reply.content_type) == (status, body, "text/plain")

    def test_do_not_depend_on_the_age_of_a_message(self, adapter):
        body = sealed(trade(NO))
        for days in (-400, 0, 400):
            raw = RawNotification(headers={}, body=body, received_at=RECEIVED + timedelta(days=days))
            assert isinstance(adapter.read_notification(raw), PaymentProof)
