"""The audit trail and its seals, proposals that take two people. Before the deploy."""

import channels_app.ids
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first_id", models.BigIntegerField(unique=True, verbose_name="from entry")),
                ("last_id", models.BigIntegerField(unique=True, verbose_name="to entry")),
                ("entries", models.PositiveIntegerField(verbose_name="entries")),
                ("previous", models.CharField(blank=True, max_length=64, verbose_name="seal before")),
                ("digest", models.CharField(max_length=64, unique=True, verbose_name="seal")),
                (
                    "sealed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="sealed"),
                ),
            ],
            options={
                "verbose_name": "audit seal",
                "verbose_name_plural": "audit seals",
            },
        ),
        migrations.CreateModel(
            name="Proposal",
            fields=[
                (
                    "id",
                    models.UUIDField(default=channels_app.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("kind", models.CharField(max_length=40, verbose_name="kind")),
                ("subject", models.CharField(max_length=200, verbose_name="about")),
                ("payload_sealed", models.BinaryField()),
                ("payload_sha256", models.CharField(max_length=64, verbose_name="SHA-256 of what was asked")),
                ("summary", models.JSONField(default=list, verbose_name="what would change")),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("ticket", models.CharField(blank=True, max_length=80, verbose_name="ticket")),
                ("requested_at", models.DateTimeField(verbose_name="asked")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting for a second person"),
                            ("done", "approved and done"),
                            ("rejected", "rejected"),
                            ("failed", "approved, could not be done"),
                            ("expired", "expired"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided")),
                ("outcome", models.CharField(blank=True, max_length=300, verbose_name="what came of it")),
            ],
            options={
                "verbose_name": "proposal",
                "verbose_name_plural": "proposals",
            },
        ),
        migrations.AddField(
            model_name="merchantaccount",
            name="last_check",
            field=models.JSONField(
                db_default=models.Value({}, models.JSONField()), default=dict, editable=False, verbose_name="last check"
            ),
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="when")),
                ("actor", models.CharField(max_length=150, verbose_name="who")),
                ("address", models.CharField(blank=True, db_default="", max_length=45, verbose_name="from address")),
                ("action", models.CharField(max_length=40, verbose_name="what")),
                ("subject", models.CharField(blank=True, db_default="", max_length=80, verbose_name="kind of row")),
                ("subject_id", models.CharField(blank=True, db_default="", max_length=64, verbose_name="row")),
                ("label", models.CharField(blank=True, db_default="", max_length=200, verbose_name="about")),
                ("reason", models.CharField(blank=True, db_default="", max_length=500, verbose_name="reason")),
                ("detail", models.JSONField(default=dict, verbose_name="details")),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit trail",
                "indexes": [
                    models.Index(
                        models.F("subject"),
                        models.F("subject_id"),
                        models.OrderBy(models.F("id"), descending=True),
                        name="audit_subject",
                    ),
                    models.Index(
                        models.F("actor"), models.OrderBy(models.F("id"), descending=True), name="audit_actor"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("actor", ""), _negated=True), name="audit_names_somebody"
                    )
                ],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditentry",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';",
                    hash="b69d7a5057b3b13776cf118978617f88b1fe4ae8",
                    level="STATEMENT",
                    operation="UPDATE OR DELETE OR TRUNCATE",
                    pgid="pgtrigger_audit_append_only_5a7e9",
                    table="channels_app_auditentry",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditseal",
            trigger=pgtrigger.compiler.Trigger(
                name="audit_seal_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';",
                    hash="bc35bd6a3935a219d24a18054590dcdb5e007c91",
                    level="STATEMENT",
                    operation="UPDATE OR DELETE OR TRUNCATE",
                    pgid="pgtrigger_audit_seal_append_only_ff3fe",
                    table="channels_app_auditseal",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="decided_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="who decided",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="requested_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="who asked",
            ),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(
                models.F("requested_at"), condition=models.Q(("state", "waiting")), name="proposal_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "done", "rejected", "failed", "expired"])),
                name="proposal_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("decided_by__isnull", True),
                    models.Q(("decided_by", models.F("requested_by")), _negated=True),
                    _connector="OR",
                ),
                name="proposal_takes_two",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ("waiting", "expired")),
                    models.Q(("decided_at__isnull", False), ("decided_by__isnull", False)),
                    _connector="OR",
                ),
                name="proposal_done_by_someone",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="proposal",
            trigger=pgtrigger.compiler.Trigger(
                name="proposal_never_deleted",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;",
                    hash="824c8e66a192685570a8d120c48a96a170515486",
                    operation="DELETE",
                    pgid="pgtrigger_proposal_never_deleted_889aa",
                    table="channels_app_proposal",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="proposal",
            trigger=pgtrigger.compiler.Trigger(
                name="proposal_frozen",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."subject" IS DISTINCT FROM (NEW."subject") OR OLD."payload_sealed" IS DISTINCT FROM (NEW."payload_sealed") OR OLD."payload_sha256" IS DISTINCT FROM (NEW."payload_sha256") OR OLD."summary" IS DISTINCT FROM (NEW."summary") OR OLD."reason" IS DISTINCT FROM (NEW."reason") OR OLD."ticket" IS DISTINCT FROM (NEW."ticket") OR OLD."requested_by_id" IS DISTINCT FROM (NEW."requested_by_id") OR OLD."requested_at" IS DISTINCT FROM (NEW."requested_at") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at"))',
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;",
                    hash="ace87af6063275165e9551c1a4c3935cde93d1fa",
                    operation="UPDATE",
                    pgid="pgtrigger_proposal_frozen_0c275",
                    table="channels_app_proposal",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="proposal",
            trigger=pgtrigger.compiler.Trigger(
                name="proposal_moves",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE _is_valid_transition BOOLEAN;",
                    func='SELECT CONCAT(OLD."state", \':\', NEW."state") = ANY(\'{waiting:done,waiting:rejected,waiting:failed,waiting:expired}\'::text[]) INTO _is_valid_transition; IF (_is_valid_transition IS FALSE AND OLD."state" IS DISTINCT FROM NEW."state") THEN RAISE EXCEPTION \'pgtrigger: Invalid transition of field "state" from "%" to "%" on table %\', OLD."state", NEW."state", TG_TABLE_NAME; ELSE RETURN NEW; END IF;',
                    hash="e61a78044cc9a2b77ba53d93c351027713be3b7a",
                    operation="UPDATE",
                    pgid="pgtrigger_proposal_moves_f1749",
                    table="channels_app_proposal",
                    when="BEFORE",
                ),
            ),
        ),
    ]
