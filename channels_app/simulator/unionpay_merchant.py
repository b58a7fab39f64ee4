"""Merchants of the simulated UnionPay, and the certificates that its messages prove themselves by."""

import secrets
from typing import TYPE_CHECKING, Any

from channels_app.simulator import keys
from channels_app.simulator.rows import Merchant

if TYPE_CHECKING:
    from channels_app.simulator.merchants import Platform

_ROOT, _MIDDLE = "Simulated UnionPay Authority", "Simulated UnionPay Authority 2"
# What only UnionPay's own certificate is called: merchants have certificates of the same authority.
_OWN = "041@Z2026@中国银联股份有限公司@00000001"


def certificates(platform: "Platform") -> tuple[str, str, str]:
    """Root, middle and signing certificate, PEM."""
    root_key, middle_key = platform.key("unionpay root"), platform.key("unionpay middle")
    root = platform.kept("unionpay root", lambda: keys.new_certificate(root_key, _ROOT))
    middle = platform.kept(
        "unionpay middle", lambda: keys.new_certificate(middle_key, _MIDDLE, issuer_pem=root_key, issuer=root)
    )
    own = platform.kept(
        "unionpay certificate",
        lambda: keys.new_certificate(platform.key("unionpay"), _OWN, issuer_pem=middle_key, issuer=middle),
    )
    return root, middle, own


def new(code: str, platform: "Platform") -> dict[str, Any]:
    """A merchant of the test environment: its number says so."""
    return {
        "number": f"777{secrets.randbelow(10**12):012d}",
        "private_key": keys.new_private_pem(),
        "cert_id": f"6{secrets.randbelow(10**10):010d}",
    }


def credentials(merchant: Merchant, platform: "Platform", base_url: str) -> dict[str, Any]:
    """The credentials file of our side."""
    root, middle, _own = certificates(platform)
    return {
        "mer_id": merchant.number,
        "cert_id": merchant.about["cert_id"],
        "private_key": merchant.about["private_key"],
        "root_cert": root,
        "middle_cert": middle,
        "base_url": base_url,
    }
