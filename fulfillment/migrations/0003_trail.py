"""The database writes down every change of settings. Before the deploy."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0004_trail"),
        ("fulfillment", "0002_permissions"),
    ]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name="deliverypolicy",
            trigger=pgtrigger.compiler.Trigger(
                name="policy_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.game', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'game_id', 'delivery policy',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'mode',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="41e2a5324855ba285e412cc2461cb75529b58871",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_policy_made_or_gone_ba620",
                    table="fulfillment_deliverypolicy",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="deliverypolicy",
            trigger=pgtrigger.compiler.Trigger(
                name="policy_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'orders.game', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'game_id', 'delivery policy',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'mode',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="6a0fa1f07a151e171ecd81d626b2d48f289eabec",
                    operation="UPDATE",
                    pgid="pgtrigger_policy_changed_66e87",
                    table="fulfillment_deliverypolicy",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="item",
            trigger=pgtrigger.compiler.Trigger(
                name="item_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'fulfillment.item', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'item_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="c759cabe4db36773b3d7d0552cb2bccd5a8f01e5",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_item_made_or_gone_483c5",
                    table="fulfillment_item",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="item",
            trigger=pgtrigger.compiler.Trigger(
                name="item_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'fulfillment.item', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'item_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="1ae454d0ee13746a1f3f308429a3e4144ce8df02",
                    operation="UPDATE",
                    pgid="pgtrigger_item_changed_e0085",
                    table="fulfillment_item",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="productgrant",
            trigger=pgtrigger.compiler.Trigger(
                name="grant_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.product', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'product_id', 'contents',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'item_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="18bb46cc8f1028448eeae382bae0527a54be0f08",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_grant_made_or_gone_fa7c7",
                    table="fulfillment_productgrant",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="productgrant",
            trigger=pgtrigger.compiler.Trigger(
                name="grant_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'orders.product', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'product_id', 'contents',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'item_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="d384f3843d31c78820d3ba5a0e234752f4a899b6",
                    operation="UPDATE",
                    pgid="pgtrigger_grant_changed_7c6b0",
                    table="fulfillment_productgrant",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="webhookendpoint",
            trigger=pgtrigger.compiler.Trigger(
                name="endpoint_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'fulfillment.webhookendpoint', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'url',\n        to_jsonb(OLD), to_jsonb(NEW), '{secrets_sealed}', '{failures_in_a_row,failing_since,next_probe_at,last_success_at,last_error}'\n    );\n    RETURN NULL;\n",
                    hash="f161c1d2bac9c0529a1d5f2c2f9cbf068af2aaf9",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_endpoint_made_or_gone_65504",
                    table="fulfillment_webhookendpoint",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="webhookendpoint",
            trigger=pgtrigger.compiler.Trigger(
                name="endpoint_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."game_id" IS DISTINCT FROM (NEW."game_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."secrets_sealed" IS DISTINCT FROM (NEW."secrets_sealed") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."url" IS DISTINCT FROM (NEW."url"))',
                    func="\n    PERFORM channels_app_write_down(\n        'fulfillment.webhookendpoint', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'url',\n        to_jsonb(OLD), to_jsonb(NEW), '{secrets_sealed}', '{failures_in_a_row,failing_since,next_probe_at,last_success_at,last_error}'\n    );\n    RETURN NULL;\n",
                    hash="89e4fd084e84aa5a13c793892a47a08d42109a72",
                    operation="UPDATE",
                    pgid="pgtrigger_endpoint_changed_0f1a9",
                    table="fulfillment_webhookendpoint",
                    when="AFTER",
                ),
            ),
        ),
    ]
