"""Merchants of the simulated providers: their keys, and the credentials file that our side is given.

The names in a credentials file are those of `create_account`.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from channels_app.simulator import (
    apple_merchant,
    google_merchant,
    huawei_merchant,
    keys,
    stripe_merchant,
    taptap_merchant,
    unionpay_merchant,
    xiaomi_merchant,
)
from channels_app.simulator.rows import Merchant

# Gets a kept text by name, making it the first time.
Kept = Callable[[str, Callable[[], str]], str]


class Platform:
    """The providers' own keys, shared by all their merchants, made when first needed and kept."""

    def __init__(self, kept: Kept) -> None:
        """`kept` remembers a text by its name."""
        self._kept = kept

    def key(self, name: str) -> str:
        """A private key of the platform: `wechatpay public key`, `alipay`, … and `stranger`, who forges."""
        return self._kept(f"key {name}", keys.new_private_pem)

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """Any other text of the platform, a certificate for instance; made when first asked for."""
        return self._kept(name, make)

    @property
    def wechat_public_key_id(self) -> str:
        """What WeChat Pay calls its public key."""
        return self._kept("wechatpay public key id", lambda: f"PUB_KEY_ID_01{digits(32)}")

    @property
    def wechat_certificate(self) -> str:
        """The platform certificate."""
        return self._kept(
            "wechatpay certificate",
            lambda: keys.new_certificate(self.key("wechatpay certificate"), "Simulated WeChat Pay"),
        )

    @property
    def alipay_root(self) -> str:
        """The root that Alipay's and applications' certificates chain to."""
        return self._kept(
            "alipay root",
            lambda: keys.new_certificate(self.key("alipay root"), "Simulated Certification Authority"),
        )

    @property
    def alipay_certificate(self) -> str:
        """Alipay's own certificate followed by the one that issued it."""
        return self._kept("alipay certificate", lambda: self._issue(self.key("alipay"), "Simulated Alipay"))

    def application_certificate(self, pem: str, name: str) -> str:
        """What a merchant downloads for its application."""
        return self._issue(pem, name)

    def _issue(self, pem: str, name: str) -> str:
        issuer = self._kept(
            "alipay issuer",
            lambda: keys.new_certificate(
                self.key("alipay issuer"),
                "Simulated Certification Authority Class 2",
                issuer_pem=self.key("alipay root"),
                issuer=self.alipay_root,
            ),
        )
        return keys.new_certificate(pem, name, issuer_pem=self.key("alipay issuer"), issuer=issuer) + issuer


@dataclass(frozen=True, slots=True)
class Kind:
    """The merchants of one provider.

    `make(code, platform)`: number and keys of a new one, what the simulator remembers of it.
    `credentials(merchant, platform, base_url)`: the credentials file that our side is given.
    """

    make: Callable[[str, Platform], dict[str, Any]]
    credentials: Callable[[Merchant, Platform, str], dict[str, Any]]


def _new_wechat(code: str, platform: Platform) -> dict[str, Any]:
    return {
        "number": f"19{digits(8)}",
        "appid": f"wx{secrets.token_hex(8)}",
        "serial_no": secrets.token_hex(20).upper(),
        "private_key": keys.new_private_pem(),
        "api_v3_key": secrets.token_hex(16),
        "notify_keys": "alternating",
    }


def _new_alipay(code: str, platform: Platform) -> dict[str, Any]:
    pem = keys.new_private_pem()
    return {
        "number": f"2021{digits(12)}",
        "seller_id": f"2088{digits(12)}",
        "private_key": pem,
        "app_cert": platform.application_certificate(pem, f"Application {code}"),
        "certificates": False,
    }


def _wechat_credentials(merchant: Merchant, platform: Platform, base_url: str) -> dict[str, Any]:
    about = merchant.about
    return {
        "mchid": merchant.number,
        "appid": about["appid"],
        "serial_no": about["serial_no"],
        "private_key": about["private_key"],
        "api_v3_key": about["api_v3_key"],
        "public_key_id": platform.wechat_public_key_id,
        "public_key": keys.public_pem(platform.key("wechatpay public key")),
        "platform_certificates": [platform.wechat_certificate],
        "base_url": base_url,
    }


def _alipay_credentials(merchant: Merchant, platform: Platform, base_url: str) -> dict[str, Any]:
    about = merchant.about
    verifying = (
        {
            "app_cert": about["app_cert"],
            "alipay_cert": platform.alipay_certificate,
            "alipay_root_cert": platform.alipay_root,
        }
        if about["certificates"]
        else {"alipay_public_key": keys.public_pem(platform.key("alipay"))}
    )
    return {
        "app_id": merchant.number,
        "seller_id": about["seller_id"],
        "app_private_key": about["private_key"],
        **verifying,
        "gateway": f"{base_url}/gateway.do",
    }


def digits(count: int) -> str:
    """So many random digits."""
    return "".join(secrets.choice("0123456789") for _ in range(count))


KINDS: Mapping[str, Kind] = {
    "wechatpay": Kind(_new_wechat, _wechat_credentials),
    "alipay": Kind(_new_alipay, _alipay_credentials),
    "apple": Kind(apple_merchant.new, apple_merchant.credentials),
    "google": Kind(google_merchant.new, google_merchant.credentials),
    "unionpay": Kind(unionpay_merchant.new, unionpay_merchant.credentials),
    "stripe": Kind(stripe_merchant.new, stripe_merchant.credentials),
    "huawei": Kind(huawei_merchant.new, huawei_merchant.credentials),
    "taptap": Kind(taptap_merchant.new, taptap_merchant.credentials),
    "xiaomi": Kind(xiaomi_merchant.new, xiaomi_merchant.credentials),
}
PROVIDERS = tuple(KINDS)
