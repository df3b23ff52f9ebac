"""Time that is the program's, not the machine's."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

_TICK_SECONDS = 0.05


class Stopwatch:
    """Seconds between entering and now in which this process was able to run: waits count, a machine's stalls do not.

    It counts wake-ups of a thread of its own, which come late where the machine is busy with others.
    """

    def __init__(self) -> None:
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
        while not self._ended.wait(_TICK_SECONDS):
            self._ticks += 1
