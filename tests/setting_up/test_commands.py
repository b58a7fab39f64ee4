"""An integrator sets up a game, a channel and accounts with the commands of the contract."""

import json

import pytest
from django.core.management import CommandError, call_command

from channels_app.models import Channel, ChannelMethod, MerchantAccount
from fulfillment.models import DeliveryPolicy, WebhookEndpoint
from orders.models import ApiKey, Game
from tests import keys
from tests.buying import get, make_order

pytestmark = pytest.mark.django_db

CATALOGUE = {
    "items": [{"item_id": "gem", "name": "Gem", "kind": "currency"}],
    "products": [
        {"product_id": "gems60", "name": "60 gems", "prices": [{"currency": "CNY", "amount": 600}],
         "grants": [{"item_id": "gem", "quantity": 60, "bonus": 6}]},
    ],
}  # fmt: skip


@pytest.fixture
def run(capsys):
    """Runs a command; returns what it printed, parsed when it is JSON."""

    def call(*arguments: str):
        capsys.readouterr()
        call_command(*arguments)
        printed = capsys.readouterr().out
        return json.loads(printed) if "--json" in arguments else printed

    return call


@pytest.fixture
def file_of(tmp_path):
    """Writes a document to a file and returns its path."""

    def write(document: object) -> str:
        path = tmp_path / "document.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return str(path)

    return write


class TestFromNothing:
    """Game, catalogue, channel, account, method: then the first order can be made."""

    def test_to_the_first_order(self, run, file_of, client):
        made = run("create_game", "moon", "--name", "Moon", "--json")
        assert set(made) == {"game", "api_key", "webhook_secret"}
        assert made["webhook_secret"].startswith("whsec_")
        run("load_catalogue", "moon", file_of(CATALOGUE))
        run("create_channel", "official", "--name", "官网")
        run(
            "create_account",
            "wechatpay",
            "wx9",
            "--environment",
            "sandbox",
            "--credentials",
            file_of(keys.wechat_credentials()),
        )
        run("enable_method", "official", "wechatpay_app", "wx9")
        order = make_order(client, made["api_key"])
        assert (order.game.code, order.amount_minor, order.environment) == ("moon", 600, "sandbox")
        channels = get(client, "channels", bearer=made["api_key"]).json()["results"]
        assert [offer["method"] for offer in channels[0]["methods"]] == ["wechatpay_app"]

    def test_a_game_is_made_once(self, run):
        run("create_game", "moon", "--name", "Moon")
        with pytest.raises(CommandError, match="moon"):
            run("create_game", "moon", "--name", "Again")
        assert (Game.objects.count(), ApiKey.objects.count()) == (1, 1)

    @pytest.mark.parametrize("code", ["", "a b", "x" * 33, "月", "a/b"])
    def test_a_game_needs_a_code_for_addresses(self, run, code):
        with pytest.raises(CommandError):
            run("create_game", code, "--name", "Moon")
        assert Game.objects.count() == 0

    def test_further_keys_belong_to_one_environment(self, run, game, client):
        made = run("create_api_key", "demo", "--environment", "production", "--scopes", "orders", "--json")
        row = ApiKey.objects.get()
        assert (row.environment, row.scopes) == ("production", ["orders"])
        assert get(client, "orders", bearer=made["api_key"]).status_code == 200
        assert get(client, "products", bearer=made["api_key"]).status_code == 403


class TestTheGamesEndpoint:
    """The webhook secret is shown once; the address and who holds the goods can change."""

    def test_keeps_the_secret_of_the_game(self, run):
        secret = run("create_game", "moon", "--name", "Moon", "--json")["webhook_secret"]
        again = run("set_webhook", "moon", "https://game.example/hook", "--json")
        endpoint = WebhookEndpoint.objects.get()
        assert (endpoint.url, endpoint.secrets()) == ("https://game.example/hook", [secret])
        assert secret not in json.dumps(again)

    def test_rotates_its_secret_with_an_overlap(self, run):
        first = run("create_game", "moon", "--name", "Moon", "--json")["webhook_secret"]
        address = "https://game.example/hook"
        second = run("set_webhook", "moon", address, "--rotate-secret", "--json")["webhook_secret"]
        assert WebhookEndpoint.objects.get().secrets() == [second, first]
        run("set_webhook", "moon", address, "--retire-old-secrets")
        assert WebhookEndpoint.objects.get().secrets() == [second]

    def test_can_be_named_with_the_game(self, run):
        run("create_game", "moon", "--name", "Moon", "--webhook-url", "https://game.example/hook", "--json")
        assert WebhookEndpoint.objects.get().url == "https://game.example/hook"

    def test_says_who_holds_the_goods(self, run, game):
        run("set_webhook", "demo", "https://game.example/hook", "--mode", "game_server")
        assert DeliveryPolicy.objects.get().mode == "game_server"
        run("set_webhook", "demo", "https://game.example/hook", "--mode", "ledger")
        assert DeliveryPolicy.objects.get().mode == "ledger"

    @pytest.mark.parametrize(
        "url", ["", "ftp://game.example/", "https://", "not an address", "https://user:pass@game.example/"]
    )
    def test_must_be_a_web_address(self, run, game, url):
        with pytest.raises(CommandError):
            run("set_webhook", "demo", url)
        assert not WebhookEndpoint.objects.exclude(url="").exists()


class TestMerchantAccounts:
    """Keys are checked before anything is kept; a code never changes hands."""

    def create(self, run, path, provider="wechatpay", environment="sandbox"):
        return run("create_account", provider, "a1", "--environment", environment, "--credentials", path)

    def test_are_created_and_rotated(self, run, file_of):
        self.create(run, file_of(keys.wechat_credentials()))
        printed = self.create(run, file_of(keys.wechat_credentials(serial_no="77AA")))
        account = MerchantAccount.objects.get()
        assert (account.credentials_version, account.credentials()["serial_no"]) == (2, "77AA")
        assert "PRIVATE" not in printed
        assert keys.wechat_credentials()["api_v3_key"] not in printed

    @pytest.mark.parametrize("missing", ["mchid", "appid", "serial_no", "private_key", "api_v3_key"])
    @pytest.mark.parametrize("value", [None, "", " "])
    def test_without_a_key_are_not_created(self, run, file_of, missing, value):
        credentials = keys.wechat_credentials()
        if value is None:
            del credentials[missing]
        else:
            credentials[missing] = value
        with pytest.raises(CommandError, match=missing):
            self.create(run, file_of(credentials))
        assert MerchantAccount.objects.count() == 0

    def test_with_broken_keys_keep_the_old_ones(self, run, file_of):
        self.create(run, file_of(keys.wechat_credentials()))
        with pytest.raises(CommandError) as refusal:
            self.create(run, file_of(keys.wechat_credentials(private_key="canary")))
        assert "canary" not in str(refusal.value)
        assert MerchantAccount.objects.get().credentials_version == 1

    def test_never_change_provider_or_environment(self, run, file_of):
        self.create(run, file_of(keys.wechat_credentials()))
        with pytest.raises(CommandError):
            self.create(run, file_of(keys.alipay_credentials()), provider="alipay")
        with pytest.raises(CommandError):
            self.create(run, file_of(keys.wechat_credentials()), environment="production")
        assert MerchantAccount.objects.get().provider == "wechatpay"

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"private_key": "canary'])
    def test_need_a_json_file(self, run, tmp_path, content):
        path = tmp_path / "broken.json"
        path.write_text(content)
        with pytest.raises(CommandError) as refusal:
            self.create(run, str(path))
        assert "canary" not in str(refusal.value)

    def test_offer_only_their_own_methods(self, run, wechat_account):
        with pytest.raises(CommandError):
            run("enable_method", "official", "alipay_app", "wx1")
        assert not ChannelMethod.objects.filter(method="alipay_app").exists()

    def test_that_drain_offer_nothing_new(self, run, wechat_account):
        MerchantAccount.objects.update(state="draining")
        ChannelMethod.objects.all().delete()
        with pytest.raises(CommandError, match="draining"):
            run("enable_method", "official", "wechatpay_app", "wx1")
        assert ChannelMethod.objects.count() == 0

    def test_of_another_code_are_not_guessed(self, run, channel):
        for arguments in (("official", "alipay_app", "none"), ("none", "alipay_app", "none")):
            with pytest.raises(CommandError):
                run("enable_method", *arguments)
        assert Channel.objects.count() == 1
