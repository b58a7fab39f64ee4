"""Calls to WeChat Pay over real HTTP: exact parameters, nothing unsigned believed, errors that say enough."""

import contextlib
import json
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers import transport
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    CredentialsInvalid,
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
from channels_app.providers.wechatpay import WechatPayAdapter
from channels_app.providers.wechatpay_keys import OFFICIAL_HOSTS
from tests import keys
from tests.providers.wechat_side import (
    CERTIFICATE_SERIAL,
    MERCHANT,
    PUBLIC_KEY_ID,
    Answer,
    WechatSide,
    both_modes,
    by_certificate,
    certificate_mode,
    genuine,
    refuses,
    says,
    signed,
    transaction,
)

NO = "G20260102030405000001"


@pytest.fixture
def wechat():
    side = WechatSide()
    yield side
    side.close()
    assert side.complaints == []


@pytest.fixture
def adapter(wechat):
    return WechatPayAdapter(keys.wechat_credentials(base_url=wechat.url))


def opening(method="wechatpay_app", **changes):
    about = {
        "method": method,
        "attempt_no": NO,
        "due": Money(600, "CNY"),
        "subject": "60 颗钻石",
        "notify_url": "https://pay.example.com/notify/wechatpay/wx1",
        "expires_at": datetime(2026, 1, 2, 3, 34, 5, 678, tzinfo=UTC),
        "inputs": {"openid": "oUpF8uMuAJO", "client_ip": "203.0.113.7"},
    }
    return OpenRequest(**{**about, **changes})


def refunding(**changes):
    about = {
        "refund_no": "R20260102000001",
        "attempt_no": NO,
        "transaction_id": "4200000000202601020000000001",
        "amount": Money(100, "CNY"),
        "paid": Money(600, "CNY"),
        "reason": "player asked",
        "notify_url": "https://pay.example.com/notify/wechatpay/wx1",
    }
    return RefundRequest(**{**about, **changes})


def refund_view(**changes):
    return {
        "refund_id": "50300000000000000000000000001",
        "out_refund_no": "R20260102000001",
        "transaction_id": "4200000000202601020000000001",
        "out_trade_no": NO,
        "channel": "ORIGINAL",
        "user_received_account": "零钱",
        "create_time": "2026-01-02T11:59:59+08:00",
        "status": "PROCESSING",
        "amount": {"total": 600, "refund": 100, "payer_total": 600, "payer_refund": 100, "currency": "CNY"},
        **changes,
    }


ORDER = {
    "appid": MERCHANT["appid"],
    "mchid": MERCHANT["mchid"],
    "description": "60 颗钻石",
    "out_trade_no": NO,
    "time_expire": "2026-01-02T11:34:05+08:00",
    "notify_url": "https://pay.example.com/notify/wechatpay/wx1",
    "amount": {"total": 600, "currency": "CNY"},
}


def signed_lines(params, package):
    return f"{MERCHANT['appid']}\n{params['timeStamp']}\n{params['nonceStr']}\n{package}\n".encode()


class TestOpening:
    """The client gets exactly what its SDK, browser or QR code wants; WeChat Pay is asked as documented."""

    def test_for_an_app(self, wechat, adapter):
        wechat.will(says({"prepay_id": "wx201410272009395522657A690389285100"}))
        opened = adapter.open_payment(opening())
        [call] = wechat.calls
        assert (call.method, call.path, call.document) == ("POST", "/v3/pay/transactions/app", ORDER)
        params = dict(opened.params)
        assert genuine(signed_lines(params, params["prepayId"]), params["sign"], of="wechat merchant")
        assert opened.kind is PayKind.SDK
        assert params == {
            "appId": MERCHANT["appid"],
            "partnerId": MERCHANT["mchid"],
            "prepayId": "wx201410272009395522657A690389285100",
            "packageValue": "Sign=WXPay",
            "nonceStr": params["nonceStr"],
            "timeStamp": params["timeStamp"],
            "sign": params["sign"],
        }
        assert re.fullmatch("[0-9a-f]{32}", params["nonceStr"])
        assert re.fullmatch("[0-9]{10}", params["timeStamp"])

    def test_inside_wechat(self, wechat, adapter):
        wechat.will(says({"prepay_id": "wx2014"}))
        opened = adapter.open_payment(opening("wechatpay_jsapi"))
        [call] = wechat.calls
        assert call.path == "/v3/pay/transactions/jsapi"
        assert call.document == {**ORDER, "payer": {"openid": "oUpF8uMuAJO"}}
        params = dict(opened.params)
        assert genuine(signed_lines(params, "prepay_id=wx2014"), params["paySign"], of="wechat merchant")
        assert opened.kind is PayKind.SDK
        assert params == {
            "appId": MERCHANT["appid"],
            "timeStamp": params["timeStamp"],
            "nonceStr": params["nonceStr"],
            "package": "prepay_id=wx2014",
            "signType": "RSA",
            "paySign": params["paySign"],
        }

    def test_in_a_mobile_browser(self, wechat, adapter):
        wechat.will(says({"h5_url": "https://wx.tenpay.com/cgi-bin/checkmweb?prepay_id=wx1&package=1"}))
        opened = adapter.open_payment(opening("wechatpay_h5"))
        [call] = wechat.calls
        assert call.path == "/v3/pay/transactions/h5"
        scene = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
        assert call.document == {**ORDER, "scene_info": scene}
        assert opened.kind is PayKind.REDIRECT
        assert opened.params == {"h5_url": "https://wx.tenpay.com/cgi-bin/checkmweb?prepay_id=wx1&package=1"}

    def test_comes_back_to_the_page_that_was_asked_for(self, wechat, adapter):
        wechat.will(says({"h5_url": "https://wx.tenpay.com/checkmweb?prepay_id=wx1"}))
        inputs = {"client_ip": "203.0.113.7", "return_url": "https://game.example/好?a=1&b=2"}
        opened = adapter.open_payment(opening("wechatpay_h5", inputs=inputs))
        assert opened.params["h5_url"] == (
            "https://wx.tenpay.com/checkmweb?prepay_id=wx1"
            "&redirect_url=https%3A%2F%2Fgame.example%2F%E5%A5%BD%3Fa%3D1%26b%3D2"
        )

    def test_by_qr_code(self, wechat, adapter):
        wechat.will(says({"code_url": "weixin://wxpay/bizpayurl?pr=p4lpSuKzz"}))
        opened = adapter.open_payment(opening("wechatpay_native"))
        [call] = wechat.calls
        assert (call.path, call.document) == ("/v3/pay/transactions/native", ORDER)
        assert (opened.kind, opened.params) == (
            PayKind.QR,
            {"code_url": "weixin://wxpay/bizpayurl?pr=p4lpSuKzz"},
        )

    def test_again_sends_the_very_same_order(self, wechat, adapter):
        wechat.will(says({"prepay_id": "wx1"}), says({"prepay_id": "wx2"}))
        first, second = (adapter.open_payment(opening()) for _ in range(2))
        assert wechat.calls[0].body == wechat.calls[1].body
        assert (first.params["prepayId"], second.params["prepayId"]) == ("wx1", "wx2")
        assert first.params["nonceStr"] != second.params["nonceStr"]

    @pytest.mark.parametrize(
        ("subject", "description"),
        [
            ("钻" * 200, "钻" * 42),
            ("a" * 126 + "钻", "a" * 126),
            ("💎" * 40, "💎" * 31),
            ("gems\n\tand\x00more ", "gems and more"),
            ("\n", NO),
        ],
    )
    def test_cuts_the_description_between_characters(self, wechat, adapter, subject, description):
        wechat.will(says({"prepay_id": "wx1"}))
        adapter.open_payment(opening(subject=subject))
        assert wechat.calls[0].document["description"] == description

    @pytest.mark.parametrize(("method", "name"), [("wechatpay_jsapi", "openid"), ("wechatpay_h5", "client_ip")])
    def test_without_what_the_method_needs_asks_nobody(self, wechat, adapter, method, name):
        with pytest.raises(ProviderRejected, match=name):
            adapter.open_payment(opening(method, inputs={}))
        assert wechat.calls == []

    @pytest.mark.parametrize("answer", [{}, {"prepay_id": ""}, {"prepay_id": 7}, {"prepay_id": "a\nb"}])
    def test_gives_nothing_out_of_an_answer_without_the_id(self, wechat, adapter, answer):
        wechat.will(says(answer))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.open_payment(opening())


class TestKeyModes:
    """A merchant may have the public key, platform certificates, or both; answers in either are believed."""

    def test_with_a_public_key_asks_for_answers_signed_with_it(self, wechat, adapter):
        wechat.will(says({"prepay_id": "wx1"}))
        adapter.open_payment(opening())
        assert wechat.calls[0].headers["wechatpay-serial"] == PUBLIC_KEY_ID

    def test_with_certificates_only_asks_for_no_kind(self, wechat):
        adapter = WechatPayAdapter(certificate_mode(base_url=wechat.url))
        body = b'{"prepay_id":"wx1"}'
        wechat.will(Answer(200, body, by_certificate(body)))
        assert adapter.open_payment(opening()).params["prepayId"] == "wx1"
        assert "wechatpay-serial" not in wechat.calls[0].headers

    def test_during_the_move_believes_both_in_turn(self, wechat):
        adapter = WechatPayAdapter(both_modes(base_url=wechat.url))
        body = b'{"prepay_id":"wx1"}'
        for _ in range(2):
            wechat.will(Answer(200, body, by_certificate(body)))
            assert adapter.open_payment(opening()).params["prepayId"] == "wx1"
            wechat.will(Answer(200, body, signed(body)))
            assert adapter.open_payment(opening()).params["prepayId"] == "wx1"
        assert wechat.calls[0].headers["wechatpay-serial"] == PUBLIC_KEY_ID

    @pytest.mark.parametrize("spelled", [f"{CERTIFICATE_SERIAL:x}", f"{CERTIFICATE_SERIAL:X}", "000abc1234"])
    def test_knows_a_serial_in_any_spelling(self, wechat, spelled):
        adapter = WechatPayAdapter(certificate_mode(base_url=wechat.url))
        body = b'{"prepay_id":"wx1"}'
        wechat.will(Answer(200, body, by_certificate(body, Serial=spelled)))
        assert adapter.open_payment(opening())


class TestAskingAboutAPayment:
    """Only a verified answer about this very order decides anything; an unknown word decides nothing."""

    def test_asks_by_our_number(self, wechat, adapter):
        wechat.will(says(transaction(NO)))
        adapter.query(AttemptRef(attempt_no=NO))
        assert [(call.method, call.path, call.body) for call in wechat.calls] == [
            ("GET", f"/v3/pay/transactions/out-trade-no/{NO}?mchid={MERCHANT['mchid']}", b"")
        ]

    def test_writes_odd_numbers_safely_into_the_address(self, wechat, adapter):
        wechat.will(says(transaction("a|b*c@d/e")))
        assert adapter.query(AttemptRef(attempt_no="a|b*c@d/e")).standing is Standing.PAID
        assert wechat.calls[0].path.startswith("/v3/pay/transactions/out-trade-no/a%7Cb%2Ac%40d%2Fe?")

    @pytest.mark.parametrize("state", ["SUCCESS", "REFUND"])
    def test_proves_a_payment(self, wechat, adapter, state):
        paid = {"trade_state": state, "success_time": "2026-01-02T11:04:05+08:00", "amount.payer_total": 1}
        wechat.will(says(transaction(NO, paid)))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said) == (Standing.PAID, state)
        assert (answer.proof.attempt_no, answer.proof.transaction_id) == (NO, f"4200{NO}")
        assert answer.proof.paid == Money(600, "CNY")
        assert answer.proof.paid_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert answer.proof.paid_at.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        ("state", "standing"),
        [
            ("NOTPAY", Standing.WAITING),
            ("USERPAYING", Standing.WAITING),
            ("PAYERROR", Standing.WAITING),
            ("CLOSED", Standing.CLOSED),
            ("REVOKED", Standing.CLOSED),
            ("ACCEPT", Standing.UNDECIDED),
            ("success", Standing.UNDECIDED),
            ("SOMETHING_NEW", Standing.UNDECIDED),
        ],
    )
    def test_without_one_says_how_it_stands(self, wechat, adapter, state, standing):
        unpaid = {
            "trade_state": state, "transaction_id": ..., "payer": ..., "success_time": ..., "amount": ...,
        }  # fmt: skip
        wechat.will(says(transaction(NO, unpaid)))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said, answer.proof) == (standing, state, None)

    @pytest.mark.parametrize("code", ["ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"])
    def test_that_nobody_knows(self, wechat, adapter, code):
        wechat.will(refuses(404, code))
        answer = adapter.query(AttemptRef(attempt_no=NO))
        assert (answer.standing, answer.said) == (Standing.UNKNOWN, code)

    def test_does_not_take_a_strangers_404_for_an_answer(self, wechat, adapter):
        wechat.will(Answer(404, b"<html>not found</html>", {"Content-Type": "text/html"}))
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))

    @pytest.mark.parametrize(
        "changes",
        [
            {"mchid": "1900000110"},
            {"appid": "wx0000000000000000"},
            {"out_trade_no": f"{NO}2"},
            {"mchid": ...},
        ],
    )
    def test_does_not_believe_an_answer_about_another(self, wechat, adapter, changes):
        wechat.will(says(transaction(NO, changes)))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(AttemptRef(attempt_no=NO))

    @pytest.mark.parametrize(
        "changes",
        [
            {"trade_state": ...},
            {"trade_state": None},
            {"transaction_id": ...},
            {"amount": ...},
            {"amount": []},
            {"amount.total": "600"},
            {"amount.total": 600.0},
            {"amount.total": True},
            {"amount.total": 0},
            {"amount.total": -600},
            {"amount.total": 10**30},
            {"amount.currency": 7},
            {"success_time": ...},
            {"success_time": "yesterday"},
            {"success_time": "2026-13-41T11:04:05+08:00"},
        ],
    )
    def test_proves_nothing_in_an_unexpected_shape(self, wechat, adapter, changes):
        wechat.will(says(transaction(NO, changes)))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.query(AttemptRef(attempt_no=NO))


class TestClosing:
    """A closed attempt can never be paid; one that was paid meanwhile says so."""

    def test_is_done_by_a_signed_empty_answer(self, wechat, adapter):
        wechat.will(says(None, 204))
        assert adapter.close(AttemptRef(attempt_no=NO)) is CloseAnswer.CLOSED
        [call] = wechat.calls
        assert (call.method, call.path, call.document) == (
            "POST", f"/v3/pay/transactions/out-trade-no/{NO}/close", {"mchid": MERCHANT["mchid"]},
        )  # fmt: skip

    def test_is_not_done_by_an_unsigned_one(self, wechat, adapter):
        wechat.will(Answer(204))
        with pytest.raises(ProviderUnavailable, match="unverified_headers"):
            adapter.close(AttemptRef(attempt_no=NO))

    @pytest.mark.parametrize(
        ("status", "code", "answer"),
        [
            (400, "ORDER_PAID", CloseAnswer.PAID),
            (403, "ORDERPAID", CloseAnswer.PAID),
            (400, "ORDER_CLOSED", CloseAnswer.CLOSED),
            (400, "ORDERCLOSED", CloseAnswer.CLOSED),
            (404, "ORDER_NOT_EXIST", CloseAnswer.UNKNOWN),
            (400, "ORDERNOTEXIST", CloseAnswer.UNKNOWN),
        ],
    )
    def test_is_told_why_not(self, wechat, adapter, status, code, answer):
        wechat.will(refuses(status, code))
        assert adapter.close(AttemptRef(attempt_no=NO)) is answer

    def test_leaves_it_open_on_doubt(self, wechat, adapter):
        wechat.will(refuses(500, "ORDER_CLOSED"))
        with pytest.raises(ProviderUnavailable):
            adapter.close(AttemptRef(attempt_no=NO))


class TestRefunding:
    """One refund number is one refund; its state is read from verified answers alone."""

    def test_asks_as_documented(self, wechat, adapter):
        wechat.will(says(refund_view()))
        answer = adapter.refund(refunding())
        [call] = wechat.calls
        assert (call.method, call.path) == ("POST", "/v3/refund/domestic/refunds")
        assert call.document == {
            "transaction_id": "4200000000202601020000000001",
            "out_refund_no": "R20260102000001",
            "reason": "player asked",
            "notify_url": "https://pay.example.com/notify/wechatpay/wx1",
            "amount": {"refund": 100, "total": 600, "currency": "CNY"},
        }
        assert (answer.standing, answer.said, answer.refund_no) == (
            RefundStanding.PROCESSING, "PROCESSING", "R20260102000001",
        )  # fmt: skip
        assert (answer.provider_refund_id, answer.amount, answer.succeeded_at) == (
            "50300000000000000000000000001", Money(100, "CNY"), None,
        )  # fmt: skip

    def test_names_the_order_when_the_transaction_is_not_known(self, wechat, adapter):
        wechat.will(says(refund_view()))
        adapter.refund(refunding(transaction_id="", reason="退" * 100))
        document = wechat.calls[0].document
        assert (document["out_trade_no"], "transaction_id" in document) == (NO, False)
        assert document["reason"] == "退" * 26

    def test_repeats_the_very_same_request(self, wechat, adapter):
        wechat.will(refuses(500, "SYSTEM_ERROR"), says(refund_view()))
        with pytest.raises(ProviderUnavailable):
            adapter.refund(refunding())
        adapter.refund(refunding())
        assert wechat.calls[0].body == wechat.calls[1].body

    @pytest.mark.parametrize(
        ("status", "standing"),
        [
            ("PROCESSING", RefundStanding.PROCESSING),
            ("CLOSED", RefundStanding.CLOSED),
            ("ABNORMAL", RefundStanding.ABNORMAL),
            ("SOMETHING_NEW", RefundStanding.PROCESSING),
        ],
    )
    def test_says_how_far_it_has_come(self, wechat, adapter, status, standing):
        wechat.will(says(refund_view(status=status)))
        assert ask_about_refund(adapter).standing is standing

    def test_that_succeeded_has_a_time(self, wechat, adapter):
        wechat.will(says(refund_view(status="SUCCESS", success_time="2026-01-02T12:00:00+08:00")))
        answer = ask_about_refund(adapter)
        assert answer.standing is RefundStanding.SUCCEEDED
        assert answer.succeeded_at == datetime(2026, 1, 2, 4, tzinfo=UTC)
        assert [(call.method, call.path) for call in wechat.calls] == [
            ("GET", "/v3/refund/domestic/refunds/R20260102000001")
        ]

    def test_that_nobody_knows(self, wechat, adapter):
        wechat.will(refuses(404, "RESOURCE_NOT_EXISTS"))
        assert ask_about_refund(adapter).standing is RefundStanding.UNKNOWN

    def test_of_an_unknown_payment_is_refused(self, wechat, adapter):
        wechat.will(refuses(404, "RESOURCE_NOT_EXISTS"))
        with pytest.raises(ProviderRejected):
            adapter.refund(refunding())

    @pytest.mark.parametrize(
        "changes", [{"out_refund_no": "R2"}, {"transaction_id": "4200"}, {"out_trade_no": "other"}]
    )
    def test_does_not_believe_an_answer_about_another(self, wechat, adapter, changes):
        wechat.will(says(refund_view(**changes)))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.refund(refunding())
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            ask_about_refund(adapter)

    @pytest.mark.parametrize(
        "changes", [{"status": None}, {"amount": None}, {"refund_id": 7}, {"success_time": "soon"}]
    )
    def test_in_an_unexpected_shape_is_unknown(self, wechat, adapter, changes):
        wechat.will(says(refund_view(**changes)))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            ask_about_refund(adapter)


def ask_about_refund(adapter):
    return adapter.query_refund(refunding())


CALLS = {
    "open": lambda adapter: adapter.open_payment(opening()),
    "query": lambda adapter: adapter.query(AttemptRef(attempt_no=NO)),
    "close": lambda adapter: adapter.close(AttemptRef(attempt_no=NO)),
    "refund": lambda adapter: adapter.refund(refunding()),
    "query refund": ask_about_refund,
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class TestErrors:
    """The error says whether repeating is pointless: by the HTTP status first, by the code second."""

    @pytest.mark.parametrize(
        ("status", "code", "message", "error"),
        [
            (400, "PARAM_ERROR", "", ProviderRejected),
            (400, "INVALID_REQUEST", "", ProviderRejected),
            (400, "APPID_MCHID_NOT_MATCH", "", ProviderRejected),
            (400, "MCH_NOT_EXISTS", "", ProviderRejected),
            (400, "ORDER_CLOSED", "", AttemptUnusable),
            (400, "ORDERCLOSED", "", AttemptUnusable),
            (400, "ORDER_PAID", "", AlreadyPaid),
            (403, "ORDERPAID", "", AlreadyPaid),
            (401, "SIGN_ERROR", "", ProviderRejected),
            (403, "NO_AUTH", "", ProviderRejected),
            (403, "ACCOUNT_ERROR", "", ProviderRejected),
            (403, "RULE_LIMIT", "", ProviderRejected),
            (403, "TRADE_ERROR", "", ProviderRejected),
            (403, "NOT_ENOUGH", "", ProviderBusy),
            (403, "OUT_TRADE_NO_USED", "", AttemptUnusable),
            (400, "INVALID_REQUEST", "201 商户订单号重复", AttemptUnusable),
            (404, "ORDER_NOT_EXIST", "", ProviderRejected),
            (404, "RESOURCE_NOT_EXISTS", "", ProviderRejected),
            (418, "NEVER_HEARD_OF", "", ProviderRejected),
            (429, "FREQUENCY_LIMITED", "", ProviderBusy),
            (429, "RATELIMIT_EXCEED", "", ProviderBusy),
            (429, "ORDER_CLOSED", "", ProviderBusy),
            (403, "FREQUENCY_LIMITED", "", ProviderBusy),
            (400, "SYSTEM_ERROR", "", ProviderUnavailable),
            (500, "SYSTEM_ERROR", "", ProviderUnavailable),
            (500, "SYSTEMERROR", "", ProviderUnavailable),
            (502, "BANK_ERROR", "", ProviderUnavailable),
            (503, "ORDER_PAID", "", ProviderUnavailable),
            (500, "INVALID_TRANSACTIONID", "", ProviderRejected),
            (500, "OPENID_MISMATCH", "", ProviderRejected),
            (202, "USER_PAYING", "", ProviderUnavailable),
        ],
    )
    def test_by_status_and_code(self, wechat, adapter, status, code, message, error):
        wechat.will(refuses(status, code, message))
        with pytest.raises(error) as raised:
            adapter.open_payment(opening())
        assert (type(raised.value), raised.value.code, len(wechat.calls)) == (error, code, 1)

    @pytest.mark.parametrize("status", [400, 403, 404, 500, 502, 503])
    @pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b'{"code":', b"[]", b'{"code":7}', b"\xff\xfe"])
    def test_without_a_code_leave_the_result_unknown(self, wechat, adapter, status, body):
        wechat.will(Answer(status, body))
        with pytest.raises(ProviderUnavailable, match=f"http_{status}"):
            adapter.open_payment(opening())

    def test_without_a_code_still_say_slow_down(self, wechat, adapter):
        wechat.will(Answer(429, b"<html>slow down</html>"))
        with pytest.raises(ProviderBusy):
            adapter.open_payment(opening())

    def test_carry_no_control_characters_into_logs(self, wechat, adapter):
        wechat.will(refuses(400, "PARAM\nERROR\x1b[31m", "a\r\nb\x00c"))
        with pytest.raises(ProviderRejected) as raised:
            adapter.open_payment(opening())
        assert str(raised.value).isprintable()


def spoil(**about):
    """A 200 with a good body whose signature is spoilt in one way."""
    return says({**transaction(NO), **refund_view(), "prepay_id": "wx1"}, **about)


FORGERIES = {
    "another key": lambda: spoil(by="wechat attacker"),
    "an unknown serial": lambda: spoil(serial="PUB_KEY_ID_0000000000000000000000000000000001"),
    "301 s old": lambda: spoil(at=time.time() - 301),
    "301 s early": lambda: spoil(at=time.time() + 302),
    "no signature": lambda: Answer(200, b'{"prepay_id":"wx1"}'),
    "another body's": lambda: Answer(200, b'{"prepay_id":"wx1"}', signed(b'{"prepay_id":"wx2"}')),
    "junk as timestamp": lambda: spoil(timestamp="now"),
    "junk as signature": lambda: spoil(signature="junk"),
    "an empty nonce": lambda: spoil(nonce=""),
    "probes only": lambda: spoil(probe=True),
}


class TestForgedAnswers:
    """A good answer without a valid signature is no answer: the result is unknown, whatever it says."""

    @every_call
    @pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
    def test_are_not_believed(self, wechat, adapter, call, forge):
        wechat.will(forge())
        with pytest.raises(ProviderUnavailable, match="unverified_"):
            call(adapter)

    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"{", b"\xff", b"[" * 20_000])
    @every_call
    def test_nor_is_signed_garbage(self, wechat, adapter, call, body):
        wechat.will(Answer(200, body, signed(body)))
        with pytest.raises(ProviderUnavailable):
            call(adapter)

    def test_sent_as_a_probe_are_followed_by_a_genuine_one(self, wechat, adapter):
        wechat.will(says({"prepay_id": "wx-probe"}, probe=True), says({"prepay_id": "wx-real"}))
        assert adapter.open_payment(opening()).params["prepayId"] == "wx-real"
        assert wechat.calls[0].body == wechat.calls[1].body
        assert wechat.calls[0].headers["authorization"] != wechat.calls[1].headers["authorization"]


def raw(write):
    return Answer(raw=write)


def drip(handler):
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)


def too_long(handler):
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
        for _ in range(9):
            handler.wfile.write(b" " * 1_000_000)


class _Silence:
    """Accepts the request and says nothing until the test ends."""

    def __init__(self):
        self.over = threading.Event()

    def __call__(self, handler):
        self.over.wait(5)


WEATHER = {
    "a cut in the middle of the body": raw(
        lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
    ),
    "a cut before the answer": raw(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)),
    "something that is not HTTP": raw(lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "broken chunks": raw(
        lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    ),
    "broken compression": raw(
        lambda handler: handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: 4\r\n\r\njunk"
        )
    ),
    "dripping": raw(drip),
    "nine megabytes": raw(too_long),
}


class TestBadWeather:
    """Whatever happens on the way, the caller hears "unknown" within the time limits, and nothing crashes."""

    @pytest.fixture(autouse=True)
    def _shortened(self, monkeypatch):
        monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.2)
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.3)

    @pytest.mark.parametrize("answer", WEATHER.values(), ids=WEATHER)
    def test_leaves_the_result_unknown(self, wechat, adapter, answer):
        wechat.will(answer)
        started = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            adapter.query(AttemptRef(attempt_no=NO))
        assert time.monotonic() - started < 2
        wechat.will(says(transaction(NO)))
        assert adapter.query(AttemptRef(attempt_no=NO)).standing is Standing.PAID

    @every_call
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_does_not_follow_redirects(self, wechat, adapter, call, status):
        wechat.will(Answer(status, b"", {"Location": f"{wechat.url}/elsewhere", **signed(b"")}))
        with pytest.raises(ProviderUnavailable, match=f"http_{status}"):
            call(adapter)
        assert len(wechat.calls) == 1

    def test_waits_no_longer_than_the_limit(self, wechat, adapter):
        silence = _Silence()
        wechat.will(raw(silence))
        with pytest.raises(ProviderUnavailable, match="read_timeout"):
            adapter.query(AttemptRef(attempt_no=NO))
        silence.over.set()

    def test_tries_the_second_host_when_the_first_takes_no_connection(self, wechat):
        adapter = WechatPayAdapter(keys.wechat_credentials(base_url=keys.NOWHERE, second_base_url=wechat.url))
        wechat.will(says(transaction(NO)))
        assert [adapter.query(AttemptRef(attempt_no=NO)).standing for _ in range(2)] == [Standing.PAID, Standing.PAID]
        assert len(wechat.calls) == 2

    def test_stays_with_the_host_that_answers(self, wechat):
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
            port = dead.getsockname()[1]
            adapter = WechatPayAdapter(
                keys.wechat_credentials(base_url=f"http://127.0.0.1:{port}", second_base_url=wechat.url)
            )
            wechat.will(says(transaction(NO)))
            adapter.query(AttemptRef(attempt_no=NO))
        first = WechatSide(port)
        first.will(says(transaction(NO)))
        adapter.query(AttemptRef(attempt_no=NO))
        first.close()
        assert (len(first.calls), len(wechat.calls)) == (0, 2)

    def test_does_not_send_twice_what_may_have_arrived(self, wechat):
        second = WechatSide()
        second.will(says({"prepay_id": "wx1"}))
        adapter = WechatPayAdapter(keys.wechat_credentials(base_url=wechat.url, second_base_url=second.url))
        silence = _Silence()
        for answer in (raw(silence), WEATHER["a cut before the answer"], refuses(500, "SYSTEM_ERROR")):
            wechat.will(answer)
            with pytest.raises(ProviderUnavailable):
                adapter.open_payment(opening())
        silence.over.set()
        assert (len(wechat.calls), len(second.calls)) == (3, 0)
        second.close()

    def test_comes_back_when_the_second_host_fails_later(self, wechat):
        second = WechatSide()
        leaving = says(transaction(NO))
        leaving.headers["Connection"] = "close"
        second.will(leaving)
        wechat.will(says(transaction(NO)))
        adapter = WechatPayAdapter(keys.wechat_credentials(base_url=second.url, second_base_url=wechat.url))
        adapter.query(AttemptRef(attempt_no=NO))
        second.close()
        assert [adapter.query(AttemptRef(attempt_no=NO)).standing for _ in range(2)] == [Standing.PAID, Standing.PAID]
        assert (len(second.calls), len(wechat.calls)) == (1, 2)

    def test_with_no_host_at_all_sends_nothing(self):
        adapter = WechatPayAdapter(keys.wechat_credentials(base_url=keys.NOWHERE, second_base_url=keys.NOWHERE))
        with pytest.raises(ConnectFailed):
            adapter.query(AttemptRef(attempt_no=NO))

    def test_holds_only_so_many_callers_while_a_provider_hangs(self, wechat, adapter, monkeypatch):
        # Long enough for every caller to arrive on a busy machine: nobody may be given up while others still come.
        monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 10.0)
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 20.0)
        silence = _Silence()
        wechat.will(raw(silence))
        unknown = []

        def ask():
            try:
                adapter.query(AttemptRef(attempt_no=NO))
            except ProviderUnavailable:
                unknown.append(1)

        callers = [threading.Thread(target=ask) for _ in range(transport.CALLS_AT_ONCE)]
        for caller in callers:
            caller.start()
        deadline = time.monotonic() + 15
        while len(wechat.calls) < transport.CALLS_AT_ONCE and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(ProviderBusy):
            adapter.query(AttemptRef(attempt_no=NO))
        silence.over.set()
        for caller in callers:
            caller.join()
        assert (len(wechat.calls), len(unknown)) == (transport.CALLS_AT_ONCE, transport.CALLS_AT_ONCE)


SECRETS = ("private_key", "api_v3_key", "public_key")


class TestCredentials:
    """A defect is found when the account is saved, named by its key, and never shown."""

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            *(({name: value}, name) for name in MERCHANT if name != "base_url" for value in ("", "  ", 7)),
            *(
                ({name: None}, name)
                for name in (
                    "mchid",
                    "appid",
                    "serial_no",
                    "private_key",
                    "api_v3_key",
                    "public_key",
                    "public_key_id",
                )
            ),
            ({"mchid": '19"00'}, "mchid"),
            ({"mchid": "１９００"}, "mchid"),
            ({"appid": "wx\n1"}, "appid"),
            ({"serial_no": "not hex"}, "serial_no"),
            ({"private_key": keys.public_pem("wechat merchant")}, "private_key"),
            ({"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}, "private_key"),
            ({"api_v3_key": "0" * 31}, "api_v3_key"),
            ({"api_v3_key": "0" * 33}, "api_v3_key"),
            ({"api_v3_key": "钻" * 32}, "api_v3_key"),
            ({"public_key": keys.private_pem("wechat platform")}, "public_key"),
            ({"public_key_id": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"}, "public_key_id"),
            ({"platform_certificates": "one"}, "platform_certificates"),
            ({"platform_certificates": [7]}, "platform_certificates[0]"),
            ({"platform_certificates": [keys.public_pem("wechat platform")]}, "platform_certificates[0]"),
            ({"public_key": None, "public_key_id": None}, "public_key"),
            (
                {"public_key": None, "public_key_id": None, "platform_certificates": []},
                "platform_certificates",
            ),
            ({"base_url": "ftp://x"}, "base_url"),
            ({"base_url": "api.mch.weixin.qq.com"}, "base_url"),
            ({"base_url": "https://user:pw@host"}, "base_url"),
            ({"base_url": "https://host/?a=1"}, "base_url"),
            ({"base_url": "https://[::1"}, "base_url"),
            ({"base_url": None, "second_base_url": "https://host"}, "second_base_url"),
        ],
    )
    def test_that_do_not_hold_are_refused_by_name(self, changes, named):
        credentials = keys.wechat_credentials(**changes)
        with pytest.raises(CredentialsInvalid) as raised:
            WechatPayAdapter(credentials)
        assert named in str(raised.value)
        for name in SECRETS:
            value = credentials[name]
            if isinstance(value, str) and value.strip():
                assert value not in str(raised.value)

    def test_without_an_address_mean_the_official_hosts(self):
        credentials = {name: value for name, value in MERCHANT.items() if name != "base_url"}
        assert WechatPayAdapter(credentials)._hosts == OFFICIAL_HOSTS

    def test_are_not_shown_by_the_adapter(self):
        adapter = WechatPayAdapter(both_modes())
        shown = repr(adapter) + str(adapter)
        assert all(MERCHANT[name] not in shown for name in SECRETS)

    def test_survive_the_vault(self):
        stored = json.loads(json.dumps(both_modes(), ensure_ascii=False))
        assert len(WechatPayAdapter(stored)._platform_keys) == 2


class TestFindingByTheirNumber:
    """A number that only WeChat Pay knows is asked about; what it answers is believed as any other answer."""

    THEIRS = f"4200{NO}"

    def test_asks_by_their_number(self, wechat, adapter):
        wechat.will(says(transaction(NO)))
        answer = adapter.find(self.THEIRS)
        assert wechat.calls[0].path == f"/v3/pay/transactions/id/{self.THEIRS}?mchid={MERCHANT['mchid']}"
        assert (answer.standing, answer.proof.attempt_no, answer.proof.transaction_id) == (
            Standing.PAID,
            NO,
            self.THEIRS,
        )

    @pytest.mark.parametrize(("status", "code"), [(404, "ORDER_NOT_EXIST"), (400, "PARAM_ERROR")])
    def test_that_nobody_knows(self, wechat, adapter, status, code):
        wechat.will(refuses(status, code))
        assert adapter.find(self.THEIRS).standing is Standing.UNKNOWN

    @pytest.mark.parametrize("changes", [{"transaction_id": "4200X"}, {"mchid": "1900000110"}, {"transaction_id": ...}])
    def test_does_not_believe_an_answer_about_another(self, wechat, adapter, changes):
        wechat.will(says(transaction(NO, changes)))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.find(self.THEIRS)
