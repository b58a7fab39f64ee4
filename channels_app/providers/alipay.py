"""Alipay."""
from channels_app.providers.base import Method, PayKind


class AlipayAdapter:
    """Being written."""

    code = "alipay"
    methods = {
        m.code: m
        for m in (
            Method(code="alipay_app", label="Alipay", kind=PayKind.SDK),
            Method(code="alipay_wap", label="Alipay", kind=PayKind.REDIRECT),
            Method(code="alipay_page", label="Alipay", kind=PayKind.REDIRECT),
            Method(code="alipay_qr", label="Alipay", kind=PayKind.QR),
        )
    }

    def __init__(self, credentials):
        pass
