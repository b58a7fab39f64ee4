"""Money that arrived, whatever it was for."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from channels_app.models import Environment, MerchantAccount
from orders.models.order import Order, PaymentAttempt


class ProofSource(models.TextChoices):
    """How the proof of a payment reached us."""

    NOTIFICATION = "notification", _("provider's notification")
    QUERY = "query", _("we asked the provider")
    CLIENT = "client", _("client's receipt, verified")
    LISTING = "listing", _("provider's own list")


class HoldReason(models.TextChoices):
    """Why money that arrived was not applied to an order. Each opens a case of the same name."""

    UNKNOWN_ORDER = "unknown_order", _("no such order")
    AMOUNT_DIFFERS = "amount_differs", _("amount or currency differs")
    SECOND_PAYMENT = "second_payment", _("the order was already paid")
    LATE_PAYMENT = "late_payment", _("paid after the order was cancelled")
    GIVEN_BACK = "given_back", _("given back at the provider before it was booked")
    UNMATCHED = "unmatched", _("bought in a store without an order of ours")
    PURCHASE_DIFFERS = "purchase_differs", _("the store sold something else, or to somebody else")
    TEST_MONEY = "test_money", _("play money for a real order")
    REVIEW = "review", _("the provider itself is not sure")


class Payment(models.Model):
    """Money that arrived (到账). Kept whatever it was for; at most one payment of an order is applied."""

    account = models.ForeignKey(
        MerchantAccount, models.PROTECT, related_name="+", verbose_name=_("account"), db_index=False
    )
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    transaction_id = models.CharField(_("provider transaction"), max_length=64)
    attempt_no = models.CharField(_("attempt number"), max_length=64)
    attempt = models.ForeignKey(
        PaymentAttempt, models.PROTECT, null=True, related_name="payments", verbose_name=_("attempt")
    )
    order = models.ForeignKey(
        Order, models.PROTECT, null=True, related_name="payments", verbose_name=_("order"), db_index=False
    )
    amount_minor = models.PositiveBigIntegerField(_("amount in minor units"))
    currency = models.CharField(_("currency"), max_length=3)
    applied = models.BooleanField(_("applied"))
    hold_reason = models.CharField(_("held because"), max_length=20, choices=HoldReason, blank=True)
    source = models.CharField(_("proved by"), max_length=12, choices=ProofSource)
    paid_at = models.DateTimeField(_("paid"))
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = [
            # I-04: a provider's transaction is booked once, however often it is told.
            models.UniqueConstraint(name="payment_booked_once", fields=("account", "transaction_id")),
            # I-05: a player can pay one order twice through two providers. Both payments are kept; only one
            # may count towards the order, the other waits for its refund.
            models.UniqueConstraint(name="payment_one_applied_per_order", fields=("order",), condition=Q(applied=True)),
            models.CheckConstraint(
                name="payment_applied_or_held",
                condition=Q(applied=True, hold_reason="", order__isnull=False)
                | (Q(applied=False) & ~Q(hold_reason="")),
            ),
        ]
        indexes = [
            models.Index("order", name="payment_order", condition=Q(order__isnull=False)),
            models.Index("transaction_id", name="payment_transaction"),
        ]
        triggers = [
            pgtrigger.Protect(name="payment_never_deleted", operation=pgtrigger.Delete),
            pgtrigger.ReadOnly(
                name="payment_facts_frozen",
                fields=[
                    "account", "environment", "transaction_id", "attempt_no", "amount_minor", "currency", "paid_at",
                    "received_at",
                ],
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.transaction_id
