"""Administration and operations list store reviewers. Before the deploy; running it again changes nothing."""

from importlib import import_module

from django.db import migrations

# A module whose name begins with a digit cannot be imported by a statement.
make_groups = import_module("payments_site.migrations.0005_roles").make_groups


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0008_stores"),
        ("payments_site", "0005_roles"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
