"""A game that sells in Apple's store, Apple at an address of its own, and people in the office."""

import pytest

from channels_app.accounts import enable_method, save_account
from channels_app.models import MerchantAccount
from orders.models import Product
from tests.console.conftest import staff
from tests.providers.apple_side import PRODUCT, AppleSide, credentials
from tests.roles.conftest import person

__all__ = ["person", "staff"]


@pytest.fixture
def apple():
    side = AppleSide()
    yield side
    side.close()
    assert side.complaints == []


@pytest.fixture
def apple_account(apple, channel, game) -> MerchantAccount:
    """A sandbox account at Apple, through which the channel sells the game's product."""
    account = save_account(
        provider="apple", code="apple1", environment="sandbox", credentials=credentials(base_url=apple.url)
    )
    enable_method(channel=channel, method="apple_iap", account=account)
    Product.objects.update(store_ids={"apple_iap": PRODUCT})
    return account
