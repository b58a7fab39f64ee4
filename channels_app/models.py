"""The outside money world: sales channels, our accounts at providers, and every message providers sent us.

Knows no order: where a message belongs to one, its number is kept as text.
"""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from channels_app import vault
from channels_app.ids import uuid7


class Environment(models.TextChoices):
    """Real money or play money; on every row, and the two never meet."""

    PRODUCTION = "production", _("production")
    SANDBOX = "sandbox", _("sandbox")


class Channel(models.Model):
    """A sales channel (渠道): where an order comes from. Never a payment provider."""

    code = models.SlugField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=100)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")

    def __str__(self) -> str:
        return self.code


class AccountState(models.TextChoices):
    """The life of a merchant account. Draining accounts open nothing new but still verify, query, refund."""

    ACTIVE = "active", _("active")
    DRAINING = "draining", _("draining")
    CLOSED = "closed", _("closed")


class MerchantAccount(models.Model):
    """Our account at a payment provider (商户号), with its keys. Orders stay pinned to the one they opened."""

    provider = models.CharField(_("provider"), max_length=20)
    code = models.SlugField(_("code"), max_length=40, unique=True)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    state = models.CharField(_("state"), max_length=10, choices=AccountState, default=AccountState.ACTIVE)
    credentials_sealed = models.BinaryField(editable=False)
    # Grows with every rotation; adapters are cached by (account, version).
    credentials_version = models.PositiveIntegerField(_("credentials version"), default=0)
    # What a person may see of the keys: merchant number, serials, fingerprints. Never a secret.
    summary = models.JSONField(_("summary"), default=dict)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("merchant account")
        verbose_name_plural = _("merchant accounts")
        constraints = [
            models.CheckConstraint(name="account_environment_known", condition=Q(environment__in=Environment.values)),
            models.CheckConstraint(name="account_state_known", condition=Q(state__in=AccountState.values)),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.code}"

    def _cell(self) -> bytes:
        return vault.place("channels_app_merchantaccount", self.pk, "credentials_sealed")

    def credentials(self) -> dict[str, Any]:
        """The decrypted credentials. Raises vault.VaultClosed."""
        opened: dict[str, Any] = json.loads(vault.unseal(self.credentials_sealed, at=self._cell()))
        return opened

    def set_credentials(self, credentials: Mapping[str, Any]) -> None:
        """Seal new credentials into this (saved) row; the caller saves."""
        self.credentials_sealed = vault.seal(json.dumps(dict(credentials)).encode(), at=self._cell())
        self.credentials_version += 1


class ChannelMethod(models.Model):
    """A way to pay that a channel offers, through one merchant account."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="methods", verbose_name=_("channel"))
    method = models.CharField(_("payment method"), max_length=30)
    account = models.ForeignKey(MerchantAccount, models.PROTECT, related_name="+", verbose_name=_("account"))
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("method on a channel")
        verbose_name_plural = _("methods on channels")
        constraints = [
            # A channel sends one method's money to one place: two accounts would make the choice a guess.
            models.UniqueConstraint(
                name="channel_method_once_per_environment", fields=("channel", "environment", "method")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel_id}:{self.method}"


class Verdict(models.TextChoices):
    """What became of one notification."""

    RECEIVED = "received", _("received, not judged yet")
    APPLIED = "applied", _("applied")
    DUPLICATE = "duplicate", _("duplicate")
    NO_OP = "no_op", _("nothing to do")
    HELD = "held", _("held for a person")
    ORPHAN = "orphan", _("no such order")
    FOREIGN = "foreign", _("another merchant's")
    REFUSED = "refused", _("not genuine")
    UNREADABLE = "unreadable", _("cannot be read now")


class Notification(models.Model):
    """One message of a provider, as it arrived (回调): written down before anything in it is believed.

    The bytes and headers are sealed: they carry payer names and signatures.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(
        MerchantAccount, models.PROTECT, related_name="+", verbose_name=_("account"), db_index=False
    )
    received_at = models.DateTimeField(_("received"))
    remote_addr = models.CharField(_("from address"), max_length=45, blank=True)
    raw_sealed = models.BinaryField(editable=False)
    body_sha256 = models.CharField(_("SHA-256 of the body"), max_length=64)
    body_size = models.PositiveIntegerField(_("size in bytes"))
    verdict = models.CharField(_("verdict"), max_length=12, choices=Verdict, default=Verdict.RECEIVED)
    failed_step = models.CharField(_("failed step"), max_length=40, blank=True)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    attempt_no = models.CharField(_("attempt number"), max_length=64, blank=True)
    transaction_id = models.CharField(_("provider transaction"), max_length=64, blank=True)
    judged_at = models.DateTimeField(_("judged"), null=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        permissions = [("view_raw_notification", "Can open the raw bytes and headers of a notification")]
        constraints = [
            models.CheckConstraint(name="notification_verdict_known", condition=Q(verdict__in=Verdict.values)),
            # I-24: a verdict says when it was reached.
            models.CheckConstraint(
                name="notification_judged_has_time",
                condition=Q(verdict=Verdict.RECEIVED) | Q(judged_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index("account", F("id").desc(), name="notification_newest"),
            BrinIndex("received_at", name="notification_received", autosummarize=True),
            models.Index("received_at", name="notification_unjudged", condition=Q(verdict=Verdict.RECEIVED)),
            models.Index("account", "received_at", name="notification_refused", condition=Q(verdict=Verdict.REFUSED)),
            models.Index("attempt_no", name="notification_attempt", condition=~Q(attempt_no="")),
            models.Index("transaction_id", name="notification_transaction", condition=~Q(transaction_id="")),
        ]

    def __str__(self) -> str:
        return str(self.id)


class RefusedTally(models.Model):
    """How many messages of one account were refused in one minute: the flood itself is not kept."""

    account = models.ForeignKey(MerchantAccount, models.CASCADE, related_name="+", verbose_name=_("account"))
    minute = models.DateTimeField(_("minute"))
    refused = models.PositiveIntegerField(_("refused"))

    class Meta:
        verbose_name = _("refused notifications per minute")
        verbose_name_plural = _("refused notifications per minute")
        constraints = [models.UniqueConstraint(name="refused_tally_once", fields=("account", "minute"))]

    def __str__(self) -> str:
        return f"{self.account_id} {self.minute:%H:%M} {self.refused}"
