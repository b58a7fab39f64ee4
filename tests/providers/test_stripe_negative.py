"""Messages to `POST /notify/stripe/{account}` that must not pay, and those that must, by their effects.

Line by line the negative list of docs/providers/stripe.md. Each refusal is followed by the genuine message, which must
still be taken: nothing that a stranger sends may stand in the way of real money.
"""

import time
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.accounts import enable_method, save_account
from channels_app.models import Notification
from orders.attempts import ask_provider, close_at_provider
from orders.hints import follow
from orders.listing import read_list
from orders.models import AttemptState, Case, Payment, PaymentAttempt
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, verdicts
from tests.providers.stripe_side import (
    DISPUTE,
    INTENT,
    OLD_WHSEC,
    PAID_AT,
    PUBLISHABLE_KEY,
    WHSEC,
    Answer,
    StripeSide,
    body_of,
    charge,
    credentials,
    dispute,
    event,
    header,
    intent,
    listed,
    no,
    refund,
    session,
    v1,
    waiting,
)

HELD = Effects(0, 1, 0, 0, 0, 0, 0, 1)
ONE_CASE = Effects(0, 0, 0, 0, 0, 0, 0, 1)
ACKNOWLEDGED, REFUSED, AGAIN = 200, 401, 503
YUAN = {"currency": "cny"}


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


@pytest.fixture
def account(channel, stripe):
    account = save_account(
        provider="stripe", code="st1", environment="sandbox", credentials=credentials(base_url=stripe.url)
    )
    enable_method(channel=channel, method="stripe_card", account=account)
    return account


@pytest.fixture
def attempt(client, account, api_key, stripe):
    """An order of 600 fen whose client has been handed the secret."""
    stripe.will(lambda call: Answer(waiting(call.form["metadata[order_no]"], **YUAN)))
    order = make_order(client, api_key)
    opened = post(client, f"orders/{order.order_no}/pay", {"method": "stripe_card"}, bearer=api_key)
    assert (opened.status_code, opened.json()["kind"]) == (200, "sdk")
    assert opened.json()["params"]["publishable_key"] == PUBLISHABLE_KEY
    stripe.calls.clear()
    return PaymentAttempt.objects.get()


@pytest.fixture
def paid(attempt):
    """The event of this attempt's payment; changes are the intent's."""
    return lambda **changes: event("payment_intent.succeeded", intent(attempt.attempt_no, **{**YUAN, **changes}))


@pytest.fixture
def send(client):
    def send(body: bytes | dict, signed: str | None = None, *, account: str = "st1") -> int:
        raw = body_of(body) if isinstance(body, dict) else body
        signed = header(raw) if signed is None else signed
        headers = {"Stripe-Signature": signed} if signed else {}
        address = f"/notify/stripe/{account}"
        return client.post(address, raw, content_type="application/json; charset=utf-8", headers=headers).status_code

    return send


def work():
    """What the worker does with the hints that are due."""
    for kept in Notification.objects.filter(ask_at__isnull=False).order_by("pk"):
        follow(kept.pk)


NOW = int(time.time())
FORGERIES = {
    "no header": (lambda body: (body, ""), "headers"),
    "an empty signature": (lambda body: (body, f"t={NOW},v1="), "headers"),
    "no time": (lambda body: (body, f"v1={v1(body)}"), "headers"),
    "only the scheme for tests": (lambda body: (body, header(body).replace("v1=", "v0=")), "headers"),
    "a blank after the comma": (lambda body: (body, header(body).replace(",v1", ", v1")), "headers"),
    "digits in upper case": (lambda body: (body, f"t={NOW},v1={v1(body, stamp=NOW).upper()}"), "headers"),
    "a time that is none": (lambda body: (body, f"t=soon,v1={v1(body, stamp='soon')}"), "timestamp"),
    "too old": (lambda body: (body, header(body, stamp=int(time.time()) - 302)), "timestamp"),
    "a day ahead": (lambda body: (body, header(body, stamp=int(time.time()) + 86400)), "timestamp"),
    "another time": (lambda body: (body, header(body).replace("t=1", "t=2")), "signature"),
    "another's secret": (lambda body: (body, header(body, secret=OLD_WHSEC)), "signature"),
    "a secret without its beginning": (lambda body: (body, header(body, secret=WHSEC[6:])), "signature"),
    "no secret at all": (lambda body: (body, header(body, secret="")), "signature"),
    "the key that everybody knows": (lambda body: (body, header(body, secret=PUBLISHABLE_KEY)), "signature"),
    "a changed amount": (lambda body: (body.replace(b'"amount_received": 600', b'"amount_received": 60'), header(body)), "signature"),
    "written anew": (lambda body: (body.replace(b"\n", b""), header(body)), "signature"),
    "a newline more": (lambda body: (body + b"\n", header(body)), "signature"),
}  # fmt: skip


class TestForgeries:
    """What is not Stripe's very message of just now moves nothing, is refused by the check that failed, hinders nothing."""

    @pytest.mark.parametrize("name", FORGERIES)
    def test_move_nothing(self, paid, send, stripe, name):
        forge, step = FORGERIES[name]
        genuine = body_of(paid())
        assert send(*forge(genuine)) == REFUSED
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        assert send(genuine) == ACKNOWLEDGED
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("refused", step), ("applied", "")])
        assert stripe.calls == []

    def test_show_nothing_of_what_they_were_signed_with(self, paid, send):
        body = body_of(paid())
        send(body, header(body, secret=OLD_WHSEC))
        assert v1(body)[:12] not in Notification.objects.get().detail


class TestGenuineMessages:
    """They pay, once, in whatever order and however often they come."""

    @pytest.mark.parametrize("changes", [{}, {"status": "succeeded", "a_word": [1]}, {"latest_charge": charge(**YUAN)}])
    def test_pay_once(self, paid, send, changes):
        for _ in range(3):
            assert send(paid(**changes)) == ACKNOWLEDGED
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("applied", ""), ("duplicate", ""), ("duplicate", "")])
        assert Payment.objects.get().transaction_id == INTENT

    def test_pay_after_a_card_was_declined(self, attempt, paid, send):
        error = {"code": "card_declined", "decline_code": "lost_card"}
        failed = event("payment_intent.payment_failed", waiting(attempt.attempt_no, last_payment_error=error))
        assert [send(failed), send(paid()), send(failed)] == [ACKNOWLEDGED] * 3
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("no_op", ""), ("applied", ""), ("no_op", "")])

    def test_pay_once_with_the_events_of_page_and_charge_around_them(self, attempt, paid, send):
        page = session(attempt.attempt_no, status="complete", payment_status="paid", payment_intent=INTENT)
        assert send(event("checkout.session.completed", page)) == ACKNOWLEDGED
        assert send(event("charge.succeeded", charge(attempt.attempt_no))) == ACKNOWLEDGED
        assert effects() == NOTHING
        send(paid())
        assert effects() == ONE_PURCHASE

    def test_that_were_lost_are_made_up_for_by_asking(self, attempt, stripe):
        stripe.will(intent(attempt.attempt_no, latest_charge=charge(**YUAN), **YUAN))
        ask_provider(attempt, actor="query")
        assert effects() == ONE_PURCHASE
        assert stripe.calls[0].what == f"GET /v1/payment_intents/{INTENT}"

    def test_that_were_lost_are_made_up_for_by_the_list(self, attempt, account, paid, stripe):
        stripe.will(listed(paid(), event("payment_intent.succeeded", intent(**YUAN))))
        assert read_list(account.pk, now=datetime.now(UTC)) == 2
        assert effects() == ONE_PURCHASE

    def test_win_against_closing(self, attempt, stripe):
        stripe.will(no(400, "payment_intent_unexpected_state"), intent(attempt.attempt_no, **YUAN))
        close_at_provider(attempt, actor="expiry")
        assert effects() == ONE_PURCHASE


class TestMoneyThatDoesNotFit:
    """Genuine money that is not this order's, in this amount, beyond doubt, is kept and delivers nothing."""

    @pytest.mark.parametrize(("changes", "kind"), [
        ({"amount_received": 599}, "amount_differs"), ({"currency": "usd"}, "amount_differs"),
        ({"currency": "jpy"}, "amount_differs"),
        ({"metadata": {"order_no": "20260102G0123456789ABCDEFGHJKZ"}}, "unknown_order"),
    ])  # fmt: skip
    def test_is_put_before_a_person(self, paid, send, changes, kind):
        assert send(paid(**changes)) == ACKNOWLEDGED
        assert (effects(), Case.objects.get().kind) == (HELD, kind)

    def test_of_a_second_payment_of_one_order(self, paid, send):
        send(paid())
        send(paid(id="pi_3Another"))
        assert Case.objects.get().kind == "second_payment"

    def test_that_a_bank_disputes_already(self, attempt, stripe):
        stripe.will(intent(attempt.attempt_no, latest_charge=charge(disputed=True), **YUAN))
        ask_provider(attempt, actor="query")
        assert (effects(), Case.objects.get().kind) == (HELD, "review")


class TestMessagesThatMoveNothing:
    """Genuine, acknowledged, and no reason to deliver."""

    @pytest.mark.parametrize("kind", ["processing", "canceled", "requires_action", "a_word_of_tomorrow"])
    def test_of_a_payment_that_is_none(self, attempt, send, kind):
        assert send(event(f"payment_intent.{kind}", waiting(attempt.attempt_no))) == ACKNOWLEDGED
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])

    def test_of_another_system_of_the_other_mode_or_of_a_connected_account(self, attempt, paid, send):
        others = [
            event("payment_intent.succeeded", intent(**YUAN)),
            {**paid(livemode=True), "livemode": True},
            paid(livemode=True),
            {**paid(), "account": "acct_1"},
        ]
        assert [send(each) for each in others] == [ACKNOWLEDGED] * 4
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")] * 4)

    def test_of_test_mode_at_an_account_of_real_money(self, paid, send):
        live = {"secret_key": "sk_live_4eC39HqLyjWD", "publishable_key": "pk_live_4eC39HqLyjWD", "base_url": ...}
        save_account(provider="stripe", code="st2", environment="production", credentials=credentials(**live))
        assert send(paid(), account="st2") == ACKNOWLEDGED
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])

    @pytest.mark.parametrize("body", [
        b"not JSON", b"\xff\xfe{}", body_of({"object": "v2.core.event", "type": "v1.payment_intent.succeeded"}),
    ], ids=["no JSON", "no UTF-8", "thin"])  # fmt: skip
    def test_that_cannot_be_read_are_asked_for_again_and_told_once(self, attempt, send, body):
        assert [send(body), send(body)] == [AGAIN, AGAIN]
        assert (effects(), Case.objects.get().kind) == (ONE_CASE, "unreadable")


class TestMoneyGivenBack:
    """A refund told before its payment keeps that from delivering; told after it, a person looks."""

    def test_told_before_the_payment_never_delivers(self, attempt, paid, send):
        back = charge(attempt.attempt_no, amount_refunded=600, refunded=True, **YUAN)
        assert send(event("charge.refunded", back)) == ACKNOWLEDGED
        assert send(paid()) == ACKNOWLEDGED
        assert effects().deliveries == 0
        assert set(Case.objects.values_list("kind", flat=True)) == {"given_back", "provider_refund"}

    def test_by_one_refund_before_the_payment_never_delivers(self, attempt, paid, send, stripe):
        gone = intent(attempt.attempt_no, latest_charge=charge(amount_refunded=200, **YUAN), **YUAN)
        stripe.will(refund(payment_intent=gone, **YUAN))
        assert send(event("refund.created", refund(**YUAN))) == ACKNOWLEDGED
        assert verdicts() == [("asking", "")]
        work()
        send(paid())
        assert effects().deliveries == 0

    def test_after_the_payment_is_one_case_however_often_it_is_told(self, attempt, paid, send, stripe):
        send(paid())
        gone = intent(attempt.attempt_no, latest_charge=charge(amount_refunded=200, **YUAN), **YUAN)
        stripe.will(refund(payment_intent=gone, **YUAN))
        for kind in ("refund.created", "refund.updated", "refund.failed"):
            send(event(kind, refund(**YUAN)))
        work()
        case = Case.objects.get()
        assert (case.kind, case.order_id, case.amount_minor) == ("provider_refund", attempt.order_id, 200)

    def test_of_another_system_is_nobodys_case(self, attempt, send, stripe):
        stripe.will(refund(payment_intent=intent(**YUAN), **YUAN))
        send(event("refund.created", refund(**YUAN)))
        work()
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])

    def test_that_stripe_cannot_tell_us_about_now_is_asked_about_again(self, attempt, send, stripe):
        stripe.will(no(500, kind="api_error"))
        send(event("refund.created", refund(**YUAN)))
        work()
        assert (effects(), verdicts()) == (NOTHING, [("asking", "")])


class TestDisputes:
    """A dispute is a case with the bank's deadline, which the bank's decision closes."""

    def test_open_and_close_one_case(self, attempt, paid, send, stripe):
        send(paid())
        about = {"payment_intent": intent(attempt.attempt_no, **YUAN), **YUAN}
        stripe.will(dispute(**about))
        for kind in ("created", "funds_withdrawn"):
            send(event(f"charge.dispute.{kind}", dispute(**YUAN)))
        work()
        case = Case.objects.get()
        assert (case.kind, case.order_id, case.amount_minor, case.closed_at) == ("dispute", attempt.order_id, 600, None)
        assert case.due_at == datetime.fromtimestamp(PAID_AT, UTC) + timedelta(days=10)
        stripe.will(dispute(status="lost", **about))
        send(event("charge.dispute.closed", dispute(status="lost", **YUAN)))
        # Stripe promises no order: what began is told again, after its end.
        send(event("charge.dispute.created", dispute(**YUAN)))
        work()
        case.refresh_from_db()
        assert (case.decision, Case.objects.filter(closed_at=None).count()) == ("lost", 0)
        assert stripe.calls[-1].what == f"GET /v1/disputes/{DISPUTE}"

    def test_of_another_system_are_nobodys_case(self, attempt, send, stripe):
        stripe.will(dispute(payment_intent=intent(**YUAN), **YUAN))
        send(event("charge.dispute.created", dispute(**YUAN)))
        work()
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])


class TestAPageOfStripes:
    """Who brings a way back is led to a page, and that attempt is asked about and closed as a page."""

    def test_is_opened_expired_and_never_cancelled(self, client, account, api_key, stripe):
        stripe.will(lambda call: Answer(session(call.form["metadata[order_no]"], **YUAN)))
        order = make_order(client, api_key)
        body = {"method": "stripe_card", "return_url": "https://game.example/back"}
        opened = post(client, f"orders/{order.order_no}/pay", body, bearer=api_key).json()
        assert (opened["kind"], set(opened["params"])) == ("redirect", {"url"})
        attempt = PaymentAttempt.objects.get()
        stripe.will(session(attempt.attempt_no, status="expired", url=None))
        assert close_at_provider(attempt, actor="expiry") is None
        attempt.refresh_from_db()
        assert attempt.state == AttemptState.CLOSED
        assert stripe.calls[-1].what == f"POST /v1/checkout/sessions/{attempt.handle}/expire"


class TestSecrets:
    """What opens a payment at Stripe is told to the client, and kept nowhere."""

    def test_are_in_no_column_of_the_attempt(self, attempt):
        assert attempt.handle == INTENT
        assert "_secret_" not in repr(vars(attempt))
