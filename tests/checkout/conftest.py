"""What checkout tests share: orders in every state a player can see."""

import re

import pytest
import requests
from django.conf import settings
from django.test import Client

from channels_app.accounts import enable_method, save_account
from channels_app.models import Channel
from channels_app.providers import ADAPTERS
from channels_app.simulator.merchants import PROVIDERS
from channels_app.simulator.server import RunningSimulator
from orders.authentication import client_token
from orders.checkout.slowness import forget_slow_providers
from orders.models import Order
from tests.buying import make_order

DESKTOP = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
WECHAT = f"{PHONE} MicroMessenger/8.0.50"
WECHAT_ON_DESKTOP = f"{DESKTOP} MicroMessenger/7.0.20 WindowsWechat"


@pytest.fixture(autouse=True)
def _nobody_known_to_be_slow():
    """What is known of slow providers is kept for some seconds; no test sees another's."""
    forget_slow_providers()


@pytest.fixture
def order(client, api_key, wechat_account, alipay_account) -> Order:
    """An order of 60 gems for a role in a zone, not paid."""
    return make_order(client, api_key, role_id="霜降夜行", zone_id="听雪 3 区")


class Player:
    """Somebody with the link to one order's checkout, on some device, reading some language."""

    def __init__(self, order: Order, *, device: str = DESKTOP, language: str = "zh-CN"):
        self.order = order
        self.token = client_token(order_no=order.order_no, expires_at=order.expires_at)
        self.path = f"/checkout/{order.order_no}"
        self.client = Client(headers={"User-Agent": device, "Accept-Language": language})

    def look(self, **query: str):
        """Open the page."""
        return self.client.get(self.path, {"token": self.token, **query})

    def press(self, action: str, **fields: str):
        """Send one of the page's forms."""
        return self.client.post(self.path, {"token": self.token, "action": action, **fields})

    def reads(self, **query: str) -> str:
        """The words on the page."""
        return words(self.look(**query))


@pytest.fixture
def player(order) -> Player:
    """The player of `order`, on a desktop, reading Chinese."""
    return Player(order)


def words(answer) -> str:
    """What a person reads on a page: no tags, single spaces."""
    body = answer.content.decode()
    main = re.sub(r"<head>.*?</head>", " ", body, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)).strip()


def methods_shown(answer) -> list[str]:
    """The methods offered for choice, in order."""
    return re.findall(r'name="method" value="([a-z0-9_]+)" data-inputs', answer.content.decode())


class Shop:
    """A channel whose accounts are at the simulated providers, and what a player's provider apps can do."""

    def __init__(self, simulator: RunningSimulator, channel: Channel):
        self.url = simulator.url
        for provider in PROVIDERS:
            code = f"shop-{provider}"
            told_at = f"{settings.PUBLIC_BASE_URL}/notify/{provider}/{code}"
            credentials = simulator.store.merchant(provider, code, base_url=simulator.url, notify_url=told_at)
            account = save_account(provider=provider, code=code, environment="sandbox", credentials=credentials)
            for method in ADAPTERS[provider].methods:
                enable_method(channel=channel, method=method, account=account)

    def pay(self, order: Order, provider: str, **how: object) -> None:
        """Pay the order's last attempt at a provider in its app."""
        attempt = order.attempts.filter(account__provider=provider).latest("pk")
        self.control(f"trades/{provider}/{attempt.attempt_no}/pay", **how)

    def control(self, path: str, **body: object) -> dict:
        """Ask something of the simulator itself."""
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def simulator(tmp_path_factory):
    """Every provider, on a port of their own."""
    with RunningSimulator(directory=tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def shop(simulator, channel) -> Shop:
    """A shop with every method of every simulated provider."""
    return Shop(simulator, channel)
