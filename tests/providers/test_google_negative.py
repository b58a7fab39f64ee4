"""Purchases on Google Play by their effects: what must pay, and what must not, by either road to us.

Each refusal is followed by the genuine message, which must still be taken: nothing that a stranger sends may stand in
the way of a purchase.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app.accounts import adapter_of, enable_method, forget_accounts, save_account
from channels_app.models import MerchantAccount, Notification
from channels_app.providers import google_keys
from orders.authentication import new_api_key
from orders.confirming import confirm
from orders.hints import claim_hints, follow
from orders.listing import read_list
from orders.models import Case, Payment, PaymentAttempt, Product, Reviewer
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, effects, timeline, verdicts
from tests.providers.google_side import (
    DONE,
    FORBIDDEN,
    KID,
    NEVER_PAID,
    ORDER,
    PRODUCT,
    REAL,
    TOKEN,
    GoogleSide,
    bought,
    credentials,
    entry,
    envelope,
    live_credentials,
    oidc,
    order,
    purchase,
    refunded_order,
    refuses,
    says,
    standing,
    told,
    voided,
)
from tests.simulator.receiving import eventually

HELD = replace(NOTHING, payments=1, cases=1)
ONE_CASE = replace(NOTHING, cases=1)
APPLIED = (200, ("applied", True))
WAITING = (200, ("waiting", False))
KEPT = (200, ("held", False))


class Shop:
    """A game that sells through one account on Google Play, and both roads to it."""

    def __init__(self, client, api_key, game, google):
        self._client, self._api_key, self.google = client, api_key, google
        Product.objects.filter(game=game).update(store_ids={"google_play": PRODUCT})
        self.account = MerchantAccount.objects.get()
        adapter_of(self.account).probe("CHECK1")

    def order(self, **changes):
        """An order, and what the app got to name it and its player by."""
        order = make_order(self._client, self._api_key, **changes)
        answer = post(self._client, f"orders/{order.order_no}/pay", {"method": "google_play"}, bearer=self._api_key)
        assert answer.status_code == 200, answer.content
        order.params = answer.json()["params"]
        return order

    def sold(self, order, changes=None, *, of_order=None, **line):
        """Google has sold it for this order."""
        about = {"obfuscatedExternalAccountId": order.params["obfuscated_account_id"], **(changes or {})}
        self.google.knows(purchase(order.params["obfuscated_profile_id"], about, **line), of_order)

    def notify(self, data=None, token=None, **changes) -> int:
        answer = self._client.post(
            "/notify/google/gp1", envelope(bought() if data is None else data, **changes), content_type="application/json",
            headers={"Authorization": f"Bearer {oidc() if token is None else token}"},
        )  # fmt: skip
        assert answer.content == b"" or answer.status_code == 405
        return answer.status_code

    def work(self):
        """What the worker does with hints that are due."""
        for pk in claim_hints(account_id=self.account.pk, limit=10, now=timezone.now() + timedelta(seconds=10)):
            follow(pk)

    def tell(self, data=None):
        assert self.notify(data) == 204
        self.work()

    def prove(self, order, **changes):
        """What the app hands in: status, and the answer's words."""
        body = {"method": "google_play", "purchase_token": TOKEN, "store_product_id": PRODUCT, **changes}
        answer = post(self._client, f"orders/{order.order_no}/proofs", body, bearer=self._api_key)
        said = answer.json()
        return answer.status_code, said.get("code") or (said["result"], said["finish"])

    def confirm(self, order):
        attempt = PaymentAttempt.objects.select_related("order", "account").get(order=order)
        return confirm(attempt, now=timezone.now())


@pytest.fixture(scope="module")
def side():
    side = GoogleSide()
    yield side
    side.close()


@pytest.fixture
def google(side):
    side.forget()
    yield side
    assert side.complaints == []


@pytest.fixture
def shop(client, channel, api_key, game, google):
    account = save_account(
        provider="google", code="gp1", environment="sandbox", credentials=credentials(base_url=google.url)
    )
    enable_method(channel=channel, method="google_play", account=account)
    return Shop(client, api_key, game, google)


@pytest.fixture
def live_shop(client, channel, game, google, monkeypatch):
    """The same with real money, in a world whose Google is ours."""
    monkeypatch.setattr(google_keys, "API_URL", google.url)
    monkeypatch.setattr(google_keys, "TOKEN_URL", f"{google.url}/token")
    monkeypatch.setattr(google_keys, "CERTIFICATES_URL", f"{google.url}/oauth2/v1/certs")
    account = save_account(provider="google", code="gp1", environment="production", credentials=live_credentials())
    enable_method(channel=channel, method="google_play", account=account)
    return Shop(client, new_api_key(game=game, environment="production"), game, google)


@pytest.fixture
def placed(shop):
    return shop.order()


class TestAPurchase:
    """Both roads end in one delivery, in any order and however often; only then is the store told."""

    def test_told_by_google_is_delivered_once(self, shop, placed):
        shop.sold(placed)
        for _ in range(3):
            shop.tell()
        assert effects() == ONE_PURCHASE
        assert [verdict for verdict, _ in verdicts()] == ["applied", "duplicate", "duplicate"]

    @pytest.mark.parametrize("first", ["app", "google"])
    def test_by_both_roads_is_delivered_once(self, shop, placed, first):
        shop.sold(placed)
        roads = [lambda: shop.prove(placed), shop.tell]
        said = [road() for road in (roads if first == "app" else reversed(roads))]
        assert APPLIED in said
        assert effects() == ONE_PURCHASE

    def test_at_the_buyers_own_price_counts(self, shop, placed):
        shop.sold(placed)
        assert shop.prove(placed) == APPLIED
        assert Payment.objects.values_list("amount_minor", "currency", "transaction_id").get() == (3999, "TRY", ORDER)

    def test_whose_price_cannot_be_seen_counts(self, shop, placed):
        shop.sold(placed)
        shop.google.will("/orders/", FORBIDDEN)
        assert shop.prove(placed) == APPLIED
        assert Payment.objects.values_list("amount_minor", "currency").get() == (600, "CNY")

    def test_is_used_up_after_it_was_delivered(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.google.will(":consume", DONE)
        assert shop.confirm(placed) is True
        assert "POST" in shop.google.paths[-1]
        assert timeline(placed)[-1] == "confirmed"

    def test_used_up_is_still_the_same_purchase(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.sold(placed, consumptionState="CONSUMPTION_STATE_CONSUMED")
        assert shop.prove(placed) == APPLIED
        shop.tell()
        assert effects() == ONE_PURCHASE

    def test_that_the_store_was_not_told_of_is_told_again(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.google.will(":consume", refuses(503, "backendError"))
        assert shop.confirm(placed) is False
        assert PaymentAttempt.objects.get().confirmed_at is None


class TestPendingPurchases:
    """Cash takes hours or days: nothing is delivered and nothing confirmed until Google says that it was paid."""

    def test_wait_and_are_delivered_when_paid(self, shop, placed):
        shop.sold(placed, standing("PENDING", **NEVER_PAID))
        assert shop.prove(placed) == WAITING
        assert effects() == NOTHING
        assert PaymentAttempt.objects.get().handle == TOKEN
        shop.sold(placed)
        shop.tell()
        assert effects() == ONE_PURCHASE

    def test_that_are_given_up_deliver_nothing(self, shop, placed):
        shop.sold(placed, standing("PENDING", **NEVER_PAID))
        shop.prove(placed)
        shop.sold(placed, standing("CANCELLED", **NEVER_PAID))
        shop.tell(bought(notificationType=2))
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])
        assert shop.prove(placed) == WAITING

    def test_of_unknown_standing_deliver_nothing(self, shop, placed):
        shop.sold(placed, standing("TOMORROW"))
        assert shop.prove(placed) == WAITING
        shop.tell()
        assert effects() == NOTHING


NOT_GENUINE = {
    "a stranger's signature": (lambda: oidc(by="a stranger"), "signature"),
    "no signature": (lambda: oidc(signature=b""), "header"),
    "alg none": (lambda: oidc(header={"alg": "none"}, signature=b""), "header"),
    "alg HS256": (lambda: oidc(header={"alg": "HS256"}, signature=b"x" * 32), "header"),
    "another issuer": (lambda: oidc({"iss": "https://evil.example"}), "issuer"),
    "another audience": (lambda: oidc({"aud": "https://other.example"}), "audience"),
    "another service account": (lambda: oidc({"email": "x@evil.iam.gserviceaccount.com"}), "email"),
    "an e-mail nobody verified": (lambda: oidc({"email_verified": False}), "email"),
    "run out": (lambda: oidc({"iat": 1, "exp": 3601}), "timestamp"),
    "from the future": (lambda: oidc({"iat": 4102444800, "exp": 4102448400}), "timestamp"),
}


class TestWhatIsNotGenuine:
    """Nothing of it is applied or even asked about, the failed step is written down, and the genuine push still counts."""

    @pytest.mark.parametrize(("forge", "step"), NOT_GENUINE.values(), ids=NOT_GENUINE)
    def test_changes_nothing(self, shop, placed, forge, step):
        shop.sold(placed)
        asked = len(shop.google.calls)
        assert shop.notify(token=forge()) == 401
        shop.work()
        assert (effects(), verdicts(), len(shop.google.calls)) == (NOTHING, [("refused", step)], asked)
        shop.tell()
        assert effects() == ONE_PURCHASE

    def test_by_another_subscription_changes_nothing(self, shop, placed):
        assert shop.notify(subscription="projects/other/subscriptions/x") == 401
        assert verdicts() == [("refused", "subscription")]

    def test_for_another_app_is_acknowledged_and_left_alone(self, shop, placed):
        shop.sold(placed)
        shop.tell({**bought(), "packageName": "com.example.other"})
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])

    def test_with_a_body_that_was_tampered_with_changes_nothing(self, shop, placed):
        assert shop.notify("eyJ2ZXJzaW9uIjoi!!") == 503
        assert (effects(), verdicts()) == (ONE_CASE, [("unreadable", "base64")])

    def test_with_a_made_up_token_changes_nothing(self, shop, placed):
        """Whoever saw one genuine push could send another body with its token: the API knows better."""
        shop.tell(bought("made-up"))
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])
        assert shop.prove(placed) == (422, "proof_unknown")

    def test_of_googles_own_test_changes_nothing(self, shop):
        shop.tell(told("testNotification", {"version": "1.0"}))
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])


class TestGooglesKeys:
    """A rotation loses no message and opens no case; a process that has just begun waits for the keys."""

    def rotated(self):
        return oidc(header={"kid": "next"}, by="google next")

    def test_that_are_new_make_google_send_again(self, shop, placed, monkeypatch):
        monkeypatch.setattr("channels_app.providers.google_push._ASK_AGAIN_S", 0.0)
        shop.sold(placed)
        shop.google.publishes(**{KID: "google", "next": "google next"})
        assert shop.notify(token=self.rotated()) == 503
        assert (effects(), Notification.objects.count()) == (NOTHING, 0)
        eventually(lambda: "next" in adapter_of(shop.account)._push.certificates.names())
        assert shop.notify(token=self.rotated()) == 204
        shop.work()
        assert effects() == ONE_PURCHASE

    def test_are_fetched_by_a_worker_that_has_just_begun(self, shop, placed):
        shop.sold(placed)
        assert shop.notify() == 204
        forget_accounts()  # the worker is another process
        shop.work()
        assert (effects(), verdicts()) == (NOTHING, [("asking", "")])
        account = MerchantAccount.objects.get()
        eventually(lambda: adapter_of(account)._push.certificates.names())
        shop.work()
        assert effects() == ONE_PURCHASE

    def test_are_no_reason_to_believe_anything(self, shop, placed):
        shop.sold(placed)
        for _ in range(5):
            assert shop.notify(token=oidc(header={"kid": "made-up"}, by="a stranger")) == 503
        shop.work()
        assert (effects(), Notification.objects.count()) == (NOTHING, 0)


class TestOtherPurchases:
    """Money that does not fit an order is kept for a person and delivers nothing."""

    def held(self, kind):
        assert effects() == HELD
        assert Case.objects.get().kind == kind

    def test_of_another_product_is_no_proof(self, shop, placed):
        shop.sold(placed, product_id="gems6480")
        assert shop.prove(placed) == (422, "proof_refused")
        assert effects() == NOTHING

    def test_of_another_product_told_by_google_is_held(self, shop, placed):
        shop.sold(placed, product_id="gems6480")
        shop.tell()
        self.held("purchase_differs")

    def test_of_another_quantity_is_held(self, shop, placed):
        shop.sold(placed, quantity=3, refundableQuantity=3)
        assert shop.prove(placed) == KEPT
        self.held("purchase_differs")

    def test_of_several_things_is_held(self, shop, placed):
        one = purchase()["productLineItem"][0]
        shop.sold(placed, {"productLineItem": [one, {**one, "productId": "coins"}]})
        assert shop.prove(placed) == KEPT
        self.held("unmatched")

    def test_of_somebody_else_is_held(self, shop, placed):
        shop.sold(placed, {"obfuscatedExternalAccountId": "somebody-else"})
        assert shop.prove(placed) == KEPT
        self.held("purchase_differs")

    @pytest.mark.parametrize("profile", [..., "somebody"])
    def test_that_names_no_order_is_held(self, shop, placed, profile):
        shop.sold(placed, {"obfuscatedExternalProfileId": profile})
        assert shop.prove(placed) == KEPT
        self.held("unmatched")

    def test_of_another_order_pays_that_one(self, shop, placed):
        other = shop.order()
        shop.sold(other)
        assert shop.prove(placed) == (409, "proof_of_another_order")
        assert effects() == ONE_PURCHASE
        placed.refresh_from_db()
        assert placed.state == "pending"

    def test_shown_for_two_orders_pays_one(self, shop, placed):
        other = shop.order()
        shop.sold(placed)
        assert shop.prove(placed) == APPLIED
        shop.sold(other)  # the same order of Google's, now said to be for another of ours
        assert shop.prove(other)[0] == 409
        assert effects() == ONE_PURCHASE

    def test_used_up_before_we_ever_heard_of_it_is_held(self, shop, placed):
        shop.sold(placed, consumptionState="CONSUMPTION_STATE_CONSUMED")
        assert shop.prove(placed) == KEPT
        self.held("review")

    def test_of_real_money_is_none_of_a_sandbox(self, shop, placed):
        shop.sold(placed, REAL)
        assert shop.prove(placed) == (422, "proof_not_ours")
        shop.tell()
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])

    def test_of_a_tester_delivers_to_listed_reviewers_only(self, live_shop, game):
        placed = live_shop.order()
        live_shop.sold(placed)
        assert live_shop.prove(placed) == KEPT
        self.held("test_money")
        until = timezone.now() + timedelta(days=1)
        Reviewer.objects.create(game=game, uid=placed.uid, until=until, note="Play review")
        assert live_shop.prove(placed) == APPLIED

    def test_when_google_cannot_be_asked_changes_nothing_and_is_asked_again(self, shop, placed):
        shop.google.will("/purchases/", refuses(503, "backendError"))
        assert shop.prove(placed) == (503, "provider_unavailable")
        shop.tell()
        assert (effects(), verdicts()) == (NOTHING, [("asking", "")])
        shop.sold(placed)
        Notification.objects.update(ask_at=timezone.now())
        shop.work()
        assert effects() == ONE_PURCHASE


class TestRefunds:
    """What Google gives back is put before a person; told before the payment, it never delivers."""

    def voiding(self, shop, **about):
        shop.google.will("voidedpurchases", says({"voidedPurchases": [entry(**about)]}))

    def test_after_the_delivery_are_a_case(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.sold(placed, standing("CANCELLED"), of_order=refunded_order())
        self.voiding(shop)
        shop.tell(voided())
        assert effects() == replace(ONE_PURCHASE, cases=1)
        case = Case.objects.get()
        assert (case.kind, case.detail) == ("provider_refund", "succeeded: remorse, by the buyer")

    def test_before_the_payment_deliver_nothing_for_ever(self, shop, placed):
        shop.sold(placed, standing("CANCELLED"), of_order=refunded_order())
        self.voiding(shop)
        shop.tell(voided())
        shop.tell()
        shop.prove(placed)
        assert effects() == replace(NOTHING, payments=1, cases=2)
        assert sorted(Case.objects.values_list("kind", flat=True)) == ["given_back", "provider_refund"]

    def test_by_whatever_road_are_one_case(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.sold(placed, standing("CANCELLED"), of_order=refunded_order())
        self.voiding(shop)
        shop.tell(voided())
        shop.tell()
        assert read_list(shop.account.pk, now=timezone.now()) == 1
        assert effects() == replace(ONE_PURCHASE, cases=1)

    def test_that_were_never_told_are_found_in_the_list(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.sold(placed, standing("CANCELLED"), of_order=refunded_order())
        self.voiding(shop, voidedSource=2, voidedReason=8)
        assert read_list(shop.account.pk, now=timezone.now()) == 1
        assert Case.objects.get().detail == "succeeded: not confirmed within three days, by Google"

    def test_in_part_are_a_case(self, shop):
        placed = shop.order(quantity=3)
        shop.sold(placed, quantity=3, refundableQuantity=3)
        shop.prove(placed)
        shop.sold(placed, quantity=3, refundableQuantity=2, of_order=order(state="PARTIALLY_REFUNDED"))
        self.voiding(shop, voidedQuantity=1)
        shop.tell(voided(refundType=2))
        assert Case.objects.get().detail == "succeeded: remorse, by the buyer, 1 of 3"

    def test_that_google_asks_about_are_a_case_with_a_deadline(self, shop, placed):
        shop.sold(placed)
        shop.prove(placed)
        shop.tell(told("pendingRefundReviewNotification", {"orderId": ORDER, "refundReason": 7}))
        case = Case.objects.get()
        assert (case.kind, case.due_at is not None) == ("refund_asked", True)
        assert effects() == replace(ONE_PURCHASE, cases=1)
