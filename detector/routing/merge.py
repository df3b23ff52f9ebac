"""Samples of several partitions, in the order in which producers wrote their records.

A series that is spread over partitions is in order of time only as long as none of them runs ahead: read one after the
other, all of its samples but those of the first would be late. So the partition whose next record is oldest goes
first, as in Kafka Streams, and none is read past the records that another is known to have and has not delivered yet.
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
    """What is left of a batch."""

    samples: SampleBatch
    order: Float64
    """[N] newest record time so far: it never falls within a partition, so that nothing is overtaken there."""
    taken: int = 0


class Merge:
    """Takes batches of samples, gives them out merged. All of them must share one `SeriesIndex`."""

    def __init__(self) -> None:
        self._pieces: dict[Partition, deque[_Piece]] = {}
        self._newest: dict[Partition, float] = {}
        self._ends: dict[Partition, int] = {}

    def add(self, samples: SampleBatch, end: int, latest: float = np.inf) -> None:
        """Samples behind those of their partition that were added before; `end` is the offset behind their records.

        A record time after `latest` is wrong and counts as none: all that is behind it would wait for the others.
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
        """Forget what is left of a partition."""
        for known in (self._pieces, self._newest, self._ends):
            known.pop(partition, None)

    def pending(self, partition: Partition) -> int:
        """Samples of a partition that were not given out yet."""
        return sum(len(piece.samples) - piece.taken for piece in self._pieces.get(partition, ()))

    def series(self) -> Int64:
        """Handles of the samples that were not given out yet."""
        left = [piece.samples.series for pieces in self._pieces.values() for piece in pieces]
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *left]))

    def positions(self) -> dict[Partition, int]:
        """Offset of each partition's first record of which something is left, else the one behind its last."""
        return {
            partition: int(pieces[0].samples.offsets[pieces[0].taken]) if pieces else self._ends[partition]
            for partition, pieces in self._pieces.items()
        }

    def take(self, behind: Collection[Partition]) -> SampleBatch | None:
        """What can be given out while these partitions have more that is yet to come; None where nothing can."""
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
