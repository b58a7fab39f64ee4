"""What stores need: their product on an attempt, who pays it, reviewers, deadlines of others. Before the deploy."""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0007_revenue_by_channel"),
    ]

    operations = [
        migrations.AddField(
            model_name="case",
            name="due_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="outside deadline"),
        ),
        migrations.AddField(
            model_name="paymentattempt",
            name="confirmed_at",
            field=models.DateTimeField(null=True, verbose_name="store told of delivery"),
        ),
        migrations.AddField(
            model_name="paymentattempt",
            name="handle",
            field=models.CharField(blank=True, db_default="", max_length=1000, verbose_name="provider's name for it"),
        ),
        migrations.AddField(
            model_name="paymentattempt",
            name="payer",
            field=models.CharField(blank=True, db_default="", max_length=128, verbose_name="who has to pay"),
        ),
        migrations.AddField(
            model_name="paymentattempt",
            name="store_product_id",
            field=models.CharField(blank=True, db_default="", max_length=255, verbose_name="store product"),
        ),
        migrations.AlterField(
            model_name="case",
            name="kind",
            field=models.CharField(
                choices=[
                    ("unknown_order", "money for an unknown order"),
                    ("amount_differs", "amount or currency differs"),
                    ("second_payment", "paid twice"),
                    ("late_payment", "paid after cancel"),
                    ("given_back", "paid and given back before it was booked"),
                    ("unmatched", "store purchase without an order"),
                    ("purchase_differs", "store purchase differs from the order"),
                    ("test_money", "play money for a real order"),
                    ("review", "money taken, provider not sure"),
                    ("undecided", "provider does not say whether it was paid"),
                    ("provider_refund", "refunded at the provider"),
                    ("refund_asked", "buyer asked the store for the money back"),
                    ("dispute", "payment disputed by the buyer's bank"),
                    ("unconfirmed", "store not told of a delivery"),
                    ("delivery_parked", "delivery stopped"),
                    ("webhook_parked", "game server was not told"),
                    ("handed_over", "a colleague asked for help"),
                    ("unreadable", "notification cannot be read"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="orderevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("created", "order created"),
                    ("attempt_opened", "payment opened at the provider"),
                    ("attempt_failed", "provider would not open the payment"),
                    ("attempt_closed", "payment closed at the provider"),
                    ("client_result", "client reported a result"),
                    ("paid", "paid"),
                    ("payment_held", "money arrived and is held"),
                    ("cancelled", "cancelled"),
                    ("delivery_requested", "game server asked to deliver"),
                    ("delivered", "delivered"),
                    ("delivery_parked", "delivery stopped, needs a person"),
                    ("refunded", "refunded"),
                    ("refund_notice", "provider told of a refund"),
                    ("refund_asked", "buyer asked the store for the money back"),
                    ("dispute", "buyer's bank disputes the payment"),
                    ("confirmed", "store was told of the delivery"),
                ],
                max_length=20,
                verbose_name="what",
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="hold_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("unknown_order", "no such order"),
                    ("amount_differs", "amount or currency differs"),
                    ("second_payment", "the order was already paid"),
                    ("late_payment", "paid after the order was cancelled"),
                    ("given_back", "given back at the provider before it was booked"),
                    ("unmatched", "bought in a store without an order of ours"),
                    ("purchase_differs", "the store sold something else, or to somebody else"),
                    ("test_money", "play money for a real order"),
                    ("review", "the provider itself is not sure"),
                ],
                max_length=20,
                verbose_name="held because",
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="source",
            field=models.CharField(
                choices=[
                    ("notification", "provider's notification"),
                    ("query", "we asked the provider"),
                    ("client", "client's receipt, verified"),
                    ("listing", "provider's own list"),
                ],
                max_length=12,
                verbose_name="proved by",
            ),
        ),
        migrations.CreateModel(
            name="Reviewer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.CharField(max_length=64, verbose_name="player")),
                ("until", models.DateTimeField(verbose_name="until")),
                ("note", models.CharField(max_length=200, verbose_name="who and why")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                (
                    "game",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reviewers",
                        to="orders.game",
                        verbose_name="game",
                    ),
                ),
            ],
            options={
                "verbose_name": "store reviewer",
                "verbose_name_plural": "store reviewers",
                "permissions": [("edit_reviewer", "Can list a store's reviewers, who pay with play money")],
                "constraints": [models.UniqueConstraint(fields=("game", "uid"), name="reviewer_once")],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewer",
            trigger=pgtrigger.compiler.Trigger(
                name="reviewer_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.reviewer', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'uid',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="0f438f96daddea3a773d4c0acbf3c9f15b8e53a9",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_reviewer_made_or_gone_990ed",
                    table="orders_reviewer",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="reviewer",
            trigger=pgtrigger.compiler.Trigger(
                name="reviewer_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'orders.reviewer', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'uid',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="46a13380cb30d83304da5fb01f01688797398fab",
                    operation="UPDATE",
                    pgid="pgtrigger_reviewer_changed_9a2fb",
                    table="orders_reviewer",
                    when="AFTER",
                ),
            ),
        ),
    ]
