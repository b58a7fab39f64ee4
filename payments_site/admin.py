"""The console's pages that the house itself has: people and roles. Importing this puts them on the site."""

from django.contrib import admin

# Django puts its own pages of people on the site when this is imported, now or later; ours come after them.
from django.contrib.auth import admin as _djangos_own  # noqa: F401

from payments_site.console.staff import put_on

put_on(admin.site)
