"""Batches of several partitions side by side: columns of their samples and of the results.

Streams of different partitions are different rows of one table, so a round may hold samples of all of them.

Shape legend: N samples of all batches, batch after batch; P batches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from detector.protocols import Forecaster
from detector.records import Alert, Float64, Int64, Outcome, Partition, SampleBatch, ScoredBatch, Uint8
from detector.streams.ordering import screen

T = TypeVar("T", bound=np.generic)


class Joined:
    """Batches on their way through the pipeline. A position is an index into the samples of all batches."""

    def __init__(self, batches: Sequence[SampleBatch], forecaster: Forecaster, max_future_seconds: float) -> None:
        """`batches`: at least one, of distinct partitions, all forecast by `forecaster`; see also `screen`."""
        self.partitions: list[Partition] = [(batch.topic, batch.partition) for batch in batches]
        if len(set(self.partitions)) < len(self.partitions):
            raise ValueError(f"batches of one partition cannot go side by side: {self.partitions}")
        self.forecaster = forecaster
        self._bounds = [0, *accumulate(map(len, batches))]
        self.series: Int64 = _side_by_side([batch.series for batch in batches])
        self.times: Float64 = _side_by_side([batch.times for batch in batches])
        self.values: Float64 = _side_by_side([batch.values for batch in batches])
        self.kinds: Uint8 = _side_by_side([batch.kinds for batch in batches])
        self.offsets: Int64 = _side_by_side([batch.offsets for batch in batches])
        self.outcomes: Uint8 = _side_by_side([screen(batch, max_future_seconds) for batch in batches])
        count = self._bounds[-1]
        self.expected: Float64 = np.full(count, np.nan)
        self.lower: Float64 = np.full(count, np.nan)
        self.upper: Float64 = np.full(count, np.nan)
        self.scores: Float64 = np.zeros(count)
        self.statuses: Uint8 = np.zeros(count, dtype=np.uint8)
        self.novelty: Float64 = np.zeros(count)
        """`novelty`, `size` and `reach` are for groups."""
        self.size: Float64 = np.zeros(count)
        self.reach: Float64 = np.zeros(count)
        self.alerts: list[tuple[int, Alert]] = []
        """(position of the sample that changed an alert, the alert)."""
        self.muted: list[tuple[int, str]] = []
        """(position of the sample with which a muted alert began, name of the interval)."""

    def open(self, place: int) -> Int64:
        """Positions of one batch's samples that streams may take in."""
        first, end = self._bounds[place : place + 2]
        return np.flatnonzero(self.outcomes[first:end] == Outcome.SCORED) + first

    def partition_of(self, position: int) -> Partition:
        """Partition of the sample at `position`."""
        return self.partitions[self._place_of(position)]

    def apart(self) -> list[ScoredBatch]:
        """[P] results of each batch."""
        alerts: list[list[Alert]] = [[] for _ in self.partitions]
        for position, alert in sorted(self.alerts, key=lambda pair: pair[0]):
            alerts[self._place_of(position)].append(alert)
        muted: list[list[str]] = [[] for _ in self.partitions]
        for position, interval in self.muted:
            muted[self._place_of(position)].append(interval)
        return [
            ScoredBatch(
                self.outcomes[first:end],
                self.expected[first:end],
                self.lower[first:end],
                self.upper[first:end],
                self.scores[first:end],
                self.statuses[first:end],
                tuple(alerts[place]),
                tuple(muted[place]),
            )
            for place, (first, end) in enumerate(pairwise(self._bounds))
        ]

    def _place_of(self, position: int) -> int:
        return bisect_right(self._bounds, position) - 1


def _side_by_side(columns: list[npt.NDArray[T]]) -> npt.NDArray[T]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)
