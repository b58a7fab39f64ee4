"""Games, the keys of their servers, who of the staff works for which, and what a game sells for how much."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from channels_app.models import Channel, Environment
from channels_app.trail import trail


class Game(models.Model):
    """One game of the studio. Its clock decides the business day and the date an order number begins with."""

    code = models.SlugField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=100)
    time_zone = models.CharField(_("time zone"), max_length=40, default="Asia/Shanghai")
    day_turns_at_hour = models.PositiveSmallIntegerField(_("day turns at hour"), default=0)
    # Where a player goes from the checkout: back into the game (often an app's own scheme), and to people who help.
    return_url = models.CharField(_("back to the game"), max_length=300, blank=True, db_default="")
    support_url = models.URLField(_("customer service"), max_length=300, blank=True, db_default="")
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("game")
        verbose_name_plural = _("games")
        constraints = [
            models.CheckConstraint(name="game_day_turn_hour", condition=Q(day_turns_at_hour__lte=23)),
        ]
        triggers = trail("game", subject="orders.game", label="code")

    def __str__(self) -> str:
        return self.code


class GameStaff(models.Model):
    """A member of staff who works for one game. Whoever has no such row works for all of them."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="games", verbose_name=_("member of staff")
    )
    game = models.ForeignKey(Game, models.CASCADE, related_name="+", verbose_name=_("game"))

    class Meta:
        verbose_name = _("game of a member of staff")
        verbose_name_plural = _("games of members of staff")
        constraints = [models.UniqueConstraint(name="game_staff_once", fields=("user", "game"))]
        triggers = trail("game_staff", subject="auth.user", key="user_id", thing="game", label="game_id")

    def __str__(self) -> str:
        return f"{self.user} {self.game}"


class Reviewer(models.Model):
    """A player who may pay a real order with play money: a store's reviewer, for a few days.

    A store reviews the very application that players use, and buys in its sandbox. Such a purchase is delivered to
    these players and nobody else, and never counts as revenue.
    """

    game = models.ForeignKey(Game, models.CASCADE, related_name="reviewers", verbose_name=_("game"))
    uid = models.CharField(_("player"), max_length=64)
    until = models.DateTimeField(_("until"))
    note = models.CharField(_("who and why"), max_length=200)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("store reviewer")
        verbose_name_plural = _("store reviewers")
        permissions = [("edit_reviewer", "Can list a store's reviewers, who pay with play money")]
        constraints = [models.UniqueConstraint(name="reviewer_once", fields=("game", "uid"))]
        triggers = trail("reviewer", subject="orders.reviewer", label="uid")

    def __str__(self) -> str:
        return self.uid


class Scope(models.TextChoices):
    """What an API key may do."""

    ORDERS = "orders", _("create, read, pay and cancel orders")
    CATALOGUE = "catalogue", _("read products and channels")
    PLAYERS = "players", _("read players, acknowledge deliveries")
    EVENTS = "events", _("read the event list")


def all_scopes() -> list[str]:
    """A new key may do everything a game server does."""
    return list(Scope.values)


class ApiKey(models.Model):
    """A game server's key. The key itself is shown once; only its SHA-256 is kept (it has 256 random bits)."""

    game = models.ForeignKey(Game, models.CASCADE, related_name="api_keys", verbose_name=_("game"))
    name = models.CharField(_("name"), max_length=60, blank=True)
    prefix = models.CharField(_("prefix"), max_length=24)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    scopes = ArrayField(models.CharField(max_length=20), verbose_name=_("scopes"), default=all_scopes)
    allowed_networks = ArrayField(
        models.CharField(max_length=50), verbose_name=_("allowed networks"), default=list, blank=True
    )
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        triggers = trail(
            "api_key", subject="orders.apikey", label="prefix", hidden=("digest",), quiet=("last_used_at",)
        )

    def __str__(self) -> str:
        return f"{self.prefix}…"


class Product(models.Model):
    """Something a game sells. Price and contents always come from here, never from a caller."""

    game = models.ForeignKey(Game, models.CASCADE, related_name="products", verbose_name=_("game"))
    product_id = models.CharField(_("product"), max_length=64)
    name = models.CharField(_("name"), max_length=100)
    is_active = models.BooleanField(_("on sale"), default=True)
    store_ids = models.JSONField(_("store product ids"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        permissions = [("edit_product", "Can change products, prices and contents (with a second person)")]
        constraints = [models.UniqueConstraint(name="product_once_per_game", fields=("game", "product_id"))]
        triggers = trail("product", subject="orders.product", label="product_id", quiet=("updated_at",))

    def __str__(self) -> str:
        return self.product_id


class ProductPrice(models.Model):
    """The price of a product in one currency; a row with a channel wins over the row without."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="prices", verbose_name=_("product"))
    currency = models.CharField(_("currency"), max_length=3)
    channel = models.ForeignKey(
        Channel, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("channel")
    )
    amount_minor = models.PositiveBigIntegerField(_("amount in minor units"))

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        constraints = [
            models.UniqueConstraint(name="price_once", fields=("product", "currency", "channel"), nulls_distinct=False),
            models.CheckConstraint(name="price_positive", condition=Q(amount_minor__gt=0)),
        ]
        triggers = trail("price", subject="orders.product", key="product_id", thing="price", label="currency")

    def __str__(self) -> str:
        return f"{self.amount_minor} {self.currency}"
