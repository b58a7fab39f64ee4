"""Pushes: whose they are, what they say, and how Google's keys come and go without anybody waiting for them."""

import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers import google_push
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    Foreign,
    Hint,
    KeyNotKnown,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    OpenRequest,
    RawNotification,
)
from channels_app.providers.google import GoogleAdapter
from tests import keys
from tests.providers.google_side import (
    AUDIENCE,
    EMAIL,
    KID,
    ORDER,
    PRODUCT,
    SUBSCRIPTION,
    TOKEN,
    Answer,
    GoogleSide,
    b64url,
    bought,
    credentials,
    envelope,
    oidc,
    push,
    rs256,
    told,
    voided,
)
from tests.simulator.receiving import eventually


@pytest.fixture(scope="module")
def google():
    side = GoogleSide()
    yield side
    side.close()


@pytest.fixture(scope="module")
def adapter(google):
    """An account that holds Google's keys."""
    adapter = GoogleAdapter(credentials(base_url=google.url), live=False)
    adapter.probe("CHECK1")
    return adapter


@pytest.fixture
def side():
    side = GoogleSide()
    yield side
    side.close()


@pytest.fixture
def cold(side):
    """An account of a process that has just begun."""
    return GoogleAdapter(credentials(base_url=side.url), live=False)


def later(raw, *, by: timedelta):
    return RawNotification(headers=raw.headers, body=raw.body, received_at=raw.received_at + by)


def refusal(adapter, raw) -> str:
    with pytest.raises(NotificationRefused) as caught:
        adapter.read_notification(raw)
    return caught.value.step


class TestAPush:
    """A push proves nothing about money: it says which purchase to ask about."""

    @pytest.mark.parametrize(("kind", "said"), [(1, "PURCHASED"), (2, "CANCELED"), (3, "type 3"), ("1", "no type")])
    def test_of_a_purchase_is_a_hint(self, adapter, kind, said):
        hint = adapter.read_notification(push(bought(notificationType=kind)))
        about = AttemptRef(attempt_no="", method="google_play", handle=TOKEN, store_product_id=PRODUCT)
        assert (hint.said, hint.about) == (said, about)
        assert isinstance(hint, Hint)

    def test_of_a_voided_purchase_is_a_hint(self, adapter):
        hint = adapter.read_notification(push(voided()))
        assert isinstance(hint, Hint)
        assert (hint.said, hint.about.handle) == ("voided", TOKEN)

    def test_about_a_pending_refund_is_a_hint(self, adapter):
        about = {"version": "1.0", "pendingRefundToken": "r", "orderId": ORDER, "refundReason": 7}
        hint = adapter.read_notification(push(told("pendingRefundReviewNotification", about)))
        assert isinstance(hint, Hint)
        assert hint.said == "pending refund, reason 7"

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (told("testNotification", {"version": "1.0"}), "test"),
            (told("subscriptionNotification", {"notificationType": 4, "purchaseToken": "t"}), "subscription"),
            (told("tomorrowNotification", {"anything": [1]}), "tomorrow"),
            (told("somethingElse", {}), "no notification"),
            (told("oneTimeProductNotification", "a text"), "no notification"),
            (voided(productType=1), "voidedPurchase"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_of_anything_else_moves_nothing(self, adapter, data, said):
        assert adapter.read_notification(push(data)) == NothingToDo(said=said)

    def test_with_fields_to_come_is_read(self, adapter):
        assert isinstance(
            adapter.read_notification(push({**bought(), "tomorrow": 1}, deliveryAttempt=5, more={})), Hint
        )

    def test_may_stamp_its_time_as_a_number(self, adapter):
        data = {**bought(), "eventTimeMillis": 1763626530123}
        assert isinstance(adapter.read_notification(push(data)), Hint)

    def test_about_another_app_is_not_ours(self, adapter):
        data = {**bought(), "packageName": "com.example.other"}
        assert adapter.read_notification(push(data)) == Foreign(said="for com.example.other")

    def test_is_answered_by_its_status(self, adapter):
        replies = [adapter.reply(ack) for ack in (Ack.DONE, Ack.REFUSED, Ack.LATER)]
        assert [(reply.status, reply.body) for reply in replies] == [(204, b""), (401, b""), (503, b"")]

    def test_is_kept_with_the_header_that_proves_it(self):
        assert GoogleAdapter.keeps_authorization is True

    def test_claims_its_key_and_hour(self, adapter):
        claims = adapter.claims(push(bought(), oidc({"iat": 1763626530})))
        assert (claims.key, claims.known_keys) == (KID, (KID,))
        assert claims.sent_at == datetime.fromtimestamp(1763626530, UTC)

    @pytest.mark.parametrize(
        "token",
        ["", "x.y.z", oidc({"iat": "soon"}), oidc({"iat": -5}), oidc({"iat": 10**30})],
        ids=["none", "no token", "a text", "negative", "huge"],
    )
    def test_that_claims_nonsense_is_looked_at_without_fear(self, adapter, token):
        assert adapter.claims(push(bought(), token)).sent_at is None


class TestWhoPushed:
    """Any customer of Google's can push with some valid token of Google's: only ours counts."""

    @pytest.mark.parametrize(
        ("claims", "step"),
        [
            ({"iss": "https://accounts.example.com"}, "issuer"),
            ({"iss": "https://accounts.google.com/"}, "issuer"),
            ({"iss": ...}, "issuer"),
            ({"aud": "https://pay.example/notify/google/other"}, "audience"),
            ({"aud": [AUDIENCE]}, "audience"),
            ({"aud": ...}, "audience"),
            ({"email": "attacker@evil-1.iam.gserviceaccount.com"}, "email"),
            ({"email": EMAIL.upper()}, "email"),
            ({"email": ...}, "email"),
            ({"email_verified": False}, "email"),
            ({"email_verified": "true"}, "email"),
            ({"email_verified": 1}, "email"),
            ({"email_verified": ...}, "email"),
            ({"exp": ...}, "timestamp"),
            ({"iat": ...}, "timestamp"),
            ({"exp": "9999999999"}, "timestamp"),
            ({"iat": True}, "timestamp"),
        ],
        ids=str,
    )
    def test_must_be_our_subscription(self, adapter, claims, step):
        assert refusal(adapter, push(bought(), oidc(claims))) == step

    def test_may_be_named_by_the_older_issuer(self, adapter):
        assert isinstance(adapter.read_notification(push(bought(), oidc({"iss": "accounts.google.com"}))), Hint)

    def test_has_an_hour_and_a_minute(self, adapter):
        raw = push(bought())
        assert isinstance(adapter.read_notification(later(raw, by=timedelta(seconds=3655))), Hint)
        assert refusal(adapter, later(raw, by=timedelta(seconds=3665))) == "timestamp"
        assert isinstance(adapter.read_notification(later(raw, by=timedelta(seconds=-55))), Hint)
        assert refusal(adapter, later(raw, by=timedelta(seconds=-65))) == "timestamp"

    def test_is_judged_as_of_the_arrival(self, adapter):
        hours_ago = int(time.time()) - 5 * 3600
        raw = push(bought(), oidc({"iat": hours_ago, "exp": hours_ago + 3600}))
        assert refusal(adapter, raw) == "timestamp"
        assert isinstance(adapter.read_notification(later(raw, by=-timedelta(hours=5))), Hint)

    def test_must_be_signed_by_google(self, adapter):
        assert refusal(adapter, push(bought(), oidc(by="a stranger"))) == "signature"
        assert refusal(adapter, push(bought(), oidc(signature=b""))) == "header"
        assert refusal(adapter, push(bought(), oidc(signature=b"x" * 256))) == "signature"

    def test_must_have_said_every_word_of_it(self, adapter):
        head, claims, signature = oidc({"email": "attacker@evil-1.iam.gserviceaccount.com"}).split(".")
        other = json.loads(base64.urlsafe_b64decode(claims + "=="))
        forged = b64url(json.dumps({**other, "email": EMAIL}).encode())
        assert refusal(adapter, push(bought(), f"{head}.{forged}.{signature}")) == "signature"

    @pytest.mark.parametrize(
        "header",
        [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS512"}, {"alg": "PS256"}, {"alg": ...}, {"kid": ...}, {"kid": 7},
         {"kid": ""}, {"kid": "x" * 129}, {"kid": "a b"}],
        ids=str,
    )  # fmt: skip
    def test_must_say_so_in_the_one_documented_way(self, adapter, header):
        assert refusal(adapter, push(bought(), oidc(header=header))) == "header"

    def test_does_not_pass_by_our_public_key_as_a_password(self, adapter):
        """The classic: the public key, known to everybody, used as an HMAC secret."""
        text = ".".join(oidc(header={"alg": "HS256"}).split(".")[:2])
        secret = keys.certificate_pem("google").encode()
        mac = b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())
        assert refusal(adapter, push(bought(), f"{text}.{mac}")) == "header"

    def test_does_not_pass_with_a_key_it_brings_along(self, adapter):
        numbers = keys.key("a stranger").public_key().public_numbers()
        jwk = {"kty": "RSA", "n": b64url(numbers.n.to_bytes(256, "big")), "e": "AQAB", "kid": KID}
        forged = oidc(header={"jwk": jwk, "jku": "https://evil.example/keys"}, by="a stranger")
        assert refusal(adapter, push(bought(), forged)) == "signature"

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eA==", "bearer a.b.c", "Bearer a.b", "Bearer a.b.c.d",
                                        "Bearer " + "a" * 9000 + ".b.c", "Bearer a.b.c\n", "Bearer é.b.c"])  # fmt: skip
    def test_must_show_a_token(self, adapter, header):
        raw = push(bought())
        headers = {name: value for name, value in raw.headers.items() if name != "authorization"}
        if header is not None:
            headers["authorization"] = header
        raw = RawNotification(headers=headers, body=raw.body, received_at=raw.received_at)
        assert refusal(adapter, raw) == "header"

    @pytest.mark.parametrize("payload", [b"[]", b"text", b"\xff", b""])
    def test_must_claim_something(self, adapter, payload):
        head = b64url(json.dumps({"alg": "RS256", "kid": KID}).encode())
        text = f"{head}.{b64url(payload)}"
        token = f"{text}.{b64url(rs256('google', text.encode()))}"
        assert refusal(adapter, push(bought(), token)) == "header"

    def test_must_be_the_configured_subscription(self, adapter, google):
        assert refusal(adapter, push(bought(), subscription="projects/game-123/subscriptions/other")) == "subscription"
        assert refusal(adapter, push(bought(), subscription=...)) == "subscription"
        any_of_ours = GoogleAdapter(credentials(base_url=google.url, push_subscription=None), live=False)
        any_of_ours.probe("CHECK1")
        assert isinstance(any_of_ours.read_notification(push(bought(), subscription=SUBSCRIPTION + "2")), Hint)


class TestWhatCannotBeRead:
    """Pushed by our subscription, but not as documented: kept, put before a person, sent again."""

    GOOD = base64.b64encode(json.dumps(bought()).encode()).decode()

    @pytest.mark.parametrize(
        ("data", "step"),
        [
            (GOOD + "!", "base64"), (GOOD[:-2] + "\n" + GOOD[-2:], "base64"), (GOOD[1:], "base64"), ("eyJh-_8=", "base64"),
            ("e30", "base64"), ("ey==", "base64"), ("é", "base64"), ("", "json"), ("e30=", "shape"), ("W10=", "json"),
            (base64.b64encode(b"\xff\xfe").decode(), "json"), (base64.b64encode(b"[" * 50_000).decode(), "json"),
            (7, "json"), ({**bought(), "packageName": ""}, "shape"), ({**bought(), "eventTimeMillis": "soon"}, "shape"),
            ({**bought(), "eventTimeMillis": "１２３"}, "shape"), ({**bought(), "eventTimeMillis": 10**30}, "shape"),
            (bought(token=""), "shape"), (bought(purchaseToken=7), "shape"), (bought(token="a/b?c"), "shape"),
            (bought(token="x" * 1001), "shape"), (voided(purchaseToken=...), "shape"),
            (told("pendingRefundReviewNotification", {"orderId": "a b"}), "shape"),
        ],
        ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "data",
    )  # fmt: skip
    def test_is_said_by_its_step(self, adapter, data, step):
        with pytest.raises(NotificationUnreadable) as caught:
            adapter.read_notification(push(data))
        assert (caught.value.step, isinstance(caught.value, KeyNotKnown)) == (step, False)

    @pytest.mark.parametrize(
        ("body", "step"),
        [(b"", "json"), (b"\xff", "json"), (b"[]", "json"), (b"{}", "shape"), (json.dumps(bought()).encode(), "shape"),
         (b'{"message": "x"}', "shape"), (envelope(bought(), more="x" * 100_000), "json"),
         (json.dumps({"message": {}, "subscription": SUBSCRIPTION}).encode(), "base64"),
         (json.dumps({"message": {"data": 7}, "subscription": SUBSCRIPTION}).encode(), "base64")],
        ids=[str(number) for number in range(9)],
    )  # fmt: skip
    def test_of_the_whole_body_too(self, adapter, body, step):
        raw = push(bought())
        with pytest.raises(NotificationUnreadable) as caught:
            adapter.read_notification(RawNotification(headers=raw.headers, body=body, received_at=raw.received_at))
        assert caught.value.step == step

    def test_is_read_only_after_the_token_was_verified(self, adapter):
        raw = push(bought(), oidc(by="a stranger"))
        assert (
            refusal(adapter, RawNotification(headers=raw.headers, body=b"?", received_at=raw.received_at))
            == "signature"
        )


def knows_keys(adapter):
    return adapter.claims(push(bought())).known_keys


class TestGooglesKeys:
    """Fetched beside, never while a message is read; without them nothing is believed and nothing is refused."""

    def test_that_are_not_here_yet_make_the_message_wait(self, cold, side):
        raw = push(bought())
        with pytest.raises(KeyNotKnown):
            cold.read_notification(raw)
        eventually(lambda: knows_keys(cold))
        assert isinstance(cold.read_notification(raw), Hint)
        assert side.certificate_calls == 1

    def test_are_fetched_when_a_payment_is_opened(self, cold, side):
        cold.open_payment(
            OpenRequest(method="google_play", attempt_no="A1", due=Money(600, "CNY"), subject="60 gems", notify_url="",
                        expires_at=datetime.now(UTC), store_product_id=PRODUCT, player="p")
        )  # fmt: skip
        assert eventually(lambda: knows_keys(cold)) == (KID,)

    def test_never_make_a_reader_wait(self, cold, side):
        answered = threading.Event()
        side.certificates = Answer(raw=lambda handler: answered.wait(20))
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(KeyNotKnown):
                cold.read_notification(push(bought()))
        assert time.monotonic() - began < 2
        answered.set()
        assert side.certificate_calls <= 1

    def test_are_not_fetched_for_those_who_do_not_even_claim_to_be_ours(self, cold, side):
        for claims in ({"email": "attacker@evil-1.iam.gserviceaccount.com"}, {"aud": "x"}, {"iss": "x"}, {"exp": 7}):
            with pytest.raises(NotificationRefused):
                cold.read_notification(push(bought(), oidc(claims)))
        assert knows_keys(cold) == ()
        assert side.certificate_calls == 0

    def test_that_are_new_refuse_no_genuine_message(self, cold, side, monkeypatch):
        monkeypatch.setattr(google_push, "_ASK_AGAIN_S", 0.0)
        cold.probe("CHECK1")
        side.publishes(**{KID: "google", "next": "google next"})
        raw = push(bought(), oidc(header={"kid": "next"}, by="google next"))
        with pytest.raises(KeyNotKnown):
            cold.read_notification(raw)
        eventually(lambda: "next" in knows_keys(cold))
        assert isinstance(cold.read_notification(raw), Hint)
        assert isinstance(cold.read_notification(push(bought())), Hint)

    def test_that_google_withdraws_are_believed_no_longer(self, cold, side):
        cold.probe("CHECK1")
        side.publishes(next="google next")
        cold.probe("CHECK1")
        with pytest.raises(KeyNotKnown):
            cold.read_notification(push(bought()))

    def test_that_nobody_has_are_asked_for_now_and_then_only(self, cold, side):
        cold.probe("CHECK1")
        for number in range(50):
            with pytest.raises(KeyNotKnown):
                cold.read_notification(push(bought(), oidc(header={"kid": f"made-up-{number}"})))
        eventually(lambda: side.certificate_calls == 2)
        assert side.certificate_calls == 2

    def test_are_fetched_again_when_google_says_so(self, cold, side, monkeypatch):
        monkeypatch.setattr(google_push, "_ASK_AGAIN_S", 0.0)
        side.certificates.headers = {"Cache-Control": "public, max-age=100, must-revalidate", "Age": "100"}
        cold.probe("CHECK1")
        assert isinstance(cold.read_notification(push(bought())), Hint)  # believed while the new ones are fetched
        eventually(lambda: side.certificate_calls == 2)

    def test_are_kept_as_long_as_google_says(self, cold, side, monkeypatch):
        monkeypatch.setattr(google_push, "_ASK_AGAIN_S", 0.0)
        cold.probe("CHECK1")
        for _ in range(5):
            cold.read_notification(push(bought()))
        assert side.certificate_calls == 1

    def test_of_long_ago_are_believed_no_longer(self, cold, side, monkeypatch):
        monkeypatch.setattr(google_push, "_USABLE_AFTER_S", 0.0)
        side.certificates.headers = {"Cache-Control": "max-age=0"}
        cold.probe("CHECK1")
        side.certificates = Answer(status=500)
        with pytest.raises(KeyNotKnown):
            cold.read_notification(push(bought()))

    def test_are_believed_within_their_own_time_only(self, adapter):
        now = datetime.now(UTC) + timedelta(days=31)  # tests' certificates live thirty days
        stamp = int(now.timestamp())
        raw = push(bought(), oidc({"iat": stamp, "exp": stamp + 3600}))
        with pytest.raises(KeyNotKnown):
            adapter.read_notification(later(raw, by=timedelta(days=31)))

    @pytest.mark.parametrize(
        "answer",
        [Answer(status=500), Answer(body=b"[]"), Answer(body=b"{}"), Answer(body=b"<html>"), Answer(body=b'{"k": 7, "l": "x"}')],
        ids=["500", "list", "empty", "html", "no certificates"],
    )  # fmt: skip
    def test_are_not_replaced_by_nonsense(self, cold, side, monkeypatch, answer):
        monkeypatch.setattr(google_push, "_ASK_AGAIN_S", 0.0)
        side.certificates.headers = {"Cache-Control": "max-age=0"}
        cold.probe("CHECK1")
        side.certificates = answer
        for _ in range(3):
            assert isinstance(cold.read_notification(push(bought())), Hint)
        eventually(lambda: side.certificate_calls >= 2)
        assert knows_keys(cold) == (KID,)
