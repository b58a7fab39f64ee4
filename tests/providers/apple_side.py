"""Apple's side of the wire, for tests: certificate chains, signed transactions and notifications, the server API.

Written from the documented facts alone; shares no code with the adapter, and builds no token with a library.
"""

import base64
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from tests.keys import NOWHERE

BUNDLE = "com.example.game"
APP = 1234567890
ISSUER = "57246542-96fe-1a63-e053-0824d011072a"
KEY = "2X9R4HXF34"
PRODUCT = "com.example.game.gems60"
_LEAF_MARK, _INTERMEDIATE_MARK = "1.2.840.113635.100.6.11.1", "1.2.840.113635.100.6.2.1"


# --- certificates --------------------------------------------------------------------------------------------
@cache
def key(name: str, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """The key of somebody, the same for the whole run."""
    return ec.generate_private_key(curve())


def private_pem(name: str) -> str:
    """PKCS#8 PEM, as a .p8 file holds it."""
    return (
        key(name)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def text(self) -> str:
        """As an entry of x5c: standard base64 of DER."""
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def _issue(
    name: str,
    curve: type[ec.EllipticCurve],
    issuer: Made | None,
    *,
    is_ca: bool,
    mark: str = "",
    valid: tuple[int, int],
) -> Made:
    """A certificate valid from `valid[0]` until `valid[1]` days from now."""
    own = key(name, curve)
    by = issuer.key if issuer else own
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    unused = (
        "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only",
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=valid[0]))
        .not_valid_after(now + timedelta(days=valid[1]))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca and issuer else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, **dict.fromkeys(unused, False)
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    )
    if issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
        )
    if mark:
        null = x509.UnrecognizedExtension(x509.ObjectIdentifier(mark), b"\x05\x00")
        builder = builder.add_extension(null, critical=False)
    return Made(builder.sign(by, hashes.SHA384()), own)


@dataclass(frozen=True)
class Chain:
    """Root, intermediate, leaf."""

    root: Made
    intermediate: Made
    leaf: Made

    @property
    def x5c(self) -> list[str]:
        return [self.leaf.text, self.intermediate.text, self.root.text]


@cache
def chain(
    root: str = "apple", *, leaf_mark: str = _LEAF_MARK, intermediate_mark: str = _INTERMEDIATE_MARK,
    leaf_valid: tuple[int, int] = (-300, 300), issuer_is_ca: bool = True,
) -> Chain:  # fmt: skip
    """A chain below somebody's root; the same arguments give the same chain."""
    top = _root(root)
    middle = _issue(
        f"{root} intermediate", ec.SECP384R1, top, is_ca=issuer_is_ca, mark=intermediate_mark, valid=(-1000, 1000)
    )
    return Chain(
        top, middle, _issue(f"{root} leaf", ec.SECP256R1, middle, is_ca=False, mark=leaf_mark, valid=leaf_valid)
    )


@cache
def _root(name: str) -> Made:
    return _issue(f"{name} root", ec.SECP384R1, None, is_ca=True, valid=(-2000, 2000))


@cache
def issued_by_leaf(root: str = "apple") -> Chain:
    """A leaf acting as an issuer: what an Apple developer with any Apple certificate could try."""
    genuine = chain(root)
    return Chain(
        genuine.root,
        genuine.leaf,
        _issue("attacker leaf", ec.SECP256R1, genuine.leaf, is_ca=False, mark=_LEAF_MARK, valid=(-1, 30)),
    )


# --- tokens --------------------------------------------------------------------------------------------------
def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def es256(private: ec.EllipticCurvePrivateKey, text: bytes) -> bytes:
    """r and s, 32 bytes each."""
    r, s = decode_dss_signature(private.sign(text, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def jws(
    payload: dict | bytes, *, by: Chain | None = None, header: dict | None = None,
    private: ec.EllipticCurvePrivateKey | None = None, signature: bytes | None = None,
) -> str:  # fmt: skip
    """A payload signed as Apple signs. `header` replaces members (`...` takes one away); `private`, `signature` forge."""
    by = by or chain()
    head = {"alg": "ES256", "x5c": by.x5c, **(header or {})}
    head = {name: value for name, value in head.items() if value is not ...}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = f"{b64url(json.dumps(head).encode())}.{b64url(body)}"
    if signature is None:
        signature = es256(private or by.leaf.key, text.encode())
    return f"{text}.{b64url(signature)}"


def now_ms() -> int:
    return int(time.time() * 1000)


def changed(document: dict, changes: dict) -> dict:
    """A document with single members replaced; `...` takes one away."""
    document = {**document, **changes}
    return {name: value for name, value in document.items() if value is not ...}


def transaction(token: str | None = None, changes: dict | None = None) -> dict:
    """A consumable bought for an attempt (its 32 digits), as Apple puts it into a transaction."""
    number = str(2000000000000000 + uuid.uuid4().int % 10**14)
    document = {
        "transactionId": number,
        "originalTransactionId": number,
        "bundleId": BUNDLE,
        "productId": PRODUCT,
        "purchaseDate": now_ms() - 3000,
        "originalPurchaseDate": now_ms() - 3000,
        "quantity": 1,
        "type": "Consumable",
        "inAppOwnershipType": "PURCHASED",
        "signedDate": now_ms(),
        "environment": "Sandbox",
        "transactionReason": "PURCHASE",
        "storefront": "CHN",
        "storefrontId": "143465",
        "price": 6000,
        "currency": "CNY",
        "appTransactionId": "704289572311513293",
    }
    if token is not None:
        document["appAccountToken"] = str(uuid.UUID(token))
    return changed(document, changes or {})


def notification(
    kind: str, inner: str | None = None, changes: dict | None = None, data: dict | None = None
) -> dict:  # fmt: skip
    """What a signedPayload says. `inner` is the signed transaction; `data` changes the member of that name."""
    about = {
        "appAppleId": ...,  # absent in the sandbox
        "bundleId": BUNDLE,
        "bundleVersion": "1.4.2",
        "environment": "Sandbox",
        "signedTransactionInfo": inner if inner is not None else ...,
        **(data or {}),
    }
    document = {
        "notificationType": kind,
        "notificationUUID": str(uuid.uuid4()),
        "data": changed(about, {}),
        "version": "2.0",
        "signedDate": now_ms(),
    }
    return changed(document, changes or {})


def in_production(document: dict) -> dict:
    """The same transaction, bought with real money."""
    return {**document, "environment": "Production"}


def told(kind: str, inner: dict | None = None, changes: dict | None = None, data: dict | None = None, **about) -> bytes:
    """The body of a genuine notification about a transaction; its environment is the transaction's."""
    if inner is not None and inner.get("environment") == "Production":
        data = {"environment": "Production", "appAppleId": APP, **(data or {})}
    signed = None if inner is None else jws(inner)
    return posted(jws(notification(kind, signed, changes, data), **about))


def posted(signed_payload: object) -> bytes:
    return json.dumps({"signedPayload": signed_payload}).encode()


def credentials(**changes: object) -> dict[str, object]:
    """A sandbox account's file, which names this world's root."""
    return {
        "bundle_id": BUNDLE,
        "app_apple_id": str(APP),
        "issuer_id": ISSUER,
        "key_id": KEY,
        "private_key": private_pem("in-app purchase key"),
        "root_certificates": [_root("apple").pem],
        "base_url": NOWHERE,
        **changes,
    }


def live_credentials(**changes: object) -> dict[str, object]:
    """An account of real money: it names no root and no address."""
    return {
        name: value for name, value in credentials(**changes).items() if name not in ("root_certificates", "base_url")
    }


def own_root() -> bytes:
    """This world's Apple root, DER."""
    return _root("apple").certificate.public_bytes(serialization.Encoding.DER)


# --- the provider over HTTP ----------------------------------------------------------------------------------
@dataclass
class Call:
    """One request that reached Apple."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict:
        """The JSON that was sent."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What Apple sends back. `raw` replaces everything after the request was read."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


def says(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


def refuses(status: int, code: int, message: str = "No.") -> Answer:
    return says({"errorCode": code, "errorMessage": message}, status)


UNAUTHENTICATED = Answer(401, b"Unauthenticated\n\nRequest ID: X", {"Content-Type": "text/plain"})
NOT_FOUND = refuses(404, 4040010, "Transaction id not found.")


def knows(document: dict) -> Answer:
    """The answer about one transaction."""
    return says({"signedTransactionInfo": jws(document)})


class AppleSide:
    """The server API at an address of its own. Answers what the test lays ready, the last answer for ever."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._answers: list[Answer | Callable[[Call], Answer]] = [NOT_FOUND]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def will(self, *answers: Answer | Callable[[Call], Answer]) -> None:
        """Lay answers ready."""
        self._answers = list(answers)

    def answer(self, call: Call) -> Answer:
        """Refuse who does not show a token as documented, else answer as laid ready."""
        self.calls.append(call)
        complaint = self._complaint(call)
        if complaint:
            self.complaints.append(complaint)
            return UNAUTHENTICATED
        chosen = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return chosen(call) if callable(chosen) else chosen

    def _complaint(self, call: Call) -> str:
        token = re.fullmatch(r"Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)", call.headers.get("authorization", ""))
        if not token:
            return "no bearer token"
        head, claims = (json.loads(unb64url(part)) for part in token.groups()[:2])
        if head != {"alg": "ES256", "kid": KEY, "typ": "JWT"}:
            return "another header"
        if {name: claims.get(name) for name in ("iss", "aud", "bid")} != {
            "iss": ISSUER, "aud": "appstoreconnect-v1", "bid": BUNDLE,
        }:  # fmt: skip
            return "other claims"
        if not claims["iat"] <= time.time() < claims["exp"] <= claims["iat"] + 3600:
            return "not of this hour"
        raw = unb64url(token[3])
        signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        text = f"{token[1]}.{token[2]}".encode()
        try:
            key("in-app purchase key").public_key().verify(signature, text, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return "wrong signature"
        return "" if len(raw) == 64 else "not 64 bytes"

    def _handler(side):  # noqa: N805  # `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # head and body go out one after the other, and nobody waits 40 ms
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = side.answer(Call(self.command, self.path, headers, body))
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
