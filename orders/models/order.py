"""An order, its attempts to be paid, and the timeline that proves its history."""

import pgtrigger
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from channels_app.append_only import append_only
from channels_app.models import Channel, Environment, MerchantAccount
from orders.models.catalogue import Game, Product


class OrderState(models.TextChoices):
    """Is it paid? (Whether it is delivered is another fact: DeliveryState.)"""

    PENDING = "pending", _("awaiting payment")
    PAID = "paid", _("paid")
    CANCELLED = "cancelled", _("cancelled")


ORDER_TRANSITIONS = {
    OrderState.PENDING: frozenset({OrderState.PAID, OrderState.CANCELLED}),
    # Money can arrive after we stopped waiting; a policy or a person may then take it.
    OrderState.CANCELLED: frozenset({OrderState.PAID}),
    OrderState.PAID: frozenset[OrderState](),
}


class DeliveryState(models.TextChoices):
    """How far the goods have come, as the floor above reports."""

    NONE = "none", _("nothing to deliver yet")
    PENDING = "pending", _("waiting for the game server")
    DELIVERED = "delivered", _("delivered")
    PARKED = "parked", _("stopped, needs a person")
    REVOKED = "revoked", _("taken back")


class CancelReason(models.TextChoices):
    """Why an order was cancelled."""

    GAME = "game", _("by the game server")
    PLAYER = "player", _("by the player")
    EXPIRED = "expired", _("not paid in time")


class Order(models.Model):
    """One purchase. Codes of game, product and channel are copied: they never change, and reading needs no join.

    `contents` is what the buyer was promised, frozen: [{"item_id", "name", "quantity", "bonus"}, …], for the
    whole order (quantities already multiplied). `paid_at` is the provider's clock, the other times are ours.
    """

    order_no = models.CharField(_("order number"), max_length=32, unique=True)
    game = models.ForeignKey(Game, models.PROTECT, related_name="+", verbose_name=_("game"), db_index=False)
    game_code = models.CharField(_("game"), max_length=32)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    client_ref = models.CharField(_("game's reference"), max_length=64)
    # What was asked, as a digest: a repeat with the same reference must ask for the same.
    request_sha256 = models.CharField(max_length=64, editable=False)
    uid = models.CharField(_("player"), max_length=64)
    zone_id = models.CharField(_("zone"), max_length=64, blank=True)
    role_id = models.CharField(_("role"), max_length=64, blank=True)
    product = models.ForeignKey(Product, models.PROTECT, related_name="+", verbose_name=_("product"), db_index=False)
    product_code = models.CharField(_("product"), max_length=64)
    product_name = models.CharField(_("product name"), max_length=100)
    quantity = models.PositiveIntegerField(_("quantity"))
    amount_minor = models.PositiveBigIntegerField(_("amount in minor units"))
    currency = models.CharField(_("currency"), max_length=3)
    contents = models.JSONField(_("contents"))
    fulfilment_mode = models.CharField(_("who holds the goods"), max_length=12)
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="+", verbose_name=_("channel"), db_index=False)
    channel_code = models.CharField(_("channel"), max_length=32)
    client_ip = models.CharField(_("player's address"), max_length=45, blank=True)
    attach = models.CharField(_("attached"), max_length=128, blank=True)
    state = models.CharField(_("payment"), max_length=10, choices=OrderState, default=OrderState.PENDING)
    cancel_reason = models.CharField(_("cancelled because"), max_length=10, choices=CancelReason, blank=True)
    delivery_state = models.CharField(_("delivery"), max_length=10, choices=DeliveryState, default=DeliveryState.NONE)
    method = models.CharField(_("payment method"), max_length=30, blank=True)
    transaction_id = models.CharField(_("provider transaction"), max_length=64, blank=True)
    refunded_minor = models.PositiveBigIntegerField(_("refunded in minor units"), default=0)
    version = models.PositiveIntegerField(_("version"), default=0)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("expires"))
    paid_at = models.DateTimeField(_("paid"), null=True)
    settled_at = models.DateTimeField(_("booked"), null=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True)

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        permissions = [
            ("export_orders", "Can export orders"),
            ("ask_provider", "Can ask the provider about an order"),
            ("list_orders", "Can list the orders of a day"),
            ("view_totals", "Can see totals and turnover"),
            ("reveal_personal", "Can reveal personal data, with a reason"),
            ("export_personal", "Can export personal data (with a second person)"),
            ("mark_paid", "Can mark an order paid with the provider's proof (with a second person)"),
            ("request_refund", "Can ask for a refund"),
            ("approve_refund", "Can approve a refund that a colleague asked for"),
            ("reconcile", "Can upload bills and compare the books with them"),
            ("resolve_difference", "Can resolve a difference between books and bill"),
            ("close_month", "Can close a month"),
        ]
        constraints = [
            # One reference of the game means one purchase, for ever: its retry can never buy twice.
            models.UniqueConstraint(name="order_client_ref_once", fields=("game", "client_ref")),
            models.CheckConstraint(name="order_state_known", condition=Q(state__in=OrderState.values)),
            models.CheckConstraint(
                name="order_delivery_state_known", condition=Q(delivery_state__in=DeliveryState.values)
            ),
            models.CheckConstraint(name="order_environment_known", condition=Q(environment__in=Environment.values)),
            models.CheckConstraint(name="order_amount_positive", condition=Q(amount_minor__gt=0, quantity__gt=0)),
            models.CheckConstraint(
                name="order_refunds_within_amount", condition=Q(refunded_minor__lte=F("amount_minor"))
            ),
            # Paid means: when, by which transaction, by which method. Nothing else may carry them.
            models.CheckConstraint(
                name="order_paid_is_complete",
                condition=(
                    Q(state=OrderState.PAID, paid_at__isnull=False, settled_at__isnull=False)
                    & ~Q(transaction_id="")
                    & ~Q(method="")
                )
                | (~Q(state=OrderState.PAID) & Q(paid_at__isnull=True, settled_at__isnull=True, transaction_id="")),
            ),
            # Goods never move before the money.
            models.CheckConstraint(
                name="order_unpaid_is_undelivered",
                condition=Q(state=OrderState.PAID) | Q(delivery_state=DeliveryState.NONE),
            ),
            models.CheckConstraint(
                name="order_times_in_order",
                condition=Q(expires_at__gt=F("created_at"))
                & (Q(settled_at__isnull=True) | Q(settled_at__gte=F("created_at")))
                & (Q(delivered_at__isnull=True) | Q(delivered_at__gte=F("settled_at"))),
            ),
            models.CheckConstraint(
                name="order_cancelled_is_complete",
                condition=~Q(state=OrderState.CANCELLED) | (Q(cancelled_at__isnull=False) & ~Q(cancel_reason="")),
            ),
        ]
        indexes = [
            models.Index("game", "environment", F("id").desc(), name="order_newest"),
            models.Index("game", "uid", F("id").desc(), name="order_player"),
            models.Index("channel", "state", F("created_at").desc(), F("id").desc(), name="order_channel_state"),
            # By time alone only figures are asked for: a hundredth of a B-tree's size, and no page is ordered by it.
            BrinIndex("created_at", name="order_created", autosummarize=True),
            models.Index("expires_at", name="order_expiring", condition=Q(state=OrderState.PENDING)),
            models.Index("transaction_id", name="order_transaction", condition=~Q(transaction_id="")),
            models.Index("game", "id", name="order_undelivered", condition=Q(delivery_state__in=("pending", "parked"))),
            models.Index("role_id", F("id").desc(), name="order_role", condition=~Q(role_id="")),
            models.Index("game", F("id").desc(), name="order_refunded", condition=Q(refunded_minor__gt=0)),
        ]
        triggers = [
            # I-22, I-23: only the edges of ORDER_TRANSITIONS, whoever writes.
            pgtrigger.FSM(
                name="order_state_moves",
                field="state",
                transitions=[("pending", "paid"), ("pending", "cancelled"), ("cancelled", "paid")],
            ),
            pgtrigger.Protect(name="order_never_deleted", operation=pgtrigger.Delete),
            # I-02, I-03, I-30: what was agreed is frozen when the order is made.
            pgtrigger.ReadOnly(
                name="order_terms_frozen",
                fields=[
                    "order_no", "game", "game_code", "environment", "client_ref", "request_sha256", "uid", "zone_id",
                    "role_id", "product", "product_code", "quantity", "amount_minor", "currency", "contents",
                    "fulfilment_mode", "channel", "channel_code", "created_at",
                ],
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.order_no

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself: cancelled, or paid with the goods delivered."""
        return self.state == OrderState.CANCELLED or self.delivery_state in (
            DeliveryState.DELIVERED,
            DeliveryState.REVOKED,
        )


class AttemptState(models.TextChoices):
    """The life of one payment attempt at a provider."""

    OPENING = "opening", _("being opened")
    OPEN = "open", _("open")
    PAID = "paid", _("paid")
    CLOSED = "closed", _("closed")
    FAILED = "failed", _("could not be opened")


ATTEMPT_ALIVE = (AttemptState.OPENING, AttemptState.OPEN)


class PaymentAttempt(models.Model):
    """One try to pay an order at one account. `attempt_no` is what the provider calls the merchant order number."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="attempts", verbose_name=_("order"))
    account = models.ForeignKey(
        MerchantAccount, models.PROTECT, related_name="+", verbose_name=_("account"), db_index=False
    )
    method = models.CharField(_("payment method"), max_length=30)
    attempt_no = models.CharField(_("attempt number"), max_length=32)
    state = models.CharField(_("state"), max_length=8, choices=AttemptState, default=AttemptState.OPENING)
    # The inputs (openid, return address, …) that the provider froze with the first call.
    inputs_sha256 = models.CharField(max_length=64, editable=False)
    expires_at = models.DateTimeField(_("expires at the provider"))
    provider_said = models.CharField(_("provider said"), max_length=60, blank=True)
    # The provider's own name for it (purchase token, intent, …); empty until we are told. Never a secret.
    handle = models.CharField(_("provider's name for it"), max_length=1000, blank=True, db_default="")
    # What a store has to sell for it, and who has to buy it there; frozen when it is opened.
    store_product_id = models.CharField(_("store product"), max_length=255, blank=True, db_default="")
    payer = models.CharField(_("who has to pay"), max_length=128, blank=True, db_default="")
    # When the store was told that the goods were delivered (of methods where it must be told).
    confirmed_at = models.DateTimeField(_("store told of delivery"), null=True)
    queries = models.PositiveIntegerField(_("times asked"), default=0)
    # When the provider is asked next; empty when there is nothing left to find out.
    next_query_at = models.DateTimeField(_("asked next"), null=True)
    created_at = models.DateTimeField(_("created"))
    closed_at = models.DateTimeField(_("closed"), null=True)

    class Meta:
        verbose_name = _("payment attempt")
        verbose_name_plural = _("payment attempts")
        constraints = [
            # The provider's side of "unique per merchant": a number never means two things.
            models.UniqueConstraint(name="attempt_no_once_per_account", fields=("account", "attempt_no")),
            models.CheckConstraint(name="attempt_state_known", condition=Q(state__in=AttemptState.values)),
        ]
        indexes = [
            models.Index(
                "account", "next_query_at", name="attempt_to_be_asked", condition=Q(next_query_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.attempt_no


class EventKind(models.TextChoices):
    """What can happen to an order, in the words of its timeline."""

    CREATED = "created", _("order created")
    ATTEMPT_OPENED = "attempt_opened", _("payment opened at the provider")
    ATTEMPT_FAILED = "attempt_failed", _("provider would not open the payment")
    ATTEMPT_CLOSED = "attempt_closed", _("payment closed at the provider")
    CLIENT_RESULT = "client_result", _("client reported a result")
    PAID = "paid", _("paid")
    PAYMENT_HELD = "payment_held", _("money arrived and is held")
    CANCELLED = "cancelled", _("cancelled")
    DELIVERY_REQUESTED = "delivery_requested", _("game server asked to deliver")
    DELIVERED = "delivered", _("delivered")
    DELIVERY_PARKED = "delivery_parked", _("delivery stopped, needs a person")
    REFUNDED = "refunded", _("refunded")
    REFUND_NOTICE = "refund_notice", _("provider told of a refund")
    REFUND_ASKED = "refund_asked", _("buyer asked the store for the money back")
    DISPUTE = "dispute", _("buyer's bank disputes the payment")
    CONFIRMED = "confirmed", _("store was told of the delivery")


class OrderEvent(models.Model):
    """One line of an order's timeline. Append-only; `actor` names the cause (I-24)."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="events", verbose_name=_("order"))
    kind = models.CharField(_("what"), max_length=20, choices=EventKind)
    at = models.DateTimeField(_("when"))
    actor = models.CharField(_("who"), max_length=80)
    data = models.JSONField(_("details"), default=dict)

    class Meta:
        verbose_name = _("order event")
        verbose_name_plural = _("order events")
        constraints = [models.CheckConstraint(name="order_event_has_cause", condition=~Q(actor=""))]
        triggers = [
            append_only("order_event_append_only"),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
