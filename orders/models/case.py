"""What needs a human, and what people wrote down about an order or a player."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from channels_app.append_only import append_only
from channels_app.models import Environment, MerchantAccount
from orders.models.catalogue import Game
from orders.models.order import Order
from orders.models.payment import Payment


class CaseKind(models.TextChoices):
    """What needs a human (差错/异常单)."""

    UNKNOWN_ORDER = "unknown_order", _("money for an unknown order")
    AMOUNT_DIFFERS = "amount_differs", _("amount or currency differs")
    SECOND_PAYMENT = "second_payment", _("paid twice")
    LATE_PAYMENT = "late_payment", _("paid after cancel")
    GIVEN_BACK = "given_back", _("paid and given back before it was booked")
    UNMATCHED = "unmatched", _("store purchase without an order")
    PURCHASE_DIFFERS = "purchase_differs", _("store purchase differs from the order")
    TEST_MONEY = "test_money", _("play money for a real order")
    REVIEW = "review", _("money taken, provider not sure")
    UNDECIDED = "undecided", _("provider does not say whether it was paid")
    PROVIDER_REFUND = "provider_refund", _("refunded at the provider")
    REFUND_ASKED = "refund_asked", _("buyer asked the store for the money back")
    DISPUTE = "dispute", _("payment disputed by the buyer's bank")
    UNCONFIRMED = "unconfirmed", _("store not told of a delivery")
    DELIVERY_PARKED = "delivery_parked", _("delivery stopped")
    WEBHOOK_PARKED = "webhook_parked", _("game server was not told")
    HANDED_OVER = "handed_over", _("a colleague asked for help")
    UNREADABLE_NOTIFICATION = "unreadable", _("notification cannot be read")


class Case(models.Model):
    """One thing that a person must look at. `subject` names what it is about, and opens at most once."""

    kind = models.CharField(_("kind"), max_length=20, choices=CaseKind)
    subject = models.CharField(_("about"), max_length=120)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    game = models.ForeignKey(Game, models.PROTECT, null=True, related_name="+", verbose_name=_("game"))
    order = models.ForeignKey(Order, models.PROTECT, null=True, related_name="cases", verbose_name=_("order"))
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="cases", verbose_name=_("payment"))
    account = models.ForeignKey(MerchantAccount, models.PROTECT, null=True, related_name="+", verbose_name=_("account"))
    amount_minor = models.BigIntegerField(_("amount in minor units"), null=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    # Who has taken it up, by user name; empty while it waits for anybody of the queue.
    assignee = models.CharField(_("who"), max_length=150, blank=True, db_default="")
    opened_at = models.DateTimeField(_("opened"))
    # Until when somebody outside waits for our answer (a bank, a store); otherwise the kind's own limit counts.
    due_at = models.DateTimeField(_("outside deadline"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    decision = models.CharField(_("decision"), max_length=40, blank=True)
    closed_by = models.CharField(_("closed by"), max_length=80, blank=True)
    note = models.CharField(_("reason"), max_length=500, blank=True, db_default="")

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        permissions = [("close_case", "Can close a case")]
        constraints = [
            models.UniqueConstraint(
                name="case_open_once", fields=("kind", "subject"), condition=Q(closed_at__isnull=True)
            ),
            # Nothing closes without a name and a decision.
            models.CheckConstraint(
                name="case_closed_by_someone",
                condition=Q(closed_at__isnull=True) | (~Q(closed_by="") & ~Q(decision="")),
            ),
        ]
        indexes = [models.Index("opened_at", name="case_open", condition=Q(closed_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"


class Note(models.Model):
    """What a member of staff wrote down about a player, or about one order of theirs. Append-only."""

    game = models.ForeignKey(Game, models.PROTECT, related_name="+", verbose_name=_("game"), db_index=False)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    uid = models.CharField(_("player"), max_length=64)
    order = models.ForeignKey(Order, models.PROTECT, null=True, related_name="notes", verbose_name=_("order"))
    at = models.DateTimeField(_("when"))
    author = models.CharField(_("who"), max_length=150)
    text = models.CharField(_("note"), max_length=1000)

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        indexes = [models.Index("game", "uid", F("id").desc(), name="note_player")]
        triggers = [append_only("note_append_only")]

    def __str__(self) -> str:
        return self.text[:40]
