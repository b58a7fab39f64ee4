"""The simulated Stripe against our adapter, and a buyer in front of its page."""

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from channels_app.money import Money
from channels_app.providers.base import (
    AlreadyPaid,
    AttemptRef,
    AttemptUnusable,
    CloseAnswer,
    DisputeNotice,
    Foreign,
    Hint,
    NothingToDo,
    NotificationRefused,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Standing,
)
from channels_app.providers.stripe import StripeAdapter
from channels_app.simulator.stripe_merchant import new_secret
from tests.simulator.conftest import Control
from tests.simulator.receiving import Answer, eventually

_numbers = itertools.count(1)


class Desk:
    """One merchant at the simulated Stripe, spoken to through our own adapter."""

    provider = "stripe"

    def __init__(self, simulator, receiver):
        self.code = f"stripe-{next(_numbers)}"
        self.receiver = receiver
        self.control = Control(simulator.url)
        self.credentials = simulator.store.merchant("stripe", self.code, simulator.url, notify_url=receiver.url)
        self.adapter = StripeAdapter(self.credentials, live=False)

    def request(self, **changes) -> OpenRequest:
        now = datetime.now(UTC)
        about = {
            "method": "stripe_card", "attempt_no": f"ST{next(_numbers):010d}", "due": Money(600, "USD"),
            "subject": "60 宝石", "notify_url": self.receiver.url, "opened_at": now,
            "expires_at": now + timedelta(minutes=30),
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def paging(self, **changes) -> OpenRequest:
        return self.request(inputs={"return_url": f"{self.receiver.url}?back=1"}, **changes)

    def open(self, request: OpenRequest) -> tuple[AttemptRef, dict]:
        opened = self.adapter.open_payment(request)
        return AttemptRef(attempt_no=request.attempt_no, handle=opened.handle), dict(opened.params)

    def buy(self, params: dict, *, expect=200, **asked) -> dict:
        return self.control.post(
            "buy", expect=expect, provider="stripe", merchant=self.code, params=params, wait=True, **asked
        )  # fmt: skip

    def bought(self, request: OpenRequest | None = None, **asked) -> tuple[AttemptRef, PaymentProof]:
        ref, params = self.open(request or self.request())
        self.buy(params, **asked)
        return ref, self.adapter.query(ref).proof

    def told(self) -> list:
        """Everything that has arrived, as our adapter reads it."""
        return [self.adapter.read_notification(each) for each in self.receiver.received]

    def of_kind(self, kind) -> list:
        """What arrived, hints followed, of one kind."""
        followed = [self.adapter.follow(each) if isinstance(each, Hint) else each for each in self.told()]
        return [each for each in followed if isinstance(each, kind)]

    def own(self, ref: AttemptRef, name: str, *, expect=200) -> str:
        answer = requests.post(f"{self.control.url}/control/stripe/{ref.attempt_no}/{name}", timeout=10)
        assert answer.status_code == expect, answer.text
        return answer.text

    def refunding(self, proof: PaymentProof, amount: int, **changes) -> RefundRequest:
        about = {
            "refund_no": f"SR{next(_numbers):010d}", "attempt_no": proof.attempt_no, "amount": Money(amount, "USD"),
            "transaction_id": proof.transaction_id, "paid": proof.paid, "reason": "", "notify_url": "",
        }  # fmt: skip
        return RefundRequest(**{**about, **changes})


@pytest.fixture
def desk(simulator, receiver):
    desk = Desk(simulator, receiver)
    yield desk
    desk.control.post("weather", provider="stripe", mode="ok")


def settled(answer):
    """The answer, once it is no longer under way."""
    return answer if answer.standing is not RefundStanding.PROCESSING else None


class TestPurchase:
    """Our adapter cannot tell the simulator from Stripe, in the game and on the page."""

    def test_in_the_game_is_opened_paid_and_told(self, desk):
        request = desk.request()
        ref, params = desk.open(request)
        assert desk.adapter.query(ref).standing == Standing.WAITING
        bought = desk.buy(params)
        assert [(each["event"], each["state"]) for each in bought["notifications"]] == [
            ("payment_intent.succeeded", "acknowledged"),
        ]  # fmt: skip
        proof = desk.adapter.query(ref).proof
        assert (proof.attempt_no, proof.transaction_id, proof.paid) == (ref.attempt_no, ref.handle, Money(600, "USD"))
        (told,) = desk.told()
        assert replace(told, paid_at=proof.paid_at) == proof
        assert abs(told.paid_at - datetime.now(UTC)) < timedelta(seconds=10)
        assert desk.adapter.close(ref) == CloseAnswer.PAID
        assert desk.adapter.find(proof.transaction_id).proof == proof
        assert desk.adapter.find(proof.transaction_id.replace("pi_", "ch_")).proof == proof

    def test_on_the_page_is_told_twice_and_proved_once(self, desk):
        ref, proof = desk.bought(desk.paging())
        page, payment = sorted(desk.told(), key=lambda message: type(message).__name__)
        assert page == NothingToDo(
            said="checkout.session.completed", attempt_no=ref.attempt_no, handle=ref.handle
        )  # fmt: skip
        assert payment.transaction_id == proof.transaction_id
        assert desk.adapter.close(ref) == CloseAnswer.PAID
        with pytest.raises(AlreadyPaid):
            desk.adapter.open_payment(desk.paging(attempt_no=ref.attempt_no, opened_at=datetime.now(UTC)))

    @pytest.mark.parametrize("due", [Money(5, "ISK"), Money(150, "KWD"), Money(600, "JPY"), Money(15000, "TWD")])
    @pytest.mark.parametrize("how", ["request", "paging"])
    def test_in_a_currency_of_another_unit_costs_what_it_was_priced(self, desk, due, how):
        _ref, proof = desk.bought(getattr(desk, how)(due=due))
        assert proof.paid == due

    def test_of_an_account_is_probed(self, desk):
        assert desk.adapter.probe("CHECK0123456789ABCDEF0123").said == "resource_missing"
        stranger = StripeAdapter({**desk.credentials, "secret_key": "sk_test_0123456789"}, live=False)
        with pytest.raises(ProviderRejected, match="unauthenticated"):
            stranger.probe("CHECK0123456789ABCDEF0123")

    @pytest.mark.parametrize("how", ["request", "paging"])
    def test_that_nobody_finishes_is_closed(self, desk, how):
        ref, params = desk.open(getattr(desk, how)())
        assert [desk.adapter.close(ref) for _ in range(2)] == [CloseAnswer.CLOSED] * 2
        assert desk.adapter.query(ref).standing == Standing.CLOSED
        assert desk.buy(params, expect=409)["code"] == "closed"
        assert isinstance(eventually(desk.told)[0], NothingToDo)

    def test_that_the_bank_thinks_about_waits_and_cannot_be_closed(self, desk):
        for request in (desk.request(), desk.paging()):
            ref, params = desk.open(request)
            desk.buy(params, card="processing")
            assert desk.adapter.query(ref).standing == Standing.WAITING
            assert desk.adapter.close(ref) == CloseAnswer.CANNOT
            desk.control.act(desk, ref.attempt_no, "pay")
            assert desk.adapter.query(ref).standing == Standing.PAID
        assert len(desk.of_kind(PaymentProof)) == 2

    def test_with_a_card_that_is_declined_can_be_tried_again(self, desk):
        ref, params = desk.open(desk.request())
        desk.buy(params, card="declined")
        assert desk.told() == [
            NothingToDo(
                said="payment_intent.payment_failed: generic_decline", attempt_no=ref.attempt_no, handle=ref.handle
            )
        ]  # fmt: skip
        desk.buy(params)
        assert desk.adapter.query(ref).standing == Standing.PAID

    def test_is_opened_once_under_its_key(self, desk, simulator):
        request = desk.request()
        (first, _params), (again, _) = desk.open(request), desk.open(request)
        assert first == again
        with pytest.raises(AttemptUnusable):
            desk.open(replace(request, due=Money(700, "USD")))
        desk.adapter.close(first)
        with pytest.raises(AttemptUnusable):
            desk.open(request)
        assert len(simulator.store.trades(provider="stripe", out_trade_no=request.attempt_no)) == 1

    def test_paid_once_more_than_it_should_has_a_payment_of_its_own(self, desk):
        ref, proof = desk.bought()
        desk.control.act(desk, ref.attempt_no, "pay-twice")
        first, second = desk.of_kind(PaymentProof)
        assert first.transaction_id == proof.transaction_id != second.transaction_id
        assert (second.attempt_no, desk.adapter.find(second.transaction_id).proof.attempt_no) == (ref.attempt_no,) * 2

    @pytest.mark.parametrize("changes", [
        {"due": Money(1, "USD")}, {"due": Money(10**9, "USD")}, {"due": Money(600, "ZZZ")},
    ])  # fmt: skip
    def test_of_what_stripe_does_not_take_is_refused(self, desk, changes):
        for request in (desk.request(**changes), desk.paging(**changes)):
            with pytest.raises(ProviderRejected):
                desk.open(request)

    def test_with_another_merchants_secret_is_refused(self, desk, simulator, receiver):
        other = Desk(simulator, receiver)
        ref, params = other.open(other.request())
        assert desk.buy(params, expect=404)["code"] == "not_found"
        assert desk.adapter.query(ref).standing == Standing.UNKNOWN


class TestMessages:
    """Signed anew on every sending, with every secret the endpoint has."""

    def test_forged_and_foreign_ones_are_recognised(self, desk):
        ref, _proof = desk.bought()
        desk.receiver.received.clear()
        desk.control.act(desk, ref.attempt_no, "forged")
        with pytest.raises(NotificationRefused, match="signature"):
            desk.told()
        desk.receiver.received.clear()
        desk.control.act(desk, ref.attempt_no, "foreign-merchant")
        assert [type(each) for each in desk.told()] == [Foreign]

    def test_are_of_both_secrets_while_one_is_rolled(self, desk, simulator):
        merchant = simulator.store.find_merchant("stripe", desk.code)
        old = merchant.about["webhook_secrets"]
        simulator.store.change_merchant(merchant, webhook_secrets=[new_secret(), *old])
        both = StripeAdapter(simulator.store.merchant("stripe", desk.code, desk.control.url), live=False)
        desk.bought()
        (message,) = desk.receiver.received
        assert message.headers["stripe-signature"].count("v1=") == 2
        assert desk.adapter.read_notification(message) == both.read_notification(message)

    def test_are_sent_again_until_they_are_acknowledged(self, desk):
        desk.receiver.answer = lambda raw: Answer(503 if len(desk.receiver.received) < 3 else 200)
        desk.bought()
        eventually(lambda: len(desk.receiver.received) == 3)
        assert len(set(desk.told())) == 1

    def test_that_got_lost_are_in_the_list(self, desk):
        before = datetime.now(UTC) - timedelta(minutes=1)
        ref, proof = desk.bought(notify="lost")
        desk.adapter.refund(desk.refunding(proof, 100))
        eventually(lambda: desk.of_kind(RefundNotice))
        listed = list(desk.adapter.happenings(since=before, until=datetime.now(UTC)))
        assert [each.attempt_no for each in listed] == [ref.attempt_no] * len(listed)
        assert {type(each) for each in listed} == {PaymentProof, RefundNotice}
        assert not any(isinstance(each, PaymentProof) for each in desk.told())
        assert list(desk.adapter.happenings(since=before, until=before)) == []

    def test_tell_wrong_amounts_as_they_are(self, desk):
        ref, _params = desk.open(desk.request())
        desk.control.act(desk, ref.attempt_no, "wrong-amount", amount=100)
        assert desk.adapter.query(ref).proof.paid == Money(100, "USD")


class TestRefunds:
    """A refund is pending, then done, then told; under one number it happens once, and may come back."""

    def test_in_part_goes_through_once(self, desk, control):
        ref, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        assert desk.adapter.query_refund(asked).standing == RefundStanding.UNKNOWN
        assert desk.adapter.refund(asked).standing == RefundStanding.PROCESSING
        done = eventually(lambda: settled(desk.adapter.query_refund(asked)))
        assert (done.standing, done.amount) == (RefundStanding.SUCCEEDED, Money(200, "USD"))
        assert desk.adapter.refund(asked) == done
        refunds = control.trade(desk, ref.attempt_no)["payments"][0]["refunds"]
        assert [each["amount"] for each in refunds] == [200]
        assert desk.adapter.query(ref).proof.given_back
        notice = eventually(lambda: len(desk.of_kind(RefundNotice)) == 2 and desk.of_kind(RefundNotice)[-1])
        assert (notice.refund_no, notice.attempt_no, notice.standing, notice.payment.given_back) == (
            asked.refund_no, ref.attempt_no, RefundStanding.SUCCEEDED, True,
        )  # fmt: skip

    def test_of_more_than_is_left_or_of_nothing_known_is_refused(self, desk):
        _ref, proof = desk.bought()
        desk.adapter.refund(desk.refunding(proof, 500))
        for asked, code in (
            (desk.refunding(proof, 101), "amount_too_large"),
            (desk.refunding(replace(proof, transaction_id="pi_1"), 1), "resource_missing"),
        ):
            with pytest.raises(ProviderRejected, match=code):
                desk.adapter.refund(asked)
        desk.adapter.refund(desk.refunding(proof, 100))
        with pytest.raises(ProviderRejected, match="charge_already_refunded"):
            desk.adapter.refund(desk.refunding(proof, 1))

    def test_may_fail_long_after_they_succeeded(self, desk):
        ref, proof = desk.bought()
        assert "has succeeded" in desk.own(ref, "refund-fails-later", expect=409)
        asked = desk.refunding(proof, 600)
        desk.adapter.refund(asked)
        eventually(lambda: settled(desk.adapter.query_refund(asked)))
        desk.own(ref, "refund-fails-later")
        answer = desk.adapter.query_refund(asked)
        assert (answer.standing, answer.said) == (RefundStanding.CLOSED, "failed: expired_or_canceled_card")
        eventually(lambda: any(isinstance(each, Hint) and each.said == "refund.failed" for each in desk.told()))
        assert {each.standing for each in desk.of_kind(RefundNotice)} == {RefundStanding.CLOSED}
        assert not desk.adapter.query(ref).proof.given_back

    def test_from_the_dashboard_are_told_as_well(self, desk):
        ref, proof = desk.bought()
        desk.control.act(desk, ref.attempt_no, "refund", amount=100)
        (notice,) = desk.of_kind(RefundNotice)
        assert (notice.transaction_id, notice.standing, notice.amount) == (
            proof.transaction_id, RefundStanding.SUCCEEDED, Money(100, "USD"),
        )  # fmt: skip
        assert notice.refund_no == notice.provider_refund_id


class TestDisputes:
    """A dispute begins with a deadline and ends with a decision."""

    @pytest.mark.parametrize(("end", "is_won"), [("dispute-won", True), ("dispute-lost", False)])
    def test_are_told_from_beginning_to_end(self, desk, end, is_won):
        ref, proof = desk.bought()
        assert "disputed" in desk.own(ref, end, expect=409)
        desk.own(ref, "dispute")
        begun = eventually(lambda: desk.of_kind(DisputeNotice))[0]
        assert (begun.attempt_no, begun.transaction_id, begun.amount, begun.is_over) == (
            ref.attempt_no, proof.transaction_id, Money(600, "USD"), False,
        )  # fmt: skip
        assert begun.due_by - datetime.now(UTC) > timedelta(days=8)
        assert desk.adapter.query(ref).proof.review
        desk.own(ref, end)
        over = eventually(lambda: [each for each in desk.of_kind(DisputeNotice) if each.is_over])[0]
        assert (over.dispute_id, over.is_won) == (begun.dispute_id, is_won)

    def test_need_a_payment(self, desk):
        ref, _params = desk.open(desk.request())
        assert desk.own(ref, "dispute", expect=409) == "nothing was paid"


class TestTheBooks:
    """The balance lists what happened, with its fees, to the cent."""

    def test_list_payments_and_refunds(self, desk):
        before = datetime.now(UTC) - timedelta(minutes=1)
        ref, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        desk.adapter.refund(asked)
        lines = {line.kind: line for line in desk.adapter.balance_lines(since=before)}
        paid, refund = lines["charge"], lines["refund"]
        assert (paid.transaction_id, paid.attempt_no, paid.gross, paid.fee, paid.net) == (
            proof.transaction_id, ref.attempt_no, Money(600, "USD"), Money(47, "USD"), Money(553, "USD"),
        )  # fmt: skip
        assert (refund.transaction_id, refund.refund_no, refund.net) == (
            proof.transaction_id, asked.refund_no, Money(-200, "USD"),
        )  # fmt: skip
        assert list(desk.adapter.balance_lines(until=before)) == []

    def test_go_on_for_as_many_pages_as_there_are(self, desk, simulator):
        merchant = simulator.store.find_merchant("stripe", desk.code)
        ref, _proof = desk.bought()
        trade = simulator.store.trade_by_number(merchant, ref.attempt_no)
        with simulator.store.together():
            for number in range(120):
                simulator.store.add_payment(trade, transaction_id=f"{ref.handle}x{number}", amount=100, at=number + 1)
        assert len({line.number for line in desk.adapter.balance_lines()}) == 121


class TestThePage:
    """A buyer pays, is declined, or leaves, and comes back to where the game said."""

    def shown(self, desk, **changes):
        ref, params = desk.open(desk.paging(**changes))
        return ref, requests.get(params["url"], headers={"Accept-Language": "en"}, timeout=10)

    def press(self, desk, shown, choice, **about):
        target = re.search(rf'formaction="(/cashier/stripe/[^"]+/{choice})"', shown.text)[1]
        return requests.post(f"{desk.control.url}{target}", allow_redirects=False, timeout=10, **about)

    def test_takes_the_money_once_and_leads_back(self, desk):
        ref, shown = self.shown(desk)
        assert "6.00 USD" in shown.text
        for _ in range(2):
            done = self.press(desk, shown, "pay")
            assert (done.status_code, done.headers["Location"]) == (303, f"{desk.receiver.url}?back=1")
        assert desk.adapter.query(ref).standing == Standing.PAID
        assert len(desk.control.trade(desk, ref.attempt_no)["payments"]) == 1

    def test_lets_a_buyer_go_who_does_not_pay(self, desk):
        ref, shown = self.shown(desk)
        assert self.press(desk, shown, "leave").headers["Location"] == f"{desk.receiver.url}?back=1"
        assert desk.adapter.query(ref).standing == Standing.WAITING

    def test_lets_a_declined_card_be_followed_by_another(self, desk):
        ref, shown = self.shown(desk)
        again = self.press(desk, shown, "decline")
        assert (again.status_code, 'role="alert"' in again.text) == (200, True)
        assert desk.adapter.query(ref).standing == Standing.WAITING
        self.press(desk, again, "pay")
        assert desk.adapter.query(ref).standing == Standing.PAID

    def test_takes_nothing_once_it_has_expired(self, desk):
        ref, shown = self.shown(desk)
        desk.adapter.close(ref)
        assert self.press(desk, shown, "pay").status_code == 400
        assert desk.adapter.query(ref).standing == Standing.CLOSED

    def test_is_driven_by_its_own_pages_only(self, desk):
        _ref, shown = self.shown(desk)
        assert self.press(desk, shown, "pay", headers={"Origin": "https://evil.example"}).status_code == 403

    def test_is_nowhere_for_an_address_that_stripe_did_not_give(self, desk):
        assert requests.get(f"{desk.control.url}/c/pay/cs_test_1", timeout=10).status_code == 404

    def test_opened_in_a_browser_leads_back_by_itself(self, desk, tab):
        ref, params = desk.open(desk.request(inputs={"return_url": f"{desk.control.url}/scan?back=1"}))
        page = tab()
        page.goto(params["url"])
        page.click("button.main")
        page.until("location.search === '?back=1'")
        assert desk.adapter.query(ref).standing == Standing.PAID

    def test_shows_its_own_acts_on_the_simulators_page(self, desk):
        ref, _proof = desk.bought()
        shown = requests.get(desk.control.url, headers={"Accept-Language": "zh-CN"}, timeout=10).text
        assert ref.attempt_no in shown
        assert "Stripe（银行卡）" in shown
        assert "拒付" in shown


class TestBadWeather:
    """However a call ends, the adapter concludes nothing that is not so."""

    @pytest.mark.parametrize(("mode", "error"), [
        ("error500", ProviderUnavailable), ("error429", ProviderBusy), ("garbage", ProviderUnavailable),
        ("reset", ProviderUnavailable),
    ])  # fmt: skip
    def test_a_query_goes_wrong_and_is_asked_again(self, desk, mode, error):
        ref, proof = desk.bought()
        desk.control.post("weather", provider="stripe", mode=mode, calls=["query"], count=1)
        with pytest.raises(error):
            desk.adapter.query(ref)
        assert desk.adapter.query(ref).proof == proof

    @pytest.mark.parametrize("mode", ["reset", "garbage"])
    @pytest.mark.parametrize("how", ["request", "paging"])
    def test_an_opening_whose_answer_is_lost_is_the_same_the_next_time(self, desk, simulator, mode, how):
        request = getattr(desk, how)()
        desk.control.post("weather", provider="stripe", mode=mode, calls=["create"], count=1)
        with pytest.raises(ProviderUnavailable):
            desk.open(request)
        ref, params = desk.open(request)
        desk.buy(params)
        assert desk.adapter.query(ref).standing == Standing.PAID
        assert len(simulator.store.trades(provider="stripe", out_trade_no=request.attempt_no)) == 1

    def test_an_opening_that_failed_after_it_began_needs_a_new_number(self, desk):
        request = desk.request()
        desk.control.post("weather", provider="stripe", mode="error500", calls=["create"], count=1, carried_out=True)
        with pytest.raises(ProviderUnavailable):
            desk.open(request)
        with pytest.raises(AttemptUnusable):
            desk.open(request)
        assert desk.open(desk.request())[0].handle

    @pytest.mark.parametrize(("mode", "carried_out"), [("reset", False), ("garbage", False), ("error500", True)])
    def test_a_refund_whose_answer_is_lost_happens_once(self, desk, control, mode, carried_out):
        ref, proof = desk.bought()
        asked = desk.refunding(proof, 200)
        desk.control.post(
            "weather", provider="stripe", mode=mode, calls=["refund"], count=1, carried_out=carried_out
        )  # fmt: skip
        with pytest.raises(ProviderUnavailable):
            desk.adapter.refund(asked)
        assert desk.adapter.refund(asked).standing in (RefundStanding.PROCESSING, RefundStanding.SUCCEEDED)
        refunds = control.trade(desk, ref.attempt_no)["payments"][0]["refunds"]
        assert [each["amount"] for each in refunds] == [200]

    def test_a_closing_whose_answer_is_lost_is_closed_the_next_time(self, desk):
        for request in (desk.request(), desk.paging()):
            ref, _params = desk.open(request)
            desk.control.post("weather", provider="stripe", mode="reset", calls=["close"], count=1)
            with pytest.raises(ProviderUnavailable):
                desk.adapter.close(ref)
            assert desk.adapter.close(ref) == CloseAnswer.CLOSED

    def test_books_that_could_not_be_read_are_read_again(self, desk):
        desk.bought()
        desk.control.post("weather", provider="stripe", mode="error500", calls=["bill"], count=1)
        with pytest.raises(ProviderUnavailable):
            list(desk.adapter.balance_lines())
        assert len(list(desk.adapter.balance_lines())) == 1


class TestWhatThePageOfAMerchantSays:
    """The kind of an opened payment says whether a browser leaves."""

    def test_only_a_way_back_makes_it_a_page(self, desk):
        opened = desk.adapter.open_payment(desk.paging())
        assert (opened.kind, set(opened.params)) == (PayKind.REDIRECT, {"url"})
        assert desk.adapter.open_payment(desk.request()).kind == PayKind.SDK
