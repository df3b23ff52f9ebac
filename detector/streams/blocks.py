"""State columns in blocks of 256 rows, each owned by one partition, and the mapping from series handles to rows.

A partition's state can be written out and handed over block by block. Within a partition, rows have local numbers, by
their place in its own blocks.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.columns import BLOCK_ROWS, BlockState, Field, Rows, allocate, reset
from detector.records import Int64, Partition
from detector.series import SeriesIndex, SeriesKey
from detector.streams.copies import BlockCopies
from detector.streams.event_time import EventTime
from detector.streams.partition import NO_ROW, PartitionStreams


class BlockTable:
    """Blocks of all partitions, and which of them a checkpoint has to write."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)
        self.columns: dict[str, npt.NDArray[Any]] = allocate(self.fields, 0)
        self._partitions: dict[Partition, PartitionStreams] = {}
        self._free_blocks: list[int] = []
        self._handles: Int64 = np.empty(0, dtype=np.int64)
        """[rows] handle in the owning partition; NO_ROW where the row is free."""
        self._keys: list[SeriesKey | None] = []
        """[rows] key of the row's series; None where the row is free."""
        self._number: Int64 = np.empty(0, dtype=np.int64)
        """[blocks] number within the owning partition."""
        self._copies = BlockCopies(self._copy)

    @property
    def bytes_per_stream(self) -> int:
        """Fixed size of a stream's state."""
        return sum(spec.nbytes for spec in self.fields)

    @property
    def streams(self) -> int:
        """Streams of all partitions."""
        return sum(owned.streams for owned in self._partitions.values())

    def streams_of(self, partition: Partition) -> int:
        """Streams of one partition."""
        return self._partition(partition).streams

    def places_of(self, partition: Partition) -> int:
        """Places that the partition's streams take."""
        return self._partition(partition).places

    def series(self, partition: Partition) -> SeriesIndex:
        """The index of the handles that `rows` takes; created on first use."""
        return self._partition(partition).series

    def key(self, row: int) -> SeriesKey:
        """Series whose state `row` holds; KeyError for a free row."""
        key = self._keys[row]
        if key is None:
            raise KeyError(f"row {row} is free")
        return key

    def event_time(self, partition: Partition) -> EventTime:
        """The partition's event time."""
        return self._partition(partition).event_time

    def drop(self, partition: Partition) -> None:
        """Free the partition's blocks and discard its state."""
        owned = self._partitions.pop(partition, None)
        if owned is None:
            return
        for block in owned.blocks:
            rows = np.arange(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
            reset(self.fields, self.columns, rows)
            self._handles[rows] = NO_ROW
            self._keys[rows[0] : rows[-1] + 1] = [None] * BLOCK_ROWS
            self._copies.forget(block)
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
        """Numbers of the blocks that changed since the last cut; `take` will return each as it is now.

        Costs next to nothing: a block is copied only when it is taken, or when a sample is about to change it.
        """
        blocks = np.array(self._partition(partition).blocks, dtype=np.int64)
        return [int(number) for number in self._copies.capture(blocks)]

    def take(self, partition: Partition, number: int) -> BlockState:
        """A captured block as it was at the cut."""
        return self._copies.take(self._partitions[partition].blocks[number])

    def cancel_cut(self, partition: Partition, numbers: Collection[int]) -> None:
        """Return blocks of a cut that did not become durable; the next cut includes them again."""
        owned = self._partitions.get(partition)
        for block in (owned.blocks[number] for number in numbers) if owned else ():
            self._copies.mark_changed(block)

    def restore(self, partition: Partition, event_time: EventTime, blocks: Iterable[BlockState]) -> None:
        """Take over a new partition: its blocks in order of their numbers, without gaps. They count as unchanged."""
        if partition in self._partitions and self._partitions[partition].blocks:
            raise ValueError(f"{partition} is here already")
        owned = self._partition(partition)
        owned.event_time = event_time
        for number, state in enumerate(blocks):
            if state.number != number:
                raise ValueError(f"block {state.number} of {partition} came as {number}")
            block = self._new_block(owned)
            rows = np.arange(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
            for name, column in state.columns.items():
                self.columns[name][rows] = column
            self._keys[rows[0] : rows[-1] + 1] = state.keys
            taken = np.flatnonzero(np.array([key is not None for key in state.keys]))
            keys = [key for key in state.keys if key is not None]
            handles = np.array([owned.series.intern(key) for key in keys], dtype=np.int64)
            owned.fit()
            owned.row_of[handles], self._handles[rows[taken]] = rows[taken], handles
            owned.free += (np.setdiff1d(np.arange(BLOCK_ROWS), taken) + number * BLOCK_ROWS).tolist()
        heapq.heapify(owned.free)

    def _partition(self, partition: Partition) -> PartitionStreams:
        owned = self._partitions.get(partition)
        if owned is None:
            owned = self._partitions[partition] = PartitionStreams()
        return owned

    def _local(self, rows: Rows) -> Int64:
        """Local numbers of rows."""
        return self._number[rows // BLOCK_ROWS] * BLOCK_ROWS + rows % BLOCK_ROWS

    def _at(self, owned: PartitionStreams, local_N: Int64) -> Rows:
        """Rows of the table by their local numbers in the partition."""
        blocks = np.array(owned.blocks, dtype=np.int64)
        rows: Rows = blocks[local_N // BLOCK_ROWS] * BLOCK_ROWS + local_N % BLOCK_ROWS
        return rows

    def _touch(self, rows: Rows) -> None:
        """Announce that these rows are about to change: copies blocks captured by a cut."""
        self._copies.touch(rows // BLOCK_ROWS)

    def _copy(self, block: int) -> BlockState:
        rows = slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
        columns = {name: column[rows].copy() for name, column in self.columns.items()}
        return BlockState(int(self._number[block]), columns, self._keys[rows])

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
        self._copies.grow(grown)
        self._free_blocks = list(range(blocks + grown - 1, blocks - 1, -1))
