"""Revenue of days without product and zone, for the usual reports. Before the deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0006_trail"),
    ]

    operations = [
        migrations.CreateModel(
            name="RevenueDayByChannel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "environment",
                    models.CharField(
                        choices=[("production", "production"), ("sandbox", "sandbox")],
                        max_length=10,
                        verbose_name="environment",
                    ),
                ),
                ("day", models.DateField(verbose_name="business day")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("channel_code", models.CharField(max_length=32, verbose_name="channel")),
                ("method", models.CharField(blank=True, max_length=30, verbose_name="payment method")),
                ("made", models.PositiveIntegerField(default=0, verbose_name="orders made")),
                ("made_paid", models.PositiveIntegerField(default=0, verbose_name="of them paid")),
                ("paid", models.PositiveIntegerField(default=0, verbose_name="orders paid")),
                ("gross_minor", models.PositiveBigIntegerField(default=0, verbose_name="gross in minor units")),
                ("refunds", models.PositiveIntegerField(default=0, verbose_name="refunds")),
                ("refunded_minor", models.PositiveBigIntegerField(default=0, verbose_name="refunded in minor units")),
                ("new_payers", models.PositiveIntegerField(default=0, verbose_name="first-time payers")),
                (
                    "game",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="orders.game",
                        verbose_name="game",
                    ),
                ),
            ],
            options={
                "verbose_name": "revenue of a day by channel",
                "verbose_name_plural": "revenue of days by channel",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("game", "environment", "day", "currency", "channel_code", "method"),
                        name="revenue_day_by_channel_once",
                    )
                ],
            },
        ),
    ]
