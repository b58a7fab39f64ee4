"""Second factors: an authenticator app per person, ten recovery codes, and what it takes to prove one.

A code of the app works once; so does a recovery code. Seeds are sealed, of recovery codes only the SHA-256 is kept:
both are on one page once, and nowhere else ever.
"""

import base64
import hashlib
import re
import secrets
import unicodedata
from datetime import datetime
from enum import Enum
from urllib.parse import quote, urlencode

import segno
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import transaction
from django.utils.safestring import SafeString, mark_safe

from orders.limits import refuse_above
from orders.problems import Problem
from payments_site.models import DIGITS, STEP_S, Authenticator, RecoveryCode

Person = User
CODES_PER_MINUTE = 5
RECOVERY_CODES = 10
_RECOVERY_BYTES = 15  # 120 bits, 24 letters
_SEPARATORS = re.compile(r"[\s\-]+")


class Proof(Enum):
    """What came of a code that somebody typed."""

    BY_APP = "app"
    BY_RECOVERY_CODE = "recovery"
    WRONG = "wrong"
    TOO_OFTEN = "too_often"
    PAUSED = "paused"

    @property
    def holds(self) -> bool:
        """Whether the person has proven to be who they say."""
        return self in (Proof.BY_APP, Proof.BY_RECOVERY_CODE)


def has_factor(person: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether this person has an authenticator that was confirmed."""
    return person.pk is not None and Authenticator.objects.filter(user_id=person.pk, confirmed=True).exists()


def factor_of(person: AbstractBaseUser | AnonymousUser) -> Authenticator | None:
    """The confirmed authenticator of a person."""
    newest: Authenticator | None = (
        Authenticator.objects.filter(user_id=person.pk, confirmed=True).order_by("-pk").first()
    )
    return newest


def prove(*, person: Person, typed: str, now: datetime) -> Proof:
    """Judge a code, of the app or a recovery code, and use it up when it is right."""
    code = _plain(typed)
    try:
        refuse_above(CODES_PER_MINUTE, key=f"factor:{person.pk}")
    except Problem:
        return Proof.TOO_OFTEN
    if not _looks_like_app_code(code):
        return Proof.BY_RECOVERY_CODE if _use_recovery_code(person, code, now) else Proof.WRONG
    with transaction.atomic():
        authenticator = Authenticator.objects.select_for_update().filter(user=person, confirmed=True).first()
        if authenticator is None:
            return Proof.WRONG
        if authenticator.paused_until(now=now):
            return Proof.PAUSED
        return Proof.BY_APP if authenticator.accept(code, now=now) else Proof.WRONG


# --- setting one up ---------------------------------------------------------------------------------------
def begin(person: Person) -> Authenticator:
    """A new authenticator with a new seed, not yet confirmed. Unfinished ones of this person are dropped.

    Never one that another browser began: whoever began it has seen the seed.
    """
    with transaction.atomic():
        Authenticator.objects.filter(user=person, confirmed=False).delete()
        authenticator: Authenticator = Authenticator.objects.create(
            user=person, name="authenticator", confirmed=False, seed_sealed=b""
        )
        authenticator.make_seed()
        authenticator.save(update_fields=["seed_sealed"])
    return authenticator


def confirm(*, authenticator: Authenticator, typed: str, now: datetime) -> tuple[Proof, list[str]]:
    """Make a begun authenticator the person's only one if the code fits. Returns new recovery codes, shown once."""
    try:
        refuse_above(CODES_PER_MINUTE, key=f"factor:{authenticator.user_id}")
    except Problem:
        return Proof.TOO_OFTEN, []
    with transaction.atomic():
        begun = Authenticator.objects.select_for_update().filter(pk=authenticator.pk, confirmed=False).first()
        if begun is None or not begun.accept(_plain(typed), now=now):
            return Proof.WRONG, []
        Authenticator.objects.filter(user_id=begun.user_id).exclude(pk=begun.pk).delete()
        begun.confirmed = True
        begun.save(update_fields=["confirmed"])
        return Proof.BY_APP, new_recovery_codes(begun.user)


def new_recovery_codes(person: Person) -> list[str]:
    """Ten new codes; those before stop working. Only their digests are kept."""
    codes = [_spaced(base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()) for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        RecoveryCode.objects.filter(user=person).delete()
        RecoveryCode.objects.bulk_create(RecoveryCode(user=person, digest=digest(_plain(code))) for code in codes)
    return codes


def recovery_codes_left(person: Person) -> int:
    """How many recovery codes have not been used."""
    return RecoveryCode.objects.filter(user=person, used_at__isnull=True).count()


def forget_factor(person: Person) -> bool:
    """Take authenticator and recovery codes away: the person sets up a new one at the next log-in."""
    with transaction.atomic():
        had = has_factor(person)
        Authenticator.objects.filter(user=person).delete()
        RecoveryCode.objects.filter(user=person).delete()
    return had


# --- showing a seed, once ---------------------------------------------------------------------------------
def seed_text(authenticator: Authenticator) -> str:
    """The seed in groups of four, for typing it into an app."""
    return _spaced(base64.b32encode(authenticator.seed()).decode(), " ")


def seed_picture(authenticator: Authenticator, *, issuer: str) -> SafeString:
    """The seed as a QR code: an SVG without style attributes, which a strict content policy would refuse."""
    person = authenticator.user.get_username()
    secret = base64.b32encode(authenticator.seed()).decode().rstrip("=")
    query = urlencode({"secret": secret, "issuer": issuer, "digits": DIGITS, "period": STEP_S}, quote_via=quote)
    address = f"otpauth://totp/{quote(issuer)}:{quote(person)}?{query}"
    drawn = segno.make_qr(address, error="m").svg_inline(
        border=3, dark="#000", light="#fff", svgclass="qr", omitsize=True
    )
    return mark_safe(drawn)  # noqa: S308  # drawn by segno from an address that is percent-encoded


# --- codes as people type them ----------------------------------------------------------------------------
def _plain(typed: str) -> str:
    """Without spaces and dashes, full-width figures as plain ones (a Chinese keyboard writes those)."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", typed[:200])).upper()


def _looks_like_app_code(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def _use_recovery_code(person: Person, code: str, now: datetime) -> bool:
    """One statement, so that of two who type it at once only one gets in."""
    unused = RecoveryCode.objects.filter(user=person, digest=digest(code), used_at__isnull=True)
    return unused.update(used_at=now) == 1


def digest(code: str) -> str:
    """What is kept of a code."""
    return hashlib.sha256(code.encode()).hexdigest()


def _spaced(text: str, between: str = "-") -> str:
    return between.join(text[start : start + 4] for start in range(0, len(text), 4))
