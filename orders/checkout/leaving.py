"""Leaving for a provider: by a QR code that a second device scans, or by the browser itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import segno
from django.utils.safestring import SafeString, mark_safe

from orders.models import Order
from orders.problems import Problem

_LONGEST_QR_TEXT = 512
# WeChat Pay's and Alipay's codes live two hours, whatever the order's own limit.
_CODE_LIVES = timedelta(hours=2)

_QR_TEXTS = ("code_url", "qr_code")
_ADDRESSES = ("url", "h5_url")


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code as it is shown."""

    picture: SafeString
    expires_at: datetime
    renewable: bool  # the order outlives its code: there can be another one

    @classmethod
    def of(cls, text: str, *, order: Order, now: datetime) -> "Code":
        """The code for what a provider has answered just now. Raises Problem for a text that no scanner would take."""
        if not 0 < len(text) <= _LONGEST_QR_TEXT:
            raise Problem(502, "provider_refused", "The provider sent nothing that can be shown as a QR code.")
        lives_until = now + _CODE_LIVES
        return cls(_svg(text), min(order.expires_at, lives_until), lives_until < order.expires_at)


def _svg(text: str) -> SafeString:
    """Drawn here: what the code says leads to a payment and goes to nobody else."""
    code = segno.make(text, error="m", micro=False)
    return mark_safe(code.svg_inline(border=0, omitsize=True, svgclass="qr-code", lineclass=None))  # noqa: S308  # only path data


def qr_text(params: Mapping[str, Any]) -> str:
    """What the QR code says, from a pay answer of kind `qr`."""
    return _first_text(params, _QR_TEXTS)


def web_address(params: Mapping[str, Any]) -> str:
    """Where the browser goes, from a pay answer of kind `redirect`."""
    return _first_text(params, _ADDRESSES)


def _first_text(params: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((params[name] for name in names if isinstance(params.get(name), str)), "")
