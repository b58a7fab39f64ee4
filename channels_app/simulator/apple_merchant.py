"""Apps at the simulated Apple: a bundle, an In-App Purchase key, and the root that signed transactions lead to."""

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from channels_app.simulator.apple_chain import Certificates, new_private_pem
from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform

_KEY_ID_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """A new app; its number is what Apple calls the Apple ID of an app."""
    return {
        "number": f"6{secrets.randbelow(10**9):09d}",
        "bundle_id": f"com.example.{code}",
        "issuer_id": str(uuid.uuid4()),
        "key_id": "".join(secrets.choice(_KEY_ID_ALPHABET) for _ in range(10)),
        "private_key": new_private_pem(ec.SECP256R1()),
        "notify_url": "",
    }


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side: a sandbox account, which may name another root than Apple's."""
    about = merchant.about
    return {
        "bundle_id": about["bundle_id"],
        "app_apple_id": merchant.number,
        "issuer_id": about["issuer_id"],
        "key_id": about["key_id"],
        "private_key": about["private_key"],
        "root_certificates": [Certificates(platform, "apple").root],
        "base_url": base_url,
    }
