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
"""So few that a place costs about what a stream costs anyway; so many that no decoder lets a stream take more than
`BLOCKS_PER_SLOT_BLOCK`, so that a full partition has the blocks on which its slots lie."""


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
        """How many of them have a row; the rows of groups do not count."""
        self.places = 0
        """What they take of the places that a partition has."""
        self.row_of: Int64 = np.empty(0, dtype=np.int64)
        self.hashes: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        """[handles] of the keys, 0 where it was not asked for yet."""
        self.blocks: list[int] = []
        """Block number within the partition -> block of the table."""
        self.free: list[int] = []
        """Heap of free rows, by the partition's own numbers."""
        self.event_time = EventTime()
        self.membership: Membership | None = None
        """None when streams came or went since it was last asked for."""
        self.forgotten = False
        """True when streams lost their rows since their handles were last looked through."""

    def came(self, keys: Iterable[SeriesKey]) -> None:
        """These streams have a row now."""
        for key in keys:
            self.streams += 1
            self.places += places(key)

    def went(self, keys: Iterable[SeriesKey]) -> None:
        """They have none any more."""
        for key in keys:
            self.streams -= 1
            self.places -= places(key)

    def has(self, key: SeriesKey) -> bool:
        """Whether the series has a row here; its name may be known before it gets one, or without."""
        handle = self.series.find(key)
        return handle is not None and handle < len(self.row_of) and self.row_of[handle] != NO_ROW

    def fit(self) -> None:
        """Make `row_of` and `hashes` cover every handle of the index."""
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
