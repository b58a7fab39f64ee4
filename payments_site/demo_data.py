"""The demo game: products, channels and accounts that point at the simulator. Never in production.

What a newcomer is shown (console password, API key) is made at random once and kept in the data directory, because
the database keeps only digests. An older demo becomes at the next start what the demo is today; what people have
switched off stays off.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from channels_app.accounts import enable_method, save_account
from channels_app.models import AccountState, Channel, ChannelMethod, Environment, MerchantAccount
from channels_app.providers import PROVIDER_OF_METHOD
from channels_app.simulator.store import Store
from fulfillment.catalogue import load_catalogue
from fulfillment.games import create_game
from orders.authentication import GameServer
from orders.models import Game
from orders.ordering import OrderRequest, create_order
from orders.views import created_document

GAME = "demo"
_CATALOGUE = Path(__file__).with_name("demo_catalogue.json")


@dataclass(frozen=True, slots=True)
class DemoChannel:
    """Where the demo game is sold, and what is paid with there."""

    name: str
    methods: tuple[str, ...]


CHANNELS: Mapping[str, DemoChannel] = {
    "official": DemoChannel(
        "官网",
        (
            "wechatpay_app", "wechatpay_jsapi", "wechatpay_h5", "wechatpay_native",
            "alipay_app", "alipay_wap", "alipay_page", "alipay_qr",
            "unionpay_gateway", "unionpay_app",
        ),
    ),
    "overseas": DemoChannel("海外官网", ("stripe_card",)),
    "appstore": DemoChannel("App Store", ("apple_iap",)),
    "googleplay": DemoChannel("Google Play", ("google_play",)),
    "huawei": DemoChannel("华为应用市场", ("huawei_iap",)),
    "xiaomi": DemoChannel("小米游戏中心", ("xiaomi_pay",)),
    "taptap": DemoChannel("TapTap", ("taptap_pay",)),
}  # fmt: skip
# Each once, in the order of the channels.
_PROVIDERS = tuple(dict.fromkeys(PROVIDER_OF_METHOD[each] for channel in CHANNELS.values() for each in channel.methods))


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """What a newcomer needs to look around."""

    admin: str
    password: str
    api_key: str
    product: str
    channel: str
    checkout_url: str = ""
    edition: str = ""  # of the world below, as it was loaded


def ensure_demo() -> DemoAccess | None:
    """Load the demo game into an empty database; into an older demo, what has been added since.

    Its accounts are pointed at today's simulator. Returns None when the database holds games but no demo of this
    data directory. Raises ImproperlyConfigured in production.
    """
    if not settings.SIMULATOR_ENABLED:
        raise ImproperlyConfigured("demo data is not loaded in production")
    access = read_access()
    if not Game.objects.exists():
        access = _load()
    elif access is None or not Game.objects.filter(code=GAME).exists():
        return None
    elif access.edition != _edition():
        _load_world(Game.objects.get(code=GAME))
    for provider in _PROVIDERS:
        _account(provider)
    access = replace(access, edition=_edition())
    _keep(access)
    return replace(access, checkout_url=_ready_checkout())


def read_access() -> DemoAccess | None:
    """What `ensure_demo` made, if it did."""
    kept = _kept()
    return DemoAccess(**json.loads(kept.read_text())) if kept.exists() else None


def account_code(provider: str) -> str:
    """What the demo's account at a provider is called."""
    return f"{GAME}-{provider}"


def _kept() -> Path:
    return Path(settings.PAYMENTS_DATA_DIR / "demo.json")


def _keep(access: DemoAccess) -> None:
    kept = _kept()
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(asdict(access)))


def _edition() -> str:
    """Changes with the world: with a product, a channel, a way to pay."""
    channels = json.dumps({code: asdict(channel) for code, channel in CHANNELS.items()})
    return hashlib.sha256(_CATALOGUE.read_bytes() + channels.encode()).hexdigest()[:16]


@transaction.atomic
def _load() -> DemoAccess:
    made = create_game(code=GAME, name="听雪 (demo)")
    _load_world(made.game)
    password = secrets.token_urlsafe(12)
    get_user_model().objects.create_superuser("admin", password=password)
    return DemoAccess("admin", password, made.api_key, "gems_60", next(iter(CHANNELS)))


@transaction.atomic
def _load_world(game: Game) -> None:
    """Channels, the ways to pay on them, and the catalogue; over those of an older demo, if there are any."""
    accounts = [account_code(provider) for provider in _PROVIDERS]
    for code, about in CHANNELS.items():
        channel, _ = Channel.objects.get_or_create(code=code, defaults={"name": about.name})
        ours = ChannelMethod.objects.filter(channel=channel, account__code__in=accounts)
        ours.exclude(method__in=about.methods).delete()
        for method in about.methods:
            _offer(channel, method)
    load_catalogue(game=game, document=json.loads(_CATALOGUE.read_text(encoding="utf-8")))


def _offer(channel: Channel, method: str) -> None:
    """A way to pay, unless somebody has decided about it."""
    account = _account(PROVIDER_OF_METHOD[method])
    offered = ChannelMethod.objects.filter(channel=channel, environment=account.environment, method=method)
    if account.state == AccountState.ACTIVE and not offered.exists():
        enable_method(channel=channel, method=method, account=account)


def _account(provider: str) -> MerchantAccount:
    """The demo account of a provider, with the simulator's keys, its address of today and ours."""
    code = account_code(provider)
    credentials: dict[str, Any] = Store(settings.PAYMENTS_DATA_DIR / "simulator").merchant(
        provider,
        code,
        base_url=f"http://127.0.0.1:{settings.SIMULATOR_PORT}",
        notify_url=f"{settings.PUBLIC_BASE_URL}/notify/{provider}/{code}",
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
