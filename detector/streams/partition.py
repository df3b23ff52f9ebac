"""The streams of one partition: their handles, their rows, and the rows that are free."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from detector.records import Int64
from detector.series import SeriesIndex, SeriesKey
from detector.streams.event_time import EventTime
from detector.streams.membership import Membership

NO_ROW = -1
PLACE_CHARACTERS = 2_048
"""Characters of labels per place: few enough that a place costs about as much as a stream; enough that no decoder lets
a stream take more than `BLOCKS_PER_SLOT_BLOCK` places, so that a full partition has the blocks its slots lie in."""


def places(key: SeriesKey) -> int:
    """Places that a stream takes.

    >>> [places(SeriesKey.of("x" * length)) for length in (1, PLACE_CHARACTERS - 8, PLACE_CHARACTERS)]
    [1, 1, 2]
    """
    return max(1, -(-key.characters // PLACE_CHARACTERS))


class PartitionStreams:
    """The streams of one partition."""

    def __init__(self) -> None:
        self.series = SeriesIndex()
        self.streams = 0
        """Number of streams with a row; groups do not count."""
        self.places = 0
        """Places that these streams take."""
        self.row_of: Int64 = np.empty(0, dtype=np.int64)
        self.hashes: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        """[handles] hash of each key; 0 until first asked for."""
        self.blocks: list[int] = []
        """Block number within the partition -> block of the table."""
        self.free: list[int] = []
        """Heap of free rows' local numbers."""
        self.event_time = EventTime()
        self.membership: Membership | None = None
        """None if streams were added or removed since it was last built."""
        self.forgotten = False
        """True if streams lost their rows since the last `StreamTable.trim`."""

    def add(self, keys: Iterable[SeriesKey]) -> None:
        """Count streams that were given a row."""
        for key in keys:
            self.streams += 1
            self.places += places(key)

    def remove(self, keys: Iterable[SeriesKey]) -> None:
        """Count streams that lost their row."""
        for key in keys:
            self.streams -= 1
            self.places -= places(key)

    def has(self, key: SeriesKey) -> bool:
        """Whether the series has a row here; a known series may have none."""
        handle = self.series.find(key)
        return handle is not None and handle < len(self.row_of) and self.row_of[handle] != NO_ROW

    def fit(self) -> None:
        """Extend `row_of` and `hashes` to cover every handle of the index."""
        missing = self.series.capacity - len(self.row_of)
        if missing > 0:
            grown = np.full(max(missing, len(self.row_of) // 2), NO_ROW, dtype=np.int64)
            self.row_of = np.concatenate((self.row_of, grown))
            self.hashes = np.concatenate((self.hashes, np.zeros(len(grown), dtype=np.uint64)))

    def hashes_of(self, handles_N: Int64) -> npt.NDArray[np.uint64]:
        """[N] 64 bits of each key's fingerprint."""
        for handle in np.unique(handles_N[self.hashes[handles_N] == 0]).tolist():
            self.hashes[handle] = int(self.series.key(handle).fingerprint[:16], 16)
        return self.hashes[handles_N]
