"""TapTap's side of the wire, for tests: checks our signatures, signs its webhooks, answers.

Written from the documented facts alone; shares no code with the adapter.
"""

import base64
import hashlib
import hmac
import json
import time
from urllib.parse import parse_qs, urlsplit

from tests import keys
from tests.providers.joint_side import Answer, Call, Side, says

CLIENT_ID = "o6nD4iNavjQj75zPQk"
SECRET = "VRy8aS2xbwImQUwtxc6vs4v51DaJWdlO"  # of the documented example
PRODUCT = "com.example.game.gems60"
OPEN_ID = "4+Axcl2RFgXbt6MZwdh++w=="
TOKEN = "rT2Et9p0cfzq4fwjrTsGSacq0jQExFDqf5gTy1alp+Y="  # of the documented example
ORDER_ID = "1790288650833465345"


def credentials(**changes) -> dict:
    """A game's credentials file; `...` takes a field away."""
    whole = {
        "client_id": CLIENT_ID, "server_secrets": [SECRET], "region": "china", "base_url": keys.NOWHERE, **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not ...}


def order(number: str, /, **changes) -> dict:
    """A paid order, as it is told and answered; `...` takes a member away."""
    said = {
        "order_id": ORDER_ID, "purchase_token": TOKEN, "client_id": CLIENT_ID, "open_id": OPEN_ID, "user_region": "CN",
        "goods_open_id": PRODUCT, "goods_name": "60 宝石", "status": "charge.succeeded", "amount": "6000000",
        "currency": "CNY", "create_time": "1767324000", "pay_time": "1767324245", "extra": number, **changes,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not ...}


def webhook(told: dict, event: str = "charge.succeeded") -> bytes:
    """The body of a webhook."""
    return json.dumps({"event_type": event, "order": told}, ensure_ascii=False, separators=(",", ":")).encode()


def sign(method: str, target: str, headers: dict[str, str], body: bytes, secret: str = SECRET) -> str:
    """X-Tap-Sign over verb, path?query, the sorted X-Tap- headers and the body, each followed by a line feed."""
    told = {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-tap-")}
    told.pop("x-tap-sign", None)
    lines = "\n".join(f"{name}:{told[name]}" for name in sorted(told))
    text = f"{method}\n{target}\n{lines}\n".encode() + body + b"\n"
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def stamped(
    body: bytes, target: str, *, at: float | None = None, nonce: str = "V7v7zJ", secret: str = SECRET,
    method: str = "POST", **more: str,
) -> dict[str, str]:  # fmt: skip
    """The headers of a webhook."""
    headers = {"X-Tap-Ts": str(int(time.time() if at is None else at)), "X-Tap-Nonce": nonce, **more}
    return {**headers, "X-Tap-Sign": sign(method, target, headers, body, secret)}


def tells(told: dict | list) -> Answer:
    """A yes about an order, or with a list of them."""
    return says({"data": {"list" if isinstance(told, list) else "order": told}, "now": 1767324300, "success": True})


def refuses(code: object, status: int = 400) -> Answer:
    """A no."""
    data = {"code": code, "msg": "NotFound: Unknown Error", "error_description": "order not found"}
    return says({"data": data, "now": 1767324300, "success": False}, status)


def taptap_side() -> Side:
    """TapTap at an address of its own."""
    return Side(_check)


def _check(call: Call) -> None:
    at = urlsplit(call.path)
    assert parse_qs(at.query)["client_id"] == [CLIENT_ID]
    assert abs(int(call.headers["x-tap-ts"]) - time.time()) < 5
    assert 6 <= len(call.headers["x-tap-nonce"]) <= 60
    assert call.headers["x-tap-sign"] == sign(call.method, call.path, call.headers, call.body)
    expected = {"/order/v1/info": "GET", "/order/v1/unconfirmed": "GET", "/order/v1/verify": "POST"}
    assert call.method == expected[at.path]
    if call.method == "POST":
        assert call.headers["content-type"] == "application/json; charset=utf-8"
        assert set(json.loads(call.body)) == {"order_id", "purchase_token"}
