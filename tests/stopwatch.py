"""Measure the program's time without stalls of the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from detector.errors import DetectorError

_TICK_SECONDS = 0.05
_STOOD_SECONDS = 2.0
_ATTEMPTS = 10


class Stopwatch:
    """Seconds since entering in which this process could run: waits count, stalls of the machine do not.

    It counts wake-ups of its own thread, which are late on a busy machine.
    """

    def __init__(self) -> None:
        self.longest_stand_seconds = 0.0
        """The longest time for which it did not run."""
        self._ticks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    @property
    def seconds(self) -> float:
        return self._ticks * _TICK_SECONDS

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        ticked_at = time.monotonic()
        while not self._ended.wait(_TICK_SECONDS):
            self._ticks += 1
            before, ticked_at = ticked_at, time.monotonic()
            self.longest_stand_seconds = max(self.longest_stand_seconds, ticked_at - before)


def undisturbed(attempt: Callable[[], None]) -> None:
    """Repeat an attempt that failed only because a stall of the machine ended group sessions."""
    for _ in range(_ATTEMPTS):
        with Stopwatch() as watch:
            try:
                return attempt()
            except (AssertionError, DetectorError):
                if watch.longest_stand_seconds < _STOOD_SECONDS:
                    raise
    raise AssertionError(f"the machine stood still in each of {_ATTEMPTS} attempts")
