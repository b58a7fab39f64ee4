"""Purchases in a row, with every process running, while the memory of each is watched."""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass

from bench.stack import Stack

ALLOWED_GROWTH = 1.05
_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """One process's peaks, in MiB."""

    process: str
    first_quarter: float
    last_quarter: float

    @property
    def is_flat(self) -> bool:
        """Whether the last quarter stayed within the first quarter's peak and five per cent."""
        return self.last_quarter <= self.first_quarter * ALLOWED_GROWTH


class Watch:
    """Samples memory in a thread; use as a context manager."""

    def __init__(self, stack: Stack) -> None:
        """Nothing is sampled before the block."""
        self._stack = stack
        self._samples: list[dict[str, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._samples.append(self._stack.memory())
            due += _EVERY_S
            self._over.wait(max(0.0, due - time.monotonic()))

    def result(self) -> list[Watched]:
        """Peaks of the first and the last quarter. The benchmark's own receiver does not count.

        PostgreSQL's shared buffers fill up once, to the size they were given; they are a cache, not growth.
        """
        quarter = max(1, len(self._samples) // 4)
        first, last = self._samples[:quarter], self._samples[-quarter:]
        peaks: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        for name in self._samples[-1]:
            if name not in ("sink", "postgres, shared"):
                peaks[name] = (max(s.get(name, 0.0) for s in first), max(s.get(name, 0.0) for s in last))
        return [Watched(name, *peak) for name, peak in peaks.items()]
