"""Calls to a provider end in time, however slowly it answers, and are bounded in number."""

import socket
import threading
import time
from collections.abc import Callable

import pytest

from channels_app.providers import transport
from channels_app.providers.base import ProviderBusy, ProviderUnavailable
from channels_app.providers.transport import ConnectFailed, Transport


class Slow:
    """A provider that answers one connection at a time, in its own manner."""

    def __init__(self, manner: Callable[[socket.socket], None]) -> None:
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}/"
        self.stop = threading.Event()
        self._manner = manner
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Slow":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.door.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self.stop.is_set():
            try:
                caller, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            try:
                caller.recv(65536)
                self._manner(caller)
                self.stop.wait(10)
            except OSError:
                return


def dripping(before: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Sends something at once, and then a little for ever."""

    def manner(caller: socket.socket) -> None:
        caller.sendall(before)
        while True:
            caller.sendall(drop)
            time.sleep(0.05)

    return manner


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.5)


class TestASlowProvider:
    """Is given up in time: the result is unknown, and the thread is free."""

    @pytest.mark.parametrize(
        "manner",
        [
            lambda caller: None,
            dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
            dripping(b"HTT", b""),
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        ],
        ids=["silent", "drips its headers", "stops within its first line", "drips its body"],
    )
    def test_is_given_up(self, manner):
        with Slow(manner) as provider:
            began = time.monotonic()
            with pytest.raises(ProviderUnavailable) as unknown:
                Transport().send("GET", provider.url, headers={})
            assert not isinstance(unknown.value, ConnectFailed)
            assert time.monotonic() - began < 3

    def test_holds_as_many_calls_as_the_ceiling_says(self):
        with Slow(lambda caller: None) as provider:
            bounded = Transport(ceiling=2)

            def wait_for_it() -> None:
                with pytest.raises(ProviderUnavailable):
                    bounded.send("GET", provider.url, headers={})

            waiting = [threading.Thread(target=wait_for_it) for _ in range(2)]
            for each in waiting:
                each.start()
            time.sleep(0.15)  # both are waiting for their answer, which takes 0.5 s to be given up
            with pytest.raises(ProviderBusy):
                bounded.send("GET", provider.url, headers={})
            for each in waiting:
                each.join()

    def test_that_is_not_there_was_sent_nothing(self):
        with pytest.raises(ConnectFailed):
            Transport().send("GET", "http://127.0.0.1:9/", headers={})
