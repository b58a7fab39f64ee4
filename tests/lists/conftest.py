"""The shop and the staff of the console's tests; and a shop whose accounts are at the simulated providers."""

from tests.asking import conftest as asking
from tests.asking.conftest import _simulator
from tests.console.conftest import auditor, busy_shop, shop, staff

simulated = asking.shop

__all__ = ["_simulator", "auditor", "busy_shop", "shop", "simulated", "staff"]
