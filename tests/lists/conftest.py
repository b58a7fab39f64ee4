"""The shop and the staff of the console's tests."""

from tests.console.conftest import auditor, busy_shop, shop, staff

__all__ = ["auditor", "busy_shop", "shop", "staff"]
