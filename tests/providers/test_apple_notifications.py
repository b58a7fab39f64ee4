"""Reading what Apple signs: transactions from the device, notifications, and what each of them means."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers import apple_keys
from channels_app.providers.apple import AppleAdapter
from channels_app.providers.base import (
    Ack,
    Foreign,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    PaymentProof,
    RawNotification,
    RefundAsked,
    RefundNotice,
    RefundStanding,
    StoreGoods,
)
from tests.providers.apple_side import (
    APP,
    BUNDLE,
    PRODUCT,
    chain,
    credentials,
    in_production,
    jws,
    live_credentials,
    notification,
    now_ms,
    own_root,
    posted,
    told,
    transaction,
    unb64url,
)

NO = uuid.UUID("5f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d").hex
BOUGHT_AT = 1_767_323_045_678
BOUGHT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def clock(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(milliseconds=milliseconds % 1000)


def reader(adapter):
    def read(body: bytes):
        return adapter.read_notification(RawNotification(headers={}, body=body, received_at=datetime.now(UTC)))

    return read


@pytest.fixture(scope="module")
def adapter():
    return AppleAdapter(credentials(), live=False)


@pytest.fixture(scope="module")
def read(adapter):
    return reader(adapter)


@pytest.fixture
def live(monkeypatch):
    """An account of real money, in a world whose Apple is ours."""
    monkeypatch.setattr(apple_keys, "APPLE_ROOT", own_root())
    return AppleAdapter(live_credentials(), live=True)


class TestACharge:
    """ONE_TIME_CHARGE, and the transaction that the device hands in, prove what was bought; both the same."""

    def test_says_which_attempt_what_and_for_how_much(self, adapter, read):
        bought = transaction(NO, {"transactionId": "2000000123456789", "purchaseDate": BOUGHT_AT, "quantity": 3})
        proof = PaymentProof(
            attempt_no=NO,
            transaction_id="2000000123456789",
            paid=Money(600, "CNY"),
            paid_at=BOUGHT,
            bought=StoreGoods(product_id=PRODUCT, quantity=3),
            handle="2000000123456789",
        )
        assert read(told("ONE_TIME_CHARGE", bought)) == proof
        assert adapter.prove({"signed_transaction": jws(bought)}) == proof

    @pytest.mark.parametrize(
        ("price", "currency", "minor"),
        [
            (4990, "USD", 499), (600000, "JPY", 600), (1100000, "KRW", 1100), (30000, "TWD", 3000), (39990, "TRY", 3999),
            (0, "CNY", 0), (4995, "USD", 500), (1234567, "JPY", 1235),
        ],
    )  # fmt: skip
    def test_counts_in_the_minor_unit_of_the_buyers_currency(self, read, price, currency, minor):
        bought = transaction(NO, {"price": price, "currency": currency})
        assert read(told("ONE_TIME_CHARGE", bought)).paid == Money(minor, currency)

    @pytest.mark.parametrize("gone", ["price", "currency"])
    def test_that_tells_no_price_still_counts(self, read, gone):
        assert read(told("ONE_TIME_CHARGE", transaction(NO, {gone: ...}))).paid is None

    def test_names_its_attempt_in_either_case(self, read):
        bought = transaction(NO, {"appAccountToken": str(uuid.UUID(NO)).upper()})
        assert read(told("ONE_TIME_CHARGE", bought)).attempt_no == NO

    @pytest.mark.parametrize("token", [..., None, "", "player-7", NO, f"{{{uuid.UUID(NO)}}}", f"{uuid.UUID(NO)}\n"])
    def test_without_a_token_names_no_attempt_and_is_kept(self, read, token):
        message = read(told("ONE_TIME_CHARGE", transaction(NO, {"appAccountToken": token})))
        assert (type(message), message.attempt_no) == (PaymentProof, "")

    def test_of_something_given_back_says_so(self, read):
        assert read(told("ONE_TIME_CHARGE", transaction(NO, {"revocationDate": now_ms()}))).given_back is True

    @pytest.mark.parametrize("kind", ["Consumable", "Non-Consumable", "Non-Renewing Subscription"])
    def test_is_anything_paid_once(self, read, kind):
        bought = transaction(NO, {"type": kind, "quantity": ..., "inAppOwnershipType": ...})
        assert read(told("ONE_TIME_CHARGE", bought)).bought.quantity == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"type": "Auto-Renewable Subscription"}, {"type": "Something New"}, {"type": ...},
            {"inAppOwnershipType": "FAMILY_SHARED"}, {"inAppOwnershipType": "SOMETHING_NEW"},
        ],
    )  # fmt: skip
    def test_of_anything_else_moves_nothing(self, adapter, read, changes):
        other = transaction(NO, changes)
        assert isinstance(read(told("ONE_TIME_CHARGE", other)), NothingToDo)
        assert isinstance(adapter.prove({"signed_transaction": jws(other)}), NothingToDo)

    def test_with_an_offer_and_with_fields_to_come_counts(self, read):
        bought = transaction(
            NO, {"offerType": 3, "offerIdentifier": "SPRING", "offerPeriod": "P1M", "tomorrow": {"a": [1]}}
        )
        assert isinstance(read(told("ONE_TIME_CHARGE", bought, {"appTomorrow": 1}, data={"status": 99})), PaymentProof)

    def test_signed_long_ago_still_counts(self, adapter, read):
        then = now_ms() - 200 * 86_400_000
        bought = transaction(NO, {"signedDate": then})
        assert isinstance(read(told("ONE_TIME_CHARGE", bought, {"signedDate": then})), PaymentProof)
        # Its certificate has run out meanwhile; it was valid when Apple signed.
        old = jws(bought, by=chain(leaf_valid=(-300, -100)))
        assert isinstance(adapter.prove({"signed_transaction": old}), PaymentProof)

    def test_fetched_again_is_the_same_payment(self, adapter):
        bought = transaction(NO)
        again = {**bought, "signedDate": now_ms() + 5000}
        first, second = (adapter.prove({"signed_transaction": jws(each)}) for each in (bought, again))
        assert first == second


class TestARefund:
    """Apple gives money back on its own, in full or in part, and sometimes takes it again."""

    def test_names_the_payment_and_marks_it(self, read):
        bought = transaction(
            NO, {"transactionId": "2000000000000077", "revocationDate": BOUGHT_AT, "revocationReason": 1}
        )
        notice = read(told("REFUND", bought))
        assert isinstance(notice, RefundNotice)
        assert (notice.attempt_no, notice.transaction_id, notice.refund_no) == (
            NO, "2000000000000077", "apple:2000000000000077",
        )  # fmt: skip
        assert (notice.standing, notice.amount, notice.at) == (RefundStanding.SUCCEEDED, Money(600, "CNY"), BOUGHT)
        assert (notice.payment.given_back, notice.payment.attempt_no) == (True, NO)

    @pytest.mark.parametrize(
        ("share", "fen"), [(100_000, 600), (50_000, 300), (33_333, 200), (1, 0), (..., 600), (100_001, 600)]
    )
    def test_in_part_is_told_by_its_share(self, read, share, fen):
        bought = transaction(
            NO, {"revocationDate": now_ms(), "revocationType": "REFUND_PRORATED", "revocationPercentage": share}
        )
        assert read(told("REFUND", bought)).amount == Money(fen, "CNY")

    def test_marks_the_payment_even_where_the_transaction_does_not(self, read):
        signed_at = now_ms()
        notice = read(told("REFUND", transaction(NO), {"signedDate": signed_at}))
        assert notice.payment.given_back is True
        assert notice.at == clock(signed_at)

    def test_taken_back_is_the_same_refund_reversed(self, read):
        bought = transaction(NO)
        given = read(told("REFUND", {**bought, "revocationDate": now_ms()}))
        taken = read(told("REFUND_REVERSED", bought))
        assert (taken.standing, taken.refund_no) == (RefundStanding.REVERSED, given.refund_no)
        assert taken.payment.given_back is False

    def test_that_was_declined_moves_nothing(self, read):
        assert read(told("REFUND_DECLINED", transaction(NO))) == NothingToDo(said="REFUND_DECLINED", attempt_no=NO)

    def test_that_is_asked_about_has_twelve_hours(self, read):
        signed_at = now_ms() - 1000
        asked = read(
            told("CONSUMPTION_REQUEST", transaction(NO), {"signedDate": signed_at},
                 data={"consumptionRequestReason": "UNINTENDED_PURCHASE"})
        )  # fmt: skip
        assert isinstance(asked, RefundAsked)
        assert (asked.attempt_no, asked.due_by) == (NO, clock(signed_at) + timedelta(hours=12))
        assert asked.said == "CONSUMPTION_REQUEST UNINTENDED_PURCHASE"
        assert asked.payment.attempt_no == NO

    @pytest.mark.parametrize("kind", ["REFUND", "REFUND_REVERSED", "REFUND_DECLINED", "CONSUMPTION_REQUEST"])
    def test_of_a_subscription_moves_nothing(self, read, kind):
        assert isinstance(read(told(kind, transaction(NO, {"type": "Auto-Renewable Subscription"}))), NothingToDo)


class TestOtherNotifications:
    """Whatever else Apple tells, today or in years to come, is acknowledged and moves nothing."""

    @pytest.mark.parametrize(
        "kind",
        ["SUBSCRIBED", "DID_RENEW", "EXPIRED", "OFFER_REDEEMED", "PRICE_CHANGE", "REVOKE", "RESCIND_CONSENT",
         "METADATA_UPDATE", "MIGRATION", "SOMETHING_NEW"],
    )  # fmt: skip
    def test_move_nothing(self, read, kind):
        assert read(told(kind, transaction(NO), {"subtype": "NEW_TOO"})) == NothingToDo(said=f"{kind} NEW_TOO")

    def test_of_apples_own_test_move_nothing(self, read):
        assert read(told("TEST")) == NothingToDo(said="TEST")

    @pytest.mark.parametrize("identifier", ["SANDBOX_1f2e", "1f2e"], ids=["sandbox", "production"])
    def test_of_purchases_outside_move_nothing(self, read, live, identifier):
        token = {"externalPurchaseId": identifier, "tokenCreationDate": now_ms(), "appAppleId": APP, "bundleId": BUNDLE}
        body = posted(
            jws(
                notification(
                    "EXTERNAL_PURCHASE_TOKEN", None, {"data": ..., "externalPurchaseToken": token, "subtype": "CREATED"}
                )
            )
        )
        said = NothingToDo(said="EXTERNAL_PURCHASE_TOKEN CREATED")
        assert reader(live)(body) == said
        assert (read(body) == said) is identifier.startswith("SANDBOX")

    def test_that_name_neither_purchase_nor_app_are_nobodys(self, read):
        assert isinstance(read(posted(jws(notification("SOMETHING_NEW", None, {"data": ...})))), Foreign)


class TestEnvironments:
    """Play money never passes for real money, and real money never lands in a sandbox."""

    def test_at_a_sandbox_account_only_sandbox_counts(self, adapter, read):
        real = in_production(transaction(NO))
        assert read(told("ONE_TIME_CHARGE", real)) == Foreign(said="Production at a sandbox account")
        assert isinstance(adapter.prove({"signed_transaction": jws(real)}), Foreign)

    def test_real_money_counts_at_an_account_of_real_money(self, live):
        proof = reader(live)(told("ONE_TIME_CHARGE", in_production(transaction(NO, {"transactionId": "77"}))))
        assert (proof.transaction_id, proof.test, proof.handle) == ("77", False, "77")

    def test_a_reviewers_purchase_there_is_play_money_with_a_number_of_its_own(self, live):
        bought = transaction(NO, {"transactionId": "77"})
        for proof in (reader(live)(told("ONE_TIME_CHARGE", bought)), live.prove({"signed_transaction": jws(bought)})):
            assert (proof.transaction_id, proof.test, proof.handle) == ("sandbox:77", True, "sandbox:77")

    def test_a_reviewers_refund_is_told_by_the_same_number(self, live):
        notice = reader(live)(told("REFUND", transaction(NO, {"transactionId": "77", "revocationDate": now_ms()})))
        assert (notice.transaction_id, notice.refund_no) == ("sandbox:77", "apple:sandbox:77")

    @pytest.mark.parametrize("environment", ["Xcode", "LocalTesting", "Staging", "", None, ..., ["Sandbox"]])
    def test_others_never_count(self, adapter, live, environment):
        bought = transaction(NO, {"environment": environment})
        for account in (adapter, live):
            assert isinstance(outcome(account, jws(bought)), Foreign)
            # A developer's machine signs with a certificate of its own, which the library would not look at there.
            assert outcome(account, jws(bought, by=chain("a developer's machine"))) == "certificates"
            assert outcome(account, jws(bought, header={"alg": "none"}, signature=b"")) == "header"

    def test_of_notification_and_transaction_must_be_one(self, live):
        inner = jws(transaction(NO))
        body = posted(
            jws(notification("ONE_TIME_CHARGE", inner, data={"environment": "Production", "appAppleId": APP}))
        )
        assert isinstance(reader(live)(body), Foreign)


def outcome(adapter, signed: str):
    """What a client's receipt comes to: a message, or the step that refuses it."""
    try:
        return adapter.prove({"signed_transaction": signed})
    except NotificationRefused as refusal:
        return refusal.step


class TestOtherApplications:
    """Apple signs for millions of apps with the same key: what is not for ours is never applied."""

    def test_are_not_ours_by_bundle(self, adapter, read):
        other = transaction(NO, {"bundleId": "com.example.other"})
        assert outcome(adapter, jws(other)) == Foreign(said="for com.example.other")
        assert read(told("ONE_TIME_CHARGE", other)) == Foreign(said="for com.example.other")
        assert read(told("ONE_TIME_CHARGE", transaction(NO), data={"bundleId": "com.example.other"})) == Foreign(
            said="for com.example.other"
        )

    @pytest.mark.parametrize("number", [APP + 1, ..., str(APP + 1)])
    def test_are_not_ours_by_app_id(self, live, number):
        body = told("ONE_TIME_CHARGE", in_production(transaction(NO)), data={"appAppleId": number})
        assert reader(live)(body) == Foreign(said="for another app id")

    def test_hide_nothing_in_their_name(self, adapter):
        said = outcome(adapter, jws(transaction(NO, {"bundleId": "com.\n\x1b[2Jother" + "x" * 500}))).said
        assert said.isprintable()
        assert len(said) < 200


class TestWhatIsSignedButNoTransaction:
    """A genuine signature over something else proves nothing."""

    def test_is_not_taken_for_one(self, adapter):
        assert isinstance(outcome(adapter, jws(notification("ONE_TIME_CHARGE"))), Foreign)
        renewal = {"originalTransactionId": "1", "environment": "Sandbox", "signedDate": now_ms(), "autoRenewStatus": 1}
        assert isinstance(outcome(adapter, jws(renewal)), Foreign)
        application = {"receiptType": "Sandbox", "bundleId": BUNDLE, "receiptCreationDate": now_ms()}
        assert isinstance(outcome(adapter, jws(application)), Foreign)

    def test_is_not_taken_for_a_notification(self, read):
        assert isinstance(read(posted(jws(transaction(NO)))), Foreign)

    @pytest.mark.parametrize(
        "changes",
        [
            {"transactionId": ...}, {"transactionId": "2000\x00"}, {"transactionId": "４２"}, {"transactionId": "4" * 99},
            {"productId": ...}, {"productId": "a b"}, {"productId": ""}, {"purchaseDate": ...}, {"purchaseDate": -1},
            {"purchaseDate": 10**18}, {"purchaseDate": "soon"}, {"quantity": 0}, {"quantity": -1}, {"quantity": "many"},
            {"price": -1}, {"price": 10**18}, {"currency": "yuan"}, {"revocationDate": "x"},
        ],
    )  # fmt: skip
    def test_or_is_one_of_another_shape_is_not_lost_and_not_applied(self, adapter, read, changes):
        odd = transaction(NO, changes)
        with pytest.raises(NotificationUnreadable) as caught:
            read(told("ONE_TIME_CHARGE", odd))
        assert caught.value.step == "shape"
        assert outcome(adapter, jws(odd)) == "shape"

    @pytest.mark.parametrize(
        ("kind", "changes", "data"),
        [
            ("ONE_TIME_CHARGE", {}, {"signedTransactionInfo": ...}),
            ("REFUND", {"signedDate": ...}, {}),
            ("CONSUMPTION_REQUEST", {"signedDate": ...}, {}),
            ("ONE_TIME_CHARGE", {"summary": 5}, {}),
        ],
    )
    def test_or_is_a_notification_of_another_shape(self, read, kind, changes, data):
        with pytest.raises(NotificationUnreadable):
            read(told(kind, transaction(NO), changes, data=data))


class TestAnswers:
    """Apple looks at the status only: anything but 200 is sent again."""

    @pytest.mark.parametrize(("ack", "status"), [(Ack.DONE, 200), (Ack.REFUSED, 401), (Ack.LATER, 503)])
    def test_are_a_status_and_nothing_more(self, adapter, ack, status):
        reply = adapter.reply(ack)
        assert (reply.status, reply.body) == (status, b"")


class TestClaims:
    """What a message says of itself can be looked at, whoever wrote it."""

    def claims(self, adapter, body):
        return adapter.claims(RawNotification(headers={}, body=body, received_at=datetime.now(UTC)))

    def test_name_the_stamp_and_the_root(self, adapter):
        forged = told("TEST", None, {"signedDate": BOUGHT_AT}, by=chain("attacker"))
        claims = self.claims(adapter, forged)
        assert (claims.sent_at, claims.key) == (BOUGHT, serial(chain("attacker").root))
        assert claims.known_keys == (serial(chain().root),)

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"\xff", b"[]", b"[" * 100_000, b"{}", posted(7), posted(""), posted("..."), posted("a.b.c"), posted("é.\ud800.x"),
            posted(jws({"signedDate": "x"}, header={"x5c": "x"})), posted(jws({"signedDate": 10**40}, header={"x5c": []})),
            posted(jws(b"[1]", header={"x5c": [1, 2, 3]})), posted(jws(b"\xff", header={"x5c": ["!", "!", "AAAA"]})),
        ],
    )  # fmt: skip
    def test_are_empty_where_there_are_none(self, adapter, body):
        claims = self.claims(adapter, body)
        assert (claims.sent_at, claims.key) == (None, "")


def serial(made) -> str:
    return format(made.certificate.serial_number, "X")


class TestTampering:
    """What was signed cannot be made to say something else."""

    def test_of_a_changed_payload_are_refused(self, adapter):
        signed = jws(transaction(NO))
        head, body, signature = signed.split(".")
        other = json.loads(unb64url(body))
        richer = jws({**other, "quantity": 10}).split(".")[1]
        assert outcome(adapter, f"{head}.{richer}.{signature}") == "signature"

    @pytest.mark.parametrize("tail", ["=", "\n", " ", "A", ".", "é"])
    def test_with_something_at_the_end_are_refused(self, adapter, tail):
        assert outcome(adapter, jws(transaction(NO)) + tail) in ("form", "signature", "header")
