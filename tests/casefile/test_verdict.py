"""One verdict for every state an order can be in, and a reply that promises nothing too much."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from orders.casefile import replies
from orders.casefile.facts import DeliveryFacts, Receiver
from orders.casefile.kinds import Kind, kind_of
from orders.casefile.moments import Moment, Tone, fold
from orders.casefile.replies import reply_to
from orders.casefile.timeline import tell
from orders.casefile.verdict import ACTS, TONES, judge
from orders.cases import LIMIT_HOURS, QUEUES, Decision, decisions_for
from orders.models import CaseKind, DeliveryState, OrderState
from tests.casefile.made_up import DELIVERIES, NOW, attempt, case, every_combination, facts, order, payment

CHINESE = re.compile("[\u4e00-\u9fff]")
# Names that stay as they are: numbers, roles, goods, codes of the game.
NAMES = re.compile(r"20260327K3WT9X2FVBNA|[0-9.:¥]+|120457|App|T1|CNY")


@pytest.fixture(autouse=True)
def _in_beijing():
    with timezone.override("Asia/Shanghai"):
        yield


@pytest.fixture(scope="module")
def everything():
    with timezone.override("Asia/Shanghai"):
        return [(each, judge(each), reply_to(each)) for each in every_combination()]


class TestEveryState:
    """Whatever rows an order has, somebody who opens it reads one verdict, whole."""

    def test_has_exactly_one_verdict_with_words_and_a_colour(self, everything):
        assert len(everything) > 5000
        for seen, verdict, _reply in everything:
            assert verdict.headline, seen
            assert verdict.sentence, seen
            assert verdict.tone in Tone
            assert "%(" not in f"{verdict.headline}{verdict.sentence}{verdict.advice}{verdict.remarks}"

    def test_every_kind_is_reached_has_a_colour_acts_and_a_reply(self, everything):
        reached = {verdict.kind for _seen, verdict, _reply in everything}
        assert set(Kind) - reached == {Kind.DEALT_WITH}  # that needs a closed case: see below
        assert set(TONES) == set(ACTS) == set(replies._REPLIES) == set(Kind)
        assert all(1 <= len(acts) <= 3 for acts in ACTS.values())

    def test_every_kind_of_case_has_a_limit_and_somebody_whose_turn_it_is(self):
        assert set(LIMIT_HOURS) == set(QUEUES) == set(CaseKind)

    def test_every_kind_of_case_can_be_ended_by_some_decision_that_means_something(self):
        for kind in CaseKind:
            assert Decision.EXPLAINED in decisions_for(kind)
            assert (Decision.WON in decisions_for(kind)) is (kind is CaseKind.DISPUTE)

    def test_whom_somebody_outside_waits_for_has_their_deadline(self):
        soon = case(CaseKind.DISPUTE, opened=NOW - timedelta(hours=1))
        soon.due_at = NOW + timedelta(hours=2)
        seen = facts(order(), cases=[soon])
        assert "16:36" in judge(seen).advice
        (coming,) = [moment for moment in tell(seen) if moment.future]
        assert (coming.at, "nobody hears us later" in coming.words) == (soon.due_at, True)
        soon.due_at = NOW + timedelta(days=9)  # our own limit comes first
        assert soon.due_at not in [moment.at for moment in tell(seen)]

    def test_goods_under_way_are_urgent_once_the_store_may_take_the_money_back(self):
        waiting = {"delivery": DELIVERIES["refused"]}
        pending = order(delivery=DeliveryState.PENDING)
        assert judge(facts(pending, **waiting)).tone is Tone.WORKING
        assert judge(facts(pending, kinds=(CaseKind.UNCONFIRMED,), **waiting)).tone is Tone.DECIDE

    def test_what_a_person_must_decide_comes_before_what_is_going_well(self, everything):
        for _seen, verdict, _reply in everything:
            if verdict.case is not None and verdict.kind is not Kind.DELIVERED_UNTOLD:
                assert verdict.tone is Tone.DECIDE

    def test_no_open_case_is_left_unsaid(self, everything):
        for seen, verdict, _reply in everything:
            told = {verdict.case.kind} if verdict.case else set()
            assert len(verdict.remarks) >= len(set(seen.open_cases) - told)

    def test_reads_in_chinese_from_beginning_to_end(self):
        with translation.override("zh-hans"):
            for seen in every_combination():
                verdict = judge(seen)
                for text in (verdict.headline, verdict.sentence):
                    assert CHINESE.search(text)
                    assert not re.search(r"\b(the|and|was|with|is)\b", text), text


class TestRepeats:
    """What happens over and over is one line, even when two things alternate."""

    def moment(self, seconds, repeats=""):
        return Moment(
            at=NOW + timedelta(seconds=seconds), words="once", repeats=repeats, folded=lambda count: f"{count} times"
        )  # fmt: skip

    def test_alternating_repeats_are_a_line_each_until_something_else_happens(self):
        happened = [self.moment(0), *(self.moment(1 + n, "ab"[n % 2]) for n in range(6)), self.moment(9)]
        lines = fold([*happened, self.moment(10, "a")])
        assert [line.words for line in lines] == ["once", "3 times", "3 times", "once", "once"]
        assert lines[1].until == NOW + timedelta(seconds=5)


class TestReplies:
    """What is pasted to a player is true, complete in both languages, and promises nothing that is not decided."""

    def test_stand_in_both_languages(self, everything):
        for seen, _verdict, reply in everything:
            assert reply is not None, seen
            assert CHINESE.search(reply.chinese)
            assert reply.chinese.startswith("您好，")
            assert reply.english.startswith("Hello, ")
            names = CHINESE.search(reply.english.replace("元宝", "").replace("月卡", ""))
            assert names is None, reply.english
            assert "%(" not in reply.chinese + reply.english
            assert seen.order.order_no in reply.chinese
            assert seen.order.order_no in reply.english

    def test_do_not_depend_on_the_consoles_language(self):
        seen = facts(order())
        with translation.override("zh-hans"):
            chinese = reply_to(seen)
        with translation.override("en"):
            assert reply_to(seen) == chinese

    def test_never_say_failed_once_money_is_here(self, everything):
        for seen, _verdict, reply in everything:
            if seen.money_arrived:
                assert "失败" not in reply.chinese
                assert "fail" not in reply.english.lower()

    def test_never_ask_to_pay_again(self, everything):
        for _seen, _verdict, reply in everything:
            for words in ("重新支付", "重新付款", "再付一次", "再次支付"):
                assert words not in reply.chinese
            assert not re.search(r"(?<!not )(?<!please do not )pay again|try again|order again", reply.english.lower())
            assert "请重复付款" not in reply.chinese

    def test_promise_no_refund_before_it_has_happened(self, everything):
        # There it has happened, or the player asked for it.
        told = {Kind.REFUNDED, Kind.PARTLY_REFUNDED, Kind.PROVIDER_REFUND, Kind.GIVEN_BACK, Kind.REFUND_ASKED}
        for _seen, verdict, reply in everything:
            if verdict.kind not in told:
                assert "退" not in reply.chinese, reply.chinese
                assert not re.search(r"refund|go back|give.{0,12}back|given back|went back", reply.english)

    def test_promise_no_goods_for_money_that_is_held(self, everything):
        held = {
            Kind.LATE_PAYMENT, Kind.AMOUNT_DIFFERS, Kind.GIVEN_BACK, Kind.UNDECIDED, Kind.PURCHASE_DIFFERS,
            Kind.REVIEW, Kind.TEST_MONEY,
        }  # fmt: skip
        for _seen, verdict, reply in everything:
            if verdict.kind in held:
                assert "发放" not in reply.chinese
                assert "deliver" not in reply.english

    def test_name_a_time_only_while_it_is_still_to_come(self):
        late = case(CaseKind.SECOND_PAYMENT, opened=NOW - timedelta(hours=25))
        reply = reply_to(facts(order(), cases=[late]))
        assert "前答复" not in reply.chinese
        assert "answer by" not in reply.english
        early = case(CaseKind.SECOND_PAYMENT, opened=NOW - timedelta(hours=1))
        assert "3 月 28 日 13:36 前答复" in reply_to(facts(order(), cases=[early])).chinese

    def test_are_not_made_for_sandbox_orders(self):
        seen = facts(order(environment="sandbox"))
        assert reply_to(seen) is None
        assert judge(seen).sandbox


class TestWords:
    """The words of the mock-ups, with figures and times that can be checked."""

    def test_refused_and_retrying(self):
        seen = facts(order(delivery=DeliveryState.PENDING), delivery=DELIVERIES["refused"])
        with translation.override("zh-hans"):
            verdict = judge(seen)
        assert verdict.headline == "已付款，货还没到，系统在重试"
        assert verdict.sentence == (
            "玩家 14:06:23 用支付宝付了 ¥30.00，钱已收妥。游戏服拒收了 6 次（503 maintenance）。"
            "下一次自动重试 14:41:12，约 5 分钟后。"
        )
        assert verdict.advice.startswith("同一订单最多入账一次。重试持续到 3 月 30 日 14:36")
        assert verdict.acts[0] == "deliver"
        reply = reply_to(seen)
        assert "请不要重复付款" in reply.chinese
        assert "Please do not pay again" in reply.english

    def test_delivered_says_where_the_goods_are_and_where_else_the_player_bought(self):
        seen = facts(order(zone_id="听雪 3 区", role_id="霜降夜行"), other_receivers=[Receiver("8", "夜行者", NOW)])
        with translation.override("zh-hans"):
            verdict = judge(seen)
        assert verdict.headline == "已付款，已到账"
        assert "元宝 × 300 + 60 已发到听雪 3 区的角色「霜降夜行」" in verdict.sentence
        assert "8 区的角色「夜行者」" in verdict.advice

    def test_paid_twice_does_not_say_delivered_while_the_first_is_not(self):
        seen = facts(order(delivery=DeliveryState.PENDING), kinds=[CaseKind.SECOND_PAYMENT])
        reply = reply_to(seen)
        assert "已按第一笔到账" not in reply.chinese
        assert "were delivered" not in reply.english
        assert "物品已按第一笔到账" in reply_to(facts(order(), kinds=[CaseKind.SECOND_PAYMENT])).chinese

    def test_unpaid_names_the_provider_and_when_it_said_so(self):
        closed = attempt(state="closed", closed_at=NOW - timedelta(minutes=5), provider_said="TRADE_CLOSED")
        seen = facts(order(OrderState.CANCELLED), attempts=[closed])
        with translation.override("zh-hans"):
            assert judge(seen).headline == "没有付款（支付宝 14:31:00 答复）"
        assert "支付方没有订单" in reply_to(seen).chinese
        assert "请看账单是否扣款" in reply_to(seen).chinese

    def test_unpaid_without_an_attempt_claims_no_providers_word(self):
        verdict = judge(facts(order(OrderState.CANCELLED), attempts=[]))
        assert verdict.headline == "Not paid in time"
        assert "no provider knows" in verdict.sentence

    @pytest.mark.parametrize(
        ("refunded", "headline"),
        [(3000, "已退款 ¥30.00，原路退回"), (1000, "已部分退款 ¥10.00，原路退回")],
    )
    def test_refunded(self, refunded, headline):
        with translation.override("zh-hans"):
            assert judge(facts(order(refunded=refunded))).headline == headline
        assert "1–3 个工作日" in reply_to(facts(order(refunded=refunded))).chinese

    def test_a_decision_changes_verdict_and_reply_by_itself(self):
        late = payment(applied=False, reason="late_payment")
        before = facts(order(OrderState.CANCELLED), payments=[late], cases=[case(CaseKind.LATE_PAYMENT, about=late)])
        assert kind_of(before) is Kind.LATE_PAYMENT
        decided = case(CaseKind.LATE_PAYMENT, about=late, decision=Decision.REFUNDED)
        after = facts(order(OrderState.CANCELLED), payments=[late], cases=[decided])
        assert kind_of(after) is Kind.DEALT_WITH
        assert "退" not in reply_to(before).chinese
        assert "原路退回" in reply_to(after).chinese

    def test_every_decision_has_its_reply(self):
        late = payment(applied=False, reason="late_payment")
        for decision in Decision:
            decided = case(CaseKind.LATE_PAYMENT, about=late, decision=decision)
            reply = reply_to(facts(order(OrderState.CANCELLED), payments=[late], cases=[decided]))
            assert ("退回" in reply.chinese) is (decision is Decision.REFUNDED)
            assert "失败" not in reply.chinese

    def test_untold_goods_are_not_called_seen(self):
        seen = facts(order(), delivery=DeliveryFacts(kept_by_us=True, untold=True))
        assert judge(seen).kind is Kind.DELIVERED_UNTOLD
        assert "切换到这个角色" not in reply_to(seen).chinese
