"""One running system for all tests of this folder; tests that kill parts of it put it back."""

from collections.abc import Iterator

import pytest

from tests.faults.stack import Stack


@pytest.fixture(scope="package")
def _running(tmp_path_factory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.fixture
def stack(_running) -> Stack:
    """The running system, up."""
    _running.restart_if_down() if _running.process.poll() is not None else None
    return _running


@pytest.fixture(autouse=True)
def _the_books_agree(request) -> Iterator[None]:
    """Whatever a test did to the system, every invariant holds afterwards."""
    yield
    if "stack" in request.fixturenames:
        audit = request.getfixturevalue("_running").manage("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr
