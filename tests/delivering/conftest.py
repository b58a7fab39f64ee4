"""What the tests of delivering lean on: an order ready to be paid, in either mode."""

import pytest

from fulfillment.models import DeliveryMode, DeliveryPolicy
from tests.buying import attempt_at, make_order
from tests.delivering.streams import stream_server


@pytest.fixture
def order(client, channel, api_key):
    """An order that waits for its payment."""
    return make_order(client, api_key)


@pytest.fixture
def attempt(order, wechat_account):
    """Its open payment attempt."""
    return attempt_at(order, wechat_account)


@pytest.fixture
def held_by_game(game):
    """The game server holds this game's goods."""
    return DeliveryPolicy.objects.create(game=game, mode=DeliveryMode.GAME_SERVER)


@pytest.fixture
def port(transactional_db):
    """The port of a running stream process."""
    with stream_server() as port:
        yield port
