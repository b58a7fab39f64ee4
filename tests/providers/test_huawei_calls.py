"""What we hand to Huawei's SDK, what we ask Huawei, and which answers we believe."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from channels_app.money import Money
from channels_app.providers import huawei_api, huawei_keys
from channels_app.providers.base import (
    Ack,
    AttemptRef,
    CloseAnswer,
    CredentialsInvalid,
    Foreign,
    NothingToDo,
    NotificationRefused,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RawNotification,
    RefundNotice,
    RefundStanding,
    Standing,
    StoreGoods,
)
from channels_app.providers.huawei import HuaweiAdapter
from tests import keys
from tests.providers.huawei_side import (
    APP_ID,
    DONE,
    ORDER_ID,
    PRODUCT,
    SECRET,
    TOKEN,
    HuaweiSide,
    credentials,
    notice,
    purchase,
    refuses,
    signature,
    tells,
)
from tests.providers.joint_side import Answer, says

NUMBER = "20260102G0123456789ABCDEFGHJK"
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)
ATTEMPT = AttemptRef(attempt_no=NUMBER, handle=TOKEN, store_product_id=PRODUCT)
EVIDENCE = {"purchase_token": TOKEN, "store_product_id": PRODUCT}
PROOF = PaymentProof(
    attempt_no=NUMBER, transaction_id=ORDER_ID, paid=Money(600, "CNY"), paid_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    bought=StoreGoods(product_id=PRODUCT, quantity=1, store_sets_price=False), handle=TOKEN,
)  # fmt: skip


@pytest.fixture(scope="module")
def side():
    side = HuaweiSide()
    yield side
    side.close()


@pytest.fixture
def huawei(side):
    side.forget()
    side.will(tells(purchase(NUMBER)))
    yield HuaweiAdapter(credentials(base_url=side.url), live=False)
    assert side.complaints == []


@pytest.fixture
def of_real_money(huawei, side, monkeypatch):
    """An account of real money, for which Huawei itself listens at the side's address."""
    monkeypatch.setitem(huawei_keys.SITES, "china", side.url)
    monkeypatch.setattr(huawei_keys, "OAUTH", side.url)
    return HuaweiAdapter(credentials(base_url=...), live=True)


class TestCredentials:
    """A file without a key, or one that lets real money call elsewhere, is refused by the name of the field."""

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"app_id": ...}, "app_id"), ({"app_id": "C100"}, "app_id"), ({"app_secret": ...}, "app_secret"),
            ({"app_secret": "short"}, "app_secret"), ({"package_name": ...}, "package_name"),
            ({"public_key": ...}, "public_key"), ({"public_key": "MIIB"}, "public_key"), ({"site": "mars"}, "site"),
            ({"client_id": "a b"}, "client_id"), ({"base_url": "x"}, "base_url"),
        ],
    )  # fmt: skip
    def test_are_refused(self, changes, field):
        with pytest.raises(CredentialsInvalid, match=field):
            HuaweiAdapter(credentials(**changes), live=False)

    def test_take_the_key_as_pem_too(self):
        HuaweiAdapter(credentials(public_key=keys.public_pem("huawei iap")), live=False)

    @pytest.mark.parametrize("site", ["china", "europe", "asia", "russia"])
    def test_of_real_money_call_huawei_and_nobody_else(self, site):
        HuaweiAdapter(credentials(base_url=..., site=site, client_id="9"), live=True)
        with pytest.raises(CredentialsInvalid, match="base_url"):
            HuaweiAdapter(credentials(site=site), live=True)


class TestOpening:
    """Asks nobody: the SDK does the rest, one thing at a time."""

    def request(self, **changes):
        about = {
            "method": "huawei_iap", "attempt_no": NUMBER, "due": Money(600, "CNY"), "subject": "60 gems",
            "notify_url": "", "expires_at": NOW, "store_product_id": PRODUCT,
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def test_hands_out_what_the_sdk_wants(self, huawei, side):
        opened = huawei.open_payment(self.request())
        assert opened.kind is PayKind.SDK
        assert opened.params == {"productId": PRODUCT, "priceType": 0, "developerPayload": NUMBER}
        assert (side.calls, side.tokens) == ([], 0)

    def test_of_several_is_refused(self, huawei):
        with pytest.raises(ProviderRejected, match="one thing"):
            huawei.open_payment(self.request(quantity=2))


class TestAPurchase:
    """Huawei's signature over the very text proves it, and only what is ours, paid and the one asked about."""

    @pytest.mark.parametrize(
        "how",
        [
            {}, {"algorithm": "SHA256WithRSA"}, {"algorithm": "SHA256withRSA"}, {"algorithm": "SHA256WithRSA/PSS"},
            {"spaced": True},
        ],
    )  # fmt: skip
    def test_is_proved(self, huawei, side, how):
        side.will(tells(purchase(NUMBER), **how))
        assert huawei.prove(EVIDENCE) == PROOF
        assert json.loads(side.calls[0].body) == {"purchaseToken": TOKEN, "productId": PRODUCT}
        assert huawei.query(ATTEMPT).proof == PROOF

    @pytest.mark.parametrize(
        "changes",
        [
            {"price": "600"}, {"applicationId": APP_ID}, {"purchaseTime": "1767323045000"}, {"kind": 1},
            {"aMemberOfTomorrow": {}}, {"confirmed": 1, "consumptionState": 1},
        ],
    )  # fmt: skip
    def test_is_proved_in_every_spelling(self, huawei, side, changes):
        side.will(tells(purchase(NUMBER, **changes)))
        assert huawei.prove(EVIDENCE) == PROOF

    @pytest.mark.parametrize(
        ("changes", "paid"),
        [
            ({"price": 499, "currency": "USD"}, Money(499, "USD")), ({"price": 60000, "currency": "JPY"}, Money(600, "JPY")),
            ({"price": 0}, Money(0, "CNY")),
        ],
    )  # fmt: skip
    def test_counts_in_hundredths_of_every_currency(self, huawei, side, changes, paid):
        side.will(tells(purchase(NUMBER, **changes)))
        assert huawei.prove(EVIDENCE).paid == paid

    @pytest.mark.parametrize("payload", ["", "角色7", "a" * 300, 7])
    def test_may_name_no_order_of_ours(self, huawei, side, payload):
        side.will(tells(purchase(NUMBER, developerPayload=payload)))
        assert huawei.prove(EVIDENCE).attempt_no == ""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"purchaseState": -1}, "initialised"), ({"purchaseState": 1}, "cancelled"), ({"purchaseState": 3}, "pending"),
            ({"purchaseState": 4}, "purchase state 4"), ({"kind": 2}, "kind 2, purchased"),
        ],
    )  # fmt: skip
    def test_that_was_not_paid_once_proves_nothing(self, huawei, side, changes, said):
        side.will(tells(purchase(NUMBER, **changes)))
        assert huawei.prove(EVIDENCE) == NothingToDo(said=said, attempt_no=NUMBER, handle=TOKEN)

    def test_given_back_is_a_refund_with_its_payment(self, huawei, side):
        side.will(tells(purchase(NUMBER, purchaseState=2)))
        refund = huawei.prove(EVIDENCE)
        assert isinstance(refund, RefundNotice)
        assert (refund.standing, refund.payment) == (RefundStanding.SUCCEEDED, replace(PROOF, given_back=True))

    @pytest.mark.parametrize(
        "changes", [{"applicationId": 7}, {"packageName": "com.example.other"}, {"packageName": ...}]
    )
    def test_in_another_application_is_foreign(self, huawei, side, changes):
        side.will(tells(purchase(NUMBER, **changes)))
        assert isinstance(huawei.prove(EVIDENCE), Foreign)
        assert huawei.query(ATTEMPT).standing is Standing.UNDECIDED

    @pytest.mark.parametrize(
        "answer",
        [
            tells(purchase(NUMBER), by="stranger"), tells(purchase(NUMBER), dataSignature=...),
            tells(purchase(NUMBER), dataSignature=""), tells(purchase(NUMBER), algorithm="MD5WithRSA"),
            tells(purchase(NUMBER), algorithm="SHA256WithRSA/PSS", signatureAlgorithm="SHA256WithRSA"),
            tells(purchase(NUMBER), signatureAlgorithm="SHA256WithRSA/PSS"),
            tells(purchase(NUMBER), purchaseTokenData=json.dumps(purchase(NUMBER))),
            tells(purchase(NUMBER), dataSignature=signature("{}")), tells(purchase(NUMBER), dataSignature="é"),
            tells(purchase(NUMBER), purchaseTokenData="\ud800"),
        ],
    )  # fmt: skip
    def test_is_not_believed_without_huaweis_signature(self, huawei, side, answer):
        side.will(answer)
        with pytest.raises(ProviderUnavailable, match="unverified_signature"):
            huawei.prove(EVIDENCE)

    @pytest.mark.parametrize(
        "answer",
        [
            tells(purchase(NUMBER, purchaseToken="another")), tells(purchase(NUMBER, productId="com.other")),
            tells(purchase(NUMBER, price=601, currency="JPY")), tells(purchase(NUMBER, price="6.00")),
            tells(purchase(NUMBER, price=-600)), tells(purchase(NUMBER, currency="RMB元")),
            tells(purchase(NUMBER, purchaseTime=0)), tells(purchase(NUMBER, orderId="")),
            tells(purchase(NUMBER, purchaseState="0")), tells(purchase(NUMBER), purchaseTokenData=...),
            refuses("6"), refuses("99"), refuses(0), says([]), Answer(500), Answer(200, b"<html>"),
        ],
    )  # fmt: skip
    def test_stays_unknown_after_any_other_answer(self, huawei, side, answer):
        side.will(answer)
        for ask in (lambda: huawei.prove(EVIDENCE), lambda: huawei.query(ATTEMPT)):
            with pytest.raises(ProviderUnavailable):
                ask()

    @pytest.mark.parametrize("code", ["5", "8", "9", "11", "12"])
    def test_that_huawei_does_not_know_is_refused(self, huawei, side, code):
        side.will(refuses(code))
        with pytest.raises(ProviderRejected) as raised:
            huawei.prove(EVIDENCE)
        assert raised.value.code == code
        assert huawei.query(ATTEMPT).standing is Standing.UNDECIDED

    @pytest.mark.parametrize(
        "evidence", [{}, {**EVIDENCE, "purchase_token": "a" * 513}, {**EVIDENCE, "store_product_id": "宝石"}]
    )
    def test_of_no_token_is_not_even_asked_about(self, huawei, side, evidence):
        with pytest.raises(NotificationRefused, match="form"):
            huawei.prove(evidence)
        assert side.calls == []

    def test_asked_about_may_be_anothers(self, huawei, side):
        side.will(tells(purchase("20260102G0123456789ABCDEFGHJZ")))
        with pytest.raises(ProviderUnavailable, match="another attempt"):
            huawei.query(ATTEMPT)


class TestPlayMoney:
    """What Huawei's sandbox sold is marked at an account of real money; a type we do not know waits for a person."""

    @pytest.mark.parametrize(
        ("kind", "test", "review"), [(..., False, ""), (0, True, ""), (1, False, "purchase type 1")]
    )
    def test_is_marked(self, of_real_money, side, kind, test, review):
        side.will(tells(purchase(NUMBER, purchaseType=kind)))
        proof = of_real_money.prove(EVIDENCE)
        assert (proof.test, proof.review) == (test, review)

    def test_is_what_a_sandbox_account_is_for(self, huawei, side):
        side.will(tells(purchase(NUMBER, purchaseType=0)))
        assert huawei.prove(EVIDENCE) == PROOF


class TestClosing:
    """Nothing can be closed; what is begun may still be paid."""

    @pytest.mark.parametrize(
        ("state", "closing"),
        [
            (-1, CloseAnswer.CANNOT), (0, CloseAnswer.PAID), (1, CloseAnswer.CLOSED), (2, CloseAnswer.PAID),
            (3, CloseAnswer.CANNOT), (7, CloseAnswer.CANNOT),
        ],
    )  # fmt: skip
    def test_says_what_is_so(self, huawei, side, state, closing):
        side.will(tells(purchase(NUMBER, purchaseState=state)))
        assert huawei.close(ATTEMPT) is closing

    def test_of_what_nobody_has_told_asks_nobody(self, huawei, side):
        assert huawei.close(replace(ATTEMPT, handle="")) is CloseAnswer.UNKNOWN
        with pytest.raises(ProviderRejected, match="not_asked_so"):
            huawei.find(ORDER_ID)
        assert side.calls == []


class TestConfirming:
    """Huawei hears that the goods were delivered; hearing it again does no harm."""

    @pytest.mark.parametrize("answer", [DONE, refuses("9")])
    def test_is_done(self, huawei, side, answer):
        side.will(answer)
        huawei.confirm(ATTEMPT, transaction_id=ORDER_ID)
        (call,) = side.calls
        assert (call.path, json.loads(call.body)["purchaseToken"]) == ("/applications/v2/purchases/confirm", TOKEN)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [(refuses("8"), ProviderRejected), (refuses("6"), ProviderUnavailable), (Answer(500), ProviderUnavailable)],
    )
    def test_is_not_done_before_huawei_says_so(self, huawei, side, answer, error):
        side.will(answer)
        with pytest.raises(error):
            huawei.confirm(ATTEMPT, transaction_id=ORDER_ID)

    def test_needs_the_token(self, huawei, side):
        with pytest.raises(ProviderRejected, match="no_token"):
            huawei.confirm(replace(ATTEMPT, handle=""), transaction_id=ORDER_ID)
        assert side.calls == []


class TestTheList:
    """Purchases that were given back are found without any notification."""

    ROW = {
        "orderId": ORDER_ID, "productId": PRODUCT, "purchaseToken": TOKEN, "purchaseTime": 1767323045000,
        "cancelledTime": 1767326645000, "cancelledSource": 0, "cancelledReason": 3,
    }  # fmt: skip

    def listed(self, adapter):
        return list(adapter.happenings(since=NOW - timedelta(hours=1), until=NOW))

    def page(self, *rows, token=""):
        answer = {"responseCode": "0", "cancelledPurchaseList": json.dumps(rows)}
        return says({**answer, "continuationToken": token} if token else answer)

    def test_opens_a_case_for_each(self, huawei, side):
        other = json.dumps({**self.ROW, "orderId": "2"})
        side.will(self.page(self.ROW, token="next"), self.page(other))  # a page's
        first, second = self.listed(huawei)
        assert (first.transaction_id, first.refund_no, first.standing, first.payment) == (
            ORDER_ID, f"huawei:{ORDER_ID}", RefundStanding.SUCCEEDED, None,
        )  # fmt: skip
        assert (first.said, second.transaction_id) == ("cancelled by the buyer, reason 3", "2")
        asked = [json.loads(call.body) for call in side.calls]
        assert (asked[0]["startAt"], asked[0]["endAt"]) == (1767322800000, 1767326400000)
        assert asked[1]["continuationToken"] == "next"

    def test_may_be_empty(self, huawei, side):
        side.will(says({"responseCode": "0"}))
        assert self.listed(huawei) == []

    def test_is_read_past_what_cannot_be_read(self, huawei, side):
        side.will(self.page({**self.ROW, "cancelledTime": "soon"}, {}, {**self.ROW, "cancelledSource": 9}))
        assert [each.said for each in self.listed(huawei)] == ["cancelled by somebody, reason 3"]

    def test_that_never_ends_is_left(self, huawei, side):
        side.will(self.page(self.ROW, token="same"))  # a page's
        with pytest.raises(ProviderUnavailable, match="never ends"):
            self.listed(huawei)

    @pytest.mark.parametrize("text", ["7", "{", "[7]", '["x"]'])
    def test_of_another_form_is_asked_for_again(self, huawei, side, text):
        side.will(says({"responseCode": "0", "cancelledPurchaseList": text}))
        with pytest.raises(ProviderUnavailable, match="cancelledPurchaseList"):
            self.listed(huawei)

    def test_is_read_by_the_account_of_real_money(self, of_real_money, side):
        side.will(self.page(self.ROW))
        assert len(self.listed(of_real_money)) == 1
        assert self.listed(HuaweiAdapter(credentials(base_url=...), live=False)) == []


class TestAccessTokens:
    """One is used until it ends or Huawei refuses it; a wrong secret is no fault of a purchase."""

    def test_are_asked_for_once(self, huawei, side):
        for _ in range(3):
            huawei.query(ATTEMPT)
        assert side.tokens == 1

    def test_are_asked_for_again_when_they_end(self, huawei, side):
        side.token_answer = says({"access_token": "token+1/=", "expires_in": 60})
        huawei.query(ATTEMPT)
        side.token_answer = None
        huawei.query(ATTEMPT)
        assert side.tokens == 2

    def test_are_asked_for_again_when_huawei_refuses_an_old_one(self, huawei, side, monkeypatch):
        huawei.query(ATTEMPT)
        monkeypatch.setattr(huawei_api, "_NOT_RENEWED_WITHIN_S", -1)  # it is old at once
        side.will(Answer(401), tells(purchase(NUMBER)))
        assert huawei.query(ATTEMPT).standing is Standing.PAID
        assert side.tokens == 2

    def test_are_not_asked_for_again_and_again(self, huawei, side):
        side.will(Answer(401))
        for _ in range(3):
            with pytest.raises(ProviderUnavailable, match="unauthenticated"):
                huawei.query(ATTEMPT)
        assert side.tokens == 1

    @pytest.mark.parametrize(
        ("answer", "error", "code"),
        [
            (says({"error": 1101, "sub_error": 20012, "error_description": "invalid client"}, 400), ProviderUnavailable,
             "unauthenticated"),
            (Answer(500), ProviderUnavailable, "http_500"), (says({"error": 1}, 429), ProviderBusy, "http_429"),
            (says({"expires_in": 3600}), ProviderUnavailable, "answer_shape"),
            (says({"access_token": "a b", "expires_in": 1}), ProviderUnavailable, "answer_shape"),
            (says({"access_token": "a", "expires_in": None}), ProviderUnavailable, "answer_shape"),
            (Answer(200, b"{"), ProviderUnavailable, "answer_shape"),
        ],
    )  # fmt: skip
    def test_that_are_not_given_leave_everything_to_be_asked_again(self, huawei, side, answer, error, code):
        side.token_answer = answer
        with pytest.raises(ProviderError) as raised:
            huawei.prove(EVIDENCE)
        assert (type(raised.value), raised.value.code, raised.value.retryable) == (error, code, True)
        assert SECRET not in str(raised.value)


class TestWords:
    """What Huawei wants to hear, what a message says of itself, and how keys are checked."""

    @pytest.mark.parametrize(("ack", "status"), [(Ack.DONE, 200), (Ack.REFUSED, 401), (Ack.LATER, 503)])
    def test_are_a_status(self, huawei, ack, status):
        assert huawei.reply(ack).status == status

    def test_claim_an_application_and_a_time(self, huawei):
        claims = huawei.claims(RawNotification(headers={}, body=notice(), received_at=NOW))
        assert (claims.key, claims.known_keys, claims.sent_at) == (
            APP_ID, (APP_ID,), datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
        )  # fmt: skip
        for nonsense in (b"", b"[]", b'{"notifyTime": "soon"}'):
            assert huawei.claims(RawNotification(headers={}, body=nonsense, received_at=NOW)).sent_at is None

    def test_check_the_keys_with_a_purchase_that_cannot_exist(self, huawei, side):
        side.will(refuses("8"))
        assert huawei.probe("CHECK1").verified is False
        side.will(tells(purchase(NUMBER, purchaseToken="CHECK1", productId="check")))
        with pytest.raises(ProviderUnavailable, match="does not exist"):
            huawei.probe("CHECK1")
