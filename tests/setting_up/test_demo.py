"""The demo game that `make run` loads: sold on every channel with what belongs there, and kept up to date."""

import json

import pytest
from django.core.exceptions import ImproperlyConfigured

from channels_app.models import Channel, ChannelMethod, MerchantAccount
from channels_app.providers import METHODS
from channels_app.simulator.store import Store
from orders.models import Game, Product
from payments_site.demo_data import CHANNELS, ensure_demo

pytestmark = pytest.mark.django_db

WANTED = {(code, method) for code, channel in CHANNELS.items() for method in channel.methods}


@pytest.fixture(scope="module")
def _keys(tmp_path_factory):
    """The simulator's keys, which take long to make."""
    return tmp_path_factory.mktemp("simulator")


@pytest.fixture(autouse=True)
def _own_directory(settings, tmp_path, _keys):
    (tmp_path / "simulator").symlink_to(_keys)
    settings.PAYMENTS_DATA_DIR = tmp_path
    settings.PUBLIC_BASE_URL = "http://127.0.0.1:9"


def offered() -> set[tuple[str, str]]:
    """(channel, method) of everything that can be paid with."""
    return set(ChannelMethod.objects.filter(is_enabled=True).values_list("channel__code", "method"))


class TestTheWorld:
    """Every way to pay is tried somewhere, and none where no player would meet it."""

    def test_has_every_method_on_one_channel_or_more(self):
        ensure_demo()
        assert offered() == WANTED
        assert {method for _, method in WANTED} == set(METHODS)

    def test_sells_in_every_store_what_the_store_sells(self):
        ensure_demo()
        stores = {code for code, method in METHODS.items() if method.sells_products}
        for product in Product.objects.all():
            assert set(product.store_ids) == stores

    def test_tells_the_stores_where_to_notify(self, settings, tmp_path):
        ensure_demo()
        merchant = Store(tmp_path / "simulator").find_merchant("apple", "demo-apple")
        assert merchant.about["notify_url"] == "http://127.0.0.1:9/notify/apple/demo-apple"

    def test_is_not_loaded_beside_other_games(self, game):
        assert ensure_demo() is None
        assert not MerchantAccount.objects.exists()

    def test_is_never_loaded_in_production(self, settings):
        settings.SIMULATOR_ENABLED = False
        with pytest.raises(ImproperlyConfigured):
            ensure_demo()
        assert not Game.objects.exists()


class TestAnOlderDemo:
    """The next start makes it today's; what people have switched off stays off."""

    @pytest.fixture
    def older(self, tmp_path):
        """A demo from before there were stores."""
        access = ensure_demo()
        ChannelMethod.objects.filter(method="taptap_pay").update(
            method="alipay_qr", account=MerchantAccount.objects.get(code="demo-alipay")
        )
        ChannelMethod.objects.filter(method="apple_iap").delete()
        Channel.objects.get(code="appstore").delete()
        Product.objects.update(store_ids={})
        kept = json.loads((tmp_path / "demo.json").read_text())
        del kept["edition"]
        (tmp_path / "demo.json").write_text(json.dumps(kept))
        return access

    def test_becomes_what_the_demo_is_today(self, older):
        access = ensure_demo()
        assert offered() == WANTED
        assert Product.objects.get(product_id="gems_60").store_ids["apple_iap"] == "tingxue.gems_60"
        assert (access.api_key, access.password) == (older.api_key, older.password)

    def test_keeps_off_what_people_have_switched_off(self, older):
        ChannelMethod.objects.filter(method="alipay_page").update(is_enabled=False)
        MerchantAccount.objects.filter(code="demo-unionpay").update(state="draining")
        ChannelMethod.objects.filter(method="unionpay_app").delete()
        ensure_demo()
        assert offered() == WANTED - {("official", "alipay_page"), ("official", "unionpay_app")}

    def test_is_left_alone_when_nothing_is_new(self):
        ensure_demo()
        Product.objects.filter(product_id="gems_60").update(name="Changed")
        versions = dict(MerchantAccount.objects.values_list("code", "credentials_version"))
        ensure_demo()
        assert Product.objects.get(product_id="gems_60").name == "Changed"
        assert dict(MerchantAccount.objects.values_list("code", "credentials_version")) == versions

    def test_follows_the_simulator_to_another_port(self, settings):
        ensure_demo()
        settings.SIMULATOR_PORT = 1
        ensure_demo()
        for account in MerchantAccount.objects.all():
            assert ":1" in json.dumps(account.credentials())
