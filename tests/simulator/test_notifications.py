"""Notifications of the simulator, read by our adapters as they arrive at a merchant's address."""

import itertools
import json
from collections import Counter
from urllib.parse import parse_qs

import pytest

from channels_app.providers.base import (
    AttemptRef,
    Foreign,
    NothingToDo,
    NotificationRefused,
    PaymentProof,
    RefundNotice,
    RefundStanding,
)
from channels_app.simulator.server import RunningSimulator
from tests.simulator import wire
from tests.simulator.conftest import Control, Desk
from tests.simulator.receiving import Answer, eventually

REFUSE = Answer(500, b'{"code":"FAIL"}')


def read(desk, raw):
    return desk.adapter.read_notification(raw)


def number_of(desk, raw) -> str:
    """The provider's id of a notification."""
    if desk.provider == "alipay":
        return parse_qs(raw.body.decode())["notify_id"][0]
    return json.loads(raw.body)["id"]


class TestPaymentNotification:
    """A payment is told in words that our adapter verifies, until it is acknowledged."""

    def test_it_arrives_once_and_proves_the_payment(self, desk, control, receiver):
        number, _ = desk.open("app")
        done = control.act(desk, number, "pay")
        (raw,) = receiver.received
        proof = read(desk, raw)
        assert isinstance(proof, PaymentProof)
        assert (proof.attempt_no, proof.paid.amount_minor, proof.paid.currency) == (number, 600, "CNY")
        assert proof.transaction_id == done["trade"]["payments"][0]["transaction_id"]
        (told,) = done["notifications"]
        assert (told["state"], told["attempts"][0]["status"]) == ("acknowledged", 200)

    @pytest.mark.parametrize(("provider", "sends"), [("wechatpay", 16), ("alipay", 8)])
    def test_without_acknowledgement_it_climbs_the_whole_ladder_and_stops(self, tmp_path, receiver, provider, sends):
        receiver.answer = lambda raw: REFUSE
        with RunningSimulator(tmp_path, speed=1_000_000) as running:
            desk = Desk(running, provider).at(receiver)
            number, _ = desk.open("app")
            control = Control(running.url)
            control.act(desk, number, "pay", wait=False)
            (notice,) = eventually(
                lambda: [n for n in control.trade(desk, number)["notifications"] if n["state"] != "due"]
            )
        assert (notice["state"], len(notice["attempts"]), len(receiver.received)) == ("given_up", sends, sends)
        assert len({number_of(desk, raw) for raw in receiver.received}) == 1
        assert all(isinstance(read(desk, raw), PaymentProof) for raw in receiver.received)

    def test_the_waits_are_the_ladder_divided_by_the_speed(self, tmp_path, receiver):
        receiver.answer = lambda raw: REFUSE if len(receiver.received) < 4 else Answer()
        with RunningSimulator(tmp_path, speed=50) as running:
            credentials = running.store.merchant("wechatpay", "speedy", running.url)
            order = wire.wechat_order(credentials, "Nspeed001", notify_url=receiver.url)
            wire.wechat(credentials, "POST", "/v3/pay/transactions/app", order)
            Control(running.url).post("trades/wechatpay/Nspeed001/pay")
            eventually(lambda: len(receiver.received) == 4)
        at = [raw.received_at.timestamp() for raw in receiver.received]
        gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
        # 15 s, 15 s and 30 s, fifty times as fast; a busy machine may add to them, never take away.
        assert [gap >= least for gap, least in zip(gaps, (0.28, 0.28, 0.58), strict=True)] == [True] * 3
        assert sum(gaps) < 4

    def test_the_words_that_count_as_acknowledgement_are_the_providers_own(self, desk, control, receiver):
        answers = {
            "wechatpay": [(200, b"", True), (204, b"", True), (200, b'{"code":"FAIL"}', False), (302, b"", False)],
            "alipay": [
                (200, b"success", True),
                (200, b"success\n", False),
                (200, b"SUCCESS", False),
                (204, b"", False),
            ],
        }[desk.provider]
        seen = []
        for status, body, _ in answers:
            receiver.answer = lambda raw, status=status, body=body: Answer(status, body)
            number, _ = desk.open("app")
            seen.append(control.act(desk, number, "pay")["notifications"][0]["attempts"][0]["acknowledged"])
        assert seen == [expected for _, _, expected in answers]

    def test_wechat_alternates_between_both_keys_or_keeps_to_one(self, new_merchant, control, receiver):
        wechat = new_merchant("wechatpay")
        serials = {}
        for setting in ("alternating", "public_key", "platform_certificate"):
            control.post(f"merchants/wechatpay/{wechat.code}", notify_keys=setting)
            del receiver.received[:]
            number, _ = wechat.open("app")
            control.act(wechat, number, "pay")
            control.act(wechat, number, "notify", times=3, new_ids=True)
            assert all(isinstance(read(wechat, raw), PaymentProof) for raw in receiver.received)
            serials[setting] = Counter(
                raw.headers["wechatpay-serial"].startswith("PUB_KEY_ID_") for raw in receiver.received
            )
        assert serials["alternating"] == {True: 2, False: 2}
        assert (serials["public_key"], serials["platform_certificate"]) == ({True: 4}, {False: 4})


class TestBadWeather:
    """Everything that can go wrong with a notification can be made to go wrong."""

    def test_a_lost_one_never_arrives(self, desk, control, receiver):
        number, _ = desk.open("app")
        done = control.act(desk, number, "pay", notify="lost")
        assert (done["notifications"][0]["state"], receiver.received) == ("lost", [])
        assert control.trade(desk, number)["state"] == "paid"
        control.act(desk, number, "notify")
        assert isinstance(read(desk, receiver.received[0]), PaymentProof)

    def test_a_delayed_one_arrives_later(self, desk, control, receiver):
        number, _ = desk.open("app")
        control.act(desk, number, "pay", wait=False, notify="delayed", delay_s=0.4)
        assert control.trade(desk, number)["state"] == "paid"
        assert receiver.received == []
        eventually(lambda: receiver.received)
        assert isinstance(read(desk, receiver.received[0]), PaymentProof)

    def test_a_reordered_one_arrives_after_the_refund(self, desk, control, receiver):
        number, _ = desk.open("app")
        control.act(desk, number, "pay", wait=False, notify="reordered", delay_s=60)
        control.act(desk, number, "refund", amount=100)
        eventually(lambda: len(receiver.received) == 2)
        assert [type(read(desk, raw)) for raw in receiver.received] == [RefundNotice, PaymentProof]

    @pytest.mark.parametrize("new_ids", [False, True], ids=["same id", "new ids"])
    def test_many_at_once_all_arrive(self, desk, control, receiver, new_ids):
        number, _ = desk.open("app")
        control.act(desk, number, "pay", notify="lost")
        control.act(desk, number, "notify", times=20, at_once=True, new_ids=new_ids)
        assert len(receiver.received) == 20
        assert len({number_of(desk, raw) for raw in receiver.received}) == (20 if new_ids else 1)
        assert len({read(desk, raw).transaction_id for raw in receiver.received}) == 1

    def test_paying_twice_makes_two_transactions_of_one_number(self, desk, control, receiver):
        number, _ = desk.open("app")
        control.act(desk, number, "pay-twice")
        proofs = [read(desk, raw) for raw in receiver.received]
        assert [proof.attempt_no for proof in proofs] == [number] * 2
        assert len({proof.transaction_id for proof in proofs}) == 2
        # Each can be given back by its own transaction.
        second = control.trade(desk, number)["payments"][1]["transaction_id"]
        control.act(desk, number, "refund", transaction_id=second)
        states = [[each["amount"] for each in p["refunds"]] for p in control.trade(desk, number)["payments"]]
        assert states == [[], [600]]

    def test_paying_late_works_although_the_trade_is_closed(self, desk, control, receiver):
        number, _ = desk.open("app")
        desk.adapter.close(AttemptRef(attempt_no=number))
        control.act(desk, number, "pay", expect=409)
        control.act(desk, number, "pay-late")
        kinds = [type(read(desk, raw)) for raw in receiver.received]
        # Alipay tells that an app's trade was closed; WeChat Pay does not.
        assert Counter(kinds) == Counter([PaymentProof] + [NothingToDo] * (desk.provider == "alipay"))

    def test_a_wrong_amount_is_told_and_answered_alike(self, desk, control, receiver):
        number, _ = desk.open("app")
        control.act(desk, number, "wrong-amount", amount=1)
        assert read(desk, receiver.received[0]).paid.amount_minor == 1
        assert desk.adapter.query(AttemptRef(attempt_no=number)).proof.paid.amount_minor == 1

    def test_another_merchants_payment_is_rightly_signed_and_foreign(self, desk, control, receiver):
        number, _ = desk.open("app")
        control.act(desk, number, "foreign-merchant")
        assert isinstance(read(desk, receiver.received[0]), Foreign)
        assert control.trade(desk, number)["state"] == "waiting"

    def test_a_forged_one_is_refused_and_sent_once(self, desk, control, receiver):
        receiver.answer = lambda raw: REFUSE
        number, _ = desk.open("app")
        done = control.act(desk, number, "forged")
        (raw,) = receiver.received
        with pytest.raises(NotificationRefused, match="signature"):
            read(desk, raw)
        assert (done["notifications"][0]["state"], done["trade"]["state"]) == ("given_up", "waiting")

    def test_a_probe_comes_first_and_the_genuine_one_at_once(self, wechat, control, receiver):
        def answer(raw):
            try:
                wechat.adapter.read_notification(raw)
            except NotificationRefused:
                return REFUSE
            return Answer()

        receiver.answer = answer
        number, _ = wechat.open("app")
        done = control.act(wechat, number, "probe")
        first, second = receiver.received
        with pytest.raises(NotificationRefused, match="probe"):
            read(wechat, first)
        assert isinstance(read(wechat, second), PaymentProof)
        (told,) = done["notifications"]
        assert [(each["how"], each["acknowledged"]) for each in told["attempts"]] == [
            ("probe", False),
            ("genuine", True),
        ]

    def test_alipay_has_no_probe_and_nothing_is_told_of_an_unpaid_trade(self, alipay, control):
        number, _ = alipay.open("app")
        control.act(alipay, number, "probe", expect=404)
        assert control.act(alipay, number, "notify", expect=409)["code"] == "nothing_to_tell"

    def test_what_the_control_api_does_not_know_is_refused_by_name(self, alipay, control):
        number, _ = alipay.open("app")
        assert "amuont" in control.act(alipay, number, "pay", expect=400, amuont=1)["error"]
        assert control.act(alipay, number, "pay", expect=400, notify="sometimes")["code"] == "invalid_field"
        assert control.act(alipay, number, "refund", expect=409)["code"] == "not_paid"
        control.act(alipay, number, "steal", expect=404)


class TestRefundNotification:
    """Refunds are told the way each provider tells them."""

    def test_wechat_tells_of_our_own_refund_and_of_the_back_offices(self, wechat, control, receiver):
        number, _ = wechat.open("app")
        control.act(wechat, number, "pay")
        request, _ = wechat.refund(number, amount=100)
        eventually(lambda: len(receiver.received) == 2)
        ours = read(wechat, receiver.received[1])
        assert (ours.refund_no, ours.standing, ours.amount.amount_minor) == (
            request.refund_no, RefundStanding.SUCCEEDED, 100,
        )  # fmt: skip
        control.act(wechat, number, "refund", amount=50)
        theirs = read(wechat, receiver.received[2])
        assert theirs.refund_no.startswith("BACKOFFICE")

    def test_wechat_tells_of_a_refund_that_is_stuck(self, wechat, control, receiver):
        number, _ = wechat.open("app")
        control.act(wechat, number, "pay")
        control.act(wechat, number, "refund", amount=50, status="ABNORMAL")
        assert read(wechat, receiver.received[1]).standing == RefundStanding.ABNORMAL

    def test_alipay_repeats_success_after_a_part_and_closes_after_the_rest(self, alipay, control, receiver):
        number, _ = alipay.open("app")
        control.act(alipay, number, "pay")
        control.act(alipay, number, "refund", amount=200)
        control.act(alipay, number, "refund")
        forms = [{name: values[0] for name, values in parse_qs(raw.body.decode()).items()} for raw in receiver.received]
        assert [form["trade_status"] for form in forms] == ["TRADE_SUCCESS", "TRADE_SUCCESS", "TRADE_CLOSED"]
        assert [form.get("refund_fee") for form in forms] == [None, "2.00", "6.00"]
        assert ["gmt_payment" in form for form in forms] == [True] * 3
        told = [read(alipay, raw) for raw in receiver.received[1:]]
        assert [notice.refunded_total.amount_minor for notice in told] == [200, 600]

    def test_alipay_tells_nobody_of_the_end_of_a_page_trade(self, alipay, control, receiver):
        number, _ = alipay.open("page")
        control.act(alipay, number, "pay")
        done = control.act(alipay, number, "refund")
        assert (done["notifications"], len(receiver.received)) == ([], 1)


class TestRestart:
    """Notifications on their way survive the simulator."""

    def test_what_was_not_acknowledged_is_sent_after_a_restart(self, tmp_path, receiver):
        receiver.answer = lambda raw: REFUSE
        with RunningSimulator(tmp_path, speed=10) as first:
            credentials = first.store.merchant("wechatpay", "kept", first.url)
            order = wire.wechat_order(credentials, "Nresume01", notify_url=receiver.url)
            wire.wechat(credentials, "POST", "/v3/pay/transactions/app", order)
            Control(first.url).post("trades/wechatpay/Nresume01/pay", wait=True)
        assert len(receiver.received) == 1
        receiver.answer = lambda raw: Answer()
        with RunningSimulator(tmp_path, speed=10) as second:
            eventually(lambda: second.store.notices()[0].state == "acknowledged")
        assert len(receiver.received) == 2
