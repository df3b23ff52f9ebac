"""This machine's own metrics as JSON records, about 50 series per interval.

The operating system's running totals become rates per second here, so every series is a gauge. A rate needs two
readings, so the first records come one interval after the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from detector.errors import SourceError
from detector.protocols import AssignmentChanges, Clock, SkippedRange
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch
from detector.sources.host_readings import UNREADABLE, Group, Reading, groups

TOPIC = "host"
PARTITION: Partition = (TOPIC, 0)

_Series = tuple[str, tuple[tuple[str, str], ...]]


class HostSource:
    """One record per series and interval, in the format of the JSON decoder. Offsets count records from 0."""

    exhausted = False

    def __init__(self, interval_seconds: float, clock: Clock, read: list[Group] | None = None) -> None:
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._groups = groups() if read is None else read
        self._totals: dict[_Series, float] = {}
        self._read_at = clock.monotonic()
        self._due = self._read_at + interval_seconds
        self._next_offset = 0
        self._unannounced = frozenset({PARTITION})
        self._resumed = False
        self._rates(self._readings(), seconds=0.0)

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        now = self._clock.monotonic()
        if now < self._due:
            self._clock.sleep(min(timeout_seconds, self._due - now))
            now = self._clock.monotonic()
        if now < self._due or not self._resumed:
            return []
        # After a pause, one reading covers all of it.
        self._due += self._interval_seconds * (1 + (now - self._due) // self._interval_seconds)
        samples = self._rates(self._readings(), now - self._read_at)
        self._read_at = now
        return [self._batch(samples)] if samples else []

    def changes(self) -> AssignmentChanges:
        assigned, self._unannounced = self._unannounced, frozenset()
        return AssignmentChanges(assigned=assigned, settled=bool(assigned))

    def skipped(self) -> list[SkippedRange]:
        return []

    def resume(self, partitions: frozenset[Partition]) -> None:
        self._resumed = self._resumed or PARTITION in partitions

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        """Only the numbering follows: the past cannot be read again."""
        self._next_offset = max(0, offset)

    def lineage(self, partition: Partition) -> Lineage:
        return UNKNOWN_LINEAGE

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Nothing to do: the machine keeps no position."""

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def ends(self) -> Mapping[Partition, int]:
        return {PARTITION: self._next_offset}

    def close(self, timeout_seconds: float) -> None:
        self._resumed = False

    def _readings(self) -> list[Reading]:
        """Readings of every group that works here; one that fails is left out from then on. Raises SourceError."""
        found: list[Reading] = []
        working = []
        for group in self._groups:
            try:
                found += group()
            except UNREADABLE:
                continue
            working.append(group)
        if not working:
            raise SourceError("this machine's metrics cannot be read: /proc is not readable here")
        self._groups = working
        return found

    def _rates(self, readings: list[Reading], seconds: float) -> list[Reading]:
        """Readings with running totals replaced by rates; a total that is new or was reset is left out."""
        samples = []
        for reading in readings:
            if not reading.is_running:
                samples.append(reading)
                continue
            series = (reading.name, reading.labels)
            before = self._totals.get(series)
            self._totals[series] = reading.value
            if before is not None and reading.value >= before and seconds > 0:
                samples.append(reading._replace(value=(reading.value - before) / seconds))
        return samples

    def _batch(self, samples: list[Reading]) -> RawBatch:
        time = self._clock.time()
        values: list[bytes | None] = [*_records(samples, time)]
        first = self._next_offset
        self._next_offset += len(values)
        return RawBatch(
            topic=TOPIC,
            partition=0,
            offsets=np.arange(first, self._next_offset, dtype=np.int64),
            record_times=np.full(len(values), time),
            values=values,
            keys=[None] * len(values),
        )


def _records(samples: list[Reading], time: float) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for name, labels, value, _ in samples:
        yield encode({"name": name, "labels": dict(labels), "timestamp": time, "value": float(value)})
