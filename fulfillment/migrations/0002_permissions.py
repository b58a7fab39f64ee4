"""What people may do, by name: nothing in the database changes. Before the deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("fulfillment", "0001_initial"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="delivery",
            options={
                "permissions": [
                    ("redeliver", "Can deliver again what was paid"),
                    ("request_grant", "Can ask for goods to be given by hand"),
                    ("approve_grant", "Can approve goods that a colleague asked for"),
                ],
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
            },
        ),
        migrations.AlterModelOptions(
            name="webhookendpoint",
            options={
                "permissions": [
                    ("edit_endpoint", "Can change a game server's address and secret (with a second person)")
                ],
                "verbose_name": "webhook endpoint",
                "verbose_name_plural": "webhook endpoints",
            },
        ),
    ]
