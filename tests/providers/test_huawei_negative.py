"""Messages to `POST /notify/huawei/{account}`, which anybody can send, and receipts, by their effects.

Line by line the negative list of docs/providers/huawei.md: a notification is never believed, and can at most make us ask.
"""

from dataclasses import replace

import pytest

from channels_app.accounts import enable_method, save_account
from channels_app.models import Notification
from orders.hints import follow
from orders.models import Case, PaymentAttempt, Product
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.providers.huawei_side import (
    PRODUCT,
    TOKEN,
    HuaweiSide,
    credentials,
    notice,
    purchase,
    refuses,
    subscription,
    tells,
)
from tests.providers.joint_side import Answer

HELD = replace(NOTHING, payments=1, cases=1)


@pytest.fixture(scope="module")
def side():
    side = HuaweiSide()
    yield side
    side.close()


@pytest.fixture
def open_order(client, channel, game, api_key, side):
    """Makes an order that the SDK has been handed; returns its attempt."""
    side.forget()
    Product.objects.filter(game=game).update(store_ids={"huawei_iap": PRODUCT})
    account = save_account(
        provider="huawei", code="hw1", environment="sandbox", credentials=credentials(base_url=side.url)
    )
    enable_method(channel=channel, method="huawei_iap", account=account)

    def open_order():
        made = make_order(client, api_key)
        opened = post(client, f"orders/{made.order_no}/pay", {"method": "huawei_iap"}, bearer=api_key)
        assert (opened.status_code, opened.json()["kind"]) == (200, "sdk"), opened.content
        return PaymentAttempt.objects.get(attempt_no=opened.json()["attempt_no"])

    yield open_order
    assert side.complaints == []


@pytest.fixture
def attempt(open_order, side):
    attempt = open_order()
    side.will(tells(purchase(attempt.attempt_no)))
    return attempt


@pytest.fixture
def send(client):
    def send(body: bytes) -> int:
        return client.post("/notify/huawei/hw1", body, content_type="application/json").status_code

    return send


@pytest.fixture
def hand_in(client, api_key):
    def hand_in(attempt, token=TOKEN, product=PRODUCT):
        body = {"method": "huawei_iap", "purchase_token": token, "store_product_id": product}
        answer = post(client, f"orders/{attempt.order.order_no}/proofs", body, bearer=api_key)
        return answer.status_code, answer.json().get("result") or answer.json()["code"]

    return hand_in


def work():
    """What the worker does with the hints that are due."""
    for kept in Notification.objects.filter(ask_at__isnull=False).order_by("pk"):
        follow(kept.pk)


class TestNotifications:
    """Nothing in them is believed: they make us ask Huawei, whose signed answer counts."""

    def test_pay_by_huaweis_answer_and_once(self, attempt, send, side):
        for _ in range(2):
            assert send(notice()) == 200
        assert (effects(), verdicts(), side.calls) == (NOTHING, [("asking", ""), ("asking", "")], [])
        work()
        work()
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("applied", ""), ("duplicate", "")])

    @pytest.mark.parametrize("kind", [1, 2, 7])
    def test_pay_whatever_they_say_happened(self, attempt, send, kind):
        send(notice(kind=kind))
        work()
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize("code", ["5", "8", "9", "11", "12"])
    def test_about_what_nobody_bought_lead_to_nothing(self, attempt, send, side, code):
        side.will(refuses(code))
        assert send(notice("invented")) == 200
        work()
        work()
        assert (effects(), verdicts(), len(side.calls)) == (NOTHING, [("no_op", "")], 1)

    def test_are_asked_about_until_huawei_answers(self, attempt, send, side):
        genuine = tells(purchase(attempt.attempt_no))
        side.will(Answer(500), refuses("6"), tells(purchase(attempt.attempt_no), by="stranger"), genuine)
        send(notice())
        for _ in range(3):
            work()
            assert effects() == NOTHING
        work()
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize(
        ("body", "step"),
        [
            (b"", "json"), (b"\xff", "json"), (b"[]", "json"), (b"{}", "event"), (notice(eventType="NEW"), "event"),
            (notice(applicationId="42"), "application"), (notice(applicationId=...), "application"),
            (notice(orderNotification=...), "shape"), (notice(orderNotification="x"), "shape"), (notice(7), "shape"),
            (notice(""), "shape"), (notice("a" * 513), "shape"), (notice("a b"), "shape"), (notice(product=None), "shape"),
            (subscription(by="stranger"), "signature"), (notice(eventType="SUBSCRIPTION", subNotification={}), "form"),
            (notice(eventType="SUBSCRIPTION"), "shape"),
        ],
    )  # fmt: skip
    def test_of_another_form_are_refused_and_hinder_nothing(self, attempt, send, side, body, step):
        assert send(body) == 401
        assert (effects(), verdicts(), side.calls) == (NOTHING, [("refused", step)], [])
        assert send(notice()) == 200
        work()
        assert effects() == ONE_PURCHASE

    def test_about_subscriptions_are_signed_and_move_nothing(self, attempt, send):
        assert send(subscription()) == 200
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])

    def test_are_kept_without_the_token_in_plain_words(self, attempt, send):
        send(notice(kind=2))
        assert Notification.objects.get().detail == "ORDER 2"

    def test_in_a_flood_are_turned_away_and_leave_no_trace(self, attempt, send, settings, side):
        settings.HINTS_PER_MINUTE = 3
        side.will(refuses("8"))
        answers = [send(notice(f"invented{number}")) for number in range(6)]
        assert answers == [200] * 3 + [503] * 3
        assert Notification.objects.count() == 3
        work()
        assert (len(side.calls), effects()) == (3, NOTHING)


class TestReceipts:
    """A purchase token leads to the order that the purchase names, whoever hands it in."""

    def test_pay_once(self, attempt, hand_in):
        assert [hand_in(attempt) for _ in range(2)] == [(200, "applied")] * 2
        assert effects() == ONE_PURCHASE

    def test_of_another_order_pay_that_one(self, attempt, open_order, hand_in):
        other = open_order()
        assert hand_in(other) == (409, "proof_of_another_order")
        assert effects() == ONE_PURCHASE
        attempt.order.refresh_from_db()
        assert attempt.order.state == "paid"

    def test_used_for_one_order_pay_no_other(self, attempt, open_order, hand_in, side):
        hand_in(attempt)
        other = open_order()
        side.will(tells(purchase(other.attempt_no)))  # Huawei would have to say another payload for the same order
        assert hand_in(other) == (409, "proof_of_another_order")
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"price": 1}, "amount_differs"), ({"currency": "USD"}, "amount_differs"),
            ({"developerPayload": ""}, "unmatched"), ({"developerPayload": "20260102G0123456789ABCDEFGHJKZ"}, "unmatched"),
            ({"purchaseType": 1}, "review"),
        ],
    )  # fmt: skip
    def test_that_do_not_fit_are_held(self, attempt, hand_in, side, changes, kind):
        side.will(tells(purchase(attempt.attempt_no, **changes)))
        assert hand_in(attempt) == (200, "held")
        assert (effects(), Case.objects.get().kind) == (HELD, kind)

    def test_of_another_product_are_held(self, attempt, hand_in, side):
        side.will(tells(purchase(attempt.attempt_no, productId="com.example.gems1")))
        assert hand_in(attempt, product="com.example.gems1") == (200, "held")
        assert (effects(), Case.objects.get().kind) == (HELD, "purchase_differs")

    @pytest.mark.parametrize(
        ("answer", "status", "said"),
        [
            (refuses("8"), 422, "proof_unknown"), (Answer(500), 503, "provider_unavailable"),
            (tells(purchase("1"), by="stranger"), 503, "provider_unavailable"),
            (tells(purchase("1", applicationId=7)), 422, "proof_not_ours"),
            (tells(purchase("1", purchaseState=3)), 200, "waiting"), (tells(purchase("1", purchaseState=9)), 200, "waiting"),
        ],
    )  # fmt: skip
    def test_that_prove_nothing_give_nothing(self, attempt, hand_in, side, answer, status, said):
        side.will(answer)
        assert hand_in(attempt) == (status, said)
        assert effects() == NOTHING

    def test_of_a_pending_purchase_are_remembered(self, attempt, hand_in, side):
        side.will(tells(purchase(attempt.attempt_no, purchaseState=3)))
        hand_in(attempt)
        attempt.refresh_from_db()
        assert attempt.handle == TOKEN

    def test_given_back_are_never_delivered(self, attempt, hand_in, side):
        side.will(tells(purchase(attempt.attempt_no, purchaseState=2)))
        hand_in(attempt)
        side.will(tells(purchase(attempt.attempt_no)))
        hand_in(attempt)
        assert effects() == replace(NOTHING, payments=1, cases=2)
