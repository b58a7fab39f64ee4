"""Bad weather at the simulated providers, met by our adapters."""

import pytest

from channels_app.providers import transport
from channels_app.providers.base import AttemptRef, ProviderBusy, ProviderError, ProviderUnavailable, Standing

CARRIED_OUT = ("timeout", "garbage", "unsigned", "wrong_signature", "reset")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Ten seconds of silence teach no more than half a second."""
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.5)


class TestModes:
    """Every mode of every call is an unknown result or a plea for patience, never a yes and never a no."""

    @pytest.mark.parametrize("mode", [*CARRIED_OUT, "error500", "error429"])
    def test_each_call_of_our_adapter_sees_it_and_is_well_again_afterwards(self, desk, control, mode):
        number, _ = desk.open("app")
        paid, _ = desk.open("app")
        control.act(desk, paid, "pay")
        opened = desk.request("native" if desk.provider == "wechatpay" else "qr")
        calls = {
            "create": lambda: desk.adapter.open_payment(opened),
            "query": lambda: desk.adapter.query(AttemptRef(attempt_no=number)),
            "close": lambda: desk.adapter.close(AttemptRef(attempt_no=number)),
            "refund": lambda: desk.refund(paid, amount=100),
        }
        # Some adapters ask once more by themselves where the first answer cannot be believed.
        control.post("weather", provider=desk.provider, mode=mode, calls=list(calls))
        expected = ProviderBusy if mode == "error429" else ProviderUnavailable
        for call in calls.values():
            with pytest.raises(ProviderError) as caught:
                call()
            assert isinstance(caught.value, expected)
        control.post("weather", provider=desk.provider, mode="ok")
        was_done = mode in CARRIED_OUT
        assert desk.adapter.query(AttemptRef(attempt_no=number)).standing == (
            Standing.CLOSED if was_done else Standing.WAITING
        )
        refunds = control.trade(desk, paid)["payments"][0]["refunds"]
        assert [each["amount"] for each in refunds] == [100] * was_done
        calls["create"]()
        assert control.trade(desk, opened.attempt_no)["state"] == "waiting"

    def test_an_error_can_be_said_although_it_was_carried_out(self, desk, control):
        number, _ = desk.open("app")
        control.post("weather", provider=desk.provider, mode="error500", calls=["close"], carried_out=True)
        with pytest.raises(ProviderUnavailable):
            desk.adapter.close(AttemptRef(attempt_no=number))
        assert desk.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.CLOSED

    def test_it_lasts_as_many_calls_as_was_said_and_touches_no_other(self, desk, control):
        number, _ = desk.open("app")
        control.post("weather", provider=desk.provider, mode="error500", calls=["query"], count=2)
        outcomes = []
        for _ in range(3):
            try:
                outcomes.append(desk.adapter.query(AttemptRef(attempt_no=number)).standing)
            except ProviderUnavailable:
                outcomes.append("unavailable")
        assert outcomes == ["unavailable", "unavailable", Standing.WAITING]
        desk.open("app")

    def test_one_providers_weather_is_not_the_others(self, wechat, alipay, control):
        control.post("weather", provider="wechatpay", mode="error500")
        number, _ = alipay.open("app")
        assert alipay.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.WAITING

    def test_wechat_can_probe_an_answer_and_our_adapter_asks_again(self, wechat, control):
        number, _ = wechat.open("app")
        control.post("weather", provider="wechatpay", mode="probe", calls=["query"], count=1)
        assert wechat.adapter.query(AttemptRef(attempt_no=number)).standing == Standing.WAITING
        control.post("weather", provider="wechatpay", mode="probe", calls=["query"])
        with pytest.raises(ProviderUnavailable):
            wechat.adapter.query(AttemptRef(attempt_no=number))
        control.post("weather", expect=400, provider="alipay", mode="probe")

    def test_nonsense_is_refused_and_changes_nothing(self, control):
        for asked in (
            {"provider": "nobody", "mode": "ok"},
            {"provider": "alipay", "mode": "fog"},
            {"provider": "alipay", "mode": "reset", "calls": ["dance"]},
            {"provider": "alipay", "mode": "reset", "count": 0},
            {"provider": "alipay", "mode": "reset", "colour": "red"},
        ):
            control.post("weather", expect=400, **asked)
        assert control.post("weather", provider="alipay", mode="ok")["weather"] == []
