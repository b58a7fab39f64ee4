"""What people may do, by name: nothing in the database changes. Before the deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("payments_site", "0001_people"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="staffsession",
            options={
                "permissions": [("manage_staff", "Can say who works here and what they may do (with a second person)")],
                "verbose_name": "console session",
                "verbose_name_plural": "console sessions",
            },
        ),
    ]
