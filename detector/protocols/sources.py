"""Where records come from, and what a source reports about partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch


@dataclass(frozen=True, slots=True)
class AssignmentChanges:
    """The net effect of rebalances since the last call: a partition that stays is not mentioned."""

    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()
    """Given up in order; offsets may still be committed."""
    lost: frozenset[Partition] = frozenset()
    """Taken away; another member may own them already, so nothing may be committed."""
    settled: bool = False
    """The assignment is known, even if it is empty, as for a spare member."""
    imminent: bool = False
    """The next poll joins a rebalance; what was read so far can still be made durable before partitions go."""

    @property
    def gone(self) -> frozenset[Partition]:
        """Revoked and lost; one that came back at once is among those assigned, too."""
        return self.revoked | self.lost


@dataclass(frozen=True, slots=True)
class SkippedRange:
    """Offsets [first, last] that a source skipped because no client can read them."""

    topic: str
    partition: int
    first: int
    last: int
    reason: str


class Source(Protocol):
    """Where records come from."""

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """Batches of distinct partitions; empty after a timeout. Raises SourceError; poll again if `retriable`."""
        ...

    def changes(self) -> AssignmentChanges:
        """Changes since the last call. An assigned partition delivers nothing until `resume`d."""
        ...

    def skipped(self) -> list[SkippedRange]:
        """Ranges skipped since the last call."""
        ...

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Start or continue delivering; the position is the committed offset, unless `seek` set another."""
        ...

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        """Make the record at `offset`, or the first one after it, the next to be delivered from `partition`.

        If `lineage` shows that the offset belongs to another log, the next `poll` finds the position lost.
        """
        ...

    def lineage(self, partition: Partition) -> Lineage:
        """Lineage of the position: after the last record delivered, or where `seek` put it."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Make durable that everything *before* each offset is done. Partitions no longer assigned are ignored."""
        ...

    def lag(self) -> Mapping[Partition, int]:
        """Records between the position and the end, as last known; never blocks."""
        ...

    def ends(self) -> Mapping[Partition, int]:
        """Offset after the last record that anyone can have read by now, as last known; never blocks."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether there will never be another record (files read to their end)."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Leave in order; idempotent."""
        ...


class PausableSource(Source, Protocol):
    """A source that a router reads: it holds back partitions that are far ahead of others."""

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Deliver nothing from these until `resume`d; positions stay."""
        ...
