"""Merges samples of several partitions into the order in which producers wrote their records.

A series spread over partitions is in time order only if no partition runs ahead: if they were read one after another,
all samples but those of the first would be late. So the partition with the oldest next record goes first, as in Kafka
Streams, and none is read past records that another is known to have but has not delivered yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from detector.records import Float64, Int64, Partition, SampleBatch

_COLUMNS = ("series", "times", "values", "kinds", "outcomes", "offsets", "record_times")


@dataclass(slots=True)
class _Piece:
    """The rest of a batch."""

    samples: SampleBatch
    order: Float64
    """[N] newest record time so far. It never decreases within a partition, so its samples keep their order."""
    taken: int = 0


class Merge:
    """Takes batches of samples and returns them merged. All must share one `SeriesIndex`."""

    def __init__(self) -> None:
        self._pieces: dict[Partition, deque[_Piece]] = {}
        self._newest: dict[Partition, float] = {}
        self._ends: dict[Partition, int] = {}

    def add(self, samples: SampleBatch, end: int, latest: float = np.inf) -> None:
        """Append the next samples of their partition; `end` is the offset after their records.

        A record time after `latest` is wrong and is ignored: all that follows it would wait for other partitions.
        """
        partition = (samples.topic, samples.partition)
        pieces = self._pieces.setdefault(partition, deque())
        newest = self._newest.get(partition, -np.inf)
        times = np.where(samples.record_times <= latest, samples.record_times, np.nan)
        order = np.fmax.accumulate(np.concatenate(([newest], times)))
        self._newest[partition], self._ends[partition] = float(order[-1]), end
        if len(samples):
            pieces.append(_Piece(samples, order[1:]))

    def drop(self, partition: Partition) -> None:
        """Drop what is left of a partition."""
        for known in (self._pieces, self._newest, self._ends):
            known.pop(partition, None)

    def pending(self, partition: Partition) -> int:
        """Samples of a partition not yet taken."""
        return sum(len(piece.samples) - piece.taken for piece in self._pieces.get(partition, ()))

    def series(self) -> Int64:
        """Handles of the series with samples not yet taken."""
        left = [piece.samples.series for pieces in self._pieces.values() for piece in pieces]
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *left]))

    def positions(self) -> dict[Partition, int]:
        """For each partition, the offset of the first record with samples left, otherwise the one after its last."""
        return {
            partition: int(pieces[0].samples.offsets[pieces[0].taken]) if pieces else self._ends[partition]
            for partition, pieces in self._pieces.items()
        }

    def take(self, behind: Collection[Partition]) -> SampleBatch | None:
        """The samples that need not wait for more from the partitions in `behind`; None if there are none."""
        if any(not self._pieces.get(partition) for partition in behind):
            return None
        horizon = min((float(self._pieces[partition][-1].order[-1]) for partition in behind), default=np.inf)
        parts = [part for partition in sorted(self._pieces) for part in self._cut(partition, horizon)]
        if not parts:
            return None
        nth = np.argsort(np.concatenate([order for order, _ in parts]), kind="stable")
        merged = {name: np.concatenate([columns[name] for _, columns in parts])[nth] for name in _COLUMNS}
        return SampleBatch("", -1, **merged)  # type: ignore[arg-type]

    def _cut(self, partition: Partition, horizon: float) -> list[tuple[Float64, dict[str, np.ndarray]]]:
        pieces, parts = self._pieces[partition], []
        while pieces:
            piece = pieces[0]
            end = int(np.searchsorted(piece.order, horizon, side="right"))
            if end > piece.taken:
                span = slice(piece.taken, end)
                parts.append((piece.order[span], {name: getattr(piece.samples, name)[span] for name in _COLUMNS}))
            if end < len(piece.samples):
                piece.taken = end
                break
            pieces.popleft()
        return parts
