"""A purchase that names no order is given to the right one by people: once, and only what the store sold."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from channels_app.models import AuditEntry, Proposal
from orders.asking_by_transaction import ask_account
from orders.assigning import CannotAssign, assign, look
from orders.models import Case, Order, OrderEvent, Payment, PaymentAttempt, Product
from orders.settling import Outcome
from tests.buying import attempt_at, make_order
from tests.console.conftest import page_of
from tests.effects import ONE_PURCHASE, effects
from tests.providers.apple_side import NOT_FOUND, PRODUCT, Answer, knows, transaction

KEPT = replace(ONE_PURCHASE, paid_orders=0, deliveries=0, ledger_entries=0, balances=0, game_events=0, cases=1)
ASSIGNED = replace(ONE_PURCHASE, cases=1)


@pytest.fixture
def order(client, api_key, apple_account) -> Order:
    return make_order(client, api_key)


@pytest.fixture
def kept(apple, apple_account):
    """A purchase whose client forgot to say for which order: a player has sent its number."""
    document = transaction()
    apple.will(knows(document))
    told = ask_account(apple_account, document["transactionId"], actor="staff anna")
    assert (told.outcome, told.order) == (Outcome.ORPHAN, None)
    return SimpleNamespace(document=document, payment=Payment.objects.get(), case=Case.objects.get())


def give(kept, order, **about) -> Outcome:
    return assign(payment_id=kept.payment.pk, order_no=order.order_no, by="anna", now=timezone.now(), **about)


class TestAPurchaseFoundByItsNumber:
    """What a store sold in our application without an order is kept, and waits for a person."""

    def test_is_kept_once(self, kept, apple_account):
        ask_account(apple_account, kept.document["transactionId"], actor="staff anna")
        assert (effects(), kept.case.kind, kept.payment.hold_reason) == (KEPT, "unmatched", "unmatched")


class TestAssigning:
    """The store is asked again; then the purchase pays the order that people say, and no other."""

    def test_delivers_exactly_once(self, kept, order):
        assert give(kept, order) is Outcome.APPLIED
        assert effects() == ASSIGNED
        order.refresh_from_db()
        payment, case = Payment.objects.get(), Case.objects.get()
        assert (order.transaction_id, order.method) == (payment.transaction_id, "apple_iap")
        assert (payment.applied, payment.order, case.closed_at is None) == (True, order, False)
        assert OrderEvent.objects.get(order=order, kind="paid").actor == "staff anna"
        with pytest.raises(CannotAssign, match="waits for no order"):
            give(kept, order)
        assert effects() == ASSIGNED

    def test_makes_an_attempt_that_apple_could_know(self, kept, order):
        give(kept, order)
        attempt = PaymentAttempt.objects.get()
        assert (len(attempt.attempt_no), attempt.store_product_id, attempt.state) == (32, PRODUCT, "paid")

    def test_uses_the_attempt_that_the_player_has_opened(self, kept, order, apple_account):
        opened = attempt_at(
            order, apple_account, method="apple_iap", attempt_no="5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d",
            store_product_id=PRODUCT,
        )  # fmt: skip
        assert give(kept, order) is Outcome.APPLIED
        assert Payment.objects.get().attempt == opened

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"productId": "com.example.game.gems6480"}, "gems6480; the order is for"),
            ({"quantity": 2}, "sold 2 of it; the order is for 1"),
            ({"revocationDate": 1, "revocationReason": 0}, "given the money back"),
        ],
        ids=["another product", "another quantity", "given back meanwhile"],
    )
    def test_of_what_does_not_fit_is_refused(self, kept, order, apple, changes, said):
        apple.will(knows({**kept.document, **changes}))
        with pytest.raises(CannotAssign, match=said):
            give(kept, order)
        assert effects() == KEPT
        assert not PaymentAttempt.objects.exists()

    @pytest.mark.parametrize(
        ("answer", "said"), [(NOT_FOUND, "does not say that it was paid"), (Answer(500), "could not be asked")]
    )
    def test_without_the_stores_word_is_refused(self, kept, order, apple, answer, said):
        apple.will(answer)
        with pytest.raises(CannotAssign, match=said):
            give(kept, order)
        assert effects() == KEPT

    def test_to_a_product_that_is_not_sold_there_is_refused(self, kept, order):
        Product.objects.update(store_ids={})
        with pytest.raises(CannotAssign, match="the order is for –"):
            give(kept, order)

    def test_to_an_order_that_waits_for_no_payment_is_refused(self, kept, order, client, api_key):
        Order.objects.update(state="cancelled", cancel_reason="expired", cancelled_at=timezone.now())
        with pytest.raises(CannotAssign, match="make a new one"):
            give(kept, order)
        assert effects() == KEPT

    def test_to_no_order_of_ours_is_refused(self, kept):
        with pytest.raises(CannotAssign, match="no order with this number"):
            look(payment_id=kept.payment.pk, order_no="20260327G1M88EJCQ9ZERPKMNQ38YT")

    def test_is_not_needed_once_the_store_names_an_order(self, kept, order, apple, apple_account):
        named = attempt_at(
            order, apple_account, method="apple_iap", attempt_no="5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d",
            store_product_id=PRODUCT,
        )  # fmt: skip
        apple.will(knows({**kept.document, "appAccountToken": "5f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"}))
        with pytest.raises(CannotAssign, match=f"now names order {order.order_no}"):
            give(kept, order)
        assert named.payments.count() == 0


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    """Two colleagues give one purchase to two orders at the same moment: one of them gets it."""

    def test_pay_one_order(self, kept, order, client, api_key):
        orders = [order, make_order(client, api_key)]
        barrier, outcomes = threading.Barrier(2), []

        def claim(one):
            barrier.wait(10)
            try:
                outcomes.append(give(kept, one))
            except CannotAssign:
                outcomes.append(Outcome.DUPLICATE)
            connection.close()

        threads = [threading.Thread(target=claim, args=(one,)) for one in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [Outcome.APPLIED, Outcome.DUPLICATE]
        assert effects() == ASSIGNED


class TestOnThePageOfTheCase:
    """One asks and sees the purchase beside the order, another does it; who may not is refused."""

    @pytest.fixture(autouse=True)
    def _four_eyes(self, settings):
        settings.FOUR_EYES = True

    def ask(self, who, kept, order):
        return who.act(kept.case, "assign", order_no=order.order_no, reason="the player wrote", ticket="CS-1")

    def test_takes_two(self, kept, order, person):
        one, other = person("finance"), person("finance")
        self.ask(one, kept, order)
        assert effects() == KEPT
        proposal = Proposal.objects.get()
        said = {line[1:][0]: line[2] for line in proposal.summary}
        assert said[kept.payment.transaction_id] == order.order_no
        assert said[PRODUCT] == PRODUCT
        assert "¥6.00" in said
        one.act(proposal, "approve")
        assert effects() == KEPT
        other.act(proposal, "approve")
        assert effects() == ASSIGNED
        assert {entry.actor for entry in AuditEntry.objects.filter(action__in=("asked", "approved"))} == {
            one.user.username, other.user.username,
        }  # fmt: skip

    def test_what_moved_in_between_is_looked_at_again(self, kept, order, person, apple):
        self.ask(person("finance"), kept, order)
        apple.will(knows({**kept.document, "revocationDate": 1, "revocationReason": 0}))
        person("finance").act(Proposal.objects.get(), "approve")
        proposal = Proposal.objects.get()
        assert (proposal.state, "given the money back" in proposal.outcome) == ("failed", True)
        assert effects() == KEPT

    def test_what_does_not_fit_is_not_even_asked_for(self, kept, order, person, apple):
        apple.will(knows({**kept.document, "quantity": 2}))
        self.ask(person("finance"), kept, order)
        assert not Proposal.objects.exists()

    @pytest.mark.parametrize("role", ["support", "audit", "engineer"])
    def test_is_not_for_everybody(self, kept, order, person, role):
        assert self.ask(person(role), kept, order).status_code == 403
        assert (Proposal.objects.count(), effects()) == (0, KEPT)

    def test_is_offered_for_such_cases_only(self, kept, order, person, busy_case):
        finance = person("finance")
        assert "/act/assign/" in finance.get(page_of(kept.case)).content.decode()
        assert "/act/assign/" not in finance.get(page_of(busy_case)).content.decode()
        finance.act(busy_case, "assign", order_no=order.order_no, reason="by hand")
        assert not Proposal.objects.exists()

    @pytest.fixture
    def busy_case(self, order):
        return Case.objects.create(
            kind="second_payment", subject="x", environment="sandbox", order=order, game=order.game,
            opened_at=timezone.now(),
        )  # fmt: skip


class TestLookingAgain:
    """What a store has learnt since, it is asked for by one click."""

    def test_delivers_a_purchase_that_names_its_order_by_now(self, kept, order, person, apple, apple_account):
        support = person("support")
        support.act(kept.case, "look_again")
        assert effects() == KEPT
        attempt_at(
            order, apple_account, method="apple_iap", attempt_no="5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d",
            store_product_id=PRODUCT,
        )  # fmt: skip
        apple.will(knows({**kept.document, "appAccountToken": "5f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"}))
        answer = support.browser.post(f"/admin/orders/case/{kept.case.pk}/act/look_again/", follow=True)
        assert f"pays order {order.order_no} now" in answer.content.decode()
        assert effects() == ASSIGNED

    def test_says_when_the_store_does_not_answer(self, kept, person, apple):
        apple.will(Answer(500))
        answer = person("support").browser.post(f"/admin/orders/case/{kept.case.pk}/act/look_again/", follow=True)
        assert "could not be asked" in answer.content.decode()
        assert effects() == KEPT
