"""Where state is kept."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.records import Partition


class StateStore(Protocol):
    """Named blobs of each partition, written once under names that are never reused. Raises StateUnavailable.

    `write` and `delete` only hand over; `flush` returning is the only proof that what was handed over is durable.
    """

    def opening(self, partition: Partition) -> Generator[None, None, Mapping[str, bytes]]:
        """Everything durable by now, whoever wrote it; values may be read lazily.

        In steps of at most a second: run it to the end, or abandon it with `close`. Only one at a time. Waiting for a
        store that does not answer is a step, too, until StateUnavailable is raised.
        """
        ...

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        """Hand over a blob; may block while much is in flight."""
        ...

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        """Hand over the deletion of blobs that nothing refers to; any that survive a crash are deleted later."""
        ...

    @property
    def in_flight(self) -> int:
        """Writes, not deletions, that were handed over but are not known to be durable; never blocks."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait for everything handed over. After an error, the store must not be used any more."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent; does not replace `flush`."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds for one partition."""

    partition: Partition
    blobs: Mapping[str, bytes]
    """Values may be read lazily."""
    written_at: Mapping[str, float]
    """Unix time at which each blob was written, by the store's own clock."""


class StateReader(Protocol):
    """Reads a store from outside, perhaps while a worker uses it. Writes nothing. Raises StateUnavailable."""

    def partitions(self) -> Iterator[Stored]:
        """Every input partition of the consumer group that has anything stored."""
        ...

    def open(self, partition: Partition) -> Stored:
        """One partition; without blobs if nothing is stored for it."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent."""
        ...
