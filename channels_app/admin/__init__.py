"""The console's pages of the outside money world. Importing them puts them on the site."""

from channels_app.admin import accounts, channels, notifications, proposals, trail

__all__ = ["accounts", "channels", "notifications", "proposals", "trail"]
