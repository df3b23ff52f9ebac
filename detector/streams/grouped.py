"""Assigns rows to streams and to their groups, and frees them again.

A new stream gets the lowest free local number of its partition, so its place depends only on which streams there are.
A group gets a row with its first member, regardless of any limit, and loses it with its last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

from detector.columns import BLOCK_ROWS, BlockState, Field, Rows, reset
from detector.records import Int64, Partition
from detector.series import SeriesKey
from detector.streams.blocks import BlockTable
from detector.streams.event_time import EventTime
from detector.streams.membership import GROUP, IS_GROUP, NO_GROUP, Membership, group_key
from detector.streams.partition import NO_ROW, PartitionStreams
from detector.streams.sightings import SIGHTED
from detector.streams.splits import Splits


class GroupedTable(BlockTable):
    """Knows which rows are streams', which are groups', and which group each stream points to."""

    def __init__(self, fields: Iterable[Field], group_by: Sequence[str]) -> None:
        """Streams with the same values of the labels `group_by` form a group; `fields` must include `GROUP`."""
        super().__init__(fields)
        self.group_by = tuple(group_by)
        self.splits = Splits(self._partitions)
        self._own_fields = tuple(spec for spec in self.fields if spec != SIGHTED)
        """Fields of a row that describe its stream or group."""

    def occupied(self, partition: Partition) -> Rows:
        """Rows of the partition's streams and groups, in the order of local numbers."""
        owned = self._partition(partition)
        rows = owned.row_of[owned.row_of != NO_ROW]
        return np.asarray(rows[np.argsort(self._local(rows))])

    def stream_rows(self, partition: Partition) -> Rows:
        """Rows of the partition's streams, without those of groups, in the order of local numbers."""
        return self._only_streams(self.occupied(partition))

    def group_rows(self, partition: Partition, rows_N: Rows) -> Rows:
        """[N] row of each stream's group, which the caller may change; NO_ROW for streams without a group."""
        local_N = self.columns[GROUP.name][rows_N].astype(np.int64)
        groups_N = np.full(len(rows_N), NO_ROW, dtype=np.int64)
        grouped = local_N >= 0
        groups_N[grouped] = self._at(self._partition(partition), local_N[grouped])
        self._touch(groups_N[grouped])
        return groups_N

    def members(self, partition: Partition, groups_G: Rows) -> tuple[Rows, Int64]:
        """(rows of these groups' members, group after group; [G] where each group's members begin)."""
        owned = self._partition(partition)
        if owned.membership is None:
            rows = self.occupied(partition)
            owned.membership = Membership(rows, self.columns[GROUP.name][rows])
        members, starts_G = owned.membership.of(self._local(groups_G))
        self._touch(members)
        return members, starts_G

    def with_childless_groups(self, partition: Partition, leaving: Rows) -> Rows:
        """Rows of `leaving` streams, and of groups that have no other members."""
        rows = self.occupied(partition)
        groups = self.columns[GROUP.name][rows]
        if not (groups == IS_GROUP).any():
            return leaving
        stay = ~np.isin(rows, leaving)
        childless = rows[stay & (groups == IS_GROUP) & ~np.isin(self._local(rows), groups[stay & (groups >= 0)])]
        return np.concatenate((leaving, childless))

    def drop(self, partition: Partition) -> None:
        self.splits.remove(self._keys_of(self.stream_rows(partition)))
        super().drop(partition)

    def restore(self, partition: Partition, event_time: EventTime, blocks: Iterable[BlockState]) -> None:
        """Take over a partition; streams are grouped by the current `group_by`, not by the one of the snapshot."""
        super().restore(partition, event_time, blocks)
        owned = self._partition(partition)
        rows = self.stream_rows(partition)
        self._came(owned, self._keys_of(rows))
        if self.group_by or (self.columns[GROUP.name][rows] != NO_GROUP).any():
            for row in rows.tolist():
                self._join(owned, row, self.key(row))

    def release(self, partition: Partition, rows: Rows) -> None:
        """Forget these streams' state; their handles stay valid until `trim`."""
        if not len(rows):
            return
        owned = self._partition(partition)
        self._touch(rows)
        gone = self._keys_of(self._only_streams(rows))
        owned.remove(gone)
        self.splits.remove(gone)
        reset(self._own_fields, self.columns, rows)
        owned.row_of[self._handles[rows]] = NO_ROW
        self._handles[rows] = NO_ROW
        for row, local in zip(rows.tolist(), self._local(rows).tolist(), strict=True):
            self._keys[row] = None
            heapq.heappush(owned.free, local)
        owned.forgotten = True
        owned.membership = None

    def _came(self, owned: PartitionStreams, keys: Sequence[SeriesKey]) -> None:
        owned.add(keys)
        self.splits.add(keys)

    def _keys_of(self, rows: Rows) -> list[SeriesKey]:
        return [self.key(row) for row in rows.tolist()]

    def _only_streams(self, rows: Rows) -> Rows:
        """Those of `rows` that are not groups'."""
        some: Rows = rows[self.columns[GROUP.name][rows] != IS_GROUP]
        return some

    def _admit(self, owned: PartitionStreams, handle: int) -> None:
        self._place(owned, handle)
        key = owned.series.key(handle)
        self._came(owned, [key])
        if self.group_by:
            self._join(owned, int(owned.row_of[handle]), key)

    def _place(self, owned: PartitionStreams, handle: int) -> None:
        if not owned.free:
            first = len(owned.blocks) * BLOCK_ROWS
            self._new_block(owned)
            owned.free = list(range(first, first + BLOCK_ROWS))
        number, row = divmod(heapq.heappop(owned.free), BLOCK_ROWS)
        row += owned.blocks[number] * BLOCK_ROWS
        self._copies.touch_one(owned.blocks[number])
        owned.row_of[handle] = row
        self._handles[row] = handle
        self._keys[row] = owned.series.key(handle)

    def _join(self, owned: PartitionStreams, row: int, key: SeriesKey) -> None:
        """Point the stream in `row` to its group, if any; a group gets a row with its first member."""
        local, group = NO_GROUP, group_key(key, self.group_by)
        if group is not None:
            handle = owned.series.intern(group)
            owned.fit()
            if owned.row_of[handle] == NO_ROW:
                self._place(owned, handle)
                self.columns[GROUP.name][owned.row_of[handle]] = IS_GROUP
            local = int(self._local(owned.row_of[[handle]])[0])
        if self.columns[GROUP.name][row] != local:
            self._touch(np.array([row]))
            self.columns[GROUP.name][row] = local
        owned.membership = None
