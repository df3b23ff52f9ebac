"""Cuts what was read into portions that take a moment each, so that the loop comes round whatever was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from detector.protocols import Clock
from detector.records import RawBatch

PORTION_SECONDS = 1.0
FIRST_RECORDS = 100
MOST_RECORDS = 1 << 20


class Portions:
    """Learns how many records make a portion.

    A thousand samples of a thousand streams are computed at once, a thousand of one stream one after the other: how
    long a number of records takes is known only when they are done. State does not depend on where batches are cut.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records = FIRST_RECORDS

    def of(self, batches: Iterable[RawBatch]) -> Iterator[RawBatch]:
        """In order, each to be processed before the next is asked for."""
        for batch in batches:
            first = 0
            while first < len(batch):
                end = min(len(batch), first + self._records)
                began = self._clock.monotonic()
                yield _part(batch, first, end)
                self._learn(end - first, self._clock.monotonic() - began)
                first = end

    def _learn(self, records: int, seconds: float) -> None:
        if seconds > PORTION_SECONDS:
            self._records = max(1, int(records * PORTION_SECONDS / seconds))
        elif records == self._records and seconds < PORTION_SECONDS / 4:
            self._records = min(MOST_RECORDS, 2 * self._records)


def _part(batch: RawBatch, first: int, end: int) -> RawBatch:
    if (first, end) == (0, len(batch)):
        return batch
    return RawBatch(
        topic=batch.topic,
        partition=batch.partition,
        offsets=batch.offsets[first:end],
        record_times=batch.record_times[first:end],
        values=batch.values[first:end],
        keys=batch.keys[first:end],
    )
