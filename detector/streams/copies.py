"""Copy on write for blocks: a cut gets them as they were, and only blocks about to change are copied early."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from detector.columns import BlockState
from detector.records import Int64


class BlockCopies:
    """Which blocks of a table changed since the last cut, and which ones a cut has yet to copy."""

    def __init__(self, copy: Callable[[int], BlockState]) -> None:
        """`copy` copies a block as it is now."""
        self._copy = copy
        self._changed: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._captured: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._early: dict[int, BlockState] = {}
        """Captured blocks that were copied early because a sample was about to change them."""

    def grow(self, blocks: int) -> None:
        """Add this many blocks."""
        nothing = np.zeros(blocks, dtype=np.bool_)
        self._changed = np.concatenate((self._changed, nothing))
        self._captured = np.concatenate((self._captured, nothing))

    def touch(self, blocks: Int64) -> None:
        """Announce that these blocks, possibly with repeats, are about to change."""
        self._changed[blocks] = True
        due = self._captured[blocks]
        if due.any():
            for block in np.unique(blocks[due]).tolist():
                self._early[block] = self._copy(block)
            self._captured[blocks] = False

    def touch_one(self, block: int) -> None:
        """`touch` for one block."""
        self._changed[block] = True
        if self._captured[block]:
            self._early[block] = self._copy(block)
            self._captured[block] = False

    def capture(self, blocks: Int64) -> Int64:
        """Positions in `blocks` of those that changed; `take` will return each as it is now."""
        positions = np.flatnonzero(self._changed[blocks])
        self._captured[blocks[positions]] = True
        self._changed[blocks[positions]] = False
        return positions

    def take(self, block: int) -> BlockState:
        """A captured block as it was when captured."""
        self._captured[block] = False
        return self._early.pop(block, None) or self._copy(block)

    def mark_changed(self, block: int) -> None:
        """Count a captured block that did not become durable as changed again."""
        self._changed[block], self._captured[block] = True, False
        self._early.pop(block, None)

    def forget(self, block: int) -> None:
        """Drop all notes about a block that no partition owns any more."""
        self._changed[block] = self._captured[block] = False
        self._early.pop(block, None)
