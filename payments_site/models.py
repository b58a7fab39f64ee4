"""How people prove who they are: second factors, recovery codes, and the sessions that are open."""

import secrets
from datetime import datetime, timedelta
from hmac import compare_digest

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin, TimestampMixin
from django_otp.oath import hotp

from channels_app import vault
from channels_app.trail import trail

STEP_S = 30
DIGITS = 6
_SEED_BYTES = 20  # the length of an HMAC-SHA-1 key (RFC 4226, section 4)
_DRIFT_STEPS = 1
# Five tries a minute would find one code in a million within weeks: after this many wrong ones in a row, one try
# at a time.
_WRONG_IN_A_ROW = 10
_PAUSE = timedelta(minutes=15)


class Authenticator(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc]  # no types are published
    """An authenticator app of one person (TOTP, RFC 6238: 30 s steps, six digits, one step of drift either way).

    The seed is sealed in the vault. `last_step` is the newest time step that was accepted: a code works once.
    """

    seed_sealed = models.BinaryField(editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")
        triggers = trail(
            "authenticator",
            subject="auth.user",
            key="user_id",
            thing="authenticator app",
            label="name",
            hidden=("seed_sealed",),
            quiet=("last_step", "last_used_at", "throttling_failure_timestamp", "throttling_failure_count"),
        )

    def _cell(self) -> bytes:
        return vault.place("payments_site_authenticator", self.pk, "seed_sealed")

    def seed(self) -> bytes:
        """The secret shared with the app. Raises vault.VaultClosed."""
        return vault.unseal(self.seed_sealed, at=self._cell())

    def make_seed(self) -> None:
        """Seal a new seed into this (saved) row; the caller saves."""
        self.seed_sealed = vault.seal(secrets.token_bytes(_SEED_BYTES), at=self._cell())

    def rewrap_seed(self) -> bool:
        """Bring the seed under the newest vault key; False when it is there already. The caller saves."""
        sealed = bytes(self.seed_sealed)
        if vault.key_id_of(sealed) == vault.newest_key_id():
            return False
        self.seed_sealed = vault.rewrap(sealed, at=self._cell())
        return True

    def paused_until(self, *, now: datetime) -> datetime | None:
        """Until when no code is looked at, because too many in a row were wrong."""
        if self.throttling_failure_count < _WRONG_IN_A_ROW or self.throttling_failure_timestamp is None:
            return None
        until = self.throttling_failure_timestamp + _PAUSE
        return until if until > now else None

    def accept(self, code: str, *, now: datetime) -> bool:
        """Whether this is the code of now and has not been used. The row must be locked; what changed is saved."""
        if self.paused_until(now=now):
            return False
        seed, today = self.seed(), int(now.timestamp()) // STEP_S
        # All steps are computed and compared, so that the time taken says nothing.
        fitting = [
            step
            for step in range(today - _DRIFT_STEPS, today + _DRIFT_STEPS + 1)
            if compare_digest(f"{hotp(seed, step, DIGITS):0{DIGITS}d}".encode(), code.encode())
            and step > self.last_step
        ]
        if fitting:
            self.last_step, self.last_used_at = fitting[0], now
            self.throttling_failure_count, self.throttling_failure_timestamp = 0, None
        else:
            self.throttling_failure_count += 1
            self.throttling_failure_timestamp = now
        self.save(
            update_fields=[
                "last_step", "last_used_at", "throttling_failure_count", "throttling_failure_timestamp",
            ]
        )  # fmt: skip
        return bool(fitting)

    def verify_token(self, token: str) -> bool:
        """django-otp's own word for `accept`."""
        return self.accept(token, now=timezone.now())

    def verify_is_allowed(self) -> tuple[bool, dict[str, object] | None]:
        """django-otp's own word for `paused_until`."""
        until = self.paused_until(now=timezone.now())
        return until is None, {"locked_until": until} if until else None

    def get_throttle_factor(self) -> int:
        """How django-otp would space tries; ours pause instead (see `paused_until`)."""
        return 0


class RecoveryCode(models.Model):
    """A code that opens the console once when the authenticator is lost. Only its SHA-256 is kept (112 random bits)."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes", verbose_name=_("member of staff")
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    used_at = models.DateTimeField(_("used"), null=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        triggers = trail(
            "recovery_code", subject="auth.user", key="user_id", thing="recovery code", label="", hidden=("digest",)
        )

    def __str__(self) -> str:
        return str(_("used") if self.used_at else _("unused"))


class StaffSession(models.Model):
    """One open session of the console: where it came from, when it was last used, whether it was ended from afar."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="console_sessions", verbose_name=_("member of staff")
    )
    # The session's own key opens it, so only its digest is kept.
    key_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    address = models.CharField(_("from address"), max_length=45, blank=True)
    browser = models.CharField(_("browser"), max_length=200, blank=True)
    began_at = models.DateTimeField(_("began"))
    last_seen_at = models.DateTimeField(_("last used"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("console session")
        verbose_name_plural = _("console sessions")
        permissions = [("manage_staff", "Can say who works here and what they may do (with a second person)")]
        indexes = [models.Index("user", "began_at", name="staff_session_of_person")]

    def __str__(self) -> str:
        return f"{self.user} {self.began_at:%Y-%m-%d %H:%M}"

    def over(self, *, now: datetime) -> "SessionOver | None":
        """Why this session is no longer good, or None while it is."""
        if self.ended_at is not None:
            return SessionOver.ENDED
        if now - self.began_at >= timedelta(seconds=settings.CONSOLE_SESSION_S):
            return SessionOver.TOO_LONG
        if now - self.last_seen_at >= timedelta(seconds=settings.CONSOLE_IDLE_S):
            return SessionOver.IDLE
        return None


class SessionOver(models.TextChoices):
    """Why a session is over, as its owner reads it at the door."""

    ENDED = "ended", _("This session was ended.")
    TOO_LONG = "too_long", _("You had been logged in for a whole working day.")
    IDLE = "idle", _("Nothing was done for a while, so you were logged out.")
