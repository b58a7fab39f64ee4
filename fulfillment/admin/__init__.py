"""The console's pages of delivery. Importing them puts them on the site, and adds to the pages of orders what
only this floor knows.
"""

from fulfillment.admin import deliveries, endpoints, ledger, messages, order_pages, players

__all__ = ["deliveries", "endpoints", "ledger", "messages", "order_pages", "players"]
