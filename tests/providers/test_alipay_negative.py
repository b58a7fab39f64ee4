"""Messages to `POST /notify/alipay/{account}` that must not pay, and those that must, by their effects.

Line by line the negative list of docs/providers/alipay.md. Each refusal is followed by the genuine message,
which must still be taken: nothing that a stranger sends may stand in the way of real money.
"""

import pytest
from cryptography.hazmat.primitives import hashes
from django.test import Client

from channels_app.accounts import forget_accounts, save_account
from channels_app.models import Notification
from fulfillment.models import Balance
from orders.attempts import ask_provider
from orders.models import Case, Order, Payment, PaymentAttempt
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, timeline, verdicts
from tests.providers.alipay_side import (
    ALIPAY_SN,
    AlipaySide,
    certificate_mode,
    form,
    full_refund,
    partial_refund,
    request_parameters,
    sealed,
    signature,
    signed_text,
    succeeds,
    trade,
    unpaid_closing,
)

HELD = Effects(0, 1, 0, 0, 0, 0, 0, 1)
ONE_CASE = Effects(0, 0, 0, 0, 0, 0, 0, 1)
PURCHASE_AND_CASE = Effects(1, 1, 1, 2, 1, 2, 0, 1)


@pytest.fixture
def order(client, channel, api_key, alipay_account):
    """An order that the client has been handed an order string for."""
    order = make_order(client, api_key)
    opened = post(client, f"orders/{order.order_no}/pay", {"method": "alipay_app"}, bearer=api_key)
    assert opened.status_code == 200, opened.content
    parameters = request_parameters(opened.json()["params"]["order_string"])
    assert parameters["notify_url"].endswith("/notify/alipay/ali1")
    return order


@pytest.fixture
def send(client):
    def send(body: bytes, query: str = ""):
        return client.post(
            f"/notify/alipay/ali1{query}",
            body,
            content_type="application/x-www-form-urlencoded; charset=utf-8",
        )

    return send


def acknowledged(answer) -> bool:
    return (answer.status_code, answer.content) == (200, b"success")


def refused(answer) -> bool:
    return (answer.status_code, answer.content) == (401, b"fail")


def asked_again(answer) -> bool:
    return (answer.status_code, answer.content) == (503, b"fail")


def spoilt(old: bytes, new: bytes):
    """A genuine message with some bytes replaced on the way."""

    def spoil(fields: dict[str, str]) -> bytes:
        body = sealed(fields)
        assert body.count(old) == 1
        return body.replace(old, new)

    return spoil


def without(name: str):
    def leave_out(fields: dict[str, str]) -> bytes:
        whole = {**fields, "sign": signature(signed_text(fields).encode())}
        return form({key: value for key, value in whole.items() if key != name})

    return leave_out


FORGERIES = {
    "a changed amount": (spoilt(b"total_amount=6.00", b"total_amount=6.01"), "signature"),
    "a changed status": (spoilt(b"trade_status=TRADE_SUCCESS", b"trade_status=TRADE_FINISHED"), "signature"),
    "a changed blank": (spoilt(b"a_field_of_tomorrow=+kept", b"a_field_of_tomorrow=kept"), "signature"),
    "a number written otherwise": (spoilt(b"point_amount=1.00", b"point_amount=1.0"), "signature"),
    "an added field": (lambda fields: sealed(fields) + b"&extra=1", "signature"),
    "an added blank field": (lambda fields: sealed(fields) + b"&extra=", "signature"),
    "a second amount": (lambda fields: sealed(fields) + b"&total_amount=0.01", "form"),
    "a removed field": (without("gmt_payment"), "signature"),
    "a removed unknown field": (without("a_field_of_tomorrow"), "signature"),
    "a blank field dropped": (without("body"), "signature"),
    "a blank field left out of the text": (
        lambda fields: sealed(fields, without=("sign", "sign_type", "body")),
        "signature",
    ),
    "sign_type left in the text": (lambda fields: sealed(fields, without=("sign",)), "signature"),
    "a signature of the older kind": (
        lambda fields: sealed({**fields, "sign_type": "RSA"}, algorithm=hashes.SHA1()),  # noqa: S303
        "signature",
    ),
    "a signature of the older kind called RSA2": (
        lambda fields: sealed(fields, algorithm=hashes.SHA1()),  # noqa: S303
        "signature",
    ),
    "another's key": (lambda fields: sealed(fields, by="stranger"), "signature"),
    "our own key": (lambda fields: sealed(fields, by="alipay merchant"), "signature"),
    "no signature": (form, "signature"),
    "an empty signature": (lambda fields: form({**fields, "sign": ""}), "signature"),
    "a signature with a line break": (lambda fields: sealed(fields) + b"%0A", "signature"),
    "no form at all": (lambda fields: b'{"trade_status":"TRADE_SUCCESS"}', "form"),
    "nothing": (lambda fields: b"", "form"),
    "a charset that Alipay does not use": (spoilt(b"charset=utf-8", b"charset=utf-7"), "charset"),
    "bytes that are not of its charset": (lambda fields: sealed(fields) + b"&x=%FF%FE", "charset"),
}


class TestForgeries:
    """What is not Alipay's very message moves nothing, is refused by the check that failed, hinders nothing."""

    @pytest.mark.parametrize("name", FORGERIES)
    def test_move_nothing(self, order, send, name):
        forge, step = FORGERIES[name]
        assert refused(send(forge(trade(order.order_no))))
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("refused", step), ("applied", "")])

    @pytest.mark.parametrize("ending", [b"", b"%3D", b"%3D%3D%3D", b"%3D%3D=", b"+%3D%3D", b"%3D%3D%0A"])
    def test_with_another_spelling_of_the_signature_move_nothing(self, order, send, ending):
        body = sealed(trade(order.order_no))
        assert body.endswith(b"%3D%3D")  # a signature of 256 bytes, and it stands last
        assert refused(send(body.removesuffix(b"%3D%3D") + ending))
        assert effects() == NOTHING

    def test_are_kept_as_they_came(self, order, send):
        send(sealed(trade(order.order_no), by="stranger"))
        kept = Notification.objects.get()
        assert (kept.verdict, kept.failed_step) == ("refused", "signature")
        assert "sign=" not in kept.detail

    def test_cannot_be_helped_by_the_address(self, order, send):
        fields = trade(order.order_no)
        whole = sealed(fields)
        assert refused(send(without("total_amount")(fields), query="?total_amount=6.00"))
        assert effects() == NOTHING
        assert acknowledged(send(whole, query="?total_amount=0.01"))
        assert effects() == ONE_PURCHASE


class TestAPayment:
    """A genuine payment delivers once, however Alipay writes and repeats it."""

    def test_is_answered_with_exactly_seven_bytes(self, order, send):
        answer = send(sealed(trade(order.order_no)))
        assert (answer.status_code, answer.content, len(answer.content)) == (200, b"success", 7)
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert effects() == ONE_PURCHASE
        assert Balance.objects.get().paid == 60

    def test_repeated_changes_nothing_and_is_acknowledged(self, order, send):
        body = sealed(trade(order.order_no))
        assert [acknowledged(send(body)) for _ in range(8)] == [True] * 8
        assert effects() == ONE_PURCHASE
        assert verdicts() == [("applied", "")] + [("duplicate", "")] * 7

    def test_in_another_notification_of_the_same_trade_changes_nothing(self, order, send):
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert acknowledged(send(sealed(trade(order.order_no))))  # another notify_id and time
        assert effects() == ONE_PURCHASE

    def test_that_is_finished_first_delivers(self, order, send):
        assert acknowledged(send(sealed(trade(order.order_no, trade_status="TRADE_FINISHED"))))
        assert effects() == ONE_PURCHASE

    def test_that_is_finished_later_delivers_nothing_more(self, order, send):
        send(sealed(trade(order.order_no)))
        assert acknowledged(send(sealed(trade(order.order_no, trade_status="TRADE_FINISHED"))))
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("applied", ""), ("duplicate", "")])

    @pytest.mark.parametrize("charset", ["utf-8", "gbk", "GBK", "gb18030"])
    def test_in_a_chinese_charset_delivers(self, order, send, charset):
        assert acknowledged(send(sealed(trade(order.order_no, charset=charset), charset=charset)))
        assert effects() == ONE_PURCHASE

    def test_in_bytes_that_are_no_text_of_its_charset_moves_nothing(self, order, send):
        body = sealed(trade(order.order_no, charset="gbk"), charset="gbk")
        assert b"subject=%D7%EA%CA%AF" in body
        assert refused(send(body.replace(b"subject=%D7", b"subject=%FF")))
        assert (effects(), verdicts()) == (NOTHING, [("refused", "charset")])

    def test_that_calls_its_signature_rsa_is_still_verified_as_rsa2(self, order, send):
        assert acknowledged(send(sealed(trade(order.order_no, sign_type="RSA"))))
        assert effects() == ONE_PURCHASE

    def test_of_long_ago_delivers(self, order, send):
        old = {"notify_time": "2020-01-01 00:00:00", "gmt_create": "2020-01-01 00:00:00"}
        assert acknowledged(send(sealed(trade(order.order_no, **old))))
        assert effects() == ONE_PURCHASE


class TestMoneyThatDoesNotFit:
    """Rightly signed money is never lost: it is kept, put before a person, and gives nothing."""

    @pytest.mark.parametrize("amount", ["0.01", "5.99", "6.01", "600.00"])
    def test_of_another_amount_is_held(self, order, send, amount):
        assert acknowledged(send(sealed(trade(order.order_no, total_amount=amount))))
        assert (effects(), verdicts()) == (HELD, [("held", "")])
        assert (Case.objects.get().kind, Payment.objects.get().applied) == ("amount_differs", False)

    def test_of_another_currency_is_held(self, order, send):
        assert acknowledged(send(sealed(trade(order.order_no, trans_currency="USD"))))
        assert (effects(), Payment.objects.get().currency) == (HELD, "USD")

    def test_for_another_order_is_held(self, order, send):
        assert acknowledged(send(sealed(trade("20260102GNOBODYKNOWSTHIS"))))
        assert (effects(), verdicts()) == (HELD, [("orphan", "")])
        assert Case.objects.get().kind == "unknown_order"
        order.refresh_from_db()
        assert order.state == "pending"

    def test_of_a_second_trade_is_held(self, order, send):
        send(sealed(trade(order.order_no)))
        assert acknowledged(send(sealed(trade(order.order_no, trade_no="SECOND"))))
        assert effects() == Effects(1, 2, 1, 2, 1, 2, 0, 1)

    @pytest.mark.parametrize(
        "changes",
        [
            {"app_id": "2021000000000002"},
            {"app_id": "2021000000000002", "auth_app_id": "2021000000000002"},
            {"seller_id": "2088000000000002"},
        ],
    )
    def test_for_another_application_or_seller_moves_nothing(self, order, send, changes):
        assert acknowledged(send(sealed(trade(order.order_no, **changes))))
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert effects() == ONE_PURCHASE


class TestStatesThatAreNoPayment:
    """Waiting and closing deliver nothing; a payment that follows still does."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda number: trade(number, trade_status="WAIT_BUYER_PAY", gmt_payment=...),
            lambda number: trade(number, trade_status="WAIT_BUYER_PAY"),
            unpaid_closing,
            lambda number: trade(number, trade_status="TRADE_PENDING"),
            lambda number: trade(number, trade_status=""),
            lambda number: trade(number, trade_status=...),
        ],
    )
    def test_move_nothing(self, order, send, make):
        fields = make(order.order_no)
        assert acknowledged(send(sealed(fields)))
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])
        assert Notification.objects.get().attempt_no == order.order_no
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert effects() == ONE_PURCHASE

    def test_after_a_payment_take_nothing_back(self, order, send):
        send(sealed(trade(order.order_no)))
        for make in (unpaid_closing, lambda number: trade(number, trade_status="WAIT_BUYER_PAY")):
            assert acknowledged(send(sealed(make(order.order_no))))
        order.refresh_from_db()
        assert (effects(), order.state, order.delivery_state) == (ONE_PURCHASE, "paid", "delivered")


class TestRefundNotices:
    """A refund repeats TRADE_SUCCESS or says TRADE_CLOSED: it never delivers, and a person learns of it."""

    def test_in_part_delivers_nothing_more(self, order, send):
        send(sealed(trade(order.order_no)))
        body = sealed(partial_refund(order.order_no))
        assert [acknowledged(send(body)) for _ in range(3)] == [True] * 3
        assert effects() == PURCHASE_AND_CASE
        assert verdicts() == [("applied", "")] + [("held", "")] * 3
        case = Case.objects.get()
        assert (case.kind, case.order, case.amount_minor) == ("provider_refund", order, 200)
        assert "refund_notice" in timeline(order)

    def test_in_full_is_not_an_unpaid_closing(self, order, send):
        send(sealed(trade(order.order_no)))
        assert acknowledged(send(sealed(full_refund(order.order_no))))
        assert effects() == PURCHASE_AND_CASE
        assert (Case.objects.get().kind, Case.objects.get().amount_minor) == ("provider_refund", 600)
        order.refresh_from_db()
        assert order.state == "paid"

    @pytest.mark.parametrize("make", [partial_refund, full_refund])
    def test_of_a_payment_never_seen_settle_nothing(self, order, send, make):
        assert acknowledged(send(sealed(make(order.order_no))))
        assert (effects(), verdicts()) == (ONE_CASE, [("held", "")])
        order.refresh_from_db()
        assert order.state == "pending"

    def test_before_the_payment_do_not_stand_in_its_way(self, order, send):
        send(sealed(partial_refund(order.order_no)))
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert effects() == PURCHASE_AND_CASE

    def test_of_two_parts_are_two_cases(self, order, send):
        send(sealed(trade(order.order_no)))
        send(sealed(partial_refund(order.order_no)))
        send(sealed(partial_refund(order.order_no, refund_fee="4.00", out_biz_no="R2")))
        assert Case.objects.count() == 2
        assert effects().payments == 1

    def test_in_forged_form_move_nothing(self, order, send):
        send(sealed(trade(order.order_no)))
        assert refused(send(sealed(full_refund(order.order_no), by="stranger")))
        assert effects() == ONE_PURCHASE


class TestUnreadable:
    """A genuine message that we cannot read is asked for again, with a case; it applies nothing."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"total_amount": "six"},
            {"total_amount": ""},
            {"total_amount": "６.00"},
            {"total_amount": "0.00"},
            {"total_amount": "9" * 500},
            {"gmt_payment": "2026-02-30 00:00:00"},
            {"gmt_payment": "\x00"},
            {"trade_no": "nul\x00"},
            {"trade_no": ...},
            {"out_trade_no": ""},
            {"refund_fee": "two"},
        ],
    )
    def test_is_asked_for_again(self, order, send, changes):
        assert asked_again(send(sealed(trade(order.order_no, **changes))))
        assert (effects(), verdicts()) == (ONE_CASE, [("unreadable", "shape")])
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert effects() == PURCHASE_AND_CASE

    @pytest.mark.parametrize("value", ["\x00", "钻" * 500, "\u202e", "x" * 5000])
    @pytest.mark.parametrize(
        "name", ["trade_status", "notify_type", "app_id", "seller_id", "out_biz_no", "subject", "buyer_id"]
    )
    def test_is_no_odd_text_elsewhere(self, order, send, name, value):
        for make in (trade, partial_refund):
            assert acknowledged(send(sealed(make(order.order_no, **{name: value}))))
        assert {verdict for verdict, _ in verdicts()} <= {"applied", "duplicate", "held", "no_op", "foreign"}
        assert effects().payments <= 1


class TestCertificateMode:
    """A notification is verified with the certificate it names, and with no other."""

    @pytest.fixture
    def certificates(self, order, alipay_account):
        save_account(provider="alipay", code="ali1", environment="sandbox", credentials=certificate_mode())
        forget_accounts()

    @pytest.mark.parametrize("left_out", [(), ("alipay_cert_sn",)])
    def test_takes_its_name_inside_or_outside_the_signed_text(self, certificates, order, send, left_out):
        body = sealed(trade(order.order_no, alipay_cert_sn=ALIPAY_SN), without=("sign", "sign_type", *left_out))
        assert acknowledged(send(body))
        assert effects() == ONE_PURCHASE

    def test_takes_a_message_that_names_none(self, certificates, order, send):
        assert acknowledged(send(sealed(trade(order.order_no))))
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize("name", ["0" * 32, ALIPAY_SN.upper(), "\x00"])
    def test_refuses_a_certificate_it_does_not_know(self, certificates, order, send, name):
        assert refused(send(sealed(trade(order.order_no, alipay_cert_sn=name))))
        assert (effects(), verdicts()) == (NOTHING, [("refused", "serial")])

    def test_refuses_another_key_under_a_known_name(self, certificates, order, send):
        for by in ("stranger", "alipay merchant", "Ant Class 2 R1", "Ant Root R1"):
            assert refused(send(sealed(trade(order.order_no, alipay_cert_sn=ALIPAY_SN), by=by)))
        assert (effects(), set(verdicts())) == (NOTHING, {("refused", "signature")})


class TestAnswersThatAreTraps:
    """What the gateway answers to a question pays only when Alipay signed it about our own number."""

    @pytest.fixture
    def gateway(self, order, alipay_account):
        side = AlipaySide()
        credentials = {**alipay_account.credentials(), "gateway": side.gateway}
        save_account(provider="alipay", code="ali1", environment="sandbox", credentials=credentials)
        forget_accounts()
        yield side
        side.close()
        assert side.complaints == []

    @pytest.fixture
    def ask(self, order, gateway):
        def ask():
            return ask_provider(PaymentAttempt.objects.select_related("account").get(), actor="test")

        return ask

    def paid(self, order, **changes):
        fields = {
            "out_trade_no": order.order_no, "trade_no": "T1", "trade_status": "TRADE_SUCCESS",
            "total_amount": "6.00", "send_pay_date": "2026-01-02 11:04:05",
        }  # fmt: skip
        return {**fields, **changes}

    def test_braces_inside_a_text_do_not_hide_a_payment(self, order, gateway, ask):
        gateway.will(succeeds(**self.paid(order, store_name='}"{ \\ }')))
        ask()
        assert effects() == ONE_PURCHASE

    def test_an_unsigned_success_pays_nothing(self, order, gateway, ask):
        gateway.will(lambda call: _unsigned(succeeds(**self.paid(order))(call)))
        ask()
        assert effects() == NOTHING

    def test_a_node_that_comes_twice_pays_nothing(self, order, gateway, ask):
        gateway.will(lambda call: _doubled(succeeds(**self.paid(order))(call)))
        ask()
        assert effects() == NOTHING

    def test_an_answer_about_another_order_pays_nothing(self, order, gateway, ask):
        gateway.will(succeeds(**self.paid(order, out_trade_no="ANOTHER")))
        ask()
        assert effects() == NOTHING

    def test_a_question_and_a_notification_pay_once(self, order, gateway, ask, send):
        gateway.will(succeeds(**self.paid(order)))
        ask()
        assert acknowledged(send(sealed(trade(order.order_no, trade_no="T1"))))
        ask()
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("duplicate", "")])


def _unsigned(answer):
    head, _, _ = answer.body.partition(b',"sign"')
    answer.body = head + b"}"
    return answer


def _doubled(answer):
    answer.body = answer.body[:-1] + b"," + answer.body[1:]
    return answer


class TestTheDoor:
    """Only POST, only a known account; a stranger's method or address moves nothing."""

    def test_is_shut_for_other_methods_and_accounts(self, order):
        body = sealed(trade(order.order_no))
        client = Client()
        assert client.get("/notify/alipay/ali1").status_code == 405
        for path in ("/notify/alipay/ali2", "/notify/wechatpay/ali1"):
            assert client.post(path, body, content_type="application/x-www-form-urlencoded").status_code == 404
        assert (effects(), Notification.objects.count()) == (NOTHING, 0)
        assert Order.objects.get().state == "pending"
