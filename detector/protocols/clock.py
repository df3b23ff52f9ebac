"""The clock that components are given."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, injected so that timers can be tested."""

    def time(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for that long, unless an exception interrupts."""
        ...
