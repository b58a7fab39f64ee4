"""Purchases at Apple by their effects: what must pay, and what must not, by either road to us.

Section by section the negative list of docs/providers/apple.md. Each refusal is followed by the genuine message, which
must still be taken: nothing that a stranger sends may stand in the way of a purchase.
"""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app.accounts import enable_method, save_account
from channels_app.providers import apple_keys
from orders.authentication import new_api_key
from orders.models import Case, Payment, PaymentAttempt, Product, Reviewer
from tests.buying import make_order, post
from tests.effects import NOTHING, ONE_PURCHASE, effects, timeline, verdicts
from tests.providers import apple_side
from tests.providers.apple_side import (
    APP,
    PRODUCT,
    chain,
    credentials,
    in_production,
    issued_by_leaf,
    jws,
    live_credentials,
    notification,
    now_ms,
    own_root,
    posted,
    told,
    transaction,
)

HELD = replace(NOTHING, payments=1, cases=1)
ONE_CASE = replace(NOTHING, cases=1)


class Shop:
    """A game that sells through one account at Apple, and Apple's two roads to it."""

    def __init__(self, client, api_key, game):
        self._client, self._api_key = client, api_key
        Product.objects.filter(game=game).update(store_ids={"apple_iap": PRODUCT})

    def order(self, **changes):
        """An order, and the token that the app got for it."""
        order = make_order(self._client, self._api_key, **changes)
        answer = post(self._client, f"orders/{order.order_no}/pay", {"method": "apple_iap"}, bearer=self._api_key)
        assert answer.status_code == 200, answer.content
        order.token = uuid.UUID(answer.json()["params"]["app_account_token"]).hex
        return order

    def notify(self, body: bytes) -> int:
        answer = self._client.post("/notify/apple/ap1", body, content_type="application/json")
        assert answer.content == b""
        return answer.status_code

    def prove(self, order, signed: str):
        """What the app hands in: status, and the answer's words."""
        body = {"method": "apple_iap", "signed_transaction": signed}
        answer = post(self._client, f"orders/{order.order_no}/proofs", body, bearer=self._api_key)
        said = answer.json()
        return answer.status_code, said.get("code") or (said["result"], said["finish"])


@pytest.fixture
def shop(client, channel, api_key, game):
    account = save_account(provider="apple", code="ap1", environment="sandbox", credentials=credentials())
    enable_method(channel=channel, method="apple_iap", account=account)
    return Shop(client, api_key, game)


@pytest.fixture
def live_shop(client, channel, game, monkeypatch):
    """The same with real money, in a world whose Apple is ours."""
    monkeypatch.setattr(apple_keys, "APPLE_ROOT", own_root())
    account = save_account(provider="apple", code="ap1", environment="production", credentials=live_credentials())
    enable_method(channel=channel, method="apple_iap", account=account)
    return Shop(client, new_api_key(game=game, environment="production"), game)


@pytest.fixture
def order(shop):
    return shop.order()


def bought(order, **changes):
    return transaction(order.token, changes)


APPLIED = (200, ("applied", True))


class TestAPurchase:
    """Both roads end in one delivery, in any order and however often."""

    def test_told_by_apple_is_delivered_once(self, shop, order):
        body = told("ONE_TIME_CHARGE", bought(order))
        assert [shop.notify(body) for _ in range(3)] == [200] * 3
        assert effects() == ONE_PURCHASE
        assert verdicts() == [("applied", ""), ("duplicate", ""), ("duplicate", "")]

    def test_handed_in_by_the_app_is_delivered_once(self, shop, order):
        receipt = bought(order)
        assert shop.prove(order, jws(receipt)) == APPLIED
        assert shop.prove(order, jws({**receipt, "signedDate": now_ms() + 1})) == APPLIED
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize("first", ["app", "apple"])
    def test_by_both_roads_is_delivered_once(self, shop, order, first):
        receipt = bought(order)
        roads = [lambda: shop.prove(order, jws(receipt)), lambda: shop.notify(told("ONE_TIME_CHARGE", receipt))]
        said = [road() for road in (roads if first == "app" else reversed(roads))]
        assert (sorted(map(str, said)), effects()) == (sorted(map(str, [APPLIED, 200])), ONE_PURCHASE)

    def test_at_the_buyers_own_price_and_currency_counts(self, shop, order):
        assert shop.notify(told("ONE_TIME_CHARGE", bought(order, price=39990, currency="TRY"))) == 200
        assert effects() == ONE_PURCHASE
        assert Payment.objects.values_list("amount_minor", "currency").get() == (3999, "TRY")

    def test_of_several_is_delivered_as_several(self, shop):
        order = shop.order(quantity=3)
        assert shop.prove(order, jws(bought(order, quantity=3))) == APPLIED

    def test_is_asked_about_by_the_number_that_was_told(self, shop, order):
        receipt = bought(order)
        shop.notify(told("ONE_TIME_CHARGE", receipt))
        assert PaymentAttempt.objects.get().handle == receipt["transactionId"]


def inner(document, **about):
    """A genuine notification around a transaction signed by somebody else."""
    return posted(jws(notification("ONE_TIME_CHARGE", jws(document, **about))))


ATTACKER = apple_side.key("attacker")
NOT_GENUINE = {
    "another root": (lambda paid: told("ONE_TIME_CHARGE", paid, by=chain("attacker")), "certificates"),
    "another key": (lambda paid: told("ONE_TIME_CHARGE", paid, private=ATTACKER), "signature"),
    "a leaf as issuer": (lambda paid: told("ONE_TIME_CHARGE", paid, by=issued_by_leaf()), "certificates"),
    "no signature": (lambda paid: told("ONE_TIME_CHARGE", paid, header={"alg": "none"}, signature=b""), "header"),
    "no certificates": (lambda paid: told("ONE_TIME_CHARGE", paid, header={"x5c": []}), "header"),
    "another algorithm": (lambda paid: told("ONE_TIME_CHARGE", paid, header={"alg": "HS256"}), "header"),
    "another root inside": (lambda paid: inner(paid, by=chain("attacker")), "transaction_certificates"),
    "another key inside": (lambda paid: inner(paid, private=ATTACKER), "transaction_signature"),
    "no signature inside": (lambda paid: inner(paid, header={"alg": "none"}, signature=b""), "transaction_header"),
    "a transaction that is not signed": (
        lambda paid: posted(jws(notification("ONE_TIME_CHARGE", "not.a.token"))), "transaction_form",
    ),
    "Xcode's": (
        lambda paid: told("ONE_TIME_CHARGE", {**paid, "environment": "Xcode"}, data={"environment": "Xcode"},
                          header={"alg": "none"}, signature=b""), "header",
    ),
    "a bare transaction": (lambda paid: jws(paid).encode(), "form"),
    "the transaction in clear": (lambda paid: posted(paid), "form"),
    "not JSON": (lambda paid: b"\xff\xfe", "form"),
    "no body": (lambda paid: b"", "form"),
    "too deep": (lambda paid: b'{"signedPayload":' + b"[" * 50_000, "form"),
}  # fmt: skip


class TestWhatIsNotGenuine:
    """Nothing of it is applied, the failed step is written down, and the genuine message still counts."""

    @pytest.mark.parametrize(("forge", "step"), NOT_GENUINE.values(), ids=NOT_GENUINE)
    def test_changes_nothing(self, shop, order, forge, step):
        receipt = bought(order)
        assert shop.notify(forge(receipt)) == 401
        assert (effects(), verdicts()) == (NOTHING, [("refused", step)])
        order.refresh_from_db()
        assert order.state == "pending"
        assert shop.notify(told("ONE_TIME_CHARGE", receipt)) == 200
        assert effects() == ONE_PURCHASE

    @pytest.mark.parametrize(
        "forge",
        [
            lambda paid: jws(paid, by=chain("attacker")),
            lambda paid: jws(paid, private=ATTACKER),
            lambda paid: jws(paid, header={"alg": "none"}, signature=b""),
            lambda paid: jws({**paid, "environment": "Xcode"}, by=chain("a developer's machine")),
            lambda paid: "MIITtgYJKoZIhvcNAQcCoIITpzCCE6MCAQExCzAJBgUrDgMCGgUA",
        ],
        ids=["another root", "another key", "no signature", "Xcode's", "an old receipt"],
    )
    def test_from_the_app_changes_nothing(self, shop, order, forge):
        receipt = bought(order)
        assert shop.prove(order, forge(receipt)) == (422, "proof_refused")
        assert effects() == NOTHING
        assert shop.prove(order, jws(receipt)) == APPLIED

    def test_takes_nothing_away_afterwards(self, shop, order):
        receipt = bought(order)
        shop.prove(order, jws(receipt))
        given_back = {**receipt, "revocationDate": now_ms()}
        for by in (chain("attacker"), issued_by_leaf()):
            assert shop.notify(told("REFUND", given_back, by=by)) == 401
        assert shop.notify(posted(jws(notification("REFUND", jws(given_back, private=ATTACKER))))) == 401
        assert effects() == ONE_PURCHASE


class TestWhatIsNotOurs:
    """Apple signs for every app with one key: acknowledged, and nothing happens."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda order: told("ONE_TIME_CHARGE", bought(order, bundleId="com.example.other")),
            lambda order: told("ONE_TIME_CHARGE", bought(order), data={"bundleId": "com.example.other"}),
            lambda order: told("ONE_TIME_CHARGE", in_production(bought(order))),
            lambda order: posted(jws(bought(order))),
        ],
        ids=["another app", "told to another app", "real money at a sandbox account", "a transaction alone"],
    )
    def test_is_acknowledged_and_changes_nothing(self, shop, order, make):
        assert shop.notify(make(order)) == 200
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])

    @pytest.mark.parametrize(
        "changes", [{"bundleId": "com.example.other"}, {"environment": "Production"}], ids=["another app", "real money"]
    )
    def test_is_not_taken_from_the_app_either(self, shop, order, changes):
        assert shop.prove(order, jws(bought(order, **changes))) == (422, "proof_not_ours")
        assert effects() == NOTHING


class TestWhatDiffers:
    """A genuine purchase of something else, or of nobody's, is kept and put before a person; it delivers nothing."""

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"productId": "com.example.game.gems6480"}, "purchase_differs"),
            ({"quantity": 2}, "purchase_differs"),
            ({"revocationDate": now_ms()}, "given_back"),
            ({"appAccountToken": ...}, "unmatched"),
            ({"appAccountToken": str(uuid.uuid4())}, "unmatched"),
            ({"appAccountToken": "player-7"}, "unmatched"),
        ],
        ids=["another product", "another quantity", "given back", "no token", "a stranger's token", "no UUID"],
    )
    @pytest.mark.parametrize("road", ["app", "apple"])
    def test_is_kept(self, shop, order, changes, kind, road):
        receipt = bought(order, **changes)
        if road == "app":
            assert shop.prove(order, jws(receipt))[1] == ("held", False)
        else:
            assert shop.notify(told("ONE_TIME_CHARGE", receipt)) == 200
        assert (effects(), Case.objects.get().kind) == (HELD, kind)

    def test_from_another_order_pays_that_one_only(self, shop, order):
        other = shop.order()
        receipt = jws(bought(other))
        assert shop.prove(order, receipt) == (409, "proof_of_another_order")
        order.refresh_from_db()
        other.refresh_from_db()
        assert (effects(), order.state, other.state) == (ONE_PURCHASE, "pending", "paid")

    def test_pays_one_order_only_under_whatever_token(self, shop, order):
        other = shop.order()
        first = bought(order)
        shop.notify(told("ONE_TIME_CHARGE", first))
        again = {**first, "appAccountToken": str(uuid.UUID(other.token))}
        assert shop.prove(other, jws(again)) == (409, "proof_of_another_order")
        assert effects() == ONE_PURCHASE

    def test_without_a_token_pays_its_order_once_it_has_one(self, shop, order):
        receipt = bought(order)
        nameless = {name: value for name, value in receipt.items() if name != "appAccountToken"}
        shop.notify(told("ONE_TIME_CHARGE", nameless))
        assert shop.prove(order, jws(receipt)) == APPLIED
        assert effects() == replace(ONE_PURCHASE, cases=1)
        assert Case.objects.get().closed_at is not None

    @pytest.mark.parametrize(
        "changes", [{"type": "Auto-Renewable Subscription"}, {"inAppOwnershipType": "FAMILY_SHARED"}]
    )
    def test_or_is_no_purchase_moves_nothing(self, shop, order, changes):
        receipt = bought(order, **changes)
        assert shop.notify(told("ONE_TIME_CHARGE", receipt)) == 200
        assert shop.prove(order, jws(receipt))[1] == ("waiting", False)
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])


class TestRefunds:
    """Money that Apple gave back is never delivered for, whichever message comes first."""

    def test_told_before_the_charge_leave_nothing_to_deliver(self, shop, order):
        receipt = bought(order)
        assert shop.notify(told("REFUND", {**receipt, "revocationDate": now_ms()})) == 200
        assert shop.notify(told("ONE_TIME_CHARGE", receipt)) == 200
        assert shop.prove(order, jws(receipt))[1] == ("held", False)
        assert effects() == replace(NOTHING, payments=1, cases=2)
        assert sorted(Case.objects.values_list("kind", flat=True)) == ["given_back", "provider_refund"]

    def test_after_the_delivery_open_one_case(self, shop, order):
        receipt = bought(order)
        shop.notify(told("ONE_TIME_CHARGE", receipt))
        body = told("REFUND", {**receipt, "revocationDate": now_ms(), "revocationPercentage": 50_000})
        assert [shop.notify(body) for _ in range(2)] == [200] * 2
        case = Case.objects.get()
        assert (effects(), case.kind, case.amount_minor, case.order) == (
            replace(ONE_PURCHASE, cases=1), "provider_refund", 300, order,
        )  # fmt: skip

    def test_taken_back_close_it(self, shop, order):
        receipt = bought(order)
        shop.notify(told("ONE_TIME_CHARGE", receipt))
        shop.notify(told("REFUND", {**receipt, "revocationDate": now_ms()}))
        shop.notify(told("REFUND_REVERSED", receipt))
        assert Case.objects.get().closed_at is not None
        assert effects() == replace(ONE_PURCHASE, cases=1)

    def test_taken_back_before_anything_else_was_told_count_as_the_purchase(self, shop, order):
        shop.notify(told("REFUND_REVERSED", bought(order)))
        assert replace(effects(), cases=0) == ONE_PURCHASE

    def test_asked_for_open_a_case_with_apples_deadline(self, shop, order):
        signed_at = now_ms()
        shop.notify(told("CONSUMPTION_REQUEST", bought(order), {"signedDate": signed_at}))
        case = Case.objects.get()
        assert (effects(), case.kind) == (replace(ONE_PURCHASE, cases=1), "refund_asked")
        assert abs(case.due_at - timezone.now() - timedelta(hours=12)) < timedelta(minutes=1)

    @pytest.mark.parametrize("kind", ["REFUND_DECLINED", "TEST", "SOMETHING_NEW"])
    def test_and_other_news_move_nothing(self, shop, order, kind):
        assert shop.notify(told(kind, None if kind == "TEST" else bought(order))) == 200
        assert (effects(), verdicts()) == (NOTHING, [("no_op", "")])


class TestWhatIsGenuineButUnreadable:
    """Neither lost nor applied: Apple is asked to send it again, and one case calls for a person."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda order: told("ONE_TIME_CHARGE", bought(order, transactionId=...)),
            lambda order: told("ONE_TIME_CHARGE", bought(order, price=-1)),
            lambda order: told("ONE_TIME_CHARGE", bought(order, purchaseDate="soon")),
            lambda order: posted(jws(notification("REFUND"))),
        ],
    )
    def test_is_asked_for_again(self, shop, order, make):
        body = make(order)
        assert [shop.notify(body) for _ in range(2)] == [503] * 2
        assert (effects(), verdicts()) == (ONE_CASE, [("unreadable", "shape")] * 2)


class TestPlayMoneyWhereMoneyIsReal:
    """App Review buys in the sandbox with the real app: its purchases reach listed reviewers and nobody else."""

    def test_delivers_nothing(self, live_shop):
        order = live_shop.order()
        receipt = bought(order)
        assert live_shop.notify(told("ONE_TIME_CHARGE", receipt)) == 200
        assert live_shop.prove(order, jws(receipt))[1] == ("held", False)
        assert (effects(), Case.objects.get().kind) == (HELD, "test_money")
        payment = Payment.objects.get()
        assert (payment.environment, payment.transaction_id) == ("sandbox", f"sandbox:{receipt['transactionId']}")

    def test_delivers_to_a_listed_reviewer(self, live_shop, game):
        Reviewer.objects.create(game=game, uid="10086", until=timezone.now() + timedelta(days=1))
        order = live_shop.order()
        assert live_shop.prove(order, jws(bought(order))) == APPLIED
        assert (effects(), Payment.objects.get().environment) == (ONE_PURCHASE, "sandbox")

    def test_with_the_number_of_a_real_purchase_is_another_one(self, live_shop, game):
        Reviewer.objects.create(game=game, uid="10086", until=timezone.now() + timedelta(days=1))
        first, second = live_shop.order(), live_shop.order()
        real = in_production(bought(first, transactionId="77"))
        assert live_shop.notify(told("ONE_TIME_CHARGE", real)) == 200
        assert live_shop.prove(second, jws(bought(second, transactionId="77"))) == APPLIED
        assert sorted(Payment.objects.values_list("transaction_id", "environment")) == [
            ("77", "production"), ("sandbox:77", "sandbox"),
        ]  # fmt: skip

    def test_real_money_is_delivered(self, live_shop):
        order = live_shop.order()
        assert live_shop.notify(told("ONE_TIME_CHARGE", in_production(bought(order)))) == 200
        assert effects() == ONE_PURCHASE
        order.refresh_from_db()
        assert "paid" in timeline(order)

    def test_real_money_of_another_app_id_is_not(self, live_shop):
        order = live_shop.order()
        body = told("ONE_TIME_CHARGE", in_production(bought(order)), data={"appAppleId": APP + 1})
        assert live_shop.notify(body) == 200
        assert (effects(), verdicts()) == (NOTHING, [("foreign", "")])
