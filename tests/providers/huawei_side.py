"""Huawei's side of the wire, for tests: gives out access tokens, checks our calls, signs purchases, writes notifications.

Written from the documented facts alone; shares no code with the adapter.
"""

import base64
import json
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests import keys
from tests.providers.joint_side import Answer, Call, Side, says

APP_ID = "101234567"
SECRET = "f0e1d2c3b4a5968778695a4b3c2d1e0ff0e1d2c3b4a5968778695a4b3c2d1e0f"  # a test's
PACKAGE = "com.example.game.huawei"
PRODUCT = "com.example.game.gems60"
TOKEN = "0000017a" * 11 + "abcd"
ORDER_ID = "2026010211040512345678abcd.101234567"
IAP = "huawei iap"


def credentials(**changes) -> dict:
    """An application's credentials file; `...` takes a field away."""
    lines = [line for line in keys.public_pem(IAP).splitlines() if "-----" not in line]
    whole = {
        "app_id": APP_ID, "app_secret": SECRET, "package_name": PACKAGE, "public_key": "".join(lines), "site": "china",
        "base_url": keys.NOWHERE, **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not ...}


def purchase(payload: str, /, **changes) -> dict:
    """InAppPurchaseData of a purchase made with money; `...` takes a member away."""
    said = {
        "autoRenewing": False, "applicationId": int(APP_ID), "orderId": ORDER_ID, "kind": 0, "packageName": PACKAGE,
        "productId": PRODUCT, "productName": "60 宝石", "purchaseTime": 1767323045000, "purchaseState": 0,
        "developerPayload": payload, "purchaseToken": TOKEN, "consumptionState": 0, "confirmed": 0, "currency": "CNY",
        "price": 600, "country": "CN", "payType": "4", "payOrderId": "sandbox", **changes,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not ...}


def signature(text: str, *, by: str = IAP, pss: bool = False, salt: int = 32) -> str:
    """Over the very text."""
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt) if pss else padding.PKCS1v15()
    return base64.b64encode(keys.key(by).sign(text.encode(), scheme, hashes.SHA256())).decode()


def tells(said: dict, *, by: str = IAP, algorithm: str | None = None, spaced: bool = False, **changes) -> Answer:
    """The answer about a purchase, signed; `changes` are made to the answer afterwards."""
    text = json.dumps(said, ensure_ascii=False, separators=None if spaced else (",", ":"))
    answer = {
        "responseCode": "0", "responseMessage": "success", "purchaseTokenData": text,
        "dataSignature": signature(text, by=by, pss=bool(algorithm) and "PSS" in algorithm),
        **({"signatureAlgorithm": algorithm} if algorithm else {}), **changes,
    }  # fmt: skip
    return says({name: value for name, value in answer.items() if value is not ...})


def refuses(code: object) -> Answer:
    """A responseCode."""
    return says({"responseCode": code, "responseMessage": "不行"})


DONE = refuses("0")


def notice(token: object = TOKEN, product: object = PRODUCT, *, kind: int = 1, **changes) -> bytes:
    """A key event notification v2 about an order; nobody signs it."""
    order = {"version": "v2", "notificationType": kind, "purchaseToken": token, "productId": product}
    said = {
        "version": "v2", "eventType": "ORDER", "notifyTime": 1767323046000, "applicationId": APP_ID,
        "orderNotification": order, **changes,
    }  # fmt: skip
    return json.dumps({name: value for name, value in said.items() if value is not ...}).encode()


def subscription(*, by: str = IAP) -> bytes:
    """A notification about a subscription, which is signed."""
    text = json.dumps({"environment": "PROD", "notificationType": 0})
    sub = {
        "version": "v2", "statusUpdateNotification": text, "notificationSignature": signature(text, by=by),
        "signatureAlgorithm": "SHA256WithRSA",
    }  # fmt: skip
    return notice(eventType="SUBSCRIPTION", orderNotification=..., subNotification=sub)


class HuaweiSide(Side):
    """Huawei at an address of its own; access tokens are numbered."""

    def __init__(self) -> None:
        super().__init__(self._correct)
        self.tokens = 0
        self.token_answer: Answer | None = None

    def answer(self, call: Call) -> Answer:
        if call.path != "/oauth2/v3/token":
            return super().answer(call)
        asked = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        right = {"grant_type": "client_credentials", "client_id": APP_ID, "client_secret": SECRET}
        if asked != right or call.headers["content-type"] != "application/x-www-form-urlencoded":
            self.complaints.append(f"asking for a token with {sorted(asked)}")
        self.tokens += 1
        token = {"access_token": f"token+{self.tokens}/=", "expires_in": 3600, "token_type": "Bearer"}
        return self.token_answer or says(token)

    def forget(self) -> None:
        """As new."""
        self.calls.clear()
        self.complaints.clear()
        self.tokens, self.token_answer = 0, None

    def _correct(self, call: Call) -> None:
        expected = f"APPAT:token+{self.tokens}/=".encode()
        assert call.headers["authorization"] == f"Basic {base64.b64encode(expected).decode()}"
        asked = json.loads(call.body)
        if call.path.endswith("/cancelledList"):
            assert set(asked) <= {"startAt", "endAt", "maxRows", "type", "continuationToken"}
        else:
            assert set(asked) == {"purchaseToken", "productId"}
        assert call.path in (
            "/applications/purchases/tokens/verify", "/applications/v2/purchases/confirm",
            "/applications/v2/purchases/cancelledList",
        )  # fmt: skip
