"""The database writes down every change of settings. Before the deploy."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0004_trail"),
        ("payments_site", "0002_permissions"),
    ]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name="authenticator",
            trigger=pgtrigger.compiler.Trigger(
                name="authenticator_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'auth.user', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'user_id', 'authenticator app',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'name',\n        to_jsonb(OLD), to_jsonb(NEW), '{seed_sealed}', '{last_step,last_used_at,throttling_failure_timestamp,throttling_failure_count}'\n    );\n    RETURN NULL;\n",
                    hash="fbdec863289d0382dfd6bef2f709e397e574ca4b",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_authenticator_made_or_gone_54078",
                    table="payments_site_authenticator",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="authenticator",
            trigger=pgtrigger.compiler.Trigger(
                name="authenticator_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."confirmed" IS DISTINCT FROM (NEW."confirmed") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."seed_sealed" IS DISTINCT FROM (NEW."seed_sealed") OR OLD."user_id" IS DISTINCT FROM (NEW."user_id"))',
                    func="\n    PERFORM channels_app_write_down(\n        'auth.user', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'user_id', 'authenticator app',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'name',\n        to_jsonb(OLD), to_jsonb(NEW), '{seed_sealed}', '{last_step,last_used_at,throttling_failure_timestamp,throttling_failure_count}'\n    );\n    RETURN NULL;\n",
                    hash="3e4269aa0658a583d3e2512abb7bf2db87dd18c7",
                    operation="UPDATE",
                    pgid="pgtrigger_authenticator_changed_5b9cb",
                    table="payments_site_authenticator",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="recoverycode",
            trigger=pgtrigger.compiler.Trigger(
                name="recovery_code_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'auth.user', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'user_id', 'recovery code',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> '',\n        to_jsonb(OLD), to_jsonb(NEW), '{digest}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="bb40eba8a4faa79966f0db4dc2c30b0181d62d87",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_recovery_code_made_or_gone_ff850",
                    table="payments_site_recoverycode",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="recoverycode",
            trigger=pgtrigger.compiler.Trigger(
                name="recovery_code_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'auth.user', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'user_id', 'recovery code',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> '',\n        to_jsonb(OLD), to_jsonb(NEW), '{digest}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="bedad556598a99f325b6367e67f827ebf9538793",
                    operation="UPDATE",
                    pgid="pgtrigger_recovery_code_changed_987ac",
                    table="payments_site_recoverycode",
                    when="AFTER",
                ),
            ),
        ),
    ]
