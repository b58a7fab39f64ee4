"""What the tests of delivering lean on: an order ready to be paid, in either mode."""

import pytest

from fulfillment import streaming
from fulfillment.models import DeliveryMode, DeliveryPolicy
from tests.buying import attempt_at, make_order
from tests.delivering.streams import connections, listeners, stream_server, until


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


@pytest.fixture(scope="session")
def stream_port():
    """The port of a stream process, which gives its connections back early."""
    with pytest.MonkeyPatch.context() as patch, stream_server() as port:
        patch.setattr(streaming, "IDLE_S", 0.05)
        yield port


@pytest.fixture
def port(transactional_db, stream_port):
    """The same, once nobody listens any more and every connection was given back."""
    yield stream_port
    until(lambda: listeners() == connections() == 0)
