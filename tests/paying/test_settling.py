"""A proved payment becomes a paid, delivered order, exactly once; money that cannot be applied is kept."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from fulfillment.models import Balance, DeliveryLine, LedgerEntry
from orders.cancelling import mark_cancelled
from orders.models import CancelReason, Case, Order, OrderEvent, Payment, PaymentAttempt
from orders.settling import Outcome, settle_payment
from tests.buying import attempt_at, make_order, proof_of, settle
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, timeline


@pytest.fixture
def order(client, channel, api_key):
    return make_order(client, api_key)


@pytest.fixture
def attempt(order, wechat_account):
    return attempt_at(order, wechat_account)


class TestAPaidOrder:
    """Paid means delivered: in one transaction, with a record of every line."""

    def test_is_delivered_with_the_payment(self, attempt, order):
        assert settle(attempt, transaction_id="T1") is Outcome.APPLIED
        order.refresh_from_db()
        assert (order.state, order.delivery_state, order.transaction_id, order.method) == (
            "paid", "delivered", "T1", "wechatpay_app",
        )  # fmt: skip
        assert effects() == ONE_PURCHASE
        assert timeline(order) == ["created", "paid", "delivered"]
        line = DeliveryLine.objects.get()
        assert (line.item.item_id, line.quantity, line.bonus) == ("gem", 60, 6)
        balance = Balance.objects.get()
        assert (balance.player.uid, balance.paid, balance.free) == ("10086", 60, 6)

    def test_is_not_touched_by_the_same_proof_again(self, attempt, order):
        settle(attempt)
        order.refresh_from_db()
        before = order.version
        assert settle(attempt) is Outcome.DUPLICATE
        order.refresh_from_db()
        assert (effects(), order.version) == (ONE_PURCHASE, before)

    def test_keeps_the_providers_clock_and_ours_apart(self, attempt, order):
        paid_at = timezone.now() - timedelta(minutes=3)
        settle(attempt, paid_at=paid_at)
        order.refresh_from_db()
        assert order.paid_at == paid_at
        assert order.settled_at > paid_at

    def test_asks_about_its_other_attempts_at_once(self, attempt, order, wechat_account):
        other = attempt_at(
            order,
            wechat_account,
            attempt_no=f"{order.order_no}02",
            next_query_at=timezone.now() + timedelta(hours=1),
        )
        settle(attempt)
        other.refresh_from_db()
        attempt.refresh_from_db()
        assert (attempt.state, attempt.next_query_at) == ("paid", None)
        assert (other.state, other.next_query_at <= timezone.now()) == ("open", True)


def held(reason: str, *, paid_orders: int = 0) -> Effects:
    """One payment kept, one case, nothing given."""
    return Effects(paid_orders, 1, 0, 0, 0, 0, 0, 1)


class TestMoneyThatDoesNotFit:
    """Kept as a payment of its own, put before a person with amount and reason; nothing is given for it."""

    @pytest.mark.parametrize(("amount", "currency"), [(599, "CNY"), (601, "CNY"), (600, "USD"), (1, "CNY")])
    def test_of_another_amount_or_currency_is_held(self, attempt, order, amount, currency):
        assert settle(attempt, amount=amount, currency=currency) is Outcome.HELD
        assert effects() == held("amount_differs")
        order.refresh_from_db()
        assert (order.state, order.delivery_state) == ("pending", "none")
        case = Case.objects.get()
        assert (case.kind, case.order, case.amount_minor, case.currency) == (
            "amount_differs",
            order,
            amount,
            currency,
        )
        assert case.payment == Payment.objects.get()
        assert settle(attempt, amount=amount, currency=currency) is Outcome.DUPLICATE
        assert effects() == held("amount_differs")

    def test_after_a_wrong_amount_the_right_payment_still_delivers(self, attempt, order):
        settle(attempt, amount=1, transaction_id="T1")
        assert settle(attempt, transaction_id="T2") is Outcome.APPLIED
        assert effects() == Effects(1, 2, 1, 2, 1, 2, 0, 1)

    def test_of_a_second_payment_is_held(self, attempt, order, wechat_account):
        settle(attempt, transaction_id="T1")
        second = attempt_at(order, wechat_account, attempt_no=f"{order.order_no}02")
        assert settle(second, transaction_id="T2") is Outcome.HELD
        assert settle(attempt, transaction_id="T3") is Outcome.HELD
        assert effects() == Effects(1, 3, 1, 2, 1, 2, 0, 2)
        assert set(Case.objects.values_list("kind", flat=True)) == {"second_payment"}

    def test_after_the_order_was_cancelled_is_held(self, attempt, order):
        mark_cancelled(order_id=order.pk, reason=CancelReason.EXPIRED, actor="expiry", now=timezone.now())
        assert settle(attempt) is Outcome.HELD
        assert effects() == held("late_payment")
        order.refresh_from_db()
        assert order.state == "cancelled"

    def test_that_was_given_back_before_is_held(self, attempt, order):
        proof = proof_of(attempt)
        given_back = replace(proof, payment=replace(proof.payment, given_back=True))
        assert settle_payment(given_back) is Outcome.HELD
        assert effects() == held("given_back")
        order.refresh_from_db()
        assert (order.state, order.delivery_state) == ("pending", "none")

    def test_of_a_delivered_order_that_is_given_back_later_changes_nothing(self, attempt, order):
        settle(attempt)
        proof = proof_of(attempt)
        assert settle_payment(replace(proof, payment=replace(proof.payment, given_back=True))) is Outcome.DUPLICATE
        assert effects() == ONE_PURCHASE

    def test_wakes_whoever_waits_for_the_order(self, attempt, order):
        settle(attempt, amount=1)
        before, _ = order.version, order.refresh_from_db()
        assert order.version > before

    def test_for_a_number_nobody_knows_is_held(self, attempt):
        proof = proof_of(attempt)
        PaymentAttempt.objects.all().delete()
        assert settle_payment(proof) is Outcome.ORPHAN
        assert settle_payment(proof) is Outcome.DUPLICATE
        assert effects() == held("unknown_order")

    def test_one_transaction_never_pays_two_orders(self, client, api_key, attempt, wechat_account):
        settle(attempt, transaction_id="T1")
        second = attempt_at(make_order(client, api_key), wechat_account)
        assert settle(second, transaction_id="T1") is Outcome.DUPLICATE
        assert effects() == ONE_PURCHASE

    def test_one_transaction_held_before_pays_nothing_later(self, client, api_key, attempt, wechat_account):
        settle(attempt, transaction_id="T1", amount=5)
        second = attempt_at(make_order(client, api_key), wechat_account)
        assert settle(second, transaction_id="T1") is Outcome.DUPLICATE
        assert effects() == held("amount_differs")


class TestTheDatabasesOwnRules:
    """SQL, the console and bulk updates pass Python by; the database does not."""

    def refused(self, sql: str, *parameters: object, by: str = "pgtrigger|append-only|constraint") -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with pytest.raises(DatabaseError, match=by), transaction.atomic():
                cursor.execute(sql, parameters)

    def test_an_order_goes_no_way_back(self, attempt, order):
        settle(attempt)
        for state in ("pending", "cancelled"):
            self.refused(
                "UPDATE orders_order SET state = %s, paid_at = NULL, settled_at = NULL, transaction_id = '',"
                " delivery_state = 'none', delivered_at = NULL, cancelled_at = now(), cancel_reason = 'game'",
                state,
            )
        assert Order.objects.get().state == "paid"

    @pytest.mark.parametrize("change", ["amount_minor = 1", "uid = 'thief'", "contents = '[]'", "currency = 'USD'"])
    def test_the_terms_of_an_order_are_frozen(self, order, change):
        self.refused(f"UPDATE orders_order SET {change}")
        order.refresh_from_db()
        assert (order.amount_minor, order.uid, order.currency) == (600, "10086", "CNY")

    @pytest.mark.parametrize("table", ["orders_orderevent", "fulfillment_ledgerentry", "fulfillment_deliveryline"])
    @pytest.mark.parametrize("verb", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "UPDATE {} SET id = id + 1000"])
    def test_history_is_append_only(self, attempt, table, verb):
        settle(attempt)
        before = (OrderEvent.objects.count(), LedgerEntry.objects.count(), DeliveryLine.objects.count())
        self.refused(verb.format(table), by="append-only")
        assert (
            OrderEvent.objects.count(),
            LedgerEntry.objects.count(),
            DeliveryLine.objects.count(),
        ) == before

    def test_an_order_or_payment_is_never_deleted(self, attempt):
        settle(attempt)
        self.refused("DELETE FROM orders_payment")
        self.refused("DELETE FROM orders_order")
        assert (Order.objects.count(), Payment.objects.count()) == (1, 1)

    def test_the_facts_of_a_payment_are_frozen(self, attempt):
        settle(attempt)
        self.refused("UPDATE orders_payment SET amount_minor = 1")
        assert Payment.objects.get().amount_minor == 600

    def test_paid_needs_all_that_proves_it(self, order):
        self.refused("UPDATE orders_order SET state = 'paid'")
        assert effects() == NOTHING
