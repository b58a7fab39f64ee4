"""The groups of the role grid (payments_site.people.roles). Before the deploy; running it again changes nothing."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

from payments_site.people import roles

APPS = ("auth", "channels_app", "orders", "fulfillment", "payments_site")


def make_groups(apps, schema_editor):
    """Django makes permissions after all migrations; the groups need them now."""
    for name in APPS:
        create_permissions(installed.get_app_config(name), verbosity=0, using=schema_editor.connection.alias)
    roles.install(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("channels_app", "0003_permissions"),
        ("orders", "0005_permissions"),
        ("fulfillment", "0002_permissions"),
        ("payments_site", "0004_people_trail"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
