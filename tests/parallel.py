"""Several processes run the tests side by side; each has a PostgreSQL of its own.

Loaded as a plugin before the settings are read. Separate servers, because some promises hold for a whole server: what a
transaction of anybody holds back (the list of events, the folding of revenue) is seen by all its databases.
"""

import os
from pathlib import Path

_WORKER = os.environ.get("PYTEST_XDIST_WORKER")

if _WORKER and not os.environ.get("DATABASE_URL"):
    _base = Path(os.environ.get("PAYMENTS_DATA_DIR") or Path(__file__).parents[1] / "var")
    os.environ["PAYMENTS_DATA_DIR"] = str(_base / "tests" / _WORKER)
