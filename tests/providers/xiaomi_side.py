"""Xiaomi's side of the wire, for tests: checks our signatures, signs its answers and notifications.

Written from the documented facts alone; shares no code with the adapter.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlsplit

from tests import keys
from tests.providers.joint_side import Answer, Call, Side, says

APP_ID = "2882303761517239138"
SECRET = "bKgKJPGrgjQlWFQBJpTOhw=="
UID = "100010"


def credentials(**changes) -> dict:
    """A game's credentials file; `...` takes a field away."""
    whole = {"app_id": APP_ID, "app_secrets": [SECRET], "base_url": keys.NOWHERE, **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def order(number: str, /, **changes) -> dict[str, str]:
    """What is told of a paid order; `...` takes a parameter away."""
    said = {
        "appId": APP_ID, "cpOrderId": number, "cpUserInfo": "", "uid": UID, "orderId": f"21{number}"[:32],
        "orderStatus": "TRADE_SUCCESS", "payFee": "600", "productCode": "01", "productName": "60 宝石 + 6 = 66 & 100%",
        "productCount": "1", "payTime": "2026-01-02 11:04:05", "orderConsumeType": "10", **changes,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not ...}


def signed_text(said: dict[str, str]) -> str:
    return "&".join(f"{name}={said[name]}" for name in sorted(said) if name != "signature" and said[name] != "")


def signature(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()


def signed(said: dict[str, str], secret: str = SECRET) -> dict[str, str]:
    return {**said, "signature": signature(signed_text(said), secret)}


def query(said: dict[str, str]) -> str:
    """As it stands in the address."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items())


def tells(number: str, *, secret: str = SECRET, encoded: bool = True, **changes) -> Answer:
    """The answer to a question about an order: numbers bare, texts URL-encoded as in the documented example."""
    said = signed(order(number, **changes), secret)
    document = {name: quote(value) if encoded else value for name, value in said.items()}
    return says({**document, "payFee": int(said["payFee"]), "productCount": 1})


def refuses(errcode: object) -> Answer:
    return says({"errcode": errcode, "errMsg": "不行"})


def xiaomi_side() -> Side:
    """Xiaomi at an address of its own."""
    return Side(_check)


def _check(call: Call) -> None:
    at = urlsplit(call.path)
    assert (call.method, at.path) == ("GET", "/api/biz/service/queryOrder.do")
    asked = dict(parse_qsl(at.query, strict_parsing=True))
    assert set(asked) == {"appId", "cpOrderId", "uid", "signature"}
    assert asked["appId"] == APP_ID
    assert asked["signature"] == signature(signed_text(asked))
