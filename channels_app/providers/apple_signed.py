"""What Apple has signed: certificate chain, signature, application and environment, all checked by Apple's own library.

Apple signs with a certificate that travels inside the message. The library checks it as of the day the message says it
was signed, so a message that comes late stays as good as it was; that a certificate was revoked it does not learn,
because asking would mean a call to Apple inside every notification.
"""

import base64
import binascii
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cattrs
import jwt
from appstoreserverlibrary.models.Environment import Environment
from appstoreserverlibrary.models.JWSTransactionDecodedPayload import JWSTransactionDecodedPayload
from appstoreserverlibrary.models.ResponseBodyV2DecodedPayload import ResponseBodyV2DecodedPayload
from appstoreserverlibrary.signed_data_verifier import (
    SignedDataVerifier,
    VerificationException,
    VerificationStatus,
    _ChainVerifier,
)
from cryptography import x509

from channels_app.providers.apple_keys import Keys
from channels_app.providers.base import NotificationRefused, NotificationUnreadable
from channels_app.providers.texts import printable

# Apple has one chain at a time, two while it changes over.
_CHAINS_KEPT = 16
_PURCHASED_FOR = ("data", "summary", "appData")  # the members of a notification that name an environment


class NotOurs(Exception):
    """Signed by Apple, but for another application or environment."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class _ChainRefused(VerificationException):
    """The certificates are at fault, not the signature."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A chain that was found good: its leaf's key, and from when until when every certificate is valid (Unix time)."""

    key: str
    begins: float
    ends: float


class KeptChains(_ChainVerifier):
    """Apple's check of a certificate chain, its verdicts kept: the same certificates need not be judged every time.

    Kept is only that a chain is good, never that a message is. Whoever sends junk after genuine certificates can push
    verdicts out, which costs time and nothing else.
    """

    def __init__(self, roots: Sequence[bytes]) -> None:
        """`roots`: DER."""
        super().__init__(list(roots))
        self._roots = [x509.load_der_x509_certificate(root) for root in roots]
        self._kept: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def verify_chain(self, certificates: list[str], perform_online_checks: bool, effective_date: int) -> str:  # noqa: FBT001  # as the library has it
        """The leaf's key. Raises VerificationException."""
        name = hashlib.sha256(json.dumps(certificates).encode()).digest()
        with self._lock:
            verdict = self._kept.get(name)
            if verdict is not None:
                self._kept.move_to_end(name)
        if verdict is not None and verdict.begins <= effective_date <= verdict.ends:
            return verdict.key
        try:
            key = super().verify_chain(certificates, perform_online_checks, effective_date)
        except VerificationException as error:
            raise _ChainRefused(error.status) from error
        self._keep(name, self._verdict(key, certificates))
        return key

    def _verdict(self, key: str, certificates: list[str]) -> _Verdict:
        # Which of several roots vouched is not told: the narrowest time holds for all of them.
        chain = [x509.load_der_x509_certificate(base64.b64decode(each)) for each in certificates[:2]] + self._roots
        return _Verdict(
            key,
            begins=max(each.not_valid_before_utc.timestamp() for each in chain),
            ends=min(each.not_valid_after_utc.timestamp() for each in chain),
        )

    def _keep(self, name: bytes, verdict: _Verdict) -> None:
        with self._lock:
            self._kept[name] = verdict
            while len(self._kept) > _CHAINS_KEPT:
                self._kept.popitem(last=False)


class _Verifier(SignedDataVerifier):
    """The library's verifier of one environment, offline, with chains judged by ours."""

    def __init__(self, keys: Keys, chains: KeptChains, environment: Environment) -> None:
        super().__init__(
            root_certificates=list(keys.roots),
            enable_online_checks=False,
            environment=environment,
            bundle_id=keys.bundle_id,
            app_apple_id=keys.app_apple_id,
        )
        self._chain_verifier = chains


class Signatures:
    """Tells what Apple has signed for one application. Safe for many threads."""

    def __init__(self, keys: Keys, *, live: bool) -> None:
        """`live`: Production is accepted, and Sandbox beside it (App Review buys there); else Sandbox alone."""
        chains = KeptChains(keys.roots)
        self._live = live
        self._bundle_id = keys.bundle_id
        # Never Xcode or LocalTesting: the library skips the signature there.
        self._verifiers = {
            environment.value: _Verifier(keys, chains, environment)
            for environment in (Environment.PRODUCTION, Environment.SANDBOX)
        }

    def transaction(self, signed: str) -> JWSTransactionDecodedPayload:
        """A signed transaction. Raises NotificationRefused, NotificationUnreadable, NotOurs."""
        claims = unverified(signed)[1]
        environment = _text(claims.get("environment"))
        try:
            transaction = self._verifier(environment).verify_and_decode_signed_transaction(signed)
        except VerificationException as error:
            raise self._refusal(error, environment, _text(claims.get("bundleId"))) from None
        except cattrs.BaseValidationError:
            raise NotificationUnreadable("shape", "a transaction of another shape than documented") from None
        self._refuse_real_money_in_sandbox(environment)
        return transaction

    def notification(self, signed: str) -> ResponseBodyV2DecodedPayload:
        """A signed notification; the transaction inside is signed by itself. Raises as `transaction`."""
        environment, bundle_id = _addressee(unverified(signed)[1])
        try:
            notification = self._verifier(environment).verify_and_decode_notification(signed)
        except VerificationException as error:
            raise self._refusal(error, environment, bundle_id) from None
        except cattrs.BaseValidationError:
            raise NotificationUnreadable("shape", "a notification of another shape than documented") from None
        self._refuse_real_money_in_sandbox(environment)
        return notification

    def _verifier(self, environment: str) -> _Verifier:
        """Chosen by what the message claims; the verifier then demands that the signed claim is its own."""
        return self._verifiers.get(environment) or self._verifiers[Environment.PRODUCTION.value]

    def _refuse_real_money_in_sandbox(self, environment: str) -> None:
        if not self._live and environment != Environment.SANDBOX.value:
            raise NotOurs(f"{environment} at a sandbox account")

    def _refusal(self, error: VerificationException, environment: str, bundle_id: str) -> Exception:
        # Both are found out only after the signature was right.
        if error.status is VerificationStatus.INVALID_APP_IDENTIFIER:
            other = bundle_id != self._bundle_id
            return NotOurs(f"for {printable(bundle_id, 160) or 'no application'}" if other else "for another app id")
        if error.status is VerificationStatus.INVALID_ENVIRONMENT:
            return NotOurs(f"of environment {printable(environment, 40) or 'unknown'}")
        return NotificationRefused(*_fault(error))


def unverified(signed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload as a message claims them; empty where there is none. Believed by nobody."""
    header, _, rest = signed.partition(".")
    return _object(header), _object(rest.partition(".")[0])


def _addressee(claims: Mapping[str, Any]) -> tuple[str, str]:
    """Environment and bundle id that a notification claims."""
    for name in _PURCHASED_FOR:
        about = claims.get(name)
        if isinstance(about, dict):
            return _text(about.get("environment")), _text(about.get("bundleId"))
    token = claims.get("externalPurchaseToken")
    if not isinstance(token, dict):
        return "", ""
    is_play = _text(token.get("externalPurchaseId")).startswith("SANDBOX")
    environment = Environment.SANDBOX if is_play else Environment.PRODUCTION
    return environment.value, _text(token.get("bundleId"))


def _fault(error: VerificationException) -> tuple[str, str]:
    """The step that failed, and a sentence for people."""
    if isinstance(error, _ChainRefused):
        return "certificates", f"the certificates do not lead to a root we know ({error.status.name})"
    cause = error.__cause__
    if isinstance(cause, jwt.InvalidSignatureError):
        return "signature", "not the signature of these bytes"
    if isinstance(cause, jwt.DecodeError):
        return "form", "not a signed message"
    return "header", "not signed as Apple signs"


def _object(part: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
