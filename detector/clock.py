"""The system clock, and how a process notices that it was frozen."""

from __future__ import annotations

import time

SUSPENSION_SECONDS = 5.0
"""A wait that lasts this much longer than it was meant to: the process was frozen (SIGSTOP, a paused virtual machine),
and another worker may own its partitions by now."""


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
