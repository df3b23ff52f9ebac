"""Keeps long-lived objects from Python's garbage collector, whose passes would stall the processing loop."""

from __future__ import annotations

import gc
from typing import Any

STEP_STREAMS = 5_000
"""New streams that justify a separate pass of a few milliseconds."""


class LongLived:
    """Exempts stream names from garbage collection.

    A full pass of the collector visits every container, 0.9 ms for a thousand streams, although names are part of no
    cycle and are freed without it. Frozen objects are not visited again.
    """

    def __init__(self) -> None:
        self._streams = 0

    def grown(self, streams: int) -> None:
        """There are now `streams` streams; if there are enough new ones, collect garbage once and freeze the rest."""
        if streams >= self._streams + STEP_STREAMS:
            gc.collect()
            gc.freeze()
            self._streams = streams
        self._streams = min(self._streams, streams)


def release(ended: list[Any]) -> None:
    """Forget these workers, if any, and free their memory.

    A worker and its parts refer to each other, so only the collector can free them, and it skips frozen objects.
    Without this, every restart of a worker within a process would leak the state of all streams.
    """
    if ended:
        ended.clear()
        gc.unfreeze()
        gc.collect()
