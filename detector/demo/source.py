"""A source that plays the simulated fleet in time-lapse, next to this machine's own metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np

from detector.protocols import AssignmentChanges, Clock, SkippedRange, Source
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch
from detector.synthetic.fleet import Fleet

PARTITION: Partition = ("fleet", 0)
BACKFILL_ROUNDS = 20
"""History delivered per poll."""
FASTEST_ROUNDS_PER_SECOND = 20.0


class FleetSource:
    """A round is one sample of every stream. First the history at once, then the rest evenly until the deadline.

    If the history took long, the rest comes faster, so that every machine sees the same rounds; only one that cannot
    keep up passes the deadline. `other` is polled in between, and neither ends nor delays the source.
    """

    def __init__(
        self,
        fleet: Fleet,
        other: Source,
        clock: Clock,
        *,
        history_rounds: int,
        deadline: float,
        on_rounds: Callable[[int], None],
        on_records: Callable[[RawBatch], None],
    ) -> None:
        self._fleet = fleet
        self._other = other
        self._clock = clock
        self._history_rounds = history_rounds
        self._rounds = len(fleet.times_T)
        self._deadline = deadline
        self._on_rounds = on_rounds
        self._on_records = on_records
        self._next = 0
        self._next_at = -np.inf
        self._unannounced = frozenset({PARTITION})
        self._heads = [_head(name, labels) for name, labels in zip(fleet.names, fleet.labels, strict=True)]

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        batches = self._other.poll(0.0)
        rounds = self._due()
        if not rounds and not batches:
            self._clock.sleep(max(0.0, min(timeout_seconds, self._next_at - self._clock.monotonic())))
            rounds = self._due()
        if rounds:
            batches.append(self._batch(self._next, self._next + rounds))
            self._next += rounds
            self._on_rounds(self._next)
        for batch in batches:
            self._on_records(batch)
        return batches

    def changes(self) -> AssignmentChanges:
        other = self._other.changes()
        assigned, self._unannounced = self._unannounced | other.assigned, frozenset()
        return AssignmentChanges(assigned, other.revoked, other.lost, settled=bool(assigned))

    def skipped(self) -> list[SkippedRange]:
        return []

    def resume(self, partitions: frozenset[Partition]) -> None:
        self._other.resume(partitions)

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        """Nothing to do: the demo does not keep its past."""

    def lineage(self, partition: Partition) -> Lineage:
        return UNKNOWN_LINEAGE

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Nothing to do: the demo stores no offsets."""

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def ends(self) -> Mapping[Partition, int]:
        return {PARTITION: self._next * len(self._heads), **self._other.ends()}

    @property
    def exhausted(self) -> bool:
        return self._next >= self._rounds

    def close(self, timeout_seconds: float) -> None:
        self._other.close(timeout_seconds)

    def _due(self) -> int:
        """Rounds to deliver now."""
        if self._next < self._history_rounds:
            return min(BACKFILL_ROUNDS, self._history_rounds - self._next)
        now = self._clock.monotonic()
        if now < self._next_at or self.exhausted:
            return 0
        even = (self._deadline - now) / (self._rounds - self._next)
        self._next_at = now + max(even, 1.0 / FASTEST_ROUNDS_PER_SECOND)
        return 1

    def _batch(self, first: int, end: int) -> RawBatch:
        values: list[bytes | None] = []
        for step in range(first, end):
            moment = float(self._fleet.times_T[step])
            for head, value in zip(self._heads, self._fleet.values_ST[:, step].tolist(), strict=True):
                values.append(f'{head},"timestamp":{moment!r},"value":{value!r}}}'.encode())
        streams = len(self._heads)
        return RawBatch(
            topic=PARTITION[0],
            partition=PARTITION[1],
            offsets=np.arange(first * streams, end * streams, dtype=np.int64),
            record_times=np.repeat(self._fleet.times_T[first:end], streams),
            values=values,
            keys=[None] * len(values),
        )


def _head(name: str, labels: dict[str, str]) -> str:
    return json.dumps({"name": name, "labels": labels}, separators=(",", ":"))[:-1]
