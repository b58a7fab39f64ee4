"""Payment providers: the registry, and the way from a merchant account's row to its adapter.

To add a provider: docs/adding-a-provider.md.
"""

from collections.abc import Mapping
from typing import Any

from channels_app.providers.alipay import AlipayAdapter
from channels_app.providers.apple import AppleAdapter
from channels_app.providers.base import Method, ProviderAdapter
from channels_app.providers.google import GoogleAdapter
from channels_app.providers.huawei import HuaweiAdapter
from channels_app.providers.stripe import StripeAdapter
from channels_app.providers.taptap import TapTapAdapter
from channels_app.providers.unionpay import UnionPayAdapter
from channels_app.providers.wechatpay import WechatPayAdapter
from channels_app.providers.xiaomi import XiaomiAdapter

ADAPTERS: Mapping[str, type[ProviderAdapter]] = {
    adapter.code: adapter
    for adapter in (
        WechatPayAdapter,
        AlipayAdapter,
        AppleAdapter,
        GoogleAdapter,
        UnionPayAdapter,
        StripeAdapter,
        HuaweiAdapter,
        XiaomiAdapter,
        TapTapAdapter,
    )
}
METHODS: Mapping[str, Method] = {
    code: method for adapter in ADAPTERS.values() for code, method in adapter.methods.items()
}
PROVIDER_OF_METHOD: Mapping[str, str] = {
    code: adapter.code for adapter in ADAPTERS.values() for code in adapter.methods
}


def build_adapter(provider: str, credentials: Mapping[str, Any], *, live: bool) -> ProviderAdapter:
    """The adapter of one merchant account; `live`: an account of real money.

    Raises CredentialsInvalid, KeyError for an unknown provider.
    """
    return ADAPTERS[provider](credentials, live=live)
