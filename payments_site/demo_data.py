"""The demo game: products, channels and accounts that point at the simulator. Never in production.

What a newcomer is shown (console password, API key) is made at random once and kept in the data directory, because
the database keeps only digests.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from channels_app.accounts import enable_method, save_account
from channels_app.models import Channel, Environment, MerchantAccount
from channels_app.providers import ADAPTERS
from channels_app.simulator.store import Store
from fulfillment.catalogue import load_catalogue
from fulfillment.games import create_game
from orders.authentication import GameServer
from orders.models import Game
from orders.ordering import OrderRequest, create_order
from orders.views import created_document

GAME = "demo"
CHANNELS: Mapping[str, str] = {"official": "官网", "huawei": "华为", "taptap": "TapTap"}
ACCOUNTS: Mapping[str, str] = {"wechatpay": "demo-wechatpay", "alipay": "demo-alipay"}
_CATALOGUE = Path(__file__).with_name("demo_catalogue.json")


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """What a newcomer needs to look around."""

    admin: str
    password: str
    api_key: str
    product: str
    channel: str
    checkout_url: str = ""


def ensure_demo() -> DemoAccess | None:
    """Load the demo game into an empty database; afterwards only point its accounts at today's simulator.

    Returns None when the database holds games but no demo of this data directory. Raises ImproperlyConfigured in
    production.
    """
    if not settings.SIMULATOR_ENABLED:
        raise ImproperlyConfigured("demo data is not loaded in production")
    kept = settings.PAYMENTS_DATA_DIR / "demo.json"
    if not Game.objects.exists():
        access = _load()
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(asdict(access)))
    elif kept.exists() and Game.objects.filter(code=GAME).exists():
        access = DemoAccess(**json.loads(kept.read_text()))
        for provider in ACCOUNTS:
            _account(provider)
    else:
        return None
    return DemoAccess(**{**asdict(access), "checkout_url": _ready_checkout()})


def read_access() -> DemoAccess | None:
    """What `ensure_demo` made, if it did."""
    kept = settings.PAYMENTS_DATA_DIR / "demo.json"
    return DemoAccess(**json.loads(kept.read_text())) if kept.exists() else None


@transaction.atomic
def _load() -> DemoAccess:
    made = create_game(code=GAME, name="听雪 (demo)")
    accounts = [_account(provider) for provider in ACCOUNTS]
    for code, name in CHANNELS.items():
        channel, _ = Channel.objects.get_or_create(code=code, defaults={"name": name})
        for account in accounts:
            for method in ADAPTERS[account.provider].methods:
                enable_method(channel=channel, method=method, account=account)
    load_catalogue(game=made.game, document=json.loads(_CATALOGUE.read_text(encoding="utf-8")))
    password = secrets.token_urlsafe(12)
    get_user_model().objects.create_superuser("admin", password=password)
    return DemoAccess("admin", password, made.api_key, "gems_60", next(iter(CHANNELS)))


def _account(provider: str) -> MerchantAccount:
    """The demo account of a provider, with the simulator's keys and its address of today."""
    code = ACCOUNTS[provider]
    credentials: dict[str, Any] = Store(settings.PAYMENTS_DATA_DIR / "simulator").merchant(
        provider, code, base_url=f"http://127.0.0.1:{settings.SIMULATOR_PORT}"
    )
    known = MerchantAccount.objects.filter(code=code).first()
    if known is not None and known.credentials() == credentials:
        return known
    return save_account(provider=provider, code=code, environment=Environment.SANDBOX, credentials=credentials)


def _ready_checkout() -> str:
    game = Game.objects.get(code=GAME)
    caller = GameServer(0, game.pk, game.code, game.time_zone, Environment.SANDBOX, ())
    made = create_order(
        game=caller,
        request=OrderRequest(
            client_ref=f"welcome-{secrets.token_hex(6)}", uid="10086", role_id="听雪", zone_id="3",
            product_id="gems_60", channel_id=next(iter(CHANNELS)), expires_in_s=24 * 3600,
        ),
    )  # fmt: skip
    return str(created_document(made)["checkout_url"])
