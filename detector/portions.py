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

    def of(self, batches: Iterable[RawBatch]) -> Iterator[list[RawBatch]]:
        """Portions of these batches of distinct partitions, each to be processed before the next is asked for.

        A portion has equal parts of them, as far as they go, so that their rounds are shared to the end.
        """
        left = [batch for batch in batches if len(batch)]
        while left:
            shares = _shares([len(batch) for batch in left], self._records)
            began = self._clock.monotonic()
            yield [_part(batch, 0, share) for batch, share in zip(left, shares, strict=True) if share]
            self._learn(sum(shares), self._clock.monotonic() - began)
            left = [
                _part(batch, share, len(batch)) for batch, share in zip(left, shares, strict=True) if share < len(batch)
            ]

    def _learn(self, records: int, seconds: float) -> None:
        if seconds > PORTION_SECONDS:
            self._records = max(1, int(records * PORTION_SECONDS / seconds))
        elif records == self._records and seconds < PORTION_SECONDS / 4:
            self._records = min(MOST_RECORDS, 2 * self._records)


def _shares(lengths: list[int], records: int) -> list[int]:
    """How many of each are among `records` in all: as many of one as of the other, and all where there are fewer.

    >>> _shares([10, 2, 10], 12), _shares([1, 1], 12), _shares([5, 5, 5], 2)
    ([5, 2, 5], [1, 1], [0, 1, 1])
    """
    shares = [0] * len(lengths)
    for done, at in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        shares[at] = min(lengths[at], records // (len(lengths) - done))
        records -= shares[at]
    return shares


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
