"""Python's garbage collector is kept from what lives long: its passes would hold the processing loop up."""

from __future__ import annotations

import gc
from typing import Any

STEP_STREAMS = 5_000
"""So many new streams are worth a pass of their own: it takes a few milliseconds."""


class LongLived:
    """Puts the names of streams aside.

    A full pass of the collector looks at every container there is, 0.9 ms for a thousand streams, although names are
    part of no cycle and are freed without it. What was put aside is not looked at again.
    """

    def __init__(self) -> None:
        self._streams = 0

    def grown(self, streams: int) -> None:
        """So many streams were taken in by now; where they grew enough, one pass takes garbage and spares the rest."""
        if streams >= self._streams + STEP_STREAMS:
            gc.collect()
            gc.freeze()
            self._streams = streams
        self._streams = min(self._streams, streams)


def let_go(ended: list[Any]) -> None:
    """Forget these workers, where there are any, and give their memory back.

    A worker and its parts know each other, so that only the collector finds them to be garbage, and it does not look at
    what was put aside: without this, every worker that a process begins anew with would cost the state of all streams.
    """
    if ended:
        ended.clear()
        gc.unfreeze()
        gc.collect()
