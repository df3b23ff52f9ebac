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

    Whatever is in use at that moment is frozen with the names, such as a fetch that waits for its answer. Later it is
    garbage, often in cycles. So once as many names are new as there were names, a full pass visits all of them.
    """

    def __init__(self) -> None:
        self._frozen_at = 0
        self._full_pass_at = 0

    def grown(self, streams: int, ever: int) -> None:
        """There are `streams` streams now, and were `ever` in total: forgotten ones count, as new names replace them.

        If there are enough new ones, collect garbage once and freeze the rest.
        """
        if ever >= self._frozen_at + STEP_STREAMS:
            if ever >= self._full_pass_at:
                gc.unfreeze()
                self._full_pass_at = ever + streams
            gc.collect()
            gc.freeze()
            self._frozen_at = ever
        self._frozen_at = min(self._frozen_at, ever)
        self._full_pass_at = min(self._full_pass_at, ever + streams)


def release(ended: list[Any]) -> None:
    """Forget these workers, if any, and free their memory.

    A worker and its parts refer to each other, so only the collector can free them, and it skips frozen objects.
    Without this, every restart of a worker within a process would leak the state of all streams.
    """
    if ended:
        ended.clear()
        gc.unfreeze()
        gc.collect()
