"""The simulated WeChat Pay against our adapter, and against requests signed by a third hand."""

import base64
import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    ProviderRejected,
    RefundStanding,
    Standing,
)
from channels_app.simulator.server import RunningSimulator
from tests.simulator import wire
from tests.simulator.conftest import asking_about_refund
from tests.simulator.receiving import eventually

PRODUCTS = ("app", "jsapi", "h5", "native")


class TestPurchase:
    """Our adapter cannot tell the simulator from WeChat Pay."""

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_every_product_is_opened_asked_about_paid_and_not_closed_afterwards(self, wechat, control, product):
        number, _ = wechat.open(product)
        assert wechat.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.WAITING
        done = control.act(wechat, number, "pay")
        answer = wechat.adapter.query(AttemptRef(attempt_no=number))
        assert answer.standing == Standing.PAID
        assert answer.proof.transaction_id == done["trade"]["payments"][0]["transaction_id"]
        assert answer.proof.paid.amount_minor == 600
        assert wechat.adapter.close(AttemptRef(attempt_no=number)) == CloseAnswer.PAID
        with pytest.raises(AlreadyPaid):
            wechat.adapter.open_payment(wechat.request(product, attempt_no=number))

    def test_closing_is_repeatable_and_ends_the_number(self, wechat):
        request = wechat.request("app")
        wechat.adapter.open_payment(request)
        assert [wechat.adapter.close(AttemptRef(attempt_no=request.attempt_no)) for _ in range(2)] == [
            CloseAnswer.CLOSED
        ] * 2
        assert wechat.adapter.query(AttemptRef(attempt_no=request.attempt_no)).standing == Standing.CLOSED
        with pytest.raises(AttemptUnusable):
            wechat.adapter.open_payment(request)

    def test_the_same_order_again_gives_a_fresh_way_to_pay_and_another_one_is_refused(self, wechat):
        request = wechat.request("native")
        first, second = (wechat.adapter.open_payment(request).params["code_url"] for _ in range(2))
        assert first != second
        for changes in ({"subject": "61 宝石"}, {"method": "wechatpay_app"}):
            with pytest.raises(AttemptUnusable, match="OUT_TRADE_NO_USED"):
                wechat.adapter.open_payment(wechat.request(**{"product": "native", **_same(request), **changes}))

    def test_an_unknown_number_is_unknown(self, wechat):
        assert wechat.adapter.query(AttemptRef(attempt_no="N000000000")).standing == Standing.UNKNOWN
        assert wechat.adapter.close(AttemptRef(attempt_no="N000000000")) == CloseAnswer.UNKNOWN

    def test_an_order_past_its_time_closes_by_itself_and_cannot_be_paid(self, wechat, control, simulator):
        at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 1.1))
        order = wire.wechat_order(wechat.credentials, "Nexpires1", time_expire=at)
        assert wire.wechat(wechat.credentials, "POST", "/v3/pay/transactions/app", order).status_code == 200
        eventually(lambda: wechat.adapter.query(AttemptRef(attempt_no="Nexpires1")).standing == Standing.CLOSED)
        control.act(wechat, "Nexpires1", "pay", expect=409)


def _same(request):
    names = ("method", "attempt_no", "due", "subject", "notify_url", "expires_at", "inputs")
    return {name: getattr(request, name) for name in names}


class TestRefunds:
    """A refund happens once per number and never beyond what was paid."""

    def test_it_is_accepted_then_succeeds_and_a_repeat_is_the_same_refund(self, wechat, control):
        number, _ = wechat.open("app")
        control.act(wechat, number, "pay")
        request, answer = wechat.refund(number, amount=200)
        assert answer.standing == RefundStanding.PROCESSING
        assert wechat.adapter.refund(request).provider_refund_id == answer.provider_refund_id
        assert len(control.trade(wechat, number)["payments"][0]["refunds"]) == 1
        found = eventually(lambda: _succeeded(wechat.adapter, request))
        assert (found.amount.amount_minor, found.provider_refund_id) == (200, answer.provider_refund_id)
        assert wechat.adapter.query(AttemptRef(attempt_no=number)).said == "REFUND"

    def test_it_is_refused_with_another_amount_or_beyond_the_payment(self, wechat, control):
        number, _ = wechat.open("app")
        control.act(wechat, number, "pay")
        request, _ = wechat.refund(number, amount=400)
        for amount, refund_no in ((300, request.refund_no), (201, None)):
            with pytest.raises(ProviderRejected):
                wechat.refund(number, amount=amount, refund_no=refund_no)
        assert [each["amount"] for each in control.trade(wechat, number)["payments"][0]["refunds"]] == [400]

    def test_there_are_50_at_most(self, wechat, control):
        number, _ = wechat.open("app")
        control.act(wechat, number, "pay")
        for _ in range(50):
            wechat.refund(number, amount=1)
        with pytest.raises(ProviderRejected):
            wechat.refund(number, amount=1)

    def test_an_unpaid_order_and_an_unknown_refund_are_told_apart_from_success(self, wechat):
        wechat.open("app", attempt_no="Nunpaid01")
        body = {
            "out_trade_no": "Nunpaid01", "out_refund_no": "R1",
            "amount": {"refund": 1, "total": 600, "currency": "CNY"},
        }  # fmt: skip
        answer = wire.wechat(wechat.credentials, "POST", "/v3/refund/domestic/refunds", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
        found = wechat.adapter.query_refund(asking_about_refund("R1", "Nunpaid01"))
        assert found.standing == RefundStanding.UNKNOWN


def _succeeded(adapter, request):
    answer = adapter.query_refund(request)
    return answer if answer.standing == RefundStanding.SUCCEEDED else None


class TestStrictness:
    """What WeChat Pay refuses, the simulator refuses; what it signs, a third hand can verify."""

    PATH = "/v3/pay/transactions/app"

    @pytest.mark.parametrize(
        "about",
        [
            {"sign_path": "/v3/pay/transactions/jsapi"},
            {"timestamp": str(int(time.time()) - 400)},
            {"serial_no": "ABCDEF"},
            {"mchid": "1900000000"},
            {"headers": {"Authorization": "Bearer x"}},
        ],
        ids=lambda about: next(iter(about)),
    )
    def test_a_request_not_signed_by_the_merchant_is_refused_and_makes_nothing(self, wechat, simulator, about):
        order = wire.wechat_order(wechat.credentials, f"Nunsigned{next(iter(about))}"[:32])
        answer = wire.wechat(wechat.credentials, "POST", self.PATH, order, **about)
        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")
        assert simulator.store.trades(provider="wechatpay", out_trade_no=order["out_trade_no"]) == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"discount": 1},
            {"amount": {"total": 600, "currency": "USD"}},
            {"amount": {"total": "600"}},
            {"amount": {"total": 0}},
            {"amount": {"total": 600, "payer": 1}},
            {"description": ""},
            {"out_trade_no": "short"},
            {"notify_url": "https://game.example/notify?x=1"},
            {"attach": "附" * 43},
            {"time_expire": "2026-01-01 00:00:00"},
            {"time_expire": "2020-01-01T00:00:00+08:00"},
            {"payer": {"openid": "o"}},
        ],
        ids=str,
    )
    def test_an_order_against_the_rules_is_refused(self, wechat, changes):
        order = wire.wechat_order(wechat.credentials, "Nstrict01", **changes)
        answer = wire.wechat(wechat.credentials, "POST", self.PATH, order)
        assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
        assert wire.wechat_answer_is_signed(wechat.credentials, answer)

    def test_fields_that_a_product_needs_are_missed(self, wechat):
        order = wire.wechat_order(wechat.credentials, "Nstrict02")
        for product in ("jsapi", "h5"):
            answer = wire.wechat(wechat.credentials, "POST", f"/v3/pay/transactions/{product}", order)
            assert answer.json()["code"] == "PARAM_ERROR"

    def test_another_application_is_not_bound_to_the_merchant(self, wechat):
        order = wire.wechat_order(wechat.credentials, "Nstrict03", appid="wx0000000000000000")
        answer = wire.wechat(wechat.credentials, "POST", self.PATH, order)
        assert answer.json()["code"] == "APPID_MCHID_NOT_MATCH"

    def test_a_request_without_accept_is_refused(self, wechat):
        order = wire.wechat_order(wechat.credentials, "Nstrict04")
        answer = wire.wechat(wechat.credentials, "POST", self.PATH, order, headers={"Accept": None})
        assert answer.status_code == 400

    def test_the_answer_is_signed_with_the_key_that_was_asked_for(self, wechat, control):
        order = wire.wechat_order(wechat.credentials, "Nkeys0001")
        certificate_serial = _serial_of(wechat.credentials)
        asked = {wechat.credentials["public_key_id"]: wechat.credentials["public_key_id"], "": certificate_serial}
        for ask, expected in {**asked, certificate_serial: certificate_serial}.items():
            headers = {"Wechatpay-Serial": ask} if ask else {}
            answer = wire.wechat(wechat.credentials, "POST", self.PATH, order, headers=headers)
            assert answer.headers["Wechatpay-Serial"] == expected
            assert wire.wechat_answer_is_signed(wechat.credentials, answer)
        other = wire.wechat(wechat.credentials, "POST", self.PATH, order, headers={"Wechatpay-Serial": "PUB_KEY_ID_9"})
        assert other.status_code == 400

    def test_the_platform_certificate_can_be_fetched_and_opened(self, new_merchant, control):
        wechat = new_merchant("wechatpay")
        answer = wire.wechat(wechat.credentials, "GET", "/v3/certificates")
        (entry,) = answer.json()["data"]
        sealed = entry["encrypt_certificate"]
        opened = AESGCM(wechat.credentials["api_v3_key"].encode()).decrypt(
            sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), sealed["associated_data"].encode()
        )
        assert opened.decode() == wechat.credentials["platform_certificates"][0]
        assert entry["serial_no"] == _serial_of(wechat.credentials)
        control.post(f"merchants/wechatpay/{wechat.code}", notify_keys="public_key")
        gone = wire.wechat(wechat.credentials, "GET", "/v3/certificates")
        assert (gone.status_code, gone.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")

    def test_the_app_presents_what_our_adapter_signed(self, wechat, control):
        for product in ("app", "jsapi"):
            number, params = wechat.open(product)
            shown = control.post("present", provider="wechatpay", params=dict(params))
            assert shown["trade"]["out_trade_no"] == number
            forged = {**params, "nonceStr": "other"}
            control.post("present", expect=409, provider="wechatpay", params=forged)


def _serial_of(credentials) -> str:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(credentials["platform_certificates"][0].encode())
    return format(certificate.serial_number, "X")


class TestMemory:
    """A restart keeps keys and trades."""

    def test_the_same_merchant_has_the_same_keys_and_its_trades_after_a_restart(self, tmp_path):
        with RunningSimulator(tmp_path) as first:
            before = first.store.merchant("wechatpay", "kept", "http://127.0.0.1:1")
            order = wire.wechat_order(before, "Nkept0001")
            made = wire.wechat({**before, "base_url": first.url}, "POST", "/v3/pay/transactions/app", order)
            assert made.status_code == 200
        with RunningSimulator(tmp_path) as second:
            after = second.store.merchant("wechatpay", "kept", "http://127.0.0.1:1")
            assert after == before
            path = f"/v3/pay/transactions/out-trade-no/Nkept0001?mchid={after['mchid']}"
            answer = wire.wechat({**after, "base_url": second.url}, "GET", path)
            assert answer.json()["trade_state"] == "NOTPAY"
            assert wire.wechat_answer_is_signed(after, answer)

    def test_nobody_but_the_owner_may_read_the_keys(self, tmp_path, simulator):
        with RunningSimulator(tmp_path) as running:
            running.store.merchant("alipay", "kept")
        for file in tmp_path.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file
