"""A game sold in a simulated store: Huawei's, whose messages are hints, and which wants to hear of deliveries."""

import pytest
import requests

from channels_app.accounts import enable_method, save_account
from channels_app.simulator.server import RunningSimulator
from orders.models import Order, PaymentAttempt, Product
from tests.buying import make_order, post

PRODUCT = "com.game.gems60"
METHOD = "huawei_iap"


class Store:
    """Orders through the API, purchases on a simulated device."""

    def __init__(self, simulator, client, api_key, account):
        self.url = simulator.url
        self.client = client
        self.api_key = api_key
        self.account = account

    def opened(self, **changes) -> tuple[Order, dict]:
        """An order, and what the store's SDK is given."""
        order = make_order(self.client, self.api_key, **changes)
        answer = post(self.client, f"orders/{order.order_no}/pay", {"method": METHOD}, bearer=self.api_key)
        assert answer.status_code == 200, answer.content
        return order, answer.json()["params"]

    def buys(self, params, **asked) -> dict[str, str]:
        """The player buys; nobody tells us. Returns what the SDK holds."""
        return self.control("buy", provider="huawei", merchant=self.account.code, params=params, **asked)["evidence"]

    def hands_in(self, order, evidence, **changes):
        """The game hands the receipt in."""
        body = {"method": METHOD, **evidence, **changes}
        return post(self.client, f"orders/{order.order_no}/proofs", body, bearer=self.api_key)

    def tells(self, evidence):
        """The store's message, which anybody could send: it proves nothing."""
        body = {
            "version": "v2", "eventType": "ORDER", "notifyTime": 1, "applicationId": self.account.summary["app_id"],
            "orderNotification": {
                "version": "v2", "notificationType": 1, "purchaseToken": evidence["purchase_token"],
                "productId": evidence["store_product_id"],
            },
        }  # fmt: skip
        return self.client.post(f"/notify/huawei/{self.account.code}", body, content_type="application/json")

    def control(self, path, **body):
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def weather(self, mode, *calls):
        self.control("weather", provider="huawei", mode=mode, calls=list(calls))


@pytest.fixture(scope="session")
def _simulator(tmp_path_factory):
    with RunningSimulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def store(_simulator, client, channel, api_key):
    Product.objects.update(store_ids={METHOD: PRODUCT})
    credentials = _simulator.store.merchant("huawei", "stores-huawei", base_url=_simulator.url)
    account = save_account(provider="huawei", code="stores-huawei", environment="sandbox", credentials=credentials)
    enable_method(channel=channel, method=METHOD, account=account)
    store = Store(_simulator, client, api_key, account)
    yield store
    store.weather("ok")


def attempt_of(order: Order) -> PaymentAttempt:
    return PaymentAttempt.objects.get(order=order)
