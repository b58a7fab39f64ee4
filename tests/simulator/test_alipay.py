"""The simulated Alipay against our adapter, and against requests signed by a third hand."""

from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
import requests

from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    ProviderError,
    ProviderRejected,
    RefundStanding,
    Standing,
)
from tests.simulator import wire
from tests.simulator.conftest import asking_about_refund

PRODUCTS = ("app", "wap", "page", "qr")
TERMS = {"total_amount": "6.00", "subject": "60 宝石", "product_code": "QUICK_MSECURITY_PAY", "timeout_express": "30m"}


@pytest.fixture(params=["key mode", "certificate mode"])
def merchant(request):
    """A merchant in each of the two modes."""
    names = {"key mode": "alipay", "certificate mode": "alipay_with_certificates"}
    return request.getfixturevalue(names[request.param])


class TestPurchase:
    """Our adapter cannot tell the simulator from Alipay, in either mode."""

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_every_product_is_opened_presented_paid_and_not_closed_afterwards(self, merchant, control, product):
        number, _ = merchant.open(product)
        expected = Standing.UNKNOWN if product == "qr" else Standing.WAITING
        assert merchant.adapter.query(AttemptRef(attempt_no=number)).standing == expected
        done = control.act(merchant, number, "pay")
        answer = merchant.adapter.query(AttemptRef(attempt_no=number))
        assert answer.standing == Standing.PAID
        assert answer.proof.transaction_id == done["trade"]["payments"][0]["transaction_id"]
        assert answer.proof.paid.amount_minor == 600
        assert merchant.adapter.close(AttemptRef(attempt_no=number)) == CloseAnswer.PAID

    def test_nothing_exists_before_the_buyer_brings_the_order(self, alipay, control):
        request = alipay.request("app")
        alipay.adapter.open_payment(request)
        assert alipay.adapter.query(AttemptRef(attempt_no=request.attempt_no)).standing == Standing.UNKNOWN
        assert alipay.adapter.close(AttemptRef(attempt_no=request.attempt_no)) == CloseAnswer.UNKNOWN
        control.act(alipay, request.attempt_no, "pay", expect=404)

    def test_a_closed_or_paid_order_cannot_be_opened_again(self, alipay, control):
        closed, paid = alipay.request("qr"), alipay.request("qr")
        for request in (closed, paid):
            alipay.adapter.open_payment(request)
        control.act(alipay, closed.attempt_no, "close")
        control.act(alipay, paid.attempt_no, "pay")
        with pytest.raises(AttemptUnusable):
            alipay.adapter.open_payment(closed)
        with pytest.raises(AlreadyPaid):
            alipay.adapter.open_payment(paid)

    def test_a_waiting_order_is_closed_at_once(self, alipay):
        number, _ = alipay.open("app")
        assert alipay.adapter.close(AttemptRef(attempt_no=number)) == CloseAnswer.CLOSED
        assert alipay.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.CLOSED

    def test_the_same_number_for_something_else_is_refused(self, alipay, control):
        number, _ = alipay.open("app")
        for changes in ({"total_amount": "6.01"}, {"subject": "61 宝石"}):
            terms = {**TERMS, "out_trade_no": number, **changes}
            shown = wire.order_string(alipay.credentials, "alipay.trade.app.pay", terms)
            refused = control.post("present", expect=409, provider="alipay", order_string=shown)
            assert refused["code"] == "ACQ.CONTEXT_INCONSISTENT"


class TestRefunds:
    """A refund happens once per number and never beyond what was paid."""

    def test_the_money_moves_in_the_first_call_only(self, merchant, control):
        number, _ = merchant.open("app")
        control.act(merchant, number, "pay")
        request, answer = merchant.refund(number, amount=200)
        assert answer.standing == RefundStanding.SUCCEEDED
        merchant.adapter.refund(request)
        assert [each["amount"] for each in control.trade(merchant, number)["payments"][0]["refunds"]] == [200]
        found = merchant.adapter.query_refund(request)
        assert (found.standing, found.amount.amount_minor) == (RefundStanding.SUCCEEDED, 200)

    def test_another_amount_or_more_than_is_left_is_refused(self, alipay, control):
        number, _ = alipay.open("app")
        control.act(alipay, number, "pay")
        request, _ = alipay.refund(number, amount=400)
        for amount, refund_no in ((300, request.refund_no), (201, None)):
            with pytest.raises(ProviderRejected):
                alipay.refund(number, amount=amount, refund_no=refund_no)
        assert [each["amount"] for each in control.trade(alipay, number)["payments"][0]["refunds"]] == [400]

    def test_the_answer_sums_up_and_a_full_refund_ends_the_trade(self, alipay, control):
        number, _ = alipay.open("app")
        control.act(alipay, number, "pay")
        fees = []
        for refund_no, amount in (("A", "2.00"), ("B", "4.00"), ("B", "4.00")):
            terms = {"out_trade_no": number, "refund_amount": amount, "out_request_no": refund_no}
            node = wire.alipay(alipay.credentials, "alipay.trade.refund", terms)
            fees.append((node["refund_fee"], node["fund_change"]))
        assert fees == [("2.00", "Y"), ("6.00", "Y"), ("6.00", "N")]
        node = wire.alipay(alipay.credentials, "alipay.trade.query", {"out_trade_no": number})
        assert node["trade_status"] == "TRADE_CLOSED"

    def test_an_unknown_refund_gets_an_almost_empty_answer(self, alipay, control):
        number, _ = alipay.open("app")
        control.act(alipay, number, "pay")
        terms = {"out_trade_no": number, "out_request_no": "NONE"}
        node = wire.alipay(alipay.credentials, "alipay.trade.fastpay.refund.query", terms)
        assert node == {"code": "10000", "msg": "Success"}
        found = alipay.adapter.query_refund(asking_about_refund("NONE", number))
        assert found.standing == RefundStanding.UNKNOWN

    def test_cancelling_a_face_to_face_trade_closes_it_or_pays_it_back(self, alipay, control):
        actions = []
        for paid in (False, True):
            number, _ = alipay.open("qr")
            if paid:
                control.act(alipay, number, "pay")
            node = wire.alipay(alipay.credentials, "alipay.trade.cancel", {"out_trade_no": number})
            actions.append((node["action"], control.trade(alipay, number)["state"]))
        assert actions == [("close", "closed"), ("refund", "paid")]
        refunds = control.trade(alipay, number)["payments"][0]["refunds"]
        assert [each["amount"] for each in refunds] == [600]


class TestStrictness:
    """What Alipay refuses, the simulator refuses."""

    @pytest.mark.parametrize(
        ("changes", "sub_code"),
        [
            ({"after": {"biz_content": '{"out_trade_no":"other"}'}}, "isv.invalid-signature"),
            ({"after": {"extra": "1"}}, "isv.invalid-signature"),
            ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
            ({"sign_type": "RSA"}, "isv.invalid-sign-type"),
            ({"charset": "gbk"}, "isv.invalid-charset"),
            ({"app_cert_sn": "0" * 32}, "isv.invalid-app-cert-sn"),
        ],
    )
    def test_a_call_not_signed_by_the_application_is_refused_without_a_signature(self, alipay, changes, sub_code):
        node = wire.alipay(alipay.credentials, "alipay.trade.query", {"out_trade_no": "N1"}, **changes)
        assert (node["code"], node["sub_code"]) == ("40002", sub_code)

    def test_utc_instead_of_beijing_time_is_refused(self, alipay):
        at = (datetime.now(wire.CHINA) - timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S")
        node = wire.alipay(alipay.credentials, "alipay.trade.query", {"out_trade_no": "N1"}, timestamp=at)
        assert node["sub_code"] == "isv.invalid-timestamp"

    @pytest.mark.parametrize(
        "changes",
        [
            {"out_trade_no": "has-hyphen"},
            {"total_amount": "0.00"},
            {"total_amount": "6.001"},
            {"total_amount": 6},
            {"subject": ""},
            {"timeout_express": "30"},
        ],
        ids=str,
    )
    def test_an_order_against_the_rules_is_refused(self, alipay, changes):
        terms = {**TERMS, "out_trade_no": "Nstrict", **changes}
        node = wire.alipay(alipay.credentials, "alipay.trade.precreate", terms)
        assert (node["code"], node["sub_code"]) == ("40004", "ACQ.INVALID_PARAMETER")

    def test_an_order_string_that_was_changed_is_not_accepted(self, alipay, control):
        request = alipay.request("app")
        signed = dict(parse_qsl(alipay.adapter.open_payment(request).params["order_string"]))
        changed = {**signed, "biz_content": signed["biz_content"].replace("6.00", "0.01")}
        refused = control.post("present", expect=409, provider="alipay", order_string=urlencode(changed))
        assert refused["code"] == "isv.invalid-signature"
        control.act(alipay, request.attempt_no, "pay", expect=404)

    def test_a_method_nobody_offers_is_not_permitted(self, alipay):
        node = wire.alipay(alipay.credentials, "alipay.trade.create", {"out_trade_no": "N1"})
        assert node["code"] == "40006"

    def test_an_application_in_certificate_mode_must_name_its_certificates(self, alipay_with_certificates):
        merchant = alipay_with_certificates
        answer = requests.post(
            merchant.credentials["gateway"],
            data=wire.alipay_parameters(merchant.credentials, "alipay.trade.query", {"out_trade_no": "N1"}),
            timeout=10,
        ).json()
        assert answer["error_response"]["sub_code"] == "isv.invalid-app-cert-sn"
        # Our adapter does.
        assert merchant.adapter.query(AttemptRef(attempt_no="N1")).standing == Standing.UNKNOWN

    def test_our_adapter_notices_a_merchant_it_has_the_wrong_keys_of(self, alipay, new_merchant):
        other = new_merchant("alipay").credentials
        mixed = {**alipay.credentials, "app_private_key": other["app_private_key"]}
        with pytest.raises(ProviderError):
            type(alipay.adapter)(mixed).query(AttemptRef(attempt_no="N1"))
