"""Merchants of the simulated Stripe: test keys, and an endpoint with its signing secrets."""

import secrets
from typing import TYPE_CHECKING, Any

from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """An account in test mode."""
    return {
        "number": f"acct_{secrets.token_hex(8)}",
        "secret_key": f"sk_test_{secrets.token_hex(16)}",
        "publishable_key": f"pk_test_{secrets.token_hex(16)}",
        "webhook_secrets": [new_secret()],
        "notify_url": "",
    }


def new_secret() -> str:
    """Of an endpoint. While one is rolled, the account has two, and every message is signed with both."""
    return f"whsec_{secrets.token_hex(16)}"


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side."""
    about = merchant.about
    return {
        "secret_key": about["secret_key"],
        "publishable_key": about["publishable_key"],
        "webhook_secrets": about["webhook_secrets"],
        "base_url": base_url,
    }
