"""Merchant accounts without a shell: entered in a form, checked at the provider, replaced, offered on a channel."""

import re
from collections.abc import Iterator

import pytest
import requests

from channels_app.accounts import save_account
from channels_app.models import AccountState, Channel, ChannelMethod, MerchantAccount
from channels_app.providers import ADAPTERS
from channels_app.simulator.server import RunningSimulator
from orders.models import ApiKey
from tests import keys
from tests.console.conftest import page_of, staff  # noqa: F401  # a fixture

ADD = "/admin/channels_app/merchantaccount/add/"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory) -> Iterator[RunningSimulator]:
    """The provider that accounts are checked at."""
    with RunningSimulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def engineer(staff, db):  # noqa: F811
    """Somebody who may set up accounts, in English unless asked otherwise."""

    def log_in(language="en"):
        return staff(language=language, superuser=True)

    return log_in


def typed(credentials: dict) -> dict:
    """A credentials file as a person pastes it into the form."""
    return {name: "\n".join(value) if isinstance(value, list) else value for name, value in credentials.items()}


def act(account, name: str) -> str:
    return page_of(account).replace("change/", f"act/{name}/")


class TestMakingAnAccount:
    """An engineer pastes what the provider shows; the account works without a command line."""

    @pytest.mark.parametrize(
        ("provider", "credentials"),
        [("wechatpay", keys.wechat_credentials), ("alipay", keys.alipay_credentials)],
    )
    def test_stores_exactly_what_was_pasted(self, engineer, provider, credentials):
        pasted = {"code": "main", "environment": "production", **typed(credentials())}
        answer = engineer().post(f"{ADD}?provider={provider}", pasted)
        account = MerchantAccount.objects.get()
        assert answer.url == page_of(account)
        assert (account.provider, account.environment, account.state) == (provider, "production", "active")
        kept = account.credentials()
        assert {name: str(value).strip() for name, value in kept.items()} == {
            name: str(value).strip() for name, value in credentials().items()
        }

    def test_asks_for_the_provider_first(self, engineer):
        text = engineer().get(ADD).content.decode()
        assert all(f"?provider={provider}" in text for provider in ADAPTERS)

    def test_puts_a_key_that_does_not_fit_beside_its_field_and_stores_nothing(self, engineer):
        pasted = {"code": "main", "environment": "sandbox", **typed(keys.wechat_credentials()), "api_v3_key": "short"}
        answer = engineer("zh-hans").post(f"{ADD}?provider=wechatpay", pasted)
        assert "APIv3 密钥" in answer.context["form"].errors["api_v3_key"][0]
        assert MerchantAccount.objects.count() == 0

    def test_never_shows_a_sealed_key_again(self, engineer):
        credentials = keys.wechat_credentials()
        browser = engineer()
        browser.post(f"{ADD}?provider=wechatpay", {"code": "m", "environment": "sandbox", **typed(credentials)})
        account = MerchantAccount.objects.get()
        secrets = [credentials["api_v3_key"], *credentials["private_key"].splitlines()[1:4]]
        for address in (page_of(account), act(account, "keys"), "/admin/channels_app/merchantaccount/"):
            text = browser.get(address).content.decode()
            assert not [secret for secret in secrets if secret in text], address
        fingerprints = [key["fingerprint"] for key in account.summary["keys"]]
        text = browser.get(page_of(account)).content.decode()
        assert len(fingerprints) >= 3
        assert all(fingerprint in text for fingerprint in fingerprints)

    def test_refuses_a_code_that_is_taken(self, engineer, wechat_account):
        pasted = {"code": wechat_account.code, "environment": "sandbox", **typed(keys.wechat_credentials())}
        answer = engineer().post(f"{ADD}?provider=wechatpay", pasted)
        assert "code" in answer.context["form"].errors
        assert MerchantAccount.objects.get().credentials_version == 1

    def test_is_refused_to_those_who_may_only_look(self, staff, db):  # noqa: F811
        browser = staff("channels_app.view_merchantaccount")
        pasted = {"code": "main", "environment": "sandbox", **typed(keys.wechat_credentials())}
        assert browser.post(f"{ADD}?provider=wechatpay", pasted).status_code == 403
        assert MerchantAccount.objects.count() == 0


class TestReplacingKeys:
    """Keys are rotated in place; what is not pasted again stays."""

    def test_keeps_a_sealed_key_whose_field_is_left_empty(self, engineer, wechat_account):
        before = wechat_account.credentials()
        pasted = {**typed(before), "private_key": "", "api_v3_key": "n" * 32}
        answer = engineer().post(act(wechat_account, "keys"), pasted)
        assert answer.status_code == 302
        wechat_account.refresh_from_db()
        after = wechat_account.credentials()
        assert after["private_key"] == before["private_key"]
        assert after["api_v3_key"] == "n" * 32
        assert wechat_account.credentials_version == 2

    def test_changes_nothing_when_a_key_does_not_parse(self, engineer, wechat_account):
        pasted = {**typed(wechat_account.credentials()), "private_key": "no key", "api_v3_key": ""}
        answer = engineer().post(act(wechat_account, "keys"), pasted)
        assert "private_key" in answer.context["form"].errors
        wechat_account.refresh_from_db()
        assert wechat_account.credentials_version == 1


# Their no to a number that cannot exist comes without a signature: it proves that they know us, and no more.
SIGNS_NO_REFUSAL = frozenset({"apple", "google", "huawei", "stripe", "taptap", "xiaomi"})


class TestCheckingAnAccount:
    """One signed question tells whether an account works, and what to do when it does not."""

    def check(self, browser, account):
        answer = browser.post(act(account, "check"), follow=True)
        account.refresh_from_db()
        return [str(message) for message in answer.context["messages"]], account.last_check

    @pytest.mark.parametrize("provider", sorted(ADAPTERS))
    def test_says_that_it_works(self, engineer, simulator, provider, db):
        credentials = simulator.store.merchant(provider, f"check-{provider}", base_url=simulator.url)
        account = save_account(provider=provider, code="c", environment="sandbox", credentials=credentials)
        said, kept = self.check(engineer(), account)
        if provider in SIGNS_NO_REFUSAL:
            assert "accepted our signature" in said[0]
            assert kept["step"] == "half"
        else:
            assert "works" in said[0]
            assert kept["step"] == "works"

    @pytest.mark.parametrize(
        ("provider", "field", "words"),
        [("wechatpay", "private_key", "signature"), ("alipay", "app_private_key", "signature")],
    )
    def test_explains_a_key_that_the_provider_does_not_accept(self, engineer, simulator, provider, field, words, db):
        credentials = simulator.store.merchant(provider, f"wrong-{provider}", base_url=simulator.url)
        wrong = {**credentials, field: keys.private_pem("somebody else")}
        account = save_account(provider=provider, code="c", environment="sandbox", credentials=wrong)
        said, kept = self.check(engineer(), account)
        assert kept["step"] == "accepted", kept
        assert words in said[0]

    def test_says_when_the_answer_cannot_be_verified(self, engineer, simulator, db):
        credentials = simulator.store.merchant("wechatpay", "stranger", base_url=simulator.url)
        wrong = {**credentials, "public_key": keys.public_pem("somebody else")}
        account = save_account(provider="wechatpay", code="c", environment="sandbox", credentials=wrong)
        _said, kept = self.check(engineer(), account)
        assert kept["step"] == "verified"

    def test_does_not_claim_more_than_an_unsigned_answer_proves(self, engineer, simulator, db):
        credentials = simulator.store.merchant("wechatpay", "unsigned", base_url=simulator.url)
        account = save_account(provider="wechatpay", code="c", environment="sandbox", credentials=credentials)
        weather = {"provider": "wechatpay", "mode": "unsigned", "calls": []}
        requests.post(f"{simulator.url}/control/weather", json=weather, timeout=10).raise_for_status()
        said, kept = self.check(engineer(), account)
        requests.post(f"{simulator.url}/control/weather", json={**weather, "mode": "ok"}, timeout=10)
        assert kept["step"] == "half"
        assert "first payment" in said[0]

    def test_says_when_nobody_answers(self, engineer, wechat_account):
        said, kept = self.check(engineer("zh-hans"), wechat_account)
        assert kept["step"] == "reached"
        assert "防火墙" in said[0]

    def test_is_forgotten_with_the_keys_it_spoke_of(self, engineer, wechat_account):
        browser = engineer()
        self.check(browser, wechat_account)
        browser.post(act(wechat_account, "keys"), {**typed(wechat_account.credentials()), "api_v3_key": "n" * 32})
        wechat_account.refresh_from_db()
        assert wechat_account.last_check == {}


class TestTakingOver:
    """An account is replaced without tears: new payments go through the other one, old ones end where they began."""

    def test_moves_every_method_and_lets_the_old_one_drain(self, engineer, channel, wechat_account):
        other = save_account(
            provider="wechatpay", code="wx2", environment="sandbox", credentials=keys.wechat_credentials()
        )
        offered = ChannelMethod.objects.filter(account=wechat_account).count()
        answer = engineer().post(act(wechat_account, "replace"), {"by": other.pk})
        assert answer.status_code == 302
        wechat_account.refresh_from_db()
        assert wechat_account.state == AccountState.DRAINING
        assert ChannelMethod.objects.filter(account=other).count() == offered > 0
        assert not ChannelMethod.objects.filter(account=wechat_account).exists()

    def test_is_not_offered_without_another_account_and_says_why(self, engineer, wechat_account):
        text = engineer().get(page_of(wechat_account)).content.decode()
        assert "no other active account" in text


class TestOfferingMethods:
    """A channel's methods are ticked, by account."""

    def test_offers_what_was_ticked(self, engineer, wechat_account):
        shop = Channel.objects.create(code="taptap", name="TapTap")
        ticked = [f"{wechat_account.pk}:wechatpay_h5", f"{wechat_account.pk}:wechatpay_native"]
        answer = engineer().post(act(shop, "offer"), {"methods": ticked})
        assert answer.status_code == 302
        offered = shop.methods.filter(is_enabled=True).values_list("method", flat=True)
        assert sorted(offered) == ["wechatpay_h5", "wechatpay_native"]

    def test_takes_no_method_that_no_account_has(self, engineer, wechat_account):
        shop = Channel.objects.create(code="taptap", name="TapTap")
        answer = engineer().post(act(shop, "offer"), {"methods": [f"{wechat_account.pk}:alipay_app"]})
        assert answer.context["form"].errors
        assert not shop.methods.exists()


class TestMakingAnApiKey:
    """A game's server gets its key from the console: shown once, good at once."""

    def test_shows_a_key_that_works_and_keeps_only_its_digest(self, engineer, client, game, channel):
        asked = {"environment": "sandbox", "name": "game server 1", "scopes": ["catalogue"], "reason": "first server"}
        text = engineer().post(act(game, "key"), asked, follow=True).content.decode()
        (shown,) = set(re.findall(r"gk_sandbox_[A-Za-z0-9_-]{43}", text))
        key = ApiKey.objects.get()
        assert (key.game, key.environment, key.scopes) == (game, "sandbox", ["catalogue"])
        assert shown not in str(ApiKey.objects.values().get())
        assert client.get("/api/v1/channels", headers={"Authorization": f"Bearer {shown}"}).status_code == 200
        assert shown not in client.get(page_of(key)).content.decode()
