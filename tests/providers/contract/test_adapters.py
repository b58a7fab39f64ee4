"""What every adapter does with bytes and keys, without a database: one contract for all."""

from dataclasses import replace
from pathlib import Path

import pytest

from channels_app.money import Money
from channels_app.providers import ADAPTERS, METHODS, build_adapter
from channels_app.providers.base import (
    Ack,
    Claims,
    Confirming,
    CredentialsInvalid,
    Following,
    Foreign,
    Hint,
    NothingToDo,
    NotificationRefused,
    NotificationUnreadable,
    PaymentProof,
    Proving,
)
from channels_app.simulator.merchants import KINDS
from channels_app.simulator.parts import PARTS
from tests.providers.contract.side import Purchase, Sent, purchase_at, raw, spoilings

MOVES_NOTHING = (Hint, NothingToDo, Foreign)


@pytest.fixture(scope="module")
def purchase(side, adapter) -> Purchase:
    """A purchase of some attempt."""
    return purchase_at(side, adapter)


@pytest.fixture
def read(side, adapter):
    """What the adapter makes of a message; None of one that it refuses or cannot read."""

    def read(sent: Sent):
        message = raw(side, sent)
        assert isinstance(adapter.claims(message), Claims)
        try:
            return adapter.read_notification(message)
        except (NotificationRefused, NotificationUnreadable):
            return None

    return read


class TestAMessage:
    """Either the provider's own, to the last byte that it has signed, or nothing at all."""

    def test_that_is_genuine_names_the_payment(self, side, adapter, read, purchase):
        message = read(side.told(purchase))
        if isinstance(message, Hint):
            assert isinstance(adapter, Following)
            message = adapter.follow(message)
        assert isinstance(message, PaymentProof)
        assert (message.attempt_no, message.transaction_id) == (purchase.attempt_no, purchase.transaction_id)
        assert message.paid in (Money(600, "CNY"), None)
        assert message.paid_at.utcoffset() is not None
        assert (message.given_back, message.test, message.review) == (False, False, "")
        sold = (message.bought.product_id, message.bought.quantity) if message.bought else ("", 1)
        assert sold == (side.product, 1)

    def test_changed_anywhere_still_says_the_same_or_nothing(self, side, read, purchase):
        sent = side.told(purchase)
        genuine = read(sent)
        for how, body in spoilings(sent.body, 60):
            message = read(replace(sent, body=body))
            if side.signs_body:
                assert message in (None, genuine), how
            else:
                assert message is None or isinstance(message, MOVES_NOTHING), how
        for name in side.signed_headers:
            told = {key.lower(): value for key, value in raw(side, sent).headers.items()}
            for how, value in spoilings(told[name].encode(), 40):
                changed = replace(sent, headers={**told, name: value.decode("latin-1")})
                assert read(changed) in (None, genuine), f"{name}, {how}"

    def test_cut_short_anywhere_says_nothing(self, side, read, purchase):
        sent = side.told(purchase)
        for length in range(0, len(sent.body), max(1, len(sent.body) // 60)):
            message = read(replace(sent, body=sent.body[:length]))
            assert message is None or (not side.signs_body and isinstance(message, MOVES_NOTHING)), length

    def test_without_what_is_signed_beside_it_says_nothing(self, side, read, purchase):
        sent = side.told(purchase)
        for name in {name for name in sent.headers if name.lower() in side.signed_headers}:
            few = {key: value for key, value in sent.headers.items() if key != name}
            assert read(replace(sent, headers=few)) is None, name
            assert read(replace(sent, headers={**few, name: ""})) is None, name

    def test_is_answered_so_that_the_provider_understands(self, side, adapter):
        for ack, (status, body) in zip(Ack, (side.done, side.refused, side.later), strict=True):
            reply = adapter.reply(ack)
            assert reply.status == status
            assert (body == reply.body) if ack is Ack.DONE else (body in reply.body)
            assert reply.content_type
        assert (side.done[0] // 100, side.refused[0] // 100, side.later[0] // 100) == (2, 4, 5)


def _refusal(side, credentials) -> str:
    """Why they are refused; empty when they are not."""
    try:
        build_adapter(side.code, credentials, live=False)
    except CredentialsInvalid as refusal:
        return str(refusal)
    return ""


class TestCredentials:
    """An account without its keys cannot exist, and no key is ever shown."""

    def test_are_complete_or_refused_by_name(self, side, adapter):
        whole = side.credentials()
        for field in adapter.fields:
            if not field.required:
                continue
            for nothing in (None, "", " \n", [], [""], {}):
                with pytest.raises(CredentialsInvalid, match=field.name):
                    build_adapter(side.code, {**whole, field.name: nothing}, live=False)

    def test_without_what_the_provider_signs_with_are_refused(self, side):
        whole = side.credentials()
        for nothing in ({}, dict.fromkeys(side.proves_with, ""), dict.fromkeys(side.proves_with)):
            few = {name: value for name, value in whole.items() if name not in side.proves_with} | nothing
            assert bool(_refusal(side, few)) is bool(side.proves_with)

    def test_hold_every_field_that_the_console_asks_for_and_no_other(self, side, adapter):
        known = {field.name for field in adapter.fields}
        assert {field.name for field in adapter.fields if field.required} <= set(side.credentials()) <= known

    def test_are_never_shown(self, side, adapter):
        whole = side.credentials()
        sealed = [str(whole[field.name]) for field in adapter.fields if field.is_sealed and field.name in whole]
        assert sealed
        said = ""
        for field in adapter.fields:
            if field.name not in whole:
                continue
            said += _refusal(side, {**whole, field.name: f"? {whole[field.name]}?"})
        said += repr(adapter) + str(vars(adapter))
        assert not any(secret[:16] in said for secret in sealed)

    def test_of_a_simulator_are_refused_for_real_money(self, side):
        real = side.live_credentials()
        build_adapter(side.code, real, live=True)
        for name, value in side.sandbox_only.items():
            with pytest.raises(CredentialsInvalid, match=name):
                build_adapter(side.code, {**real, name: value}, live=True)


class TestAnAdapter:
    """What it says it can do is what it does; whoever adds one has added everything that belongs to it."""

    @pytest.mark.parametrize("code", ADAPTERS)
    def test_has_its_simulator_and_its_guide_in_both_languages(self, code):
        # Those two were there before the parts.
        assert (code in KINDS, code in {"wechatpay", "alipay", *PARTS}) == (True, True)
        guides = Path(__file__).parents[3] / "docs" / "providers"
        assert [name for name in (f"{code}.md", f"{code}.zh.md") if not (guides / name).is_file()] == []

    @pytest.mark.parametrize("code", ADAPTERS)
    def test_does_what_its_methods_promise(self, code):
        adapter = ADAPTERS[code]
        assert (adapter.code, adapter.notifies_by in ("GET", "POST")) == (code, True)
        assert {name: method.code for name, method in adapter.methods.items()} == {
            name: name for name in adapter.methods
        }
        assert any(method.evidence for method in adapter.methods.values()) == issubclass(adapter, Proving)
        assert any(method.confirms for method in adapter.methods.values()) == issubclass(adapter, Confirming)
        assert hasattr(adapter, "reaches_back") == hasattr(adapter, "happenings")

    def test_has_methods_of_its_own(self):
        assert len(METHODS) == sum(len(adapter.methods) for adapter in ADAPTERS.values())
