"""The signature of Stripe's webhooks: HMAC-SHA256 over stamp and bytes. Facts: docs/providers/stripe.md, section 4.

A message may bear several signatures and an account may hold several secrets, both while a secret is rolled: one match
is enough. Every sending is stamped anew, so age counts, in both directions.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from channels_app.providers.base import NotificationRefused, RawNotification
from channels_app.providers.documents import UNIX_TIME, is_one_of

_HEADER = "stripe-signature"
_TOLERANCE_S = 300
_MOST_SIGNATURES = 10
_DIGEST = re.compile(r"[0-9a-f]{64}")


class _Said(NamedTuple):
    """What the header says."""

    stamp: str
    signatures: tuple[str, ...]


def verify(raw: RawNotification, secrets: Sequence[bytes]) -> None:
    """Raises NotificationRefused unless one of our secrets signed this body just now."""
    said = _read(raw.headers)
    if said is None:
        raise NotificationRefused("headers", "Stripe-Signature is missing or not as documented")
    if not UNIX_TIME.fullmatch(said.stamp):
        raise NotificationRefused("timestamp", "t is not a time")
    signed = said.stamp.encode() + b"." + raw.body
    ours = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in secrets]
    # Every signature is compared, whichever fits: how long it takes tells nothing.
    if not sum(is_one_of(signature, ours) for signature in said.signatures):
        raise NotificationRefused("signature", "no v1 signature is of one of our secrets")
    if abs(int(raw.received_at.timestamp()) - int(said.stamp)) > _TOLERANCE_S:
        raise NotificationRefused("timestamp", "signed more than five minutes ago, or ahead of time")


def claimed_at(headers: Mapping[str, str]) -> datetime | None:
    """When a message says that it was signed; believed by nobody."""
    said = _read(headers)
    if said is None or not UNIX_TIME.fullmatch(said.stamp):
        return None
    try:
        return datetime.fromtimestamp(int(said.stamp), UTC)
    except (ValueError, OverflowError):  # a year that no calendar has
        return None


def _read(headers: Mapping[str, str]) -> _Said | None:
    """The parts of the header. Other schemes than v1 (v0 is for tests) are passed over."""
    parts = [part.partition("=") for part in headers.get(_HEADER, "").split(",")]
    stamps = [value for name, _equals, value in parts if name == "t"]
    signatures = tuple(value for name, _equals, value in parts if name == "v1" and _DIGEST.fullmatch(value))
    if len(stamps) != 1 or not 0 < len(signatures) <= _MOST_SIGNATURES:
        return None
    return _Said(stamps[0], signatures)
