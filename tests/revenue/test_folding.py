"""Every line of a timeline is in the figures exactly once, whoever folds, whatever dies."""

import threading
from datetime import date, timedelta

import pytest
from django.db import connection, connections

from orders.auditing import examine
from orders.models import EventKind, OrderEvent, Payer, RevenueCursor, RevenueDay, RevenueDayByChannel, RevenueHour
from orders.revenue import folding
from orders.revenue.folding import fold_round, fold_some, look
from orders.revenue.proof import INVARIANTS
from orders.revenue.report import add_up
from tests.buying import attempt_at, settle
from tests.revenue.conftest import Till, at, fold, raw

pytestmark = pytest.mark.django_db(transaction=True)

NOON = at("2026-03-02 12:00")


def figures_of(asked) -> dict:
    total = add_up(asked).total
    return {name: getattr(total, name) for name in raw(asked)}


def assert_proved():
    """The audit finds sums and raw rows equal."""
    assert {finding.invariant.says: list(finding.broken) for finding in examine(INVARIANTS) if finding.broken} == {}


def in_thread(work):
    """Run `work` on a connection of its own; what it returned, or raised."""
    answer = []

    def run():
        try:
            answer.append(work())
        except Exception as error:  # noqa: BLE001  # the test looks at it
            answer.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answer


class OtherSession:
    """A second connection that holds a transaction open."""

    def __enter__(self):
        self.connection = connection.copy()
        self.cursor = self.connection.cursor()
        self.cursor.execute("BEGIN")
        return self

    def __exit__(self, *_):
        self.connection.close()

    def event(self, order, kind, moment):
        self.cursor.execute(
            "INSERT INTO orders_orderevent (order_id, kind, at, actor, data) VALUES (%s, %s, %s, 'other', '{}')",
            (order.pk, kind, moment),
        )


class TestWhatIsFolded:
    """A day's sums say what the orders of that day say."""

    def test_figures_stand_on_their_days_channels_methods_products_and_zones(self, till):
        till.sell(NOON, uid="a", channel="official", zone="1")
        till.sell(NOON, uid="a", channel="taptap", zone="2", product="card", amount=3000, method="alipay_app")
        till.order(NOON, uid="b", channel="taptap", zone="2", product="card", amount=3000)
        fold()
        rows = RevenueDay.objects.order_by("channel_code", "method", "product_code", "zone_id").values_list(
            "channel_code", "method", "product_code", "zone_id", "made", "made_paid", "paid", "gross_minor",
            "new_payers",
        )  # fmt: skip
        assert list(rows) == [
            ("official", "", "gems60", "1", 1, 1, 0, 0, 0),
            ("official", "wechatpay_app", "gems60", "1", 0, 0, 1, 600, 1),
            ("taptap", "", "card", "2", 2, 1, 0, 0, 0),
            ("taptap", "alipay_app", "card", "2", 0, 0, 1, 3000, 0),
        ]
        assert set(RevenueDay.objects.values_list("day", "currency", "environment")) == {
            (date(2026, 3, 2), "CNY", "production")
        }
        assert_proved()

    def test_a_late_payment_counts_on_the_day_of_payment_and_its_order_on_the_day_it_was_made(self, till):
        till.sell(at("2026-03-01 23:50"), paid=at("2026-03-02 00:10"))
        fold()
        days = RevenueDayByChannel.objects.order_by("day", "method")
        assert list(days.values_list("day", "made", "made_paid", "paid", "gross_minor")) == [
            (date(2026, 3, 1), 1, 1, 0, 0),
            (date(2026, 3, 2), 0, 0, 1, 600),
        ]

    def test_a_refund_counts_on_its_own_day_under_the_channel_and_method_of_its_order(self, till):
        order = till.sell(NOON, amount=3000, method="alipay_app")
        till.refund(order, NOON + timedelta(days=2), 1000)
        till.refund(order, NOON + timedelta(days=3), 500)
        fold()
        given_back = RevenueDayByChannel.objects.filter(refunds__gt=0).order_by("day")
        assert list(given_back.values_list("day", "channel_code", "method", "refunds", "refunded_minor", "paid")) == [
            (date(2026, 3, 4), "official", "alipay_app", 1, 1000, 0),
            (date(2026, 3, 5), "official", "alipay_app", 1, 500, 0),
        ]
        assert_proved()

    def test_hours_count_attempts_by_their_method(self, till):
        order = till.order(at("2026-03-02 09:59"))
        till.attempt(order, at("2026-03-02 10:00"), "alipay_qr")
        till.attempt(order, at("2026-03-02 10:01"), "wechatpay_native")
        till.pay(order, at("2026-03-02 11:00"), "wechatpay_native")
        fold()
        hours = RevenueHour.objects.order_by("hour", "method")
        assert list(hours.values_list("hour", "method", "made", "made_paid", "attempts", "paid")) == [
            (9, "", 1, 1, 0, 0),
            (10, "alipay_qr", 0, 0, 1, 0),
            (10, "wechatpay_native", 0, 0, 1, 0),
            (11, "wechatpay_native", 0, 0, 0, 1),
        ]
        assert_proved()

    def test_a_player_is_new_with_the_first_paid_order_alone(self, till):
        till.sell(NOON, uid="a")
        till.sell(NOON, uid="a", channel="taptap")
        fold()
        till.sell(NOON, uid="a", channel="huawei")
        till.sell(NOON, uid="b", channel="huawei")
        fold()
        new = RevenueDayByChannel.objects.filter(new_payers__gt=0).order_by("channel_code")
        assert list(new.values_list("channel_code", "new_payers")) == [("huawei", 1), ("official", 1)]
        assert Payer.objects.count() == 2
        assert_proved()

    def test_sandbox_and_production_are_kept_apart_and_so_are_their_first_time_payers(self, game, till):
        till.sell(NOON, uid="a", amount=600)
        Till(game, environment="sandbox").sell(NOON, uid="a", amount=999_00)
        fold()
        rows = RevenueDayByChannel.objects.filter(paid__gt=0).order_by("environment")
        assert list(rows.values_list("environment", "gross_minor", "new_payers")) == [
            ("production", 600, 1),
            ("sandbox", 99900, 1),
        ]
        assert add_up(till.asked("2026-03-02", "2026-03-02")).total.gross_minor == 600


class TestExactlyOnce:
    """Nothing is lost and nothing counts twice, in however many steps the timelines are folded."""

    @pytest.mark.parametrize("chunk", [1, 3, 20_000])
    def test_chunks_of_any_size_give_the_same_sums(self, till, chunk):
        for number in range(7):
            till.sell(NOON + timedelta(hours=5 * number), uid=f"p{number % 3}", paid=NOON + timedelta(hours=7 * number))
        assert fold(chunk) >= 14 // chunk
        asked = till.asked("2026-03-01", "2026-03-09")
        assert figures_of(asked) == raw(asked)
        assert add_up(asked).total.new_payers == 3
        assert_proved()

    def test_folding_again_adds_nothing(self, till):
        till.sell(NOON)
        fold()
        before = list(RevenueDay.objects.values())
        assert fold_round() == 0
        assert list(RevenueDay.objects.values()) == before

    def test_a_worker_that_dies_between_two_chunks_leaves_whole_chunks(self, till):
        for number in range(4):
            till.sell(NOON, uid=f"p{number}")
        while not RevenueDay.objects.exists():
            fold_some(seen=look(), chunk=3)
        done = RevenueCursor.objects.get().folded_to
        # Killed after the sums were written, before the cursor moved: nothing of that chunk may stay.
        with OtherSession() as killed:
            killed.cursor.execute(folding._FOLD, {"after": done, "upto": done + 3})
            assert killed.cursor.fetchone()[0] > 0
        assert RevenueCursor.objects.get().folded_to == done
        fold()
        asked = till.asked("2026-03-02", "2026-03-02")
        assert figures_of(asked) == raw(asked)
        assert_proved()

    def test_two_workers_at_once_fold_every_event_once(self, till):
        for number in range(30):
            till.sell(NOON, uid=f"p{number}")

        def work():
            for _turn in range(40):
                fold_some(seen=look(), chunk=4)

        workers = [in_thread(work) for _worker in range(3)]
        for thread, _answer in workers:
            thread.join()
        assert [answer for _thread, answer in workers] == [[None]] * 3
        fold()
        asked = till.asked("2026-03-02", "2026-03-02")
        assert figures_of(asked) == raw(asked)
        assert add_up(asked).total.paid == 30
        assert_proved()


class TestAnEventThatAppearsLate:
    """A number is taken before its transaction commits; an event is never passed over because of it."""

    def test_an_open_transaction_holds_the_cursor_back_and_is_folded_once_it_commits(self, till):
        order = till.order(NOON)
        fold()
        till.order(NOON)  # something to fold
        with OtherSession() as slow:
            slow.event(order, EventKind.ATTEMPT_OPENED, NOON)
            late = till.order(NOON)  # its event has a larger number, and is committed first
            fold()
            folded = RevenueCursor.objects.get().folded_to
            assert folded < OrderEvent.objects.get(order=late).pk - 1
            assert figures_of(till.asked("2026-03-02", "2026-03-02"))["made"] == 3
            slow.cursor.execute("COMMIT")
        fold()
        assert RevenueCursor.objects.get().folded_to == OrderEvent.objects.order_by("-pk")[0].pk
        assert sum(RevenueHour.objects.values_list("attempts", flat=True)) == 1
        assert_proved()

    def test_a_number_taken_before_its_transaction_has_an_id_is_waited_for_too(self, till):
        till.order(NOON)
        with OtherSession() as slow:
            # What an INSERT does, stopped half-way: the table is locked and the number taken, but no snapshot shows
            # the transaction. (The first calls write WAL for 32 numbers, which gives an id; later ones do not.)
            with connection.cursor() as cursor:
                cursor.execute("SELECT nextval('orders_orderevent_id_seq')")
            slow.cursor.execute("LOCK TABLE orders_orderevent IN ROW EXCLUSIVE MODE")
            slow.cursor.execute("SELECT nextval('orders_orderevent_id_seq'), pg_current_xact_id_if_assigned()")
            number, xid = slow.cursor.fetchone()
            assert xid is None
            order = till.order(NOON)
            assert OrderEvent.objects.get(order=order).pk > number
            assert look() is None
            fold()
            assert RevenueCursor.objects.get().folded_to < number
            slow.cursor.execute(
                "INSERT INTO orders_orderevent (id, order_id, kind, at, actor, data)"
                " VALUES (%s, %s, 'attempt_opened', %s, 'other', '{}')",
                (number, order.pk, NOON),
            )
            assert look() is not None
            fold()
            assert RevenueCursor.objects.get().folded_to < number
            slow.cursor.execute("COMMIT")
        fold()
        assert sum(RevenueHour.objects.values_list("attempts", flat=True)) == 1
        assert_proved()

    def test_a_transaction_that_is_rolled_back_holds_nothing_up(self, till):
        order = till.order(NOON)
        with OtherSession() as slow:
            slow.event(order, EventKind.ATTEMPT_OPENED, NOON)
            till.order(NOON)
            slow.cursor.execute("ROLLBACK")
        fold()
        assert RevenueCursor.objects.get().folded_to == OrderEvent.objects.order_by("-pk")[0].pk
        assert_proved()


class TestPaymentsGoingOn:
    """Orders are paid while their timelines are folded; figures are right at every instant."""

    def test_settling_while_folding_neither_waits_nor_is_lost(self, till, game, wechat_account):
        sandbox = Till(game, environment="sandbox")
        orders = [sandbox.order(NOON, uid=f"p{number}") for number in range(25)]
        attempts = [attempt_at(order, wechat_account) for order in orders]
        done = threading.Event()

        def folding_on():
            seen = []
            while not done.is_set():
                fold_round()
                seen.append(add_up(sandbox.asked("2026-01-01", "2026-12-31")).total.made)
            return seen

        thread, answer = in_thread(folding_on)
        try:
            for attempt in attempts:
                settle(attempt, paid_at=NOON)
        finally:
            done.set()
            thread.join()
        # Orders made do not change while they are paid: any other count would be an event seen twice or not at all.
        assert set(answer[0]) == {25}
        fold()
        asked = sandbox.asked("2026-01-01", "2026-12-31")
        assert figures_of(asked) == raw(asked)
        assert add_up(asked).total.paid == 25
        assert_proved()
