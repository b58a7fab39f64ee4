"""Games at the simulated Xiaomi."""

import base64
import secrets
from typing import TYPE_CHECKING, Any

from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """A new game; its number is the AppID."""
    return {
        "number": f"2882303761{secrets.randbelow(10**9):09d}",
        "app_secret": base64.b64encode(secrets.token_bytes(16)).decode(),
        "notify_url": "",
    }


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side."""
    return {"app_id": merchant.number, "app_secrets": [merchant.about["app_secret"]], "base_url": base_url}
