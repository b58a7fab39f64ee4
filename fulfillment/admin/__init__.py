"""The console's pages of delivery. Importing them puts them on the site, and adds to the pages of orders what
only this floor knows.
"""

from fulfillment.admin import bulk_acts, deliveries, endpoints, ledger, look_up_places, messages, order_pages, players

__all__ = ["bulk_acts", "deliveries", "endpoints", "ledger", "look_up_places", "messages", "order_pages", "players"]
