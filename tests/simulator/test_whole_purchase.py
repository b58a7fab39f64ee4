"""A purchase over real HTTP on both sides: our API, the simulated provider, its notification, the goods."""

import pytest
import requests

from channels_app.accounts import enable_method, save_account
from channels_app.providers import ADAPTERS
from tests.buying import order_body
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts


@pytest.fixture
def shop(live_server, settings, simulator, game, channel, api_key, transactional_db):
    """Buys something with a method; returns the number the provider knows the order by."""
    settings.PUBLIC_BASE_URL = live_server.url
    for provider in ("wechatpay", "alipay"):
        credentials = simulator.store.merchant(provider, f"shop-{provider}", simulator.url)
        account = save_account(
            provider=provider, code=f"shop-{provider}", environment="sandbox", credentials=credentials
        )
        for method in ADAPTERS[provider].methods:
            enable_method(channel=channel, method=method, account=account)

    def buy(method):
        api = f"{live_server.url}/api/v1/orders"
        headers = {"Authorization": f"Bearer {api_key}"}
        order = requests.post(api, json=order_body(), headers=headers, timeout=10).json()
        opened = requests.post(f"{api}/{order['order_no']}/pay", json={"method": method}, headers=headers, timeout=10)
        assert opened.status_code == 200, opened.text
        return opened.json()["attempt_no"]

    return buy


@pytest.mark.parametrize("method", ["wechatpay_native", "alipay_qr"])
class TestPurchase:
    """What the simulator tells, our system believes or refuses as it must, and delivers once."""

    def _act(self, simulator, method, number, action, **body):
        provider = method.partition("_")[0]
        answer = requests.post(
            f"{simulator.url}/control/trades/{provider}/{number}/{action}", json={"wait": True, **body}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def test_a_payment_delivers_and_repeats_change_nothing(self, shop, simulator, method):
        number = shop(method)
        done = self._act(simulator, method, number, "pay")
        assert [each["state"] for each in done["notifications"]] == ["acknowledged"]
        assert effects() == ONE_PURCHASE
        again = self._act(simulator, method, number, "notify", times=10, at_once=True, new_ids=True)
        assert [each["state"] for each in again["notifications"]] == ["acknowledged"] * 10
        assert effects() == ONE_PURCHASE

    def test_a_forged_message_changes_nothing(self, shop, simulator, method):
        number = shop(method)
        done = self._act(simulator, method, number, "forged")
        assert done["notifications"][0]["attempts"][0]["acknowledged"] is False
        assert effects() == NOTHING
        assert verdicts() == [("refused", "signature")]
