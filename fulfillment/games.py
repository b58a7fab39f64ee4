"""A new game: its row, a first key, and the secret its server will verify webhooks with."""

from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction

from channels_app.models import Environment
from fulfillment.endpoints import EndpointRefused, set_endpoint
from orders.authentication import new_api_key
from orders.models import Game


class GameRefused(ValueError):
    """A game cannot be made as asked; the sentence says why."""


@dataclass(frozen=True, slots=True)
class NewGame:
    """A game as just made. Key and secret are shown once: only a digest and a sealed copy are kept."""

    game: Game
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


@transaction.atomic
def create_game(*, code: str, name: str, webhook_url: str = "") -> NewGame:
    """Make a game with a sandbox key and a webhook secret; without an address nothing is told yet.

    Raises GameRefused.
    """
    if Game.objects.filter(code=code).exists():
        raise GameRefused(f"there is a game {code!r} already")
    game = Game(code=code, name=name)
    try:
        game.full_clean()
        game.save()
        endpoint = set_endpoint(game=game, url=webhook_url)
    except ValidationError as error:
        raise GameRefused("; ".join(error.messages)) from error
    except EndpointRefused as error:
        raise GameRefused(str(error)) from error
    key = new_api_key(game=game, environment=Environment.SANDBOX, name="first key")
    return NewGame(game, key, endpoint.secret or "")
