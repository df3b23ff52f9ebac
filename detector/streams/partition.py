"""The streams of one partition: their handles, their rows, and the rows that are free."""

from __future__ import annotations

import numpy as np

from detector.records import Int64
from detector.series import SeriesIndex

NO_ROW = -1


class PartitionStreams:
    """The streams of one partition."""

    def __init__(self) -> None:
        self.series = SeriesIndex()
        self.row_of: Int64 = np.empty(0, dtype=np.int64)
        self.blocks: list[int] = []
        """Block number within the partition -> block of the table."""
        self.free: list[int] = []
        """Heap of free rows, by the partition's own numbers."""
        self.watermark = -np.inf
        self.forgotten = False
        """True when streams lost their rows since their handles were last looked through."""

    def fit(self) -> None:
        """Make `row_of` cover every handle of the index."""
        missing = self.series.capacity - len(self.row_of)
        if missing > 0:
            grown = np.full(max(missing, len(self.row_of) // 2), NO_ROW, dtype=np.int64)
            self.row_of = np.concatenate((self.row_of, grown))
