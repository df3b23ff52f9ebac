"""The table of streams: which row holds whose state.

Rows come in blocks of 256 and a block belongs to one partition, so that a partition's state can be written out and
handed over by the block. A stream that is seen on two partitions is two streams here: state may depend on the records
of one partition only. Within a partition rows are numbered by its own blocks, and a new stream gets the lowest number
that is free: where it lands depends on which streams there are, and on nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.columns import BLOCK_ROWS, BlockState, Field, Rows, allocate, reset
from detector.records import Float64, Int64, Partition
from detector.series import SeriesIndex, SeriesKey
from detector.streams.partition import NO_ROW, PartitionStreams

LATEST = Field("stream.latest", dtype="float64", initial=-np.inf)
"""Time of the newest accepted sample."""
SWEEPS_PER_EXPIRY = 8
SPARE_BLOCKS = 64
"""Memory of block copies that is kept for the next ones."""


class StreamTable:
    """State columns of all streams, and the way from a series handle to its row."""

    def __init__(self, fields: Iterable[Field], max_streams: int, idle_expiry_seconds: float) -> None:
        self.fields = (LATEST, *fields)
        self.columns: dict[str, npt.NDArray[Any]] = allocate(self.fields, 0)
        self.max_streams = max_streams
        self.idle_expiry_seconds = idle_expiry_seconds
        self.streams = 0
        self.expired = 0
        self._partitions: dict[Partition, PartitionStreams] = {}
        self._free_blocks: list[int] = []
        self._handles: Int64 = np.empty(0, dtype=np.int64)
        """[rows] handle in the owning partition, NO_ROW where the row is free."""
        self._keys: list[SeriesKey | None] = []
        """[rows] whose it is."""
        self._number: Int64 = np.empty(0, dtype=np.int64)
        """[blocks] number within the owning partition."""
        self._changed: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        """[blocks] that may have changed since they were last cut out."""
        self._promised: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        """[blocks] that a cut has yet to copy, as they were when it was made."""
        self._copies: dict[int, BlockState] = {}
        """Promised blocks that were copied early, because a sample was about to change them."""
        self._spare: list[dict[str, npt.NDArray[Any]]] = []

    @property
    def bytes_per_stream(self) -> int:
        """Fixed size of a stream's state."""
        return sum(spec.nbytes for spec in self.fields)

    def series(self, partition: Partition) -> SeriesIndex:
        """The index whose handles `rows` understands; made at the first question."""
        return self._partition(partition).series

    def key(self, partition: Partition, row: int) -> SeriesKey:
        """Whose state `row` holds."""
        key = self._keys[row]
        if key is None:
            raise KeyError(f"row {row} of {partition} is free")
        return key

    def watermark(self, partition: Partition) -> float:
        """Newest event time of the partition, -inf before its first sample."""
        return self._partition(partition).watermark

    def rows(self, partition: Partition, handles_N: Int64, times_N: Float64) -> Rows:
        """[N] row of each sample's stream, which the caller may change; new streams get one.

        NO_ROW where there are `max_streams` already.
        """
        owned = self._partition(partition)
        owned.fit()
        rows_N = owned.row_of[handles_N]
        new_N = rows_N == NO_ROW
        if new_N.any():
            _, first = np.unique(handles_N[new_N], return_index=True)
            for handle in handles_N[new_N][np.sort(first)].tolist():
                self._admit(owned, handle)
            rows_N = owned.row_of[handles_N]
        self._touch(rows_N[rows_N != NO_ROW])
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

    def sweeps(self, partition: Partition, times_N: Float64) -> Int64:
        """Positions of the samples before which idle streams are to be looked for. Usually none.

        That is where event time crosses a multiple of an eighth of the expiry: a matter of the samples' order only.
        """
        if not len(times_N):
            return np.empty(0, dtype=np.int64)
        watermark = self._partition(partition).watermark
        watermark = float(times_N[0]) if watermark == -np.inf else watermark
        step = self.idle_expiry_seconds / SWEEPS_PER_EXPIRY
        steps_N = np.floor(np.maximum.accumulate(np.concatenate(([watermark], times_N))) / step)
        return np.flatnonzero(steps_N[1:] > steps_N[:-1])

    def idle_rows(self, partition: Partition, now: float) -> Rows:
        """Rows that are due to expire at event time `now`, in the order of the partition's own numbers."""
        rows = self.occupied(partition)
        return rows[now - self.columns[LATEST.name][rows] > self.idle_expiry_seconds]

    def release(self, partition: Partition, rows: Rows) -> None:
        """Forget these streams' state; their handles stay valid until `trim`."""
        if not len(rows):
            return
        owned = self._partition(partition)
        self._touch(rows)
        reset(self.fields, self.columns, rows)
        owned.row_of[self._handles[rows]] = NO_ROW
        self._handles[rows] = NO_ROW
        for row, local in zip(rows.tolist(), self._local(rows).tolist(), strict=True):
            self._keys[row] = None
            heapq.heappush(owned.free, local)
        self.streams -= len(rows)
        self.expired += len(rows)
        owned.forgotten = True

    def trim(self, partition: Partition) -> None:
        """Forget series that have no row; no handle of the partition may be in flight.

        It is done when some lost theirs, or when they are too many: a flood of names must not grow memory.
        """
        owned = self._partition(partition)
        if owned.forgotten or len(owned.series) > 2 * self.max_streams + BLOCK_ROWS:
            owned.forgotten = False
            owned.series.retain(np.flatnonzero(owned.row_of != NO_ROW).tolist())

    def occupied(self, partition: Partition) -> Rows:
        """Rows of the partition's streams, in the order of its own numbers."""
        owned = self._partition(partition)
        rows = owned.row_of[owned.row_of != NO_ROW]
        return np.asarray(rows[np.argsort(self._local(rows))])

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
            self._keys[rows[0] : rows[-1] + 1] = [None] * BLOCK_ROWS
            self._changed[block] = self._promised[block] = False
            self._copies.pop(block, None)
        self._free_blocks.extend(owned.blocks)
        self._free_blocks.sort(reverse=True)

    @property
    def blocks(self) -> int:
        """Blocks in use."""
        return sum(len(owned.blocks) for owned in self._partitions.values())

    def blocks_of(self, partition: Partition) -> int:
        """Blocks of one partition."""
        return len(self._partition(partition).blocks)

    def cut(self, partition: Partition) -> list[int]:
        """Numbers of the blocks that changed since the last cut. Until they are `take`n, each is promised as it is now.

        Costs next to nothing: a block is copied when it is taken, or when a sample is about to change it.
        """
        owned = self._partition(partition)
        blocks = np.array(owned.blocks, dtype=np.int64)
        numbers = np.flatnonzero(self._changed[blocks])
        self._promised[blocks[numbers]] = True
        self._changed[blocks[numbers]] = False
        return [int(number) for number in numbers]

    def take(self, partition: Partition, number: int) -> BlockState:
        """A promised block as it was at the cut."""
        owned = self._partitions[partition]
        block = owned.blocks[number]
        self._promised[block] = False
        return self._copies.pop(block, None) or self._copy(block)

    def recycle(self, state: BlockState) -> None:
        """A taken block is not needed any more; its memory serves for others."""
        if len(self._spare) < SPARE_BLOCKS:
            self._spare.append(state.columns)

    def uncut(self, partition: Partition, numbers: Collection[int]) -> None:
        """These blocks of a cut did not become durable: the next cut has them again."""
        owned = self._partitions.get(partition)
        for block in (owned.blocks[number] for number in numbers) if owned else ():
            self._changed[block], self._promised[block] = True, False
            self._copies.pop(block, None)

    def restore(self, partition: Partition, watermark: float, blocks: Iterable[BlockState]) -> None:
        """Take over a partition that is not here: its blocks by number, without a gap. They count as unchanged."""
        if partition in self._partitions and self._partitions[partition].blocks:
            raise ValueError(f"{partition} is here already")
        owned = self._partition(partition)
        owned.watermark = watermark
        for number, state in enumerate(blocks):
            if state.number != number:
                raise ValueError(f"block {state.number} of {partition} came as {number}")
            block = self._new_block(owned)
            rows = np.arange(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
            for name, column in state.columns.items():
                self.columns[name][rows] = column
            self._keys[rows[0] : rows[-1] + 1] = state.keys
            taken = np.flatnonzero(np.array([key is not None for key in state.keys]))
            handles = np.array([owned.series.intern(key) for key in state.keys if key is not None], dtype=np.int64)
            owned.fit()
            owned.row_of[handles], self._handles[rows[taken]] = rows[taken], handles
            owned.free += (np.setdiff1d(np.arange(BLOCK_ROWS), taken) + number * BLOCK_ROWS).tolist()
            self.streams += len(taken)
        heapq.heapify(owned.free)

    def _partition(self, partition: Partition) -> PartitionStreams:
        return self._partitions.setdefault(partition, PartitionStreams())

    def _local(self, rows: Rows) -> Int64:
        """Rows by their partition's own numbers."""
        return self._number[rows // BLOCK_ROWS] * BLOCK_ROWS + rows % BLOCK_ROWS

    def _touch(self, rows: Rows) -> None:
        """These rows are about to change: copy what a cut was promised."""
        blocks = rows // BLOCK_ROWS
        self._changed[blocks] = True
        due = self._promised[blocks]
        if due.any():
            for block in np.unique(blocks[due]).tolist():
                self._copies[block] = self._copy(block)
            self._promised[blocks] = False

    def _copy(self, block: int) -> BlockState:
        rows = slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
        # Fresh memory costs three times as much as the copying itself.
        columns = self._spare.pop() if self._spare else allocate(self.fields, BLOCK_ROWS)
        for name, column in self.columns.items():
            np.copyto(columns[name], column[rows])
        return BlockState(int(self._number[block]), columns, self._keys[rows])

    def _admit(self, owned: PartitionStreams, handle: int) -> None:
        if self.streams >= self.max_streams:
            return
        if not owned.free:
            first = len(owned.blocks) * BLOCK_ROWS
            self._new_block(owned)
            owned.free = list(range(first, first + BLOCK_ROWS))
        number, row = divmod(heapq.heappop(owned.free), BLOCK_ROWS)
        block = owned.blocks[number]
        if self._promised[block]:
            self._touch(np.array([block * BLOCK_ROWS]))
        self._changed[block] = True
        row += block * BLOCK_ROWS
        owned.row_of[handle] = row
        self._handles[row] = handle
        self._keys[row] = owned.series.key(handle)
        self.streams += 1

    def _new_block(self, owned: PartitionStreams) -> int:
        if not self._free_blocks:
            self._grow()
        block = self._free_blocks.pop()
        self._number[block] = len(owned.blocks)
        owned.blocks.append(block)
        return block

    def _grow(self) -> None:
        blocks = len(self._number)
        grown = max(1, blocks // 2)
        for name, fresh in allocate(self.fields, grown * BLOCK_ROWS).items():
            self.columns[name] = np.concatenate((self.columns[name], fresh))
        self._handles = np.concatenate((self._handles, np.full(grown * BLOCK_ROWS, NO_ROW, dtype=np.int64)))
        self._keys += [None] * (grown * BLOCK_ROWS)
        self._number = np.concatenate((self._number, np.zeros(grown, dtype=np.int64)))
        nothing = np.zeros(grown, dtype=np.bool_)
        self._changed = np.concatenate((self._changed, nothing))
        self._promised = np.concatenate((self._promised, nothing))
        self._free_blocks = list(range(blocks + grown - 1, blocks - 1, -1))
