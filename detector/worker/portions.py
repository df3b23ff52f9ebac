"""Cuts what was read into short portions, so that the loop stays responsive whatever was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from detector.protocols import Clock
from detector.records import RawBatch

PORTION_SECONDS = 1.0
FIRST_RECORDS = 100
MOST_RECORDS = 1 << 20
MOST_BYTES = 1 << 21
"""Size of values: a record may hold one sample or a hundred thousand."""


class Portions:
    """Learns how many records make a portion.

    A thousand samples of a thousand streams are computed together, a thousand of one stream one after the other: how
    long a number of records takes is known only afterwards. State does not depend on where batches are cut.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records = FIRST_RECORDS

    def of(self, batches: Iterable[RawBatch]) -> Iterator[list[RawBatch]]:
        """Portions of these batches of distinct partitions; process each before asking for the next.

        A portion takes equal parts of the batches, as far as they go, so that they share rounds to the end. What was
        learned from small records says nothing about large ones, so a portion also has at most about `MOST_BYTES`.
        """
        left = [batch for batch in batches if len(batch)]
        while left:
            shares = _within(left, _shares([len(batch) for batch in left], self._records))
            began = self._clock.monotonic()
            yield [_part(batch, 0, share) for batch, share in zip(left, shares, strict=True) if share]
            self._learn(sum(shares), self._clock.monotonic() - began)
            left = [
                _part(batch, share, len(batch)) for batch, share in zip(left, shares, strict=True) if share < len(batch)
            ]

    def _learn(self, records: int, seconds: float) -> None:
        if seconds > PORTION_SECONDS:
            self._records = max(1, int(records * PORTION_SECONDS / seconds))
        elif records == self._records and seconds < PORTION_SECONDS / 2:  # twice as many take twice as long at most
            self._records = min(MOST_RECORDS, 2 * self._records)


def _shares(lengths: list[int], records: int) -> list[int]:
    """How many records of each batch are among `records` in total: equally many, or all of a batch that has fewer.

    >>> _shares([10, 2, 10], 12), _shares([1, 1], 12), _shares([5, 5, 5], 2)
    ([5, 2, 5], [1, 1], [0, 1, 1])
    """
    shares = [0] * len(lengths)
    for done, at in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        shares[at] = min(lengths[at], records // (len(lengths) - done))
        records -= shares[at]
    return shares


def _within(batches: list[RawBatch], shares: list[int]) -> list[int]:
    """Reduce the shares to about `MOST_BYTES` in total, in equal parts again, but to one record at least.

    What is too much for one portion is divided evenly: the rounds of a small rest would cost as much as large ones.
    """
    pieces = -(-sum(_bytes(batch.values[:share]) for batch, share in zip(batches, shares, strict=True)) // MOST_BYTES)
    if pieces <= 1:
        return shares
    each, left, within = MOST_BYTES / sum(map(bool, shares)), MOST_BYTES, []
    for batch, share in zip(batches, shares, strict=True):
        fits = _fitting(batch.values[: -(-share // pieces)], each) if left > 0 else 0
        left -= _bytes(batch.values[:fits])
        within.append(fits)
    return within


def _fitting(values: list[bytes | None], most_bytes: float) -> int:
    """How many of the first values fit into `most_bytes`; at least one, if there is one."""
    if _bytes(values) <= most_bytes:
        return len(values)
    return max(1, int(np.searchsorted(np.cumsum([len(value or b"") for value in values]), most_bytes, side="right")))


def _bytes(values: list[bytes | None]) -> int:
    return sum(map(len, filter(None, values)))


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
