"""The simulated UnionPay against our adapter, and a buyer in front of its cashier."""

import html
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import requests

from channels_app.money import Money
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    Foreign,
    Hint,
    NotificationRefused,
    OpenRequest,
    PaymentProof,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Standing,
)
from channels_app.providers.unionpay import UnionPayAdapter
from tests.simulator.conftest import Control
from tests.simulator.receiving import Answer, eventually

CHINA = timezone(timedelta(hours=8))
BACK = "https://game.example/checkout/N?token=a.b&back=1"
_numbers = itertools.count(1)


class Desk:
    """One merchant at the simulated UnionPay, spoken to through our own adapter."""

    provider = "unionpay"

    def __init__(self, simulator, receiver):
        self.code = f"unionpay-{next(_numbers)}"
        self.receiver = receiver
        self.control = Control(simulator.url)
        self.credentials = simulator.store.merchant("unionpay", self.code, simulator.url)
        self.adapter = UnionPayAdapter(self.credentials, live=False)

    def request(self, method="unionpay_gateway", **changes) -> OpenRequest:
        now = datetime.now(UTC)
        about = {
            "method": method, "attempt_no": f"UP{next(_numbers):010d}", "due": Money(600, "CNY"), "subject": "60 宝石",
            "notify_url": self.receiver.url, "inputs": {"return_url": BACK}, "opened_at": now,
            "expires_at": now + timedelta(minutes=30),
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def buy(self, request: OpenRequest, *, expect=200, **asked) -> dict:
        params = dict(self.adapter.open_payment(request).params)
        return self.control.post(
            "buy", expect=expect, provider="unionpay", merchant=self.code, params=params, wait=True, **asked
        )  # fmt: skip

    def bought(self, **asked) -> tuple[OpenRequest, PaymentProof]:
        request = self.request()
        self.buy(request, **asked)
        return request, self.adapter.query(ref(request)).proof

    def told(self):
        """The last message that arrived, as our adapter reads it."""
        return self.adapter.read_notification(self.receiver.received[-1])

    def refunding(self, proof: PaymentProof, amount: int, **changes) -> RefundRequest:
        about = {
            "refund_no": f"UR{next(_numbers):010d}", "attempt_no": proof.attempt_no, "amount": Money(amount, "CNY"),
            "transaction_id": proof.transaction_id, "paid": proof.paid, "reason": "", "notify_url": self.receiver.url,
        }  # fmt: skip
        return RefundRequest(**{**about, **changes})


def ref(request: OpenRequest, **changes) -> AttemptRef:
    return AttemptRef(attempt_no=request.attempt_no, opened_at=request.opened_at, **changes)


@pytest.fixture
def desk(simulator, receiver):
    desk = Desk(simulator, receiver)
    yield desk
    desk.control.post("weather", provider="unionpay", mode="ok")


class TestPurchase:
    """Our adapter cannot tell the simulator from UnionPay, in the browser and in the app."""

    @pytest.mark.parametrize("method", ["unionpay_gateway", "unionpay_app"])
    def test_is_opened_paid_told_and_proved_by_the_query(self, desk, method):
        request = desk.request(method)
        assert desk.adapter.query(ref(request)).standing == Standing.UNKNOWN
        bought = desk.buy(request)
        (notice,) = bought["notifications"]
        assert (notice["event"], notice["state"]) == ("consume", "acknowledged")
        told = desk.told()
        opened_at = request.opened_at.replace(microsecond=0)
        assert told == Hint(said="00", about=AttemptRef(attempt_no=request.attempt_no, opened_at=opened_at))
        proof = desk.adapter.follow(told)
        assert proof.transaction_id == bought["trade"]["payments"][0]["transaction_id"]
        assert (proof.attempt_no, proof.paid, proof.opened_at) == (request.attempt_no, Money(600, "CNY"), opened_at)
        assert abs(proof.paid_at - datetime.now(UTC)) < timedelta(seconds=10)
        assert desk.adapter.close(ref(request)) == CloseAnswer.PAID

    def test_of_an_account_is_probed(self, desk):
        assert desk.adapter.probe("CHECK0123456789ABCDEF0123").verified

    def test_that_nobody_finishes_is_closed_by_time_alone(self, desk, simulator):
        request = desk.request()
        shown = requests.post(**posted(desk.adapter.open_payment(request).params), timeout=10)
        assert shown.status_code == 200
        assert desk.adapter.close(ref(request, expires_at=request.expires_at)) == CloseAnswer.CANNOT
        desk.control.act(desk, request.attempt_no, "close")
        over = ref(request, expires_at=datetime.now(UTC) - timedelta(minutes=1))
        assert [desk.adapter.close(each) for each in (ref(request), over)] == [CloseAnswer.CANNOT, CloseAnswer.CLOSED]

    @pytest.mark.parametrize("code", ["A6", "42", "74", "75"])
    def test_with_a_doubt_is_told_and_proved_with_it(self, desk, code):
        request = desk.request()
        desk.buy(request, resp_code=code)
        told = desk.told()
        assert told.said == code
        proof = desk.adapter.follow(told)
        assert bool(proof.review) == (code != "A6")

    def test_is_found_by_the_query_when_the_notification_is_lost(self, desk):
        _request, proof = desk.bought(notify="lost")
        assert proof.paid == Money(600, "CNY")
        assert desk.receiver.received == []

    def test_is_told_five_times_until_it_is_acknowledged(self, desk):
        desk.receiver.answer = lambda raw: Answer(503)
        desk.bought()
        eventually(lambda: len(desk.receiver.received) == 5)
        assert len({message.body for message in desk.receiver.received}) == 1

    def test_under_a_number_that_was_used_is_refused(self, desk):
        request = desk.request("unionpay_app")
        desk.adapter.open_payment(request)
        with pytest.raises(AttemptUnusable):
            desk.adapter.open_payment(request)
        paid = desk.request("unionpay_app")
        desk.buy(paid)
        with pytest.raises(AlreadyPaid):
            desk.adapter.open_payment(paid)

    def test_by_another_merchants_tn_is_refused(self, desk, simulator, receiver):
        other = Desk(simulator, receiver)
        params = dict(other.adapter.open_payment(other.request("unionpay_app")).params)
        body = {"provider": "unionpay", "merchant": desk.code, "params": params}
        assert desk.control.post("buy", expect=404, **body)["code"] == "not_found"


class TestUntruth:
    """What a stranger or another merchant sends is recognised."""

    def test_forged_and_foreign_messages(self, desk):
        request, _proof = desk.bought()
        desk.control.act(desk, request.attempt_no, "forged")
        with pytest.raises(NotificationRefused) as caught:
            desk.told()
        assert caught.value.step == "signature"
        desk.control.act(desk, request.attempt_no, "foreign-merchant")
        assert isinstance(desk.told(), Foreign)

    def test_wrong_amounts_are_told_as_they_are(self, desk):
        request = desk.request()
        requests.post(**posted(desk.adapter.open_payment(request).params), timeout=10)
        desk.control.act(desk, request.attempt_no, "wrong-amount", amount=100)
        assert desk.adapter.follow(desk.told()).paid == Money(100, "CNY")


class TestRefunds:
    """A refund is accepted, then done, then told; under one number it happens once."""

    def test_in_part_goes_through_once(self, desk, control):
        request, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        assert desk.adapter.query_refund(asked).standing == RefundStanding.UNKNOWN
        assert desk.adapter.refund(asked).standing == RefundStanding.PROCESSING
        done = eventually(lambda: settled(desk.adapter.query_refund(asked)))
        assert (done.standing, done.amount) == (RefundStanding.SUCCEEDED, Money(200, "CNY"))
        assert desk.adapter.refund(asked).standing == RefundStanding.SUCCEEDED
        refunds = control.trade(desk, request.attempt_no)["payments"][0]["refunds"]
        assert [each["amount"] for each in refunds] == [200]

    def test_is_told_under_its_own_number(self, desk):
        _request, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        desk.adapter.refund(asked)
        told = eventually(lambda: len(desk.receiver.received) == 2 and desk.told())
        assert isinstance(told, RefundNotice)
        assert (told.refund_no, told.transaction_id, told.standing, told.amount) == (
            asked.refund_no, proof.transaction_id, RefundStanding.SUCCEEDED, Money(200, "CNY"),
        )  # fmt: skip

    def test_of_more_than_is_left_or_of_nothing_known_is_refused(self, desk):
        _request, proof = desk.bought()
        desk.adapter.refund(desk.refunding(proof, 500))
        for asked, code in (
            (desk.refunding(proof, 101), "36"),
            (desk.refunding(replace(proof, transaction_id="1" * 21), 1), "35"),
        ):
            with pytest.raises(ProviderRejected, match=code):
                desk.adapter.refund(asked)
        desk.adapter.refund(desk.refunding(proof, 100))
        with pytest.raises(ProviderRejected, match="45"):
            desk.adapter.refund(desk.refunding(proof, 1))

    def test_of_the_whole_day_is_an_undoing(self, desk):
        _request, proof = desk.bought()
        asked = desk.refunding(proof, 600)
        assert desk.adapter.undo(asked).standing == RefundStanding.PROCESSING
        assert eventually(lambda: settled(desk.adapter.query_refund(asked))).standing == RefundStanding.SUCCEEDED

    def test_from_the_back_office_are_told_as_well(self, desk):
        request, proof = desk.bought()
        for status, standing in (("SUCCESS", RefundStanding.SUCCEEDED), ("CLOSED", RefundStanding.CLOSED),
                                 ("ABNORMAL", RefundStanding.ABNORMAL)):  # fmt: skip
            desk.control.act(desk, request.attempt_no, "refund", amount=100, status=status)
            told = desk.told()
            assert (told.standing, told.transaction_id) == (standing, proof.transaction_id)


class TestSettlementFiles:
    """The day's file lists what happened, to the fen."""

    def test_lists_payments_and_refunds(self, desk, simulator):
        merchant = simulator.store.find_merchant("unionpay", desk.code)
        simulator.store.change_merchant(merchant, bills_at_once=True)
        request, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        desk.adapter.refund(asked)
        eventually(lambda: settled(desk.adapter.query_refund(asked)))
        lines = [line for day in clearing_days() for line in file_of(desk, day)]
        payment, refund = sorted(lines, key=lambda line: line.txn_type)
        assert (payment.attempt_no, payment.transaction_id, payment.amount) == (
            request.attempt_no, proof.transaction_id, Money(600, "CNY"),
        )  # fmt: skip
        assert payment.settled.amount_minor - payment.fee.amount_minor == 600
        assert (refund.attempt_no, refund.original_transaction_id) == (asked.refund_no, proof.transaction_id)
        assert abs(payment.traced_at - proof.paid_at) < timedelta(seconds=2)

    def test_of_a_day_without_trade_is_none(self, desk):
        assert desk.adapter.settlement_file(datetime.now(CHINA).date() - timedelta(days=40)) is None


class TestTheCashier:
    """A buyer posts the form, pays on the page, and comes back to the merchant with a form of UnionPay's."""

    def test_takes_the_money_and_posts_back(self, desk):
        request = desk.request()
        shown = requests.post(**posted(desk.adapter.open_payment(request).params), timeout=10)
        assert "6.00" in shown.text
        done = requests.post(f"{desk.control.url}{target(shown.text, 'pay')}", timeout=10)
        assert f'method="post" action="{html.escape(BACK)}"' in done.text
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', done.text))
        assert (fields["orderId"], fields["respCode"]) == (request.attempt_no, "00")
        assert desk.adapter.query(ref(request)).standing == Standing.PAID
        again = requests.post(f"{desk.control.url}{target(shown.text, 'pay')}", timeout=10)
        assert again.status_code == 200
        assert len(desk.control.trade(desk, request.attempt_no)["payments"]) == 1

    def test_lets_a_buyer_go_who_does_not_pay(self, desk):
        request = desk.request()
        shown = requests.post(**posted(desk.adapter.open_payment(request).params), timeout=10)
        done = requests.post(f"{desk.control.url}{target(shown.text, 'cancel')}", timeout=10)
        assert f'href="{html.escape(BACK)}"' in done.text
        assert desk.adapter.query(ref(request)).standing == Standing.WAITING

    @pytest.mark.parametrize(
        "changes", [{"txnAmt": "1"}, {"signature": "x"}, {"merId": "777000000000000"}, {"certId": "1"}, {"version": "5.0.0"}]
    )  # fmt: skip
    def test_takes_no_form_that_was_changed(self, desk, changes):
        params = desk.adapter.open_payment(desk.request()).params
        refused = requests.post(params["action"], data={**params["fields"], **changes}, timeout=10)
        assert refused.status_code == 400

    def test_takes_no_form_of_long_ago(self, desk):
        request = desk.request(opened_at=datetime.now(UTC) - timedelta(minutes=9))
        params = desk.adapter.open_payment(request).params
        assert requests.post(**posted(params), timeout=10).status_code == 200

    def test_is_driven_by_its_own_pages_only(self, desk):
        shown = requests.post(**posted(desk.adapter.open_payment(desk.request()).params), timeout=10)
        elsewhere = {"Origin": "https://evil.example"}
        address = f"{desk.control.url}{target(shown.text, 'pay')}"
        assert requests.post(address, headers=elsewhere, timeout=10).status_code == 403


class TestBadWeather:
    """However a call ends, the adapter concludes nothing that is not so."""

    @pytest.mark.parametrize(
        ("mode", "error"),
        [("error500", ProviderUnavailable), ("error429", ProviderBusy), ("garbage", ProviderUnavailable),
         ("unsigned", ProviderUnavailable), ("wrong_signature", ProviderUnavailable), ("reset", ProviderUnavailable)],
    )  # fmt: skip
    def test_a_query_goes_wrong_and_is_asked_again(self, desk, mode, error):
        request, proof = desk.bought()
        desk.control.post("weather", provider="unionpay", mode=mode, calls=["query"], count=1)
        with pytest.raises(error):
            desk.adapter.query(ref(request))
        assert desk.adapter.query(ref(request)).proof == proof

    @pytest.mark.parametrize("mode", ["reset", "garbage", "unsigned", "wrong_signature"])
    def test_a_refund_whose_answer_is_lost_happens_once(self, desk, control, mode):
        request, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        desk.control.post("weather", provider="unionpay", mode=mode, calls=["refund"], count=1)
        with pytest.raises(ProviderUnavailable):
            desk.adapter.refund(asked)
        assert desk.adapter.refund(asked).standing in (RefundStanding.PROCESSING, RefundStanding.SUCCEEDED)
        refunds = control.trade(desk, request.attempt_no)["payments"][0]["refunds"]
        assert [each["amount"] for each in refunds] == [200]

    def test_an_app_payment_whose_number_got_lost_takes_a_new_one(self, desk):
        request = desk.request("unionpay_app")
        desk.control.post("weather", provider="unionpay", mode="reset", calls=["create"], count=1)
        with pytest.raises(ProviderUnavailable):
            desk.adapter.open_payment(request)
        with pytest.raises(AttemptUnusable):
            desk.adapter.open_payment(request)


class TestThePage:
    """The simulator's own page shows UnionPay's trades among the others."""

    def test_names_the_provider(self, desk):
        request, _proof = desk.bought()
        shown = requests.get(desk.control.url, headers={"Accept-Language": "zh-CN"}, timeout=10).text
        assert request.attempt_no in shown
        assert "银联（银行卡）" in shown


def posted(params) -> dict:
    """What the browser does with a form."""
    return {"url": params["action"], "data": dict(params["fields"])}


def target(page: str, choice: str) -> str:
    """Where one of the cashier's buttons leads."""
    return re.search(rf'formaction="(/cashier/unionpay/[^"]+/{choice})"', page)[1]


def settled(answer):
    """The answer, once it is no longer under way."""
    return answer if answer.standing is not RefundStanding.PROCESSING else None


def clearing_days():
    """The days that a transaction of just now may be cleared on: after 23:00 it is tomorrow's."""
    today = datetime.now(CHINA).date()
    return (today, today + timedelta(days=1))


def file_of(desk, day):
    """The lines of a day, none without a file."""
    file = desk.adapter.settlement_file(day)
    return file.lines if file else ()
