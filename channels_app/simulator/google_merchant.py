"""Apps on the simulated Google Play: a package, the service account that asks, the one whose pushes are believed."""

import re
import secrets
from typing import TYPE_CHECKING, Any

from channels_app.simulator import keys
from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform

_PROJECT = "simulated-game"


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """A new app; its number is the package name."""
    name = re.sub(r"[^0-9a-z]", "_", code.lower())
    return {
        "number": f"com.example.game_{name}",
        "client_email": f"play-{name}@{_PROJECT}.iam.gserviceaccount.com",
        "private_key": keys.new_private_pem(),
        "private_key_id": secrets.token_hex(20),
        "push_email": f"push-{name}@{_PROJECT}.iam.gserviceaccount.com",
        "push_audience": f"https://pay.example/notify/google/{code}",
        "push_subscription": f"projects/{_PROJECT}/subscriptions/play-{name}",
        "notify_url": "",
    }


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side: a sandbox account, which may call elsewhere than Google."""
    about = merchant.about
    return {
        "package_name": merchant.number,
        "service_account": {
            "type": "service_account",
            "project_id": _PROJECT,
            "private_key_id": about["private_key_id"],
            "private_key": about["private_key"],
            "client_email": about["client_email"],
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        "push_audience": about["push_audience"],
        "push_email": about["push_email"],
        "push_subscription": about["push_subscription"],
        "base_url": base_url,
    }
