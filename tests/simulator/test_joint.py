"""The simulated app stores in joint operation against our adapters: purchases, refunds, lists, weather, whole purchases."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
from django.utils import timezone

from channels_app.accounts import enable_method, save_account
from channels_app.models import Notification
from channels_app.money import Money
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    CloseAnswer,
    Foreign,
    Hint,
    NothingToDo,
    NotificationRefused,
    OpenRequest,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Standing,
)
from channels_app.providers.huawei import HuaweiAdapter
from channels_app.providers.taptap import TapTapAdapter
from channels_app.providers.xiaomi import XiaomiAdapter
from orders.asking import tend
from orders.hints import follow
from orders.listing import read_list
from orders.models import Case, PaymentAttempt, Product
from tests.buying import order_body
from tests.effects import NOTHING, ONE_PURCHASE, effects
from tests.simulator.receiving import Answer, eventually

PRODUCT = "com.example.game.gems60"
UID = "100010086"
ADAPTERS = {"huawei": HuaweiAdapter, "xiaomi": XiaomiAdapter, "taptap": TapTapAdapter}
METHODS = {"huawei": "huawei_iap", "xiaomi": "xiaomi_pay", "taptap": "taptap_pay"}
FAILURES = {
    "error500": ProviderUnavailable, "error429": ProviderBusy, "garbage": ProviderUnavailable,
    "reset": ProviderUnavailable, "unsigned": ProviderUnavailable, "wrong_signature": ProviderUnavailable,
}  # fmt: skip
_numbers = itertools.count(1)


class Device:
    """A player's device with a game of one store, spoken to through our own adapter."""

    def __init__(self, simulator, store, notify_url=""):
        self.store = store
        self.code = f"{store}-{next(_numbers)}"
        self.url = simulator.url
        self.credentials = simulator.store.merchant(store, self.code, simulator.url, notify_url=notify_url)
        self.adapter = ADAPTERS[store](self.credentials, live=False)

    def control(self, path, *, expect=200, **body):
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=30)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def open(self, **changes):
        """An attempt as it is opened, and what the SDK is given."""
        about = {
            "method": METHODS[self.store], "attempt_no": f"20260102G{next(_numbers):021d}", "due": Money(600, "CNY"),
            "subject": "60 宝石 + 6", "notify_url": "", "expires_at": datetime.now(UTC) + timedelta(minutes=30),
            "inputs": {"channel_uid": UID} if self.store == "xiaomi" else {}, "store_product_id": PRODUCT,
        }  # fmt: skip
        request = OpenRequest(**{**about, **changes})
        opened = self.adapter.open_payment(request)
        attempt = AttemptRef(
            attempt_no=request.attempt_no, store_product_id=PRODUCT, payer=opened.payer, expires_at=request.expires_at
        )
        return attempt, dict(opened.params)

    def buy(self, params, **asked):
        return self.control("buy", provider=self.store, merchant=self.code, params=params, **asked)

    def act(self, number, action, **body):
        return self.control(f"trades/{self.store}/{number}/{action}", merchant=self.code, **body)

    def weather(self, mode, *calls, **how):
        self.control("weather", provider=self.store, mode=mode, calls=list(calls), **how)


@pytest.fixture
def device(simulator, receiver):
    """Makes a device of a store, whose console holds the receiver's address."""
    made = []

    def device(store):
        made.append(Device(simulator, store, receiver.url))
        receiver.answer = lambda raw: Answer(body=made[-1].adapter.reply(Ack.DONE).body)
        return made[-1]

    yield device
    for each in made:
        each.weather("ok")


@pytest.fixture
def told(receiver):
    """What our adapter makes of every notification that has arrived, once there are so many."""

    def told(device, count):
        eventually(lambda: len(receiver.received) >= count)
        return [device.adapter.read_notification(raw) for raw in receiver.received]

    return told


class TestXiaomi:
    """A payment names our number and the player's; either the notification or the query proves it."""

    def test_tells_and_answers_the_same(self, device, told):
        xiaomi = device("xiaomi")
        attempt, params = xiaomi.open()
        assert xiaomi.adapter.query(attempt).standing is Standing.UNKNOWN
        assert xiaomi.adapter.close(attempt) is CloseAnswer.UNKNOWN
        bought = xiaomi.buy(params, wait=True)
        assert bought["notifications"][0]["state"] == "acknowledged"
        (proof,) = told(xiaomi, 1)
        assert (proof.attempt_no, proof.paid, proof.payer) == (attempt.attempt_no, Money(600, "CNY"), UID)
        assert abs(proof.paid_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert xiaomi.adapter.query(attempt).proof == proof
        assert xiaomi.adapter.close(attempt) is CloseAnswer.PAID

    def test_signs_what_it_adds_for_a_voucher(self, device, told):
        xiaomi = device("xiaomi")
        xiaomi.buy(xiaomi.open()[1], gift=100)
        (proof,) = told(xiaomi, 1)
        assert proof.paid == Money(600, "CNY")

    def test_waits_while_the_cashier_is_open(self, device):
        xiaomi = device("xiaomi")
        attempt, params = xiaomi.open()
        xiaomi.buy(params, leave=True)
        assert xiaomi.adapter.query(attempt).standing is Standing.WAITING
        assert xiaomi.adapter.close(attempt) is CloseAnswer.CANNOT
        over = replace(attempt, expires_at=datetime.now(UTC) - timedelta(hours=25))
        assert xiaomi.adapter.query(over).standing is Standing.CLOSED

    def test_says_who_paid(self, device, told):
        xiaomi = device("xiaomi")
        attempt, params = xiaomi.open()
        xiaomi.buy(params, uid="666", price=601)
        (proof,) = told(xiaomi, 1)
        assert (proof.payer, proof.paid) == ("666", Money(601, "CNY"))
        assert xiaomi.adapter.query(attempt).standing is Standing.UNKNOWN  # not of this player

    def test_forged_is_refused_and_anothers_is_foreign(self, device, receiver):
        xiaomi = device("xiaomi")
        attempt, params = xiaomi.open()
        xiaomi.buy(params, wait=True)
        xiaomi.act(attempt.attempt_no, "forged", wait=True)
        xiaomi.act(attempt.attempt_no, "foreign-merchant", wait=True)
        eventually(lambda: len(receiver.received) >= 3)
        with pytest.raises(NotificationRefused, match="signature"):
            xiaomi.adapter.read_notification(receiver.received[1])
        assert isinstance(xiaomi.adapter.read_notification(receiver.received[2]), Foreign)


class TestTapTap:
    """A purchase carries our number; the webhook, the list and the question prove it; delivering confirms it."""

    def bought(self, taptap, told, **asked):
        attempt, params = taptap.open()
        taptap.buy(params, **asked)
        return attempt, told(taptap, 1)[0]

    def test_tells_answers_and_lists_the_same(self, device, told):
        taptap = device("taptap")
        attempt, proof = self.bought(taptap, told)
        assert (proof.attempt_no, proof.paid, proof.bought.product_id) == (
            attempt.attempt_no, Money(600, "CNY"), PRODUCT,
        )  # fmt: skip
        attempt = replace(attempt, handle=proof.handle)
        assert taptap.adapter.query(attempt).proof == proof
        assert taptap.adapter.find(proof.transaction_id).proof == proof
        now = datetime.now(UTC)
        assert list(taptap.adapter.happenings(since=now, until=now)) == [proof]
        assert taptap.adapter.find("404").standing is Standing.UNKNOWN

    @pytest.mark.parametrize(("currency", "price"), [("USD", 499), ("JPY", 600)])
    def test_counts_in_the_currency_of_the_buyer(self, device, told, currency, price):
        _, proof = self.bought(device("taptap"), told, currency=currency, price=price)
        assert proof.paid == Money(price, currency)

    def test_is_confirmed_once(self, device, told):
        taptap = device("taptap")
        attempt, proof = self.bought(taptap, told)
        attempt = replace(attempt, handle=proof.handle)
        for _ in range(2):
            taptap.adapter.confirm(attempt, transaction_id=proof.transaction_id)
        assert taptap.adapter.query(attempt).said == "charge.confirmed"
        assert list(taptap.adapter.happenings(since=timezone.now(), until=timezone.now())) == []

    def test_is_not_confirmed_with_another_token(self, device, told):
        taptap = device("taptap")
        attempt, proof = self.bought(taptap, told)
        wrong = replace(attempt, handle=f"{proof.transaction_id} another-token")
        with pytest.raises(ProviderUnavailable, match="not_confirmed"):
            taptap.adapter.confirm(wrong, transaction_id=proof.transaction_id)

    def test_tells_of_refunds_with_the_payment(self, device, told):
        taptap = device("taptap")
        attempt, proof = self.bought(taptap, told)
        taptap.act(attempt.attempt_no, "refund", wait=True)
        refund = told(taptap, 2)[1]
        assert isinstance(refund, RefundNotice)
        assert (refund.standing, refund.payment) == (RefundStanding.SUCCEEDED, replace(proof, given_back=True))
        assert taptap.adapter.query(replace(attempt, handle=proof.handle)).proof.given_back is True

    def test_a_refund_that_failed_leaves_the_payment(self, device, told):
        taptap = device("taptap")
        attempt, proof = self.bought(taptap, told)
        taptap.act(attempt.attempt_no, "refund", status="CLOSED", wait=True)
        refund = told(taptap, 2)[1]
        assert (refund.standing, refund.payment) == (RefundStanding.CLOSED, proof)

    def test_knows_what_is_not_paid(self, device, simulator):
        taptap = device("taptap")
        attempt, params = taptap.open()
        taptap.buy(params, leave=True)
        merchant = simulator.store.find_merchant("taptap", taptap.code)
        order_id = simulator.store.trade_by_number(merchant, attempt.attempt_no).terms["order_id"]
        attempt = replace(attempt, handle=order_id)
        assert taptap.adapter.query(attempt).standing is Standing.WAITING
        assert taptap.adapter.close(attempt) is CloseAnswer.CANNOT
        taptap.act(attempt.attempt_no, "close")
        assert taptap.adapter.close(attempt) is CloseAnswer.CLOSED

    def test_forged_is_refused_and_anothers_is_foreign(self, device, receiver):
        taptap = device("taptap")
        attempt, params = taptap.open()
        taptap.buy(params, wait=True)
        taptap.act(attempt.attempt_no, "forged", wait=True)
        taptap.act(attempt.attempt_no, "foreign-merchant", wait=True)
        eventually(lambda: len(receiver.received) >= 3)
        with pytest.raises(NotificationRefused, match="signature"):
            taptap.adapter.read_notification(receiver.received[1])
        assert isinstance(taptap.adapter.read_notification(receiver.received[2]), Foreign)


class TestHuawei:
    """A purchase is proved by Huawei's answer alone, however we came to ask."""

    def bought(self, huawei, **asked):
        attempt, params = huawei.open()
        bought = huawei.buy(params, **asked)
        proof = huawei.adapter.prove(bought["evidence"])
        return replace(attempt, handle=bought["evidence"]["purchase_token"]), proof

    def test_is_proved_by_the_device_and_by_a_hint_alike(self, device, told):
        huawei = device("huawei")
        attempt, proof = self.bought(huawei)
        assert (proof.attempt_no, proof.paid, proof.bought.product_id) == (
            attempt.attempt_no, Money(600, "CNY"), PRODUCT,
        )  # fmt: skip
        (hint,) = told(huawei, 1)
        assert isinstance(hint, Hint)
        assert huawei.adapter.follow(hint) == proof
        assert huawei.adapter.query(attempt).proof == proof

    def test_counts_in_the_currency_of_the_buyer(self, device):
        assert self.bought(device("huawei"), currency="JPY", price=600)[1].paid == Money(600, "JPY")

    def test_pending_waits_and_is_then_paid(self, device):
        huawei = device("huawei")
        attempt, params = huawei.open()
        evidence = huawei.buy(params, pending=True)["evidence"]
        waiting = huawei.adapter.prove(evidence)
        assert waiting == NothingToDo(said="pending", attempt_no=attempt.attempt_no, handle=evidence["purchase_token"])
        attempt = replace(attempt, handle=waiting.handle)
        assert huawei.adapter.close(attempt) is CloseAnswer.CANNOT
        huawei.act(attempt.attempt_no, "pay")
        assert huawei.adapter.query(attempt).standing is Standing.PAID

    def test_is_confirmed_as_often_as_we_say_so(self, device):
        huawei = device("huawei")
        attempt, proof = self.bought(huawei)
        for _ in range(2):
            huawei.adapter.confirm(attempt, transaction_id=proof.transaction_id)
        with pytest.raises(ProviderRejected, match="8"):
            huawei.adapter.confirm(replace(attempt, handle="nobodys"), transaction_id=proof.transaction_id)

    def test_given_back_is_told_and_listed(self, device, told):
        huawei = device("huawei")
        attempt, proof = self.bought(huawei)
        huawei.act(attempt.attempt_no, "refund", wait=True)
        hint = told(huawei, 2)[1]
        refund = huawei.adapter.follow(hint)
        assert (refund.transaction_id, refund.payment) == (proof.transaction_id, replace(proof, given_back=True))
        now = datetime.now(UTC)
        (listed,) = huawei.adapter.happenings(since=now - timedelta(hours=1), until=now + timedelta(minutes=1))
        assert (listed.transaction_id, listed.refund_no) == (refund.transaction_id, refund.refund_no)
        assert list(huawei.adapter.happenings(since=now - timedelta(hours=2), until=now - timedelta(hours=1))) == []
        assert huawei.adapter.query(attempt).proof.given_back is True

    def test_forged_leads_to_nothing(self, device, told, receiver):
        huawei = device("huawei")
        attempt, _ = self.bought(huawei)
        huawei.act(attempt.attempt_no, "forged", wait=True)
        with pytest.raises(ProviderRejected, match="8"):
            huawei.adapter.follow(told(huawei, 2)[1])
        huawei.act(attempt.attempt_no, "foreign-merchant", wait=True)
        eventually(lambda: len(receiver.received) >= 3)
        with pytest.raises(NotificationRefused, match="application"):
            huawei.adapter.read_notification(receiver.received[2])


class TestNoRefunds:
    """None of these stores can be told to give money back."""

    @pytest.mark.parametrize("store", ADAPTERS)
    def test_are_offered(self, device, store):
        request = RefundRequest(
            refund_no="R1", attempt_no="A", transaction_id="T", amount=Money(1, "CNY"), paid=Money(1, "CNY"),
            reason="", notify_url="",
        )  # fmt: skip
        adapter = device(store).adapter
        with pytest.raises(ProviderRejected, match="not_offered"):
            adapter.refund(request)
        assert adapter.query_refund(request).standing is RefundStanding.UNKNOWN


class TestWeather:
    """An answer that is late, odd or unsigned leaves the result unknown, and the next one is believed."""

    # TapTap signs no answers.
    @pytest.mark.parametrize(
        ("store", "mode"),
        [(store, mode) for store in ADAPTERS for mode in FAILURES if store != "taptap" or "sign" not in mode],
    )
    def test_passes(self, device, store, mode):
        shop = device(store)
        attempt, params = shop.open()
        evidence = shop.buy(params, notify="lost")["evidence"]
        attempt = replace(attempt, handle=evidence.get("purchase_token", ""))
        if store == "taptap":
            (proof,) = shop.adapter.happenings(since=timezone.now(), until=timezone.now())
            attempt = replace(attempt, handle=proof.handle)
        shop.weather(mode, "query", count=1)
        with pytest.raises(FAILURES[mode]) as raised:
            shop.adapter.query(attempt)
        assert isinstance(raised.value, ProviderError)
        assert raised.value.retryable
        assert shop.adapter.query(attempt).standing is Standing.PAID


class TestAWholePurchase:
    """Our API, the simulated store, its message, our question: one delivery, which the store is told of."""

    @pytest.fixture
    def shop(self, live_server, settings, simulator, game, channel, api_key, transactional_db):
        settings.PUBLIC_BASE_URL = live_server.url
        Product.objects.filter(game=game).update(store_ids=dict.fromkeys(METHODS.values(), PRODUCT))

        def shop(store):
            device = Device(simulator, store, f"{live_server.url}/notify/{store}/shop-{store}")
            account = save_account(
                provider=store, code=f"shop-{store}", environment="sandbox", credentials=device.credentials
            )
            enable_method(channel=channel, method=METHODS[store], account=account)
            device.api, device.headers = f"{live_server.url}/api/v1/orders", {"Authorization": f"Bearer {api_key}"}
            device.account = account
            return device

        return shop

    def post(self, device, path, body, *, expect=None):
        answer = requests.post(device.api + path, json=body, headers=device.headers, timeout=10)
        assert answer.ok if expect is None else answer.status_code == expect, answer.text
        return answer.json()

    def pay(self, device):
        number = self.post(device, "", order_body())["order_no"]
        body = {"method": METHODS[device.store], **({"channel_uid": UID} if device.store == "xiaomi" else {})}
        return number, self.post(device, f"/{number}/pay", body)

    def work(self):
        for kept in Notification.objects.filter(ask_at__isnull=False).order_by("pk"):
            follow(kept.pk)
        for attempt in PaymentAttempt.objects.filter(next_query_at__isnull=False):
            tend(attempt.pk)

    @pytest.mark.parametrize("store", ADAPTERS)
    def test_delivers_once_however_often_it_is_told(self, shop, store):
        device = shop(store)
        _, opened = self.pay(device)
        bought = device.buy(opened["params"], wait=True)
        assert [each["state"] for each in bought["notifications"]] == ["acknowledged"]
        self.work()
        assert effects() == ONE_PURCHASE
        again = device.act(opened["attempt_no"], "notify", times=5, at_once=True, new_ids=True, wait=True)
        assert [each["state"] for each in again["notifications"]] == ["acknowledged"] * 5
        self.work()
        assert effects() == ONE_PURCHASE
        confirmed = PaymentAttempt.objects.get().confirmed_at is not None
        assert confirmed == (store != "xiaomi")

    @pytest.mark.parametrize("store", ADAPTERS)
    def test_delivers_when_no_notification_ever_arrives(self, shop, store):
        device = shop(store)
        number, opened = self.pay(device)
        bought = device.buy(opened["params"], notify="lost")
        assert effects() == NOTHING
        if store == "huawei":
            said = self.post(device, f"/{number}/proofs", {"method": "huawei_iap", **bought["evidence"]})
            assert said["result"] == "applied"
        elif store == "taptap":
            assert read_list(device.account.pk, now=timezone.now()) == 1
        self.work()
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize("store", ADAPTERS)
    def test_is_not_made_by_a_forger_nor_by_a_wrong_amount(self, shop, store):
        device = shop(store)
        _, opened = self.pay(device)
        bought = device.buy(opened["params"], price=1, notify="lost")
        device.act(opened["attempt_no"], "forged", wait=True)
        for kept in Notification.objects.filter(ask_at__isnull=False):
            follow(kept.pk)
        assert effects() == NOTHING
        device.act(bought["trade"]["out_trade_no"], "notify", wait=True)
        self.work()
        assert (effects(), Case.objects.get().kind) == (replace(NOTHING, payments=1, cases=1), "amount_differs")

    @pytest.mark.parametrize("store", ["huawei", "taptap"])
    def test_given_back_before_it_was_told_delivers_nothing(self, shop, store):
        device = shop(store)
        _, opened = self.pay(device)
        device.buy(opened["params"], notify="reordered")
        device.act(opened["attempt_no"], "refund", wait=True)
        eventually(lambda: Notification.objects.exclude(verdict="received").count() == 2)
        self.work()
        assert effects() == replace(NOTHING, payments=1, cases=2)
        assert sorted(Case.objects.values_list("kind", flat=True)) == ["given_back", "provider_refund"]
