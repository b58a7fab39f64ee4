"""Messages to `GET /notify/xiaomi/{account}` that must not pay, and those that must, by their effects.

Line by line the negative list of docs/providers/xiaomi.md. Each refusal is followed by the genuine message, which must
still be taken: nothing that a stranger sends may stand in the way of real money.
"""

import json
from dataclasses import replace

import pytest

from channels_app.accounts import enable_method, save_account
from orders.models import Case, PaymentAttempt
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.providers.xiaomi_side import SECRET, UID, credentials, order, query, signature, signed, signed_text

HELD = replace(NOTHING, payments=1, cases=1)
DONE, REFUSED, AGAIN = (200, 200), (401, 1525), (503, 3515)
OLD_SECRET = "oldSecretOfLastYear=="  # a test's


@pytest.fixture
def open_order(client, channel, api_key):
    """Makes an order that the SDK has been handed; returns its attempt."""
    account = save_account(
        provider="xiaomi", code="mi1", environment="sandbox", credentials=credentials(app_secrets=[SECRET, OLD_SECRET])
    )
    enable_method(channel=channel, method="xiaomi_pay", account=account)

    def open_order(uid=UID):
        made = make_order(client, api_key)
        body = {"method": "xiaomi_pay", "channel_uid": uid}
        opened = post(client, f"orders/{made.order_no}/pay", body, bearer=api_key)
        assert (opened.status_code, opened.json()["kind"]) == (200, "sdk")
        return PaymentAttempt.objects.get(attempt_no=opened.json()["attempt_no"])

    return open_order


@pytest.fixture
def attempt(open_order):
    return open_order()


@pytest.fixture
def send(client):
    def send(text: str) -> tuple[int, int]:
        answer = client.get(f"/notify/xiaomi/mi1?{text}")
        return answer.status_code, json.loads(answer.content)["errcode"]

    return send


def altered(change):
    return lambda said: query({**signed(said), **change})


def without(name):
    return lambda said: query({key: value for key, value in signed(said).items() if key != name})


def by_fixed_list(said):
    """Signed over the parameters of an old document only."""
    known = {name: value for name, value in said.items() if name not in ("orderConsumeType", "partnerGiftConsume")}
    return query({**said, "signature": signature(signed_text(known))})


FORGERIES = {
    "a changed amount": (altered({"payFee": "1"}), "signature"),
    "a changed player": (altered({"uid": "666"}), "signature"),
    "another order": (altered({"cpOrderId": "20260102G0123456789ABCDEFGHJZ"}), "signature"),
    "an added parameter": (altered({"extra": "1"}), "signature"),
    "an added voucher": (altered({"partnerGiftConsume": "600"}), "signature"),
    "a removed parameter": (without("orderConsumeType"), "signature"),
    "a removed signature": (without("signature"), "signature"),
    "a blank signature": (altered({"signature": ""}), "signature"),
    "a signature of other letters": (altered({"signature": "é"}), "signature"),
    "a signature in capitals": (lambda said: query({**said, "signature": signed(said)["signature"].upper()}), "signature"),
    "the key of the game's client": (lambda said: query(signed(said, "5371753676161-AppKey")), "signature"),
    "an empty secret": (lambda said: query(signed(said, "")), "signature"),
    "a fixed list of parameters": (by_fixed_list, "signature"),
    "values signed as they are encoded": (
        lambda said: query({**said, "signature": signature(query(dict(sorted(said.items()))))}), "signature",
    ),
    "two amounts": (lambda said: query(signed(said)) + "&payFee=1", "form"),
    "another encoding": (lambda said: query(signed(said)) + "&x=%B1%A6", "form"),
    "no parameters": (lambda said: "", "signature"),
    "no form at all": (lambda said: "{}", "form"),
}  # fmt: skip


class TestForgeries:
    """What is not signed with our AppSecret over everything it says moves nothing, and hinders nothing."""

    @pytest.mark.parametrize("name", FORGERIES)
    def test_move_nothing(self, attempt, send, name):
        forge, step = FORGERIES[name]
        said = order(attempt.attempt_no)
        assert send(forge(said)) == REFUSED
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        assert send(query(signed(said))) == DONE
        assert effects() == ONE_PURCHASE

    def test_by_post_are_not_even_read(self, attempt, client):
        said = signed(order(attempt.attempt_no))
        assert client.post("/notify/xiaomi/mi1", said).status_code == 405
        assert (effects(), verdicts()) == (NOTHING, [])


class TestGenuineMessages:
    """They pay once, with whatever Xiaomi adds to them, and are thanked for every time."""

    @pytest.mark.parametrize(
        "changes",
        [
            {}, {"partnerGiftConsume": "200"}, {"aParameterOfTomorrow": "a=1&b= +%"}, {"orderConsumeType": ...},
            {"cpUserInfo": "角色:张三"}, {"productName": ""},
        ],
    )  # fmt: skip
    def test_pay_once(self, attempt, send, changes):
        text = query(signed(order(attempt.attempt_no, **changes)))
        for _ in range(3):
            assert send(text) == DONE
        assert effects() == ONE_PURCHASE
        assert [verdict for verdict, _ in verdicts()] == ["applied", "duplicate", "duplicate"]

    def test_pay_with_a_blank_parameter_more(self, attempt, send):
        assert send(query(signed(order(attempt.attempt_no))) + "&new=") == DONE
        assert effects() == ONE_PURCHASE

    def test_pay_with_blanks_written_as_plus(self, attempt, send):
        said = signed(order(attempt.attempt_no, productName="60 gems"))
        assert send(query(said).replace("%20", "+")) == DONE
        assert effects() == ONE_PURCHASE

    def test_pay_while_the_secret_is_changed(self, attempt, send):
        assert send(query(signed(order(attempt.attempt_no), OLD_SECRET))) == DONE
        assert effects() == ONE_PURCHASE

    def test_that_cannot_be_read_are_asked_for_again(self, attempt, send):
        assert send(query(signed(order(attempt.attempt_no, payTime="yesterday")))) == AGAIN
        assert (effects().payments, verdicts()) == (0, [("unreadable", "shape")])
        assert send(query(signed(order(attempt.attempt_no, payFee="6.00")))) == AGAIN


class TestMoneyThatDoesNotFit:
    """Genuine money that is not this order's, in this amount, of this player, is kept and delivers nothing."""

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"payFee": "599"}, "amount_differs"), ({"payFee": "60000"}, "amount_differs"),
            ({"uid": "100011"}, "purchase_differs"), ({"cpOrderId": "20260102G0123456789ABCDEFGHJKZ"}, "unknown_order"),
            ({"cpOrderId": ...}, "unknown_order"), ({"cpOrderId": "not ours"}, "unknown_order"),
        ],
    )  # fmt: skip
    def test_is_held(self, attempt, send, changes, kind):
        assert send(query(signed(order(attempt.attempt_no, **changes)))) == DONE
        assert (effects(), Case.objects.get().kind) == (HELD, kind)

    def test_told_once_for_one_order_pays_no_other(self, attempt, open_order, send):
        paid = order(attempt.attempt_no)
        send(query(signed(paid)))
        other = open_order()
        # An old message, sent again when another order waits; and one that Xiaomi would sign of the same payment.
        assert send(query(signed(paid))) == DONE
        assert send(query(signed({**paid, "cpOrderId": other.attempt_no}))) == DONE
        assert effects() == ONE_PURCHASE
        other.order.refresh_from_db()
        assert other.order.state == "pending"

    def test_paid_twice_is_held_the_second_time(self, attempt, send):
        send(query(signed(order(attempt.attempt_no))))
        send(query(signed(order(attempt.attempt_no, orderId="2199"))))
        assert (effects(), Case.objects.get().kind) == (replace(ONE_PURCHASE, payments=2, cases=1), "second_payment")


class TestMessagesThatMoveNothing:
    """Genuine, acknowledged, and no reason to deliver."""

    @pytest.mark.parametrize("state", ["WAIT_BUYER_PAY", "TRADE_CLOSED", "trade_success", "A_WORD_OF_TOMORROW"])
    def test_of_another_state(self, attempt, send, state):
        assert send(query(signed(order(attempt.attempt_no, orderStatus=state)))) == DONE
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])

    def test_of_another_game(self, attempt, send):
        assert send(query(signed(order(attempt.attempt_no, appId="2882303761517000000")))) == DONE
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])
