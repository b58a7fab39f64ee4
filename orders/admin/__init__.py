"""The console's pages of orders. Importing them puts them on the site.

Floors above add what they know to these pages (`panels`, `inlines`) from their own admin packages, because
this one may not know them.
"""

from orders.admin import cases, catalogue, games, orders, payments

__all__ = ["cases", "catalogue", "games", "orders", "payments"]
