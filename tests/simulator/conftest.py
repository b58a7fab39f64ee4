"""One simulator for all these tests, its ladder a thousand times as fast, and a merchant in every mode."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
import requests

from channels_app.money import Money
from channels_app.providers.alipay import AlipayAdapter
from channels_app.providers.base import OpenRequest, RefundRequest
from channels_app.providers.wechatpay import WechatPayAdapter
from channels_app.simulator.server import RunningSimulator
from tests.simulator.receiving import Receiver

_numbers = itertools.count(1)
_ADAPTERS = {"wechatpay": WechatPayAdapter, "alipay": AlipayAdapter}
_INPUTS = {"openid": "oPlayer", "client_ip": "203.0.113.7", "return_url": "https://game.example/back?order=1"}


@pytest.fixture(scope="session")
def simulator(tmp_path_factory):
    with RunningSimulator(tmp_path_factory.mktemp("simulator"), speed=1000) as running:
        yield running


@pytest.fixture(autouse=True)
def _fine_weather(request):
    yield
    if "simulator" in request.fixturenames:
        running = request.getfixturevalue("simulator")
        for provider in ("wechatpay", "alipay"):
            Control(running.url).post("weather", provider=provider, mode="ok")


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


class Control:
    """The control API."""

    def __init__(self, url):
        self.url = url

    def post(self, path, *, expect=200, **body):
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=30)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def act(self, desk, number, action, *, expect=200, wait=True, **body):
        return self.post(
            f"trades/{desk.provider}/{number}/{action}", expect=expect, wait=wait, merchant=desk.code, **body
        )

    def trade(self, desk, number):
        answer = requests.get(f"{self.url}/control/trades?provider={desk.provider}&out_trade_no={number}", timeout=10)
        (trade,) = [each for each in answer.json()["trades"] if each["merchant"] == desk.code]
        return trade


@pytest.fixture
def control(simulator):
    return Control(simulator.url)


class Desk:
    """One merchant at one provider, spoken to through our own adapter."""

    def __init__(self, simulator, provider, **mode):
        self.provider = provider
        self.code = f"{provider}-{next(_numbers)}"
        self.notify_url = ""
        self._control = Control(simulator.url)
        self.credentials = simulator.store.merchant(provider, self.code, simulator.url, **mode)
        self.adapter = _ADAPTERS[provider](self.credentials)

    def at(self, receiver):
        """The same merchant, told at this address from now on."""
        self.notify_url = receiver.url
        return self

    def request(self, product, **changes):
        about = {
            "method": f"{self.provider}_{product}", "attempt_no": f"N{next(_numbers):09d}", "due": Money(600, "CNY"),
            "subject": "60 宝石", "notify_url": self.notify_url, "inputs": _INPUTS,
            "expires_at": datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30),
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def open(self, product, **changes):
        """Open a payment, and do what the player's app then does at Alipay. Returns number and client parameters."""
        request = self.request(product, **changes)
        params = self.adapter.open_payment(request).params
        if presented := params.get("order_string") or params.get("url"):
            self._control.post("present", provider=self.provider, order_string=presented)
        return request.attempt_no, params

    def refund(self, number, *, amount, refund_no=None):
        """Ask for a refund of the trade's first payment."""
        payment = self._control.trade(self, number)["payments"][0]
        request = RefundRequest(
            refund_no=refund_no or f"R{next(_numbers):09d}", attempt_no=number,
            transaction_id=payment["transaction_id"], amount=Money(amount, "CNY"),
            paid=Money(payment["amount"], "CNY"), reason="test", notify_url=self.notify_url,
        )  # fmt: skip
        return request, self.adapter.refund(request)


def asking_about_refund(refund_no, attempt_no):
    """The request of a refund that was never made."""
    return RefundRequest(
        refund_no=refund_no, attempt_no=attempt_no, transaction_id="", amount=Money(1, "CNY"), paid=Money(1, "CNY"),
        reason="", notify_url="",
    )  # fmt: skip


@pytest.fixture(scope="session")
def _merchants(simulator):
    return {
        "wechat": Desk(simulator, "wechatpay"),
        "alipay": Desk(simulator, "alipay"),
        "alipay_with_certificates": Desk(simulator, "alipay", certificates=True),
    }


@pytest.fixture
def wechat(_merchants, receiver):
    return _merchants["wechat"].at(receiver)


@pytest.fixture
def alipay(_merchants, receiver):
    return _merchants["alipay"].at(receiver)


@pytest.fixture
def alipay_with_certificates(_merchants, receiver):
    return _merchants["alipay_with_certificates"].at(receiver)


@pytest.fixture
def new_merchant(simulator, receiver):
    """A merchant of the test alone, whose settings it may change and whose books only it writes."""
    return lambda provider, **mode: Desk(simulator, provider, **mode).at(receiver)


@pytest.fixture(params=["wechatpay", "alipay"])
def desk(request):
    """Each provider in turn."""
    return request.getfixturevalue({"wechatpay": "wechat", "alipay": "alipay"}[request.param])
