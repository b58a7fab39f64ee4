"""Revenue added up: what `orders.revenue` keeps beside the timelines it is folded from.

A row is a sum of timeline events up to `RevenueCursor.folded_to`; later events are added when a figure is read, so
that what a person sees always equals the raw rows. Days and hours are the game's own (time zone and day turn).
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_app.models import Environment
from orders.models.catalogue import Game


class Revenue(models.Model):
    """What every row of sums is about, and what it adds up.

    `made` and `made_paid` belong to the time the orders were made and know no method (it is chosen later): of the
    orders made then so many are paid by now. `paid` and `gross_minor` belong to the time of payment on the provider's
    clock, refunds to the time of the refund.
    """

    game = models.ForeignKey(Game, models.PROTECT, related_name="+", verbose_name=_("game"), db_index=False)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    day = models.DateField(_("business day"))
    currency = models.CharField(_("currency"), max_length=3)
    channel_code = models.CharField(_("channel"), max_length=32)
    method = models.CharField(_("payment method"), max_length=30, blank=True)
    made = models.PositiveIntegerField(_("orders made"), default=0)
    made_paid = models.PositiveIntegerField(_("of them paid"), default=0)
    paid = models.PositiveIntegerField(_("orders paid"), default=0)
    gross_minor = models.PositiveBigIntegerField(_("gross in minor units"), default=0)
    refunds = models.PositiveIntegerField(_("refunds"), default=0)
    refunded_minor = models.PositiveBigIntegerField(_("refunded in minor units"), default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.game_id} {self.day} {self.channel_code} {self.gross_minor} {self.currency}"


class RevenueDay(Revenue):
    """One business day of one game, by channel, method, product, zone and currency."""

    product_code = models.CharField(_("product"), max_length=64)
    zone_id = models.CharField(_("zone"), max_length=64, blank=True)
    new_payers = models.PositiveIntegerField(_("first-time payers"), default=0)

    class Meta:
        verbose_name = _("revenue of a day")
        verbose_name_plural = _("revenue of days")
        constraints = [
            models.UniqueConstraint(
                name="revenue_day_once",
                fields=(
                    "game", "environment", "day", "currency", "channel_code", "method", "product_code", "zone_id",
                ),
            ),
        ]  # fmt: skip


class RevenueDayByChannel(Revenue):
    """The sums of RevenueDay without product and zone: a year of them is a few thousand rows.

    Reports that neither ask for nor group by product or zone read these. A game of many zones has nearly as many
    rows of RevenueDay as orders.
    """

    new_payers = models.PositiveIntegerField(_("first-time payers"), default=0)

    class Meta:
        verbose_name = _("revenue of a day by channel")
        verbose_name_plural = _("revenue of days by channel")
        constraints = [
            models.UniqueConstraint(
                name="revenue_day_by_channel_once",
                fields=("game", "environment", "day", "currency", "channel_code", "method"),
            ),
        ]


class RevenueHour(Revenue):
    """One hour of a business day (0 is the hour in which the day begins), by channel, method and currency.

    Beside the sums: how many attempts were opened, so that a provider's success rate can be told.
    """

    hour = models.PositiveSmallIntegerField(_("hour of the business day"))
    attempts = models.PositiveIntegerField(_("attempts opened"), default=0)

    class Meta:
        verbose_name = _("revenue of an hour")
        verbose_name_plural = _("revenue of hours")
        constraints = [
            models.UniqueConstraint(
                name="revenue_hour_once",
                fields=("game", "environment", "day", "hour", "currency", "channel_code", "method"),
            ),
        ]


class Payer(models.Model):
    """A player's first paid order: who has a row here is no first-time payer any more."""

    game = models.ForeignKey(Game, models.PROTECT, related_name="+", verbose_name=_("game"), db_index=False)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    uid = models.CharField(_("player"), max_length=64)
    first_event = models.BigIntegerField(_("first paid by event"))

    class Meta:
        verbose_name = _("payer")
        verbose_name_plural = _("payers")
        constraints = [models.UniqueConstraint(name="payer_once", fields=("game", "environment", "uid"))]

    def __str__(self) -> str:
        return self.uid


class RevenueCursor(models.Model):
    """How far the timelines are folded: every event up to `folded_to` is in the sums, none after it.

    `seen_to` is how far events had come when transaction id `seen_xid` was given out; once every older transaction
    has ended, no event up to it can still appear.
    """

    folded_to = models.BigIntegerField(_("folded up to event"), default=0)
    seen_to = models.BigIntegerField(default=0)
    seen_xid = models.BigIntegerField(default=0)
    folded_at = models.DateTimeField(_("folded"), null=True)

    class Meta:
        verbose_name = _("revenue cursor")
        verbose_name_plural = _("revenue cursors")
        constraints = [models.CheckConstraint(name="revenue_cursor_is_one", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return str(self.folded_to)
