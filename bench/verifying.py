"""T11: what reading one message of each provider costs, beside the bare cryptographic work that is in it.

The messages are those of the contract suite's sides (tests/providers/contract), signed beforehand with keys of full
size. Bare is what no reader can do without: the very verifications and decryptions, on bytes that lie ready, with keys
that are parsed. Ours is `read_notification`: form or JSON, signature, translation. No web server and no database.
"""

import base64
import hashlib
import hmac
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bench.report import Line
from channels_app.providers import ADAPTERS, build_adapter
from channels_app.providers.base import RawNotification
from tests import keys
from tests.providers.contract.side import Side, purchase_at, raw

MOST = 2.0
_ROUNDS = 15
_ROUND_S = 0.02
Work = Callable[[], object]
Credentials = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """Medians of all rounds; the ratio is taken within a round."""

    provider: str
    ours_us: float
    bare_us: float  # 0: nothing in its messages is signed
    ratio: float


def verifying(say: Callable[[str], None]) -> list[Line]:
    """Measure every provider of the registry."""
    lines = []
    for code in ADAPTERS:
        with _side_of(code) as side:
            compared = _compare(side)
        say(f"T11 {code}: {compared.ours_us:.0f} µs, bare {compared.bare_us:.0f} µs")
        lines.append(_line(compared, is_first=not lines))
    return lines


@contextmanager
def _side_of(code: str) -> Iterator[Side]:
    side: Side = importlib.import_module(f"tests.providers.contract.{code}").SIDE
    side.start()
    try:
        yield side
    finally:
        side.stop()


def _compare(side: Side) -> Compared:
    credentials = side.credentials()
    adapter = build_adapter(side.code, credentials, live=False)
    side.ready(adapter)
    sent = side.told(purchase_at(side, adapter))
    if sent is None:
        raise TypeError(f"{side.code} tells of no payment")
    message = raw(side, sent)

    def ours() -> object:
        return adapter.read_notification(message)

    bare_work = _BARE[side.code]
    bare = bare_work(message, credentials) if bare_work else None
    how_often, how_often_bare = _fitting(ours), _fitting(bare) if bare else 0
    rounds = []
    for _ in range(_ROUNDS):
        floor = _seconds(bare, how_often_bare) if bare else 0.0
        rounds.append((_seconds(ours, how_often), floor))
    return Compared(
        provider=side.code,
        ours_us=statistics.median(ours for ours, _ in rounds) * 1e6,
        bare_us=statistics.median(floor for _, floor in rounds) * 1e6,
        ratio=statistics.median(ours / floor for ours, floor in rounds) if bare else 0.0,
    )


def _fitting(work: Work) -> int:
    """How many of them fill a round."""
    return max(1, int(_ROUND_S / _seconds(work, 50)))


def _seconds(work: Work, how_often: int) -> float:
    """What one takes of the processor, of so many in a row: who else is busy on it does not count."""
    began = time.thread_time()
    for _ in range(how_often):
        work()
    return (time.thread_time() - began) / how_often


def _line(compared: Compared, *, is_first: bool) -> Line:
    signed = compared.bare_us > 0
    return Line(
        code="T11" if is_first else "",
        what=f"a message of {compared.provider}, verified and read",
        ours=f"{compared.ours_us:.0f} µs",
        latency="",
        floor=f"bare cryptography {compared.bare_us:.0f} µs" if signed else "not signed",
        share=f"{compared.ratio:.1f}×" if signed else "",
        target=f"≤ {MOST:g}×" if signed else "",
        met=compared.ratio <= MOST if signed else None,
        facts={"ours_us": compared.ours_us, "bare_us": compared.bare_us, "ratio": compared.ratio},
    )


# --- the work that no reader can do without ---------------------------------------------------------------------
def _wechatpay(message: RawNotification, credentials: Credentials) -> Work:
    said = message.headers
    text = f"{said['wechatpay-timestamp']}\n{said['wechatpay-nonce']}\n".encode() + message.body + b"\n"
    verify = _rsa(credentials["public_key"], text, base64.b64decode(said["wechatpay-signature"]))
    resource = json.loads(message.body)["resource"]
    cipher, sealed = AESGCM(credentials["api_v3_key"].encode()), base64.b64decode(resource["ciphertext"])
    nonce, associated = resource["nonce"].encode(), resource["associated_data"].encode()
    return lambda: (verify(), cipher.decrypt(nonce, sealed, associated))


def _alipay(message: RawNotification, credentials: Credentials) -> Work:
    fields = dict(parse_qsl(message.body.decode(), keep_blank_values=True))
    signature = base64.b64decode(fields.pop("sign"))
    del fields["sign_type"]
    return _rsa(credentials["alipay_public_key"], _joined(fields), signature)


def _apple(message: RawNotification, credentials: Credentials) -> Work:
    outer = json.loads(message.body)["signedPayload"]
    inner = _object(outer.split(".")[1])["data"]["signedTransactionInfo"]
    verify_outer, verify_inner = _es256(outer), _es256(inner)
    return lambda: (verify_outer(), verify_inner())


def _unionpay(message: RawNotification, credentials: Credentials) -> Work:
    fields = {name: value for name, value in parse_qsl(message.body.decode()) if value}
    signature = base64.b64decode(fields.pop("signature"))
    key = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode()).public_key()
    text, scheme = _joined(fields), padding.PKCS1v15()
    return lambda: key.verify(signature, hashlib.sha256(text).hexdigest().encode(), scheme, hashes.SHA256())  # type: ignore[union-attr, call-arg, arg-type]


def _google(message: RawNotification, credentials: Credentials) -> Work:
    text, _, signature = message.headers["authorization"].removeprefix("Bearer ").rpartition(".")
    return _rsa(keys.public_pem("google"), text.encode(), _unpadded(signature))


def _stripe(message: RawNotification, credentials: Credentials) -> Work:
    stamp = dict(part.split("=", 1) for part in message.headers["stripe-signature"].split(","))["t"]
    return _hmac(credentials["webhook_secrets"][0], f"{stamp}.".encode() + message.body, "sha256")


def _xiaomi(message: RawNotification, credentials: Credentials) -> Work:
    fields = {name: value for name, value in parse_qsl(message.body.decode()) if name != "signature"}
    return _hmac(credentials["app_secrets"][0], _joined(fields), "sha1")


def _taptap(message: RawNotification, credentials: Credentials) -> Work:
    said = message.headers
    lines = [said[":method"], said[":path"], f"x-tap-nonce:{said['x-tap-nonce']}", f"x-tap-ts:{said['x-tap-ts']}"]
    return _hmac(credentials["server_secrets"][0], "\n".join(lines).encode() + b"\n" + message.body + b"\n", "sha256")


# Huawei's messages are signed by nobody: what is verified is the answer to the question they lead to.
_BARE: Mapping[str, Callable[[RawNotification, Credentials], Work] | None] = {
    "wechatpay": _wechatpay,
    "alipay": _alipay,
    "apple": _apple,
    "unionpay": _unionpay,
    "google": _google,
    "stripe": _stripe,
    "xiaomi": _xiaomi,
    "taptap": _taptap,
    "huawei": None,
}


def _joined(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode()


def _rsa(pem: str, text: bytes, signature: bytes) -> Work:
    key, scheme = load_pem_public_key(pem.encode()), padding.PKCS1v15()
    return lambda: key.verify(signature, text, scheme, hashes.SHA256())  # type: ignore[union-attr, call-arg, arg-type]


def _es256(token: str) -> Work:
    text, _, signature = token.rpartition(".")
    leaf = base64.b64decode(_object(text.partition(".")[0])["x5c"][0])
    key, scheme = x509.load_der_x509_certificate(leaf).public_key(), ec.ECDSA(hashes.SHA256())
    raw_signature = _unpadded(signature)
    der = encode_dss_signature(int.from_bytes(raw_signature[:32]), int.from_bytes(raw_signature[32:]))
    return lambda: key.verify(der, text.encode(), scheme)  # type: ignore[union-attr, call-arg, arg-type]


def _hmac(secret: str, text: bytes, algorithm: str) -> Work:
    key = secret.encode()
    return lambda: hmac.digest(key, text, algorithm)


def _object(part: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_unpadded(part))
    return document


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
