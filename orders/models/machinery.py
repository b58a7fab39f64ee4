"""What the API keeps for itself: answers to repeat, and counters."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class IdempotencyRecord(models.Model):
    """The first answer to a request that carried an Idempotency-Key; repeated word for word."""

    caller = models.CharField(max_length=80)  # the game and environment, or the order of a client token
    key = models.CharField(max_length=255)
    request_sha256 = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    # Empty while the first request is still running.
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(null=True)

    class Meta:
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        constraints = [models.UniqueConstraint(name="idempotency_key_once", fields=("caller", "key"))]
        indexes = [models.Index("started_at", name="idempotency_started")]

    def __str__(self) -> str:
        return self.key


class RateCounter(models.Model):
    """How often something was done in one window. One atomic statement counts; an unlogged table holds it."""

    key = models.CharField(max_length=160)
    window = models.DateTimeField()
    count = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("rate counter")
        verbose_name_plural = _("rate counters")
        constraints = [models.UniqueConstraint(name="rate_counter_once", fields=("key", "window"))]
        indexes = [models.Index("window", name="rate_counter_window")]

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"
