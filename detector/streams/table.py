"""The table of streams: which row holds whose state.

Rows come in blocks of 256 and a block belongs to one partition, so that a partition's state can be written out and
handed over by the block. A stream that is seen on two partitions is two streams here: state may depend on the records
of one partition only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.columns import BLOCK_ROWS, Field, Rows, allocate, reset
from detector.records import Float64, Int64, Partition
from detector.series import SeriesIndex, SeriesKey

LATEST = Field("stream.latest", dtype="float64", initial=-np.inf)
"""Time of the newest accepted sample."""
NO_ROW = -1


class _PartitionStreams:
    """The streams of one partition."""

    def __init__(self) -> None:
        self.series = SeriesIndex()
        self.row_of: Int64 = np.empty(0, dtype=np.int64)
        self.blocks: list[int] = []
        self.free: list[int] = []
        self.watermark = -np.inf
        self.swept_at = -np.inf

    def fit(self) -> None:
        """Make `row_of` cover every handle of the index."""
        missing = self.series.capacity - len(self.row_of)
        if missing > 0:
            grown = np.full(max(missing, len(self.row_of) // 2), NO_ROW, dtype=np.int64)
            self.row_of = np.concatenate((self.row_of, grown))


class StreamTable:
    """State columns of all streams, and the way from a series handle to its row."""

    def __init__(self, fields: Iterable[Field], max_streams: int, idle_expiry_seconds: float) -> None:
        self.fields = (LATEST, *fields)
        self.columns: dict[str, npt.NDArray[Any]] = allocate(self.fields, 0)
        self.max_streams = max_streams
        self.idle_expiry_seconds = idle_expiry_seconds
        self.streams = 0
        self.expired = 0
        self._partitions: dict[Partition, _PartitionStreams] = {}
        self._free_blocks: list[int] = []
        self._handles: Int64 = np.empty(0, dtype=np.int64)
        """[rows] handle in the owning partition, NO_ROW where the row is free."""

    @property
    def bytes_per_stream(self) -> int:
        """Fixed size of a stream's state."""
        return sum(spec.nbytes for spec in self.fields)

    def series(self, partition: Partition) -> SeriesIndex:
        """The index whose handles `rows` understands; made at the first question."""
        return self._partition(partition).series

    def key(self, partition: Partition, row: int) -> SeriesKey:
        """Whose state `row` holds."""
        return self._partitions[partition].series.key(int(self._handles[row]))

    def rows(self, partition: Partition, handles_N: Int64, times_N: Float64) -> Rows:
        """[N] row of each sample's stream; new streams get one, NO_ROW where there are `max_streams` already."""
        owned = self._partition(partition)
        owned.fit()
        rows_N = owned.row_of[handles_N]
        known_N = rows_N != NO_ROW
        if not known_N.all():
            _, first = np.unique(handles_N[~known_N], return_index=True)
            for handle in handles_N[~known_N][np.sort(first)].tolist():
                self._admit(owned, handle)
            rows_N = owned.row_of[handles_N]
            known_N = rows_N != NO_ROW
        if len(times_N):
            owned.watermark = max(owned.watermark, float(times_N.max()))
        return rows_N

    def idle(self, rows_B: Rows, times_B: Float64) -> npt.NDArray[np.bool_]:
        """[B] whose last sample is longer ago than the expiry."""
        latest_B = self.columns[LATEST.name][rows_B]
        return np.asarray((times_B - latest_B > self.idle_expiry_seconds) & np.isfinite(latest_B))

    def restart(self, rows_B: Rows) -> None:
        """Make these streams new again; they keep their rows."""
        reset(self.fields, self.columns, rows_B)
        self.expired += len(rows_B)

    def idle_rows(self, partition: Partition) -> Rows:
        """Rows that are due to expire, looked for once every eighth of the expiry in event time; usually none."""
        owned = self._partition(partition)
        if owned.watermark - owned.swept_at < self.idle_expiry_seconds / 8:
            return np.empty(0, dtype=np.int64)
        owned.swept_at = owned.watermark
        rows = self.occupied(partition)
        idle = owned.watermark - self.columns[LATEST.name][rows] > self.idle_expiry_seconds
        return rows[idle]

    def release(self, partition: Partition, rows: Rows) -> None:
        """Forget these streams; no handle of the partition may be in flight."""
        if not len(rows):
            return
        owned = self._partition(partition)
        reset(self.fields, self.columns, rows)
        owned.row_of[self._handles[rows]] = NO_ROW
        self._handles[rows] = NO_ROW
        owned.free.extend(sorted(rows.tolist(), reverse=True))
        owned.free.sort(reverse=True)
        self.streams -= len(rows)
        self.expired += len(rows)
        owned.series.retain(np.flatnonzero(owned.row_of != NO_ROW).tolist())

    def trim(self, partition: Partition) -> None:
        """Forget series that got no row, once they outnumber those that did: a flood of names must not grow memory."""
        owned = self._partition(partition)
        if len(owned.series) > 2 * self.max_streams + BLOCK_ROWS:
            owned.series.retain(np.flatnonzero(owned.row_of != NO_ROW).tolist())

    def occupied(self, partition: Partition) -> Rows:
        """Rows of the partition's streams."""
        owned = self._partition(partition)
        return np.sort(owned.row_of[owned.row_of != NO_ROW])

    def drop(self, partition: Partition) -> None:
        """Give the partition's blocks back; its state is gone."""
        owned = self._partitions.pop(partition, None)
        if owned is None:
            return
        for block in owned.blocks:
            rows = np.arange(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
            reset(self.fields, self.columns, rows)
            self.streams -= int((self._handles[rows] != NO_ROW).sum())
            self._handles[rows] = NO_ROW
        self._free_blocks.extend(owned.blocks)
        self._free_blocks.sort(reverse=True)

    @property
    def blocks(self) -> int:
        """Blocks in use."""
        return sum(len(owned.blocks) for owned in self._partitions.values())

    def _partition(self, partition: Partition) -> _PartitionStreams:
        return self._partitions.setdefault(partition, _PartitionStreams())

    def _admit(self, owned: _PartitionStreams, handle: int) -> None:
        if self.streams >= self.max_streams:
            return
        if not owned.free:
            block = self._new_block()
            owned.blocks.append(block)
            owned.free = list(range((block + 1) * BLOCK_ROWS - 1, block * BLOCK_ROWS - 1, -1))
        row = owned.free.pop()
        owned.row_of[handle] = row
        self._handles[row] = handle
        self.streams += 1

    def _new_block(self) -> int:
        if not self._free_blocks:
            blocks = len(self._handles) // BLOCK_ROWS
            grown = max(1, blocks // 2)
            for name, fresh in allocate(self.fields, grown * BLOCK_ROWS).items():
                self.columns[name] = np.concatenate((self.columns[name], fresh))
            self._handles = np.concatenate((self._handles, np.full(grown * BLOCK_ROWS, NO_ROW, dtype=np.int64)))
            self._free_blocks = list(range(blocks + grown - 1, blocks - 1, -1))
        return self._free_blocks.pop()
