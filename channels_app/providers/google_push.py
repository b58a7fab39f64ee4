"""Messages that Pub/Sub pushes: whose they are, by the token in their header, which Google has signed for one hour."""

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from channels_app.providers.base import (
    KeyNotKnown,
    NotificationRefused,
    ProviderError,
    ProviderUnavailable,
)
from channels_app.providers.google_keys import Keys
from channels_app.providers.google_wire import json_object
from channels_app.providers.transport import HttpAnswer, Transport

logger = logging.getLogger(__name__)

_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_CLOCK_TOLERANCE_S = 60
_TOKEN = re.compile(r"Bearer ([0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+)")
_LONGEST_TOKEN = 8_000
_KEY_NAME = re.compile(r"[!-~]{1,128}")
_SHORTEST_KEY_BITS = 2048

# When Google's answer names no time, and between two tries whatever it names: nobody can make us ask more often.
_FRESH_S = 3600.0
_ASK_AGAIN_S = 30.0
# Google Play's messages would be sent again for a week; keys of yesterday would be believed for ever.
_USABLE_AFTER_S = 3600.0
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,7})(?:$|[\s,])")


@dataclass(frozen=True, slots=True)
class _Key:
    """One of the keys that Google signs tokens with."""

    key: RSAPublicKey
    not_before: datetime
    not_after: datetime


class Certificates:
    """Google's keys, kept in this process and fetched beside: whoever reads a message never waits for them.

    A message that is signed with a key we do not hold yet is neither believed nor refused. It makes a thread fetch
    the keys, at most every half minute, and Google sends it again meanwhile.
    """

    def __init__(self, url: str) -> None:
        """`url`: where Google publishes them."""
        self._url = url
        # Its own connections: a Play API that hangs may not keep us from the keys.
        self._transport = Transport(ceiling=2)
        self._lock = threading.Lock()
        self._keys: dict[str, _Key] = {}
        self._fresh_until = self._usable_until = self._ask_after = float("-inf")
        self._is_fetching = False

    def names(self) -> tuple[str, ...]:
        """Of the keys that are believed now."""
        return tuple(sorted(self._current()))

    def key(self, name: str, *, at: datetime) -> RSAPublicKey:
        """The key of this name. Raises KeyNotKnown, and sees to it that the keys are fetched."""
        self.prepare()
        found = self._current().get(name)
        if found is None or not found.not_before <= at <= found.not_after:
            self._fetch_beside()
            raise KeyNotKnown("keys", "signed with a key of Google's that we do not hold yet; it is being fetched")
        return found.key

    def prepare(self) -> None:
        """See to it that there are keys soon; never waits."""
        if time.monotonic() >= self._fresh_until:
            self._fetch_beside()

    def fetch(self) -> None:
        """Fetch the keys, now. Raises ProviderError."""
        answer = self._transport.send(
            "GET", self._url, headers={"Accept": "application/json", "User-Agent": "payments"}
        )
        if answer.status != 200:
            raise ProviderUnavailable(f"http_{answer.status}", "Google's certificates")
        keys = _keys_in(answer.body)
        fresh_s = _fresh_s(answer)
        with self._lock:
            self._keys = keys
            self._fresh_until = time.monotonic() + fresh_s
            self._usable_until = self._fresh_until + _USABLE_AFTER_S

    def _current(self) -> Mapping[str, _Key]:
        return self._keys if time.monotonic() < self._usable_until else {}

    def _fetch_beside(self) -> None:
        with self._lock:
            now = time.monotonic()
            if self._is_fetching or now < self._ask_after:
                return
            self._is_fetching, self._ask_after = True, now + _ASK_AGAIN_S
        threading.Thread(target=self._fetch_quietly, name="google-certificates", daemon=True).start()

    def _fetch_quietly(self) -> None:
        try:
            self.fetch()
        except ProviderError as error:
            logger.warning("google's certificates not fetched: %s", error)
        finally:
            with self._lock:
                self._is_fetching = False


def _keys_in(body: bytes) -> dict[str, _Key]:
    """The RSA keys of an answer {name: certificate}. Raises ProviderUnavailable when there is none."""
    document = json_object(body) or {}
    keys = {}
    for name, pem in document.items():
        key = _key_of(pem)
        if key is not None and _KEY_NAME.fullmatch(name):
            keys[name] = key
    if not keys:
        raise ProviderUnavailable("answer_shape", "no certificate of Google's in the answer")
    return keys


def _key_of(pem: Any) -> _Key | None:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except (AttributeError, ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size < _SHORTEST_KEY_BITS:
        return None
    return _Key(key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _fresh_s(answer: HttpAnswer) -> float:
    """How long an answer may be used before it is asked for again."""
    max_age = _MAX_AGE.search(answer.headers.get("cache-control", "").lower())
    if max_age is None:
        return _FRESH_S
    age = answer.headers.get("age", "")
    return max(float(max_age[1]) - (float(age) if re.fullmatch(r"[0-9]{1,7}", age) else 0.0), 0.0)


class Push:
    """Verifies the messages of one subscription."""

    def __init__(self, keys: Keys) -> None:
        """`keys` says whose messages are believed."""
        self._wanted = keys
        self._jws = jwt.PyJWS(algorithms=["RS256"])
        self.certificates = Certificates(keys.certificates_url)

    def verify(self, headers: Mapping[str, str], *, at: datetime) -> None:
        """Whether Google's Pub/Sub pushed it for our subscription. Raises NotificationRefused, KeyNotKnown."""
        token = _token_in(headers)
        header, claims = self._unverified(token)
        # Judged before the signature: whoever does not even claim to be ours makes us fetch no keys.
        fault = self._fault_in(claims, at)
        if fault:
            raise NotificationRefused(*fault)
        key = self.certificates.key(header["kid"], at=at)
        try:
            self._jws.decode_complete(token, key, algorithms=["RS256"])
        except jwt.PyJWTError:
            raise NotificationRefused("signature", "the token is not signed by Google") from None

    def unverified(self, headers: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a token, believed by nobody; empty where there are none."""
        try:
            return self._unverified(_token_in(headers))
        except NotificationRefused:
            return {}, {}

    def _unverified(self, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            read = self._jws.decode_complete(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise NotificationRefused("header", "no token as documented") from None
        header, claims = read["header"], json_object(read["payload"])
        name = header.get("kid")
        if header.get("alg") != "RS256" or not isinstance(name, str) or not _KEY_NAME.fullmatch(name):
            raise NotificationRefused("header", "the token's algorithm or key is not as documented")
        if claims is None:
            raise NotificationRefused("header", "the token claims nothing")
        return header, claims

    def _fault_in(self, claims: Mapping[str, Any], at: datetime) -> tuple[str, str] | None:
        if claims.get("iss") not in _ISSUERS:
            return "issuer", "the token was not issued by Google"
        if claims.get("aud") != self._wanted.push_audience:
            return "audience", "the token is for another audience"
        # Any customer of Google can have a token for any audience; only we have one of this service account.
        if claims.get("email") != self._wanted.push_email or claims.get("email_verified") is not True:
            return "email", "the token belongs to another service account"
        issued, ends = claims.get("iat"), claims.get("exp")
        if type(issued) is not int or type(ends) is not int:
            return "timestamp", "the token does not say when it is valid"
        now = at.timestamp()
        if not issued - _CLOCK_TOLERANCE_S <= now <= ends + _CLOCK_TOLERANCE_S:
            return "timestamp", "the token is not valid at this time"
        return None


def _token_in(headers: Mapping[str, str]) -> str:
    said = headers.get("authorization", "")
    token = _TOKEN.fullmatch(said) if len(said) <= _LONGEST_TOKEN else None
    if token is None:
        raise NotificationRefused("header", "no bearer token")
    return token[1]
