"""A hint that messages are due, from whoever has just committed some to the dispatcher of the same machine.

A datagram to a socket without a file (Linux's abstract names). It may get lost, nobody may listen, and dispatchers on
other machines never hear it: all of them also look for themselves, several times a second. It only saves that wait,
and costs a purchase a few microseconds where PostgreSQL's NOTIFY would cost it a round trip and every commit a lock.
"""

import atexit
import hashlib
import socket
import sys
from contextlib import suppress

from django.db import connection

_sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
_sender.settimeout(0)
atexit.register(_sender.close)


def _address() -> str:
    """The name under which the dispatcher of this very database listens."""
    database = connection.settings_dict
    where = f"{database['HOST']}:{database['PORT']}/{database['NAME']}"
    return "\0payments-dispatcher-" + hashlib.sha256(where.encode()).hexdigest()[:24]


def poke() -> None:
    """Say that something is due. Never waits, never raises."""
    with suppress(OSError):
        _sender.sendto(b".", _address())


def listen() -> socket.socket | None:
    """A socket that becomes readable when something is due; None when another dispatcher here has it already."""
    if sys.platform != "linux":
        return None
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.settimeout(0)
    try:
        listener.bind(_address())
    except OSError:
        listener.close()
        return None
    return listener


def hear(listener: socket.socket) -> None:
    """Take everything that was said; saying it twice means nothing more than saying it once."""
    with suppress(BlockingIOError):
        while listener.recv(16):
            pass
