"""Hints that are asked about, and lists of providers that are read. Before the deploy.

The constraints are checked for what is written from now on; the next migration looks at what is there.
"""

import pgtrigger.compiler
import pgtrigger.migrations
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0004_trail"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="merchantaccount",
            name="account_made_or_gone",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="merchantaccount",
            name="account_changed",
        ),
        migrations.RemoveConstraint(
            model_name="notification",
            name="notification_verdict_known",
        ),
        migrations.RemoveConstraint(
            model_name="notification",
            name="notification_judged_has_time",
        ),
        migrations.AddField(
            model_name="merchantaccount",
            name="listed_until",
            field=models.DateTimeField(editable=False, null=True, verbose_name="provider's list read up to"),
        ),
        migrations.AddField(
            model_name="notification",
            name="ask_at",
            field=models.DateTimeField(null=True, verbose_name="asked next"),
        ),
        migrations.AddField(
            model_name="notification",
            name="asked",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name="times asked"),
        ),
        migrations.AlterField(
            model_name="notification",
            name="verdict",
            field=models.CharField(
                choices=[
                    ("received", "received, not judged yet"),
                    ("applied", "applied"),
                    ("duplicate", "duplicate"),
                    ("no_op", "nothing to do"),
                    ("held", "held for a person"),
                    ("orphan", "no such order"),
                    ("foreign", "another merchant's"),
                    ("refused", "not genuine"),
                    ("unreadable", "cannot be read now"),
                    ("asking", "a hint: the provider is asked"),
                ],
                default="received",
                max_length=12,
                verbose_name="verdict",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="merchantaccount",
            trigger=pgtrigger.compiler.Trigger(
                name="account_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.merchantaccount', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{credentials_sealed}', '{last_check,listed_until,updated_at}'\n    );\n    RETURN NULL;\n",
                    hash="932fe3bbbc0f76a4feaa16212b0a13b1b8237561",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_account_made_or_gone_d46d7",
                    table="channels_app_merchantaccount",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="merchantaccount",
            trigger=pgtrigger.compiler.Trigger(
                name="account_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."code" IS DISTINCT FROM (NEW."code") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."credentials_sealed" IS DISTINCT FROM (NEW."credentials_sealed") OR OLD."credentials_version" IS DISTINCT FROM (NEW."credentials_version") OR OLD."environment" IS DISTINCT FROM (NEW."environment") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."provider" IS DISTINCT FROM (NEW."provider") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."summary" IS DISTINCT FROM (NEW."summary"))',
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.merchantaccount', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{credentials_sealed}', '{last_check,listed_until,updated_at}'\n    );\n    RETURN NULL;\n",
                    hash="44d7402f2fa421f1eb3ffa67891bdd480f72e02d",
                    operation="UPDATE",
                    pgid="pgtrigger_account_changed_bb034",
                    table="channels_app_merchantaccount",
                    when="AFTER",
                ),
            ),
        ),
        AddConstraintNotValid(
            model_name="notification",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "verdict__in",
                        [
                            "received",
                            "applied",
                            "duplicate",
                            "no_op",
                            "held",
                            "orphan",
                            "foreign",
                            "refused",
                            "unreadable",
                            "asking",
                        ],
                    )
                ),
                name="notification_verdict_known",
            ),
        ),
        AddConstraintNotValid(
            model_name="notification",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("verdict__in", ("received", "asking")), ("judged_at__isnull", False), _connector="OR"
                ),
                name="notification_judged_has_time",
            ),
        ),
    ]
