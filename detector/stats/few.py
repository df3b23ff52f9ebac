"""`NoveltyMemory` for few numbers: the same bits, but computed across streams, one remembered number at a time.

Rows of eight or nine numbers are too short for efficient operations along them.

Shape legend: B rows of one call, K remembered numbers.
"""

from __future__ import annotations

import numpy as np

from detector.columns import Columns, Rows
from detector.stats.novelty import Bools, Float32, Int16, Int64, NoveltyMemory, merge_stamps, most_redundant


class FewNumbers(NoveltyMemory):
    """One remembered quantity per stream; `name` prefixes its columns."""

    def _enter(self, state: Columns, rows: Rows, numbers_B: Float32, stamp_B: Int16, used: slice) -> None:
        memory_KB = np.ascontiguousarray(state[self._memory].take(rows, axis=0).T)
        stamps_KB = np.ascontiguousarray(state[self._stamps].take(rows, axis=0).T)
        place_B = (memory_KB <= numbers_B).sum(axis=0, dtype=np.uint8).astype(np.int64)
        has_it_B = memory_KB[np.maximum(place_B, 1) - 1, np.arange(len(rows))] == numbers_B
        crowded_B = np.isfinite(memory_KB[-1]) | has_it_B
        wide_KB = np.concatenate((numbers_B[None], np.maximum(memory_KB, numbers_B)))
        np.minimum(wide_KB[:-1], memory_KB, out=wide_KB[:-1])
        wide_stamps_KB = _inserted(stamps_KB, place_B, stamp_B)
        if crowded_B.any():
            moves_KB = _thinned(wide_KB, wide_stamps_KB, crowded_B)
            memory_KB = np.where(moves_KB, wide_KB[1:], wide_KB[:-1])
            stamps_KB = np.where(moves_KB, wide_stamps_KB[1:], wide_stamps_KB[:-1])
        else:
            memory_KB, stamps_KB = wide_KB[:-1], wide_stamps_KB[:-1]
        state[self._memory][rows], state[self._stamps][rows] = memory_KB.T, stamps_KB.T
        full = np.flatnonzero(np.isfinite(memory_KB[-1]))
        if len(full):
            state[self._gap][rows[full]] = np.diff(memory_KB.take(full, axis=1), axis=0).min(axis=0)


def _inserted(stamps_KB: Int16, place_B: Int64, stamp_B: Int16) -> Int16:
    """[K + 1, B] with the stamps at `place_B`."""
    wide_KB = np.concatenate((stamps_KB, np.zeros_like(stamps_KB[:1])))
    behind_KB = np.arange(1, len(wide_KB), dtype=np.uint8)[:, None] > place_B.astype(np.uint8)
    np.copyto(wide_KB[1:], stamps_KB, where=behind_KB)
    wide_KB[place_B, np.arange(len(place_B))] = stamp_B
    return wide_KB


def _thinned(wide_KB: Float32, stamps_KB: Int16, crowded_B: Bools) -> Bools:
    """[K, B] which places take over the next one's number to drop the most redundant one; merges its stamp."""
    with np.errstate(invalid="ignore"):
        gaps_KB = np.diff(wide_KB, axis=0)
    gaps_KB[np.isnan(gaps_KB)] = np.inf
    drop_B, heir_B = most_redundant(gaps_KB.T)
    crowded = np.flatnonzero(crowded_B)
    merge_stamps(stamps_KB.T, crowded, drop_B[crowded], heir_B[crowded])
    drop_B = np.where(crowded_B, drop_B, len(gaps_KB))
    moves_KB: Bools = np.arange(len(gaps_KB), dtype=np.uint8)[:, None] >= drop_B.astype(np.uint8)
    return moves_KB
