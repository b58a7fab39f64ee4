"""Games at the simulated TapTap."""

import secrets
from typing import TYPE_CHECKING, Any

from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """A new game; its number is the client ID."""
    return {"number": secrets.token_hex(9), "server_secret": secrets.token_hex(16), "notify_url": ""}


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side."""
    return {
        "client_id": merchant.number,
        "server_secrets": [merchant.about["server_secret"]],
        "region": "china",
        "base_url": base_url,
    }
