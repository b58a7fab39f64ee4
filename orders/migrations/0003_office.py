"""Notes, jobs, revenue sums and who works for which game. Before the deploy."""

import channels_app.ids
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0002_office"),
        ("orders", "0002_rate_counter_unlogged"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ExportFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("part", models.PositiveSmallIntegerField(verbose_name="part")),
                ("name", models.CharField(max_length=200, verbose_name="file")),
                ("stored_as", models.CharField(editable=False, max_length=200)),
                ("rows", models.PositiveBigIntegerField(verbose_name="rows")),
                ("size", models.PositiveBigIntegerField(verbose_name="size in bytes")),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
            ],
            options={
                "verbose_name": "export file",
                "verbose_name_plural": "export files",
            },
        ),
        migrations.CreateModel(
            name="GameStaff",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ],
            options={
                "verbose_name": "game of a member of staff",
                "verbose_name_plural": "games of members of staff",
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.UUIDField(default=channels_app.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("export", "export"), ("bulk", "act on many orders")],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("asked", models.JSONField(verbose_name="what was asked")),
                ("title", models.CharField(max_length=300, verbose_name="what")),
                (
                    "environment",
                    models.CharField(
                        choices=[("production", "production"), ("sandbox", "sandbox")],
                        max_length=10,
                        verbose_name="environment",
                    ),
                ),
                ("requested_by", models.CharField(max_length=150, verbose_name="who asked")),
                (
                    "state",
                    models.CharField(
                        choices=[("queued", "waiting"), ("running", "running"), ("done", "done"), ("failed", "failed")],
                        default="queued",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("total", models.PositiveBigIntegerField(null=True, verbose_name="rows in all")),
                ("done", models.PositiveBigIntegerField(default=0, verbose_name="rows done")),
                ("tries", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                ("leased_until", models.DateTimeField(null=True, verbose_name="held until")),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="what went wrong")),
                ("created_at", models.DateTimeField(verbose_name="asked for")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.CreateModel(
            name="JobRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("acted", models.BooleanField(verbose_name="something was done")),
                ("words", models.CharField(max_length=300, verbose_name="what happened")),
            ],
            options={
                "verbose_name": "result for one order",
                "verbose_name_plural": "results for orders",
            },
        ),
        migrations.CreateModel(
            name="Note",
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
                ("uid", models.CharField(max_length=64, verbose_name="player")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("author", models.CharField(max_length=150, verbose_name="who")),
                ("text", models.CharField(max_length=1000, verbose_name="note")),
            ],
            options={
                "verbose_name": "note",
                "verbose_name_plural": "notes",
            },
        ),
        migrations.CreateModel(
            name="Payer",
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
                ("uid", models.CharField(max_length=64, verbose_name="player")),
                ("first_event", models.BigIntegerField(verbose_name="first paid by event")),
            ],
            options={
                "verbose_name": "payer",
                "verbose_name_plural": "payers",
            },
        ),
        migrations.CreateModel(
            name="RevenueCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("folded_to", models.BigIntegerField(default=0, verbose_name="folded up to event")),
                ("seen_to", models.BigIntegerField(default=0)),
                ("seen_xid", models.BigIntegerField(default=0)),
                ("folded_at", models.DateTimeField(null=True, verbose_name="folded")),
            ],
            options={
                "verbose_name": "revenue cursor",
                "verbose_name_plural": "revenue cursors",
            },
        ),
        migrations.CreateModel(
            name="RevenueDay",
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
                ("product_code", models.CharField(max_length=64, verbose_name="product")),
                ("zone_id", models.CharField(blank=True, max_length=64, verbose_name="zone")),
                ("made", models.PositiveIntegerField(default=0, verbose_name="orders made")),
                ("made_paid", models.PositiveIntegerField(default=0, verbose_name="of them paid")),
                ("paid", models.PositiveIntegerField(default=0, verbose_name="orders paid")),
                ("gross_minor", models.PositiveBigIntegerField(default=0, verbose_name="gross in minor units")),
                ("refunds", models.PositiveIntegerField(default=0, verbose_name="refunds")),
                ("refunded_minor", models.PositiveBigIntegerField(default=0, verbose_name="refunded in minor units")),
                ("new_payers", models.PositiveIntegerField(default=0, verbose_name="first-time payers")),
            ],
            options={
                "verbose_name": "revenue of a day",
                "verbose_name_plural": "revenue of days",
            },
        ),
        migrations.CreateModel(
            name="RevenueHour",
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
                ("hour", models.PositiveSmallIntegerField(verbose_name="hour of the business day")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("channel_code", models.CharField(max_length=32, verbose_name="channel")),
                ("method", models.CharField(blank=True, max_length=30, verbose_name="payment method")),
                ("made", models.PositiveIntegerField(default=0, verbose_name="orders made")),
                ("made_paid", models.PositiveIntegerField(default=0, verbose_name="of them paid")),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts opened")),
                ("paid", models.PositiveIntegerField(default=0, verbose_name="orders paid")),
                ("gross_minor", models.PositiveBigIntegerField(default=0, verbose_name="gross in minor units")),
                ("refunds", models.PositiveIntegerField(default=0, verbose_name="refunds")),
                ("refunded_minor", models.PositiveBigIntegerField(default=0, verbose_name="refunded in minor units")),
            ],
            options={
                "verbose_name": "revenue of an hour",
                "verbose_name_plural": "revenue of hours",
            },
        ),
        migrations.AddField(
            model_name="case",
            name="assignee",
            field=models.CharField(blank=True, db_default="", max_length=150, verbose_name="who"),
        ),
        migrations.AddField(
            model_name="game",
            name="return_url",
            field=models.CharField(blank=True, db_default="", max_length=300, verbose_name="back to the game"),
        ),
        migrations.AddField(
            model_name="game",
            name="support_url",
            field=models.URLField(blank=True, db_default="", max_length=300, verbose_name="customer service"),
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
                    ("undecided", "provider does not say whether it was paid"),
                    ("provider_refund", "refunded at the provider"),
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
                ],
                max_length=20,
                verbose_name="what",
            ),
        ),
        migrations.AddField(
            model_name="gamestaff",
            name="game",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="orders.game", verbose_name="game"
            ),
        ),
        migrations.AddField(
            model_name="gamestaff",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="games",
                to=settings.AUTH_USER_MODEL,
                verbose_name="member of staff",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="game",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="orders.game",
                verbose_name="game",
            ),
        ),
        migrations.AddField(
            model_name="exportfile",
            name="job",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="files", to="orders.job", verbose_name="job"
            ),
        ),
        migrations.AddField(
            model_name="jobrow",
            name="job",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="orders.job", verbose_name="job"
            ),
        ),
        migrations.AddField(
            model_name="jobrow",
            name="order",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="orders.order",
                verbose_name="order",
            ),
        ),
        migrations.AddField(
            model_name="note",
            name="game",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="orders.game",
                verbose_name="game",
            ),
        ),
        migrations.AddField(
            model_name="note",
            name="order",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="notes",
                to="orders.order",
                verbose_name="order",
            ),
        ),
        migrations.AddField(
            model_name="payer",
            name="game",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="orders.game",
                verbose_name="game",
            ),
        ),
        migrations.AddConstraint(
            model_name="revenuecursor",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="revenue_cursor_is_one"),
        ),
        migrations.AddField(
            model_name="revenueday",
            name="game",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="orders.game",
                verbose_name="game",
            ),
        ),
        migrations.AddField(
            model_name="revenuehour",
            name="game",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="orders.game",
                verbose_name="game",
            ),
        ),
        migrations.AddConstraint(
            model_name="gamestaff",
            constraint=models.UniqueConstraint(fields=("user", "game"), name="game_staff_once"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("created_at"), condition=models.Q(("state__in", ("queued", "running"))), name="job_unfinished"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("requested_by"), models.OrderBy(models.F("id"), descending=True), name="job_of_person"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["queued", "running", "done", "failed"])), name="job_state_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ("queued", "running")), ("finished_at__isnull", False), _connector="OR"
                ),
                name="job_finished_has_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="exportfile",
            constraint=models.UniqueConstraint(fields=("job", "part"), name="export_file_once"),
        ),
        migrations.AddConstraint(
            model_name="jobrow",
            constraint=models.UniqueConstraint(fields=("job", "order"), name="job_row_once"),
        ),
        migrations.AddIndex(
            model_name="note",
            index=models.Index(
                models.F("game"), models.F("uid"), models.OrderBy(models.F("id"), descending=True), name="note_player"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="note",
            trigger=pgtrigger.compiler.Trigger(
                name="note_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';",
                    hash="ace04ca9ba40aa0563c38b618acf8d1f3e051ec4",
                    level="STATEMENT",
                    operation="UPDATE OR DELETE OR TRUNCATE",
                    pgid="pgtrigger_note_append_only_7928a",
                    table="orders_note",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="payer",
            constraint=models.UniqueConstraint(fields=("game", "environment", "uid"), name="payer_once"),
        ),
        migrations.AddConstraint(
            model_name="revenueday",
            constraint=models.UniqueConstraint(
                fields=("game", "environment", "day", "currency", "channel_code", "method", "product_code", "zone_id"),
                name="revenue_day_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="revenuehour",
            constraint=models.UniqueConstraint(
                fields=("game", "environment", "day", "hour", "currency", "channel_code", "method"),
                name="revenue_hour_once",
            ),
        ),
    ]
