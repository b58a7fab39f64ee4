"""The simulated Google Play against our adapter: purchases, pushes, refunds, its bad weather; and one whole purchase."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
from django.utils import timezone

from channels_app.accounts import adapter_of, enable_method, save_account
from channels_app.money import Money
from channels_app.providers.base import (
    AttemptRef,
    CloseAnswer,
    Foreign,
    Hint,
    KeyNotKnown,
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
from channels_app.providers.google import GoogleAdapter
from channels_app.simulator.server import RunningSimulator
from orders.confirming import confirm
from orders.hints import claim_hints, follow
from orders.listing import read_list
from orders.models import Case, PaymentAttempt, Product
from tests import keys
from tests.buying import order_body
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.simulator.receiving import eventually

PRODUCT = "gems60"
_numbers = itertools.count(1)


class Device:
    """A player's device with an app that sells through one account, spoken to through our own adapter."""

    def __init__(self, simulator, notify_url=""):
        self.code = f"google-{next(_numbers)}"
        self.url = simulator.url
        self._store = simulator.store
        self.credentials = simulator.store.merchant("google", self.code, simulator.url, notify_url=notify_url)
        self.adapter = GoogleAdapter(self.credentials, live=False)

    def at(self, receiver):
        """The same app, told at this address from now on, with Google's keys of today."""
        self._store.merchant("google", self.code, self.url, notify_url=receiver.url)
        self.adapter.probe("CHECK1")
        return self

    def control(self, path, *, expect=200, **body):
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=30)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.headers["Content-Type"].startswith("application/json") else answer.text

    def open(self, quantity=1):
        """The attempt's number, and what the app is told."""
        number = f"20261125G{next(_numbers):021d}"
        request = OpenRequest(
            method="google_play", attempt_no=number, due=Money(600, "CNY"), subject="60 gems", notify_url="",
            expires_at=datetime.now(UTC), store_product_id=PRODUCT, quantity=quantity, player="f" * 32,
        )  # fmt: skip
        return number, self.adapter.open_payment(request).params

    def buy(self, params, **asked):
        return self.control("buy", provider="google", merchant=self.code, params=dict(params), **asked)

    def bought(self, **asked):
        """An attempt, and what its purchase proves."""
        number, params = self.open()
        return number, self.adapter.prove(self.buy(params, **asked)["evidence"])

    def act(self, number, action, **body):
        return self.control(f"trades/google/{number}/{action}", merchant=self.code, **body)

    def ref(self, number, handle):
        return AttemptRef(attempt_no=number, method="google_play", handle=handle, store_product_id=PRODUCT)

    def asked(self, number, handle):
        return self.adapter.query(self.ref(number, handle))

    def follow(self, raw):
        """What a push comes to, once Google's keys are here."""
        hint = eventually(lambda: self._read(raw))
        return self.adapter.follow(hint) if isinstance(hint, Hint) else hint

    def _read(self, raw):
        try:
            return self.adapter.read_notification(raw)
        except KeyNotKnown:
            return None


@pytest.fixture(scope="module")
def _app(simulator):
    return Device(simulator)


@pytest.fixture
def device(_app, receiver):
    yield _app.at(receiver)
    _app.control("weather", provider="google", mode="ok")


@pytest.fixture
def new_device(simulator, receiver):
    """An app of the test alone, whose books only it writes."""
    return Device(simulator).at(receiver)


@pytest.fixture
def told(device, receiver):
    """What our adapter makes of every push that has arrived, once there are so many."""

    def told(count):
        eventually(lambda: len(receiver.received) >= count)
        return [device.follow(raw) for raw in receiver.received]

    return told


def refund_of(proof, **changes):
    about = {
        "refund_no": "R1", "attempt_no": proof.attempt_no, "transaction_id": proof.transaction_id, "amount": proof.paid,
        "paid": proof.paid, "reason": "", "notify_url": "", "handle": proof.handle,
    }  # fmt: skip
    return RefundRequest(**{**about, **changes})


class TestPurchase:
    """Our adapter cannot tell the simulator from Google."""

    def test_is_proved_by_the_device_and_by_a_push_alike(self, device, told):
        number, params = device.open(quantity=3)
        proof = device.adapter.prove(device.buy(params)["evidence"])
        assert isinstance(proof, PaymentProof)
        assert (proof.attempt_no, proof.bought.product_id, proof.bought.quantity) == (number, PRODUCT, 3)
        assert (proof.paid, proof.payer) == (Money(1800, "CNY"), "f" * 32)
        assert told(1) == [proof]

    def test_is_found_afterwards(self, device):
        number, proof = device.bought()
        assert device.asked(number, proof.handle).proof == proof
        assert device.adapter.find(proof.transaction_id).proof == proof
        assert device.adapter.find("GPA.1111-2222-3333-44444").standing is Standing.UNKNOWN

    def test_of_another_app_is_not_found(self, device, simulator):
        _, proof = device.bought()
        other = Device(simulator)
        assert other.asked("", proof.handle).standing is Standing.UNKNOWN
        assert other.adapter.find(proof.transaction_id).standing is Standing.UNKNOWN

    def test_costs_what_the_store_says(self, device):
        assert device.bought(price=399, currency="USD")[1].paid == Money(399, "USD")
        assert device.bought(price=120, currency="JPY")[1].paid == Money(120, "JPY")

    def test_is_used_up_as_often_as_we_say_so(self, device):
        number, proof = device.bought()
        for _ in range(2):
            device.adapter.confirm(device.ref(number, proof.handle), transaction_id=proof.transaction_id)
        again = device.asked(number, proof.handle).proof
        assert replace(again, review="") == proof
        assert "used up" in again.review

    def test_with_somebody_elses_key_is_refused(self, device):
        file = {**device.credentials["service_account"], "private_key": keys.private_pem("somebody else")}
        with pytest.raises(ProviderRejected, match="invalid_grant"):
            GoogleAdapter({**device.credentials, "service_account": file}, live=False).probe("CHECK1")

    def test_with_somebody_elses_app_is_refused(self, device):
        with pytest.raises(ProviderRejected, match="permissionDenied"):
            GoogleAdapter({**device.credentials, "package_name": "com.example.other"}, live=False).probe("CHECK1")


class TestOddPurchases:
    """What players, testers and codes do with a device."""

    def test_wait_for_cash_and_are_paid_later(self, device, told):
        number, params = device.open()
        evidence = device.buy(params, pending=True)["evidence"]
        waiting = device.adapter.prove(evidence)
        assert waiting == NothingToDo(said="PENDING", attempt_no=number, handle=evidence["purchase_token"])
        assert device.asked(number, waiting.handle).standing is Standing.WAITING
        assert device.adapter.close(device.ref(number, waiting.handle)) is CloseAnswer.CANNOT
        device.act(number, "pay", wait=True)
        (proof,) = told(1)
        assert (proof.attempt_no, proof.handle) == (number, waiting.handle)
        assert device.adapter.prove(evidence) == proof

    def test_wait_for_cash_and_are_given_up(self, device, told):
        number, params = device.open()
        evidence = device.buy(params, pending=True)["evidence"]
        device.act(number, "close", wait=True)
        assert told(1) == [NothingToDo(said="CANCELLED", attempt_no=number, handle=evidence["purchase_token"])]
        assert device.adapter.close(device.ref(number, evidence["purchase_token"])) is CloseAnswer.CLOSED

    def test_without_a_profile_name_no_attempt(self, device, told):
        _, proof = device.bought(without_profile=True)
        assert (proof.attempt_no, told(1)) == ("", [proof])

    def test_of_something_else_say_so(self, device):
        _, proof = device.bought(product_id="gems6480", quantity=2)
        assert (proof.bought.product_id, proof.bought.quantity) == ("gems6480", 2)

    @pytest.mark.parametrize("asked", [{"real": True}, {"promo": True}], ids=str)
    def test_that_are_no_play_are_none_of_a_sandbox(self, device, asked):
        assert isinstance(device.bought(**asked)[1], Foreign)

    def test_twice_under_one_number_are_two_payments(self, device, told):
        number, first = device.bought()
        device.act(number, "pay-twice", wait=True)
        assert told(1)[0] == first
        second = told(2)[1]
        assert (second.attempt_no, second.transaction_id != first.transaction_id) == (number, True)
        assert second.handle != first.handle

    @pytest.mark.parametrize("asked", [{"color": 1}, {"price": -1}, {"currency": "yuan"}, {"quantity": 0}], ids=str)
    def test_that_no_device_could_make_are_refused(self, device, asked):
        _, params = device.open()
        device.control("buy", provider="google", merchant=device.code, params=params, expect=400, **asked)

    def test_with_ids_too_long_for_the_library_are_refused(self, device):
        _, params = device.open()
        params = {**params, "obfuscated_account_id": "x" * 65}
        device.control("buy", provider="google", merchant=device.code, params=params, expect=400)


class TestRefunds:
    """By us, by Google, by the buyer's bank: told, listed, and given back once."""

    def test_by_us_give_all_back_once(self, device, told):
        _, proof = device.bought()
        assert device.adapter.query_refund(refund_of(proof)).standing is RefundStanding.UNKNOWN
        for _ in range(2):
            answer = device.adapter.refund(refund_of(proof))
            assert (answer.standing, answer.amount) == (RefundStanding.SUCCEEDED, Money(600, "CNY"))
        notice = told(2)[1]
        assert isinstance(notice, RefundNotice)
        assert (notice.said, notice.payment.given_back) == ("other reason, by us", True)

    def test_by_the_buyer_are_told_and_listed_as_one(self, device, told):
        number, proof = device.bought(price=601)
        device.act(number, "refund", wait=True)
        notice = told(2)[1]
        assert (notice.attempt_no, notice.amount, notice.said) == (number, proof.paid, "remorse, by the buyer")
        now = datetime.now(UTC)
        listed = list(device.adapter.happenings(since=now - timedelta(days=29), until=now))
        assert [each for each in listed if each.transaction_id == proof.transaction_id] == [notice]
        assert device.asked(number, proof.handle).proof.given_back is True

    def test_in_part_are_told_by_the_piece(self, device, told):
        number, params = device.open(quantity=3)
        device.buy(params)
        device.act(number, "refund", amount=600, wait=True)
        notice = told(2)[1]
        assert (notice.said, notice.amount) == ("remorse, by the buyer, 1 of 3", None)
        assert notice.payment.given_back is True

    def test_come_when_nobody_has_confirmed(self, device, told):
        number, _ = device.bought()
        device.control(f"google/{number}/lapse")
        assert told(2)[1].said == "not confirmed within three days, by Google"
        device.control(f"google/{number}/lapse", expect=409)

    def test_do_not_come_when_we_have(self, device):
        number, proof = device.bought()
        device.adapter.confirm(device.ref(number, proof.handle), transaction_id=proof.transaction_id)
        device.control(f"google/{number}/lapse", expect=409)

    def test_come_by_themselves_after_three_days(self, tmp_path):
        with RunningSimulator(tmp_path, speed=10**9) as hurried:
            device = Device(hurried)
            number, params = device.open()
            token = device.buy(params)["evidence"]["purchase_token"]
            assert device.asked(number, token).proof.given_back is True

    def test_are_asked_about(self, device, told):
        number, proof = device.bought()
        device.control(f"google/{number}/refund-review")
        asked = told(2)[1]
        assert isinstance(asked, RefundAsked)
        assert (asked.attempt_no, asked.transaction_id) == (number, proof.transaction_id)

    def test_that_nobody_told_are_listed(self, new_device, monkeypatch):
        monkeypatch.setattr("channels_app.providers.google_api._PAGE", 2)
        device = new_device
        for _ in range(3):
            number, _ = device.bought(notify="lost")
            device.act(number, "refund", notify="lost")
        now = datetime.now(UTC)
        assert len(list(device.adapter.happenings(since=now - timedelta(days=1), until=now))) == 3
        with pytest.raises(ProviderRejected):
            list(device.adapter.happenings(since=now - timedelta(days=31), until=now))


class TestPushes:
    """Signed by Google or refused, whatever key Google signs with today."""

    def test_by_strangers_are_refused_and_anothers_are_foreign(self, device, receiver):
        number, _ = device.bought()
        device.act(number, "forged", wait=True)
        device.act(number, "foreign-merchant", wait=True)
        eventually(lambda: len(receiver.received) >= 3)
        with pytest.raises(NotificationRefused, match="signature"):
            device.adapter.read_notification(receiver.received[1])
        assert isinstance(device.adapter.read_notification(receiver.received[2]), Foreign)

    def test_with_a_new_key_are_read_as_soon_as_it_is_fetched(self, device, told, monkeypatch):
        monkeypatch.setattr("channels_app.providers.google_push._ASK_AGAIN_S", 0.0)
        device.control("google/rotate-keys")
        _, proof = device.bought()
        assert told(1) == [proof]

    def test_without_a_subscription_are_sent_nowhere(self, simulator, receiver):
        _, params = (device := Device(simulator)).open()
        assert [each["state"] for each in device.buy(params)["notifications"]] == ["lost"]


class TestWeather:
    """An answer that is late or odd leaves the result unknown, and the next one is believed."""

    @pytest.mark.parametrize(
        ("mode", "error"),
        [("error500", ProviderUnavailable), ("error429", ProviderBusy), ("garbage", ProviderUnavailable), ("reset", ProviderUnavailable)],
    )  # fmt: skip
    def test_passes(self, device, mode, error):
        number, proof = device.bought()
        device.control("weather", provider="google", mode=mode, calls=["query"], count=1)
        with pytest.raises(error):
            device.asked(number, proof.handle)
        assert device.asked(number, proof.handle).standing is Standing.PAID

    @pytest.mark.parametrize("mode", ["error500", "garbage", "reset"])
    def test_over_a_confirmation_or_a_refund_loses_nothing(self, device, mode):
        number, proof = device.bought()
        device.control("weather", provider="google", mode=mode, calls=["close", "refund"], count=1, carried_out=True)
        with pytest.raises(ProviderUnavailable):
            device.adapter.confirm(device.ref(number, proof.handle), transaction_id=proof.transaction_id)
        device.adapter.confirm(device.ref(number, proof.handle), transaction_id=proof.transaction_id)
        with pytest.raises(ProviderUnavailable):
            device.adapter.refund(refund_of(proof))
        assert device.adapter.refund(refund_of(proof)).standing is RefundStanding.SUCCEEDED


class TestAWholePurchase:
    """Our API, the simulated Google Play, its push and the device's token: one delivery, then the store is told."""

    @pytest.fixture
    def player(self, live_server, settings, simulator, game, channel, api_key, transactional_db):
        settings.PUBLIC_BASE_URL = live_server.url
        Product.objects.filter(game=game).update(store_ids={"google_play": PRODUCT})
        device = Device(simulator, f"{live_server.url}/notify/google/shop-google")
        account = save_account(
            provider="google", code="shop-google", environment="sandbox", credentials=device.credentials
        )
        enable_method(channel=channel, method="google_play", account=account)
        adapter_of(account).probe("CHECK1")
        device.api, device.headers = f"{live_server.url}/api/v1/orders", {"Authorization": f"Bearer {api_key}"}
        device.account = account
        return device

    def post(self, player, path, body):
        answer = requests.post(player.api + path, json=body, headers=player.headers, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def pay(self, player):
        number = self.post(player, "", order_body())["order_no"]
        return number, self.post(player, f"/{number}/pay", {"method": "google_play"})

    def prove(self, player, number, bought):
        return self.post(player, f"/{number}/proofs", {"method": "google_play", **bought["evidence"]})

    def work(self, player):
        for pk in claim_hints(account_id=player.account.pk, limit=50, now=timezone.now() + timedelta(seconds=1)):
            follow(pk)

    def test_delivers_once_by_both_roads_and_tells_the_store(self, player):
        number, opened = self.pay(player)
        bought = player.buy(opened["params"], wait=True)
        assert [each["state"] for each in bought["notifications"]] == ["acknowledged"]
        assert effects() == NOTHING
        self.work(player)
        assert effects() == ONE_PURCHASE
        said = self.prove(player, number, bought)
        assert (said["result"], said["finish"], effects()) == ("applied", True, ONE_PURCHASE)
        attempt = PaymentAttempt.objects.select_related("order", "account").get()
        assert confirm(attempt, now=timezone.now()) is True
        player.control(f"google/{opened['attempt_no']}/lapse", expect=409)
        again = player.act(opened["attempt_no"], "notify", times=5, at_once=True, new_ids=True, wait=True)
        assert [each["state"] for each in again["notifications"]] == ["acknowledged"] * 5
        self.work(player)
        assert effects() == ONE_PURCHASE

    def test_delivers_when_no_push_ever_arrives(self, player):
        number, opened = self.pay(player)
        bought = player.buy(opened["params"], notify="lost")
        assert (self.prove(player, number, bought)["result"], effects()) == ("applied", ONE_PURCHASE)

    def test_with_cash_delivers_when_it_was_paid(self, player):
        number, opened = self.pay(player)
        bought = player.buy(opened["params"], pending=True)
        assert (self.prove(player, number, bought)["result"], effects()) == ("waiting", NOTHING)
        player.act(opened["attempt_no"], "pay", wait=True)
        self.work(player)
        assert effects() == ONE_PURCHASE

    def test_that_google_took_back_before_we_heard_of_it_delivers_nothing(self, player):
        number, opened = self.pay(player)
        bought = player.buy(opened["params"], notify="lost")
        player.control(f"google/{opened['attempt_no']}/lapse")
        eventually(lambda: verdicts() == [("asking", "")])
        self.work(player)
        assert effects() == replace(NOTHING, payments=1, cases=2)
        assert self.prove(player, number, bought)["result"] != "applied"
        assert sorted(Case.objects.values_list("kind", flat=True)) == ["given_back", "provider_refund"]

    def test_that_google_took_back_silently_is_found_in_its_list(self, player):
        number, opened = self.pay(player)
        self.prove(player, number, player.buy(opened["params"], notify="lost"))
        player.act(opened["attempt_no"], "refund", notify="lost")
        assert read_list(player.account.pk, now=timezone.now()) == 1
        assert effects() == replace(ONE_PURCHASE, cases=1)

    def test_by_a_forger_changes_nothing(self, player):
        _, opened = self.pay(player)
        player.buy(opened["params"], notify="lost")
        done = player.act(opened["attempt_no"], "forged", wait=True)
        assert done["notifications"][0]["attempts"][0]["status"] == 401
        self.work(player)
        assert (effects(), verdicts()) == (NOTHING, [("refused", "signature")])
