"""Names seen while a partition had no room for them: a name that comes again is not part of a flood.

A slot holds the tag of a name. When a name comes, a coin that depends on the name and the time decides whether it takes
its slot; it is recognised until another name takes the slot. Without the coin, two names that share a slot and take
turns would keep each other out forever. Slots lie in a column of the partition's first blocks, so they are part of its
snapshots. They say nothing about the streams in those rows, and stay when these go.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import BLOCK_ROWS, Field
from detector.records import Float64, Int64

SLOTS_PER_ROW = 4
SIGHTED = Field("table.sighted", (SLOTS_PER_ROW,), "uint32")
"""Tags of names; 0 where a slot is empty."""
BLOCKS_PER_SLOT_BLOCK = 8
"""One block in this many has slots: few blocks change under a flood, and there are half as many slots as streams."""

Uint64 = npt.NDArray[np.uint64]
Uint32 = npt.NDArray[np.uint32]
Bool = npt.NDArray[np.bool_]


class Slots:
    """The slots of names, in the order in which the names come."""

    def __init__(self, blocks: list[int], streams: int, hashes_N: Uint64, times_N: Float64) -> None:
        """`blocks` are a partition's, at least as many as `streams` need; further ones make no difference."""
        needed = -(-streams // BLOCK_ROWS)
        holding = np.array(blocks[: -(-needed // BLOCKS_PER_SLOT_BLOCK)], dtype=np.int64)
        places_N = (hashes_N % np.uint64(len(holding) * BLOCK_ROWS * SLOTS_PER_ROW)).astype(np.int64)
        rows_N, self.entries = np.divmod(places_N, SLOTS_PER_ROW)
        self.rows: Int64 = holding[rows_N // BLOCK_ROWS] * BLOCK_ROWS + rows_N % BLOCK_ROWS
        """[N] row of the table."""
        self.tags: Uint32 = ((hashes_N >> np.uint64(32)) | np.uint64(1)).astype(np.uint32)
        self._places = places_N
        self._takes = coin(hashes_N, times_N)

    def known(self, sighted: Uint32) -> Bool:
        """[N] whether the name finds its tag in its slot; `sighted` is the column before the first name came."""
        return again(self._places, self.tags, self._takes, sighted[self.rows, self.entries])

    def takers(self, known_N: Bool) -> Int64:
        """Positions of the names that take their slot over."""
        return np.flatnonzero(self._takes[: len(known_N)] & ~known_N)

    def leave(self, sighted: Uint32, some: Int64) -> None:
        """Write the tags of the names at positions `some`; of names that share a slot, the last one stays."""
        sighted[self.rows[some], self.entries[some]] = self.tags[some]


def coin(hashes_N: Uint64, times_N: Float64) -> Bool:
    """[N] a coin for each name and time, by multiplicative hashing (Knuth, TAOCP 3, 6.4)."""
    mixed = hashes_N ^ np.ascontiguousarray(times_N).view(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(63)).astype(np.bool_)


def again(places_N: Int64, tags_N: Uint32, takes_N: Bool, held_N: Uint32) -> Bool:
    """[N] whether each tag finds itself in its place, which holds the last tag that took it.

    `held_N` is what the places hold before the first tag comes.

    >>> places, tags, takes = np.array([5, 5, 7, 5, 5, 5]), np.array([1, 2, 3, 2, 1, 2]), np.ones(6, dtype=bool)
    >>> takes[4] = False
    >>> again(places, tags, takes, np.array([1, 1, 0, 1, 1, 1])).tolist()
    [True, False, False, True, False, True]
    """
    count = len(places_N)
    by_place = np.argsort(places_N, kind="stable")
    places, tags, before = places_N[by_place], tags_N[by_place], held_N[by_place]
    # Position of the last taker before each tag; counts only if it is of the same place.
    taker = np.maximum.accumulate(np.where(takes_N[by_place], np.arange(count), -1))
    taker = np.concatenate(([-1], taker[:-1]))
    taken = np.flatnonzero((taker >= 0) & (places[taker] == places))
    before[taken] = tags[taker[taken]]
    found = np.empty(count, dtype=np.bool_)
    found[by_place] = before == tags
    return found
