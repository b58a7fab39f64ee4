"""What every provider's messages do, by the rows that they leave: one contract for all.

Each refusal is followed by the genuine message, which must still be taken: nothing that a stranger sends may stand in the
way of money. A message that is a hint is followed, as the worker does it.
"""

from dataclasses import replace

import pytest

from channels_app.models import Notification
from channels_app.providers import METHODS, PROVIDER_OF_METHOD
from orders.models import Case, Payment
from tests.effects import NOTHING, ONE_PURCHASE, effects, verdicts
from tests.providers.contract.side import News, Sent, spoilt_inside

WITH_EVIDENCE = sorted({PROVIDER_OF_METHOD[code] for code, method in METHODS.items() if method.evidence})
HELD = replace(NOTHING, payments=1, cases=1)
PURCHASE_AND_CASE = replace(ONE_PURCHASE, cases=1)


def words() -> list[str]:
    """The verdict of every notification."""
    return [verdict for verdict, _step in verdicts()]


class TestAPurchase:
    """Paid once it is delivered once, whatever is told how often."""

    def test_counts_once_however_often_it_is_told(self, shop):
        purchase = shop.purchase()
        sent = shop.side.told(purchase)
        assert [shop.arrive(sent) for _ in range(3)] == ["done"] * 3
        # The same payment in messages of their own: another stamp, another number of the message.
        assert [shop.arrive(shop.side.told(purchase)) for _ in range(2)] == ["done"] * 2
        assert (effects(), words()) == (ONE_PURCHASE, ["applied"] + ["duplicate"] * 4)
        booked = Payment.objects.values_list("attempt_no", "transaction_id", "amount_minor", "currency", "applied")
        assert booked.get() == (purchase.attempt_no, purchase.transaction_id, 600, "CNY", True)

    def test_counts_with_fields_to_come_and_whatever_its_type_is_called(self, shop):
        sent = shop.side.told(replace(shop.purchase(), has_new_field=True))
        assert shop.arrive(sent, content_type="text/xml; charset=gbk") == "done"
        assert (effects(), words()) == (ONE_PURCHASE, ["applied"])

    def test_pays_the_order_that_it_names_and_no_other(self, shop):
        mine, others = shop.purchase(), shop.purchase()
        shop.arrive(shop.side.told(others))
        assert (shop.order_of(mine).state, shop.order_of(others).state) == ("pending", "paid")
        # One payment told for a second order pays nothing there.
        assert shop.arrive(shop.side.told(replace(mine, transaction_id=others.transaction_id))) == "done"
        assert (shop.order_of(mine).state, effects(), words()) == ("pending", ONE_PURCHASE, ["applied", "duplicate"])

    def test_of_what_is_paid_already_is_kept_for_a_person(self, shop):
        purchase = shop.purchase()
        shop.arrive(shop.side.told(purchase))
        again = replace(purchase, transaction_id=shop.another_transaction())
        assert [shop.arrive(shop.side.told(again)) for _ in range(2)] == ["done"] * 2
        assert effects() == replace(ONE_PURCHASE, payments=2, cases=1)
        assert (words(), Case.objects.get().kind) == (["applied", "held", "duplicate"], "second_payment")


class TestWhatIsNotGenuine:
    """Refused in the provider's words, applied never, and in nobody's way."""

    def test_changes_nothing_before_a_payment_nor_after(self, shop):
        purchase = shop.purchase()
        forged = {**shop.side.forgeries(purchase), **_spoilt(shop.side, shop.side.told(purchase))}
        # An unsigned message is never more than a hint, and these lead to nothing.
        answers, verdict = (
            ({"refused"}, {"refused"}) if shop.side.is_signed else ({"refused", "done"}, {"refused", "no_op"})
        )
        assert {name: said for name in forged if (said := shop.arrive(forged[name])) not in answers} == {}
        assert (effects(), set(words()) <= verdict) == (NOTHING, True)

        assert shop.arrive(shop.side.told(purchase)) == "done"
        for sent in forged.values():
            shop.arrive(sent)
        assert effects() == ONE_PURCHASE

    def test_is_not_even_a_message(self, shop):
        genuine = shop.side.told(shop.purchase())
        bodies = {
            "nothing": b"",
            "cut short": genuine.body[: len(genuine.body) // 2],
            "a byte order mark": b"\xef\xbb\xbf" + genuine.body,
            "not UTF-8": b"\xff\xfe\x00",
            "an object": b"{}",
            "a list": b"[1]",
            "no value": b"null",
            "too deep": b"[" * 50_000,
            "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]><x>&x;</x>',
            "a form": b"a=1&b=%FF&a=2&=",
            "many fields": b"&".join(b"a%d=1" % number for number in range(3000)),
        }
        answers = {"refused"} if shop.side.signs_body or not shop.side.is_signed else {"refused", "later", "done"}
        messages = {name: replace(genuine, body=body) for name, body in bodies.items()}
        assert {name: said for name in messages if (said := shop.arrive(messages[name])) not in answers} == {}
        assert shop.send(replace(genuine, body=b"x" * 300 * 1024)).status_code in (401, 413)
        assert replace(effects(), cases=0) == NOTHING
        assert not Notification.objects.filter(verdict="received").exists()

        shop.arrive(genuine)
        assert replace(effects(), cases=0) == ONE_PURCHASE


def _spoilt(side, sent: Sent) -> dict[str, Sent]:
    """A genuine message changed inside, and inside of every header that is signed with it."""
    messages = {}
    if side.signs_body:
        messages |= {f"body, {how}": replace(sent, body=body) for how, body in spoilt_inside(sent.body)}
    for name, value in sent.headers.items():
        if name.lower() in side.signed_headers:
            for how, spoilt in spoilt_inside(value.encode()):
                headers = {**sent.headers, name: spoilt.decode("latin-1")}
                messages[f"{name}, {how}"] = replace(sent, headers=headers)
    return messages


class TestWhatCannotBeRead:
    """A genuine message of another shape than documented is asked for again; somebody is told, and nothing moves."""

    def test_moves_nothing_and_is_asked_for_again(self, shop):
        purchase = shop.purchase()
        messages = shop.side.unreadable(purchase)
        assert {name: said for name in messages if (said := shop.arrive(messages[name])) != "later"} == {}
        assert replace(effects(), cases=0) == NOTHING
        assert set(words()) <= {"unreadable"}
        assert set(Case.objects.values_list("kind", flat=True)) == ({"unreadable"} if messages else set())

        shop.arrive(shop.side.told(purchase))
        assert replace(effects(), cases=0) == ONE_PURCHASE


class TestMoneyThatDoesNotFit:
    """Genuine money is never lost and never guessed at: it is kept, one case says why, and nothing is delivered."""

    def refuses(self, shop, wrong, *, kind: str, verdict: str = "held"):
        before = effects()
        for _ in range(2):
            assert shop.arrive(shop.side.told(wrong)) == "done"
        assert effects() == replace(before, payments=before.payments + 1, cases=before.cases + 1)
        assert words()[-2:] == [verdict, "duplicate"]
        assert Case.objects.latest("pk").kind == kind

    def test_in_amount_product_or_payer(self, shop):
        side, amounts = shop.side, () if shop.side.sets_price else (599, 601, 1)
        wrong = [("amount_differs", {"amount_minor": amount}) for amount in amounts]
        wrong += [("amount_differs", {"currency": "USD"})] if amounts and side.tells_currency else []
        wrong += [("purchase_differs", {"product": "com.example.game.gems6480"})] if side.product else []
        wrong += [("purchase_differs", {"quantity": 2})] if side.sells_several else []
        wrong += [("purchase_differs", {"payer": "somebody-else"})] if side.tells_payer else []
        purchase = shop.purchase()
        for kind, changes in wrong:
            told = replace(purchase, **changes, transaction_id=shop.another_transaction())
            self.refuses(shop, told, kind=kind)
        assert shop.order_of(purchase).state == "pending"

    def test_unless_the_store_sets_the_price(self, shop):
        sent = shop.side.told(replace(shop.purchase(), amount_minor=9900, currency="USD"))
        shop.arrive(sent)
        assert effects() == (ONE_PURCHASE if shop.side.sets_price else HELD)

    def test_because_nobody_knows_its_order(self, shop):
        purchase = shop.purchase()
        number = purchase.attempt_no[:-3] + ("000" if purchase.attempt_no[-3:] != "000" else "111")
        kind = "unmatched" if shop.side.product else "unknown_order"
        self.refuses(shop, replace(purchase, attempt_no=number), kind=kind, verdict="orphan")
        assert shop.order_of(purchase).state == "pending"


class TestWhatIsNotForUs:
    """Rightly signed for somebody else, or for the other environment: acknowledged and never applied."""

    def test_moves_nothing(self, shop):
        purchase = shop.purchase()
        strangers = [replace(purchase, is_ours=False)] if shop.side.tells_merchant else []
        strangers += [replace(purchase, is_elsewhere=True)] if shop.side.tells_environment else []
        for other in strangers:
            assert shop.arrive(shop.side.told(other)) == "done"
        assert (effects(), words()) == (NOTHING, ["foreign"] * len(strangers))
        assert shop.order_of(purchase).state == "pending"

        shop.arrive(shop.side.told(purchase))
        assert effects() == ONE_PURCHASE


class TestTheOrderOfArrival:
    """Messages come in any order, and some never."""

    def test_of_news_that_prove_nothing_does_not_matter(self, shop):
        purchase = shop.purchase()
        kinds = (News.WAITING, News.CLOSED, News.NEW_WORD)

        def tell() -> int:
            """All there are. How many that is."""
            told = [shop.arrive(sent) for news in kinds if (sent := shop.side.told(purchase, news)) is not None]
            assert set(told) == {"done"}
            return len(told)

        many = tell()
        assert (effects(), words()) == (NOTHING, ["no_op"] * many)
        assert shop.order_of(purchase).state == "pending"
        shop.arrive(shop.side.told(purchase))
        assert effects() == ONE_PURCHASE
        tell()
        order = shop.order_of(purchase)
        assert (effects(), order.state, order.delivery_state) == (ONE_PURCHASE, "paid", "delivered")

    def test_of_payment_and_refund_loses_neither(self, shop):
        first, second = shop.purchase(), shop.purchase()
        if shop.side.told(first, News.REFUNDED) is None:
            return  # money goes back without a word
        shop.arrive(shop.side.told(first))
        sent = shop.side.told(first, News.REFUNDED)
        assert [shop.arrive(sent) for _ in range(2)] == ["done"] * 2
        assert effects() == PURCHASE_AND_CASE
        case = Case.objects.get()
        assert (case.kind, case.order, case.amount_minor) == ("provider_refund", shop.order_of(first), 600)

        shop.arrive(shop.side.told(second, News.REFUNDED))
        kinds = set(Case.objects.exclude(pk=case.pk).values_list("kind", flat=True))
        assert kinds == {"provider_refund"} | ({"given_back"} if shop.side.refund_brings_payment else set())
        assert effects() == replace(PURCHASE_AND_CASE, payments=len(kinds), cases=1 + len(kinds))
        shop.arrive(shop.side.told(second))
        assert shop.order_of(second).state == ("pending" if shop.side.refund_brings_payment else "paid")
        assert (effects().payments, effects().cases) == (2, 1 + len(kinds))


@pytest.mark.parametrize("side", WITH_EVIDENCE, indirect=True, scope="module")
class TestAReceipt:
    """What the game's client hands in is verified like a message, and ends in the same one delivery."""

    def result(self, answer) -> tuple[int, str]:
        document = answer.json()
        return answer.status_code, document.get("code") or document["result"]

    def test_is_delivered_once_by_both_roads_in_either_order(self, shop):
        first, second = shop.purchase(), shop.purchase()
        shop.arrive(shop.side.told(first))
        assert self.result(shop.hand_in(first, shop.side.evidence(first))) == (200, "applied")
        evidence = shop.side.evidence(second)
        assert [self.result(shop.hand_in(second, evidence)) for _ in range(2)] == [(200, "applied")] * 2
        shop.arrive(shop.side.told(second))
        assert replace(effects(), balances=2) == replace(
            ONE_PURCHASE, paid_orders=2, payments=2, deliveries=2, ledger_entries=4, balances=2, game_events=4
        )

    def test_of_another_order_pays_that_one(self, shop):
        mine, others = shop.purchase(), shop.purchase()
        assert self.result(shop.hand_in(mine, shop.side.evidence(others))) == (409, "proof_of_another_order")
        assert (shop.order_of(mine).state, shop.order_of(others).state) == ("pending", "paid")
        assert effects() == ONE_PURCHASE

    def test_that_is_forged_or_not_ours_gives_nothing(self, shop):
        purchase = shop.purchase()
        names = tuple(shop.side.evidence(purchase))
        forged = {
            **shop.side.forged_evidence(purchase),
            "nothing": dict.fromkeys(names, ""),
            "a long text": dict.fromkeys(names, "x" * 5000),
            "NUL": dict.fromkeys(names, "\x00"),
            "a lone surrogate": dict.fromkeys(names, "\ud800"),
            "another application's": shop.side.evidence(replace(purchase, is_ours=False)),
        }
        said = {name: shop.hand_in(purchase, evidence).status_code for name, evidence in forged.items()}
        assert {name: status for name, status in said.items() if status not in (400, 422)} == {}
        assert effects() == NOTHING
        assert self.result(shop.hand_in(purchase, shop.side.evidence(purchase))) == (200, "applied")
        assert effects() == ONE_PURCHASE
