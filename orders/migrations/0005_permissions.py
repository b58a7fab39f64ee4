"""What people may do, by name: nothing in the database changes. Before the deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0004_order_indexes"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "permissions": [("manage_jobs", "Can retry and cancel jobs")],
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="order",
            options={
                "permissions": [
                    ("export_orders", "Can export orders"),
                    ("ask_provider", "Can ask the provider about an order"),
                    ("list_orders", "Can list the orders of a day"),
                    ("view_totals", "Can see totals and turnover"),
                    ("reveal_personal", "Can reveal personal data, with a reason"),
                    ("export_personal", "Can export personal data (with a second person)"),
                    ("mark_paid", "Can mark an order paid with the provider's proof (with a second person)"),
                    ("request_refund", "Can ask for a refund"),
                    ("approve_refund", "Can approve a refund that a colleague asked for"),
                    ("reconcile", "Can upload bills and compare the books with them"),
                    ("resolve_difference", "Can resolve a difference between books and bill"),
                    ("close_month", "Can close a month"),
                ],
                "verbose_name": "order",
                "verbose_name_plural": "orders",
            },
        ),
        migrations.AlterModelOptions(
            name="product",
            options={
                "permissions": [("edit_product", "Can change products, prices and contents (with a second person)")],
                "verbose_name": "product",
                "verbose_name_plural": "products",
            },
        ),
    ]
