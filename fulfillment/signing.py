"""Signing what game servers are told, as Standard Webhooks says (standardwebhooks.com).

`webhook-id` names the message and stays the same over retries; `webhook-timestamp` is the second of this try;
`webhook-signature` holds `v1,` + base64(HMAC-SHA256(secret, id.timestamp.body)), one per active secret, separated by
spaces, so a receiver that knows the old or the new secret accepts during a rotation.
"""

import base64
import binascii
import hashlib
import hmac
import secrets as random_source
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32  # the standard asks for 24 to 64
TOLERANCE_S = 300


class SignatureRefused(Exception):
    """A message is not from us, or is an old one sent again. Says which check failed, never what was expected."""


def new_secret() -> str:
    """A new `whsec_` secret."""
    return PREFIX + base64.b64encode(random_source.token_bytes(SECRET_BYTES)).decode()


def sign(*, secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one try, signed with every active secret."""
    signatures = [_signature(secret, message_id, str(timestamp), body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify(*, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Check a message as its receiver does; `headers` in lower case. Returns the message id.

    Raises SignatureRefused: a header is missing, the time is more than five minutes off, no signature fits.
    """
    try:
        message_id, timestamp, signatures = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise SignatureRefused(f"header {error.args[0]} is missing") from None
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureRefused("webhook-timestamp is not a whole number of seconds")
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise SignatureRefused("webhook-timestamp is too far from now")
    # Compared as bytes: `compare_digest` raises on text that is not ASCII.
    given = [signature.encode() for signature in signatures.split(" ")]
    for secret in secrets:
        expected = _signature(secret, message_id, timestamp, body).encode()
        if any(hmac.compare_digest(expected, signature) for signature in given):
            return message_id
    raise SignatureRefused("no signature fits")


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is whsec_ and base64") from None
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
