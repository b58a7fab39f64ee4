"""Calls to the App Store Server API over real HTTP: exact requests, nothing unsigned believed, errors that say enough."""

import contextlib
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers import apple_api, apple_keys, transport
from channels_app.providers.apple import AppleAdapter
from channels_app.providers.base import (
    AttemptRef,
    CloseAnswer,
    Foreign,
    NothingToDo,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Standing,
)
from tests.providers import apple_side
from tests.providers.apple_side import (
    NOT_FOUND,
    PRODUCT,
    UNAUTHENTICATED,
    Answer,
    AppleSide,
    chain,
    credentials,
    in_production,
    jws,
    knows,
    live_credentials,
    notification,
    now_ms,
    own_root,
    refuses,
    says,
    transaction,
)

NO = uuid.UUID("5f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d").hex
TX = "2000000123456789"
LOOKED_UP = f"/inApps/v1/transactions/{TX}"


@pytest.fixture
def apple():
    side = AppleSide()
    yield side
    side.close()
    assert side.complaints == []


@pytest.fixture
def sandbox_of_apple():
    side = AppleSide()
    yield side
    side.close()
    assert side.complaints == []


@pytest.fixture
def adapter(apple):
    return AppleAdapter(credentials(base_url=apple.url), live=False)


@pytest.fixture
def live(apple, sandbox_of_apple, monkeypatch):
    """An account of real money, in a world whose Apple is ours."""
    monkeypatch.setattr(apple_keys, "APPLE_ROOT", own_root())
    monkeypatch.setattr(apple_keys, "PRODUCTION_URL", apple.url)
    monkeypatch.setattr(apple_keys, "SANDBOX_URL", sandbox_of_apple.url)
    return AppleAdapter(live_credentials(), live=True)


def bought(**changes):
    return transaction(NO, {"transactionId": TX, **changes})


def asking(handle=TX):
    return AttemptRef(attempt_no=NO, method="apple_iap", handle=handle)


def refunding(**changes):
    about = {
        "refund_no": "R1", "attempt_no": NO, "transaction_id": TX, "amount": Money(600, "CNY"), "paid": Money(600, "CNY"),
        "reason": "player asked", "notify_url": "",
    }  # fmt: skip
    return RefundRequest(**{**about, **changes})


class TestOpening:
    """The app is told what to buy and by which UUID we shall know it again; Apple is not asked."""

    def test_names_product_token_and_quantity(self, adapter, apple):
        request = OpenRequest(
            method="apple_iap", attempt_no=NO, due=Money(600, "CNY"), subject="60 gems", notify_url="",
            expires_at=datetime.now(UTC), store_product_id=PRODUCT, quantity=3, player="f" * 32,
        )  # fmt: skip
        first, second = (adapter.open_payment(request) for _ in range(2))
        assert first == second
        assert first.kind is PayKind.STORE
        assert first.params == {
            "product_id": PRODUCT, "app_account_token": "5f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "quantity": 3,
        }  # fmt: skip
        assert apple.calls == []


class TestAsking:
    """An attempt can be asked about once a transaction was told for it; the answer is verified like any other word."""

    def test_before_a_transaction_is_told_asks_nobody(self, adapter, apple):
        assert adapter.query(asking(handle="")).standing is Standing.UNKNOWN
        assert adapter.close(asking(handle="")) is CloseAnswer.UNKNOWN
        assert apple.calls == []

    def test_after_it_proves_the_purchase(self, adapter, apple):
        apple.will(knows(bought()))
        answer = adapter.query(asking())
        assert (answer.standing, answer.said, answer.proof.attempt_no) == (Standing.PAID, "bought", NO)
        assert [(call.method, call.path) for call in apple.calls] == [("GET", LOOKED_UP)]
        assert adapter.close(asking()) is CloseAnswer.PAID

    def test_says_that_it_was_given_back(self, adapter, apple):
        apple.will(knows(bought(revocationDate=now_ms())))
        answer = adapter.query(asking())
        assert (answer.standing, answer.said, answer.proof.given_back) == (Standing.PAID, "given back", True)

    @pytest.mark.parametrize("code", [4040010, 4000006, 4040005])
    def test_about_what_apple_does_not_know_is_unknown(self, adapter, apple, code):
        apple.will(refuses(404, code))
        assert adapter.query(asking()).standing is Standing.UNKNOWN

    def test_about_a_subscription_decides_nothing(self, adapter, apple):
        apple.will(knows(bought(type="Auto-Renewable Subscription")))
        answer = adapter.query(asking())
        assert (answer.standing, answer.proof) == (Standing.UNDECIDED, None)

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (knows(bought(transactionId="1")), "answer_not_ours"),
            (knows(bought(appAccountToken=str(uuid.uuid4()))), "answer_not_ours"),
            (knows(bought(bundleId="com.example.other")), "answer_not_ours"),
            (knows(in_production(bought())), "answer_not_ours"),
            (says({"signedTransactionInfo": jws(bought(), by=chain("attacker"))}), "unverified_certificates"),
            (says({"signedTransactionInfo": jws(bought(), private=apple_side.key("attacker"))}), "unverified_signature"),
            (says({"signedTransactionInfo": jws(bought(), header={"alg": "none"}, signature=b"")}), "unverified_header"),
            (says({"signedTransactionInfo": "x"}), "unverified_form"),
            (says({"signedTransactionInfo": 7}), "answer_shape"),
            (says({"transaction": bought()}), "answer_shape"),
            (says([]), "answer_shape"),
            (Answer(200, b"<html>"), "answer_shape"),
            (knows(bought(productId=...)), "answer_shape"),
            (knows(bought(quantity="x")), "answer_shape"),
        ],
    )  # fmt: skip
    def test_never_believes_another_answer(self, adapter, apple, answer, code):
        apple.will(answer)
        with pytest.raises(ProviderUnavailable) as caught:
            adapter.query(asking())
        assert caught.value.code == code

    def test_about_a_reviewers_purchase_goes_to_the_sandbox(self, live, apple, sandbox_of_apple):
        sandbox_of_apple.will(knows(bought()))
        answer = live.query(asking(handle=f"sandbox:{TX}"))
        assert (answer.proof.transaction_id, answer.proof.test) == (f"sandbox:{TX}", True)
        assert (len(apple.calls), sandbox_of_apple.calls[0].path) == (0, LOOKED_UP)


class TestFinding:
    """A person has a number: of a transaction, or of the mail that Apple sent to the customer."""

    def test_by_transaction(self, adapter, apple):
        apple.will(knows(bought()))
        assert adapter.find(f" {TX} ").proof.transaction_id == TX

    def test_by_a_transaction_of_real_money_asks_production(self, live, apple, sandbox_of_apple):
        apple.will(knows(in_production(bought())))
        proof = live.find(TX).proof
        assert (proof.transaction_id, proof.test) == (TX, False)
        assert sandbox_of_apple.calls == []

    @pytest.mark.parametrize("first", [NOT_FOUND, UNAUTHENTICATED], ids=["unknown there", "app never released"])
    def test_by_a_number_that_production_does_not_know_asks_the_sandbox(self, live, apple, sandbox_of_apple, first):
        apple.will(first)
        sandbox_of_apple.will(knows(bought()))
        assert live.find(TX).proof.transaction_id == f"sandbox:{TX}"

    def test_that_nobody_knows_is_unknown(self, live, apple, sandbox_of_apple):
        apple.will(NOT_FOUND)
        assert live.find(TX).standing is Standing.UNKNOWN
        assert (len(apple.calls), len(sandbox_of_apple.calls)) == (1, 1)

    def test_by_the_order_on_the_customers_mail(self, adapter, apple):
        renewal = transaction(None, {"type": "Auto-Renewable Subscription"})
        apple.will(says({"status": 0, "signedTransactions": [jws(renewal), jws(bought())]}))
        assert adapter.find("mk5tt1x2y3").proof.transaction_id == TX
        assert apple.calls[0].path == "/inApps/v1/lookup/MK5TT1X2Y3"

    @pytest.mark.parametrize(
        "answer",
        [says({"status": 1}), says({"status": 1, "signedTransactions": []}), says({"status": 0}), NOT_FOUND,
         says({"status": 1, "signedTransactions": [jws(transaction(NO))]})],
    )  # fmt: skip
    def test_by_an_order_that_is_not_ours_is_unknown(self, adapter, apple, answer):
        apple.will(answer)
        assert adapter.find("MK5TT1X2Y3").standing is Standing.UNKNOWN

    def test_by_an_order_of_subscriptions_decides_nothing(self, adapter, apple):
        renewal = transaction(None, {"type": "Auto-Renewable Subscription"})
        apple.will(says({"status": 0, "signedTransactions": [jws(renewal)]}))
        assert adapter.find("MK5TT1X2Y3").standing is Standing.UNDECIDED

    @pytest.mark.parametrize("number", ["", "GPA.1234-5678", "4200/../x", "２０００", "sandbox:", "9" * 51])
    def test_by_what_is_no_number_of_apples_asks_nobody(self, adapter, live, apple, number):
        assert adapter.find(number).standing is Standing.UNKNOWN
        assert live.find(number).standing is Standing.UNKNOWN
        assert apple.calls == []


class TestChecking:
    """Whether the key works is seen by a no to a transaction that nobody has."""

    def test_is_answered_with_a_no(self, adapter, apple):
        apple.will(NOT_FOUND)
        answer = adapter.probe("CHECK1")
        assert (answer.said, answer.verified) == ("4040010: Transaction id not found.", False)
        assert apple.calls[0].path == "/inApps/v1/transactions/999999999999999999"

    def test_with_a_key_that_apple_does_not_take_says_so(self, adapter, apple):
        apple.will(UNAUTHENTICATED)
        with pytest.raises(ProviderRejected, match=r"^unauthenticated: .*never released"):
            adapter.probe("CHECK1")

    def test_before_the_first_release_asks_the_sandbox_about_the_key(self, live, apple, sandbox_of_apple):
        apple.will(UNAUTHENTICATED)
        sandbox_of_apple.will(NOT_FOUND)
        assert "not released" in live.probe("CHECK1").said
        sandbox_of_apple.will(UNAUTHENTICATED)
        with pytest.raises(ProviderRejected, match=r"^unauthenticated"):
            live.probe("CHECK1")

    def test_is_not_passed_by_somebody_who_knows_everything(self, adapter, apple):
        apple.will(knows(bought()))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.probe("CHECK1")


class TestRefunds:
    """Apple alone gives money back; whether it has can be asked."""

    def test_are_not_ours_to_give(self, adapter, apple):
        with pytest.raises(ProviderRejected) as caught:
            adapter.refund(refunding())
        assert (caught.value.code, caught.value.retryable, apple.calls) == ("not_offered", False, [])

    def test_are_found_among_the_customers(self, adapter, apple):
        other = transaction(None, {"revocationDate": now_ms()})
        mine = bought(revocationDate=1_767_323_045_000, revocationPercentage=50_000)
        apple.will(
            says({"signedTransactions": [jws(other)], "hasMore": True, "revision": "a b/1"}),
            says({"signedTransactions": [jws(mine)], "hasMore": False, "revision": "2"}),
        )
        answer = adapter.query_refund(refunding())
        assert (answer.standing, answer.amount, answer.refund_no) == (RefundStanding.SUCCEEDED, Money(300, "CNY"), "R1")
        assert (answer.provider_refund_id, answer.succeeded_at) == (
            f"apple:{TX}", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )  # fmt: skip
        path = f"/inApps/v2/refund/lookup/{TX}"
        assert [call.path for call in apple.calls] == [path, f"{path}?revision=a%20b%2F1"]

    def test_that_were_not_given_are_unknown(self, adapter, apple):
        apple.will(
            says({"signedTransactions": [jws(transaction(None, {"revocationDate": now_ms()}))], "hasMore": False})
        )
        assert adapter.query_refund(refunding()).standing is RefundStanding.UNKNOWN

    def test_are_not_believed_unsigned(self, adapter, apple):
        apple.will(says({"signedTransactions": [jws(bought(revocationDate=now_ms()), by=chain("attacker"))]}))
        with pytest.raises(ProviderUnavailable, match="unverified_certificates"):
            adapter.query_refund(refunding())


def entry(kind, inner=None, **about):
    return {"signedPayload": jws(notification(kind, jws(inner) if inner else None), **about), "sendAttempts": []}


class TestTheList:
    """What Apple has notified, or tried to, is listed for half a year: what was missed is found again."""

    since, until = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)

    def read(self, adapter):
        return list(adapter.happenings(since=self.since, until=self.until))

    def test_is_read_page_by_page(self, adapter, apple):
        apple.will(
            says({"notificationHistory": [entry("ONE_TIME_CHARGE", bought())], "hasMore": True, "paginationToken": "n+1"}),
            says({"notificationHistory": [entry("REFUND", bought(revocationDate=now_ms())), entry("TEST")], "hasMore": False,
                  "paginationToken": "n+1"}),
        )  # fmt: skip
        assert [type(message) for message in self.read(adapter)] == [PaymentProof, RefundNotice, NothingToDo]
        path = "/inApps/v1/notifications/history"
        assert [(call.method, call.path) for call in apple.calls] == [
            ("POST", path), ("POST", f"{path}?paginationToken=n%2B1"),
        ]  # fmt: skip
        asked = {"startDate": 1_767_312_000_000, "endDate": 1_767_398_400_000}
        assert [call.document for call in apple.calls] == [asked, asked]

    @pytest.mark.parametrize("page", [{}, {"notificationHistory": [], "hasMore": False}])
    def test_may_be_empty(self, adapter, apple, page):
        apple.will(says(page))
        assert self.read(adapter) == []

    def test_may_hold_what_is_not_ours_or_cannot_be_read(self, adapter, apple):
        apple.will(
            says({"notificationHistory": [entry("ONE_TIME_CHARGE", bought(bundleId="com.other")), entry("ONE_TIME_CHARGE"),
                                          entry("ONE_TIME_CHARGE", bought())]})
        )  # fmt: skip
        assert [type(message) for message in self.read(adapter)] == [Foreign, PaymentProof]

    def test_is_not_believed_where_apple_has_not_signed(self, adapter, apple):
        apple.will(
            says({"notificationHistory": [entry("ONE_TIME_CHARGE", bought()), entry("TEST", by=chain("attacker"))]})
        )
        read = adapter.happenings(since=self.since, until=self.until)
        assert isinstance(next(read), PaymentProof)
        with pytest.raises(ProviderUnavailable, match="unverified_certificates"):
            next(read)

    @pytest.mark.parametrize(
        "page",
        [{"notificationHistory": {}}, {"notificationHistory": [7]}, {"notificationHistory": [{}]}, {"hasMore": True},
         {"hasMore": True, "paginationToken": "always the same"}],
    )  # fmt: skip
    def test_of_another_shape_ends_the_reading(self, adapter, apple, page):
        apple.will(says(page))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            self.read(adapter)

    def test_reaches_back_half_a_year(self):
        assert timedelta(days=179) < AppleAdapter.reaches_back < timedelta(days=180)


class TestTokens:
    """Every call shows a token of our key; one is used for minutes, and never one that Apple has refused."""

    def test_are_used_again(self, adapter, apple):
        for _ in range(3):
            adapter.query(asking())
        assert len({call.headers["authorization"] for call in apple.calls}) == 1

    def test_are_made_anew_after_a_while(self, adapter, apple, monkeypatch):
        adapter.query(asking())
        later = time.monotonic() + 301
        monkeypatch.setattr(apple_api.time, "monotonic", lambda: later)
        time_of_signing = time.time() + 301
        monkeypatch.setattr(apple_api.time, "time", lambda: time_of_signing)
        adapter.query(asking())
        assert len({call.headers["authorization"] for call in apple.calls}) == 2

    def test_are_made_anew_after_a_refusal(self, adapter, apple):
        apple.will(UNAUTHENTICATED, NOT_FOUND)
        with pytest.raises(ProviderRejected):
            adapter.query(asking())
        adapter.query(asking())
        assert len({call.headers["authorization"] for call in apple.calls}) == 2

    def test_are_not_shown(self, adapter, apple, caplog):
        with caplog.at_level("DEBUG", "channels_app"):
            adapter.query(asking())
        token = apple.calls[0].headers["authorization"].removeprefix("Bearer ")
        assert token not in caplog.text
        assert "status=404" in caplog.text


class TestErrors:
    """An explicit no is final, a busy store is asked later, everything else means: the result is unknown."""

    @pytest.mark.parametrize(
        ("answer", "kind", "code"),
        [
            (UNAUTHENTICATED, ProviderRejected, "unauthenticated"),
            (refuses(401, 4010000), ProviderRejected, "unauthenticated"),
            (refuses(400, 4000001), ProviderRejected, "4000001"),
            (refuses(403, 4030000), ProviderRejected, "4030000"),
            (refuses(404, 4040001), ProviderRejected, "4040001"),
            (refuses(429, 4290000), ProviderBusy, "4290000"),
            (Answer(429, b""), ProviderBusy, "http_429"),
            (refuses(404, 4040002), ProviderUnavailable, "4040002"),
            (refuses(404, 4040004), ProviderUnavailable, "4040004"),
            (refuses(404, 4040006), ProviderUnavailable, "4040006"),
            (refuses(500, 5000000), ProviderUnavailable, "5000000"),
            (refuses(500, 5000001), ProviderUnavailable, "5000001"),
            (Answer(502, b"<html>"), ProviderUnavailable, "http_502"),
            (Answer(404, b"<html>not here"), ProviderUnavailable, "http_404"),
            (says({"errorCode": "4040010"}, 404), ProviderUnavailable, "http_404"),
            (says({"errorCode": True}, 404), ProviderUnavailable, "http_404"),
            (Answer(302, b"", {"Location": "http://127.0.0.1:9/"}), ProviderUnavailable, "http_302"),
        ],
    )  # fmt: skip
    def test_are_told_apart(self, adapter, apple, answer, kind, code):
        apple.will(answer)
        with pytest.raises(kind) as caught:
            adapter.query(asking())
        assert (type(caught.value), caught.value.code) == (kind, code)

    def test_hold_nothing_that_moves_a_cursor(self, adapter, apple):
        apple.will(refuses(400, 4000001, "no\x1b[2J" + "x" * 900))
        with pytest.raises(ProviderRejected) as caught:
            adapter.query(asking())
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 260

    @pytest.mark.parametrize(
        "cut", [lambda handler: None, lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")]
    )
    def test_of_a_cut_connection_leave_the_result_unknown(self, adapter, apple, cut):
        apple.will(Answer(raw=cut))
        with pytest.raises(ProviderUnavailable):
            adapter.query(asking())

    def test_of_a_silent_apple_leave_the_result_unknown(self, adapter, apple, monkeypatch):
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.2)

        def silent(handler):
            with contextlib.suppress(OSError):
                handler.connection.settimeout(5)
                handler.connection.recv(1)

        apple.will(Answer(raw=silent))
        with pytest.raises(ProviderUnavailable, match="read_timeout"):
            adapter.query(asking())
