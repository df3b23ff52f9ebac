"""Where records come from, and what a source says of partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch


@dataclass(frozen=True, slots=True)
class AssignmentChanges:
    """What rebalances did since the last question, in sum: a partition that stays is not mentioned."""

    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()
    """Given up in order: their effects may still be committed."""
    lost: frozenset[Partition] = frozenset()
    """Taken away: somebody else may own them already, nothing may be committed."""
    settled: bool = False
    """The assignment is known, and may well be empty: a spare member has joined too."""
    imminent: bool = False
    """The next poll joins a rebalance: what was read until now can still be made durable before partitions go."""


@dataclass(frozen=True, slots=True)
class SkippedRange:
    """Offsets [first, last] that a source stepped past because no client can read them."""

    topic: str
    partition: int
    first: int
    last: int
    reason: str


class Source(Protocol):
    """Where records come from."""

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """Batches of distinct partitions; empty after the timeout. Raises SourceError; poll again if `retriable`."""
        ...

    def changes(self) -> AssignmentChanges:
        """Assignments since the last call. An assigned partition delivers nothing until `resume`d."""
        ...

    def skipped(self) -> list[SkippedRange]:
        """Ranges stepped past since the last call."""
        ...

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Start or go on delivering; the position is the committed offset, unless `seek` said otherwise."""
        ...

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Deliver nothing from these until `resume`d; positions stay."""
        ...

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        """The next record delivered from `partition` is the one at `offset`, or the first behind it.

        Where `lineage` says that the offset is of another log, the next `poll` finds the position lost.
        """
        ...

    def lineage(self, partition: Partition) -> Lineage:
        """Of the position behind the last record delivered, or sought."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Make durable that everything *before* each offset is done. Partitions not assigned any more are ignored."""
        ...

    def lag(self) -> Mapping[Partition, int]:
        """Records between the position and the end, as last heard; never blocks."""
        ...

    def ends(self) -> Mapping[Partition, int]:
        """Offset behind the last record that anybody can have read by now, as last heard; never blocks."""
        ...

    @property
    def exhausted(self) -> bool:
        """True when there will never be another record (files read to their end)."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Leave in order; idempotent."""
        ...
