"""A shop whose accounts are at the simulated providers, and what players and providers do there."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from django.db import connection

from channels_app.accounts import enable_method, save_account
from channels_app.providers import ADAPTERS
from channels_app.simulator.server import RunningSimulator
from orders.models import Order, PaymentAttempt
from tests.buying import make_order, post


class Shop:
    """Orders through the API, payments at the simulator. Notifications are lost unless a test sends them."""

    def __init__(self, simulator: RunningSimulator, client, api_key: str) -> None:
        self.url = simulator.url
        self.client = client
        self.api_key = api_key

    def opened(self, method: str = "wechatpay_native", **changes: object) -> Order:
        """An order with a payment opened."""
        order = make_order(self.client, self.api_key, **changes)
        answer = self.pay(order, method)
        assert answer.status_code == 200, answer.content
        return order

    def pay(self, order: Order, method: str):
        """The pay call."""
        return post(self.client, f"orders/{order.order_no}/pay", {"method": method}, bearer=self.api_key)

    def cancel(self, order: Order):
        """The cancel call."""
        return post(self.client, f"orders/{order.order_no}/cancel", {}, bearer=self.api_key)

    def control(self, path: str, **body: object) -> dict:
        """One call of the control API."""
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def player_pays(self, number: str, provider: str = "wechatpay", *, late: bool = False) -> None:
        """The money moves, and the provider's notification gets lost."""
        self.control(f"trades/{provider}/{number}/{'pay-late' if late else 'pay'}", notify="lost")

    def weather(self, mode: str, *calls: str, provider: str = "wechatpay") -> None:
        """How the provider behaves from now on."""
        self.control("weather", provider=provider, mode=mode, calls=list(calls))

    def trade_state(self, number: str, provider: str = "wechatpay") -> str:
        """What the provider thinks."""
        found = requests.get(f"{self.url}/control/trades?provider={provider}&out_trade_no={number}", timeout=10)
        return found.json()["trades"][0]["state"]


@pytest.fixture(scope="session")
def _simulator(tmp_path_factory) -> Iterator[RunningSimulator]:
    with RunningSimulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def shop(_simulator, client, channel, api_key) -> Iterator[Shop]:
    """The shop, in fine weather."""
    for provider, adapter in ADAPTERS.items():
        credentials = _simulator.store.merchant(provider, f"asking-{provider}", base_url=_simulator.url)
        account = save_account(
            provider=provider, code=f"asking-{provider}", environment="sandbox", credentials=credentials
        )
        for method in adapter.methods:
            enable_method(channel=channel, method=method, account=account)
    shop = Shop(_simulator, client, api_key)
    yield shop
    for provider in ADAPTERS:
        shop.weather("ok", provider=provider)


def attempt_of(order: Order) -> PaymentAttempt:
    """The newest attempt of an order."""
    return PaymentAttempt.objects.filter(order=order).latest("pk")


def let_time_pass(order: Order, **delta: float) -> None:
    """Move an order and its attempts into the past, as if that long had gone by."""
    gone = timedelta(**delta)
    with connection.cursor() as cursor:
        # The order's terms are frozen by a trigger; only the test may turn back the clock.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE orders_order SET created_at = created_at - %s, expires_at = expires_at - %s WHERE id = %s",
            (gone, gone, order.pk),
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
    for attempt in PaymentAttempt.objects.filter(order=order):
        attempt.expires_at -= gone
        attempt.created_at -= gone
        if attempt.next_query_at is not None:
            attempt.next_query_at -= gone
        attempt.save()
    order.refresh_from_db()
