"""Messages to `POST /notify/taptap/{account}` that must not pay, and those that must, by their effects.

Line by line the negative list of docs/providers/taptap.md. Each refusal is followed by the genuine message, which must
still be taken: nothing that a stranger sends may stand in the way of real money.
"""

import http.client
import json
import time
from dataclasses import replace

import pytest

from channels_app.accounts import enable_method, save_account
from orders.models import Case, PaymentAttempt, Product
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.providers.taptap_side import (
    OPEN_ID,
    ORDER_ID,
    PRODUCT,
    SECRET,
    TOKEN,
    credentials,
    order,
    stamped,
    webhook,
)

HELD = replace(NOTHING, payments=1, cases=1)
DONE, REFUSED, AGAIN = (200, "SUCCESS"), (401, "FAIL"), (503, "FAIL")
TARGET = "/notify/taptap/tap1"
OLD_SECRET = "oldSecretOfLastYearOfThisGame000"  # a test's


@pytest.fixture
def account(channel, game):
    Product.objects.filter(game=game).update(store_ids={"taptap_pay": PRODUCT})
    account = save_account(
        provider="taptap", code="tap1", environment="sandbox",
        credentials=credentials(server_secrets=[SECRET, OLD_SECRET]),
    )  # fmt: skip
    enable_method(channel=channel, method="taptap_pay", account=account)
    return account


@pytest.fixture
def open_order(client, account, api_key):
    """Makes an order that the SDK has been handed; returns its attempt."""

    def open_order(**inputs):
        made = make_order(client, api_key)
        opened = post(client, f"orders/{made.order_no}/pay", {"method": "taptap_pay", **inputs}, bearer=api_key)
        assert (opened.status_code, opened.json()["kind"]) == (200, "sdk"), opened.content
        return PaymentAttempt.objects.get(attempt_no=opened.json()["attempt_no"])

    return open_order


@pytest.fixture
def attempt(open_order):
    return open_order()


@pytest.fixture
def send(client):
    def send(body: bytes, headers: dict | None = None, target: str = TARGET) -> tuple[int, str]:
        sent = stamped(body, target) if headers is None else headers
        answer = client.post(target, body, content_type="application/json; charset=utf-8", headers=sent)
        return answer.status_code, json.loads(answer.content)["code"]

    return send


def changed(**headers):
    return lambda body: {**stamped(body, TARGET), **headers}


def tap(name):
    return f"X-Tap-{name}"


FORGERIES = {
    "another secret": (lambda body: stamped(body, TARGET, secret="x" * 32), "signature"),
    "an empty secret": (lambda body: stamped(body, TARGET, secret=""), "signature"),
    "another address": (lambda body: stamped(body, "/notify/taptap/tap2"), "signature"),
    "an address with a query": (lambda body: stamped(body, f"{TARGET}?client_id=1"), "signature"),
    "another verb": (lambda body: stamped(body, TARGET, method="GET"), "signature"),
    "another body": (lambda body: stamped(body + b" ", TARGET), "signature"),
    "a changed nonce": (changed(**{"X-Tap-Nonce": "another"}), "signature"),
    "a header more": (changed(**{"X-Tap-Extra": "1"}), "signature"),
    "a changed time": (lambda body: {**stamped(body, TARGET), tap("Ts"): str(int(time.time()) + 1)}, "signature"),
    "no signature": (changed(**{"X-Tap-Sign": ""}), "signature"),
    "a signature twice": (
        lambda body: {name: f"{value},{value}" if name == tap("Sign") else value
                      for name, value in stamped(body, TARGET).items()}, "signature",
    ),
    "a padded signature": (
        lambda body: {**stamped(body, TARGET), tap("Sign"): stamped(body, TARGET)[tap("Sign")] + "="}, "signature",
    ),
    "a nonce twice": (changed(**{"X-Tap-Nonce": "V7v7zJ,V7v7zJ"}), "signature"),
    "a time twice": (changed(**{"X-Tap-Ts": f"{int(time.time())},{int(time.time())}"}), "timestamp"),
    "no time": (changed(**{"X-Tap-Ts": ""}), "timestamp"),
    "a time in other digits": (lambda body: stamped(body, TARGET) | {tap("Ts"): "-1"}, "timestamp"),
    "a short nonce": (lambda body: stamped(body, TARGET, nonce="abcde"), "headers"),
    "a long nonce": (lambda body: stamped(body, TARGET, nonce="a" * 61), "headers"),
    "302 seconds old": (lambda body: stamped(body, TARGET, at=time.time() - 302), "timestamp"),
    "302 seconds early": (lambda body: stamped(body, TARGET, at=time.time() + 303), "timestamp"),
}  # fmt: skip


class TestForgeries:
    """What TapTap has not signed for this address, now, moves nothing and hinders nothing."""

    @pytest.mark.parametrize("name", FORGERIES)
    def test_move_nothing(self, attempt, send, name):
        forge, step = FORGERIES[name]
        body = webhook(order(attempt.attempt_no))
        assert send(body, forge(body)) == REFUSED
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        assert send(body) == DONE
        assert effects() == ONE_PURCHASE

    @pytest.mark.django_db(transaction=True)
    def test_with_a_header_that_is_really_sent_twice_move_nothing(self, attempt, live_server):
        body = webhook(order(attempt.attempt_no))
        headers = stamped(body, TARGET, **{"X-Tap-New": "1"})
        assert [self.status_of(live_server, body, headers, twice=name) for name in headers] == [401] * 4
        assert effects() == NOTHING
        assert self.status_of(live_server, body, headers, twice="X-Other") == 200
        assert effects() == ONE_PURCHASE

    def status_of(self, live_server, body, headers, *, twice):
        connection = http.client.HTTPConnection(live_server.thread.host, live_server.thread.port, timeout=10)
        connection.putrequest("POST", TARGET)
        for name in [*headers, twice]:
            connection.putheader(name, headers.get(name, "x"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        status = connection.getresponse().status
        connection.close()
        return status


class TestGenuineMessages:
    """They pay once, and are thanked for every time."""

    def test_pay_once(self, attempt, send):
        body = webhook(order(attempt.attempt_no))
        headers = stamped(body, TARGET)
        for _ in range(2):
            assert send(body, headers) == DONE  # the very same request, sent again within its five minutes
        assert send(body) == DONE
        assert effects() == ONE_PURCHASE
        assert [verdict for verdict, _ in verdicts()] == ["applied", "duplicate", "duplicate"]
        attempt.refresh_from_db()
        assert (attempt.handle, attempt.next_query_at is None) == (f"{ORDER_ID} {TOKEN}", False)  # to be confirmed

    @pytest.mark.parametrize("seconds", [-298, 298])
    def test_pay_though_our_clocks_differ(self, attempt, send, seconds):
        body = webhook(order(attempt.attempt_no))
        assert send(body, stamped(body, TARGET, at=time.time() + seconds)) == DONE
        assert effects() == ONE_PURCHASE

    def test_pay_with_more_headers_and_members(self, attempt, send):
        body = webhook({**order(attempt.attempt_no), "a_member_of_tomorrow": [1]})
        assert send(body, stamped(body, TARGET, **{"X-Tap-Region": "cn, hk"})) == DONE
        assert effects() == ONE_PURCHASE

    def test_pay_at_an_address_with_a_query(self, attempt, send):
        body, target = webhook(order(attempt.attempt_no)), f"{TARGET}?client_id=o6nD4iNavjQj75zPQk&a=%20"
        assert send(body, stamped(body, target), target) == DONE
        assert effects() == ONE_PURCHASE

    def test_pay_while_the_secret_is_changed(self, attempt, send):
        body = webhook(order(attempt.attempt_no))
        assert send(body, stamped(body, TARGET, secret=OLD_SECRET)) == DONE
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize(
        ("body", "step"),
        [
            (b"{}", "shape"), (b"\xff", "json"), (b"[]", "json"), (webhook(order("1", client_id=...)), "shape"),
            (webhook(order("1", amount="6000001")), "amount"), (webhook(order("1", amount="6000000.0")), "shape"),
            (webhook(order("1", pay_time="1767324245000")), "shape"), (webhook(order("1", order_id="")), "shape"),
        ],
    )  # fmt: skip
    def test_that_cannot_be_read_are_asked_for_again(self, attempt, send, body, step):
        assert send(body) == AGAIN
        assert (effects().payments, verdicts()) == (0, [("unreadable", step)])


class TestMoneyThatDoesNotFit:
    """Genuine money that is not this order's goods, amount or player is kept and delivers nothing."""

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"amount": "5990000"}, "amount_differs"), ({"currency": "USD"}, "amount_differs"),
            ({"currency": "JPY"}, "amount_differs"), ({"goods_open_id": "com.example.game.gems6480"}, "purchase_differs"),
            ({"extra": "20260102G0123456789ABCDEFGHJKZ"}, "unmatched"), ({"extra": ""}, "unmatched"),
            ({"extra": "角色 <7>"}, "unmatched"), ({"extra": ...}, "unmatched"),
        ],
    )  # fmt: skip
    def test_is_held(self, attempt, send, changes, kind):
        assert send(webhook(order(attempt.attempt_no, **changes))) == DONE
        assert (effects(), Case.objects.get().kind) == (HELD, kind)

    def test_of_another_player_is_held_when_the_game_has_named_one(self, open_order, send):
        attempt = open_order(channel_uid=OPEN_ID)
        assert send(webhook(order(attempt.attempt_no, open_id="somebody+else=="))) == DONE
        assert (effects(), Case.objects.get().kind) == (HELD, "purchase_differs")

    def test_told_once_for_one_order_pays_no_other(self, attempt, open_order, send):
        send(webhook(order(attempt.attempt_no)))
        other = open_order()
        assert send(webhook(order(other.attempt_no))) == DONE
        assert effects() == ONE_PURCHASE


class TestMessagesThatMoveNothing:
    """Genuine, acknowledged, and no reason to deliver."""

    @pytest.mark.parametrize(
        ("event", "state"),
        [
            ("charge.succeeded", "charge.pending"), ("charge.succeeded", "charge.a_word_of_tomorrow"),
            ("charge.of_tomorrow", "charge.succeeded"), ("refund.succeeded", "a.word"),
        ],
    )  # fmt: skip
    def test_of_an_unknown_word(self, attempt, send, event, state):
        assert send(webhook(order(attempt.attempt_no, status=state), event)) == DONE
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])

    def test_of_another_game(self, attempt, send):
        assert send(webhook(order(attempt.attempt_no, client_id="somebodyElse"))) == DONE
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])


class TestRefunds:
    """What was given back is put before a person, and never delivered afterwards."""

    def refund(self, attempt, event="refund.succeeded"):
        return webhook(order(attempt.attempt_no, status=event), event)

    def test_told_after_the_payment_open_a_case(self, attempt, send):
        send(webhook(order(attempt.attempt_no)))
        for _ in range(2):
            assert send(self.refund(attempt)) == DONE
        assert (effects(), Case.objects.get().kind) == (replace(ONE_PURCHASE, cases=1), "provider_refund")

    def test_told_before_the_payment_never_deliver(self, attempt, send):
        send(self.refund(attempt))
        assert send(webhook(order(attempt.attempt_no))) == DONE
        assert effects() == replace(NOTHING, payments=1, cases=2)

    def test_that_came_with_the_charge_never_deliver(self, attempt, send):
        assert send(webhook(order(attempt.attempt_no, status="refund.succeeded"))) == DONE
        assert (effects(), Case.objects.get().kind) == (HELD, "given_back")

    def test_that_failed_leave_the_goods(self, attempt, send):
        assert send(self.refund(attempt, "refund.failed")) == DONE
        assert effects() == replace(ONE_PURCHASE, cases=1)
