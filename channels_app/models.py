"""The outside money world: sales channels, our accounts at providers, and every message providers sent us.

Knows no order: where a message belongs to one, its number is kept as text.
"""

import json
from collections.abc import Mapping
from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channels_app import vault
from channels_app.append_only import append_only
from channels_app.ids import uuid7
from channels_app.trail import trail


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
        triggers = trail("channel", subject="channels_app.channel", label="code")

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
    # What came of the last "check this account": {"at", "ok", "step", "said"}; empty when nobody has asked.
    last_check = models.JSONField(
        _("last check"), default=dict, db_default=models.Value({}, models.JSONField()), editable=False
    )
    # Up to when the provider's own list of what happened has been read (of providers that have one).
    listed_until = models.DateTimeField(_("provider's list read up to"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("merchant account")
        verbose_name_plural = _("merchant accounts")
        permissions = [("edit_account", "Can set up accounts, their keys and methods (with a second person)")]
        constraints = [
            models.CheckConstraint(name="account_environment_known", condition=Q(environment__in=Environment.values)),
            models.CheckConstraint(name="account_state_known", condition=Q(state__in=AccountState.values)),
        ]
        triggers = trail(
            "account",
            subject="channels_app.merchantaccount",
            label="code",
            hidden=("credentials_sealed",),
            quiet=("last_check", "listed_until", "updated_at"),
        )

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
        triggers = trail(
            "channel_method", subject="channels_app.channel", key="channel_id", thing="method", label="method"
        )

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
    ASKING = "asking", _("a hint: the provider is asked")


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
    # Of a hint: when the provider is asked next, and how often it was.
    ask_at = models.DateTimeField(_("asked next"), null=True)
    asked = models.PositiveSmallIntegerField(_("times asked"), default=0, db_default=0)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        permissions = [("view_raw_notification", "Can open the raw bytes and headers of a notification")]
        constraints = [
            models.CheckConstraint(name="notification_verdict_known", condition=Q(verdict__in=Verdict.values)),
            # I-24: a verdict says when it was reached.
            models.CheckConstraint(
                name="notification_judged_has_time",
                condition=Q(verdict__in=(Verdict.RECEIVED, Verdict.ASKING)) | Q(judged_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index("account", F("id").desc(), name="notification_newest"),
            BrinIndex("received_at", name="notification_received", autosummarize=True),
            models.Index("received_at", name="notification_unjudged", condition=Q(verdict=Verdict.RECEIVED)),
            models.Index("account", "received_at", name="notification_refused", condition=Q(verdict=Verdict.REFUSED)),
            models.Index("account", "ask_at", name="notification_hint", condition=Q(ask_at__isnull=False)),
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


class AuditEntry(models.Model):
    """One privileged change, or one look at what is private: who, what, why. Append-only (I-40).

    Rows are written in the transaction of the change itself: by triggers on the tables of settings, and by the
    console for what leaves no other row (reading, exporting, logging in, being refused). Never a secret.
    """

    at = models.DateTimeField(_("when"), db_default=Now())
    actor = models.CharField(_("who"), max_length=150)
    address = models.CharField(_("from address"), max_length=45, blank=True, db_default="")
    action = models.CharField(_("what"), max_length=40)
    subject = models.CharField(_("kind of row"), max_length=80, blank=True, db_default="")
    subject_id = models.CharField(_("row"), max_length=64, blank=True, db_default="")
    label = models.CharField(_("about"), max_length=200, blank=True, db_default="")
    reason = models.CharField(_("reason"), max_length=500, blank=True, db_default="")
    detail = models.JSONField(_("details"), default=dict)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit trail")
        constraints = [models.CheckConstraint(name="audit_names_somebody", condition=~Q(actor=""))]
        indexes = [
            models.Index("subject", "subject_id", F("id").desc(), name="audit_subject"),
            models.Index("actor", F("id").desc(), name="audit_actor"),
        ]
        triggers = [append_only("audit_append_only")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.label}"


class AuditSeal(models.Model):
    """A run of audit entries, sealed: its digest covers their contents and the seal before it.

    Made in batches by the worker, because a chain row by row would make every writer wait for the one before.
    """

    first_id = models.BigIntegerField(_("from entry"), unique=True)
    last_id = models.BigIntegerField(_("to entry"), unique=True)
    entries = models.PositiveIntegerField(_("entries"))
    previous = models.CharField(_("seal before"), max_length=64, blank=True)
    digest = models.CharField(_("seal"), max_length=64, unique=True)
    sealed_at = models.DateTimeField(_("sealed"), db_default=Now())

    class Meta:
        verbose_name = _("audit seal")
        verbose_name_plural = _("audit seals")
        triggers = [append_only("audit_seal_append_only")]

    def __str__(self) -> str:
        return self.digest[:12]


class ProposalState(models.TextChoices):
    """The life of a proposal."""

    WAITING = "waiting", _("waiting for a second person")
    DONE = "done", _("approved and done")
    REJECTED = "rejected", _("rejected")
    FAILED = "failed", _("approved, could not be done")
    EXPIRED = "expired", _("expired")


class Proposal(models.Model):
    """Something that takes two people (四眼): one asks, another does it. What was asked is frozen and sealed.

    `summary` is what may be shown of it: [[label, before, after], …]. The payload may carry keys, so it is sealed;
    its digest is what the second person approves.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    subject = models.CharField(_("about"), max_length=200)
    payload_sealed = models.BinaryField(editable=False)
    payload_sha256 = models.CharField(_("SHA-256 of what was asked"), max_length=64)
    summary = models.JSONField(_("what would change"), default=list)
    reason = models.CharField(_("reason"), max_length=500)
    ticket = models.CharField(_("ticket"), max_length=80, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("who asked")
    )
    requested_at = models.DateTimeField(_("asked"))
    expires_at = models.DateTimeField(_("expires"))
    state = models.CharField(_("state"), max_length=10, choices=ProposalState, default=ProposalState.WAITING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("who decided")
    )
    decided_at = models.DateTimeField(_("decided"), null=True)
    outcome = models.CharField(_("what came of it"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("proposal")
        verbose_name_plural = _("proposals")
        constraints = [
            models.CheckConstraint(name="proposal_state_known", condition=Q(state__in=ProposalState.values)),
            # Two people, whoever they are: superusers, commands and the API are no exception.
            models.CheckConstraint(
                name="proposal_takes_two",
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
            ),
            models.CheckConstraint(
                name="proposal_done_by_someone",
                condition=Q(state__in=("waiting", "expired")) | Q(decided_by__isnull=False, decided_at__isnull=False),
            ),
        ]
        indexes = [models.Index("requested_at", name="proposal_waiting", condition=Q(state="waiting"))]
        triggers = [
            pgtrigger.Protect(name="proposal_never_deleted", operation=pgtrigger.Delete),
            pgtrigger.ReadOnly(
                name="proposal_frozen",
                fields=[
                    "kind", "subject", "payload_sealed", "payload_sha256", "summary", "reason", "ticket",
                    "requested_by", "requested_at", "expires_at",
                ],
            ),
            # Once decided, for ever.
            pgtrigger.FSM(
                name="proposal_moves",
                field="state",
                transitions=[
                    ("waiting", "done"), ("waiting", "rejected"), ("waiting", "failed"), ("waiting", "expired"),
                ],
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.subject

    def _cell(self) -> bytes:
        return vault.place("channels_app_proposal", self.pk, "payload_sealed")
