"""How people prove who they are: second factors, recovery codes, and the sessions that are open."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin, TimestampMixin

from channels_app import vault


class Authenticator(TimestampMixin, ThrottlingMixin, Device):
    """An authenticator app of one person (TOTP, RFC 6238: 30 s steps, six digits, one step of drift either way).

    The seed is sealed in the vault. `last_step` is the newest time step that was accepted: a code works once.
    """

    seed_sealed = models.BinaryField(editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")

    def _cell(self) -> bytes:
        return vault.place("payments_site_authenticator", self.pk, "seed_sealed")


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
        indexes = [models.Index("user", "began_at", name="staff_session_of_person")]

    def __str__(self) -> str:
        return f"{self.user} {self.began_at:%Y-%m-%d %H:%M}"
