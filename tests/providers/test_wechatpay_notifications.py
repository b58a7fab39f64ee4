"""What WeChat Pay's signed messages mean: verified bytes first, then the documented shape, never a crash."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels_app.money import Money
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
from channels_app.providers.wechatpay import WechatPayAdapter
from tests import keys
from tests.providers.wechat_side import (
    both_modes,
    by_certificate,
    changed,
    envelope,
    refund_notice,
    signed,
    transaction,
)

NO = "G20260102030405000001"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def adapter():
    return WechatPayAdapter(keys.wechat_credentials())


def arrived(body, *, stamp=signed, at=NOW, received_at=NOW, **about):
    headers = stamp(body, at=at.timestamp(), **about)
    return RawNotification(
        headers={name.lower(): value for name, value in headers.items()}, body=body, received_at=received_at
    )


def payment(changes=None, **about):
    return arrived(envelope(transaction(NO, changes), **about))


def refund(changes=None, event="REFUND.SUCCESS"):
    return arrived(envelope(refund_notice(NO, changes), event=event, associated_data="refund"))


class TestAPayment:
    """A genuine TRANSACTION.SUCCESS proves the full price, by the provider's clock in UTC."""

    def test_is_proved(self, adapter):
        changes = {"success_time": "2026-01-02T11:04:00+08:00", "amount.payer_total": 1}
        assert adapter.read_notification(payment(changes)) == PaymentProof(
            attempt_no=NO,
            transaction_id=f"4200{NO}",
            paid=Money(600, "CNY"),
            paid_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        )

    @pytest.mark.parametrize(
        "written",
        [
            "2026-01-02T03:04:05Z",
            "2026-01-02T11:04:05+08:00",
            "2026-01-02T11:04:05.000+08:00",
            "2026-01-02T11:04:05",
            "2026-01-01T19:04:05-08:00",
        ],
    )
    def test_has_its_time_in_utc_however_it_is_written(self, adapter, written):
        paid_at = adapter.read_notification(payment({"success_time": written})).paid_at
        assert (paid_at, paid_at.utcoffset()) == (NOW, timedelta(0))

    @pytest.mark.parametrize("associated_data", [None, "", "transaction", "数据"])
    def test_is_read_whatever_data_is_associated(self, adapter, associated_data):
        assert isinstance(adapter.read_notification(payment(associated_data=associated_data)), PaymentProof)

    def test_without_optional_members_is_proved(self, adapter):
        bare = dict.fromkeys(("payer", "bank_type", "trade_state_desc", "amount.currency"), ...)
        assert adapter.read_notification(payment(bare)).paid == Money(600, "CNY")

    def test_keeps_the_currency_it_was_made_in(self, adapter):
        assert adapter.read_notification(payment({"amount.currency": "USD"})).paid == Money(600, "USD")

    @pytest.mark.parametrize("state", ["NOTPAY", "CLOSED", "REFUND", "success"])
    def test_that_is_none_moves_nothing(self, adapter, state):
        message = adapter.read_notification(payment({"trade_state": state}))
        assert message == NothingToDo(said=state, attempt_no=NO)

    @pytest.mark.parametrize("changes", [{"mchid": "1900000110"}, {"appid": "wx0000000000000000"}])
    def test_of_another_merchant_is_foreign(self, adapter, changes):
        message = adapter.read_notification(payment(changes))
        assert isinstance(message, Foreign)
        assert message.attempt_no == NO


class TestARefundMessage:
    """A genuine refund event names the refund and how far it has come."""

    @pytest.mark.parametrize(
        ("state", "standing"),
        [
            ("SUCCESS", RefundStanding.SUCCEEDED),
            ("ABNORMAL", RefundStanding.ABNORMAL),
            ("CLOSED", RefundStanding.CLOSED),
            ("SOMETHING_NEW", RefundStanding.PROCESSING),
        ],
    )
    def test_is_translated(self, adapter, state, standing):
        success = state == "SUCCESS"
        changes = {"refund_status": state, **({} if success else {"success_time": ...})}
        assert adapter.read_notification(refund(changes, event=f"REFUND.{state}")) == RefundNotice(
            attempt_no=NO,
            transaction_id=f"4200{NO}",
            refund_no="R1",
            standing=standing,
            said=state,
            amount=Money(100, "CNY"),
            provider_refund_id="50200207182018070300011301001",
            at=datetime(2026, 1, 1, 20, tzinfo=UTC) if success else None,
        )

    def test_of_another_merchant_is_foreign(self, adapter):
        assert isinstance(adapter.read_notification(refund({"mchid": "1900000110"})), Foreign)


class TestOtherEvents:
    """Events that are not ours to act on are acknowledged, even when their content is of a kind unknown."""

    @pytest.mark.parametrize("event", ["TRANSACTION.PAY_BACK", "PARKING.ENTRANCE", "transaction.success"])
    def test_move_nothing(self, adapter, event):
        message = adapter.read_notification(arrived(envelope(b"anything", event=event)))
        assert message == NothingToDo(said=event)


def step_of(adapter, raw):
    with pytest.raises(NotificationRefused) as refused:
        adapter.read_notification(raw)
    return refused.value.step


class TestGenuineness:
    """Age, serial and signature are judged before anything is parsed; the failed step is named."""

    @pytest.mark.parametrize("seconds", [-299, 0, 299])
    def test_allows_clocks_to_differ_by_five_minutes(self, adapter, seconds):
        body = envelope(transaction(NO))
        assert adapter.read_notification(arrived(body, at=NOW + timedelta(seconds=seconds)))

    @pytest.mark.parametrize("seconds", [-86400, -301, -300, 300, 301, 86400])
    def test_refuses_older_and_earlier_ones(self, adapter, seconds):
        body = envelope(transaction(NO))
        assert step_of(adapter, arrived(body, at=NOW + timedelta(seconds=seconds))) == "timestamp"

    @pytest.mark.parametrize(
        "timestamp", ["now", "-1", "1e9", "１７６７３２３０４５", "1767323045\n", " 1767323045", "9" * 400]
    )
    def test_refuses_a_timestamp_that_is_none(self, adapter, timestamp):
        assert step_of(adapter, arrived(b"{}", timestamp=timestamp)) == "timestamp"

    @pytest.mark.parametrize("name", ["timestamp", "nonce", "signature", "serial"])
    def test_refuses_a_message_without_one_of_the_headers(self, adapter, name):
        assert step_of(adapter, arrived(b"{}", **{name: ""})) == "headers"
        raw = arrived(b"{}")
        headers = {key: value for key, value in raw.headers.items() if key != f"wechatpay-{name}"}
        assert step_of(adapter, RawNotification(headers=headers, body=b"{}", received_at=NOW)) == "headers"

    def test_does_not_let_the_border_of_the_signed_lines_move(self, adapter):
        """The nonce "n\\n{" over "}" signs the same text as the nonce "n" over "{\\n}"."""
        body = b'{"a":1,\n"b":2}'
        raw = arrived(body)
        nonce, rest = raw.headers["wechatpay-nonce"], body.split(b"\n", 1)
        headers = {**raw.headers, "wechatpay-nonce": f"{nonce}\n{rest[0].decode()}"}
        moved = RawNotification(headers=headers, body=rest[1], received_at=NOW)
        assert step_of(adapter, moved) == "headers"

    @pytest.mark.parametrize(
        "respell",
        [
            lambda signature: signature + "=",
            lambda signature: signature.rstrip("="),
            lambda signature: signature[:10] + "\n" + signature[10:],
            lambda signature: signature[:10] + "!" + signature[10:],
            lambda signature: signature.replace("+", "-").replace("/", "_") + "é",
            lambda signature: signature[:-3] + chr(ord(signature[-3]) + 1) + signature[-2:],
        ],
    )
    def test_takes_one_spelling_of_a_signature(self, adapter, respell):
        body = envelope(transaction(NO))
        raw = arrived(body)
        headers = {**raw.headers, "wechatpay-signature": respell(raw.headers["wechatpay-signature"])}
        spoilt = RawNotification(headers=headers, body=body, received_at=NOW)
        assert step_of(adapter, spoilt) == "signature"

    def test_does_not_ask_who_we_are_called(self, adapter):
        body = envelope(transaction(NO))
        raw = arrived(body, by="wechat attacker")
        local = RawNotification(headers={**raw.headers, "host": "localhost"}, body=body, received_at=NOW)
        assert step_of(adapter, local) == "signature"

    def test_refuses_a_certificate_outside_its_time(self):
        adapter = WechatPayAdapter(both_modes())
        body = envelope(transaction(NO))
        today = datetime.now(UTC)
        for days, step in ((-2, "serial"), (0, None), (31, "serial")):
            at = today + timedelta(days=days)
            raw = arrived(body, stamp=by_certificate, at=at, received_at=at)
            if step:
                assert step_of(adapter, raw) == step
            else:
                assert isinstance(adapter.read_notification(raw), PaymentProof)


def unreadable(adapter, raw):
    with pytest.raises(NotificationUnreadable) as failure:
        adapter.read_notification(raw)
    assert failure.value.detail.isprintable()
    return failure.value.step


class TestUnexpectedShapes:
    """A signed message that we cannot read is asked for again: it is never refused, never a crash."""

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"\xff\xfe", b"{", b"null", b"[]", b"7", b'"text"', b"[" * 100_000, b'{"a":' * 100_000,
            b"9" * 5000, "{}".encode("utf-16"), b"<xml/>",
        ],
    )  # fmt: skip
    def test_of_the_body(self, adapter, body):
        assert unreadable(adapter, arrived(body)) == "json"
        assert unreadable(adapter, arrived(envelope(body))) == "json"

    @pytest.mark.parametrize(
        ("changes", "step"),
        [
            ({"event_type": ...}, "shape"),
            ({"event_type": 7}, "shape"),
            ({"event_type": "a\x00b"}, "shape"),
            ({"resource": ...}, "shape"),
            ({"resource": "text"}, "shape"),
            ({"resource.algorithm": "AEAD_SM4_GCM"}, "algorithm"),
            ({"resource.algorithm": ...}, "shape"),
            ({"resource.nonce": ...}, "shape"),
            ({"resource.nonce": ""}, "decryption"),
            ({"resource.nonce": "1"}, "decryption"),
            ({"resource.nonce": "0" * 12}, "decryption"),
            ({"resource.ciphertext": ...}, "shape"),
            ({"resource.ciphertext": "***"}, "decryption"),
            ({"resource.ciphertext": ""}, "decryption"),
            ({"resource.ciphertext": "é"}, "decryption"),
            ({"resource.associated_data": 7}, "shape"),
            ({"resource.associated_data": "other"}, "decryption"),
            ({"resource.associated_data": "\ud800"}, "decryption"),
        ],
    )
    def test_of_the_envelope(self, adapter, changes, step):
        body = json.dumps(changed(json.loads(envelope(transaction(NO))), changes)).encode()
        assert unreadable(adapter, arrived(body)) == step

    @pytest.mark.parametrize("value", [..., None, "", 7, True, [], {}, "a\x00b", "\ud800", "x" * 65, "有", "a b"])
    @pytest.mark.parametrize("name", ["mchid", "appid", "out_trade_no", "trade_state", "transaction_id"])
    def test_of_a_payments_texts(self, adapter, name, value):
        body = envelope(json.dumps(changed(transaction(NO), {name: value})).encode())
        assert unreadable(adapter, arrived(body)) == "shape"

    @pytest.mark.parametrize("value", [..., None, "600", 600.0, True, [], {}, 0, -1, 10**14, 10**40, 1e300])
    def test_of_an_amount(self, adapter, value):
        assert unreadable(adapter, payment({"amount.total": value})) == "shape"
        assert unreadable(adapter, refund({"amount.refund": value})) == "shape"

    @pytest.mark.parametrize("value", [..., None, "", 7, "soon", "2026-01-02", "0001-01-01T00:00:00+08:00", "9" * 40])
    def test_of_a_time(self, adapter, value):
        assert unreadable(adapter, payment({"success_time": value})) == "shape"

    @pytest.mark.parametrize("value", [7, "cny", "RMBX", "", [], "¥¥¥"])
    def test_of_a_currency(self, adapter, value):
        assert unreadable(adapter, payment({"amount.currency": value})) == "shape"

    @pytest.mark.parametrize("value", [..., None, "", 7, "a\x00b", "x" * 65])
    @pytest.mark.parametrize(
        "name", ["mchid", "out_trade_no", "transaction_id", "refund_id", "out_refund_no", "refund_status"]
    )
    def test_of_a_refunds_texts(self, adapter, name, value):
        assert unreadable(adapter, refund({name: value})) == "shape"

    @settings(max_examples=150, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "mchid",
                            "appid",
                            "out_trade_no",
                            "trade_state",
                            "amount",
                            "total",
                            "refund",
                            "success_time",
                        ]
                    ),
                    inner,
                )
            ),
        )
    )
    def test_of_any_kind(self, adapter, document):
        clear = json.dumps(document).encode()
        for event in ("TRANSACTION.SUCCESS", "REFUND.CLOSED"):
            message = None
            with suppress(NotificationUnreadable):
                message = adapter.read_notification(arrived(envelope(clear, event=event)))
            # A few shapes are whole enough to say that they are another merchant's.
            assert message is None or isinstance(message, Foreign)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60))
    def test_of_any_bytes(self, adapter, body):
        assert unreadable(adapter, arrived(body)) in ("json", "shape")


class TestOurAnswers:
    """WeChat Pay hears its own words: 204 without a body, or FAIL with a status that makes it send again."""

    def test_when_the_message_is_safely_ours(self, adapter):
        reply = adapter.reply(Ack.DONE)
        assert (reply.status, reply.body) == (204, b"")

    @pytest.mark.parametrize(("ack", "status"), [(Ack.REFUSED, 401), (Ack.LATER, 503)])
    def test_when_it_is_not(self, adapter, ack, status):
        reply = adapter.reply(ack)
        document = json.loads(reply.body)
        assert (reply.status, reply.content_type) == (status, "application/json")
        assert (document["code"], set(document)) == ("FAIL", {"code", "message"})
