"""Messages to `POST /notify/unionpay/{account}` that must not pay, and those that must, by their effects.

Line by line the negative list of docs/providers/unionpay.md. Each refusal is followed by the genuine message, which must
still be taken: nothing that a stranger sends may stand in the way of real money.
"""

from datetime import timedelta

import pytest

from channels_app.accounts import enable_method, save_account
from channels_app.models import Notification
from orders.attempts import ask_provider
from orders.hints import follow
from orders.models import AttemptState, Case, Payment, PaymentAttempt
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, verdicts
from tests.providers.unionpay_side import (
    CN,
    TEST_CN,
    UnionPaySide,
    beijing,
    certificate,
    credentials,
    form,
    leaf,
    paid,
    pem,
    refunded,
    request_fields,
    says,
    sealed,
    tells,
)

HELD = Effects(0, 1, 0, 0, 0, 0, 0, 1)
ONE_CASE = Effects(0, 0, 0, 0, 0, 0, 0, 1)
ASKING = ("asking", "")


@pytest.fixture(scope="module")
def side():
    side = UnionPaySide()
    yield side
    side.close()


@pytest.fixture
def unionpay(side):
    side.calls.clear()
    side.complaints.clear()
    side.will(tells())
    yield side
    assert side.complaints == []


@pytest.fixture
def attempt(client, channel, api_key, unionpay):
    """An order whose form the browser has been handed."""
    account = save_account(
        provider="unionpay", code="up1", environment="sandbox", credentials=credentials(base_url=unionpay.url)
    )
    enable_method(channel=channel, method="unionpay_gateway", account=account)
    order = make_order(client, api_key)
    body = {"method": "unionpay_gateway", "return_url": "https://game.example/back"}
    opened = post(client, f"orders/{order.order_no}/pay", body, bearer=api_key)
    assert opened.status_code == 200, opened.content
    assert opened.json()["kind"] == "form"
    fields = request_fields(opened.json()["params"]["fields"])
    assert fields["backUrl"].endswith("/notify/unionpay/up1")
    attempt = PaymentAttempt.objects.get()
    assert (fields["orderId"], fields["txnTime"]) == (attempt.attempt_no, beijing(attempt.created_at))
    return attempt


@pytest.fixture
def news(attempt):
    """The fields of the notification about this attempt."""
    return lambda **changes: paid(attempt.attempt_no, **{"txnTime": beijing(attempt.created_at), **changes})


@pytest.fixture
def send(client):
    def send(body: bytes, query: str = "", account: str = "up1") -> tuple[int, bytes]:
        answer = client.post(
            f"/notify/unionpay/{account}{query}", body, content_type="application/x-www-form-urlencoded;charset=UTF-8"
        )
        return answer.status_code, answer.content

    return send


ACKNOWLEDGED, REFUSED, AGAIN = (200, b"ok"), (401, b"fail"), (503, b"fail")


def work():
    """What the worker does with the hints that are due."""
    for kept in Notification.objects.filter(ask_at__isnull=False).order_by("pk"):
        follow(kept.pk)


def without(name: str):
    return lambda fields: {key: value for key, value in sealed(fields).items() if key != name}


def signed_by(cert, **about):
    return lambda fields: sealed(fields, cert=pem(cert), **about)


FORGERIES = {
    "a changed amount": (lambda fields: {**sealed(fields), "txnAmt": "601"}, "signature"),
    "a changed code": (lambda fields: {**sealed({**fields, "respCode": "30"}), "respCode": "00"}, "signature"),
    "a changed blank": (lambda fields: {**sealed(fields), "aFieldOfTomorrow": "kept as it is & = + "}, "signature"),
    "an added field": (lambda fields: {**sealed(fields), "extra": "1"}, "signature"),
    "an added blank": (lambda fields: {**sealed(fields), "extra": " "}, "signature"),
    "a removed field": (without("traceTime"), "signature"),
    "a removed unknown field": (without("aFieldOfTomorrow"), "signature"),
    "a foreign authority": (signed_by(certificate("unionpay", issuer="stranger", cn=CN)), "certificate_chain"),
    "a merchant of the same authority": (signed_by(leaf("041@1@某某网络科技有限公司@1")), "certificate_name"),
    "the name in another place": (signed_by(leaf("041@中国银联股份有限公司@Z1@1")), "certificate_name"),
    "an expired certificate": (signed_by(leaf(days=(-30, -1))), "certificate_dates"),
    "a genuine certificate and another's key": (lambda fields: sealed(fields, by="stranger"), "signature"),
    "our own key": (lambda fields: sealed(fields, by="unionpay merchant"), "signature"),
    "no certificate": (lambda fields: sealed(fields, cert=...), "certificate"),
    "no signature": (without("signature"), "signature"),
    "a blank signature": (lambda fields: {**sealed(fields), "signature": ""}, "signature"),
    "a padded signature": (lambda fields: {**sealed(fields), "signature": sealed(fields)["signature"] + "\n"}, "signature"),
    "one hashing": (lambda fields: sealed(fields, how="once"), "signature"),
    "a digest in bytes": (lambda fields: sealed(fields, how="raw digest"), "signature"),
    "a digest in upper case": (lambda fields: sealed(fields, how="upper case"), "signature"),
    "SHA-1": (lambda fields: sealed(fields, how="sha1"), "signature"),
    "version 5.0.0": (lambda fields: sealed({**fields, "version": "5.0.0"}), "version"),
    "no version": (lambda fields: sealed({**fields, "version": ""}), "version"),
    "a shared key": (lambda fields: sealed({**fields, "signMethod": "11"}), "sign_method"),
    "SM3": (lambda fields: sealed({**fields, "signMethod": "12"}), "sign_method"),
    "another encoding": (lambda fields: sealed({**fields, "encoding": "GBK"}), "charset"),
}  # fmt: skip


class TestForgeries:
    """What is not UnionPay's very message moves nothing, is refused by the check that failed, hinders nothing."""

    @pytest.mark.parametrize("name", FORGERIES)
    def test_move_nothing(self, news, send, unionpay, name):
        forge, step = FORGERIES[name]
        assert send(form(forge(news()))) == REFUSED
        work()
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        assert unionpay.calls == []
        assert send(form(sealed(news()))) == ACKNOWLEDGED
        work()
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("refused", step), ("applied", "")])

    def test_cannot_be_helped_by_the_address(self, news, send):
        assert send(form(without("txnAmt")(news())), query="?txnAmt=600") == REFUSED
        assert send(form(sealed(news())), query="?txnAmt=1") == ACKNOWLEDGED

    def test_of_a_second_amount_are_no_form(self, news, send):
        assert send(form(sealed(news())) + b"&txnAmt=1") == REFUSED
        assert verdicts() == [("refused", "form")]

    def test_by_the_test_environment_move_nothing_at_an_account_of_real_money(self, news, send):
        save_account(provider="unionpay", code="up2", environment="production", credentials=credentials(base_url=...))
        of_the_test = form(sealed(news(), cert=pem(leaf(TEST_CN))))
        assert send(of_the_test, account="up2") == REFUSED
        assert verdicts() == [("refused", "certificate_name")]
        assert send(of_the_test) == ACKNOWLEDGED  # the sandbox account believes it

    def test_are_kept_without_what_they_were_signed_with(self, news, send):
        send(form(sealed(news(), by="stranger")))
        kept = Notification.objects.get()
        assert "signature=" not in kept.detail


class TestGenuineMessages:
    """They are acknowledged at once, and asked about once more before anything is credited."""

    @pytest.mark.parametrize("changes", [{}, {"respCode": "A6"}, {"accNo": ...}, {"reqReserved": "{a=1&b=[2]}"}])
    def test_pay_by_the_query_and_once(self, news, send, unionpay, changes):
        for _ in range(2):
            assert send(form(sealed(news(**changes)))) == ACKNOWLEDGED
        assert (effects(), verdicts()) == (NOTHING, [ASKING, ASKING])
        work()
        work()
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("applied", ""), ("duplicate", "")])

    def test_with_a_blank_field_more_are_still_genuine(self, news, send):
        assert send(form(sealed(news())) + b"&extra=") == ACKNOWLEDGED
        work()
        assert effects() == ONE_PURCHASE

    def test_pay_what_the_query_says_and_not_what_they_say(self, news, send, unionpay):
        unionpay.will(tells(txnAmt="1"))
        send(form(sealed(news())))
        work()
        assert (effects(), Case.objects.get().kind) == (HELD, "amount_differs")

    def test_do_not_pay_while_the_query_disagrees(self, news, send, unionpay):
        unionpay.will(says("34"), tells("05"), tells("00"))
        send(form(sealed(news())))
        for expected in (NOTHING, NOTHING, ONE_PURCHASE):
            work()
            assert effects() == expected

    def test_lost_altogether_are_made_up_for_by_asking(self, attempt, unionpay):
        ask_provider(attempt, actor="query")
        assert effects() == ONE_PURCHASE


class TestMoneyThatDoesNotFit:
    """Genuine money that is not this order's, in this amount, beyond doubt, is kept and delivers nothing."""

    def test_of_another_amount(self, news, send, unionpay):
        unionpay.will(tells(txnAmt="599"))
        send(form(sealed(news(txnAmt="599"))))
        work()
        assert (effects(), Case.objects.get().kind) == (HELD, "amount_differs")

    def test_of_another_currency(self, attempt, unionpay):
        unionpay.will(tells(currencyCode="840"))
        ask_provider(attempt, actor="query")
        assert (effects(), Case.objects.get().kind) == (HELD, "amount_differs")

    def test_of_our_number_and_another_time(self, attempt, news, send, unionpay):
        other = beijing(attempt.created_at - timedelta(seconds=1))
        assert send(form(sealed(news(txnTime=other)))) == ACKNOWLEDGED
        work()
        assert unionpay.calls[-1].fields["txnTime"] == other
        assert (effects(), Case.objects.get().kind) == (HELD, "unknown_order")
        attempt.refresh_from_db()
        assert attempt.state == AttemptState.OPEN

    def test_of_an_order_that_nobody_knows(self, attempt, send, unionpay):
        send(form(sealed(paid("20260102G0123456789ABCDEFGHJKZ"))))
        work()
        assert (effects(), Case.objects.get().kind) == (HELD, "unknown_order")

    @pytest.mark.parametrize("code", ["42", "74", "75"])
    def test_that_unionpay_is_not_sure_of(self, news, send, unionpay, code):
        unionpay.will(tells(code))
        assert send(form(sealed(news(respCode=code)))) == ACKNOWLEDGED
        work()
        case = Case.objects.get()
        assert (effects(), case.kind) == (HELD, "review")
        assert code in case.detail
        assert not Payment.objects.get().applied


class TestMessagesThatMoveNothing:
    """Genuine, acknowledged, and no reason to deliver."""

    @pytest.mark.parametrize("code", ["30", "64", "01"])
    def test_failures(self, news, send, unionpay, code):
        assert send(form(sealed(news(respCode=code)))) == ACKNOWLEDGED
        assert (effects(), verdicts(), unionpay.calls) == (NOTHING, [("no_op", "")], [])

    @pytest.mark.parametrize("code", ["ZZ", "05", "03"])
    def test_codes_that_decide_nothing_lead_to_the_query(self, news, send, unionpay, code):
        unionpay.will(tells("ZZ"))
        assert send(form(sealed(news(respCode=code)))) == ACKNOWLEDGED
        work()
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])

    def test_another_merchants(self, news, send, unionpay):
        assert send(form(sealed(news(merId="898340183980106")))) == ACKNOWLEDGED
        assert (effects(), verdicts(), unionpay.calls) == (NOTHING, [("foreign", "")], [])

    def test_what_cannot_be_read_is_asked_for_again(self, news, send):
        assert send(form(sealed(news(txnTime="yesterday")))) == AGAIN
        assert effects() == ONE_CASE

    def test_a_refund_under_the_number_of_a_payment(self, news, send, unionpay):
        assert send(form(sealed(news(txnType="04")))) == ACKNOWLEDGED
        work()
        assert (effects(), Case.objects.get().kind) == (ONE_CASE, "provider_refund")
        assert unionpay.calls == []

    def test_a_refund_of_a_payment_is_put_before_a_person(self, attempt, news, send):
        ask_provider(attempt, actor="query")
        assert send(form(sealed(refunded("R20260103000001")))) == ACKNOWLEDGED
        case = Case.objects.get()
        assert (case.kind, case.order_id, case.amount_minor) == ("provider_refund", attempt.order_id, 200)

    def test_a_query_that_knows_nothing_before_the_time_is_over(self, attempt, unionpay):
        unionpay.will(says("34"))
        ask_provider(attempt, actor="query")
        attempt.refresh_from_db()
        assert (effects(), attempt.state) == (NOTHING, AttemptState.OPEN)
