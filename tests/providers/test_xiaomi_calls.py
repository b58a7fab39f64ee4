"""What we hand to Xiaomi's SDK, what we ask Xiaomi, and which answers we believe."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    CloseAnswer,
    CredentialsInvalid,
    OpenRequest,
    PayKind,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RawNotification,
    Standing,
)
from channels_app.providers.xiaomi import XiaomiAdapter
from tests.providers.joint_side import Answer, says
from tests.providers.xiaomi_side import (
    APP_ID,
    SECRET,
    UID,
    credentials,
    order,
    query,
    refuses,
    signature,
    signed,
    signed_text,
    tells,
    xiaomi_side,
)

NUMBER = "20260102G0123456789ABCDEFGHJK"
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)
ATTEMPT = AttemptRef(attempt_no=NUMBER, payer=UID, expires_at=datetime.now(UTC) + timedelta(minutes=5))


@pytest.fixture(scope="module")
def side():
    side = xiaomi_side()
    yield side
    side.close()


@pytest.fixture
def xiaomi(side):
    side.calls.clear()
    side.complaints.clear()
    yield XiaomiAdapter(credentials(base_url=side.url), live=False)
    assert side.complaints == []


class TestCredentials:
    """A file that could let strangers sign, or real money call elsewhere, is refused by the name of the field."""

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"app_id": ...}, "app_id"), ({"app_id": "mi-1"}, "app_id"), ({"app_secrets": ...}, "app_secrets"),
            ({"app_secrets": []}, "app_secrets"), ({"app_secrets": [""]}, "app_secrets"),
            ({"app_secrets": SECRET}, "app_secrets"), ({"app_secrets": [SECRET, "short"]}, "app_secrets"),
            ({"base_url": "not an address"}, "base_url"),
        ],
    )  # fmt: skip
    def test_are_refused(self, changes, field):
        with pytest.raises(CredentialsInvalid, match=field):
            XiaomiAdapter(credentials(**changes), live=False)

    def test_of_real_money_call_xiaomi_and_nobody_else(self):
        XiaomiAdapter(credentials(base_url=...), live=True)
        with pytest.raises(CredentialsInvalid, match="base_url"):
            XiaomiAdapter(credentials(), live=True)

    def test_keep_their_secret(self):
        with pytest.raises(CredentialsInvalid) as raised:
            XiaomiAdapter(credentials(app_secrets=[SECRET, "too short"]), live=False)
        assert "too short" not in str(raised.value)
        assert SECRET not in repr(XiaomiAdapter(credentials(), live=False))


class TestOpening:
    """Asks nobody: the SDK does the rest, for the player whom the game has named."""

    def request(self, **changes):
        about = {
            "method": "xiaomi_pay", "attempt_no": NUMBER, "due": Money(600, "CNY"), "subject": "60 gems",
            "notify_url": "", "expires_at": NOW, "inputs": {"channel_uid": UID},
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def test_hands_out_what_the_sdk_wants(self, xiaomi, side):
        opened = xiaomi.open_payment(self.request())
        assert opened.kind is PayKind.SDK
        assert opened.params == {"cpOrderId": NUMBER, "uid": UID, "feeValue": 600, "productName": "60 gems"}
        assert (opened.payer, side.calls) == (UID, [])

    @pytest.mark.parametrize("inputs", [{}, {"channel_uid": ""}, {"channel_uid": "a b"}])
    def test_needs_the_player(self, xiaomi, inputs):
        with pytest.raises(ProviderRejected, match="channel_uid"):
            xiaomi.open_payment(self.request(inputs=inputs))


class TestAsking:
    """Only an answer signed with our AppSecret, about the very order, for the very player, says that it was paid."""

    @pytest.mark.parametrize("encoded", [True, False])
    def test_proves_a_payment(self, xiaomi, side, encoded):
        side.will(tells(NUMBER, encoded=encoded, partnerGiftConsume="100"))
        proof = xiaomi.query(ATTEMPT).proof
        assert (proof.attempt_no, proof.transaction_id, proof.paid) == (NUMBER, f"21{NUMBER}"[:32], Money(600, "CNY"))
        assert (proof.payer, proof.paid_at) == (UID, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    def test_needs_the_player(self, xiaomi, side):
        assert xiaomi.query(replace(ATTEMPT, payer="")).standing is Standing.UNKNOWN
        assert side.calls == []

    @pytest.mark.parametrize(
        ("state", "standing"),
        [
            ("WAIT_BUYER_PAY", Standing.WAITING), ("REPEAT_PURCHASE", Standing.UNDECIDED),
            ("TRADE_SUCCESSFUL", Standing.UNDECIDED),
        ],
    )  # fmt: skip
    def test_believes_no_other_word(self, xiaomi, side, state, standing):
        side.will(tells(NUMBER, orderStatus=state))
        assert xiaomi.query(ATTEMPT).standing is standing
        assert xiaomi.close(ATTEMPT) is CloseAnswer.CANNOT

    def test_gives_up_a_day_after_the_end(self, xiaomi, side):
        side.will(tells(NUMBER, orderStatus="WAIT_BUYER_PAY"))
        ended = {hours: replace(ATTEMPT, expires_at=datetime.now(UTC) - timedelta(hours=hours)) for hours in (23, 25)}
        assert xiaomi.query(ended[23]).standing is Standing.WAITING
        assert xiaomi.query(ended[25]).standing is Standing.CLOSED
        side.will(tells(NUMBER))
        assert xiaomi.query(ended[25]).standing is Standing.PAID

    @pytest.mark.parametrize("errcode", [1506, "1506", 1516])
    def test_knows_when_nobody_has_begun(self, xiaomi, side, errcode):
        side.will(refuses(errcode))
        assert xiaomi.query(ATTEMPT).standing is Standing.UNKNOWN
        assert xiaomi.close(ATTEMPT) is CloseAnswer.UNKNOWN
        assert xiaomi.probe("CHECK1").verified is False

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (refuses(1515), ProviderRejected), (refuses(1525), ProviderRejected), (refuses(9999), ProviderUnavailable),
            (Answer(500), ProviderUnavailable), (Answer(429), ProviderBusy), (Answer(200, b"<html>"), ProviderUnavailable),
            (Answer(200, b'"x"'), ProviderUnavailable), (Answer(302), ProviderUnavailable),
            (says(order(NUMBER)), ProviderUnavailable), (says({**order(NUMBER), "signature": ""}), ProviderUnavailable),
            (tells(NUMBER, secret="the AppKey, not it"), ProviderUnavailable),
            (says({**signed(order(NUMBER)), "payFee": "1"}), ProviderUnavailable),
            (says({**signed(order(NUMBER)), "productName": "\ud800"}), ProviderUnavailable),
            (tells("20260102G0123456789ABCDEFGHJZ"), ProviderUnavailable), (tells(NUMBER, uid="666"), ProviderUnavailable),
            (tells(NUMBER, appId="1"), ProviderUnavailable), (tells(NUMBER, payTime="2026-13-02 11:04:05"), ProviderUnavailable),
            (tells(NUMBER, payFee="0"), ProviderUnavailable), (tells(NUMBER, orderId=...), ProviderUnavailable),
        ],
    )  # fmt: skip
    def test_leaves_the_result_unknown(self, xiaomi, side, answer, error):
        side.will(answer)
        with pytest.raises(ProviderError) as raised:
            xiaomi.query(ATTEMPT)
        assert type(raised.value) is error
        assert SECRET not in str(raised.value)

    def test_cannot_be_done_by_xiaomis_number(self, xiaomi):
        with pytest.raises(ProviderRejected, match="not_asked_so"):
            xiaomi.find("2101234567")

    def test_checks_the_keys_with_an_order_that_cannot_exist(self, xiaomi, side):
        side.will(tells("CHECK1", uid="1"))
        with pytest.raises(ProviderUnavailable, match="does not exist"):
            xiaomi.probe("CHECK1")


class TestWords:
    """What Xiaomi wants to hear, and what a message says of itself."""

    @pytest.mark.parametrize(
        ("ack", "status", "errcode"), [(Ack.DONE, 200, 200), (Ack.REFUSED, 401, 1525), (Ack.LATER, 503, 3515)]
    )
    def test_are_xiaomis(self, xiaomi, ack, status, errcode):
        reply = xiaomi.reply(ack)
        assert (reply.status, reply.content_type) == (status, "application/json")
        assert f'"errcode": {errcode}'.encode() in reply.body

    def test_claim_a_game(self, xiaomi):
        body = query(order(NUMBER, appId="42")).encode()
        claims = xiaomi.claims(RawNotification(headers={}, body=body, received_at=NOW))
        assert (claims.key, claims.known_keys, claims.sent_at) == ("42", (APP_ID,), None)
        for nonsense in (b"", b"\xff", b"appId=1&appId=2"):
            assert xiaomi.claims(RawNotification(headers={}, body=nonsense, received_at=NOW)).key == ""

    def test_are_signed_as_openssl_signs_them(self):
        said = {"appId": "2882303761517239138", "cpOrderId": "9786bffc-996d-4553-aa33-f7e92c0b29d5", "uid": "100010"}
        assert signature(signed_text(said)) == "03283322fe0c3754c468b040bd09023a31d117d7"
