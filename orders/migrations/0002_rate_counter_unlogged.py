"""Counters may be lost in a crash; they must not cost a write-ahead log entry per request. Before the deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]
    operations = [
        migrations.RunSQL("ALTER TABLE orders_ratecounter SET UNLOGGED", "ALTER TABLE orders_ratecounter SET LOGGED"),
    ]
