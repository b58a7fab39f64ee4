"""Google's side of the wire, for tests: pushes with their tokens, certificates, access tokens, the Play Developer API.

Written from the documented facts alone; shares no code with the adapter, and builds no token with a library.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from channels_app.providers.base import RawNotification
from tests import keys
from tests.keys import NOWHERE

PACKAGE = "com.example.game"
PRODUCT = "gems60"
AUDIENCE = "https://pay.example/notify/google/gp1"
EMAIL = "push@game-123.iam.gserviceaccount.com"
CALLER = "play@game-123.iam.gserviceaccount.com"
SUBSCRIPTION = "projects/game-123/subscriptions/play"
TOKEN = "opaque-token-that-a-device-gets.AO-J1Ow5zzZ_with~odd.characters"
ORDER = "GPA.3345-1234-5678-90123"
PLAYER = "5f1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d"
BASE = f"/androidpublisher/v3/applications/{PACKAGE}"
KID = "2f8a1c"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def changed(document: dict, changes: dict | None) -> dict:
    """A document with single members replaced; `...` takes one away."""
    document = {**document, **(changes or {})}
    return {name: value for name, value in document.items() if value is not ...}


# --- pushes --------------------------------------------------------------------------------------------------
def rs256(name: str, text: bytes) -> bytes:
    return keys.key(name).sign(text, padding.PKCS1v15(), hashes.SHA256())


def oidc(
    claims: dict | None = None, *, header: dict | None = None, by: str = "google", signature: bytes | None = None
) -> str:
    """The token of a push as Google signs it. `claims` and `header` replace members (`...` takes one away)."""
    now = int(time.time())
    body = changed(
        {
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "azp": "1134", "sub": "1134", "email": EMAIL,
            "email_verified": True, "iat": now, "exp": now + 3600,
        },
        claims,
    )  # fmt: skip
    head = changed({"alg": "RS256", "kid": KID, "typ": "JWT"}, header)
    text = f"{b64url(json.dumps(head).encode())}.{b64url(json.dumps(body).encode())}"
    return f"{text}.{b64url(rs256(by, text.encode()) if signature is None else signature)}"


def envelope(data: object, **changes: object) -> bytes:
    """The body of a push around the data (an object, or the very text)."""
    text = data if isinstance(data, str) else base64.b64encode(json.dumps(data).encode()).decode()
    message = {
        "data": text,
        "messageId": "136969346945",
        "message_id": "136969346945",
        "publishTime": rfc3339(time.time()),
    }
    return json.dumps(changed({"message": message, "subscription": SUBSCRIPTION}, changes)).encode()


def now_ms() -> int:
    return int(time.time() * 1000)


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def told(kind: str, about: dict, **changes: object) -> dict:
    """What Google Play says: `told("oneTimeProductNotification", {…})`."""
    return changed(
        {"version": "1.0", "packageName": PACKAGE, "eventTimeMillis": str(now_ms()), kind: about}, changes
    )  # fmt: skip


def bought(token: str = TOKEN, **changes: object) -> dict:
    """A purchase is told."""
    about = {"version": "1.0", "notificationType": 1, "purchaseToken": token, "sku": PRODUCT}
    return told("oneTimeProductNotification", changed(about, changes))


def voided(token: str = TOKEN, **changes: object) -> dict:
    """A voided purchase is told."""
    about = {"purchaseToken": token, "orderId": ORDER, "productType": 2, "refundType": 1}
    return told("voidedPurchaseNotification", changed(about, changes))


def push(data: object, token: str | None = None, **changes: object) -> RawNotification:
    """A push as it arrives."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {oidc() if token is None else token}"}
    return RawNotification(headers=headers, body=envelope(data, **changes), received_at=datetime.now(UTC))


# --- resources of the API ------------------------------------------------------------------------------------
def purchase(number: str | None = None, changes: dict | None = None, **line: object) -> dict:
    """A ProductPurchaseV2 of a licence tester. `line` changes productOfferDetails, or `product_id`."""
    product_id = line.pop("product_id", PRODUCT)
    offer = {
        "quantity": 1, "refundableQuantity": 1, "consumptionState": "CONSUMPTION_STATE_YET_TO_BE_CONSUMED",
        "purchaseOptionId": "buy",
    }  # fmt: skip
    document = {
        "kind": "androidpublisher#productPurchaseV2",
        "purchaseStateContext": {"purchaseState": "PURCHASED"},
        "testPurchaseContext": {"fopType": "TEST"},
        "orderId": ORDER,
        "purchaseCompletionTime": "2026-11-20T08:15:30.123456789Z",
        "acknowledgementState": "ACKNOWLEDGEMENT_STATE_PENDING",
        "regionCode": "TR",
        "productLineItem": [{"productId": product_id, "productOfferDetails": changed(offer, line)}],
        "obfuscatedExternalAccountId": PLAYER,
    }
    if number is not None:
        document["obfuscatedExternalProfileId"] = number
    return changed(document, changes)


def standing(word: object, **changes: object) -> dict:
    """Changes that make a purchase stand so; what never was paid has neither order nor time."""
    return {"purchaseStateContext": {"purchaseState": word}, **changes}


NEVER_PAID = {"orderId": ..., "purchaseCompletionTime": ...}
REAL = {"testPurchaseContext": ...}


def old_purchase(number: str | None = None, **changes: object) -> dict:
    """A ProductPurchase, the older spelling, of a licence tester."""
    document = {
        "kind": "androidpublisher#productPurchase",
        "purchaseTimeMillis": "1763626530123",
        "purchaseState": 0,
        "consumptionState": 0,
        "acknowledgementState": 0,
        "orderId": ORDER,
        "purchaseType": 0,
        "regionCode": "TR",
        "obfuscatedExternalAccountId": PLAYER,
    }
    if number is not None:
        document["obfuscatedExternalProfileId"] = number
    return changed(document, changes)


def order(**changes: object) -> dict:
    """An Order of 39.99 lira."""
    return changed(
        {
            "orderId": ORDER,
            "purchaseToken": TOKEN,
            "state": "PROCESSED",
            "createTime": "2026-11-20T08:15:29Z",
            "total": {"currencyCode": "TRY", "units": "39", "nanos": 990000000},
            "tax": {"currencyCode": "TRY", "units": "6", "nanos": 660000000},
            "orderHistory": {"processedEvent": {"eventTime": "2026-11-20T08:15:30Z"}},
        },
        changes,
    )


def refunded_order(**changes: object) -> dict:
    event = {
        "eventTime": "2026-11-21T00:00:00Z",
        "refundReason": "OTHER",
        "refundDetails": {"total": {"currencyCode": "TRY", "units": "39", "nanos": 990000000}},
    }
    return order(**{"state": "REFUNDED", "orderHistory": {"refundEvent": event}, **changes})


def entry(token: str = TOKEN, **changes: object) -> dict:
    """One line of the list of voided purchases."""
    document = {
        "kind": "androidpublisher#voidedPurchase",
        "purchaseToken": token,
        "orderId": ORDER,
        "purchaseTimeMillis": "1763626530123",
        "voidedTimeMillis": "1763700000000",
        "voidedSource": 0,
        "voidedReason": 1,
    }
    return changed(document, changes)


def credentials(**changes: object) -> dict[str, object]:
    """A sandbox account's file."""
    return {
        "package_name": PACKAGE,
        "service_account": key_file(),
        "push_audience": AUDIENCE,
        "push_email": EMAIL,
        "push_subscription": SUBSCRIPTION,
        "base_url": NOWHERE,
        **changes,
    }


def live_credentials(**changes: object) -> dict[str, object]:
    """An account of real money: it names no address."""
    return {name: value for name, value in credentials(**changes).items() if name != "base_url"}


def key_file(**changes: object) -> dict:
    """The JSON of a service account's key."""
    return changed(
        {
            "type": "service_account",
            "project_id": "game-123",
            "private_key_id": "b1946ac92492d2347c6235b4d2611184",
            "private_key": keys.private_pem("google caller"),
            "client_email": CALLER,
            "client_id": "1134",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        changes,
    )


# --- the provider over HTTP ----------------------------------------------------------------------------------
@dataclass
class Call:
    """One request that reached the API."""

    method: str
    path: str  # after the app, with its query
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass
class Answer:
    """What Google sends back. `raw` replaces everything after the request was read."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


def says(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


def refuses(status: int, reason: str, message: str = "No.", word: str = "") -> Answer:
    error = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return says({"error": {**error, **({"status": word} if word else {})}}, status)


DONE = Answer(200, b"")  # an empty answer
NOT_FOUND = refuses(404, "purchaseTokenNotFound", "The purchase token was not found.", "NOT_FOUND")
NO_ORDER = refuses(404, "orderNotFound", "The order was not found.", "NOT_FOUND")
FORBIDDEN = refuses(403, "permissionDenied", "The current user has insufficient permissions.", "PERMISSION_DENIED")
NO_METHOD = Answer(404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", {"Content-Type": "text/html"})


class GoogleSide:
    """The API, the token endpoint and the certificates at one address. `answers` maps a path's beginning to answers,
    the last of which is given for ever."""

    def __init__(self) -> None:
        self.tokens: list[str] = []  # handed out, and taken
        self.forget()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def forget(self) -> None:
        """As on the first day, but for the access tokens that are in use."""
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self.certificate_calls = 0
        self.certificates = Answer(
            body=json.dumps({KID: keys.certificate_pem("google")}).encode(),
            headers={"Cache-Control": "public, max-age=20000"},
        )
        self.token_answer: Answer | None = None
        self._answers: dict[str, list[Answer | Callable[[Call], Answer]]] = {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def will(self, path: str, *answers: Answer | Callable[[Call], Answer]) -> None:
        """Lay answers ready for calls whose path, unquoted, holds this."""
        self._answers = {path: list(answers), **{name: old for name, old in self._answers.items() if name != path}}

    def knows(self, document: dict, of_order: dict | None = None) -> None:
        """One purchase, whatever token is asked about, and its order."""
        self.will("/purchases/productsv2/tokens/", says(document))
        self.will("/orders/", says(order() if of_order is None else of_order))

    def publishes(self, **names: str) -> None:
        """Other certificates: `publishes(kid="google")` that of a key by its name."""
        document = {kid: keys.certificate_pem(name) for kid, name in names.items()}
        self.certificates = Answer(body=json.dumps(document).encode(), headers=self.certificates.headers)

    @property
    def paths(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls]

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path == "/oauth2/v1/certs":
            self.certificate_calls += 1
            return self.certificates
        if path == "/token":
            return self._token(headers, body)
        call = Call(method, path.removeprefix(BASE), headers, body)
        self.calls.append(call)
        if not path.startswith(f"{BASE}/"):
            self.complaints.append(f"another app: {path}")
        if headers.get("authorization") not in [f"Bearer {token}" for token in self.tokens]:
            return refuses(401, "authError", "Invalid Credentials", "UNAUTHENTICATED")
        for beginning, answers in self._answers.items():
            if beginning in unquote(call.path):
                chosen = answers.pop(0) if len(answers) > 1 else answers[0]
                return chosen(call) if callable(chosen) else chosen
        return NOT_FOUND

    def _token(self, headers: dict[str, str], body: bytes) -> Answer:
        if self.token_answer is not None:
            return self.token_answer
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        complaint = self._complaint(form, headers)
        if complaint:
            self.complaints.append(complaint)
            return says({"error": "invalid_grant", "error_description": complaint}, 400)
        self.tokens.append(f"ya29.{secrets.token_hex(8)}")
        return says({"access_token": self.tokens[-1], "expires_in": 3599, "token_type": "Bearer"})

    def _complaint(self, form: dict[str, str], headers: dict[str, str]) -> str:
        if headers.get("content-type") != "application/x-www-form-urlencoded":
            return "no form"
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return "another grant"
        head, claims, signature = form.get("assertion", "").split(".")
        if json.loads(unb64url(head)) != {"alg": "RS256", "kid": key_file()["private_key_id"], "typ": "JWT"}:
            return "another header"
        said = json.loads(unb64url(claims))
        wanted = {
            "iss": CALLER, "scope": "https://www.googleapis.com/auth/androidpublisher", "aud": f"{self.url}/token",
            "iat": said["iat"], "exp": said["iat"] + 3600,
        }  # fmt: skip
        if said != wanted or not said["iat"] <= time.time() < said["exp"]:
            return "other claims"
        try:
            keys.key("google caller").public_key().verify(
                unb64url(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return "wrong signature"
        return ""

    def _handler(side):  # noqa: N805  # `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # head and body go out one after the other, and nobody waits 40 ms
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body leave together: apart, the second waits for the first to be acknowledged

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = side._answer(self.command, self.path, headers, body)
                if answer.raw:
                    self.close_connection = True
                    answer.raw(self)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do  # noqa: N815  # the library's names

            def log_message(self, *_args) -> None:
                pass

        return Handler
