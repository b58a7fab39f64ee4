"""The database writes down every change of settings. Before the deploy."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

from channels_app.trail import DROP_WRITE_DOWN, WRITE_DOWN


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0003_permissions"),
    ]

    operations = [
        migrations.RunSQL(WRITE_DOWN, DROP_WRITE_DOWN),
        pgtrigger.migrations.AddTrigger(
            model_name="channel",
            trigger=pgtrigger.compiler.Trigger(
                name="channel_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.channel', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="a1e89a0f39e7ac7406fdf4f672fa8125e4d809f2",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_channel_made_or_gone_f52eb",
                    table="channels_app_channel",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="channel",
            trigger=pgtrigger.compiler.Trigger(
                name="channel_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.channel', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="af02c015d82a3a1beda0c009f5f92fd20d1bed0c",
                    operation="UPDATE",
                    pgid="pgtrigger_channel_changed_502e5",
                    table="channels_app_channel",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="channelmethod",
            trigger=pgtrigger.compiler.Trigger(
                name="channel_method_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.channel', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'channel_id', 'method',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'method',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="cb172bb4d8771470d087cccea5fb389f957fc453",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_channel_method_made_or_gone_26f38",
                    table="channels_app_channelmethod",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="channelmethod",
            trigger=pgtrigger.compiler.Trigger(
                name="channel_method_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.channel', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'channel_id', 'method',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'method',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="74f2cd3cb17833a45ed27e729049c22830032ec8",
                    operation="UPDATE",
                    pgid="pgtrigger_channel_method_changed_88bf1",
                    table="channels_app_channelmethod",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="merchantaccount",
            trigger=pgtrigger.compiler.Trigger(
                name="account_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.merchantaccount', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{credentials_sealed}', '{last_check,updated_at}'\n    );\n    RETURN NULL;\n",
                    hash="d4fdc98083ae46f8fdbc103abbf68470833bf10d",
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
                    func="\n    PERFORM channels_app_write_down(\n        'channels_app.merchantaccount', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{credentials_sealed}', '{last_check,updated_at}'\n    );\n    RETURN NULL;\n",
                    hash="da5f184a353fb4b4a304ad2e4c1f6d4eaad34016",
                    operation="UPDATE",
                    pgid="pgtrigger_account_changed_bb034",
                    table="channels_app_merchantaccount",
                    when="AFTER",
                ),
            ),
        ),
    ]
