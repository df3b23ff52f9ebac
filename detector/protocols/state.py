"""Where state is kept."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.records import Partition


class StateStore(Protocol):
    """Named blobs of a partition, each written once under a name that never comes again. Raises StateUnavailable.

    `write` and `delete` only hand over; `flush` returning is the only proof that what was handed over is durable.
    """

    def open(self, partition: Partition) -> Mapping[str, bytes]:
        """Everything that is durable by now, whoever wrote it; a value may be read when it is asked for."""
        ...

    def opening(self, partition: Partition) -> Generator[None, None, Mapping[str, bytes]]:
        """What `open` returns, in steps of a second at the most: to be run to the end, or given up with `close`.

        One at a time. A store that does not answer is a step, too, until it is StateUnavailable.
        """
        ...

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        """May block while much is on its way."""
        ...

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        """Nothing refers to these any more; what survives a crash is found and deleted later."""
        ...

    @property
    def in_flight(self) -> int:
        """Writes, not deletions, that were handed over and are not known to be durable; never blocks."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait for everything handed over. After an error the store is not to be used any more."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent; does not stand in for `flush`."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds of one partition."""

    partition: Partition
    blobs: Mapping[str, bytes]
    """A value may be read when it is asked for."""
    written_at: Mapping[str, float]
    """Unix time at which each blob was written, by the store's own clock."""


class StateReader(Protocol):
    """A look into a store from outside, where a worker may be at work. Writes nothing. Raises StateUnavailable."""

    def partitions(self) -> Iterator[Stored]:
        """Every input partition of the consumer group that there is anything of."""
        ...

    def open(self, partition: Partition) -> Stored:
        """One of them; no blobs where there is nothing of it."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent."""
        ...
