"""Telling: every message arrives, signed, in order, once it can; and the rows say what happened."""

import threading
import time

import pytest
from django.db import connection

from channels_app import vault
from channels_app.models import Environment
from fulfillment.endpoints import (
    EndpointRefused,
    pause_endpoint,
    resume_endpoint,
    retire_old_secrets,
    rotate_secret,
    set_endpoint,
)
from fulfillment.models import (
    Delivery,
    DeliveryMode,
    DeliveryPolicy,
    Item,
    ProductGrant,
    WebhookAttempt,
    WebhookEndpoint,
    WebhookMessage,
)
from orders.authentication import new_api_key
from orders.models import Case, Game, Order, Product, ProductPrice
from tests.telling.conftest import all_told, dispatching, states, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def another_game(server, code="other"):
    """A second game with an endpoint and a key of its own."""
    game = Game.objects.create(code=code, name=code)
    product = Product.objects.create(game=game, product_id="gems60", name="60 gems")
    ProductPrice.objects.create(product=product, currency="CNY", amount_minor=600)
    item = Item.objects.create(game=game, item_id="gem", name="Gem")
    ProductGrant.objects.create(product=product, item=item, quantity=60)
    set_endpoint(game=game, url=server.url)
    return new_api_key(game=game, environment=Environment.SANDBOX)


class TestAPurchase:
    """The game server hears of a purchase in order, signed so that a stranger cannot forge it."""

    def test_is_told_in_order_and_each_message_once(self, told, server, buy):
        orders = [buy() for _ in range(10)]
        with dispatching():
            wait_for(all_told(20))
        assert len(server.received) == len(server.ids()) == 20
        for order in orders:
            kinds = [m.document["type"] for m in server.received if m.order_no == order.order_no]
            assert kinds == ["order.paid", "order.delivered"]

    def test_is_signed_with_the_endpoints_secret(self, told, server, buy):
        buy()
        with dispatching():
            wait_for(all_told(2))
        for message in server.received:
            assert message.signed_by(told.secret)
            assert not message.signed_by("whsec_" + "A" * 44)
            assert abs(int(message.headers["webhook-timestamp"]) - time.time()) < 30
            assert message.document["id"] == message.id

    def test_leaves_a_row_for_every_try(self, told, server, buy):
        server.answer = lambda _: (200, '{"ok": true,\x07 "note": "grüße"}\n')
        buy()
        with dispatching():
            wait_for(all_told(2))
        tries = WebhookAttempt.objects.all()
        assert [(one.status, one.error, one.answer) for one in tries] == [
            (200, "", '{"ok": true, "note": "grüße"} ')
        ] * 2
        assert set(WebhookMessage.objects.values_list("attempts", "last_status")) == {(1, 200)}
        assert WebhookEndpoint.objects.get().last_success_at is not None


class TestAnswers:
    """2xx is success unless the body takes it back; everything else is tried again and never dropped."""

    def test_of_success_end_the_matter(self, told, server, buy):
        bodies = ["", "success", "ok", '{"code": 0}', '{"success": true}', '{"status": "ok"}', '"yes"', "[" * 5000]
        orders = {buy().order_no: body for body in bodies}
        server.answer = lambda m: (200, orders[m.order_no])
        with dispatching():
            wait_for(all_told(2 * len(bodies)))
        assert len(server.received) == 2 * len(bodies)

    def test_whose_body_says_failure_are_failures(self, told, server, buy):
        bodies = [
            '{"success": false}', '{"ok": false}', '{"code": "FAIL"}', '{"status":"failed"}', '{"result":"error"}',
            "fail", "FAIL\n", '"failure"',
        ]  # fmt: skip
        orders = {buy().order_no: body for body in bodies}
        server.answer = lambda m: (200, orders[m.order_no])
        with dispatching():
            wait_for(lambda: set(WebhookMessage.objects.values_list("attempts", flat=True)) == {1})
        assert states() == {"waiting": 2 * len(bodies)}
        assert set(WebhookMessage.objects.values_list("last_error", flat=True)) == {"the answer says failure"}

    def test_of_failure_are_tried_again_with_the_same_id_and_bytes(self, told, server, buy, settings):
        settings.WEBHOOK_LADDER_S = (1,)
        settings.WEBHOOK_PROBE_INTERVAL_S = 1.1
        statuses = [400, 404, 500, 502, None]
        orders = {buy().order_no: status for status in statuses}
        seen = set()

        def fail_first(m):
            first = m.id not in seen
            seen.add(m.id)
            status = orders[m.order_no] if first else 200
            # Closed each time: a kept connection that is cut is taken for an old one, and the try is repeated at once.
            return status and (status, "", {"connection": "close"})

        server.answer = fail_first
        with dispatching():
            wait_for(all_told(2 * len(statuses)))
        assert len(server.received) == 4 * len(statuses)
        assert len({(m.id, m.body) for m in server.received}) == 2 * len(statuses)
        assert all(m.signed_by(told.secret) for m in server.received)
        timestamps = {}
        for m in server.received:
            timestamps.setdefault(m.id, []).append(int(m.headers["webhook-timestamp"]))
        assert all(first < second for first, second in timestamps.values())
        assert set(WebhookMessage.objects.values_list("attempts", flat=True)) == {2}

    def test_that_were_lost_with_a_kept_connection_are_asked_for_on_a_fresh_one(self, told, server, buy):
        cut = threading.Semaphore(1)
        server.answer = lambda m: None if len(server.received) > 1 and cut.acquire(blocking=False) else 200
        buy()
        with dispatching():
            wait_for(all_told(2))
        assert len(server.received) == 3
        assert len(server.ids()) == 2
        assert set(WebhookAttempt.objects.values_list("status", flat=True)) == {200}

    def test_that_redirect_are_failures_and_nobody_goes_there(self, told, server, servers, buy):
        elsewhere = servers()
        server.answer = (302, "", {"location": elsewhere.url})
        buy()
        with dispatching():
            wait_for(lambda: WebhookAttempt.objects.count() == 2)
        assert elsewhere.received == []
        assert states() == {"waiting": 2}

    def test_of_410_switch_the_endpoint_off_and_keep_everything(self, told, server, buy):
        server.answer = 410
        buy()
        with dispatching():
            wait_for(lambda: WebhookEndpoint.objects.get().state == "disabled")
            tried = len(server.received)
            late = buy()
            other = another_game(server, "witness")
            server.answer = lambda m: 200
            buy(api_key=other)
            wait_for(lambda: states() == {"waiting": 4, "delivered": 2})
        assert late.order_no not in {m.order_no for m in server.received}
        assert len(server.received) == tried + 2
        case = Case.objects.get()
        assert (case.kind, case.closed_at) == ("webhook_parked", None)
        with dispatching():
            assert resume_endpoint(endpoint_id=told.endpoint.pk, actor="wang")
            wait_for(all_told(6))
        case.refresh_from_db()
        assert (case.closed_by, case.decision) == ("wang", "switched on")

    @pytest.mark.parametrize("status", [429, 503])
    def test_that_ask_for_a_pause_get_it_for_the_whole_endpoint(self, told, server, servers, buy, status):
        server.answer = (status, "", {"retry-after": "120"})
        buy()
        with dispatching():
            wait_for(lambda: WebhookAttempt.objects.exists())
            wait_for(lambda: WebhookEndpoint.objects.get().next_probe_at)
            tried = len(server.received)
            late = buy()
            buy(api_key=another_game(servers(), "witness"))
            wait_for(lambda: states().get("delivered") == 2)
        assert late.order_no not in {m.order_no for m in server.received}
        assert len(server.received) == tried
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM next_probe_at - now()) FROM fulfillment_webhookendpoint ORDER BY id"
            )
            pause = cursor.fetchone()[0]
        assert 100 < pause <= 120

    def test_are_read_up_to_their_first_64_kb(self, told, server, buy):
        sent = []

        def flood(wire):
            try:
                for _ in range(640):
                    wire.write(b"x" * 16384)
                    sent.append(16384)
            except OSError:
                pass

        server.answer = (200, flood)
        buy()
        with dispatching():
            wait_for(all_told(2))
        assert max(len(answer) for answer in WebhookAttempt.objects.values_list("answer", flat=True)) == 500
        assert sum(sent) < 2 * 640 * 16384  # we hung up long before the end

    def test_that_never_end_are_failures(self, told, server, buy, monkeypatch):
        monkeypatch.setattr("fulfillment.sending.ENDED_WITHIN_S", 0.5)

        def drip(wire):
            try:
                while not server.release.wait(0.05):
                    wire.write(b".")
                    wire.flush()
            except OSError:
                pass

        server.answer = (200, drip)
        buy()
        with dispatching():
            wait_for(lambda: WebhookAttempt.objects.count() == 2)
        assert states() == {"waiting": 2}
        assert set(WebhookMessage.objects.values_list("last_error", flat=True)) == {"no whole answer in time"}

    def test_that_are_cut_in_the_middle_are_failures(self, told, server, buy):
        server.answer = lambda m: (200, "", {"content-length": "100"})
        buy()
        with dispatching():
            wait_for(lambda: WebhookAttempt.objects.count() >= 1, within=30)
        assert "delivered" not in states()


class TestGameServerThatGrants:
    """In mode game_server the goods count as delivered when the game server said so, once."""

    @pytest.fixture(autouse=True)
    def _mode(self, told, server):
        set_endpoint(game=told.game, url=server.url, mode=DeliveryMode.GAME_SERVER)

    def test_delivers_by_answering_and_its_receipt_is_kept(self, told, server, buy):
        server.answer = lambda m: (200, '{"receipt": "G-\\u0000\\ud800 77"}')
        order = buy()
        assert Delivery.objects.get().state == "pending"
        with dispatching():
            wait_for(all_told(3))
        order.refresh_from_db()
        delivery = Delivery.objects.get()
        assert (order.delivery_state, delivery.state, delivery.receipt) == ("delivered", "delivered", "G- 77")
        assert [m.document["type"] for m in server.received] == ["order.paid", "delivery.requested", "order.delivered"]

    def test_delivers_each_order_once_however_many_dispatchers_run(self, told, server, buy):
        for _ in range(25):
            buy()
        with dispatching(count=2):
            wait_for(all_told(75))
        assert Order.objects.filter(delivery_state="delivered").count() == 25
        assert len(server.of("delivery.requested")) == len(server.of("order.delivered")) == 25
        assert len(server.granted) == 75

    def test_that_refuses_other_messages_still_gets_its_deliveries(self, told, server, buy):
        server.answer = lambda m: 200 if m.document["type"] == "delivery.requested" else 400
        orders = [buy() for _ in range(3)]
        with dispatching():
            wait_for(lambda: Delivery.objects.filter(state="delivered").count() == len(orders))
        assert len(server.of("delivery.requested")) == 3

    def test_is_asked_again_with_the_same_id_when_we_died_before_writing_it_down(self, told, server, buy, monkeypatch):
        from fulfillment import dispatching as module

        monkeypatch.setattr("fulfillment.outbox.LEASE_S", 1.0)
        real = module._record
        died = []

        def die_once(outcomes):
            if any(outcome.message.type == "delivery.requested" for outcome in outcomes) and not died:
                died.append(outcomes)
                return  # confirmed, told, and gone before a row said so
            real(outcomes)

        monkeypatch.setattr(module, "_record", die_once)
        buy()
        with dispatching():
            wait_for(all_told(3))
        requests = server.of("delivery.requested")
        assert len(requests) == 2
        assert len({(m.id, m.body) for m in requests}) == 1
        assert len(server.of("order.delivered")) == 1
        assert Delivery.objects.get().state == "delivered"


class TestOthersTraffic:
    """One game server's trouble is not another's."""

    def test_goes_on_while_one_game_server_hangs(self, told, server, servers, buy):
        server.answer = server.hang
        well = servers()
        other = another_game(well)
        for _ in range(30):
            buy()
        with dispatching():
            wait_for(lambda: len(server.received) >= 30)
            for _ in range(10):
                buy(api_key=other)
            wait_for(lambda: len(well.received) == 20, within=5)
            assert server.granted == []
            server.release.set()

    def test_of_one_order_that_is_refused_does_not_hold_up_the_other_orders(self, told, server, buy):
        refused = buy()
        server.answer = lambda m: 400 if m.order_no == refused.order_no else 200
        for _ in range(10):
            buy()
        with dispatching():
            wait_for(lambda: states() == {"delivered": 20, "waiting": 2})
            buy()
            wait_for(lambda: states() == {"delivered": 22, "waiting": 2})

    def test_of_one_endpoint_is_bounded_at_a_time(self, told, server, buy):
        under_way, most, lock = [], [], threading.Lock()

        def count(m):
            with lock:
                under_way.append(m)
                most.append(len(under_way))
            time.sleep(0.02)
            with lock:
                under_way.pop()
            return 200

        server.answer = count
        for _ in range(50):
            buy()
        with dispatching():
            wait_for(all_told(100))
        assert max(most) <= 32


class TestOutages:
    """A game server that was away gets everything soon after it is back, and is not hammered before."""

    def test_are_probed_and_the_first_success_releases_everything(self, told, server, buy):
        server.answer = 503
        for _ in range(40):
            buy()
        with dispatching():
            wait_for(lambda: WebhookEndpoint.objects.get().next_probe_at)
            wait_for(lambda: len(server.received) >= 40)
            server.answer = 200
            wait_for(all_told(80))
        tries = WebhookMessage.objects.values_list("attempts", flat=True)
        assert max(tries) <= 10
        endpoint = WebhookEndpoint.objects.get()
        assert (endpoint.failures_in_a_row, endpoint.next_probe_at, endpoint.failing_since) == (0, None, None)
        assert len(server.granted) == 80

    def test_are_probed_one_message_at_a_time_and_never_the_same_one(self, told, server, buy, settings):
        settings.WEBHOOK_PROBE_INTERVAL_S = 0.1
        server.answer = server.hang
        for _ in range(10):
            buy()
        WebhookEndpoint.objects.update(
            failures_in_a_row=9, next_probe_at=told.endpoint.created_at, failing_since=told.endpoint.created_at
        )
        with dispatching(count=2):
            wait_for(lambda: len(server.received) == 1)
            buy(api_key=another_game(server_two := type(server)(), "witness"))
            wait_for(lambda: len(server_two.received) == 2)
            assert len(server.received) == 1
            server.answer = 500
            server.release.set()
            wait_for(lambda: len(server.received) >= 8)
        server_two.close()
        assert len({m.id for m in server.received[:8]}) == 8

    def test_beyond_the_last_rung_are_parked_before_a_person(self, told, server, buy, settings):
        settings.WEBHOOK_PARK_AFTER_S = 0.5
        settings.WEBHOOK_LADDER_S = (1,)
        server.answer = 500
        order = buy()
        with dispatching():
            wait_for(lambda: states() == {"parked": 2})
        cases = Case.objects.filter(kind="webhook_parked", order=order)
        assert cases.count() == 2
        assert {case.game_id for case in cases} == {told.game.pk}

    def test_that_end_after_parking_requeue_by_themselves_and_close_their_cases(self, told, server, buy, settings):
        settings.WEBHOOK_PARK_AFTER_S = 0.5
        settings.WEBHOOK_PROBE_INTERVAL_S = 0.1
        settings.WEBHOOK_LADDER_S = (1,)
        server.answer = 500
        for _ in range(6):
            buy()
        with dispatching():
            wait_for(lambda: states() == {"parked": 12})
            assert Case.objects.filter(closed_at=None).count() == 12
            server.answer = 200
            wait_for(all_told(12))
            wait_for(lambda: not Case.objects.filter(closed_at=None).exists())
        assert set(Case.objects.values_list("closed_by", "decision")) == {("dispatcher", "told")}
        assert len(server.granted) == 12

    def test_in_mode_game_server_park_the_delivery_and_heal_it(self, told, server, buy, settings):
        set_endpoint(game=told.game, url=server.url, mode=DeliveryMode.GAME_SERVER)
        settings.WEBHOOK_PARK_AFTER_S = 0.5
        settings.WEBHOOK_LADDER_S = (1,)
        server.answer = 500
        order = buy()
        with dispatching():
            wait_for(lambda: states() == {"parked": 2})
            order.refresh_from_db()
            assert (order.delivery_state, Delivery.objects.get().state) == ("parked", "parked")
            assert set(Case.objects.values_list("kind", flat=True)) == {"delivery_parked", "webhook_parked"}
            settings.WEBHOOK_PARK_AFTER_S = 3600
            server.answer = 200
            WebhookEndpoint.objects.update(next_probe_at=told.endpoint.created_at)
            wait_for(all_told(3))
        order.refresh_from_db()
        assert (order.delivery_state, Delivery.objects.get().state) == ("delivered", "delivered")
        assert not Case.objects.filter(closed_at=None).exists()

    def test_of_our_own_vault_count_as_failures_and_drop_nothing(self, told, server, buy, settings):
        settings.WEBHOOK_LADDER_S = (1,)
        kept = WebhookEndpoint.objects.get().secrets_sealed
        moved = vault.seal(b"whsec_", at=vault.place("another", 1, "cell"))
        WebhookEndpoint.objects.update(secrets_sealed=moved)
        buy()
        with dispatching():
            wait_for(lambda: WebhookEndpoint.objects.get().failures_in_a_row >= 2)
            assert server.received == []
            assert "secrets cannot be opened" in WebhookEndpoint.objects.get().last_error
            WebhookEndpoint.objects.update(secrets_sealed=bytes(kept))
            wait_for(all_told(2))
        assert all(m.signed_by(told.secret) for m in server.received)


class TestADispatcherThatDies:
    """Nothing is lost with the process: what it held is sent by another, with the same id."""

    def test_leaves_leases_that_run_out(self, told, server, buy):
        buy()
        with connection.cursor() as cursor:  # as a dead process leaves them
            cursor.execute("UPDATE fulfillment_webhookmessage SET next_attempt_at = now() + interval '1 second'")
        started = time.monotonic()
        with dispatching():
            wait_for(all_told(2))
        assert time.monotonic() - started > 0.8
        assert len(server.received) == 2

    def test_on_request_gives_back_what_it_could_not_finish(self, told, server, buy, monkeypatch):
        monkeypatch.setattr("fulfillment.dispatching.DRAIN_S", 0.2)
        server.answer = server.hang
        buy()
        with dispatching():
            wait_for(lambda: len(server.received) == 1)
        server.release.set()
        server.answer = 200
        with dispatching():
            wait_for(all_told(2), within=5)
        assert len(server.ids()) == 2

    def test_is_not_needed_to_survive_a_lost_database_connection(self, told, server, buy):
        with dispatching():
            buy()
            wait_for(all_told(2))
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                assert cursor.fetchone()[0] >= 1
            buy()
            wait_for(all_told(4))


class TestSwitching:
    """Staff can stop and start the telling, and change secrets and addresses, without losing a message."""

    def test_a_pause_holds_everything_and_its_end_sends_it(self, told, server, servers, buy):
        assert pause_endpoint(endpoint_id=told.endpoint.pk)
        assert not pause_endpoint(endpoint_id=told.endpoint.pk)
        buy()
        with dispatching():
            buy(api_key=another_game(servers(), "witness"))
            wait_for(lambda: states().get("delivered") == 2)
            assert server.received == []
            assert resume_endpoint(endpoint_id=told.endpoint.pk, actor="li")
            wait_for(all_told(4))
        assert not resume_endpoint(endpoint_id=told.endpoint.pk, actor="li")

    def test_a_rotation_signs_with_both_secrets_until_the_old_one_is_retired(self, told, server, buy):
        fresh = rotate_secret(endpoint_id=told.endpoint.pk)
        buy()
        with dispatching():
            wait_for(all_told(2))
            assert all(m.signed_by(told.secret) and m.signed_by(fresh) for m in server.received)
            assert retire_old_secrets(endpoint_id=told.endpoint.pk) == 1
            buy()
            wait_for(all_told(4))
        assert all(m.signed_by(fresh) and not m.signed_by(told.secret) for m in server.received[2:])

    def test_a_new_address_gets_what_the_old_one_did_not_take(self, told, server, servers, buy):
        server.answer = 500
        buy()
        with dispatching():
            wait_for(lambda: WebhookAttempt.objects.count() == 2)
            moved = servers()
            assert set_endpoint(game=told.game, url=moved.url).secret is None
            wait_for(all_told(2))
        assert len(moved.received) == 2
        assert all(m.signed_by(told.secret) for m in moved.received)

    def test_without_an_address_deliveries_wait_for_one(self, told, server, buy):
        set_endpoint(game=told.game, url="", mode=DeliveryMode.GAME_SERVER)
        order = buy()
        assert states() == {}
        with dispatching():
            set_endpoint(game=told.game, url=server.url)
            wait_for(all_told(2))
        order.refresh_from_db()
        assert order.delivery_state == "delivered"
        assert [m.document["type"] for m in server.received] == ["delivery.requested", "order.delivered"]

    def test_an_address_inside_is_refused_in_production_and_nothing_changes(self, told, settings):
        settings.WEBHOOK_PRIVATE_TARGETS = False
        for url in ("https://10.0.0.1/", "http://game.example/", "https://user@game.example/", "ftp://game.example/"):
            with pytest.raises(EndpointRefused):
                set_endpoint(game=told.game, url=url, mode=DeliveryMode.GAME_SERVER)
        assert WebhookEndpoint.objects.get().url == told.endpoint.url
        assert not DeliveryPolicy.objects.exists()
