"""Which ways to pay make sense on the device in front of us, and how a player sees them.

A QR code is for a second device, a provider's wap page for the phone that carries its app; inside WeChat's
own browser only its bridge can pay. What only a game's own SDK can open is not offered on a web page at all.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels_app.providers import METHODS, PROVIDER_OF_METHOD
from channels_app.providers.base import Method, PayKind

Text = str | Promise


class Device(StrEnum):
    """What the page is shown on."""

    DESKTOP = "desktop"
    PHONE = "phone"
    WECHAT = "wechat"  # WeChat's browser on a phone


@dataclass(frozen=True, slots=True)
class Brand:
    """How players know a provider."""

    name: Text
    app: Text  # the app that scans its QR codes
    mark: str = "card"  # which picture of templates/checkout/_brand.html
    company: Text = ""  # whose name it bears where the name is that of a thing

    @property
    def who(self) -> Text:
        """How a sentence speaks of the provider itself."""
        return self.company or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One line of the list of methods."""

    code: str
    kind: PayKind
    provider: str
    brand: Brand
    hint: Text
    inputs: Mapping[str, str]  # what the pay call carries beside the method

    @property
    def inputs_json(self) -> str:
        """For the script, which makes the same call."""
        return json.dumps(self.inputs)


_BRANDS: Mapping[str, Brand] = {
    "wechatpay": Brand(_("WeChat Pay"), _("WeChat"), "wechatpay"),
    "alipay": Brand(_("Alipay"), _("Alipay"), "alipay"),
    "unionpay": Brand(_("UnionPay QuickPass"), _("UnionPay"), "unionpay"),
    # Bought inside a store's own dialogue: never offered here, but what such an order shows when it is looked at.
    "apple": Brand("App Store", "App Store", "apple"),
    "google": Brand("Google Play", "Google Play", "google"),
    "stripe": Brand(_("Bank card"), _("Bank card"), "card", "Stripe"),
}
JSAPI = "wechatpay_jsapi"

# Opened with a way back, these lead to the provider's own page instead of wanting its SDK.
HOSTED = frozenset({"stripe_card"})

_SCAN = _("scan a QR code with your phone")
_HINTS: Mapping[str, Text] = {
    "wechatpay_native": _SCAN,
    "alipay_qr": _SCAN,
    "alipay_page": _("log in on Alipay’s page"),
    "wechatpay_h5": _("opens the WeChat app"),
    "alipay_wap": _("opens the Alipay app"),
    "unionpay_gateway": _("log in on UnionPay’s page"),
    "stripe_card": _("on Stripe’s page; no card number is typed here"),
}
# Per device, the methods that belong there; a provider with none of them falls back to the second list.
_FITTING: Mapping[Device, tuple[frozenset[str], frozenset[str]]] = {
    Device.DESKTOP: (
        frozenset({"wechatpay_native", "alipay_qr", "alipay_page", "unionpay_gateway", "stripe_card"}),
        frozenset({"alipay_wap"}),
    ),
    # A QR code on the very phone can still be saved and opened from the app's album.
    Device.PHONE: (
        frozenset({"wechatpay_h5", "alipay_wap", "unionpay_gateway", "stripe_card"}),
        frozenset({"wechatpay_native", "alipay_qr"}),
    ),
    # WeChat shows neither Alipay's pages nor its own h5 page.
    Device.WECHAT: (frozenset({JSAPI}), frozenset()),
}

_PHONE = re.compile(r"Android|iPhone|iPad|iPod|HarmonyOS|Mobile", re.IGNORECASE)
_WECHAT = "MicroMessenger"
_WECHAT_ON_DESKTOP = re.compile(r"WindowsWechat|MacWechat", re.IGNORECASE)


def device_of(user_agent: str) -> Device:
    """The device behind a User-Agent header."""
    if not _PHONE.search(user_agent) or _WECHAT_ON_DESKTOP.search(user_agent):
        return Device.DESKTOP
    return Device.WECHAT if _WECHAT in user_agent else Device.PHONE


def choices_on(device: Device, offered: Sequence[str], *, openid: str, client_ip: str, return_url: str) -> list[Choice]:
    """The offered methods that can be paid on this device, in the channel's order.

    The arguments by name are what a method may need as input; one that cannot have it is left out.
    """
    fitting, otherwise = _FITTING[device]
    served = {PROVIDER_OF_METHOD[code] for code in offered if code in fitting}
    known = {"openid": openid, "client_ip": client_ip, "return_url": return_url}
    return [
        Choice(
            code=code,
            kind=METHODS[code].kind,
            provider=PROVIDER_OF_METHOD[code],
            brand=brand_of(code),
            hint=_HINTS.get(code, ""),
            inputs=_inputs(METHODS[code], known),
        )
        for code in offered
        if (code in fitting or (code in otherwise and PROVIDER_OF_METHOD[code] not in served))
        and all(known.get(name) for name in METHODS[code].needs)
    ]


def brand_of(code: str) -> Brand:
    """The brand behind a method."""
    # Codes begin with their provider: an order may be older than the list of methods.
    known = _BRANDS.get(PROVIDER_OF_METHOD.get(code, code.partition("_")[0]))
    if known is not None:
        return known
    label = METHODS[code].label if code in METHODS else code
    return Brand(label, label)


def _inputs(method: Method, known: Mapping[str, str]) -> Mapping[str, str]:
    # A provider freezes an attempt with its first inputs: only what the method uses is sent, so that choosing
    # it again, from another network or device, finds the same attempt.
    used = set(method.needs)
    if method.kind is PayKind.REDIRECT or method.code in HOSTED:
        used.add("return_url")
    return {name: value for name, value in known.items() if name in used and value}
