"""A reviewer's purchase is delivered and shown for what it is, and no sum of money counts it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app.models import Environment, MerchantAccount
from channels_app.money import Money
from channels_app.providers.base import PaymentProof, StoreGoods
from fulfillment.models import DeliveryPolicy
from orders.authentication import new_api_key
from orders.casefile.player import read_player
from orders.messages import Arrival, take
from orders.models import Case, Payment, ProofSource, Reviewer
from orders.play_money import paid_with_play_money
from payments_site.console.home import cases
from payments_site.console.home.figures import read_hours, today
from payments_site.console.home.undelivered import undelivered
from tests.buying import attempt_at, make_order, settle
from tests.console.conftest import page_of
from tests.home.conftest import scope_for

PRODUCT = "com.game.gems60"


@pytest.fixture
def order(client, channel, game):
    return make_order(client, new_api_key(game=game, environment="production"))


@pytest.fixture
def account(wechat_account):
    """An account of real money."""
    MerchantAccount.objects.update(environment="production")
    wechat_account.refresh_from_db()
    return wechat_account


def play(order, account):
    """The order is bought in the store's sandbox."""
    attempt = attempt_at(order, account, store_product_id=PRODUCT)
    proof = PaymentProof(
        attempt_no=attempt.attempt_no, transaction_id="sandbox:2000000123456789", paid=Money(3999, "TRY"),
        paid_at=timezone.now(), bought=StoreGoods(product_id=PRODUCT, quantity=1), test=True,
    )  # fmt: skip
    return take(proof, Arrival(account=account, source=ProofSource.CLIENT, actor="test"))


@pytest.fixture
def listed(order):
    return Reviewer.objects.create(
        game=order.game, uid=order.uid, until=timezone.now() + timedelta(days=1), note="App Review"
    )


@pytest.fixture
def played(order, account, listed):
    play(order, account)
    order.refresh_from_db()
    assert order.state == "paid"
    return order


@pytest.fixture
def slow(game):
    """Goods go by a game server that is not there yet."""
    DeliveryPolicy.objects.create(game=game, mode="game_server")


class TestSums:
    """Real money alone adds up."""

    def test_of_what_a_player_spent(self, played):
        strip = read_player(played, now=timezone.now())
        assert (strip.orders, dict(strip.lifetime), dict(strip.recently)) == (1, {}, {})

    def test_of_what_is_on_its_way(self, slow, played, game):
        found = undelivered(scope_for(game), now=timezone.now())
        assert (found.count, found.sums) == (1, {})

    def test_of_what_waits_for_a_decision(self, order, account, django_user_model, game):
        play(order, account)
        person = django_user_model.objects.create_superuser("root", password="x" * 20)
        queue = cases.queue(person, scope_for(game), now=timezone.now(), failing_since=[], undelivered=None)
        waiting = next(row for row in queue.people if "test_money" in row.address)
        assert (waiting.count, waiting.money, queue.sums) == (1, "", [])

    @pytest.mark.django_db(transaction=True)
    def test_of_yesterday_until_this_time(self, played, game):
        """Nothing is taken off for an order that was never added."""
        tomorrow = timezone.now() + timedelta(days=1) - timedelta(seconds=30)
        figures = today(scope_for(game), read_hours(scope_for(game), now=tomorrow)).days[1].until_cut
        assert (figures.paid, figures.gross) == (0, 0)

    def test_knows_no_other_orders(self, played, client, game, account):
        real = make_order(client, new_api_key(game=game, environment="production"))
        settle(attempt_at(real, account))
        assert paid_with_play_money([game.pk]) == [played.pk]

    def test_of_the_metrics(self, slow, played, client):
        text = client.get("/metrics").content.decode()
        assert 'payments_undelivered_orders{environment="production",state="pending"} 1.0' in text
        assert "payments_undelivered_amount_minor{" not in text


class TestPages:
    """What was charged stands beside the list price, and play money is called so."""

    def test_of_the_order(self, played, staff):
        page = staff(superuser=True).get(page_of(played)).content.decode()
        for said in ("39.99 TRY", "play money", "bought it with play money (39.99 TRY)", PRODUCT):
            assert said in page, said
        assert "Received in another currency" not in page

    def test_of_the_payment(self, played, staff):
        page = staff(superuser=True).get(page_of(Payment.objects.get())).content.decode()
        assert "39.99 TRY" in page
        assert "6.00 CNY" in page

    def test_finds_it_by_the_number_that_the_store_shows(self, played, staff):
        answer = staff("orders.view_order").get("/admin/look-up/", {"q": "2000000123456789"})
        assert answer["Location"] == page_of(played)

    def test_says_that_a_store_did_not_say_what_it_charged(self, played, staff):
        with_untold = Payment.objects.create(
            account=Payment.objects.get().account, environment=Environment.PRODUCTION, transaction_id="GPA.1",
            attempt_no="", amount_minor=0, currency="XXX", applied=False, hold_reason="unmatched", source="listing",
            paid_at=timezone.now(), received_at=timezone.now(),
        )  # fmt: skip
        page = staff(superuser=True).get(page_of(with_untold)).content.decode()
        assert "untold amount" in page
        assert "XXX" not in page


class TestTheCaseOfPlayMoney:
    """It says where a reviewer is listed, to whoever may."""

    def test_leads_to_the_list_of_reviewers(self, order, account, staff):
        play(order, account)
        page = staff(superuser=True).get(page_of(Case.objects.get())).content.decode()
        assert f"/admin/orders/reviewer/add/?game={order.game_id}&amp;uid={order.uid}" in page

    def test_does_not_lead_there_whoever_may_not_list(self, order, account, staff):
        play(order, account)
        page = staff("orders.view_case", "orders.view_order").get(page_of(Case.objects.get())).content.decode()
        assert "/admin/orders/reviewer/add/" not in page
