"""What every test may lean on: a clean process, a game that sells, accounts at both providers."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.models.signals import post_migrate
from django.test import Client
from django.utils import translation
from hypothesis import settings as made_up

from channels_app import vault
from channels_app.accounts import enable_method, forget_accounts, save_account
from channels_app.models import Channel, MerchantAccount
from fulfillment.models import Item, ItemKind, ProductGrant
from orders.authentication import forget_keys, new_api_key
from orders.models import Game, Product, ProductPrice
from payments_site.people import roles
from tests import keys
from tests.browser import Browser, chromium

# Made-up input is made up in the same way every time: a test fails for a change, never for luck.
made_up.register_profile("same every time", derandomize=True, deadline=None)
made_up.load_profile("same every time")


@pytest.fixture(scope="session", autouse=True)
def _tables_can_be_emptied():
    """Tests on real transactions empty the tables afterwards; append-only triggers refuse even that."""
    operations = type(connection.ops)
    flush = operations.execute_sql_flush

    def execute_sql_flush(self, sql_list):
        with self.connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            try:
                flush(self, sql_list)
            finally:
                cursor.execute("SET session_replication_role = origin")

    operations.execute_sql_flush = execute_sql_flush
    yield
    operations.execute_sql_flush = flush


@pytest.fixture(scope="session", autouse=True)
def _roles_outlive_emptying():
    """Emptying the tables takes the roles of the migrations too; Django makes permissions anew, we the groups."""
    last = [config for config in apps.get_app_configs() if config.models_module][-1].label

    def install(sender, **about):
        if sender.label != last:
            return
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")  # no test reads of it in the audit trail
            roles.install(Group, Permission)
            cursor.execute("SET session_replication_role = origin")

    post_migrate.connect(install)
    yield
    post_migrate.disconnect(install)


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Keys, accounts and vault keys are cached per process, as is the language; no test sees another's."""
    translation.deactivate()
    forget_keys()
    forget_accounts()
    vault.forget_keys()


@pytest.fixture
def game(db) -> Game:
    """A game with one product: 60 gems and 6 as a bonus for 6 yuan."""
    game = Game.objects.create(code="demo", name="Demo")
    product = Product.objects.create(game=game, product_id="gems60", name="60 gems")
    ProductPrice.objects.create(product=product, currency="CNY", amount_minor=600)
    gem = Item.objects.create(game=game, item_id="gem", name="Gem", kind=ItemKind.CURRENCY)
    ProductGrant.objects.create(product=product, item=gem, quantity=60, bonus=6)
    return game


@pytest.fixture
def channel(db) -> Channel:
    """A sales channel."""
    return Channel.objects.create(code="official", name="Official site")


@pytest.fixture
def api_key(game) -> str:
    """A sandbox key of the game."""
    return new_api_key(game=game, environment="sandbox")


@pytest.fixture
def wechat_account(channel) -> MerchantAccount:
    """A WeChat Pay account through which the channel offers every WeChat Pay method."""
    return _account(channel, "wechatpay", "wx1", keys.wechat_credentials())


@pytest.fixture
def alipay_account(channel) -> MerchantAccount:
    """An Alipay account through which the channel offers every Alipay method."""
    return _account(channel, "alipay", "ali1", keys.alipay_credentials())


def _account(channel, provider, code, credentials):
    from channels_app.providers import ADAPTERS

    account = save_account(provider=provider, code=code, environment="sandbox", credentials=credentials)
    for method in ADAPTERS[provider].methods:
        enable_method(channel=channel, method=method, account=account)
    return account


# --- a real browser ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def browser():
    """One Chromium for the whole run; its tabs share nothing. A machine without one says so, test by test."""
    binary = chromium()
    if binary is None:
        pytest.skip("no Chromium is installed (looked for chromium, google-chrome)")
    with Browser(binary) as running:
        yield running


@pytest.fixture
def tab(browser):
    """Opens tabs; afterwards no page may have had a fault of its own."""
    pages = []

    def open_tab(**device):
        pages.append(browser.page(**device))
        return pages[-1]

    yield open_tab
    faults = [fault for page in pages for fault in page.faults]
    for page in pages:
        page.close()
    assert faults == []


@pytest.fixture
def tab_of(tab, live_server, settings):
    """Opens a tab in which a person is logged in already: how people get in is tested at the door (tests/people)."""
    settings.PUBLIC_BASE_URL = live_server.url
    settings.CONSOLE_SECOND_FACTOR = "optional"

    def open_tab(person, **device):
        page = tab(**{"language": "en", **device})
        page.site = live_server.url
        client = Client()
        client.force_login(person)
        page.goto(f"{page.site}/admin/login/")
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
        page._send("Network.setCookie", name=settings.SESSION_COOKIE_NAME, value=key, url=page.site)
        return page

    return open_tab
