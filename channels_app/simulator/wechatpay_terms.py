"""What WeChat Pay accepts in an order and in a refund, field by field."""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from channels_app.simulator import formats

_MOST_FEN = 10_000_000_000
_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-*|]{6,32}")
_OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
_ORDER_FIELDS = {
    "appid", "mchid", "description", "out_trade_no", "time_expire", "attach", "notify_url", "goods_tag",
    "support_fapiao", "amount", "payer", "detail", "scene_info", "settle_info", "limit_pay",
}  # fmt: skip
_REFUND_FIELDS = {
    "transaction_id", "out_trade_no", "out_refund_no", "reason", "notify_url", "funds_account", "amount",
    "goods_detail",
}  # fmt: skip
_SCENE_FIELDS = {"payer_client_ip", "device_id", "store_info", "h5_info"}
_H5_FIELDS = {"type", "app_name", "app_url", "bundle_id", "package_name"}


def order_faults(product: str, order: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the body of a create call; empty when WeChat Pay would take it."""
    return list(_order_faults(product, order))


def refund_faults(asked: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the body of a refund call."""
    return list(_refund_faults(asked))


def _order_faults(product: str, order: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(order, _ORDER_FIELDS if product in ("jsapi",) else _ORDER_FIELDS - {"payer"}, "")
    for name, most in (("appid", 32), ("mchid", 32), ("description", 127)):
        yield from _text(order, name, most)
    if not _OUT_TRADE_NO.fullmatch(_string(order, "out_trade_no")):
        yield "out_trade_no"
    yield from _notify_url(order, most=255)
    yield from _amount(order.get("amount"), ("total",))
    if len(_string(order, "attach").encode()) > 128 or not isinstance(order.get("attach", ""), str):
        yield "attach"
    if "time_expire" in order:
        at = formats.read_rfc3339(_string(order, "time_expire"))
        if at is None or at <= time.time():
            yield "time_expire"
    if product == "jsapi":
        payer = _object(order, "payer")
        yield from _unknown(payer, {"openid"}, "payer.")
        yield from _text(payer, "openid", 128)
    yield from _scene_faults(product, order)


def _scene_faults(product: str, order: Mapping[str, Any]) -> Iterator[str]:
    scene = _object(order, "scene_info")
    yield from _unknown(scene, _SCENE_FIELDS if product == "h5" else _SCENE_FIELDS - {"h5_info"}, "scene_info.")
    if product == "h5" or scene:
        yield from _text(scene, "payer_client_ip", 45)
    if product == "h5":
        about = _object(scene, "h5_info")
        yield from _unknown(about, _H5_FIELDS, "scene_info.h5_info.")
        if about.get("type") not in ("iOS", "Android", "Wap"):
            yield "scene_info.h5_info.type"


def _refund_faults(asked: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(asked, _REFUND_FIELDS, "")
    if not _string(asked, "transaction_id") and not _string(asked, "out_trade_no"):
        yield "transaction_id"
    if not _OUT_REFUND_NO.fullmatch(_string(asked, "out_refund_no")):
        yield "out_refund_no"
    yield from _amount(asked.get("amount"), ("refund", "total"), currency_required=True)
    if "reason" in asked:
        yield from _text(asked, "reason", 80)
    if "notify_url" in asked:
        yield from _notify_url(asked, most=256)
    if asked.get("funds_account", "AVAILABLE") not in ("AVAILABLE", "UNSETTLED"):
        yield "funds_account"


def _amount(amount: Any, names: tuple[str, ...], *, currency_required: bool = False) -> Iterator[str]:
    if not isinstance(amount, dict):
        yield "amount"
        return
    yield from _unknown(amount, {*names, "currency", "from"}, "amount.")
    for name in names:
        if type(amount.get(name)) is not int or not 0 < amount[name] <= _MOST_FEN:
            yield f"amount.{name}"
    if amount.get("currency", None if currency_required else "CNY") != "CNY":
        yield "amount.currency"


def _notify_url(document: Mapping[str, Any], *, most: int) -> Iterator[str]:
    url = _string(document, "notify_url")
    at = urlsplit(url)
    if at.scheme not in ("http", "https") or not at.hostname or at.query or "?" in url or len(url) > most:
        yield "notify_url"


def _unknown(document: Mapping[str, Any], known: set[str], prefix: str) -> Iterator[str]:
    yield from (f"{prefix}{name}" for name in document if name not in known)


def _text(document: Mapping[str, Any], name: str, most: int) -> Iterator[str]:
    if not 0 < len(_string(document, name)) <= most:
        yield name


def _string(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name, {})
    return value if isinstance(value, dict) else {name: "not an object"}
