"""Is it them or us: the strip that is read at three in the morning."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from channels_app import inbox
from channels_app.accounts import save_account
from channels_app.models import Environment, Notification, RefusedTally
from channels_app.providers import ADAPTERS
from channels_app.providers.base import RawNotification
from fulfillment.models import EndpointState, WebhookAttempt, WebhookEndpoint
from orders.models import Order, Payment
from payments_site.console.home import health
from payments_site.console.home.figures import read_hours
from payments_site.console.home.stores import stores
from tests import keys
from tests.home.conftest import scope_for
from tests.revenue.conftest import fold


@pytest.fixture
def now():
    """In the middle of an hour, so that "just now" is the same hour."""
    return timezone.now().replace(minute=40, second=0, microsecond=0)


@pytest.fixture
def accounts(db):
    """Two providers that take real money."""
    return {
        "alipay": save_account(
            provider="alipay", code="ali", environment="production", credentials=keys.alipay_credentials()
        ),
        "wechatpay": save_account(
            provider="wechatpay", code="wx", environment="production", credentials=keys.wechat_credentials()
        ),
    }


def try_to_pay(till, moment, method, tried, paid):
    """So many attempts in that hour; so many orders of them were paid, one of them only after all the others."""
    orders = [till.order(moment) for _ in range(paid)]
    for order in [*orders, *[orders[0]] * (tried - paid)]:
        till.attempt(order, moment, method)
    for order in orders:
        till.pay(order, moment + timedelta(seconds=5), method)


def usual_weeks(till, now, method, tried=30, paid=29):
    for weeks in (1, 2):
        try_to_pay(till, now - timedelta(weeks=weeks), method, tried, paid)


def strip(scope, now):
    heard = health.messages(scope, now=now)
    providers = health.providers(scope, read_hours(scope, now=now).recent(), heard, now=now)
    return {
        cell.name: cell
        for cell in [*providers, health.game_servers(scope, now=now), health.ourselves(providers, now=now)]
    }


class TestProviders:
    """A provider is held against itself at this hour of this weekday."""

    def test_clearly_below_its_usual_rate_is_theirs(self, game, counter, accounts, now):
        usual_weeks(counter, now, "alipay_app")
        usual_weeks(counter, now, "wechatpay_app")
        try_to_pay(counter, now - timedelta(minutes=5), "alipay_app", 30, 15)
        try_to_pay(counter, now - timedelta(minutes=5), "wechatpay_app", 30, 29)
        fold()
        found = strip(scope_for(game), now)
        assert (found["Alipay"].tone, found["Alipay"].state) == ("working", "Low: theirs")
        assert (found["Alipay"].figure, found["Alipay"].usual) == ("50.0%", "usual 96.7%")
        assert found["Alipay"].last.startswith("since ")
        assert found["WeChat Pay"].tone == "done"
        assert found["This system"].tone == "done"

    def test_a_few_payments_are_not_judged(self, game, counter, accounts, now):
        usual_weeks(counter, now, "alipay_app")
        try_to_pay(counter, now - timedelta(minutes=5), "alipay_app", 6, 2)
        assert strip(scope_for(game), now)["Alipay"].tone == "done"

    def test_all_low_at_once_points_at_us(self, game, counter, accounts, now):
        for method in ("alipay_app", "wechatpay_app"):
            usual_weeks(counter, now, method)
            try_to_pay(counter, now - timedelta(minutes=5), method, 30, 12)
        fold()
        ours = strip(scope_for(game), now)["This system"]
        assert (ours.tone, ours.state) == ("working", "All are low: ours?")

    def test_nothing_today_is_nothing_and_not_zero_percent(self, game, accounts, now):
        cell = strip(scope_for(game), now)["Alipay"]
        assert (cell.tone, cell.figure, cell.state) == ("quiet", "–", "Nobody has paid lately")

    def test_messages_that_do_not_verify_are_ours(self, game, accounts, now):
        RefusedTally.objects.create(account=accounts["alipay"], minute=now - timedelta(minutes=12), refused=9)
        cell = strip(scope_for(game), now)["Alipay"]
        assert (cell.tone, cell.state) == ("decide", "Signatures fail: our keys")

    def test_one_forged_message_is_no_trouble(self, game, accounts, now):
        RefusedTally.objects.create(account=accounts["alipay"], minute=now - timedelta(minutes=12), refused=1)
        assert strip(scope_for(game), now)["Alipay"].tone == "quiet"

    def test_payments_found_only_by_asking_mean_that_we_cannot_be_reached(self, game, counter, accounts, now):
        for number in range(3):
            order = counter.sell(now - timedelta(minutes=5), method="alipay_app")
            Payment.objects.create(
                account=accounts["alipay"], environment="production", transaction_id=f"T{number}",
                attempt_no=order.order_no, order=order, amount_minor=600, currency="CNY", applied=True, source="query",
                paid_at=now, received_at=now,
            )  # fmt: skip
        cell = strip(scope_for(game), now)["Alipay"]
        assert (cell.tone, cell.state) == ("decide", "Cannot reach us")

    def test_the_sandboxs_accounts_are_not_shown_beside_real_ones(self, game, wechat_account, accounts, now):
        assert wechat_account.environment == "sandbox"
        del accounts["wechatpay"]
        assert len(strip(scope_for(game), now)) == 4  # two providers, game servers, this system


class TestLow:
    """Only what matters and is not chance is called low."""

    @pytest.mark.parametrize(
        ("now", "usual", "low"),
        [
            ((50, 100), (950, 1000), True),
            ((92, 100), (950, 1000), False),  # three points: not worth waking anybody
            ((9, 20), (95, 100), True),
            ((17, 20), (95, 100), False),  # three of twenty may be chance
            ((1, 10), (950, 1000), False),  # too few
            ((50, 100), (9, 10), False),  # nobody knows what is usual
        ],
    )
    def test_is_low(self, now, usual, low):
        assert health.is_low(now, usual) is low


class TestGameServers:
    """Refusals of a game server are the game server's."""

    @pytest.fixture
    def endpoint(self, game):
        return WebhookEndpoint.objects.create(game=game, url="https://game.example/hook", secrets_sealed=b"")

    def test_answers_503_since(self, game, endpoint, now):
        endpoint.failures_in_a_row, endpoint.failing_since, endpoint.last_error = 4, now, "HTTP 503"
        endpoint.save()
        cell = health.game_servers(scope_for(game), now=now)
        assert (cell.tone, cell.state) == ("working", "answers 503")
        assert "Demo’s server refuses messages since" in cell.sentence

    def test_paused_waits_for_a_person(self, game, endpoint, now):
        endpoint.state = EndpointState.PAUSED
        endpoint.save()
        cell = health.game_servers(scope_for(game), now=now)
        assert (cell.tone, cell.state) == ("decide", "Demo is paused")

    def test_normal_says_how_many_were_answered(self, busy_shop, now):
        WebhookEndpoint.objects.update(failures_in_a_row=0, failing_since=None)
        attempt = WebhookAttempt.objects.get()
        WebhookAttempt.objects.create(message=attempt.message, at=now, duration_ms=3, status=200)
        cell = health.game_servers(scope_for(busy_shop.game), now=now)
        assert (cell.tone, cell.figure, cell.usual) == ("done", "50.0%", "of the last 2 messages")

    def test_none_set_up(self, game, now):
        assert health.game_servers(scope_for(game), now=now).tone == "quiet"


class TestOurselves:
    """What the worker should have done long ago is ours."""

    def test_a_message_nobody_judged(self, shop, now):
        shop.notification("x", "y")
        assert health.ourselves([], now=timezone.now()).tone == "done"
        late = health.ourselves([], now=timezone.now() + timedelta(minutes=6))
        assert (late.tone, late.figure) == ("decide", "1 overdue")

    def test_an_order_nobody_closed(self, counter, now):
        counter.order(now - timedelta(days=7, minutes=6))
        assert health.ourselves([], now=now).figure == "1 overdue"

    def test_sums_that_stand_still(self, counter, now):
        counter.sell(now - timedelta(minutes=6))
        assert health.ourselves([], now=now).state == "Sums behind: ours"
        fold()
        assert health.ourselves([], now=now).tone == "done"


class TestStores:
    """What stores wait for from us: answers about their hints, word of deliveries, a look at their lists."""

    @pytest.fixture
    def account(self, wechat_account):
        """An account at a provider that hints, wants to be told and has a list."""
        provider = next(code for code, adapter in ADAPTERS.items() if hasattr(adapter, "follow"))
        type(wechat_account).objects.update(provider=provider, listed_until=timezone.now())
        wechat_account.refresh_from_db()
        return wechat_account

    def cell(self, game, now):
        return stores(scope_for(game, environment=Environment.SANDBOX), now=now)

    def hint(self, account, at):
        raw = RawNotification(headers={}, body=b"{}", received_at=at)
        kept = inbox.keep(raw, account=account, remote_addr="")
        Notification.objects.filter(pk=kept).update(verdict="asking", ask_at=at)

    def untold(self, shop, account, at):
        order = shop.purchase()
        Order.objects.filter(pk=order.pk).update(settled_at=at, delivered_at=at, created_at=at - timedelta(seconds=9))
        order.attempts.update(state="paid", next_query_at=at, account=account)

    def test_are_no_matter_without_such_an_account(self, game, wechat_account, now):
        assert self.cell(game, now) == []

    def test_are_normal_when_nothing_waits_long(self, game, account):
        now = timezone.now()
        self.hint(account, now - timedelta(minutes=2))
        (cell,) = self.cell(game, now)
        assert (cell.tone, cell.figure, cell.usual) == ("done", "1 waiting", "ask 1, tell 0; oldest 2 m")

    def test_that_do_not_answer_about_a_hint_are_said(self, game, account):
        now = timezone.now()
        self.hint(account, now - timedelta(minutes=16))
        (cell,) = self.cell(game, now)
        assert (cell.tone, cell.state) == ("working", "Does not answer")

    @pytest.mark.parametrize(("hours", "tone"), [(0, "done"), (2, "working"), (25, "decide")])
    def test_that_were_not_told_of_a_delivery_are_said(self, shop, game, account, hours, tone):
        now = timezone.now()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # the past cannot be sold in
        self.untold(shop, account, now - timedelta(hours=hours))
        (cell,) = self.cell(game, now)
        assert (cell.tone, "ask 0, tell 1" in cell.usual) == (tone, True)

    def test_whose_list_was_not_read_are_said(self, game, account, settings):
        if not hasattr(ADAPTERS[account.provider], "happenings"):
            type(account).objects.update(provider=_with_list())
        now = timezone.now()
        type(account).objects.update(listed_until=now - timedelta(seconds=3 * settings.LISTING_INTERVAL_S + 60))
        (cell,) = self.cell(game, now)
        assert (cell.tone, cell.state) == ("working", "List not read")
        type(account).objects.update(state="closed")
        (cell,) = self.cell(game, now)
        assert cell.tone == "done"

    def test_that_only_hint_can_reach_us(self, game, account):
        """Their payments are all found by asking, because asking is what their messages lead to."""
        now = timezone.now()
        for number in range(3):
            self.hint(account, now)
            Payment.objects.create(
                account=account, environment="sandbox", transaction_id=f"T{number}", attempt_no="", amount_minor=600,
                currency="CNY", applied=False, hold_reason="unmatched", source="query", paid_at=now, received_at=now,
            )  # fmt: skip
        scope = scope_for(game, environment=Environment.SANDBOX)
        assert not any(one.cannot_reach_us for one in health.messages(scope, now=now))


def _with_list() -> str:
    return next(code for code, adapter in ADAPTERS.items() if hasattr(adapter, "happenings"))
