"""WeChat Pay APIv3."""
from channels_app.providers.base import Method, PayKind


class WechatPayAdapter:
    """Being written."""

    code = "wechatpay"
    methods = {
        m.code: m
        for m in (
            Method(code="wechatpay_app", label="WeChat Pay", kind=PayKind.SDK),
            Method(code="wechatpay_jsapi", label="WeChat Pay", kind=PayKind.SDK, needs=("openid",)),
            Method(code="wechatpay_h5", label="WeChat Pay", kind=PayKind.REDIRECT, needs=("client_ip",)),
            Method(code="wechatpay_native", label="WeChat Pay", kind=PayKind.QR),
        )
    }

    def __init__(self, credentials):
        pass
