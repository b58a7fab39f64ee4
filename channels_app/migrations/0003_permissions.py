"""What people may do, by name: nothing in the database changes. Before the deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("channels_app", "0002_office"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="merchantaccount",
            options={
                "permissions": [("edit_account", "Can set up accounts, their keys and methods (with a second person)")],
                "verbose_name": "merchant account",
                "verbose_name_plural": "merchant accounts",
            },
        ),
    ]
