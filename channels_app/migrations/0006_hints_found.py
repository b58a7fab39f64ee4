"""The index that finds hints, and the look at the verdicts that are there: without holding up those who pay.

Before the deploy.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("channels_app", "0005_hints_and_lists")]
    operations = [
        # Both read millions of rows, which outlasts the limit that our sessions set for statements.
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                models.F("account"),
                models.F("ask_at"),
                condition=models.Q(("ask_at__isnull", False)),
                name="notification_hint",
            ),
        ),
        ValidateConstraint(model_name="notification", name="notification_verdict_known"),
        ValidateConstraint(model_name="notification", name="notification_judged_has_time"),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
