"""Reading what Stripe tells: signed webhooks, the list of events, and what each of them means."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    DisputeNotice,
    Following,
    Foreign,
    Hint,
    Listing,
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
from channels_app.providers.stripe import StripeAdapter
from tests.providers.stripe_side import (
    CHARGE,
    DISPUTE,
    EVENT,
    INTENT,
    MISSING,
    OLD_WHSEC,
    PAID_AT,
    REFUND,
    SESSION,
    WHSEC,
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

NO, REFUND_NO = "20260102G0123456789ABCDEFGHJKM", "R20260103000001"
NOW = datetime.fromtimestamp(1_764_000_100, UTC)
STAMP = int(NOW.timestamp())


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


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


@pytest.fixture(scope="module")
def rolling():
    """An endpoint whose secret is being rolled."""
    return StripeAdapter(credentials(webhook_secrets=[WHSEC, OLD_WHSEC]), live=False)


def raw(body: bytes, signed: str | None = None, *, received_at: datetime = NOW) -> RawNotification:
    signed = header(body, stamp=STAMP) if signed is None else signed
    return RawNotification(headers={"stripe-signature": signed} if signed else {}, body=body, received_at=received_at)


def read(adapter, kind: str, about: dict, **changes):
    return adapter.read_notification(raw(body_of(event(kind, about, **changes))))


PAID = body_of(event("payment_intent.succeeded", intent(NO)))
PROOF = PaymentProof(
    attempt_no=NO, transaction_id=INTENT, paid=Money(600, "USD"), paid_at=at(PAID_AT + 5), handle=INTENT
)  # fmt: skip


class TestTheSignature:
    """A message is Stripe's when one of our secrets signed these very bytes within five minutes of now."""

    def test_of_the_published_example_is_right(self):
        adapter = StripeAdapter(credentials(webhook_secrets=["whsec_probe_5d1f0c9b7a"]), live=False)
        body = b'{"id":"evt_fixed","object":"event"}'
        signed = "t=1700000000,v1=454f156770889787ee76bd243e9be29af364a80d3ee02ce93939da2c4c2d9bc3"
        with pytest.raises(NotificationUnreadable):  # beyond the signature: it is an event without content
            adapter.read_notification(raw(body, signed, received_at=at(1_700_000_000)))
        with pytest.raises(NotificationRefused):
            adapter.read_notification(raw(body + b" ", signed, received_at=at(1_700_000_000)))

    @pytest.mark.parametrize("signed", [
        f"t={STAMP},v1={v1(PAID, stamp=STAMP)}",
        f"v1={v1(PAID, stamp=STAMP)},t={STAMP}",
        f"t={STAMP},v1={'0' * 64},v1={v1(PAID, stamp=STAMP)}",
        f"t={STAMP},v1={v1(PAID, stamp=STAMP)},v1={'0' * 64},v0=x,v2=y,z",
    ], ids=range(4))  # fmt: skip
    def test_is_taken_in_every_spelling_of_the_header(self, adapter, signed):
        assert adapter.read_notification(raw(PAID, signed)) == PROOF

    @pytest.mark.parametrize(("seconds", "taken"), [(0, True), (300, True), (301, False), (-300, True), (-301, False),
                                                    (86400, False), (-86400, False)])  # fmt: skip
    def test_ages_in_both_directions(self, adapter, seconds, taken):
        message = raw(PAID, received_at=NOW + timedelta(seconds=seconds, milliseconds=900 if seconds >= 0 else 0))
        if taken:
            assert adapter.read_notification(message) == PROOF
            return
        with pytest.raises(NotificationRefused) as caught:
            adapter.read_notification(message)
        assert caught.value.step == "timestamp"

    @pytest.mark.parametrize("secret", [WHSEC, OLD_WHSEC])
    def test_is_of_either_secret_while_one_is_rolled(self, rolling, secret):
        assert rolling.read_notification(raw(PAID, header(PAID, secret=secret, stamp=STAMP))) == PROOF

    def test_is_of_both_secrets_at_once_while_stripe_rolls_them(self, adapter, rolling):
        both = f"{header(PAID, secret=OLD_WHSEC, stamp=STAMP)},v1={v1(PAID, stamp=STAMP)}"
        assert adapter.read_notification(raw(PAID, both)) == rolling.read_notification(raw(PAID, both)) == PROOF

    @pytest.mark.parametrize(("signed", "step"), [
        ("", "headers"),
        ("nonsense", "headers"),
        (f"t={STAMP}", "headers"),
        (f"v1={v1(PAID, stamp=STAMP)}", "headers"),
        (f"t={STAMP},v0={v1(PAID, stamp=STAMP)}", "headers"),
        (f"t={STAMP}, v1={v1(PAID, stamp=STAMP)}", "headers"),
        (f"t={STAMP},v1={v1(PAID, stamp=STAMP).upper()}", "headers"),
        (f"t={STAMP},v1={v1(PAID, stamp=STAMP)}\n", "headers"),
        (f"t={STAMP},v1={v1(PAID, stamp=STAMP)[:-1]}é", "headers"),
        (f"t={STAMP},t={STAMP},v1={v1(PAID, stamp=STAMP)}", "headers"),
        (f"t={STAMP}" + f",v1={v1(PAID, stamp=STAMP)}" * 11, "headers"),
        (f"t=now,v1={v1(PAID, stamp='now')}", "timestamp"),
        (f"t=-1,v1={v1(PAID, stamp=-1)}", "timestamp"),
        (f"t=１７６４０００１００,v1={v1(PAID, stamp='１７６４０００１００')}", "timestamp"),
        (f"t={STAMP}.0,v1={v1(PAID, stamp=f'{STAMP}.0')}", "timestamp"),
        (f"t={STAMP + 1},v1={v1(PAID, stamp=STAMP)}", "signature"),
        (f"t={STAMP},v1={'0' * 64}", "signature"),
        (header(PAID, secret=OLD_WHSEC, stamp=STAMP), "signature"),
        (header(PAID, secret=WHSEC.removeprefix("whsec_"), stamp=STAMP), "signature"),
        (header(PAID, secret="", stamp=STAMP), "signature"),
        (header(PAID, secret="whsec_", stamp=STAMP), "signature"),
    ], ids=range(21))  # fmt: skip
    def test_that_is_not_as_documented_is_refused(self, adapter, signed, step):
        with pytest.raises(NotificationRefused) as caught:
            adapter.read_notification(raw(PAID, signed))
        assert caught.value.step == step

    @pytest.mark.parametrize("body", [
        PAID.replace(b"600", b"601"), PAID + b"\n", PAID[:-1], json.dumps(json.loads(PAID)).encode(), b"",
        PAID.decode().encode("utf-16"),
    ], ids=["amount", "newline", "cut", "written anew", "empty", "recoded"])  # fmt: skip
    def test_covers_every_byte(self, adapter, body):
        with pytest.raises(NotificationRefused) as caught:
            adapter.read_notification(raw(body, header(PAID, stamp=STAMP)))
        assert caught.value.step == "signature"

    @pytest.mark.parametrize(("body", "step"), [
        (b"not JSON", "json"), (b"", "json"), (b"[]", "json"), (b"\xff\xfe{}", "json"), (b"[" * 100_000, "json"),
        (b'{"object": "event", "type": "payment_intent.succeeded"', "json"),
        (body_of({"object": "v2.core.event", "type": "v1.payment_intent.succeeded", "id": EVENT}), "thin_event"),
        (body_of({"object": "customer"}), "shape"),
        (body_of(event("payment_intent.succeeded", intent(NO), type="a b")), "shape"),
        (body_of(event("payment_intent.succeeded", intent(NO), data={})), "shape"),
        (body_of(event("payment_intent.succeeded", intent(NO), created="now")), "shape"),
        (body_of(event("payment_intent.succeeded", intent(NO, amount_received="600"))), "amount"),
        (body_of(event("payment_intent.succeeded", intent(NO, amount_received=0))), "amount"),
        (body_of(event("payment_intent.succeeded", intent(NO, currency="xxx"))), "amount"),
        (body_of(event("payment_intent.succeeded", intent(NO, id="ch_1"))), "shape"),
        (body_of(event("charge.refunded", charge(NO, amount_refunded=0))), "amount"),
        (body_of(event("refund.failed", refund(id="../x"))), "shape"),
    ], ids=range(17))  # fmt: skip
    def test_of_what_cannot_be_read_says_what_is_wrong(self, adapter, body, step):
        with pytest.raises(NotificationUnreadable) as caught:
            adapter.read_notification(raw(body))
        assert caught.value.step == step

    def test_is_never_shown(self, adapter):
        forged = header(PAID, secret=OLD_WHSEC, stamp=STAMP)
        with pytest.raises(NotificationRefused) as caught:
            adapter.read_notification(raw(PAID, forged))
        assert not {WHSEC, v1(PAID, stamp=STAMP), forged[-64:]} & set(str(caught.value).split())


class TestAPayment:
    """payment_intent.succeeded proves a payment; everything else that is told of one does not."""

    def test_is_what_was_received(self, adapter):
        assert adapter.read_notification(raw(PAID)) == PROOF
        less = read(adapter, "payment_intent.succeeded", intent(NO, amount_received=599))
        assert less.paid == Money(599, "USD")

    def test_of_an_older_version_tells_more(self, adapter):
        told = read(adapter, "payment_intent.succeeded", intent(NO, latest_charge=charge(NO)))
        assert told.paid_at == at(PAID_AT)

    @pytest.mark.parametrize("kind", ["processing", "canceled", "requires_action", "created", "a_word_of_tomorrow"])
    def test_that_is_none_yet_moves_nothing_and_names_its_attempt(self, adapter, kind):
        said = f"payment_intent.{kind}"
        assert read(adapter, said, waiting(NO)) == NothingToDo(said=said, attempt_no=NO, handle=INTENT)

    def test_that_failed_says_why_and_may_still_succeed(self, adapter):
        error = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}
        told = read(adapter, "payment_intent.payment_failed", waiting(NO, last_payment_error=error))
        assert told == NothingToDo(
            said="payment_intent.payment_failed: insufficient_funds", attempt_no=NO, handle=INTENT
        )  # fmt: skip

    @pytest.mark.parametrize("kind", ["completed", "expired", "async_payment_succeeded", "async_payment_failed"])
    def test_is_not_proved_by_its_page(self, adapter, kind):
        said = f"checkout.session.{kind}"
        told = read(adapter, said, session(NO, status="complete", payment_status="paid", payment_intent=INTENT))
        assert told == NothingToDo(said=said, attempt_no=NO, handle=SESSION)

    @pytest.mark.parametrize("kind", ["charge.succeeded", "payout.paid", "review.opened", "radar.early_fraud_warning.created",
                                      "customer.created"])  # fmt: skip
    def test_is_not_proved_by_what_is_not_looked_for(self, adapter, kind):
        assert read(adapter, kind, charge(NO)) == NothingToDo(said=kind)

    @pytest.mark.parametrize(("kind", "about"), [
        ("payment_intent.succeeded", intent()), ("payment_intent.canceled", waiting()),
        ("payment_intent.succeeded", intent(metadata={"order_no": "a number with blanks"})),
        ("payment_intent.succeeded", intent(metadata=["order_no"])), ("payment_intent.succeeded", intent(metadata=...)),
        ("checkout.session.completed", session()),
        ("charge.refunded", charge(amount_refunded=600)),
    ])  # fmt: skip
    def test_of_another_system_at_the_same_account_is_foreign(self, adapter, kind, about):
        assert read(adapter, kind, about) == Foreign(said=f"{kind} of another system")

    @pytest.mark.parametrize("changes", [
        {"livemode": True}, {"livemode": ...}, {"livemode": 0}, {"livemode": "false"}, {"account": "acct_1"},
        {"data": {"object": intent(NO, livemode=True)}}, {"data": {"object": intent(NO, livemode=...)}},
    ])  # fmt: skip
    def test_of_the_other_mode_or_of_a_connected_account_is_foreign(self, adapter, changes):
        assert isinstance(read(adapter, "payment_intent.succeeded", intent(NO), **changes), Foreign)

    def test_of_test_mode_is_foreign_at_an_account_of_real_money(self):
        live = StripeAdapter(
            credentials(secret_key="rk_live_4eC39HqLyjWD", publishable_key="pk_live_4eC39HqLyjWD", base_url=...)
        )
        assert isinstance(live.read_notification(raw(PAID)), Foreign)
        told = read(live, "payment_intent.succeeded", intent(NO, livemode=True), livemode=True)
        assert told == PROOF


class TestMoneyGivenBack:
    """A refund is told with its payment: told before the payment, it must never deliver."""

    @pytest.mark.parametrize("changes", [{"amount_captured": 600}, {"amount_captured": ...}])
    def test_of_a_charge_is_told_as_the_sum_of_all_refunds(self, adapter, changes):
        told = read(adapter, "charge.refunded", charge(NO, amount_refunded=250, **changes))
        assert isinstance(told, RefundNotice)
        assert (told.attempt_no, told.transaction_id, told.refund_no, told.standing, told.said) == (
            NO, INTENT, "", RefundStanding.SUCCEEDED, "charge.refunded",
        )  # fmt: skip
        assert (told.amount, told.refunded_total, told.at) == (None, Money(250, "USD"), at(PAID_AT + 5))
        assert told.payment == PaymentProof(
            attempt_no=NO, transaction_id=INTENT, paid=Money(600, "USD"), paid_at=at(PAID_AT), given_back=True,
            handle=INTENT,
        )  # fmt: skip

    @pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
    def test_by_one_refund_is_asked_about(self, adapter, stripe, kind):
        hint = read(adapter, kind, refund(REFUND_NO))
        assert hint == Hint(said=kind, about=AttemptRef(attempt_no="", handle=REFUND))
        stripe.will(refund(REFUND_NO, payment_intent=intent(NO, latest_charge=charge(NO, amount_refunded=200))))
        told = adapter.follow(hint)
        assert (told.attempt_no, told.transaction_id, told.refund_no, told.provider_refund_id) == (
            NO, INTENT, REFUND_NO, REFUND,
        )  # fmt: skip
        assert (told.standing, told.said, told.amount) == (RefundStanding.SUCCEEDED, "succeeded", Money(200, "USD"))
        assert (told.payment.given_back, told.payment.paid) == (True, Money(600, "USD"))
        (call,) = stripe.calls
        assert (call.what, call.query) == (
            f"GET /v1/refunds/{REFUND}", [("expand[]", "payment_intent.latest_charge")],
        )  # fmt: skip

    def test_in_the_dashboard_is_told_under_stripes_own_number(self, adapter, stripe):
        stripe.will(refund(payment_intent=intent(NO, latest_charge=charge(NO))))
        told = adapter.follow(read(adapter, "refund.created", refund()))
        assert (told.refund_no, told.payment.given_back) == (REFUND, True)

    def test_that_came_back_weeks_later_is_no_refund_any_more(self, adapter, stripe):
        failed = {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        stripe.will(refund(REFUND_NO, payment_intent=intent(NO, latest_charge=charge(NO)), **failed))
        told = adapter.follow(read(adapter, "refund.failed", refund(REFUND_NO, **failed)))
        assert (told.standing, told.said) == (RefundStanding.CLOSED, "failed: expired_or_canceled_card")
        assert told.payment.given_back is False

    def test_stands_where_it_stands_now_and_not_where_a_late_message_says(self, adapter, stripe):
        stripe.will(refund(REFUND_NO, status="failed", payment_intent=intent(NO, latest_charge=charge(NO))))
        told = adapter.follow(read(adapter, "refund.updated", refund(REFUND_NO, status="succeeded")))
        assert told.standing == RefundStanding.CLOSED

    @pytest.mark.parametrize("about", [refund(payment_intent=None), refund(payment_intent=intent()), refund()])
    def test_of_another_system_at_the_same_account_is_foreign(self, adapter, stripe, about):
        stripe.will(about)
        told = adapter.follow(read(adapter, "refund.created", refund()))
        assert told == Foreign(said="refund.created of another system")

    def test_that_stripe_does_not_know_moves_nothing(self, adapter, stripe):
        stripe.will(MISSING)
        assert isinstance(adapter.follow(read(adapter, "refund.created", refund())), NothingToDo)


class TestDisputes:
    """A buyer's bank disputes a payment: who, how much, until when, and how it ended."""

    @pytest.mark.parametrize(("kind", "status", "is_over", "is_won"), [
        ("created", "needs_response", False, False), ("created", "warning_needs_response", False, False),
        ("updated", "under_review", False, False), ("updated", "appeal_under_review", False, False),
        ("funds_withdrawn", "needs_response", False, False), ("closed", "won", True, True),
        ("closed", "lost", True, False), ("closed", "warning_closed", True, True), ("closed", "prevented", True, False),
        ("funds_reinstated", "won", True, True), ("updated", "a_word_of_tomorrow", False, False),
        ("created", "lost", True, False),  # told late: over before its beginning arrived
    ])  # fmt: skip
    def test_stand_where_stripe_says_now(self, adapter, stripe, kind, status, is_over, is_won):
        hint = read(adapter, f"charge.dispute.{kind}", dispute(status="needs_response"))
        assert hint == Hint(said=f"charge.dispute.{kind}", about=AttemptRef(attempt_no="", handle=DISPUTE))
        stripe.will(dispute(status=status, payment_intent=intent(NO), amount=500))
        assert adapter.follow(hint) == DisputeNotice(
            attempt_no=NO, transaction_id=INTENT, dispute_id=DISPUTE, said=status, reason="fraudulent",
            amount=Money(500, "USD"), due_by=at(PAID_AT + 864000), is_over=is_over, is_won=is_won,
        )  # fmt: skip
        assert stripe.calls[0].what == f"GET /v1/disputes/{DISPUTE}"

    def test_may_have_no_deadline_any_more(self, adapter, stripe):
        stripe.will(dispute(payment_intent=intent(NO), evidence_details={"due_by": None}))
        assert adapter.follow(read(adapter, "charge.dispute.closed", dispute())).due_by is None

    def test_of_another_system_at_the_same_account_are_foreign(self, adapter, stripe):
        stripe.will(dispute(payment_intent=intent()))
        assert isinstance(adapter.follow(read(adapter, "charge.dispute.created", dispute())), Foreign)

    @pytest.mark.parametrize("changes", [
        {"id": "dp_another"}, {"livemode": True}, {"livemode": ...}, {"payment_intent": intent(NO, livemode=True)},
    ])  # fmt: skip
    def test_are_not_believed_in_an_answer_about_something_else(self, adapter, stripe, changes):
        stripe.will(dispute(**{"payment_intent": intent(NO), **changes}))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.follow(read(adapter, "charge.dispute.created", dispute()))

    @pytest.mark.parametrize("changes", [{"amount": 0}, {"reason": None}, {"evidence_details": None}, {"status": ""}])
    def test_of_another_shape_are_asked_about_again(self, adapter, stripe, changes):
        stripe.will(dispute(payment_intent=intent(NO), **changes))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.follow(read(adapter, "charge.dispute.created", dispute()))

    def test_are_asked_about_until_stripe_answers(self, adapter, stripe):
        stripe.will(no(500, kind="api_error"))
        with pytest.raises(ProviderUnavailable):
            adapter.follow(read(adapter, "charge.dispute.created", dispute()))
        stripe.will(no(403))
        with pytest.raises(ProviderRejected):
            adapter.follow(read(adapter, "charge.dispute.created", dispute()))


class TestTheListOfEvents:
    """What was never told is found in Stripe's own list, thirty days back, and read as if it had been told."""

    def test_is_asked_for_what_counts_and_followed_to_its_end(self, adapter, stripe):
        first = [event("payment_intent.succeeded", intent(NO)), event("refund.created", refund(), id="evt_2")]
        stripe.will(
            listed(*first, more=True), refund(payment_intent=intent(NO, latest_charge=charge(NO))),
            listed(event("payment_intent.succeeded", intent())),
        )  # fmt: skip
        messages = list(adapter.happenings(since=at(1000), until=at(2000)))
        assert [type(each) for each in messages] == [PaymentProof, RefundNotice, Foreign]
        assert messages[0] == PROOF
        assert [call.what for call in stripe.calls] == ["GET /v1/events", f"GET /v1/refunds/{REFUND}", "GET /v1/events"]
        asked = stripe.calls[0].query
        assert {"payment_intent.succeeded", "refund.failed", "charge.dispute.closed"} <= {
            value for name, value in asked if name == "types[]"
        }  # fmt: skip
        assert len(asked) <= 23
        assert [pair for pair in asked if pair[0] != "types[]"] == [
            ("created[gte]", "1000"), ("created[lte]", "2000"), ("limit", "100"),
        ]  # fmt: skip
        assert stripe.calls[2].query == [*asked, ("starting_after", "evt_2")]

    @pytest.mark.parametrize("broken", [
        [listed(event("payment_intent.succeeded", intent(NO, amount_received="x")), event("payment_intent.succeeded", intent(NO)))],
        [listed(event("refund.created", refund()), event("payment_intent.succeeded", intent(NO))), no(403)],
        [listed(event("refund.created", refund()), event("payment_intent.succeeded", intent(NO))), {"id": "other"}],
    ])  # fmt: skip
    def test_is_not_held_up_by_what_cannot_be_read(self, adapter, stripe, broken, caplog):
        stripe.will(*broken)
        assert list(adapter.happenings(since=at(1000), until=at(2000))) == [PROOF]
        assert "cannot read" in caplog.text

    def test_that_stops_in_the_middle_says_so(self, adapter, stripe):
        stripe.will(listed(event("payment_intent.succeeded", intent(NO)), more=True), no(500, kind="api_error"))
        messages = adapter.happenings(since=at(1000), until=at(2000))
        assert next(messages) == PROOF
        with pytest.raises(ProviderUnavailable):
            next(messages)
        stripe.will(listed(event("refund.created", refund())), no(500, kind="api_error"))
        with pytest.raises(ProviderUnavailable):
            list(adapter.happenings(since=at(1000), until=at(2000)))

    def test_belongs_to_an_adapter_that_follows_and_lists(self, adapter):
        assert isinstance(adapter, Following)
        assert isinstance(adapter, Listing)
        assert adapter.reaches_back == timedelta(days=30)


class TestTheBooks:
    """Stripe's balance, movement by movement, with the fee of each."""

    def line(self, **changes) -> dict:
        about = {
            "id": "txn_1", "object": "balance_transaction", "amount": 600, "fee": 48, "net": 552, "currency": "usd",
            "available_on": PAID_AT + 86400, "created": PAID_AT, "exchange_rate": 0.9123, "reporting_category": "charge",
            "status": "pending", "type": "charge", "source": charge(NO),
        }  # fmt: skip
        return {**about, **changes}

    def test_tell_what_a_payment_left(self, adapter, stripe):
        back = refund(REFUND_NO, metadata={"refund_no": REFUND_NO, "order_no": NO})
        stripe.will(
            listed(self.line(), more=True),
            listed(self.line(id="txn_2", amount=-200, fee=0, net=-200, reporting_category="refund", source=back),
                   self.line(id="txn_3", amount=-352, fee=0, net=-352, reporting_category="payout", source="po_1")),
        )  # fmt: skip
        paid, given_back, payout = adapter.balance_lines(since=at(1000), until=at(2000), payout="po_1")
        assert (paid.number, paid.kind, paid.source, paid.transaction_id, paid.attempt_no) == (
            "txn_1", "charge", CHARGE, INTENT, NO,
        )  # fmt: skip
        assert (paid.gross, paid.fee, paid.net) == (Money(600, "USD"), Money(48, "USD"), Money(552, "USD"))
        assert (paid.at, paid.available_on) == (at(PAID_AT), at(PAID_AT + 86400))
        assert (given_back.gross, given_back.refund_no, given_back.attempt_no) == (Money(-200, "USD"), REFUND_NO, NO)
        assert (payout.source, payout.transaction_id, payout.attempt_no) == ("po_1", "", "")
        first, second = (call.query for call in stripe.calls)
        assert first == [
            ("expand[]", "data.source"), ("created[gte]", "1000"), ("created[lt]", "2000"), ("payout", "po_1"),
            ("limit", "100"),
        ]  # fmt: skip
        assert second == [*first, ("starting_after", "txn_1")]

    @pytest.mark.parametrize("changes", [
        {"net": 553}, {"amount": 6.0}, {"fee": None}, {"currency": "xxx"}, {"created": "x"}, {"reporting_category": None},
        {"id": 7},
    ])  # fmt: skip
    def test_of_another_shape_are_not_guessed(self, adapter, stripe, changes):
        stripe.will(listed(self.line(**changes)))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            list(adapter.balance_lines(payout="po_1"))


class TestTheReply:
    """Any 2xx is an acknowledgement, everything else is sent again."""

    def test_is_a_status_without_words(self, adapter):
        answers = [adapter.reply(ack) for ack in (Ack.DONE, Ack.REFUSED, Ack.LATER)]
        assert [(each.status, each.body) for each in answers] == [(200, b""), (401, b""), (503, b"")]


class TestClaims:
    """Who looks into a refused message sees when it says that it was signed."""

    @pytest.mark.parametrize(("signed", "sent_at"), [
        (f"t={STAMP},v1={'0' * 64}", NOW), (f"t=999999999999,v1={'0' * 64}", None), ("t=x,v1=y", None), ("", None),
        (f"t={STAMP}", None),
    ])  # fmt: skip
    def test_are_the_stamp(self, adapter, signed, sent_at):
        claims = adapter.claims(raw(b"\xff", signed))
        assert (claims.sent_at, claims.key, claims.known_keys) == (sent_at, "", ())
