"""Delivery: getting what was bought to the player, once, and telling everyone who should know.

Players, items, the goods ledger, deliveries, webhooks to the game server. Knows no payment provider.
"""

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from channels_app import vault
from channels_app.append_only import append_only
from channels_app.ids import uuid7
from channels_app.models import Environment
from channels_app.trail import trail
from orders.models import Game, Order, Product


class DeliveryMode(models.TextChoices):
    """Who holds the goods."""

    LEDGER = "ledger", _("our ledger")
    GAME_SERVER = "game_server", _("the game server")


class DeliveryPolicy(models.Model):
    """How one game wants its goods delivered. A game without a row uses the ledger."""

    game = models.OneToOneField(Game, models.CASCADE, related_name="delivery_policy", verbose_name=_("game"))
    mode = models.CharField(_("who holds the goods"), max_length=12, choices=DeliveryMode, default=DeliveryMode.LEDGER)

    class Meta:
        verbose_name = _("delivery policy")
        verbose_name_plural = _("delivery policies")
        constraints = [models.CheckConstraint(name="delivery_mode_known", condition=Q(mode__in=DeliveryMode.values))]
        triggers = trail("policy", subject="orders.game", key="game_id", thing="delivery policy", label="mode")

    def __str__(self) -> str:
        return self.mode


class Player(models.Model):
    """A player of one game in one environment: sandbox goods stand on accounts of their own."""

    game = models.ForeignKey(Game, models.PROTECT, related_name="+", verbose_name=_("game"), db_index=False)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    uid = models.CharField(_("player"), max_length=64)
    created_at = models.DateTimeField(_("first seen"))

    class Meta:
        verbose_name = _("player")
        verbose_name_plural = _("players")
        constraints = [models.UniqueConstraint(name="player_once", fields=("game", "environment", "uid"))]
        indexes = [models.Index("uid", name="player_uid")]

    def __str__(self) -> str:
        return self.uid


class ItemKind(models.TextChoices):
    """Currencies keep paid and free quantities apart for the books; items do not need it but do it too."""

    CURRENCY = "currency", _("currency")
    ITEM = "item", _("item")


class Item(models.Model):
    """Something a player can own: a currency or an item."""

    game = models.ForeignKey(Game, models.CASCADE, related_name="items", verbose_name=_("game"))
    item_id = models.CharField(_("item"), max_length=64)
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=10, choices=ItemKind, default=ItemKind.ITEM)

    class Meta:
        verbose_name = _("item")
        verbose_name_plural = _("items")
        constraints = [models.UniqueConstraint(name="item_once_per_game", fields=("game", "item_id"))]
        triggers = trail("item", subject="fulfillment.item", label="item_id")

    def __str__(self) -> str:
        return self.item_id


class ProductGrant(models.Model):
    """What one piece of a product gives: `quantity` paid for, `bonus` on top for free."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="grants", verbose_name=_("product"))
    item = models.ForeignKey(Item, models.PROTECT, related_name="+", verbose_name=_("item"))
    quantity = models.PositiveBigIntegerField(_("quantity"))
    bonus = models.PositiveBigIntegerField(_("bonus"), default=0)

    class Meta:
        verbose_name = _("product grant")
        verbose_name_plural = _("product grants")
        constraints = [
            models.UniqueConstraint(name="grant_once_per_item", fields=("product", "item")),
            models.CheckConstraint(name="grant_gives_something", condition=Q(quantity__gt=0) | Q(bonus__gt=0)),
        ]
        triggers = trail("grant", subject="orders.product", key="product_id", thing="contents", label="item_id")

    def __str__(self) -> str:
        return f"{self.quantity}+{self.bonus}"


class DeliveryStatus(models.TextChoices):
    """The life of one delivery."""

    PENDING = "pending", _("waiting for the game server")
    DELIVERED = "delivered", _("delivered")
    PARKED = "parked", _("stopped, needs a person")
    REVOKED = "revoked", _("taken back")


class Delivery(models.Model):
    """The goods of one paid order on their way to one player. At most one live delivery per order (I-01)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="deliveries", verbose_name=_("order"), db_index=False)
    order_no = models.CharField(_("order number"), max_length=32)
    player = models.ForeignKey(
        Player, models.PROTECT, related_name="deliveries", verbose_name=_("player"), db_index=False
    )
    zone_id = models.CharField(_("zone"), max_length=64, blank=True)
    role_id = models.CharField(_("role"), max_length=64, blank=True)
    mode = models.CharField(_("who holds the goods"), max_length=12, choices=DeliveryMode)
    state = models.CharField(_("state"), max_length=10, choices=DeliveryStatus)
    receipt = models.CharField(_("game's receipt"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"))
    delivered_at = models.DateTimeField(_("delivered"), null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        permissions = [
            ("redeliver", "Can deliver again what was paid"),
            ("request_grant", "Can ask for goods to be given by hand"),
            ("approve_grant", "Can approve goods that a colleague asked for"),
        ]
        constraints = [
            # I-01: however many proofs, retries and people ask for it, goods leave once.
            models.UniqueConstraint(
                name="delivery_one_live_per_order", fields=("order",), condition=~Q(state="revoked")
            ),
            models.CheckConstraint(name="delivery_state_known", condition=Q(state__in=DeliveryStatus.values)),
            models.CheckConstraint(
                name="delivery_delivered_has_time",
                condition=~Q(state="delivered") | Q(delivered_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index("player", F("id").desc(), name="delivery_player"),
            models.Index("state", "id", name="delivery_waiting", condition=Q(state__in=("pending", "parked"))),
        ]
        triggers = [
            pgtrigger.FSM(
                name="delivery_state_moves",
                field="state",
                transitions=[
                    ("pending", "delivered"),
                    ("pending", "parked"),
                    ("parked", "pending"),
                    ("parked", "delivered"),
                    ("delivered", "revoked"),
                ],
            ),
            pgtrigger.Protect(name="delivery_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return str(self.id)


class DeliveryLine(models.Model):
    """One item of a delivery, in detail: what was paid for and what was added for free."""

    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="lines", verbose_name=_("delivery"))
    item = models.ForeignKey(Item, models.PROTECT, related_name="+", verbose_name=_("item"), db_index=False)
    quantity = models.PositiveBigIntegerField(_("quantity"))
    bonus = models.PositiveBigIntegerField(_("bonus"))

    class Meta:
        verbose_name = _("delivery line")
        verbose_name_plural = _("delivery lines")
        constraints = [models.UniqueConstraint(name="delivery_line_once", fields=("delivery", "item"))]
        triggers = [
            append_only("delivery_line_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity}+{self.bonus}"


class LedgerAccount(models.TextChoices):
    """Whose account an entry stands on: a player's, or one of the house's counter-accounts."""

    PLAYER = "player", _("player")
    SOLD = "sold", _("sold")


class LedgerReason(models.TextChoices):
    """Why goods moved."""

    PURCHASE = "purchase", _("purchase")


class LedgerEntry(models.Model):
    """One signed movement of one item on one account. Append-only; the entries of a transfer sum to zero (I-12).

    Paid and free parts are kept apart. On a player's account the database itself moves the balance and
    writes the balance after the entry, so Σ entries = balance by construction (I-11): see the triggers.
    """

    transfer = models.UUIDField(_("transfer"))
    account = models.CharField(_("account"), max_length=10, choices=LedgerAccount)
    player = models.ForeignKey(
        Player, models.PROTECT, null=True, related_name="+", verbose_name=_("player"), db_index=False
    )
    item = models.ForeignKey(Item, models.PROTECT, related_name="+", verbose_name=_("item"), db_index=False)
    paid = models.BigIntegerField(_("paid quantity"))
    free = models.BigIntegerField(_("free quantity"))
    paid_after = models.BigIntegerField(_("paid balance after"), null=True, editable=False)
    free_after = models.BigIntegerField(_("free balance after"), null=True, editable=False)
    reason = models.CharField(_("reason"), max_length=10, choices=LedgerReason)
    delivery = models.ForeignKey(
        Delivery, models.PROTECT, null=True, related_name="entries", verbose_name=_("delivery")
    )
    order_no = models.CharField(_("order number"), max_length=32, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("goods ledger")
        constraints = [
            models.CheckConstraint(
                name="ledger_player_account_has_player",
                condition=Q(account="player", player__isnull=False) | (~Q(account="player") & Q(player__isnull=True)),
            ),
            models.CheckConstraint(name="ledger_moves_something", condition=~Q(paid=0, free=0)),
        ]
        indexes = [
            models.Index("player", F("id").desc(), name="ledger_player", condition=Q(player__isnull=False)),
        ]
        triggers = [
            append_only("ledger_append_only"),
            # I-11: an entry cannot exist without its balance having moved, nor the other way round.
            pgtrigger.Trigger(
                name="ledger_moves_balance",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                condition=pgtrigger.Q(new__account="player"),
                # The update comes first: an insert would be held against balance_not_negative by its own numbers,
                # before the conflict with what the player has is seen.
                func="""
                    UPDATE fulfillment_balance AS b SET paid = b.paid + NEW.paid, free = b.free + NEW.free
                    WHERE b.player_id = NEW.player_id AND b.item_id = NEW.item_id
                    RETURNING b.paid, b.free INTO NEW.paid_after, NEW.free_after;
                    IF NOT FOUND THEN
                        INSERT INTO fulfillment_balance AS b (player_id, item_id, paid, free)
                        VALUES (NEW.player_id, NEW.item_id, NEW.paid, NEW.free)
                        ON CONFLICT (player_id, item_id)
                        DO UPDATE SET paid = b.paid + NEW.paid, free = b.free + NEW.free
                        RETURNING b.paid, b.free INTO NEW.paid_after, NEW.free_after;
                    END IF;
                    RETURN NEW;
                """,
            ),
            # I-12: goods come from somewhere. A transfer is inserted by one statement, and sums to zero.
            pgtrigger.Trigger(
                name="ledger_sums_to_zero",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_entries"),  # type: ignore[no-untyped-call]  # pgtrigger's
                func="""
                    IF EXISTS (
                        SELECT 1 FROM new_entries GROUP BY transfer, item_id
                        HAVING sum(paid) <> 0 OR sum(free) <> 0
                    ) THEN
                        RAISE EXCEPTION 'a ledger transfer does not sum to zero' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NULL;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.paid}/{self.free}"


class Balance(models.Model):
    """What a player owns of one item. Written by the ledger's trigger alone; never negative (I-13)."""

    player = models.ForeignKey(
        Player, models.PROTECT, related_name="balances", verbose_name=_("player"), db_index=False
    )
    item = models.ForeignKey(Item, models.PROTECT, related_name="+", verbose_name=_("item"), db_index=False)
    paid = models.BigIntegerField(_("paid quantity"))
    free = models.BigIntegerField(_("free quantity"))

    class Meta:
        verbose_name = _("balance")
        verbose_name_plural = _("balances")
        constraints = [
            models.UniqueConstraint(name="balance_once", fields=("player", "item")),
            models.CheckConstraint(name="balance_not_negative", condition=Q(paid__gte=0, free__gte=0)),
        ]
        triggers = [
            # Depth 1 is this trigger itself: the statement came from outside, not from the ledger's trigger.
            pgtrigger.Trigger(
                name="balance_moves_only_with_ledger",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
                func="""
                    IF pg_trigger_depth() < 2 THEN
                        RAISE EXCEPTION 'a balance moves only with a ledger entry' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.paid}+{self.free}"


class EndpointState(models.TextChoices):
    """Whether a game server is being told things."""

    ACTIVE = "active", _("active")
    PAUSED = "paused", _("paused")
    DISABLED = "disabled", _("switched off by its answer 410")


class WebhookEndpoint(models.Model):
    """The address of a game server. Secrets are sealed; several are valid during a rotation.

    Health is kept per endpoint: after several failures in a row only a probe is sent, and its first success
    releases everything that waits.
    """

    game = models.ForeignKey(Game, models.CASCADE, related_name="endpoints", verbose_name=_("game"))
    url = models.URLField(_("address"), max_length=500)
    secrets_sealed = models.BinaryField(editable=False)
    state = models.CharField(_("state"), max_length=10, choices=EndpointState, default=EndpointState.ACTIVE)
    failures_in_a_row = models.PositiveIntegerField(_("failures in a row"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True)
    next_probe_at = models.DateTimeField(_("next probe"), null=True)
    last_success_at = models.DateTimeField(_("last success"), null=True)
    last_error = models.CharField(_("last error"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")
        permissions = [("edit_endpoint", "Can change a game server's address and secret (with a second person)")]
        constraints = [
            models.UniqueConstraint(name="endpoint_one_per_game", fields=("game",)),
            models.CheckConstraint(name="endpoint_state_known", condition=Q(state__in=EndpointState.values)),
        ]
        triggers = trail(
            "endpoint",
            subject="fulfillment.webhookendpoint",
            label="url",
            hidden=("secrets_sealed",),
            quiet=("failures_in_a_row", "failing_since", "next_probe_at", "last_success_at", "last_error"),
        )

    def __str__(self) -> str:
        return self.url

    def _cell(self) -> bytes:
        return vault.place("fulfillment_webhookendpoint", self.pk, "secrets_sealed")

    def secrets(self) -> list[str]:
        """The `whsec_` secrets, newest first. Raises vault.VaultClosed."""
        return vault.unseal(self.secrets_sealed, at=self._cell()).decode().split()

    def set_secrets(self, secrets: list[str]) -> None:
        """Seal the secrets (newest first) into this saved row; the caller saves."""
        self.secrets_sealed = vault.seal(" ".join(secrets).encode(), at=self._cell())


class GameEvent(models.Model):
    """Something a game is told, in the very words it is told (I-26). Append-only; kept 30 days for catching up.

    `seq` orders the events of one order. For a whole game `(xid, seq)` is the order that never shows a gap:
    a number is taken before its transaction commits, so by `seq` alone a slow transaction would be missed.
    """

    seq = models.BigAutoField(primary_key=True)
    event_id = models.CharField(_("event"), max_length=40, unique=True)
    xid = models.BigIntegerField(editable=False)
    game = models.ForeignKey(Game, models.PROTECT, related_name="+", verbose_name=_("game"), db_index=False)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    type = models.CharField(_("type"), max_length=30)
    order_no = models.CharField(_("order number"), max_length=32, blank=True)
    body = models.TextField(_("body"))
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("game event")
        verbose_name_plural = _("game events")
        indexes = [
            models.Index("game", "environment", "xid", "seq", name="game_event_catch_up"),
            models.Index("order_no", "seq", name="game_event_order", condition=~Q(order_no="")),
        ]
        triggers = [pgtrigger.Protect(name="game_event_frozen", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.type} {self.order_no}"


class MessageState(models.TextChoices):
    """The life of one webhook message. Nothing is ever dropped."""

    WAITING = "waiting", _("waiting")
    DELIVERED = "delivered", _("told")
    PARKED = "parked", _("stopped, needs a person")


# Whoever sends a message holds it so many seconds; what is due sooner may be on its way. Longer than the longest try
# (15 s), so that only a dead dispatcher's message is taken over.
LEASE_S = 20.0


class WebhookMessage(models.Model):
    """The duty to tell one endpoint one event: this row is the outbox, inserted with the fact itself."""

    event = models.ForeignKey(GameEvent, models.CASCADE, related_name="messages", verbose_name=_("event"))
    endpoint = models.ForeignKey(
        WebhookEndpoint, models.PROTECT, related_name="+", verbose_name=_("endpoint"), db_index=False
    )
    state = models.CharField(_("state"), max_length=10, choices=MessageState, default=MessageState.WAITING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    # While a dispatcher sends it, the row is leased until this time; a dead dispatcher's lease runs out.
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True)
    created_at = models.DateTimeField(_("created"))
    delivered_at = models.DateTimeField(_("told"), null=True)
    last_status = models.PositiveSmallIntegerField(_("last status"), null=True)
    last_error = models.CharField(_("last error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("webhook message")
        verbose_name_plural = _("webhook messages")
        constraints = [
            models.UniqueConstraint(name="message_once_per_endpoint", fields=("event", "endpoint")),
            models.CheckConstraint(name="message_state_known", condition=Q(state__in=MessageState.values)),
            models.CheckConstraint(
                name="message_waiting_has_time",
                condition=(Q(state="waiting") & Q(next_attempt_at__isnull=False))
                | (~Q(state="waiting") & Q(next_attempt_at__isnull=True)),
            ),
        ]
        indexes = [
            models.Index("endpoint", "next_attempt_at", "id", name="message_due", condition=Q(state="waiting")),
            models.Index("endpoint", "id", name="message_parked", condition=Q(state="parked")),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class WebhookAttempt(models.Model):
    """One try to tell an endpoint: what it answered and how long it took."""

    message = models.ForeignKey(WebhookMessage, models.CASCADE, related_name="tries", verbose_name=_("message"))
    at = models.DateTimeField(_("when"))
    duration_ms = models.PositiveIntegerField(_("took, ms"))
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    error = models.CharField(_("error"), max_length=200, blank=True)
    answer = models.CharField(_("answer"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("webhook attempt")
        verbose_name_plural = _("webhook attempts")

    def __str__(self) -> str:
        return f"{self.status or self.error}"
