"""A store's purchase pays the order that it names, by product and quantity; everything else is kept for a person."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from channels_app.money import Money
from channels_app.providers.base import (
    DisputeNotice,
    NothingToDo,
    PaymentProof,
    RefundAsked,
    RefundNotice,
    RefundStanding,
    StoreGoods,
)
from orders.auditing import INVARIANTS, examine
from orders.messages import Arrival, take
from orders.models import Case, OrderEvent, Payment, PaymentAttempt, ProofSource, Reviewer
from orders.revenue import folding
from orders.settling import Outcome
from tests.buying import attempt_at, make_order
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, timeline

PRODUCT = "com.game.gems60"


@pytest.fixture
def order(client, channel, api_key):
    return make_order(client, api_key)


@pytest.fixture
def attempt(order, wechat_account):
    return attempt_at(order, wechat_account, store_product_id=PRODUCT)


def bought(attempt, **changes) -> PaymentProof:
    """What a store says that has sold what the attempt is for, at its own price."""
    about = {
        "attempt_no": attempt.attempt_no, "transaction_id": "GPA.1", "paid": Money(3999, "TRY"),
        "paid_at": timezone.now(), "bought": StoreGoods(product_id=PRODUCT, quantity=1),
    }  # fmt: skip
    return PaymentProof(**{**about, **changes})


def arrive(attempt, message) -> Outcome | None:
    return take(message, Arrival(account=attempt.account, source=ProofSource.CLIENT, actor="test"))


def held(*, payments: int = 1) -> Effects:
    return replace(NOTHING, payments=payments, cases=1)


class TestAPurchase:
    """Product and quantity decide; what the buyer was charged is recorded and not compared."""

    def test_of_the_right_product_is_delivered_at_any_price(self, attempt, order):
        assert arrive(attempt, bought(attempt)) is Outcome.APPLIED
        assert effects() == ONE_PURCHASE
        payment = Payment.objects.get()
        assert (payment.amount_minor, payment.currency, payment.source) == (3999, "TRY", "client")

    def test_whose_price_nobody_tells_is_booked_at_ours(self, attempt, order):
        assert arrive(attempt, bought(attempt, paid=None)) is Outcome.APPLIED
        assert Payment.objects.values_list("amount_minor", "currency").get() == (600, "CNY")

    @pytest.mark.parametrize(
        "changes",
        [
            {"bought": StoreGoods(product_id="com.game.gems6480", quantity=1)},
            {"bought": StoreGoods(product_id=PRODUCT, quantity=2)},
        ],
        ids=["another product", "another quantity"],
    )
    def test_of_something_else_gives_nothing(self, attempt, order, changes):
        assert arrive(attempt, bought(attempt, **changes)) is Outcome.HELD
        assert effects() == held()
        assert Case.objects.get().kind == "purchase_differs"

    def test_of_somebody_else_gives_nothing(self, attempt, order):
        PaymentAttempt.objects.update(payer="player-a")
        assert arrive(attempt, bought(attempt, payer="player-b")) is Outcome.HELD
        assert (effects(), Case.objects.get().kind) == (held(), "purchase_differs")

    def test_at_a_store_that_takes_our_price_must_cost_it(self, attempt, order):
        ours = StoreGoods(product_id=PRODUCT, quantity=1, store_sets_price=False)
        assert arrive(attempt, bought(attempt, bought=ours, paid=Money(1, "CNY"))) is Outcome.HELD
        assert Case.objects.get().kind == "amount_differs"
        assert arrive(attempt, bought(attempt, bought=ours, paid=Money(600, "CNY"), transaction_id="GPA.2")) is (
            Outcome.APPLIED
        )

    def test_that_the_provider_is_not_sure_of_waits_for_a_person(self, attempt, order):
        assert arrive(attempt, bought(attempt, review="debited, write-off unknown")) is Outcome.HELD
        case = Case.objects.get()
        assert (effects(), case.kind, case.detail) == (held(), "review", "debited, write-off unknown")

    def test_pays_one_order_only(self, attempt, order, client, api_key, wechat_account):
        other = attempt_at(make_order(client, api_key), wechat_account, store_product_id=PRODUCT)
        arrive(attempt, bought(attempt))
        assert arrive(other, bought(other)) is Outcome.DUPLICATE
        assert effects() == ONE_PURCHASE

    def test_remembers_what_the_store_calls_it(self, attempt, order):
        arrive(attempt, NothingToDo(said="PENDING", attempt_no=attempt.attempt_no, handle="token-1"))
        attempt.refresh_from_db()
        assert (attempt.handle, effects()) == ("token-1", NOTHING)


class TestAPurchaseWithoutAnOrder:
    """Kept and put before a person; once it names its order, or somebody says which, it pays it exactly once."""

    def test_is_kept(self, attempt, order):
        assert arrive(attempt, bought(attempt, attempt_no="")) is Outcome.ORPHAN
        assert effects() == held()
        case = Case.objects.get()
        assert (case.kind, case.order, case.amount_minor) == ("unmatched", None, 3999)

    def test_without_a_price_is_kept_too(self, attempt, order):
        arrive(attempt, bought(attempt, attempt_no="", paid=None))
        assert Payment.objects.values_list("amount_minor", "currency").get() == (0, "XXX")

    def test_pays_its_order_when_a_later_proof_names_it(self, attempt, order):
        arrive(attempt, bought(attempt, attempt_no=""))
        assert arrive(attempt, bought(attempt)) is Outcome.APPLIED
        assert effects() == replace(ONE_PURCHASE, cases=1)
        payment, case = Payment.objects.get(), Case.objects.get()
        assert (payment.applied, payment.order, payment.hold_reason) == (True, order, "")
        assert case.closed_at is not None
        assert arrive(attempt, bought(attempt)) is Outcome.DUPLICATE

    def test_is_not_given_to_an_order_of_something_else(self, attempt, order):
        arrive(attempt, bought(attempt, attempt_no=""))
        PaymentAttempt.objects.update(store_product_id="com.game.other")
        assert arrive(attempt, bought(attempt)) is Outcome.DUPLICATE
        assert (effects(), Payment.objects.get().applied) == (held(), False)


@pytest.mark.django_db(transaction=True)
class TestTwoProofsAtOnce:
    """A kept purchase that two proofs claim for two orders at the same moment pays one of them."""

    def test_pay_one_order(self, attempt, order, client, api_key, wechat_account):
        arrive(attempt, bought(attempt, attempt_no=""))
        other = attempt_at(make_order(client, api_key), wechat_account, store_product_id=PRODUCT)
        barrier = threading.Barrier(2)

        def claim(one):
            barrier.wait()
            arrive(one, bought(one))
            connection.close()

        threads = [threading.Thread(target=claim, args=(one,)) for one in (attempt, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert effects() == replace(ONE_PURCHASE, cases=1)


class TestPlayMoney:
    """Delivers nothing in a real game, except to a reviewer listed for these days, and is never revenue."""

    @pytest.fixture
    def order(self, client, channel, game):
        from orders.authentication import new_api_key

        return make_order(client, new_api_key(game=game, environment="production"))

    @pytest.fixture
    def attempt(self, order, wechat_account):
        type(wechat_account).objects.update(environment="production")
        wechat_account.refresh_from_db()
        return attempt_at(order, wechat_account, store_product_id=PRODUCT)

    def list_reviewer(self, order, **delta):
        Reviewer.objects.create(game=order.game, uid=order.uid, until=timezone.now() + timedelta(**delta), note="Apple")

    def test_is_held_for_a_player(self, attempt, order):
        assert arrive(attempt, bought(attempt, test=True)) is Outcome.HELD
        assert (effects(), Case.objects.get().kind) == (held(), "test_money")
        assert Payment.objects.get().environment == "sandbox"

    def test_is_held_for_a_reviewer_whose_days_are_over(self, attempt, order):
        self.list_reviewer(order, seconds=-1)
        assert arrive(attempt, bought(attempt, test=True)) is Outcome.HELD

    @pytest.mark.django_db(transaction=True)
    def test_delivers_to_a_listed_reviewer_and_is_no_revenue(self, attempt, order):
        self.list_reviewer(order, days=3)
        assert arrive(attempt, bought(attempt, test=True)) is Outcome.APPLIED
        assert effects() == ONE_PURCHASE
        folding.fold_round()
        assert sum(row.paid for row in folding_rows()) == 0
        assert [finding.broken for finding in examine(INVARIANTS) if finding.broken] == []

    def test_delivers_when_the_reviewer_is_listed_afterwards(self, attempt, order):
        arrive(attempt, bought(attempt, test=True))
        self.list_reviewer(order, days=3)
        assert arrive(attempt, bought(attempt, test=True)) is Outcome.APPLIED
        assert effects() == replace(ONE_PURCHASE, cases=1)

    @pytest.mark.django_db(transaction=True)
    def test_that_reached_others_is_found_by_the_audit(self, attempt, order):
        self.list_reviewer(order, days=3)
        arrive(attempt, bought(attempt, test=True))
        Reviewer.objects.all().delete()
        assert [finding.invariant.code for finding in examine(INVARIANTS) if finding.broken] == ["I-08"]


def folding_rows():
    from orders.models import RevenueDay

    return list(RevenueDay.objects.all())


class TestARefundToldBeforeThePurchase:
    """Messages come in any order: what was given back is never delivered."""

    def test_never_delivers(self, attempt, order):
        refund = RefundNotice(
            attempt_no=attempt.attempt_no, transaction_id="GPA.1", refund_no="R1", standing=RefundStanding.SUCCEEDED,
            said="REFUND", payment=bought(attempt, given_back=True),
        )  # fmt: skip
        arrive(attempt, refund)
        assert arrive(attempt, bought(attempt)) is Outcome.DUPLICATE
        assert effects() == replace(NOTHING, payments=1, cases=2)
        assert set(Case.objects.values_list("kind", flat=True)) == {"given_back", "provider_refund"}

    def test_told_again_changes_nothing(self, attempt, order):
        arrive(attempt, bought(attempt))
        for _ in range(2):
            arrive(
                attempt,
                RefundNotice(
                    attempt_no=attempt.attempt_no, transaction_id="GPA.1", refund_no="R1",
                    standing=RefundStanding.SUCCEEDED, said="REFUND", payment=bought(attempt, given_back=True),
                ),
            )  # fmt: skip
        assert effects() == replace(ONE_PURCHASE, cases=1)
        assert timeline(order) == ["created", "paid", "delivered", "refund_notice"]

    def test_and_taken_back_closes_its_case(self, attempt, order):
        arrive(attempt, bought(attempt))
        about = {"attempt_no": attempt.attempt_no, "transaction_id": "GPA.1", "refund_no": "R1"}
        arrive(attempt, RefundNotice(**about, standing=RefundStanding.SUCCEEDED, said="REFUND"))
        arrive(attempt, RefundNotice(**about, standing=RefundStanding.REVERSED, said="REFUND_REVERSED"))
        case = Case.objects.get()
        assert (case.decision, case.closed_at is None) == ("taken back", False)

    def test_and_taken_back_after_somebody_acted_opens_a_case_of_its_own(self, attempt, order):
        arrive(attempt, bought(attempt))
        about = {"attempt_no": attempt.attempt_no, "transaction_id": "GPA.1", "refund_no": "R1"}
        arrive(attempt, RefundNotice(**about, standing=RefundStanding.SUCCEEDED, said="REFUND"))
        Case.objects.update(closed_at=timezone.now(), decision="refunded", closed_by="anna")
        arrive(attempt, RefundNotice(**about, standing=RefundStanding.REVERSED, said="REFUND_REVERSED"))
        assert Case.objects.filter(closed_at=None).count() == 1


class TestADispute:
    """One case with the bank's deadline, closed by the bank's decision."""

    def dispute(self, attempt, **changes):
        about = {
            "attempt_no": attempt.attempt_no, "transaction_id": "GPA.1", "dispute_id": "du_1", "said": "needs_response",
            "reason": "fraudulent", "amount": Money(600, "CNY"), "due_by": timezone.now() + timedelta(days=7),
        }  # fmt: skip
        return DisputeNotice(**{**about, **changes})

    def test_opens_one_case_until_its_deadline(self, attempt, order):
        arrive(attempt, bought(attempt))
        opened = self.dispute(attempt)
        arrive(attempt, opened)
        arrive(attempt, opened)
        case = Case.objects.get()
        assert (case.kind, case.order, case.due_at) == ("dispute", order, opened.due_by)
        assert timeline(order)[-1:] == ["dispute"]
        assert OrderEvent.objects.filter(kind="dispute").count() == 1

    @pytest.mark.parametrize(("won", "decision"), [(True, "won"), (False, "lost")])
    def test_is_closed_by_the_banks_decision(self, attempt, order, won, decision):
        arrive(attempt, bought(attempt))
        arrive(attempt, self.dispute(attempt))
        arrive(attempt, self.dispute(attempt, said=decision, is_over=True, is_won=won))
        case = Case.objects.get()
        assert (case.decision, case.closed_by, decision in case.note) == (decision, "test", True)

    def test_lost_before_anybody_told_us_is_one_case_all_the_same(self, attempt, order):
        arrive(attempt, bought(attempt))
        for _ in range(2):
            arrive(attempt, self.dispute(attempt, said="lost", is_over=True))
        assert Case.objects.values_list("kind", "closed_at").get() == ("dispute", None)


class TestABuyerWhoAsksTheStore:
    """A case with the store's own deadline; nothing has moved."""

    def test_is_a_case_with_a_deadline(self, attempt, order):
        arrive(attempt, bought(attempt))
        due = timezone.now() + timedelta(hours=12)
        arrive(attempt, RefundAsked(attempt_no="", transaction_id="GPA.1", said="UNINTENDED_PURCHASE", due_by=due))
        case = Case.objects.get()
        assert (case.kind, case.order, case.due_at) == ("refund_asked", order, due)
        assert effects() == replace(ONE_PURCHASE, cases=1)
