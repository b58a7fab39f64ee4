"""Messages to `POST /notify/wechatpay/{account}` that must not pay, and those that must, by their effects.

Section by section the negative list of docs/providers/wechatpay.md. Each refusal is followed by the genuine
message, which must still be taken: nothing that a stranger sends may stand in the way of real money.
"""

import time

import pytest

from channels_app.accounts import forget_accounts, save_account
from channels_app.models import Notification
from orders.models import Case, Payment
from tests import keys
from tests.buying import attempt_at, make_order
from tests.effects import NOTHING, ONE_PURCHASE, Effects, effects, timeline, verdicts
from tests.providers.wechat_side import (
    both_modes,
    by_certificate,
    envelope,
    refund_notice,
    signed,
    transaction,
)

HELD = Effects(0, 1, 0, 0, 0, 0, 0, 1)
ONE_CASE = Effects(0, 0, 0, 0, 0, 0, 0, 1)
PURCHASE_AND_CASE = Effects(1, 1, 1, 2, 1, 2, 0, 1)


@pytest.fixture
def order(client, channel, api_key, wechat_account):
    order = make_order(client, api_key)
    attempt_at(order, wechat_account)
    return order


@pytest.fixture
def send(client):
    def send(body: bytes, headers: dict[str, str] | None = None):
        headers = signed(body) if headers is None else headers
        return client.post(
            "/notify/wechatpay/wx1", body, content_type="application/json; charset=utf-8", headers=headers
        )

    return send


def paid(order, changes=None, **about) -> bytes:
    """A payment message for an order; `about` goes to `envelope`."""
    return envelope(transaction(order.order_no, changes), **about)


def refunded(order, state="SUCCESS", changes=None) -> bytes:
    document = refund_notice(order.order_no, {"refund_status": state, **(changes or {})})
    return envelope(document, event=f"REFUND.{state}", associated_data="refund")


def acknowledged(answer) -> bool:
    return (answer.status_code, answer.content) == (204, b"")


def refused(answer) -> bool:
    return answer.status_code == 401 and answer.json()["code"] == "FAIL"


def asked_again(answer) -> bool:
    return answer.status_code == 503 and answer.json()["code"] == "FAIL"


def other_signature(headers):
    """A well-formed signature with one character changed."""
    signature = headers["Wechatpay-Signature"]
    return {**headers, "Wechatpay-Signature": ("B" if signature[0] == "A" else "A") + signature[1:]}


def without(name):
    return lambda body: (body, {key: value for key, value in signed(body).items() if key != name})


NOT_GENUINE = {
    "a tampered body": (lambda body: (body.replace(b"EV-", b"EV_"), signed(body)), "signature"),
    "one more byte": (lambda body: (body + b"\n", signed(body)), "signature"),
    "a tampered timestamp": (
        lambda body: (body, signed(body, at=time.time() - 9, timestamp=str(int(time.time())))),
        "signature",
    ),
    "a tampered nonce": (lambda body: (body, signed(body, nonce="0" * 32)), "signature"),
    "a tampered signature": (lambda body: (body, other_signature(signed(body))), "signature"),
    "junk as signature": (lambda body: (body, signed(body, signature="!!")), "signature"),
    "another key": (lambda body: (body, signed(body, by="wechat attacker")), "signature"),
    "our own key": (lambda body: (body, signed(body, by="wechat merchant")), "signature"),
    "an unknown serial": (
        lambda body: (body, signed(body, serial="PUB_KEY_ID_0000000000000000000000000000000001")),
        "serial",
    ),
    "a certificate we do not have": (lambda body: (body, by_certificate(body)), "serial"),
    "301 s old": (lambda body: (body, signed(body, at=time.time() - 301)), "timestamp"),
    "301 s early": (lambda body: (body, signed(body, at=time.time() + 302)), "timestamp"),
    "no timestamp": (without("Wechatpay-Timestamp"), "headers"),
    "no nonce": (without("Wechatpay-Nonce"), "headers"),
    "no signature": (without("Wechatpay-Signature"), "headers"),
    "no serial": (without("Wechatpay-Serial"), "headers"),
    "WeChat Pay's own probe": (lambda body: (body, signed(body, probe=True)), "probe"),
    "not even signed garbage": (lambda body: (b"\xff\xfe\x00", {}), "headers"),
}


class TestWhatIsNotGenuine:
    """Nothing of it is applied, the failed step is written down, and the genuine message still counts."""

    @pytest.mark.parametrize(("forge", "step"), NOT_GENUINE.values(), ids=NOT_GENUINE)
    def test_changes_nothing(self, send, order, forge, step):
        body, headers = forge(paid(order))
        assert refused(send(body, headers))
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        order.refresh_from_db()
        assert (order.state, timeline(order)) == ("pending", ["created"])

        assert acknowledged(send(paid(order)))
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("refused", step), ("applied", "")])

    def test_after_the_payment_takes_nothing_away(self, send, order):
        send(paid(order))
        for forge, _step in NOT_GENUINE.values():
            body, headers = forge(refunded(order))
            assert refused(send(body, headers))
        assert effects() == ONE_PURCHASE


class TestKeyModes:
    """While WeChat Pay moves a merchant to the public key, messages of both kinds are taken, in any turn."""

    def test_alternating(self, client, send, channel, api_key, wechat_account):
        save_account(provider="wechatpay", code="wx1", environment="sandbox", credentials=both_modes())
        forget_accounts()
        orders = [make_order(client, api_key) for _ in range(4)]
        for number, order in enumerate(orders):
            attempt_at(order, wechat_account)
            body = paid(order)
            assert acknowledged(send(body, (signed if number % 2 else by_certificate)(body)))
        # The first message once more, signed in the other mode.
        body = paid(orders[0])
        assert acknowledged(send(body, signed(body)))
        assert effects() == Effects(4, 4, 4, 8, 1, 8, 0, 0)
        assert verdicts() == [("applied", "")] * 4 + [("duplicate", "")]

    def test_never_mix_a_serial_with_the_other_kinds_key(self, send, order):
        save_account(provider="wechatpay", code="wx1", environment="sandbox", credentials=both_modes())
        forget_accounts()
        body = paid(order)
        assert refused(send(body, signed(body, by="wechat certificate")))
        assert refused(send(body, by_certificate(body, Serial=signed(body)["Wechatpay-Serial"])))
        assert (effects(), verdicts()) == (NOTHING, [("refused", "signature")] * 2)


UNREADABLE = {
    "not UTF-8": (lambda order: b"\xff\xfe{}", "json"),
    "not JSON": (lambda order: b"<xml><return_code>SUCCESS</return_code></xml>", "json"),
    "no object": (lambda order: b"[1]", "json"),
    "too deep": (lambda order: b"[" * 200_000, "json"),
    "no body": (lambda order: b"", "json"),
    "no resource": (lambda order: paid(order, outside={"resource": ...}), "shape"),
    "not UTF-8 inside": (lambda order: envelope(b"\xff\xfe{}"), "json"),
    "no number inside": (lambda order: paid(order, {"out_trade_no": ...}), "shape"),
    "NUL inside": (lambda order: paid(order, {"transaction_id": "4200\x00"}), "shape"),
    "a yuan amount": (lambda order: paid(order, {"amount.total": "6.00"}), "shape"),
    "an endless number": (lambda order: paid(order, {"transaction_id": "4" * 500}), "shape"),
    "another algorithm": (
        lambda order: paid(order, outside={"resource.algorithm": "AEAD_SM4_GCM"}),
        "algorithm",
    ),
}


class TestWhatIsGenuineButUnreadable:
    """Neither lost nor applied: WeChat Pay is asked to send it again, and one case calls for a person."""

    @pytest.mark.parametrize(("body_for", "step"), UNREADABLE.values(), ids=UNREADABLE)
    def test_is_asked_for_again(self, send, order, body_for, step):
        body = body_for(order)
        for _ in range(2):
            assert asked_again(send(body))
        assert (effects(), verdicts()) == (ONE_CASE, [("unreadable", step)] * 2)
        assert Case.objects.get().kind == "unreadable"

        assert acknowledged(send(paid(order)))
        assert effects() == PURCHASE_AND_CASE

    def test_for_the_wrong_apiv3_key_is_taken_once_the_key_is_right(self, send, order):
        body = paid(order, api_v3_key="another key, also of 32 letters.")
        assert asked_again(send(body))
        assert (effects(), verdicts()) == (ONE_CASE, [("unreadable", "decryption")])

        right = keys.wechat_credentials(api_v3_key="another key, also of 32 letters.")
        save_account(provider="wechatpay", code="wx1", environment="sandbox", credentials=right)
        forget_accounts()
        assert acknowledged(send(body))
        assert effects() == PURCHASE_AND_CASE

    def test_shows_no_key(self, send, order):
        send(paid(order, api_v3_key="another key, also of 32 letters."))
        shown = Notification.objects.get().detail + Case.objects.get().detail
        assert keys.wechat_credentials()["api_v3_key"] not in shown


class TestWhatIsForSomebodyElse:
    """Rightly signed for another merchant or application: acknowledged, never applied."""

    @pytest.mark.parametrize("changes", [{"mchid": "1900000110"}, {"appid": "wx0000000000000000"}])
    def test_pays_nothing(self, send, order, changes):
        assert acknowledged(send(paid(order, changes)))
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])
        order.refresh_from_db()
        assert order.state == "pending"

    def test_refunds_nothing(self, send, order):
        send(paid(order))
        assert acknowledged(send(refunded(order, changes={"mchid": "1900000110"})))
        assert (effects(), verdicts()) == (ONE_PURCHASE, [("applied", ""), ("foreign", "")])


class TestWhatDoesNotFit:
    """Money that is not exactly the price is kept and put before a person; nothing is given for it."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount.total": 599},
            {"amount.total": 601},
            {"amount.currency": "USD"},
            {"amount.currency": "HKD"},
        ],
    )
    def test_is_held(self, send, order, changes):
        assert acknowledged(send(paid(order, changes)))
        assert (effects(), verdicts()) == (HELD, [("held", "")])
        assert Case.objects.get().kind == "amount_differs"
        order.refresh_from_db()
        assert (order.state, order.delivery_state) == ("pending", "none")

    def test_is_not_judged_by_what_a_coupon_left_to_pay(self, send, order):
        assert acknowledged(send(paid(order, {"amount.payer_total": 1})))
        assert effects() == ONE_PURCHASE
        assert Payment.objects.get().amount_minor == 600

    def test_for_no_order_of_ours_is_kept_as_an_orphan(self, send, order):
        assert acknowledged(send(envelope(transaction("SOMEBODYELSES0001"))))
        assert (effects(), verdicts()) == (HELD, [("orphan", "")])
        assert Case.objects.get().kind == "unknown_order"


class TestWhatProvesNoPayment:
    """A state that is not SUCCESS, or an event that is none of ours, is acknowledged and moves nothing."""

    @pytest.mark.parametrize("state", ["NOTPAY", "CLOSED", "REVOKED", "USERPAYING", "PAYERROR", "REFUND", "NEW"])
    def test_by_its_state(self, send, order, state):
        assert acknowledged(send(paid(order, {"trade_state": state})))
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])

    def test_by_its_event(self, send, order):
        assert acknowledged(send(paid(order, event="TRANSACTION.SOMETHING_NEW")))
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])


class TestRepeats:
    """WeChat Pay sends one message many times, stamped anew each time; it counts once."""

    def test_of_the_very_same_bytes_and_headers(self, send, order):
        body = paid(order)
        headers = signed(body)
        for _ in range(3):
            assert acknowledged(send(body, headers))
        assert effects() == ONE_PURCHASE
        assert verdicts() == [("applied", ""), ("duplicate", ""), ("duplicate", "")]

    def test_stamped_anew(self, send, order):
        body = paid(order)
        for _ in range(3):
            assert acknowledged(send(body, signed(body)))
        assert (effects(), len(verdicts())) == (ONE_PURCHASE, 3)

    def test_under_another_notification_id(self, send, order):
        for _ in range(3):
            assert acknowledged(send(paid(order)))
        assert effects() == ONE_PURCHASE

    def test_of_a_second_payment_are_held_once(self, send, order):
        for transaction_id in ("4200A", "4200B", "4200B"):
            assert acknowledged(send(paid(order, {"transaction_id": transaction_id})))
        assert verdicts() == [("applied", ""), ("held", ""), ("duplicate", "")]
        assert effects() == Effects(1, 2, 1, 2, 1, 2, 0, 1)


class TestRefundMessages:
    """A refund that we did not start is put before a person, in whatever order messages arrive."""

    def test_before_the_payment_do_not_hide_it(self, send, order):
        assert acknowledged(send(refunded(order)))
        assert (effects(), verdicts()) == (ONE_CASE, [("held", "")])
        assert acknowledged(send(paid(order)))
        assert (effects(), verdicts()) == (PURCHASE_AND_CASE, [("held", ""), ("applied", "")])
        assert timeline(order) == ["created", "refund_notice", "paid", "delivered"]

    @pytest.mark.parametrize("state", ["SUCCESS", "ABNORMAL", "CLOSED"])
    def test_open_one_case_however_often_they_come(self, send, order, state):
        send(paid(order))
        body = refunded(order, state)
        for _ in range(2):
            assert acknowledged(send(body))
        assert effects() == PURCHASE_AND_CASE
        case = Case.objects.get()
        assert (case.kind, case.order_id, case.amount_minor) == ("provider_refund", order.pk, 100)
        assert state in case.detail

    def test_of_an_unknown_payment_are_kept_too(self, send, order):
        assert acknowledged(send(envelope(refund_notice("NOBODYS0001"), event="REFUND.SUCCESS")))
        assert (effects(), verdicts()) == (ONE_CASE, [("held", "")])


class TestOptionalMembers:
    """What the documentation calls optional may be missing."""

    @pytest.mark.parametrize("associated_data", [None, ""])
    def test_like_associated_data(self, send, order, associated_data):
        assert acknowledged(send(paid(order, associated_data=associated_data)))
        assert effects() == ONE_PURCHASE

    def test_like_everything_that_does_not_decide(self, send, order):
        few = dict.fromkeys(("payer", "bank_type", "trade_type", "trade_state_desc", "amount.payer_total"), ...)
        assert acknowledged(send(paid(order, few)))
        assert effects() == ONE_PURCHASE
