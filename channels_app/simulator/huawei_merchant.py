"""Applications in the simulated AppGallery."""

import secrets
from typing import TYPE_CHECKING, Any

from channels_app.simulator import keys
from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """A new application; Huawei makes its key, and shows the public half."""
    return {
        "number": f"1{secrets.randbelow(10**8):08d}",
        "client_secret": secrets.token_hex(32),
        "package": f"com.example.{code.replace('-', '_')}.huawei",
        "iap_key": keys.new_private_pem(),
        "notify_url": "",
    }


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side."""
    about = merchant.about
    lines = keys.public_pem(about["iap_key"]).splitlines()
    return {
        "app_id": merchant.number,
        "app_secret": about["client_secret"],
        "package_name": about["package"],
        "public_key": "".join(line for line in lines if not line.startswith("-----")),
        "site": "china",
        "base_url": base_url,
    }
