"""Acts on many orders: seen before they happen, done by the worker, with a result for every order."""

import re

import pytest

from channels_app.models import AuditEntry
from fulfillment.models import DeliveryPolicy, MessageState, WebhookEndpoint, WebhookMessage
from orders import bulk
from orders.bulk import BULK_ACTS
from orders.jobs import run_due_jobs, try_job_again
from orders.models import GameStaff, Job, JobRow, JobState, Order, OrderEvent, Payment
from tests.console.conftest import list_of

BULK = "/admin/orders/order/bulk/"
OPERATOR = ("orders.view_order", "orders.list_orders", "orders.ask_provider", "fulfillment.redeliver")


def words(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def address(**asked) -> str:
    from urllib.parse import urlencode

    return f"{BULK}?{urlencode(asked, doseq=True)}"


def go(browser, where: str, reason="game server was down, ticket 12"):
    """Look at what would happen, then ask for it. Returns the job."""
    upto = browser.get(where).context["form"].initial["upto"]
    answer = browser.post(where, {"reason": reason, "upto": upto})
    assert answer.status_code == 302, words(answer)
    return Job.objects.get(pk=answer["Location"].rstrip("/").rpartition("/")[2])


@pytest.fixture
def stuck(shop):
    """Three purchases whose game server does not answer, one that was delivered by our ledger."""
    delivered = shop.purchase("lucky", "4200000000000000000000000021")
    DeliveryPolicy.objects.create(game=shop.game, mode="game_server")
    endpoint = WebhookEndpoint.objects.create(game=shop.game, url="https://game.example/hook", secrets_sealed=b"")
    endpoint.set_secrets(["whsec_" + "Q0FOQVJZLXdlYmhvb2stc2VjcmV0LWNhbmFyeQ=="])
    endpoint.save()
    waiting = [shop.purchase(f"stuck{n}", f"42000000000000000000000000{n}") for n in (31, 32, 33)]
    WebhookMessage.objects.filter(state=MessageState.WAITING).update(state="parked", next_attempt_at=None)
    return {"delivered": delivered, "waiting": waiting}


class TestBefore:
    """Before anything happens a person sees how many, how much money, what will happen and what not."""

    def test_shows_the_effect_of_the_filter(self, stuck, staff):
        answer = staff(*OPERATOR).get(address(act="deliver", of="filter"))
        said = words(answer)
        assert "Of 4 orders 3 would be acted on; 1 would be left alone." in said
        assert "¥18.00" in said  # of the three
        assert "grants nothing twice" in said
        assert "period: last 7 days" in said
        assert [row[-1] for row in answer.context["panel"].rows][:3] == ["Deliver again"] * 3

    def test_shows_the_ticked_rows_alone(self, stuck, staff):
        ticked = [order.pk for order in stuck["waiting"][:2]]
        answer = staff(*OPERATOR).get(address(act="deliver", of="ticked", row=ticked))
        assert answer.context["count"] == 2
        assert "rows that were ticked" in words(answer)

    def test_looking_moves_nothing(self, stuck, staff):
        staff(*OPERATOR).get(address(act="deliver", of="filter"))
        assert not Job.objects.exists()
        assert WebhookMessage.objects.filter(state="parked").count() == 6

    def test_takes_a_reason(self, stuck, staff):
        browser = staff(*OPERATOR)
        for reason in ("", "  ", "no"):
            answer = browser.post(address(act="deliver", of="filter"), {"reason": reason, "upto": 10**9})
            assert answer.status_code == 200
        assert not Job.objects.exists()

    def test_each_act_takes_its_own_right(self, stuck, staff):
        browser = staff("orders.view_order", "orders.list_orders", "orders.ask_provider")
        assert browser.get(address(act="deliver", of="filter")).status_code == 403
        assert browser.post(address(act="deliver", of="filter"), {"reason": "because", "upto": 1}).status_code == 403
        assert browser.get(address(act="ask", of="filter")).status_code == 200
        assert browser.get(address(act="nothing", of="filter")).status_code == 404
        assert [act.name for act in browser.get(list_of(Order)).context["bulk_acts"]] == ["ask"]

    @pytest.mark.parametrize("row", ["x", "-1", "9" * 30, "²", ""])
    def test_bears_any_row(self, stuck, staff, row):
        answer = staff(*OPERATOR).get(address(act="deliver", of="ticked", row=[row]))
        assert answer.context["count"] == 0


class TestDoing:
    """The worker does it order by order, once, and every order gets its result."""

    def test_delivers_again_what_waits_and_leaves_the_rest_alone(self, stuck, staff):
        browser = staff(*OPERATOR)
        job = go(browser, address(act="deliver", of="filter"))
        assert WebhookMessage.objects.filter(state="parked").count() == 6  # nothing before the worker
        run_due_jobs()
        job.refresh_from_db()
        assert (job.state, job.done, job.total) == (JobState.DONE, 4, 4)
        acted = {row.order_id: row.acted for row in JobRow.objects.filter(job=job)}
        assert acted == {stuck["delivered"].pk: False, **{order.pk: True for order in stuck["waiting"]}}
        assert not WebhookMessage.objects.filter(state="parked", event__type="delivery.requested").exists()

    def test_shows_a_result_for_every_order(self, stuck, staff):
        browser = staff(*OPERATOR)
        job = go(browser, address(act="deliver", of="filter"))
        running = browser.get(f"{BULK}{job.pk}/")
        assert running["Refresh"].startswith("3; url=")
        run_due_jobs()
        answer = browser.get(f"{BULK}{job.pk}/")
        assert "Refresh" not in answer
        said = words(answer)
        assert "4 of 4 orders" in said
        assert "ticket 12" in said
        assert [(acted, count) for _words, acted, count in answer.context["sums"]] == [(True, 3), (False, 1)]
        for order in (stuck["delivered"], *stuck["waiting"]):
            assert order.order_no in said
        assert len(browser.get(f"{BULK}{job.pk}/?acted=0").context["panel"].rows) == 1

    def test_takes_no_order_that_came_after_the_look(self, stuck, staff, shop):
        browser = staff(*OPERATOR)
        where = address(act="deliver", of="filter")
        upto = browser.get(where).context["form"].initial["upto"]
        late = shop.purchase("late", "4200000000000000000000000041")
        browser.post(where, {"reason": "because", "upto": upto})
        assert late.pk not in Job.objects.get().asked["orders"]

    def test_is_written_down_with_the_reason(self, stuck, staff):
        job = go(staff(*OPERATOR), address(act="deliver", of="filter"))
        entry = AuditEntry.objects.get(action="bulk_deliver")
        assert (entry.reason, entry.subject_id) == ("game server was down, ticket 12", str(job.pk))
        assert entry.detail["count"] == 4

    def test_goes_on_where_a_dead_worker_stopped(self, stuck, staff, monkeypatch):
        job = go(staff(*OPERATOR), address(act="deliver", of="filter"))
        done = []

        def perform(order, actor):
            if len(done) == 2:
                raise SystemExit  # the process ends
            done.append(order.pk)
            return bulk.Done(acted=True, words="done")

        act = BULK_ACTS["deliver"]
        monkeypatch.setitem(BULK_ACTS, "deliver", type(act)(**{**_fields(act), "perform": perform}))
        with pytest.raises(SystemExit):
            run_due_jobs()
        assert JobRow.objects.filter(job=job).count() == 2
        monkeypatch.setitem(BULK_ACTS, "deliver", act)
        Job.objects.filter(pk=job.pk).update(leased_until=None)
        run_due_jobs()
        assert JobRow.objects.filter(job=job).count() == 4
        assert JobRow.objects.filter(job=job, words="done").count() == 2

    def test_one_broken_order_does_not_hold_up_the_others(self, stuck, staff, monkeypatch):
        job = go(staff(*OPERATOR), address(act="deliver", of="filter"))
        act, broken = BULK_ACTS["deliver"], stuck["waiting"][1].pk

        def perform(order, actor):
            if order.pk == broken:
                raise ValueError
            return bulk.Done(acted=True, words="done")

        monkeypatch.setitem(BULK_ACTS, "deliver", type(act)(**{**_fields(act), "perform": perform}))
        run_due_jobs()
        rows = {row.order_id: row.words for row in JobRow.objects.filter(job=job)}
        assert len(rows) == 4
        assert "unexpected" in rows[broken]

    def test_gives_up_when_nothing_works_and_can_be_taken_up_again(self, shop, staff, monkeypatch):
        orders = [shop.order(f"asked{n}") for n in range(8)]
        for order in orders:
            shop.attempt(order)
        job = go(staff(*OPERATOR), address(act="ask", of="filter"))
        act = BULK_ACTS["ask"]
        down = lambda order, actor: bulk.Done(acted=False, words="no answer", failed=True)  # noqa: E731
        monkeypatch.setitem(BULK_ACTS, "ask", type(act)(**{**_fields(act), "perform": down}))
        run_due_jobs()
        job.refresh_from_db()
        assert job.state == JobState.FAILED
        assert JobRow.objects.filter(job=job).count() == 5
        assert try_job_again(job)

    def test_the_results_of_another_game_stay_unseen(self, stuck, staff):
        from orders.models import Game

        browser = staff(*OPERATOR)
        job = go(browser, address(act="deliver", of="filter"))
        run_due_jobs()
        other = Game.objects.create(code="other", name="Other")
        user = browser.get(list_of(Order)).wsgi_request.user
        GameStaff.objects.create(user=user, game=other)
        answer = browser.get(f"{BULK}{job.pk}/")
        assert stuck["delivered"].order_no not in answer.content.decode()


def _fields(act) -> dict:
    return {name: getattr(act, name) for name in act.__slots__}


class TestAsking:
    """Asking the providers about a whole filter books what was paid in silence."""

    def test_books_what_nobody_told_us(self, simulated, staff):
        silent = [simulated.opened("wechatpay_native", uid=f"silent{n}") for n in range(2)]
        unpaid = simulated.opened("wechatpay_native", uid="unpaid")
        for order in silent:
            simulated.player_pays(order.order_no)
        browser = staff(*OPERATOR)
        go(browser, address(act="ask", of="filter"))
        run_due_jobs()
        assert {order.state for order in Order.objects.filter(pk__in=[order.pk for order in silent])} == {"paid"}
        assert Order.objects.get(pk=unpaid.pk).state == "pending"
        assert Payment.objects.count() == 2
        # Once more: nothing is booked twice.
        events = OrderEvent.objects.count()
        go(browser, address(act="ask", of="filter"))
        run_due_jobs()
        assert Payment.objects.count() == 2
        assert OrderEvent.objects.count() == events
