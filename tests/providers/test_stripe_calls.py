"""Calls to Stripe over real HTTP: exact forms, keys that make repeats safe, words that decide only what they decide."""

import socket
from datetime import UTC, datetime, timedelta

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
from channels_app.providers.stripe import StripeAdapter
from channels_app.providers.transport import ConnectFailed
from tests.providers.stripe_side import (
    CHARGE,
    DISPUTE,
    INTENT,
    MISSING,
    PAID_AT,
    PUBLISHABLE_KEY,
    REFUND,
    SECRET_KEY,
    SESSION,
    Answer,
    StripeSide,
    charge,
    credentials,
    dispute,
    intent,
    listed,
    no,
    refund,
    replayed,
    session,
    waiting,
)

NO, REFUND_NO = "20260102G0123456789ABCDEFGHJKM", "R20260103000001"
BACK = "https://pay.example.com/checkout/N?token=a.b-c&back=1"
NOW = datetime.now(UTC)
JUST_NOW, SOON, YESTERDAY = NOW - timedelta(seconds=30), NOW + timedelta(minutes=15), NOW - timedelta(hours=25)
USD = Money(600, "USD")


@pytest.fixture(scope="module")
def side():
    side = StripeSide()
    yield side
    side.close()


@pytest.fixture
def stripe(side):
    side.calls.clear()
    side.complaints.clear()
    yield side
    assert side.complaints == []


@pytest.fixture(scope="module")
def adapter(side):
    return StripeAdapter(credentials(base_url=side.url), live=False)


def opening(**changes) -> OpenRequest:
    about = {
        "method": "stripe_card", "attempt_no": NO, "due": USD, "subject": " 60 钻石 & 6 ", "expires_at": SOON,
        "notify_url": "https://pay.example.com/notify/stripe/st1", "opened_at": JUST_NOW,
    }  # fmt: skip
    return OpenRequest(**{**about, **changes})


def paging(**changes) -> OpenRequest:
    return opening(inputs={"return_url": BACK}, **changes)


def refunding(**changes) -> RefundRequest:
    about = {
        "refund_no": REFUND_NO, "attempt_no": NO, "transaction_id": INTENT, "amount": Money(200, "USD"), "paid": USD,
        "reason": "player asked", "notify_url": "", "requested_at": JUST_NOW,
    }  # fmt: skip
    return RefundRequest(**{**about, **changes})


def attempt(handle=INTENT, **changes) -> AttemptRef:
    return AttemptRef(**{"attempt_no": NO, "method": "stripe_card", "handle": handle, **changes})


ON_PAGE = attempt(SESSION)
CALLS = {
    "open": lambda adapter: adapter.open_payment(opening()),
    "page": lambda adapter: adapter.open_payment(paging()),
    "query": lambda adapter: adapter.query(attempt()),
    "query_page": lambda adapter: adapter.query(ON_PAGE),
    "find": lambda adapter: adapter.find(CHARGE),
    "probe": lambda adapter: adapter.probe("CHECK0123456789ABCDEF0123"),
    "close": lambda adapter: adapter.close(attempt()),
    "refund": lambda adapter: adapter.refund(refunding()),
    "query_refund": lambda adapter: adapter.query_refund(refunding()),
    "balance": lambda adapter: list(adapter.balance_lines(payout="po_1")),
    "events": lambda adapter: list(adapter.happenings(since=YESTERDAY, until=NOW)),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class TestOpeningInTheGame:
    """The game's SDK gets the secret of one intent and the publishable key, and nothing else."""

    def test_makes_an_intent_that_bears_our_number(self, adapter, stripe):
        stripe.will(waiting(NO))
        opened = adapter.open_payment(opening())
        assert (opened.kind, opened.handle) == (PayKind.SDK, INTENT)
        assert opened.params == {
            "client_secret": f"{INTENT}_secret_YrKJUKribcBjcG8HVhfZluoGH", "publishable_key": PUBLISHABLE_KEY,
            "payment_intent": INTENT,
        }  # fmt: skip
        (call,) = stripe.calls
        assert (call.what, call.headers["idempotency-key"]) == ("POST /v1/payment_intents", f"intent-{NO}")
        assert call.form == {
            "amount": "600", "currency": "usd", "automatic_payment_methods[enabled]": "true", "metadata[order_no]": NO,
            "description": "60 钻石 & 6",
        }  # fmt: skip

    def test_again_is_the_same_request(self, adapter, stripe):
        stripe.will(waiting(NO))
        assert adapter.open_payment(opening()) == adapter.open_payment(opening())
        first, second = stripe.calls
        assert (first.form, first.headers["idempotency-key"]) == (second.form, second.headers["idempotency-key"])

    def test_keeps_the_secret_out_of_what_is_logged_and_kept(self, adapter, stripe, caplog):
        caplog.set_level("DEBUG")
        stripe.will(waiting(NO))
        opened = adapter.open_payment(opening())
        assert "stripe answered" in caplog.text
        assert "_secret_" not in caplog.text + opened.handle
        assert SECRET_KEY not in caplog.text + repr(adapter) + repr(vars(adapter))

    @pytest.mark.parametrize("changes", [
        {"amount": 601}, {"currency": "eur"}, {"livemode": True}, {"livemode": ...}, {"metadata": {}},
        {"metadata": {"order_no": "20260102G0123456789ABCDEFGHJKN"}},
    ])  # fmt: skip
    def test_believes_no_answer_about_another_payment(self, adapter, stripe, changes):
        stripe.will(waiting(NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.open_payment(opening())

    @pytest.mark.parametrize("changes", [
        {"id": ...}, {"id": "pi_a/../b"}, {"client_secret": None}, {"client_secret": "x"}, {"status": ...},
    ])  # fmt: skip
    def test_takes_no_answer_of_another_shape(self, adapter, stripe, changes):
        stripe.will(waiting(NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.open_payment(opening())

    @pytest.mark.parametrize(("answer", "error"), [
        (intent(NO), AlreadyPaid), (waiting(NO, status="canceled"), AttemptUnusable),
    ])  # fmt: skip
    def test_again_looks_how_it_stands_now(self, adapter, stripe, answer, error):
        stripe.will(replayed(Answer(waiting(NO))), answer)
        with pytest.raises(error):
            adapter.open_payment(opening())
        assert [call.what for call in stripe.calls] == [
            "POST /v1/payment_intents", f"GET /v1/payment_intents/{INTENT}",
        ]  # fmt: skip

    def test_again_while_it_waits_gives_the_same_secret(self, adapter, stripe):
        stripe.will(replayed(Answer(waiting(NO))), waiting(NO, status="requires_action"))
        assert adapter.open_payment(opening()).handle == INTENT

    @pytest.mark.parametrize("how", [opening, paging])
    def test_with_other_inputs_takes_a_new_number(self, adapter, stripe, how):
        stripe.will(no(400, kind="idempotency_error"))
        with pytest.raises(AttemptUnusable):
            adapter.open_payment(how())

    @pytest.mark.parametrize("how", [opening, paging])
    def test_that_failed_for_good_takes_a_new_number(self, adapter, stripe, how):
        stripe.will(replayed(no(500, kind="api_error")))
        with pytest.raises(AttemptUnusable):
            adapter.open_payment(how())

    @pytest.mark.parametrize("how", [opening, paging])
    def test_after_stripe_may_have_forgotten_takes_a_new_number_without_a_call(self, adapter, stripe, how):
        with pytest.raises(AttemptUnusable, match="key_expired"):
            adapter.open_payment(how(opened_at=YESTERDAY))
        assert stripe.calls == []

    def test_of_too_little_is_refused_by_stripe(self, adapter, stripe):
        stripe.will(no(400, "amount_too_small"))
        with pytest.raises(ProviderRejected, match="amount_too_small"):
            adapter.open_payment(opening())

    def test_without_a_name_is_called_by_its_number(self, adapter, stripe):
        stripe.will(waiting(NO))
        adapter.open_payment(opening(subject=" "))
        assert stripe.calls[0].form["description"] == NO


class TestOpeningInABrowser:
    """Who brings a way back is led to a page of Stripe's."""

    def test_makes_a_page_whose_payment_bears_our_number(self, adapter, stripe):
        stripe.will(session(NO))
        opened = adapter.open_payment(paging())
        assert (opened.kind, opened.handle) == (PayKind.REDIRECT, SESSION)
        assert opened.params == {"url": f"https://checkout.stripe.com/c/pay/{SESSION}#fidkdWxOYHwnPyd1blpx"}
        (call,) = stripe.calls
        assert (call.what, call.headers["idempotency-key"]) == ("POST /v1/checkout/sessions", f"page-{NO}")
        assert call.form == {
            "mode": "payment", "client_reference_id": NO, "metadata[order_no]": NO,
            "payment_intent_data[metadata][order_no]": NO, "payment_intent_data[description]": "60 钻石 & 6",
            "line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "600",
            "line_items[0][price_data][product_data][name]": "60 钻石 & 6", "line_items[0][quantity]": "1",
            "adaptive_pricing[enabled]": "false", "success_url": BACK, "cancel_url": BACK,
            "expires_at": str(int((JUST_NOW + timedelta(minutes=33)).timestamp())),
        }  # fmt: skip

    @pytest.mark.parametrize(("ends", "told"), [
        (timedelta(minutes=5), timedelta(minutes=33)), (timedelta(hours=2), timedelta(hours=2)),
        (timedelta(days=3), timedelta(hours=23, minutes=50)),
    ])  # fmt: skip
    def test_ends_it_within_what_stripe_takes(self, adapter, stripe, ends, told):
        stripe.will(session(NO))
        adapter.open_payment(paging(expires_at=JUST_NOW + ends))
        assert stripe.calls[0].form["expires_at"] == str(int((JUST_NOW + told).timestamp()))

    def test_too_late_for_its_end_takes_a_new_number(self, adapter, stripe):
        stripe.will(
            no(400, message="The `expires_at` timestamp must be at least 30 minutes from now.", param="expires_at")
        )
        with pytest.raises(AttemptUnusable):
            adapter.open_payment(paging())

    @pytest.mark.parametrize(("now", "error"), [
        (session(NO, status="complete", url=None, payment_intent=intent(NO)), AlreadyPaid),
        (session(NO, status="expired", url=None), AttemptUnusable),
        (session(NO, status="complete", url=None, payment_intent=waiting(NO, status="processing")), ProviderUnavailable),
    ])  # fmt: skip
    def test_again_looks_how_it_stands_now(self, adapter, stripe, now, error):
        stripe.will(replayed(Answer(session(NO))), now)
        with pytest.raises(error):
            adapter.open_payment(paging())
        assert stripe.calls[1].what == f"GET /v1/checkout/sessions/{SESSION}"

    @pytest.mark.parametrize("changes", [{"livemode": True}, {"metadata": {"order_no": "another"}}])
    def test_believes_no_answer_about_another(self, adapter, stripe, changes):
        stripe.will(session(NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.open_payment(paging())

    @pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a b", 7])
    def test_leads_to_web_addresses_only(self, adapter, stripe, url):
        stripe.will(session(NO, url=url))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.open_payment(paging())


class TestAsking:
    """Only an intent that succeeded and has received money is a payment."""

    def test_about_a_paid_one_proves_it(self, adapter, stripe):
        stripe.will(intent(NO, latest_charge=charge(NO)))
        answer = adapter.query(attempt())
        assert (answer.standing, answer.said) == (Standing.PAID, "succeeded")
        proof = answer.proof
        assert (proof.attempt_no, proof.transaction_id, proof.paid, proof.handle) == (NO, INTENT, USD, INTENT)
        assert proof.paid_at == datetime.fromtimestamp(PAID_AT, UTC)
        assert (proof.given_back, proof.review, proof.test) == (False, "", False)
        (call,) = stripe.calls
        assert (call.what, call.query) == (f"GET /v1/payment_intents/{INTENT}", [("expand[]", "latest_charge")])

    @pytest.mark.parametrize(("status", "standing"), [
        ("requires_payment_method", Standing.WAITING), ("requires_confirmation", Standing.WAITING),
        ("requires_action", Standing.WAITING), ("requires_capture", Standing.WAITING), ("processing", Standing.WAITING),
        ("canceled", Standing.CLOSED), ("partially_funded", Standing.UNDECIDED), ("Succeeded", Standing.UNDECIDED),
    ])  # fmt: skip
    def test_decides_by_stripes_own_word_alone(self, adapter, stripe, status, standing):
        stripe.will(waiting(NO, status=status, amount_received=600))
        answer = adapter.query(attempt())
        assert (answer.standing, answer.said, answer.proof) == (standing, status, None)

    @pytest.mark.parametrize("received", [0, None, ...])
    def test_takes_no_success_without_money(self, adapter, stripe, received):
        stripe.will(intent(NO, amount_received=received))
        assert adapter.query(attempt()).standing == Standing.UNDECIDED

    @pytest.mark.parametrize("changes", [
        {"amount_received": "600"}, {"amount_received": 6.0}, {"amount_received": True}, {"amount_received": -600},
        {"amount_received": 10**14}, {"currency": "USD"}, {"currency": "xxx"}, {"currency": ...}, {"created": "now"},
        {"created": 10**15}, {"status": "a b"}, {"status": None},
    ])  # fmt: skip
    def test_takes_no_money_that_cannot_be_read(self, adapter, stripe, changes):
        stripe.will(intent(NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.query(attempt())

    def test_tells_what_was_received_and_not_what_was_asked(self, adapter, stripe):
        stripe.will(intent(NO, amount_received=599))
        assert adapter.query(attempt()).proof.paid == Money(599, "USD")

    @pytest.mark.parametrize("changes", [{"refunded": True, "amount_refunded": 600}, {"amount_refunded": 1}])
    def test_tells_that_it_was_given_back(self, adapter, stripe, changes):
        stripe.will(intent(NO, latest_charge=charge(NO, **changes)))
        assert adapter.query(attempt()).proof.given_back

    def test_tells_that_it_is_disputed(self, adapter, stripe):
        stripe.will(intent(NO, latest_charge=charge(NO, disputed=True)))
        assert "disputes" in adapter.query(attempt()).proof.review

    @pytest.mark.parametrize("changes", [
        {"id": "pi_another"}, {"livemode": True}, {"livemode": ...}, {"metadata": {}}, {"metadata": None},
        {"metadata": {"order_no": "20260102G0123456789ABCDEFGHJKN"}},
    ])  # fmt: skip
    def test_believes_no_answer_about_another(self, adapter, stripe, changes):
        stripe.will(intent(NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(attempt())

    def test_about_what_was_never_opened_asks_nobody(self, adapter, stripe):
        for handle in ("", "GPA.1234", "pi_", "pi_a/../../v1/charges"):
            assert adapter.query(attempt(handle)).standing == Standing.UNKNOWN
            assert adapter.close(attempt(handle)) == CloseAnswer.UNKNOWN
        assert stripe.calls == []

    def test_about_what_stripe_does_not_know_is_unknown(self, adapter, stripe):
        stripe.will(MISSING)
        for each in (attempt(), ON_PAGE):
            assert adapter.query(each).standing == Standing.UNKNOWN


class TestAskingAboutAPage:
    """Money decides before the page does."""

    @pytest.mark.parametrize(("page", "payment", "standing"), [
        ("open", None, Standing.WAITING),
        ("open", waiting(NO), Standing.WAITING),
        ("open", waiting(NO, status="canceled"), Standing.WAITING),
        ("open", waiting(NO, status="processing"), Standing.WAITING),
        ("complete", intent(NO, latest_charge=charge(NO)), Standing.PAID),
        ("complete", waiting(NO, status="processing"), Standing.WAITING),
        ("complete", waiting(NO), Standing.CLOSED),  # a delayed payment that failed: complete, and never paid
        ("complete", waiting(NO, status="requires_action"), Standing.WAITING),  # a voucher, to be paid in a shop
        ("complete", None, Standing.UNDECIDED),
        ("complete", INTENT, Standing.UNDECIDED),
        ("expired", None, Standing.CLOSED),
        ("expired", waiting(NO), Standing.CLOSED),
        ("expired", waiting(NO, status="canceled"), Standing.CLOSED),
        ("expired", waiting(NO, status="requires_action"), Standing.CLOSED),
        ("expired", waiting(NO, status="processing"), Standing.WAITING),
        ("expired", waiting(NO, status="a_word_of_tomorrow"), Standing.UNDECIDED),
        ("paused", waiting(NO, status="canceled"), Standing.UNDECIDED),
        ("expired", intent(NO), Standing.PAID),
        ("paused", None, Standing.UNDECIDED),
    ])  # fmt: skip
    def test_says_where_both_stand(self, adapter, stripe, page, payment, standing):
        stripe.will(session(NO, status=page, payment_intent=payment))
        answer = adapter.query(ON_PAGE)
        assert (answer.standing, answer.proof is not None) == (standing, standing == Standing.PAID)
        (call,) = stripe.calls
        assert (call.what, call.query) == (
            f"GET /v1/checkout/sessions/{SESSION}", [("expand[]", "payment_intent.latest_charge")],
        )  # fmt: skip

    @pytest.mark.parametrize("payment", [
        intent(NO, livemode=True), intent("20260102G0123456789ABCDEFGHJKN"), intent(),
    ])  # fmt: skip
    def test_believes_no_payment_of_another(self, adapter, stripe, payment):
        stripe.will(session(NO, status="complete", payment_intent=payment))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(ON_PAGE)


class TestFinding:
    """A person has whatever number Stripe's Dashboard shows."""

    def test_by_payment_charge_page_refund_and_dispute(self, adapter, stripe):
        for number, answers in (
            (f" {INTENT} ", [intent(NO)]), (CHARGE, [charge(NO), intent(NO)]),
            (SESSION, [session(NO, status="complete", payment_intent=intent(NO))]),
            (REFUND, [refund(), intent(NO)]), (DISPUTE, [dispute(), intent(NO)]),
        ):  # fmt: skip
            stripe.will(*answers)
            proof = adapter.find(number).proof
            assert (proof.attempt_no, proof.transaction_id) == (NO, INTENT)

    def test_of_another_system_names_none_of_our_attempts(self, adapter, stripe):
        stripe.will(intent())
        assert adapter.find(INTENT).proof.attempt_no == ""

    @pytest.mark.parametrize(
        "number", ["", "4200001234202601021234567890", "txn_1", "pi_a b", "py_", "xx_1", "re_1/../2"]
    )
    def test_asks_nobody_about_what_is_no_number_of_stripes(self, adapter, stripe, number):
        assert adapter.find(number).standing == Standing.UNKNOWN
        assert stripe.calls == []

    def test_of_a_charge_that_no_intent_made_is_nothing(self, adapter, stripe):
        stripe.will(charge(payment_intent=None))
        assert adapter.find(CHARGE).standing == Standing.UNKNOWN

    def test_in_the_other_mode_is_not_believed(self, adapter, stripe):
        stripe.will(intent(NO, livemode=True))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.find(INTENT)


class TestClosing:
    """Cancelled or expired at Stripe, so that nobody can pay what nobody waits for."""

    @pytest.mark.parametrize(("answers", "closed"), [
        ([waiting(NO, status="canceled")], CloseAnswer.CLOSED),
        ([no(400, "payment_intent_unexpected_state"), intent(NO)], CloseAnswer.PAID),
        ([no(400, "payment_intent_unexpected_state"), waiting(NO, status="canceled")], CloseAnswer.CLOSED),
        ([no(400, "payment_intent_unexpected_state"), waiting(NO, status="processing")], CloseAnswer.CANNOT),
        ([no(400), waiting(NO, status="requires_action")], CloseAnswer.CANNOT),
        ([waiting(NO, status="a_word_of_tomorrow")], CloseAnswer.CANNOT),
        ([MISSING], CloseAnswer.UNKNOWN),
    ])  # fmt: skip
    def test_cancels_an_intent(self, adapter, stripe, answers, closed):
        stripe.will(*answers)
        assert adapter.close(attempt()) == closed
        call = stripe.calls[0]
        assert (call.what, call.form) == (
            f"POST /v1/payment_intents/{INTENT}/cancel", {"cancellation_reason": "abandoned"},
        )  # fmt: skip
        assert "idempotency-key" not in call.headers  # or a no of today would be repeated tomorrow

    @pytest.mark.parametrize(("answers", "closed"), [
        ([session(NO, status="expired", url=None)], CloseAnswer.CLOSED),
        ([no(400), session(NO, status="complete", payment_intent=intent(NO))], CloseAnswer.PAID),
        ([no(400), session(NO, status="expired")], CloseAnswer.CLOSED),
        ([no(400), session(NO, status="complete", payment_intent=waiting(NO, status="processing"))], CloseAnswer.CANNOT),
        ([MISSING], CloseAnswer.UNKNOWN),
    ])  # fmt: skip
    def test_expires_a_page_and_leaves_its_intent_alone(self, adapter, stripe, answers, closed):
        stripe.will(*answers)
        assert adapter.close(ON_PAGE) == closed
        assert stripe.calls[0].what == f"POST /v1/checkout/sessions/{SESSION}/expire"
        assert not any("payment_intents" in call.path for call in stripe.calls)

    def test_believes_no_answer_about_another(self, adapter, stripe):
        stripe.will(waiting("20260102G0123456789ABCDEFGHJKN", status="canceled"))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.close(attempt())


class TestRefunding:
    """A refund bears our number, and happens once however often and however late it is asked for."""

    def test_asks_for_it_under_its_number(self, adapter, stripe):
        stripe.will(refund(REFUND_NO))
        answer = adapter.refund(refunding())
        assert (answer.standing, answer.said, answer.refund_no, answer.provider_refund_id, answer.amount) == (
            RefundStanding.SUCCEEDED, "succeeded", REFUND_NO, REFUND, Money(200, "USD"),
        )  # fmt: skip
        assert answer.succeeded_at == datetime.fromtimestamp(PAID_AT + 600, UTC)
        (call,) = stripe.calls
        assert (call.what, call.headers["idempotency-key"]) == ("POST /v1/refunds", f"refund-{REFUND_NO}")
        assert call.form == {
            "payment_intent": INTENT, "amount": "200", "reason": "requested_by_customer",
            "metadata[refund_no]": REFUND_NO, "metadata[order_no]": NO,
        }  # fmt: skip

    @pytest.mark.parametrize(("status", "standing"), [
        ("pending", RefundStanding.PROCESSING), ("requires_action", RefundStanding.PROCESSING),
        ("succeeded", RefundStanding.SUCCEEDED), ("failed", RefundStanding.CLOSED), ("canceled", RefundStanding.CLOSED),
        ("a_word_of_tomorrow", RefundStanding.PROCESSING),
    ])  # fmt: skip
    def test_stands_where_stripe_says(self, adapter, stripe, status, standing):
        stripe.will(refund(REFUND_NO, status=status))
        answer = adapter.refund(refunding())
        assert (answer.standing, answer.succeeded_at is not None) == (standing, standing == RefundStanding.SUCCEEDED)
        stripe.will(listed(refund(), refund(REFUND_NO, status=status)))
        assert adapter.query_refund(refunding()) == answer

    def test_that_failed_says_why(self, adapter, stripe):
        stripe.will(listed(refund(REFUND_NO, status="failed", failure_reason="expired_or_canceled_card")))
        assert adapter.query_refund(refunding()).said == "failed: expired_or_canceled_card"

    def test_again_looks_how_it_stands_now(self, adapter, stripe):
        stripe.will(replayed(Answer(refund(REFUND_NO))), listed(refund(REFUND_NO, status="failed")))
        assert adapter.refund(refunding()).standing == RefundStanding.CLOSED

    def test_asked_for_after_stripe_may_have_forgotten_is_looked_for_first(self, adapter, stripe):
        stripe.will(listed(refund(REFUND_NO)))
        assert adapter.refund(refunding(requested_at=YESTERDAY)).standing == RefundStanding.SUCCEEDED
        assert [call.method for call in stripe.calls] == ["GET"]
        stripe.will(listed(refund(), refund("R20260103000002")), refund(REFUND_NO))
        assert adapter.refund(refunding(requested_at=YESTERDAY)).standing == RefundStanding.SUCCEEDED
        assert [call.method for call in stripe.calls] == ["GET", "GET", "POST"]

    def test_whose_failure_stripe_has_stored_is_looked_for(self, adapter, stripe):
        stripe.will(replayed(no(500, kind="api_error")), listed(refund(REFUND_NO)))
        assert adapter.refund(refunding()).standing == RefundStanding.SUCCEEDED
        stripe.will(replayed(no(500, kind="api_error")), listed())
        with pytest.raises(ProviderUnavailable):
            adapter.refund(refunding())

    @pytest.mark.parametrize("code", ["charge_already_refunded", "charge_disputed", "amount_too_large"])
    def test_that_is_refused_says_so(self, adapter, stripe, code):
        stripe.will(no(400, code))
        with pytest.raises(ProviderRejected, match=code):
            adapter.refund(refunding())

    @pytest.mark.parametrize("code", ["balance_insufficient", "insufficient_funds"])
    def test_for_which_the_balance_does_not_reach_comes_later(self, adapter, stripe, code):
        stripe.will(no(400, code))
        with pytest.raises(ProviderBusy, match=code):
            adapter.refund(refunding())

    @pytest.mark.parametrize("changes", [
        {"amount": 201}, {"currency": "eur"}, {"payment_intent": "pi_another"}, {"payment_intent": ...},
        {"metadata": {"refund_no": "R20260103000002"}}, {"metadata": {}},
    ])  # fmt: skip
    def test_believes_no_answer_about_another(self, adapter, stripe, changes):
        stripe.will(refund(REFUND_NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.refund(refunding())

    @pytest.mark.parametrize(
        "changes", [{"amount": "200"}, {"amount": -200}, {"status": 7}, {"id": ...}, {"created": None}]
    )
    def test_takes_no_answer_of_another_shape(self, adapter, stripe, changes):
        stripe.will(refund(REFUND_NO, **changes))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.refund(refunding())

    def test_is_found_on_whatever_page_of_the_list_it_stands(self, adapter, stripe):
        stripe.will(listed(refund("R1"), refund("R2", id="re_2"), more=True), listed(refund(REFUND_NO)))
        assert adapter.query_refund(refunding()).standing == RefundStanding.SUCCEEDED
        first, second = (dict(call.query) for call in stripe.calls)
        assert first == {"payment_intent": INTENT, "limit": "100"}
        assert second == {**first, "starting_after": "re_2"}

    @pytest.mark.parametrize("answer", [listed(refund()), listed(), MISSING])
    def test_that_stripe_does_not_have_is_unknown(self, adapter, stripe, answer):
        stripe.will(answer)
        assert adapter.query_refund(refunding()).standing == RefundStanding.UNKNOWN

    def test_of_what_is_no_payment_of_stripes_is_refused_here(self, adapter, stripe):
        for ask in (adapter.refund, adapter.query_refund):
            with pytest.raises(ProviderRejected, match="no_such_payment"):
                ask(refunding(transaction_id="", handle=SESSION))
        assert stripe.calls == []

    def test_of_a_payment_that_only_the_attempt_names(self, adapter, stripe):
        stripe.will(refund(REFUND_NO))
        adapter.refund(refunding(transaction_id="", handle=INTENT))
        assert stripe.calls[0].form["payment_intent"] == INTENT


class TestProbing:
    """A "no such payment" shows that Stripe accepts our key."""

    def test_takes_the_no(self, adapter, stripe):
        stripe.will(MISSING)
        answer = adapter.probe("CHECK0123456789ABCDEF0123")
        assert (answer.said, answer.verified) == ("resource_missing", False)
        assert stripe.calls[0].what == "GET /v1/payment_intents/pi_CHECK0123456789ABCDEF0123"

    def test_takes_no_yes(self, adapter, stripe):
        stripe.will(intent(NO))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.probe("CHECK0123456789ABCDEF0123")

    def test_shows_no_part_of_a_key_that_is_refused(self, adapter, stripe):
        stripe.will(no(401, message="Invalid API Key provided: sk_test_********p7dc"))
        with pytest.raises(ProviderRejected, match="unauthenticated") as caught:
            adapter.probe("CHECK0123456789ABCDEF0123")
        assert "p7dc" not in str(caught.value)

    def test_shows_no_secret_that_stripe_writes_into_its_words(self, adapter, stripe):
        stripe.will(no(403, message=f"rk_test_51Hbcd lacks {INTENT}_secret_YrKJ permission rak_charge_read"))
        with pytest.raises(ProviderRejected, match="rak_charge_read") as caught:
            adapter.probe("CHECK0123456789ABCDEF0123")
        assert not {"51Hbcd", "YrKJ"} & set(str(caught.value).replace("_", " ").split())


class TestTrouble:
    """Whatever happens on the way, the caller learns whether the result is known."""

    @every_call
    @pytest.mark.parametrize(("status", "code"), [(429, "rate_limit"), (429, "lock_timeout"), (409, "idempotency_key_in_use"),
                                                  (409, ""), (429, "")])  # fmt: skip
    def test_busy_means_later(self, adapter, stripe, call, status, code):
        stripe.will(no(status, code))
        with pytest.raises(ProviderBusy):
            call(adapter)

    @every_call
    @pytest.mark.parametrize("answer", [
        no(500, kind="api_error"), no(503), Answer(body=b"<html>", status=502), Answer(body=b"", status=404),
        Answer({"error": "not found"}, 404), Answer({}, 400), Answer(body=b"", status=302, headers={"Location": "/"}),
        Answer(body=b"<html>"), Answer(body=b"[]"), Answer(body=b'{"id": "\xff"}'), Answer(body=b"[" * 100_000),
    ], ids=range(11))  # fmt: skip
    def test_what_is_not_stripes_answer_is_none(self, adapter, stripe, call, answer):
        stripe.will(answer)
        with pytest.raises(ProviderUnavailable):
            call(adapter)

    @pytest.mark.parametrize("call", [name for name in CALLS if name != "close"])
    def test_an_explicit_no_is_one(self, adapter, stripe, call):
        stripe.will(no(400, "parameter_invalid_integer"))
        with pytest.raises(ProviderRejected, match="parameter_invalid_integer"):
            CALLS[call](adapter)

    @pytest.mark.parametrize("call", ["query_refund", "balance", "events"])
    @pytest.mark.parametrize("answer", [
        {"object": "list"}, {"data": "x"}, {"data": [1]}, {"data": [], "has_more": True},
        {"data": [{"object": "?"}], "has_more": True},
    ])  # fmt: skip
    def test_what_is_no_list_is_none(self, adapter, stripe, call, answer):
        stripe.will(answer)
        with pytest.raises(ProviderUnavailable, match="answer_"):
            CALLS[call](adapter)

    def test_a_list_that_never_ends_is_none(self, adapter, stripe):
        stripe.will(listed(refund("R1"), more=True))
        with pytest.raises(ProviderUnavailable, match="never ends"):
            adapter.query_refund(refunding())

    def test_a_cut_connection_is_no_answer(self, adapter, stripe):
        stripe.will(Answer(raw=lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)))
        with pytest.raises(ProviderUnavailable) as caught:
            adapter.refund(refunding())
        assert not isinstance(caught.value, ConnectFailed)

    def test_silence_is_no_answer(self, adapter, stripe, monkeypatch):
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.2)
        stripe.will(Answer(raw=lambda handler: handler.rfile.read(1)))
        with pytest.raises(ProviderUnavailable) as caught:
            adapter.query(attempt())
        assert not isinstance(caught.value, ConnectFailed)

    def test_nobody_there_says_that_nothing_was_sent(self):
        with pytest.raises(ConnectFailed):
            StripeAdapter(credentials(), live=False).query(attempt())

    @every_call
    def test_no_error_shows_a_key(self, adapter, stripe, call):
        stripe.will(no(401, message=f"Invalid API Key provided: {SECRET_KEY}"))
        with pytest.raises(ProviderError) as caught:
            call(adapter)
        assert SECRET_KEY[8:] not in repr(caught.value) + str(caught.value)
