"""What we hand to TapTap's SDK, what we ask TapTap, and which answers we believe."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    CloseAnswer,
    CredentialsInvalid,
    Foreign,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RawNotification,
    Standing,
    StoreGoods,
)
from channels_app.providers.taptap import TapTapAdapter
from tests.providers.joint_side import Answer, says
from tests.providers.taptap_side import (
    CLIENT_ID,
    OPEN_ID,
    ORDER_ID,
    PRODUCT,
    SECRET,
    TOKEN,
    credentials,
    order,
    refuses,
    sign,
    taptap_side,
    tells,
    webhook,
)

NUMBER = "20260102G0123456789ABCDEFGHJK"
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)
HANDLE = f"{ORDER_ID} {TOKEN}"
ATTEMPT = AttemptRef(attempt_no=NUMBER, handle=HANDLE, store_product_id=PRODUCT)
PROOF = PaymentProof(
    attempt_no=NUMBER, transaction_id=ORDER_ID, paid=Money(600, "CNY"), paid_at=datetime(2026, 1, 2, 3, 24, 5, tzinfo=UTC),
    bought=StoreGoods(product_id=PRODUCT, quantity=1, store_sets_price=False), payer=OPEN_ID, handle=HANDLE,
)  # fmt: skip


@pytest.fixture(scope="module")
def side():
    side = taptap_side()
    yield side
    side.close()


@pytest.fixture
def taptap(side):
    side.calls.clear()
    side.complaints.clear()
    yield TapTapAdapter(credentials(base_url=side.url), live=False)
    assert side.complaints == []


class TestCredentials:
    """A file that could let strangers sign, or real money call elsewhere, is refused by the name of the field."""

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"client_id": ...}, "client_id"), ({"client_id": "a b"}, "client_id"),
            ({"server_secrets": ...}, "server_secrets"), ({"server_secrets": [""]}, "server_secrets"),
            ({"region": "moon"}, "region"), ({"region": ...}, "region"), ({"base_url": "x"}, "base_url"),
        ],
    )  # fmt: skip
    def test_are_refused(self, changes, field):
        with pytest.raises(CredentialsInvalid, match=field):
            TapTapAdapter(credentials(**changes), live=False)

    @pytest.mark.parametrize("region", ["china", "global"])
    def test_of_real_money_call_taptap_and_nobody_else(self, region):
        TapTapAdapter(credentials(base_url=..., region=region), live=True)
        with pytest.raises(CredentialsInvalid, match="base_url"):
            TapTapAdapter(credentials(region=region), live=True)


class TestTheDocumentedExample:
    """The one example that TapTap publishes is signed and read as published."""

    BODY = (
        b'{"event_type":"charge.succeeded","order":{"order_id":"1790288650833465345",'
        b'"purchase_token":"rT2Et9p0cfzq4fwjrTsGSacq0jQExFDqf5gTy1alp+Y=","client_id":"o6nD4iNavjQj75zPQk",'
        b'"open_id":"4+Axcl2RFgXbt6MZwdh++w==","user_region":"US","goods_open_id":"com.goods.open_id",'
        b'"goods_name":"TestGoodsName","status":"charge.succeeded","amount":"19000000000","currency":"USD",'
        b'"create_time":"1716168000","pay_time":"1716168000","extra":"1111111111111111111"}}'
    )
    SIGNATURE = "PyKQzlI65e0I9noVxcQc7FPU3nEyEFHKfRde65F6vhI="
    TARGET = "/my-service/v1/my-method"

    def test_is_signed_so(self):
        headers = {"X-Tap-Ts": "1716168000", "X-Tap-Nonce": "V7v7zJ"}
        assert sign("POST", self.TARGET, headers, self.BODY) == self.SIGNATURE

    def test_is_read_so(self, taptap):
        headers = {
            ":method": "POST", ":path": self.TARGET, "x-tap-ts": "1716168000", "x-tap-nonce": "V7v7zJ",
            "x-tap-sign": self.SIGNATURE,
        }  # fmt: skip
        at = datetime(2024, 5, 20, 1, 20, tzinfo=UTC)
        proof = taptap.read_notification(RawNotification(headers=headers, body=self.BODY, received_at=at))
        assert (proof.attempt_no, proof.paid, proof.bought.product_id) == (
            "1111111111111111111", Money(1900000, "USD"), "com.goods.open_id",
        )  # fmt: skip


class TestOpening:
    """Asks nobody: the SDK does the rest, one thing at a time."""

    def request(self, **changes):
        about = {
            "method": "taptap_pay", "attempt_no": NUMBER, "due": Money(600, "CNY"), "subject": "60 gems",
            "notify_url": "", "expires_at": NOW, "store_product_id": PRODUCT,
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def test_hands_out_what_the_sdk_wants(self, taptap, side):
        opened = taptap.open_payment(self.request())
        assert (opened.kind, opened.payer) == (PayKind.SDK, "")
        assert opened.params == {"productId": PRODUCT, "obfuscatedAccountId": NUMBER}
        assert side.calls == []

    def test_remembers_the_player_whom_the_game_names(self, taptap):
        assert taptap.open_payment(self.request(inputs={"channel_uid": OPEN_ID})).payer == OPEN_ID

    def test_of_several_is_refused(self, taptap):
        with pytest.raises(ProviderRejected, match="one thing"):
            taptap.open_payment(self.request(quantity=2))


class TestAsking:
    """What TapTap says about the very order; a word that we do not know decides nothing."""

    def test_proves_a_payment(self, taptap, side):
        side.will(tells(order(NUMBER)))
        assert taptap.query(ATTEMPT).proof == PROOF
        assert taptap.find(f" {ORDER_ID} ").proof == PROOF

    def test_needs_an_order_that_was_told(self, taptap, side):
        assert taptap.query(AttemptRef(attempt_no=NUMBER)).standing is Standing.UNKNOWN
        assert taptap.find("不是号码").standing is Standing.UNKNOWN
        assert side.calls == []

    @pytest.mark.parametrize(
        ("state", "standing", "given_back"),
        [
            ("charge.pending", Standing.WAITING, None), ("charge.confirmed", Standing.PAID, False),
            ("charge.overdue", Standing.CLOSED, None), ("refund.pending", Standing.PAID, False),
            ("refund.succeeded", Standing.PAID, True), ("refund.failed", Standing.PAID, False),
            ("refund.rejected", Standing.PAID, False), ("charge.a_word_of_tomorrow", Standing.UNDECIDED, None),
        ],
    )  # fmt: skip
    def test_knows_its_words(self, taptap, side, state, standing, given_back):
        side.will(tells(order(NUMBER, status=state)))
        answer = taptap.query(ATTEMPT)
        assert (answer.standing, answer.proof and answer.proof.given_back) == (standing, given_back)

    @pytest.mark.parametrize(
        ("state", "closing"),
        [
            ("charge.pending", CloseAnswer.CANNOT), ("charge.succeeded", CloseAnswer.PAID),
            ("charge.overdue", CloseAnswer.CLOSED), ("a.word", CloseAnswer.CANNOT),
        ],
    )  # fmt: skip
    def test_tells_whether_it_can_still_be_paid(self, taptap, side, state, closing):
        side.will(tells(order(NUMBER, status=state)))
        assert taptap.close(ATTEMPT) is closing
        assert taptap.close(AttemptRef(attempt_no=NUMBER)) is CloseAnswer.UNKNOWN

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (refuses(-1), ProviderRejected), (refuses(100000), ProviderUnavailable), (refuses(77), ProviderUnavailable),
            (refuses(100004, status=429), ProviderBusy), (refuses("100004"), ProviderUnavailable),
            (Answer(500), ProviderUnavailable), (Answer(200, b"<html>"), ProviderUnavailable),
            (says({"data": {}, "success": True}), ProviderUnavailable),
            (says({"data": {"order": order(NUMBER)}}), ProviderUnavailable),
            (tells(order(NUMBER, order_id="2")), ProviderUnavailable),
            (tells(order(NUMBER, client_id="other")), ProviderUnavailable),
            (tells(order("20260102G0123456789ABCDEFGHJZ")), ProviderUnavailable),
            (tells(order(NUMBER, amount="6000001")), ProviderUnavailable),
            (tells(order(NUMBER, amount="6.0")), ProviderUnavailable), (tells(order(NUMBER, amount=6e6)), ProviderUnavailable),
            (tells(order(NUMBER, amount="-6000000")), ProviderUnavailable),
            (tells(order(NUMBER, currency="yuan")), ProviderUnavailable),
            (tells(order(NUMBER, pay_time="0")), ProviderUnavailable), (tells(order(NUMBER, goods_open_id=...)), ProviderUnavailable),
        ],
    )  # fmt: skip
    def test_leaves_the_result_unknown(self, taptap, side, answer, error):
        side.will(answer)
        with pytest.raises(ProviderError) as raised:
            taptap.query(ATTEMPT)
        assert type(raised.value) is error
        assert SECRET not in str(raised.value)

    def test_checks_the_keys_with_an_order_that_cannot_exist(self, taptap, side):
        side.will(refuses(100004))
        assert taptap.probe("CHECK1").verified is False
        side.will(tells(order(NUMBER, order_id="CHECK1")))
        with pytest.raises(ProviderUnavailable, match="does not exist"):
            taptap.probe("CHECK1")


class TestConfirming:
    """TapTap hears that the goods were delivered, or says again that it has not."""

    def test_says_so(self, taptap, side):
        side.will(tells(order(NUMBER, status="charge.confirmed")))
        taptap.confirm(ATTEMPT, transaction_id=ORDER_ID)
        assert json.loads(side.calls[0].body) == {"order_id": ORDER_ID, "purchase_token": TOKEN}

    @pytest.mark.parametrize("state", ["charge.confirmed", "refund.pending", "refund.succeeded"])
    def test_is_done_when_it_was_said_before(self, taptap, side, state):
        side.will(refuses(100018), tells(order(NUMBER, status=state)))
        taptap.confirm(ATTEMPT, transaction_id=ORDER_ID)

    @pytest.mark.parametrize(
        ("answers", "error"),
        [
            ([refuses(100018), tells(order(NUMBER))], ProviderUnavailable), ([tells(order(NUMBER))], ProviderUnavailable),
            ([refuses(100004)], ProviderRejected), ([refuses(-1)], ProviderRejected), ([Answer(503)], ProviderUnavailable),
            ([tells(order(NUMBER, order_id="2", status="charge.confirmed"))], ProviderUnavailable),
        ],
    )  # fmt: skip
    def test_is_not_done_before_taptap_says_so(self, taptap, side, answers, error):
        side.will(*answers)
        with pytest.raises(error):
            taptap.confirm(ATTEMPT, transaction_id=ORDER_ID)

    @pytest.mark.parametrize("handle", ["", ORDER_ID, f"2 {TOKEN}"])
    def test_needs_the_token_of_this_order(self, taptap, side, handle):
        with pytest.raises(ProviderRejected, match="no_token"):
            taptap.confirm(AttemptRef(attempt_no=NUMBER, handle=handle), transaction_id=ORDER_ID)
        assert side.calls == []


class TestTheList:
    """What waits for delivery at TapTap is found without any webhook."""

    def listed(self, taptap):
        return list(taptap.happenings(since=NOW - timedelta(hours=1), until=NOW))

    def test_proves_payments(self, taptap, side):
        side.will(tells([order(NUMBER), order(NUMBER, order_id="2", client_id="another")]))
        proof, other = self.listed(taptap)
        assert (proof, type(other)) == (PROOF, Foreign)

    def test_is_read_past_what_cannot_be_read(self, taptap, side):
        side.will(tells([order(NUMBER, amount="1"), "nonsense", order(NUMBER)]))
        assert self.listed(taptap) == [PROOF]

    @pytest.mark.parametrize("answer", [refuses(100004), refuses(-1), says({"data": {}, "success": True})])
    def test_that_cannot_be_had_is_asked_for_again(self, taptap, side, answer):
        side.will(answer)
        with pytest.raises(ProviderError):
            self.listed(taptap)


class TestWords:
    """What TapTap wants to hear, and what a message says of itself."""

    @pytest.mark.parametrize(
        ("ack", "status", "code"), [(Ack.DONE, 200, "SUCCESS"), (Ack.REFUSED, 401, "FAIL"), (Ack.LATER, 503, "FAIL")]
    )
    def test_are_taptaps(self, taptap, ack, status, code):
        reply = taptap.reply(ack)
        assert (reply.status, json.loads(reply.body)["code"]) == (status, code)

    def test_claim_a_game_and_a_time(self, taptap):
        raw = RawNotification(headers={"x-tap-ts": "1767324245"}, body=webhook(order(NUMBER)), received_at=NOW)
        claims = taptap.claims(raw)
        assert (claims.key, claims.known_keys, claims.sent_at) == (CLIENT_ID, (CLIENT_ID,), PROOF.paid_at)
        for stamp, body in (("999999999999", b"{}"), ("now", b'{"order":{"client_id":[]}}'), ("", b"\xff")):
            claims = taptap.claims(RawNotification(headers={"x-tap-ts": stamp}, body=body, received_at=NOW))
            assert (claims.sent_at, claims.key) == (None, "")
