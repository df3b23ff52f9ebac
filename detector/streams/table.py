"""The table of streams: which streams get a row, and which have been silent for so long that they lose it.

A series seen on two partitions is two streams here: state may depend on the records of one partition only. A partition
has `max_streams` places, and a stream takes one for every `PLACE_CHARACTERS` of its labels or part thereof. The last
sixteenth of the places is for streams that were seen before (`sightings.py`), so that names that never come again do
not keep out one that does. When a partition is full, the streams silent for longest give way at the next look for idle
ones. Limits apply per partition: the outcome of a sample must not depend on which other partitions a worker happens to
have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detector.columns import BLOCK_ROWS, Field, Rows, reset
from detector.records import Float64, Int64, Partition
from detector.streams.event_time import looked, until_look
from detector.streams.grouped import GroupedTable
from detector.streams.membership import GROUP, IS_GROUP
from detector.streams.partition import NO_ROW, PLACE_CHARACTERS, PartitionStreams, places
from detector.streams.sightings import SIGHTED, Slots

LATEST = Field("stream.latest", dtype="float64", initial=-np.inf)
"""Time of the newest accepted sample."""
LOOKS_PER_EXPIRY = 8
RESERVE = 16
"""One in so many places of a partition is reserved for streams that were seen before."""


class StreamTable(GroupedTable):
    """State columns of all streams, and the mapping from series handles to rows."""

    def __init__(
        self,
        fields: Sequence[Field],
        max_streams: int,
        idle_expiry_seconds: float,
        evict_idle_seconds: float = math.inf,
        group_by: Sequence[str] = (),
        group_fields: Sequence[Field] = (),
    ) -> None:
        """`max_streams` is per partition; a full one may evict streams that were silent for `evict_idle_seconds`.

        Streams with the same values of the labels `group_by` get a row for their group, which does not count towards
        the limit. `group_fields` hold the state of groups, and of members as such.
        """
        super().__init__((LATEST, SIGHTED, GROUP, *fields, *group_fields), group_by)
        self._stream_fields = (LATEST, *fields)
        """Fields of a row that describe its stream regardless of its group."""
        self.max_streams = max_streams
        self.open_streams = max_streams - max_streams // RESERVE
        """Places of a partition that are open to streams at first sight."""
        self.idle_expiry_seconds = idle_expiry_seconds
        self.evict_idle_seconds = evict_idle_seconds
        self.expired = 0
        self.evicted = 0

    def rows(self, partition: Partition, handles_N: Int64, times_N: Float64) -> Rows:
        """[N] row of each sample's stream, which the caller may change; new streams get rows.

        NO_ROW if the partition has no room for the stream at that sample.
        """
        owned = self._partition(partition)
        owned.fit()
        rows_N = owned.row_of[handles_N]
        new = np.flatnonzero(rows_N == NO_ROW)
        if len(new):
            new = self._admit_at_first_sight(owned, handles_N, rows_N, new)
        while len(new):
            new = self._admit_at_second_sight(owned, handles_N, times_N, rows_N, new)
        self._touch(rows_N[rows_N != NO_ROW])
        return rows_N

    def silence(self, rows_B: Rows, times_B: Float64) -> Float64:
        """[B] seconds since the stream's last sample; 0 before the first."""
        latest_B = self.columns[LATEST.name][rows_B]
        return np.where(np.isfinite(latest_B), times_B - latest_B, 0.0)

    def restart(self, rows_B: Rows) -> None:
        """Make these streams new again; they keep their rows, groups, and contributions to their group's tick."""
        reset(self._stream_fields, self.columns, rows_B)
        self.expired += len(rows_B)

    def until_look(self, partition: Partition, times_N: Float64) -> int | None:
        """Position of the first sample that needs a look at the streams, usually None; see `event_time`.

        Event time advances up to that sample. A step is an eighth of the shorter of the two silences that may cost a
        stream its place.
        """
        owned = self._partition(partition)
        owned.event_time, position = until_look(owned.event_time, times_N, self._step)
        return position

    def look(self, partition: Partition, handle: int, time: float) -> bool:
        """Take the sample that `until_look` found into event time; returns whether to forget silent streams."""
        owned, before = self._partition(partition), self.event_time(partition)
        owned.fit()
        rows = owned.row_of[(owned.row_of != NO_ROW) & (np.arange(len(owned.row_of)) != handle)]
        latest_S: Float64 = self.columns[LATEST.name][self._only_streams(rows)]
        owned.event_time = looked(before, time, latest_S[np.isfinite(latest_S)], self._step)
        return owned.event_time.newest > before.newest and not owned.event_time.young

    @property
    def _step(self) -> float:
        return min(self.idle_expiry_seconds, self.evict_idle_seconds) / LOOKS_PER_EXPIRY

    def idle_rows(self, partition: Partition, now: float) -> Rows:
        """Rows of streams that are due to expire at event time `now`, in the order of local numbers.

        Streams that lead it by as much are also due: once their clock is right, all their samples would be late.
        """
        rows = self.stream_rows(partition)
        expired: Rows = rows[np.abs(now - self.columns[LATEST.name][rows]) > self.idle_expiry_seconds]
        return expired

    def surplus_rows(self, partition: Partition, now: float) -> Rows:
        """Rows to evict from a full partition at event time `now`, those silent for longest first."""
        owned = self._partition(partition)
        if owned.places < self.max_streams:
            return np.empty(0, dtype=np.int64)
        rows = self.stream_rows(partition)
        latest: Float64 = self.columns[LATEST.name][rows]
        surplus = owned.places - min(self.open_streams, self.max_streams - 1)
        by_silence = np.argsort(latest, kind="stable")[:surplus]
        freed = np.cumsum([places(self.key(row)) for row in rows[by_silence].tolist()])
        by_silence = by_silence[: np.searchsorted(freed, surplus) + 1]
        evicted: Rows = rows[by_silence[now - latest[by_silence] > self.evict_idle_seconds]]
        return evicted

    def leading_groups(self, partition: Partition, now: float) -> Rows:
        """Rows of groups that lead event time `now` by more than the expiry, which the caller may change."""
        rows = self.occupied(partition)
        groups = rows[self.columns[GROUP.name][rows] == IS_GROUP]
        leading: Rows = groups[self.columns[LATEST.name][groups] - now > self.idle_expiry_seconds]
        self._touch(leading)
        return leading

    def trim(self, partition: Partition) -> None:
        """Forget series without a row; no handle of the partition may be in flight.

        Only acts if streams lost their rows or the series are too many: a flood of names must not grow memory.
        """
        owned = self._partition(partition)
        groups = len(owned.blocks) * BLOCK_ROWS - len(owned.free) - owned.streams
        most = 2 * self.max_streams + groups + BLOCK_ROWS
        if owned.forgotten or len(owned.series) > most or owned.series.characters > most * PLACE_CHARACTERS:
            owned.forgotten = False
            owned.hashes[owned.row_of == NO_ROW] = 0
            owned.series.retain(np.flatnonzero(owned.row_of != NO_ROW).tolist())

    def _admit_at_first_sight(self, owned: PartitionStreams, handles_N: Int64, rows_N: Rows, new: Int64) -> Int64:
        """Give rows to streams of the samples `new` while there is open room; returns the samples left over."""
        _, first = np.unique(handles_N[new], return_index=True)
        for handle in handles_N[new[np.sort(first)]].tolist():
            if owned.places >= self.open_streams:
                break
            self._admit(owned, handle)
        rows_N[new] = owned.row_of[handles_N[new]]
        return _without_row(new, rows_N)

    def _admit_at_second_sight(
        self, owned: PartitionStreams, handles_N: Int64, times_N: Float64, rows_N: Rows, new: Int64
    ) -> Int64:
        """Give rows to streams seen again, from that sample on; returns the samples to be examined again."""
        slots = Slots(owned.blocks, self.open_streams, owned.hashes_of(handles_N[new]), times_N[new])
        known, end = slots.known(self.columns[SIGHTED.name]), len(new)
        for at in np.flatnonzero(known).tolist():
            handle = int(handles_N[new[at]])
            if at >= end or owned.places >= self.max_streams:
                break
            if owned.row_of[handle] == NO_ROW:
                self._admit(owned, handle)
                later = at + np.flatnonzero(handles_N[new[at:]] == handle)
                rows_N[new[later]] = owned.row_of[handle]
                # A stream with a row leaves no tags, but `known` assumes this one did: examine what follows again.
                end = min([end, *later[~known[later]].tolist()])
        takers = slots.takers(known[:end])
        self._touch(slots.rows[takers])
        slots.leave(self.columns[SIGHTED.name], takers)
        return _without_row(new[end:], rows_N)


def _without_row(some: Int64, rows_N: Rows) -> Int64:
    left: Int64 = some[rows_N[some] == NO_ROW]
    return left
