"""The simulated Apple against our adapter: purchases, refunds, its lists, its bad weather; and one whole purchase."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from channels_app.accounts import enable_method, save_account
from channels_app.money import Money
from channels_app.providers.apple import AppleAdapter
from channels_app.providers.base import (
    AttemptRef,
    Foreign,
    NothingToDo,
    NotificationRefused,
    OpenRequest,
    PaymentProof,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RefundAsked,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Standing,
)
from orders.models import Case, Product
from tests.buying import order_body
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.providers.apple_side import private_pem
from tests.simulator.receiving import eventually

PRODUCT = "com.example.game.gems60"
_numbers = itertools.count(1)


class Device:
    """A player's device with an app that sells through one account, spoken to through our own adapter."""

    def __init__(self, simulator, notify_url=""):
        self.code = f"apple-{next(_numbers)}"
        self.url = simulator.url
        self.credentials = simulator.store.merchant("apple", self.code, simulator.url, notify_url=notify_url)
        self.adapter = AppleAdapter(self.credentials, live=False)

    def control(self, path, *, expect=200, **body):
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=30)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.headers["Content-Type"].startswith("application/json") else answer.text

    def open(self, quantity=1):
        """The attempt's number, and what the app is told."""
        request = OpenRequest(
            method="apple_iap", attempt_no=uuid.uuid4().hex, due=Money(600, "CNY"), subject="60 gems", notify_url="",
            expires_at=datetime.now(UTC), store_product_id=PRODUCT, quantity=quantity,
        )  # fmt: skip
        return request.attempt_no, self.adapter.open_payment(request).params

    def buy(self, params, **asked):
        return self.control("buy", provider="apple", merchant=self.code, params=dict(params), **asked)

    def bought(self, **asked):
        """An attempt, and what its purchase proves."""
        number, params = self.open()
        evidence = self.buy(params, **asked)["evidence"]
        return number, self.adapter.prove(evidence)

    def act(self, number, action, **body):
        return self.control(f"trades/apple/{number}/{action}", merchant=self.code, **body)

    def asked(self, number, handle):
        return self.adapter.query(AttemptRef(attempt_no=number, handle=handle))


@pytest.fixture
def device(simulator, receiver):
    yield Device(simulator, receiver.url)
    Device(simulator).control("weather", provider="apple", mode="ok")


@pytest.fixture
def told(device, receiver):
    """What our adapter makes of every notification that has arrived, once there are so many."""

    def told(count):
        eventually(lambda: len(receiver.received) >= count)
        return [device.adapter.read_notification(raw) for raw in receiver.received]

    return told


class TestPurchase:
    """Our adapter cannot tell the simulator from Apple."""

    def test_is_proved_by_the_device_and_by_apple_alike(self, device, told):
        number, params = device.open(quantity=3)
        proof = device.adapter.prove(device.buy(params)["evidence"])
        assert isinstance(proof, PaymentProof)
        assert (proof.attempt_no, proof.bought.product_id, proof.bought.quantity) == (number, PRODUCT, 3)
        assert proof.paid == Money(1800, "CNY")
        assert told(1) == [proof]

    def test_is_found_afterwards_by_either_number(self, device):
        number, proof = device.bought()
        assert device.asked(number, proof.handle).proof == proof
        assert device.adapter.find(proof.transaction_id).proof == proof
        assert device.adapter.find(f"M{proof.transaction_id}").proof == proof
        assert device.adapter.find("2000").standing is Standing.UNKNOWN
        assert device.adapter.find("M2000000").standing is Standing.UNKNOWN

    def test_of_another_app_is_not_found(self, device, simulator):
        _, proof = device.bought()
        assert Device(simulator).adapter.find(proof.transaction_id).standing is Standing.UNKNOWN

    def test_costs_what_the_store_says(self, device):
        assert device.bought(price=120, currency="JPY")[1].paid == Money(120, "JPY")
        assert device.bought(price=0, offer="SPRING")[1].paid == Money(0, "CNY")

    def test_with_the_account_checked_first_works(self, device):
        assert device.adapter.probe("CHECK1").said.startswith("4040010")
        wrong = AppleAdapter({**device.credentials, "private_key": private_pem("somebody else")}, live=False)
        with pytest.raises(ProviderRejected, match="unauthenticated"):
            wrong.probe("CHECK1")

    @pytest.mark.parametrize("name", ["key_id", "issuer_id", "bundle_id"])
    def test_with_somebody_elses_names_is_refused(self, device, name):
        other = {"key_id": "ABCDEFGHIJ", "issuer_id": str(uuid.uuid4()), "bundle_id": "com.example.none"}[name]
        with pytest.raises(ProviderRejected, match="unauthenticated"):
            AppleAdapter({**device.credentials, name: other}, live=False).probe("CHECK1")


class TestOddPurchases:
    """What players, testers and forgers do with a device."""

    def test_without_a_token_name_no_attempt(self, device, told):
        _, proof = device.bought(without_token=True)
        assert (proof.attempt_no, told(1)) == ("", [proof])

    def test_with_a_strangers_token_name_the_stranger(self, device):
        token = uuid.uuid4()
        assert device.bought(token=str(token))[1].attempt_no == token.hex

    def test_of_something_else_say_so(self, device):
        _, proof = device.bought(product_id="com.example.game.other", quantity=2)
        assert (proof.bought.product_id, proof.bought.quantity) == ("com.example.game.other", 2)
        assert isinstance(device.bought(type="Auto-Renewable Subscription")[1], NothingToDo)

    def test_of_another_environment_do_not_count(self, device):
        assert isinstance(device.bought(environment="Production")[1], Foreign)
        with pytest.raises(NotificationRefused, match="certificates"):
            device.bought(environment="Xcode")

    @pytest.mark.parametrize(("evidence", "step"), [("unsigned", "header"), ("wrong_chain", "certificates")])
    def test_that_are_forged_are_refused(self, device, evidence, step):
        with pytest.raises(NotificationRefused, match=step):
            device.bought(evidence=evidence)

    def test_twice_under_one_token_are_two_payments(self, device, told):
        _, params = device.open()
        first, second = (device.adapter.prove(device.buy(params)["evidence"]) for _ in range(2))
        assert first.attempt_no == second.attempt_no
        assert first.transaction_id != second.transaction_id
        assert len(told(2)) == 2

    @pytest.mark.parametrize(
        "asked", [{"color": 1}, {"price": -1}, {"currency": "yuan"}, {"token": "x"}, {"evidence": "?"}]
    )
    def test_that_no_device_could_make_are_refused(self, device, asked):
        _, params = device.open()
        device.control("buy", provider="apple", merchant=device.code, params=params, expect=400, **asked)


class TestRefunds:
    """Apple gives back on its own, in part or whole, and takes it again."""

    def test_are_told_and_found(self, device, told):
        number, proof = device.bought()
        refund = RefundRequest(
            refund_no="R1", attempt_no=number, transaction_id=proof.transaction_id, amount=Money(150, "CNY"),
            paid=Money(600, "CNY"), reason="", notify_url="",
        )  # fmt: skip
        assert device.adapter.query_refund(refund).standing is RefundStanding.UNKNOWN
        device.act(number, "refund", amount=150, wait=True)
        notice = told(2)[1]
        assert isinstance(notice, RefundNotice)
        assert (notice.standing, notice.amount, notice.payment.given_back) == (
            RefundStanding.SUCCEEDED, Money(150, "CNY"), True,
        )  # fmt: skip
        answer = device.adapter.query_refund(refund)
        assert (answer.standing, answer.amount) == (RefundStanding.SUCCEEDED, Money(150, "CNY"))
        assert device.asked(number, proof.handle).proof.given_back is True

    def test_are_reversed(self, device, told):
        number, proof = device.bought()
        device.act(number, "refund", wait=True)
        device.control(f"apple/{number}/refund-reversed")
        given, taken = told(3)[1:]
        assert (taken.standing, taken.refund_no) == (RefundStanding.REVERSED, given.refund_no)
        assert device.asked(number, proof.handle).proof.given_back is False
        device.control(f"apple/{number}/refund-reversed", expect=409)

    def test_are_declined_or_asked_about(self, device, told):
        number, _ = device.bought()
        device.control(f"apple/{number}/consumption-request")
        assert isinstance(told(2)[1], RefundAsked)
        device.act(number, "refund", status="CLOSED", wait=True)
        assert told(3)[2] == NothingToDo(said="REFUND_DECLINED", attempt_no=number)

    def test_may_overtake_the_charge(self, device, told):
        number, _ = device.bought(notify="reordered")
        device.act(number, "refund", wait=True)
        assert [type(message) for message in told(2)] == [RefundNotice, PaymentProof]


class TestNotifications:
    """Signed by Apple or refused; what never arrived is listed."""

    def test_by_strangers_are_refused_and_anothers_are_foreign(self, device, receiver):
        number, _ = device.bought()
        device.act(number, "forged", wait=True)
        device.act(number, "foreign-merchant", wait=True)
        eventually(lambda: len(receiver.received) >= 3)
        with pytest.raises(NotificationRefused, match="certificates"):
            device.adapter.read_notification(receiver.received[1])
        assert isinstance(device.adapter.read_notification(receiver.received[2]), Foreign)

    def test_that_were_lost_are_listed(self, device):
        proofs = [device.bought(notify="lost")[1] for _ in range(22)]
        now = datetime.now(UTC)
        assert (
            list(device.adapter.happenings(since=now - timedelta(hours=1), until=now + timedelta(minutes=1))) == proofs
        )
        assert list(device.adapter.happenings(since=now - timedelta(hours=2), until=now - timedelta(hours=1))) == []
        with pytest.raises(ProviderRejected, match="4000013"):
            list(device.adapter.happenings(since=now - timedelta(days=181), until=now))

    def test_without_an_address_are_sent_nowhere(self, simulator, receiver):
        _, params = (device := Device(simulator)).open()
        assert [each["state"] for each in device.buy(params)["notifications"]] == ["lost"]


class TestWeather:
    """An answer that is late, odd or unsigned leaves the result unknown, and the next one is believed."""

    @pytest.mark.parametrize(
        ("mode", "error"),
        [
            ("error500", ProviderUnavailable), ("error429", ProviderBusy), ("garbage", ProviderUnavailable),
            ("unsigned", ProviderUnavailable), ("wrong_signature", ProviderUnavailable), ("reset", ProviderUnavailable),
        ],
    )  # fmt: skip
    def test_passes(self, device, mode, error):
        number, proof = device.bought()
        device.control("weather", provider="apple", mode=mode, calls=["query"], count=1)
        with pytest.raises(error):
            device.asked(number, proof.handle)
        assert device.asked(number, proof.handle).standing is Standing.PAID


class TestAWholePurchase:
    """Our API, the simulated Apple, its notification and the device's receipt: one delivery."""

    @pytest.fixture
    def player(self, live_server, settings, simulator, game, channel, api_key, transactional_db):
        settings.PUBLIC_BASE_URL = live_server.url
        Product.objects.filter(game=game).update(store_ids={"apple_iap": PRODUCT})
        device = Device(simulator, f"{live_server.url}/notify/apple/shop-apple")
        account = save_account(
            provider="apple", code="shop-apple", environment="sandbox", credentials=device.credentials
        )
        enable_method(channel=channel, method="apple_iap", account=account)
        device.api, device.headers = f"{live_server.url}/api/v1/orders", {"Authorization": f"Bearer {api_key}"}
        return device

    def post(self, player, path, body):
        answer = requests.post(player.api + path, json=body, headers=player.headers, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def pay(self, player):
        number = self.post(player, "", order_body())["order_no"]
        return number, self.post(player, f"/{number}/pay", {"method": "apple_iap"})

    def test_delivers_once_by_both_roads(self, player):
        number, opened = self.pay(player)
        bought = player.buy(opened["params"], wait=True)
        assert [each["state"] for each in bought["notifications"]] == ["acknowledged"]
        assert effects() == ONE_PURCHASE
        said = self.post(player, f"/{number}/proofs", {"method": "apple_iap", **bought["evidence"]})
        assert (said["result"], said["finish"], effects()) == ("applied", True, ONE_PURCHASE)
        again = player.act(opened["attempt_no"], "notify", times=5, at_once=True, new_ids=True, wait=True)
        assert [each["state"] for each in again["notifications"]] == ["acknowledged"] * 5
        assert effects() == ONE_PURCHASE

    def test_delivers_when_no_notification_ever_arrives(self, player):
        number, opened = self.pay(player)
        bought = player.buy(opened["params"], notify="lost")
        assert effects() == NOTHING
        said = self.post(player, f"/{number}/proofs", {"method": "apple_iap", **bought["evidence"]})
        assert (said["result"], effects()) == ("applied", ONE_PURCHASE)

    def test_given_back_before_it_was_told_delivers_nothing(self, player):
        _, opened = self.pay(player)
        player.buy(opened["params"], notify="reordered")
        player.act(opened["attempt_no"], "refund", wait=True)
        eventually(lambda: len(verdicts()) == 2)
        eventually(lambda: effects() == replace(NOTHING, payments=1, cases=2))
        assert sorted(Case.objects.values_list("kind", flat=True)) == ["given_back", "provider_refund"]

    def test_by_a_forger_changes_nothing(self, player):
        _, opened = self.pay(player)
        player.buy(opened["params"], notify="lost")
        done = player.act(opened["attempt_no"], "forged", wait=True)
        assert done["notifications"][0]["attempts"][0]["status"] == 401
        assert (effects(), verdicts()) == (NOTHING, [("refused", "certificates")])
