"""Calls to the Play Developer API over real HTTP: exact requests, both spellings of a purchase, errors that say enough."""

import contextlib
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from channels_app.money import Money
from channels_app.providers import google_keys, transport
from channels_app.providers.base import (
    AttemptRef,
    CloseAnswer,
    Foreign,
    Hint,
    NothingToDo,
    NotificationRefused,
    OpenedPayment,
    OpenRequest,
    PayKind,
    PaymentProof,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RefundAsked,
    RefundNotice,
    RefundRequest,
    RefundStanding,
    Standing,
    StoreGoods,
)
from channels_app.providers.google import GoogleAdapter
from tests.providers.google_side import (
    DONE,
    FORBIDDEN,
    NEVER_PAID,
    NO_METHOD,
    NO_ORDER,
    NOT_FOUND,
    ORDER,
    PLAYER,
    PRODUCT,
    REAL,
    TOKEN,
    Answer,
    GoogleSide,
    credentials,
    entry,
    live_credentials,
    now_ms,
    old_purchase,
    order,
    purchase,
    push,
    refunded_order,
    refuses,
    says,
    standing,
    told,
    voided,
)

NO = "20261125G7K3M9QX2V5T8WZ4R6N1A0"
EVIDENCE = {"purchase_token": TOKEN, "store_product_id": PRODUCT}
V2, V1, CONSUME = f"/purchases/productsv2/tokens/{TOKEN}", f"/purchases/products/{PRODUCT}/tokens/", ":consume"
ESCAPED = quote(TOKEN, safe="")
PAID_AT = datetime(2026, 11, 20, 8, 15, 30, 123456, tzinfo=UTC)
LIRA = Money(3999, "TRY")


@pytest.fixture(scope="module")
def world():
    """Google, an account at its sandbox and one of real money."""
    side = GoogleSide()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(google_keys, "API_URL", side.url)
        patch.setattr(google_keys, "TOKEN_URL", f"{side.url}/token")
        patch.setattr(google_keys, "CERTIFICATES_URL", f"{side.url}/oauth2/v1/certs")
        live = GoogleAdapter(live_credentials(), live=True)
    yield side, GoogleAdapter(credentials(base_url=side.url), live=False), live
    side.close()


@pytest.fixture
def google(world):
    side = world[0]
    side.forget()
    yield side
    assert side.complaints == []


@pytest.fixture
def adapter(google, world):
    return world[1]


@pytest.fixture
def live(google, world):
    return world[2]


def asking(**changes):
    about = {"attempt_no": NO, "method": "google_play", "handle": TOKEN, "store_product_id": PRODUCT, "payer": PLAYER}
    return AttemptRef(**{**about, **changes})


def refunding(**changes):
    about = {
        "refund_no": "R1", "attempt_no": NO, "transaction_id": ORDER, "amount": LIRA, "paid": LIRA, "reason": "asked",
        "notify_url": "", "handle": TOKEN,
    }  # fmt: skip
    return RefundRequest(**{**about, **changes})


class TestOpening:
    """The app is told what to buy and what to call the player and the attempt; Google is not asked."""

    def request(self, **changes):
        about = {
            "method": "google_play", "attempt_no": NO, "due": Money(600, "CNY"), "subject": "60 gems", "notify_url": "",
            "expires_at": datetime.now(UTC), "store_product_id": PRODUCT, "quantity": 2, "player": PLAYER,
        }  # fmt: skip
        return OpenRequest(**{**about, **changes})

    def test_says_it_in_the_words_of_the_billing_library(self, adapter, google):
        params = {"product_id": PRODUCT, "obfuscated_account_id": PLAYER, "obfuscated_profile_id": NO, "quantity": 2}
        opened = OpenedPayment(kind=PayKind.STORE, params=params, payer=PLAYER)
        assert adapter.open_payment(self.request()) == opened
        assert adapter.open_payment(self.request()) == opened
        assert google.calls == []

    @pytest.mark.parametrize("changes", [{"player": "p" * 65}, {"attempt_no": "A" * 65}])
    def test_never_says_more_than_google_takes(self, adapter, changes):
        with pytest.raises(ProviderRejected, match="id_too_long"):
            adapter.open_payment(self.request(**changes))

    def test_is_offered_for_any_currency_with_evidence_and_confirmation(self):
        method = GoogleAdapter.methods["google_play"]
        assert method.takes("TRY")
        assert (method.evidence, method.confirms) == (("purchase_token", "store_product_id"), True)


class TestAPurchase:
    """The API alone says what was bought, for whom, and what it cost."""

    def test_is_proved_by_its_token(self, adapter, google):
        google.knows(purchase(NO))
        proof = adapter.prove(EVIDENCE)
        assert proof == PaymentProof(
            attempt_no=NO, transaction_id=ORDER, paid=LIRA, paid_at=PAID_AT,
            bought=StoreGoods(product_id=PRODUCT, quantity=1), payer=PLAYER, handle=TOKEN,
        )  # fmt: skip
        assert google.paths == [f"GET /purchases/productsv2/tokens/{ESCAPED}", f"GET /orders/{ORDER}"]

    def test_is_the_same_however_it_was_heard_of(self, adapter, google):
        google.knows(purchase(NO))
        proof = adapter.prove(EVIDENCE)
        assert adapter.query(asking()).proof == proof
        assert adapter.follow(Hint(said="PURCHASED", about=asking(attempt_no=""))) == proof
        assert adapter.find(ORDER).proof == proof
        assert adapter.find(f" {ORDER.lower()} ").proof == proof
        assert adapter.find(TOKEN).proof == proof

    def test_of_several_pieces_says_how_many(self, adapter, google):
        google.knows(purchase(NO, quantity=3, refundableQuantity=3))
        assert adapter.prove(EVIDENCE).bought.quantity == 3

    def test_of_one_piece_need_not_say_so(self, adapter, google):
        google.knows(purchase(NO, quantity=..., refundableQuantity=...))
        assert adapter.prove(EVIDENCE).bought.quantity == 1

    @pytest.mark.parametrize("number", [None, "", "20261125g7", "X" * 65, "名", "A B"])
    def test_that_names_none_of_our_attempts_belongs_to_none(self, adapter, google, number):
        google.knows(purchase(number))
        assert adapter.prove(EVIDENCE).attempt_no == ""

    def test_need_not_name_the_player(self, adapter, google):
        google.knows(purchase(NO, {"obfuscatedExternalAccountId": ...}))
        assert adapter.prove(EVIDENCE).payer == ""

    def test_of_several_things_belongs_to_no_attempt(self, adapter, google):
        one = purchase(NO)["productLineItem"][0]
        google.knows(purchase(NO, {"productLineItem": [one, {**one, "productId": "coins"}]}))
        proof = adapter.prove(EVIDENCE)
        assert (proof.attempt_no, proof.bought) == ("", StoreGoods(product_id="gems60 + coins", quantity=2))

    def test_of_another_product_is_no_evidence_for_this_one(self, adapter, google):
        google.knows(purchase(NO, product_id="coins"))
        with pytest.raises(NotificationRefused, match=r"^product: "):
            adapter.prove(EVIDENCE)

    @pytest.mark.parametrize(
        "changes",
        [{"purchase_token": ""}, {"purchase_token": "a/b"}, {"purchase_token": "x" * 1001}, {"store_product_id": ""},
         {"store_product_id": "a b"}],
        ids=["no token", "a path", "long", "no product", "a space"],
    )  # fmt: skip
    def test_is_asked_about_with_a_token_and_a_product(self, adapter, google, changes):
        with pytest.raises(NotificationRefused, match=r"^form: "):
            adapter.prove({**EVIDENCE, **changes})
        assert google.calls == []

    def test_that_google_does_not_know_is_none(self, adapter, google):
        with pytest.raises(ProviderRejected, match="purchaseTokenNotFound"):
            adapter.prove(EVIDENCE)
        assert adapter.query(asking()).standing is Standing.UNKNOWN
        assert adapter.find(ORDER).standing is Standing.UNKNOWN

    @pytest.mark.parametrize("number", ["", "GPA.1", "4200001234", "token:abc", "x" * 39, f"{TOKEN}/x"])
    def test_cannot_have_every_number(self, adapter, google, number):
        assert adapter.find(number).standing is Standing.UNKNOWN

    def test_that_was_never_told_is_not_asked_about(self, adapter, google):
        assert adapter.query(asking(handle="")).standing is Standing.UNKNOWN
        assert google.calls == []

    def test_of_another_attempt_answers_no_question_about_this_one(self, adapter, google):
        google.knows(purchase("20261125G0000000000000000000A0"))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.query(asking())


class TestStandings:
    """What the state of a purchase means, in words and in the older figures; what we do not know decides nothing."""

    def look(self, adapter):
        answer, message = adapter.query(asking()), adapter.prove(EVIDENCE)
        return answer.standing, message

    @pytest.fixture(params=["words", "figures"])
    def stands(self, request, google):
        """Lets the purchase stand so, in one of the two spellings."""
        figures = {"PURCHASED": 0, "CANCELLED": 1, "PENDING": 2}

        def in_words(word, **changes):
            google.knows(purchase(NO, standing(word, **changes)))

        def in_figures(word, **changes):
            google.will("/orders/", says(order()))
            google.will(
                "/purchases/products/", says(old_purchase(NO, purchaseState=figures.get(str(word), word), **changes))
            )
            google.will("/purchases/productsv2/", NO_METHOD)

        return in_words if request.param == "words" else in_figures

    def test_bought(self, adapter, stands):
        stands("PURCHASED")
        was, message = self.look(adapter)
        assert (was, message.attempt_no, message.paid) == (Standing.PAID, NO, LIRA)
        assert (message.bought, message.payer) == (StoreGoods(product_id=PRODUCT, quantity=1), PLAYER)

    def test_waiting_for_cash(self, adapter, stands):
        stands("PENDING", **NEVER_PAID)
        was, message = self.look(adapter)
        assert was is Standing.WAITING
        assert (type(message), message.attempt_no, message.handle) == (NothingToDo, NO, TOKEN)
        assert adapter.close(asking()) is CloseAnswer.CANNOT

    def test_given_up_before_it_was_paid(self, adapter, stands):
        stands("CANCELLED", **NEVER_PAID)
        was, message = self.look(adapter)
        assert was is Standing.CLOSED
        assert (type(message), message.attempt_no, message.handle) == (NothingToDo, NO, TOKEN)
        assert adapter.close(asking()) is CloseAnswer.CLOSED

    def test_taken_back_after_it_was_paid(self, adapter, stands, google):
        stands("CANCELLED")
        google.will("/orders/", says(refunded_order()))
        was, message = self.look(adapter)
        assert was is Standing.PAID
        assert isinstance(message, RefundNotice)
        assert (message.attempt_no, message.transaction_id, message.refund_no) == (NO, ORDER, f"google:{ORDER}")
        assert (message.standing, message.amount, message.payment.given_back) == (RefundStanding.SUCCEEDED, LIRA, True)
        assert message.at == datetime(2026, 11, 21, tzinfo=UTC)
        assert adapter.query(asking()).proof.given_back is True
        assert adapter.close(asking()) is CloseAnswer.PAID

    @pytest.mark.parametrize(
        "word", ["PURCHASE_STATE_UNSPECIFIED", "TOMORROW", 7, "", None, ["PURCHASED"], {"a": 1}], ids=str
    )
    def test_unknown_words_decide_nothing(self, adapter, stands, word):
        stands(word)
        was, message = self.look(adapter)
        assert was is Standing.UNDECIDED
        assert isinstance(message, NothingToDo)
        assert adapter.close(asking()) is CloseAnswer.CANNOT

    def test_nobody_has_begun(self, adapter, google):
        assert adapter.close(asking(handle="")) is CloseAnswer.UNKNOWN
        assert google.calls == []
        assert adapter.close(asking()) is CloseAnswer.UNKNOWN

    def test_older_hosts_are_asked_the_older_way_only_where_the_product_is_known(self, adapter, google):
        google.will("/purchases/productsv2/", NO_METHOD)
        with pytest.raises(ProviderUnavailable, match="http_404"):
            adapter.query(asking(store_product_id=""))
        assert len(google.calls) == 1


class TestOddPurchases:
    """What must not be delivered by a program is kept with the reason."""

    def test_used_up_already_was_delivered_before(self, adapter, google):
        google.knows(purchase(NO, consumptionState="CONSUMPTION_STATE_CONSUMED"))
        proof = adapter.prove(EVIDENCE)
        assert (proof.attempt_no, proof.given_back) == (NO, False)
        assert "used up already" in proof.review

    @pytest.mark.parametrize(
        ("how", "words"), [(1, "promo code"), (2, "advertisement"), (9, "purchaseType 9"), ([1], "purchaseType")]
    )
    def test_that_nobody_paid_for_are_told_apart(self, live, google, how, words):
        google.knows(purchase(NO, {"orderId": ..., **REAL}))
        google.will("/purchases/products/", says(old_purchase(NO, orderId=..., purchaseType=how)))
        proof = live.prove(EVIDENCE)
        assert words in proof.review
        assert proof.paid is None

    def test_without_an_order_whose_origin_google_does_not_tell_are_too(self, live, google):
        google.knows(purchase(NO, {"orderId": ..., **REAL}))
        google.will("/purchases/products/", FORBIDDEN)
        assert "unknown way" in live.prove(EVIDENCE).review

    def test_without_an_order_have_a_name_that_the_token_makes(self, adapter, google):
        google.knows(purchase(NO, {"orderId": ...}))
        google.will("/purchases/products/", says(old_purchase(NO, orderId=...)))
        proof = adapter.prove(EVIDENCE)
        assert (proof.review, proof.paid) == ("", None)
        assert proof.transaction_id == adapter.prove(EVIDENCE).transaction_id
        assert proof.transaction_id.startswith("token:")
        assert len(proof.transaction_id) <= 64

    @pytest.mark.parametrize("state", ["REFUNDED", "PARTIALLY_REFUNDED", "PENDING_REFUND", "CANCELED"])
    def test_whose_money_is_gone_again_are_given_back(self, adapter, google, state):
        google.knows(purchase(NO), order(state=state))
        assert adapter.prove(EVIDENCE).given_back is True

    def test_given_back_in_part_are_so_without_their_order_too(self, adapter, google):
        google.knows(purchase(NO, quantity=3, refundableQuantity=2))
        google.will("/orders/", FORBIDDEN)
        assert adapter.prove(EVIDENCE).given_back is True

    @pytest.mark.parametrize("state", ["PENDING", "PROCESSED", "TOMORROW", ...])
    def test_are_not_those_whose_order_is_slow(self, adapter, google, state):
        google.knows(purchase(NO), order(state=state))
        assert adapter.prove(EVIDENCE).given_back is False

    @pytest.mark.parametrize(
        "changes",
        [{"productLineItem": ...}, {"productLineItem": []}, {"productLineItem": "x"}, {"productLineItem": ["x"]},
         {"productLineItem": [{"productId": 7}]}, {"productLineItem": [{"productId": "a b"}]},
         {"productLineItem": [{"productId": PRODUCT, "productOfferDetails": "x"}]}, {"purchaseStateContext": "PURCHASED"},
         {"purchaseCompletionTime": "yesterday"}, {"purchaseCompletionTime": 7}],
        ids=str,
    )  # fmt: skip
    def test_that_cannot_be_read_are_not_decided(self, adapter, google, changes):
        google.knows(purchase(NO, changes), order(createTime=...))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            adapter.prove(EVIDENCE)

    @pytest.mark.parametrize("quantity", [-1, "3", 1.0, True, 10**7], ids=str)
    def test_of_odd_quantities_are_not_decided(self, adapter, google, quantity):
        google.knows(purchase(NO, quantity=quantity))
        with pytest.raises(ProviderUnavailable, match="quantity"):
            adapter.prove(EVIDENCE)


class TestPrices:
    """What the buyer was charged stands in the order; no purchase waits for it."""

    @pytest.mark.parametrize(
        ("total", "paid"),
        [
            ({"currencyCode": "TRY", "units": "39", "nanos": 990000000}, LIRA),
            ({"currencyCode": "USD", "units": "5"}, Money(500, "USD")),
            ({"currencyCode": "USD", "nanos": 990000000}, Money(99, "USD")),
            ({"currencyCode": "USD"}, Money(0, "USD")),
            ({"currencyCode": "JPY", "units": "600"}, Money(600, "JPY")),
            ({"currencyCode": "KRW", "units": 6500, "nanos": 0}, Money(6500, "KRW")),
            ({"currencyCode": "USD", "units": "4", "nanos": 4999999}, Money(400, "USD")),
            ({"currencyCode": "USD", "units": "4", "nanos": 5000000}, Money(401, "USD")),
            ({"currencyCode": "USD", "units": "999999999999", "nanos": 999999999}, Money(10**14, "USD")),
            ({"currencyCode": "usd", "units": "4"}, None), ({"units": "4"}, None),
            ({"currencyCode": "USD", "units": "-4"}, None), ({"currencyCode": "USD", "units": "4.5"}, None),
            ({"currencyCode": "USD", "units": "４"}, None), ({"currencyCode": "USD", "units": 4.5}, None),
            ({"currencyCode": "USD", "units": "4", "nanos": -1}, None),
            ({"currencyCode": "USD", "units": "4", "nanos": 10**9}, None),
            ({"currencyCode": "USD", "units": "4", "nanos": "5"}, None), ("4.99", None), (..., None),
        ],
        ids=str,
    )  # fmt: skip
    def test_are_read_exactly_or_not_at_all(self, adapter, google, total, paid):
        google.knows(purchase(NO), order(total=total))
        assert adapter.prove(EVIDENCE).paid == paid

    @pytest.mark.parametrize(
        "answer", [FORBIDDEN, NO_ORDER, refuses(503, "backendError"), says([]), Answer(429, b"{}"), says(order(purchaseToken="x" * 50))],
        ids=["forbidden", "unknown", "unavailable", "list", "busy", "another purchase"],
    )  # fmt: skip
    def test_hold_nothing_up(self, adapter, google, answer):
        google.knows(purchase(NO))
        google.will("/orders/", answer)
        proof = adapter.prove(EVIDENCE)
        assert (proof.attempt_no, proof.paid, proof.given_back) == (NO, None, False)

    def test_of_another_purchases_order_do_not_count(self, adapter, google):
        google.knows(purchase(NO), refunded_order(purchaseToken="x" * 50))
        assert adapter.prove(EVIDENCE).given_back is False


class TestPlayMoney:
    """Licence testers' purchases never pass for real money, and real money never lands in a sandbox."""

    def test_is_marked_at_an_account_of_real_money(self, live, google):
        google.knows(purchase(NO))
        assert live.prove(EVIDENCE).test is True
        google.knows(purchase(NO, {"testPurchaseContext": {}}))
        assert live.prove(EVIDENCE).test is True

    def test_is_not_what_others_pay(self, live, google):
        google.knows(purchase(NO, REAL))
        assert live.prove(EVIDENCE).test is False
        google.will("/purchases/products/", says(old_purchase(NO, purchaseType=...)))
        google.will("/purchases/productsv2/", NO_METHOD)
        assert live.prove(EVIDENCE).test is False

    @pytest.mark.parametrize(
        "changes", [{}, standing("PENDING", **NEVER_PAID), standing("CANCELLED")], ids=["paid", "pending", "given back"]
    )
    def test_alone_counts_at_a_sandbox_account(self, adapter, google, changes):
        google.knows(purchase(NO, {**changes, **REAL}))
        assert adapter.prove(EVIDENCE) == Foreign(said="real money at a sandbox account", attempt_no=NO)
        assert adapter.query(asking()).standing is Standing.UNDECIDED


class TestConfirming:
    """After our delivery the purchase is used up, which acknowledges it: else Google gives the money back in three days."""

    def test_uses_it_up(self, adapter, google):
        google.will(CONSUME, DONE)
        adapter.confirm(asking(), transaction_id=ORDER)
        assert google.paths == [f"POST /purchases/products/{PRODUCT}/tokens/{ESCAPED}:consume"]
        assert google.calls[0].body == b""

    def test_again_is_fine_even_where_google_says_no(self, adapter, google):
        google.will("productsv2", says(purchase(NO, consumptionState="CONSUMPTION_STATE_CONSUMED")))
        google.will(CONSUME, refuses(400, "invalid"))
        adapter.confirm(asking(), transaction_id=ORDER)

    def test_refused_is_repeated_until_it_is_used_up(self, adapter, google):
        google.will("productsv2", says(purchase(NO)))
        google.will(CONSUME, refuses(400, "productNotOwnedByUser"))
        with pytest.raises(ProviderRejected, match="productNotOwnedByUser"):
            adapter.confirm(asking(), transaction_id=ORDER)

    def test_unheard_is_repeated(self, adapter, google):
        google.will(CONSUME, refuses(503, "backendError"))
        with pytest.raises(ProviderUnavailable):
            adapter.confirm(asking(), transaction_id=ORDER)

    @pytest.mark.parametrize("changes", [{"handle": ""}, {"store_product_id": ""}])
    def test_needs_the_token_and_the_product(self, adapter, google, changes):
        with pytest.raises(ProviderRejected, match="no_token"):
            adapter.confirm(asking(**changes), transaction_id=ORDER)
        assert google.calls == []


class TestRefunding:
    """All or nothing, with the product taken away; the same request again never gives back twice."""

    def test_gives_all_back(self, adapter, google):
        google.will("/orders/", says(refunded_order()))
        google.will(":refund", DONE)
        answer = adapter.refund(refunding())
        assert (answer.standing, answer.amount, answer.refund_no) == (RefundStanding.SUCCEEDED, LIRA, "R1")
        assert answer.provider_refund_id == f"google:{ORDER}"
        assert google.paths == [f"POST /orders/{ORDER}:refund?revoke=true", f"GET /orders/{ORDER}"]

    @pytest.mark.parametrize("state", ["PROCESSED", "PENDING_REFUND", "TOMORROW"])
    def test_takes_as_long_as_google_takes(self, adapter, google, state):
        google.will("/orders/", says(order(state=state)))
        google.will(":refund", DONE)
        assert adapter.refund(refunding()).standing is RefundStanding.PROCESSING

    def test_is_accepted_though_its_order_cannot_be_seen(self, adapter, google):
        google.will("/orders/", FORBIDDEN)
        google.will(":refund", DONE)
        assert adapter.refund(refunding()).standing is RefundStanding.PROCESSING

    def test_again_is_the_same_refund(self, adapter, google):
        google.will("/orders/", says(refunded_order()))
        google.will(":refund", refuses(400, "orderAlreadyRefunded"))
        assert adapter.refund(refunding()).standing is RefundStanding.SUCCEEDED

    @pytest.mark.parametrize("state", ["PROCESSED", "CANCELED", "PARTIALLY_REFUNDED"])
    def test_refused_is_refused(self, adapter, google, state):
        google.will("/orders/", says(order(state=state)))
        google.will(":refund", refuses(400, "orderNotRefundable"))
        with pytest.raises(ProviderRejected, match="orderNotRefundable"):
            adapter.refund(refunding())

    def test_unheard_may_have_happened(self, adapter, google):
        google.will(":refund", refuses(500, "backendError"))
        with pytest.raises(ProviderUnavailable):
            adapter.refund(refunding())

    def test_in_part_is_not_offered(self, adapter, google):
        with pytest.raises(ProviderRejected, match="not_offered"):
            adapter.refund(refunding(amount=Money(100, "TRY")))
        assert google.calls == []

    def test_of_what_has_no_order_is_impossible(self, adapter, google):
        for call in (adapter.refund, adapter.query_refund):
            with pytest.raises(ProviderRejected, match="no_order"):
                call(refunding(transaction_id="token:0123456789abcdef"))
        assert google.calls == []

    @pytest.mark.parametrize(
        ("state", "known"),
        [("REFUNDED", RefundStanding.SUCCEEDED), ("PENDING_REFUND", RefundStanding.PROCESSING),
         ("PROCESSED", RefundStanding.UNKNOWN), ("PARTIALLY_REFUNDED", RefundStanding.UNKNOWN),
         ("TOMORROW", RefundStanding.PROCESSING)],
    )  # fmt: skip
    def test_is_asked_about_by_its_order(self, adapter, google, state, known):
        google.will("/orders/", says(refunded_order(state=state)))
        assert adapter.query_refund(refunding()).standing is known


class TestVoidedPurchases:
    """What Google, a bank or somebody in Play Console gave back is told with its reason, and with the payment."""

    def listed(self, adapter, since=timedelta(days=1), until=timedelta(0)):
        now = datetime.now(UTC)
        return list(adapter.happenings(since=now - since, until=now - until))

    def test_are_listed_with_their_payment(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")), refunded_order())
        google.will("voidedpurchases", says({"voidedPurchases": [entry()]}))
        (notice,) = self.listed(adapter)
        assert (notice.attempt_no, notice.transaction_id, notice.refund_no) == (NO, ORDER, f"google:{ORDER}")
        assert (notice.said, notice.amount) == ("remorse, by the buyer", LIRA)
        assert notice.at == datetime.fromtimestamp(1763700000, UTC)
        assert (notice.payment.given_back, notice.payment.attempt_no) == (True, NO)

    def test_have_one_full_refund_by_whatever_road(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")), refunded_order())
        google.will("voidedpurchases", says({"voidedPurchases": [entry()]}))
        hint = adapter_hint(adapter, voided())
        numbers = {self.listed(adapter)[0].refund_no, adapter.follow(hint).refund_no, adapter.prove(EVIDENCE).refund_no}
        assert numbers == {f"google:{ORDER}"}

    def test_that_nobody_confirmed_say_so(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")))
        google.will("voidedpurchases", says({"voidedPurchases": [entry(voidedSource=2, voidedReason=8)]}))
        assert self.listed(adapter)[0].said == "not confirmed within three days, by Google"

    def test_with_words_to_come_are_told_all_the_same(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")))
        google.will("voidedpurchases", says({"voidedPurchases": [entry(voidedSource=9, voidedReason=...)]}))
        assert self.listed(adapter)[0].said == "no voidedReason, voidedSource 9"

    def test_in_part_are_refunds_of_their_own(self, adapter, google):
        google.knows(purchase(NO, quantity=3, refundableQuantity=1), order(state="PARTIALLY_REFUNDED"))
        parts = [entry(voidedQuantity=1, voidedTimeMillis=str(1763700000000 + number)) for number in range(2)]
        google.will("voidedpurchases", says({"voidedPurchases": parts}))
        notices = self.listed(adapter)
        assert [notice.refund_no for notice in notices] == [
            f"google:{ORDER}:176370000000{number}" for number in range(2)
        ]
        assert [(notice.amount, notice.said) for notice in notices] == [(None, "remorse, by the buyer, 1 of 3")] * 2
        assert notices[0].payment.given_back is True

    def test_are_read_page_by_page_and_once(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")))
        page = {"voidedPurchases": [entry()], "tokenPagination": {"nextPageToken": "p 2"}}
        google.will(
            "voidedpurchases", says(page), says({"voidedPurchases": [entry(), entry(voidedTimeMillis="1763700000001")]})
        )
        assert len(self.listed(adapter)) == 2
        first, second = (call.query for call in google.calls if "voided" in call.path)
        assert (first.get("token"), second["token"]) == (None, "p 2")
        assert (first["includeQuantityBasedPartialRefund"], first["type"], first["maxResults"]) == ("true", "0", "1000")

    def test_are_asked_for_by_time(self, adapter, google):
        google.will("voidedpurchases", says({}))
        assert self.listed(adapter, until=timedelta(hours=1)) == []
        assert self.listed(adapter) == []
        past, present = (call.query for call in google.calls)
        assert abs(int(past["startTime"]) + 86_400_000 - now_ms()) < 60_000
        assert abs(int(past["endTime"]) + 3_600_000 - now_ms()) < 60_000
        assert "endTime" not in present  # Google refuses a time that its clock has not reached

    def test_that_never_end_are_an_odd_answer(self, adapter, google):
        google.will("voidedpurchases", says({"tokenPagination": {"nextPageToken": "again"}}))
        with pytest.raises(ProviderUnavailable, match="answer_shape"):
            self.listed(adapter)
        assert len(google.calls) == 2

    def test_that_cannot_be_read_do_not_hide_those_behind(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")))
        odd = [entry(purchaseToken=7), entry(voidedTimeMillis="soon"), "x", entry()]
        google.will("voidedpurchases", says({"voidedPurchases": odd}))
        assert len(self.listed(adapter)) == 1

    def test_are_read_again_when_a_purchase_could_not_be(self, adapter, google):
        google.will("productsv2", refuses(503, "backendError"))
        google.will("voidedpurchases", says({"voidedPurchases": [entry()]}))
        with pytest.raises(ProviderUnavailable):
            self.listed(adapter)

    def test_that_google_has_forgotten_are_told_by_their_order(self, adapter, google):
        google.will("productsv2", refuses(410, "purchaseTokenNoLongerValid"))
        google.will(
            "voidedpurchases",
            says({"voidedPurchases": [entry(), entry(orderId=..., voidedTimeMillis="1763700000001")]}),
        )
        notice, nothing = self.listed(adapter)
        assert (notice.transaction_id, notice.attempt_no, notice.payment) == (ORDER, "", None)
        assert isinstance(nothing, NothingToDo)

    def test_of_real_money_are_none_of_a_sandbox(self, adapter, google):
        google.knows(purchase(NO, {**standing("CANCELLED"), **REAL}))
        google.will("voidedpurchases", says({"voidedPurchases": [entry()]}))
        assert isinstance(self.listed(adapter)[0], Foreign)

    def test_reach_back_less_than_google_does(self):
        assert timedelta(days=29) < GoogleAdapter.reaches_back < timedelta(days=30)


def adapter_hint(adapter, data):
    """What a push of this comes to; the keys are here already."""
    adapter._push.certificates.fetch()
    return adapter.read_notification(push(data))


class TestFollowing:
    """A push says whom to ask, and the answer is what counts."""

    def test_a_voided_purchase_is_looked_up_in_googles_list(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")), refunded_order())
        google.will(
            "voidedpurchases", says({"voidedPurchases": [entry("x" * 50), entry(voidedReason=7, voidedSource=2)]})
        )
        notice = adapter.follow(adapter_hint(adapter, voided()))
        assert (notice.said, notice.refund_no) == ("chargeback, by Google", f"google:{ORDER}")

    def test_a_voided_purchase_that_is_not_listed_yet_speaks_for_itself(self, adapter, google):
        google.knows(purchase(NO, standing("CANCELLED")), refunded_order())
        google.will("voidedpurchases", says({}))
        notice = adapter.follow(adapter_hint(adapter, voided()))
        assert (notice.refund_no, notice.payment.given_back) == (f"google:{ORDER}", True)

    def test_the_newest_of_several_parts_is_meant(self, adapter, google):
        google.knows(purchase(NO, quantity=3, refundableQuantity=1))
        parts = [entry(voidedQuantity=1, voidedTimeMillis=f"176370000000{number}") for number in (1, 3, 2)]
        google.will("voidedpurchases", says({"voidedPurchases": parts}))
        assert adapter.follow(adapter_hint(adapter, voided(refundType=2))).refund_no.endswith(":1763700000003")

    def test_a_pending_refund_has_a_day(self, adapter, google):
        google.knows(purchase(NO))
        about = {"pendingRefundToken": "r", "orderId": ORDER, "refundReason": 7}
        data = told("pendingRefundReviewNotification", about, eventTimeMillis="1763700000000")
        asked = adapter.follow(adapter_hint(adapter, data))
        assert isinstance(asked, RefundAsked)
        assert (asked.attempt_no, asked.transaction_id) == (NO, ORDER)
        assert asked.due_by == datetime.fromtimestamp(1763700000, UTC) + timedelta(hours=24)
        assert asked.payment.attempt_no == NO

    @pytest.mark.parametrize("answer", [NO_ORDER, FORBIDDEN])
    def test_a_pending_refund_of_an_order_nobody_can_see_moves_nothing(self, adapter, google, answer):
        google.will("/orders/", answer)
        said = adapter.follow(adapter_hint(adapter, told("pendingRefundReviewNotification", {"orderId": ORDER})))
        assert isinstance(said, NothingToDo)
        assert "cannot be read" in said.said

    def test_what_cannot_be_asked_now_is_asked_again(self, adapter, google):
        google.will("productsv2", refuses(503, "backendError"))
        with pytest.raises(ProviderUnavailable):
            adapter.follow(Hint(said="PURCHASED", about=asking()))


class TestAccessTokens:
    """One signed assertion an hour opens the API; a token that is not taken is replaced once."""

    @pytest.fixture
    def google(self):
        side = GoogleSide()
        yield side
        side.close()
        assert side.complaints == []

    @pytest.fixture
    def adapter(self, google):
        return GoogleAdapter(credentials(base_url=google.url), live=False)

    def test_are_used_again(self, adapter, google):
        google.knows(purchase(NO))
        for _ in range(3):
            adapter.prove(EVIDENCE)
        assert len(google.tokens) == 1

    def test_are_renewed_five_minutes_before_their_end(self, adapter, google):
        google.token_answer = says({"access_token": "ya29.x", "expires_in": 300})
        google.tokens = ["ya29.x"]
        google.knows(purchase(NO))
        adapter.prove(EVIDENCE)
        google.token_answer = None
        adapter.prove(EVIDENCE)
        assert len(google.tokens) == 2

    def test_that_were_revoked_are_replaced(self, adapter, google):
        google.knows(purchase(NO))
        adapter.prove(EVIDENCE)
        google.tokens.clear()
        assert adapter.prove(EVIDENCE).attempt_no == NO
        assert len(google.tokens) == 1

    def test_that_are_never_taken_are_not_asked_for_for_ever(self, adapter, google):
        google.token_answer = says({"access_token": "never", "expires_in": 3599})
        with pytest.raises(ProviderRejected, match="unauthenticated"):
            adapter.prove(EVIDENCE)
        assert len(google.calls) == 2

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (says({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400), ProviderRejected),
            (says({"error": "unauthorized_client"}, 401), ProviderRejected),
            (Answer(503, b""), ProviderUnavailable), (Answer(400, b"<html>"), ProviderUnavailable),
            (Answer(429, b"{}"), ProviderBusy), (says({"access_token": "x"}), ProviderUnavailable),
            (says({"access_token": "x\r\ny", "expires_in": 3599}), ProviderUnavailable), (says([]), ProviderUnavailable),
            (says({"access_token": "", "expires_in": 3599}), ProviderUnavailable),
        ],
    )  # fmt: skip
    def test_that_cannot_be_had_stop_the_call(self, adapter, google, answer, error):
        google.token_answer = answer
        with pytest.raises(error):
            adapter.prove(EVIDENCE)
        assert google.calls == []


class TestErrors:
    """A no is a no only in Google's own words; everything else leaves the result unknown."""

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (NOT_FOUND, ProviderRejected), (refuses(400, "invalid"), ProviderRejected),
            (refuses(410, "purchaseTokenNoLongerValid"), ProviderRejected), (FORBIDDEN, ProviderRejected),
            (refuses(404, "applicationNotFound"), ProviderRejected), (refuses(403, "quotaExceeded"), ProviderBusy),
            (refuses(403, "userRateLimitExceeded"), ProviderBusy), (refuses(429, "rateLimitExceeded"), ProviderBusy),
            (refuses(409, "concurrentUpdate"), ProviderUnavailable), (refuses(500, "backendError"), ProviderUnavailable),
            (Answer(403, b"<html>blocked</html>"), ProviderUnavailable), (Answer(400, b""), ProviderUnavailable),
            (Answer(200, b"<html>"), ProviderUnavailable), (Answer(200, b"[]"), ProviderUnavailable),
            (Answer(302, b"", {"Location": "https://evil.example/"}), ProviderUnavailable),
            (says({"error": "text"}, 404), ProviderUnavailable), (says({"error": {"errors": "x"}}, 404), ProviderRejected),
        ],
        ids=str,
    )  # fmt: skip
    def test_say_whether_to_ask_again(self, adapter, google, answer, error):
        google.will("/purchases/", answer)
        with pytest.raises(error) as caught:
            adapter.prove(EVIDENCE)
        assert caught.value.retryable is (error is not ProviderRejected)
        assert TOKEN not in str(caught.value)

    def test_about_the_app_are_none_about_the_purchase(self, adapter, google):
        """Else a wrong package name would look like a purchase that nobody has made."""
        for answer in (FORBIDDEN, refuses(404, "applicationNotFound")):
            google.will("productsv2", answer)
            with pytest.raises(ProviderRejected):
                adapter.query(asking())

    def test_of_the_way_leave_everything_open(self, adapter, google, monkeypatch):
        monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.2)
        google.will("/purchases/", Answer(raw=lambda handler: time.sleep(0.5)))
        with pytest.raises(ProviderUnavailable):
            adapter.prove(EVIDENCE)
        with pytest.raises(ProviderUnavailable):
            GoogleAdapter(credentials(), live=False).prove(EVIDENCE)

    def test_hide_the_token_and_the_keys(self, adapter, google, caplog):
        google.knows(purchase(NO))
        google.will("/orders/", FORBIDDEN)
        with caplog.at_level("INFO"), contextlib.suppress(ProviderRejected):
            adapter.prove(EVIDENCE)
        assert TOKEN not in caplog.text
        assert ESCAPED not in caplog.text
        assert "ya29" not in caplog.text


class TestProbing:
    """A question about what nobody has bought shows whether Google knows us, and whether we may see prices."""

    def test_works(self, adapter, google):
        answer = adapter.probe("CHECK1")
        assert (answer.said, answer.verified) == ("purchaseTokenNotFound: The purchase token was not found.", False)
        assert google.certificate_calls == 1

    def test_says_when_orders_may_not_be_seen(self, adapter, google):
        google.will("/orders/", FORBIDDEN)
        assert "prices and refunds are not told: permissionDenied" in adapter.probe("CHECK1").said

    @pytest.mark.parametrize("answer", [FORBIDDEN, refuses(404, "applicationNotFound")])
    def test_says_when_google_does_not_let_us_in(self, adapter, google, answer):
        google.will("productsv2", answer)
        with pytest.raises(ProviderRejected):
            adapter.probe("CHECK1")

    def test_says_when_the_keys_of_pushes_cannot_be_had(self, adapter, google):
        google.certificates = Answer(403, b"blocked")
        with pytest.raises(ProviderUnavailable, match="http_403"):
            adapter.probe("CHECK1")

    def test_is_not_content_with_a_yes(self, adapter, google):
        google.knows(purchase(NO))
        with pytest.raises(ProviderUnavailable, match="answer_not_ours"):
            adapter.probe("CHECK1")
