"""Finding orders by role, and refunded ones: built without holding up those who pay. Before the deploy."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0003_office")]
    operations = [
        # A build over millions of rows outlasts the limit that our sessions set for statements.
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                models.F("role_id"),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("role_id", ""), _negated=True),
                name="order_role",
            ),
        ),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                models.F("game"),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("refunded_minor__gt", 0)),
                name="order_refunded",
            ),
        ),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
