"""The database writes down every change of settings. Before the deploy."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0004_trail"),
        ("orders", "0005_permissions"),
    ]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name="apikey",
            trigger=pgtrigger.compiler.Trigger(
                name="api_key_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.apikey', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'prefix',\n        to_jsonb(OLD), to_jsonb(NEW), '{digest}', '{last_used_at}'\n    );\n    RETURN NULL;\n",
                    hash="4a77cea90e12f4756a36cfead0e67697d2d87668",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_api_key_made_or_gone_a472a",
                    table="orders_apikey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apikey",
            trigger=pgtrigger.compiler.Trigger(
                name="api_key_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."allowed_networks" IS DISTINCT FROM (NEW."allowed_networks") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."digest" IS DISTINCT FROM (NEW."digest") OR OLD."environment" IS DISTINCT FROM (NEW."environment") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at") OR OLD."game_id" IS DISTINCT FROM (NEW."game_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."prefix" IS DISTINCT FROM (NEW."prefix") OR OLD."revoked_at" IS DISTINCT FROM (NEW."revoked_at") OR OLD."scopes" IS DISTINCT FROM (NEW."scopes"))',
                    func="\n    PERFORM channels_app_write_down(\n        'orders.apikey', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'prefix',\n        to_jsonb(OLD), to_jsonb(NEW), '{digest}', '{last_used_at}'\n    );\n    RETURN NULL;\n",
                    hash="0f0b171bb07a6b3af7206a48f39a5e68e78d2790",
                    operation="UPDATE",
                    pgid="pgtrigger_api_key_changed_ef51f",
                    table="orders_apikey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="game",
            trigger=pgtrigger.compiler.Trigger(
                name="game_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.game', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="d2f2f93cc5c55477c7eff617f824a08a3a7bb908",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_game_made_or_gone_ec1e6",
                    table="orders_game",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="game",
            trigger=pgtrigger.compiler.Trigger(
                name="game_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'orders.game', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'code',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="410bb8bc9506ce7cc843fb5d5872c1653b4c7d78",
                    operation="UPDATE",
                    pgid="pgtrigger_game_changed_d4f10",
                    table="orders_game",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="gamestaff",
            trigger=pgtrigger.compiler.Trigger(
                name="game_staff_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'auth.user', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'user_id', 'game',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'game_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="eac2ef375243af942dad1785bf974c3b537972cf",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_game_staff_made_or_gone_06a0a",
                    table="orders_gamestaff",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="gamestaff",
            trigger=pgtrigger.compiler.Trigger(
                name="game_staff_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'auth.user', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'user_id', 'game',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'game_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="4f4eb9bb93936103ed1f3bbd254a4430b884a7d1",
                    operation="UPDATE",
                    pgid="pgtrigger_game_staff_changed_821bb",
                    table="orders_gamestaff",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="product",
            trigger=pgtrigger.compiler.Trigger(
                name="product_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.product', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'product_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{updated_at}'\n    );\n    RETURN NULL;\n",
                    hash="6da75479ccfa8b0403aee7ad2128176b5704e369",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_product_made_or_gone_17936",
                    table="orders_product",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="product",
            trigger=pgtrigger.compiler.Trigger(
                name="product_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."game_id" IS DISTINCT FROM (NEW."game_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."product_id" IS DISTINCT FROM (NEW."product_id") OR OLD."store_ids" IS DISTINCT FROM (NEW."store_ids"))',
                    func="\n    PERFORM channels_app_write_down(\n        'orders.product', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'id', '',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'product_id',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{updated_at}'\n    );\n    RETURN NULL;\n",
                    hash="b8b65f56d54b4a3ee076acfa737240fd9d8b6e25",
                    operation="UPDATE",
                    pgid="pgtrigger_product_changed_92521",
                    table="orders_product",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="productprice",
            trigger=pgtrigger.compiler.Trigger(
                name="price_made_or_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM channels_app_write_down(\n        'orders.product', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'product_id', 'price',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'currency',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="f2b919a1044d0097e67c54ab47c9a3a1be64b322",
                    operation="INSERT OR DELETE",
                    pgid="pgtrigger_price_made_or_gone_7d022",
                    table="orders_productprice",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="productprice",
            trigger=pgtrigger.compiler.Trigger(
                name="price_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func="\n    PERFORM channels_app_write_down(\n        'orders.product', coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'product_id', 'price',\n        coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'currency',\n        to_jsonb(OLD), to_jsonb(NEW), '{}', '{}'\n    );\n    RETURN NULL;\n",
                    hash="767b24212ea215f0a19e4ed69958a575770b2f43",
                    operation="UPDATE",
                    pgid="pgtrigger_price_changed_3106c",
                    table="orders_productprice",
                    when="AFTER",
                ),
            ),
        ),
    ]
