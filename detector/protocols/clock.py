"""Time, injected."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Injected time, so that timers can be tested."""

    def time(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; returns early only for an exception."""
        ...
