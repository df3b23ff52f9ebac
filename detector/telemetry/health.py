"""Whether the worker is healthy and whether it is ready: two separate questions, neither of which asks Kafka."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Health:
    """Written by the worker, read by the telemetry server's threads.

    The worker itself says when it is ready. Healthy means that its loop has recently come round: an unreachable broker
    does not make it unhealthy, because a restart would not bring the broker back.
    """

    def __init__(self, stall_seconds: float, monotonic: Callable[[], float]) -> None:
        self.stall_seconds = stall_seconds
        self._monotonic = monotonic
        self._lock = Lock()
        self._progress_at = monotonic()
        self._waiting_for: str | None = "starting"
        self._at_first: Callable[[], None] | None = None

    def progress(self) -> None:
        """Note that the processing loop came round."""
        self._progress_at = self._monotonic()

    @property
    def progress_at(self) -> float:
        """When the loop last came round, by the clock passed in."""
        return self._progress_at

    def when_first_ready(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when the worker first gets ready."""
        self._at_first = callback

    def set_ready(self) -> None:
        """The worker has its share of the partitions (possibly none) and their state."""
        with self._lock:
            self._waiting_for = None
        callback, self._at_first = self._at_first, None
        if callback is not None:
            callback()

    def set_not_ready(self, reason: str) -> None:
        """The worker is not ready; `reason` tells operators why: starting, restoring 3 partitions, stopping."""
        with self._lock:
            self._waiting_for = reason

    @property
    def ready(self) -> bool:
        """True when the worker has its share of the partitions."""
        return self.waiting_for is None

    @property
    def waiting_for(self) -> str | None:
        """Why not ready; None when ready."""
        with self._lock:
            return self._waiting_for

    @property
    def stalled(self) -> str | None:
        """Why not healthy; None when healthy."""
        silent = self._monotonic() - self._progress_at
        if silent <= self.stall_seconds:
            return None
        return f"no progress for {silent:.0f} s (at most {self.stall_seconds:g} s are normal)"
