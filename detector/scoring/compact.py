"""The views of the compact profile: memories of few numbers, and stand-ins that keep no state and find nothing."""

from __future__ import annotations

import numpy as np

from detector.columns import Bool, Columns, Field, Rows
from detector.records import Float64
from detector.scoring.calm import Calm, Level
from detector.scoring.flatline import FlatLine
from detector.scoring.interval import SamplingInterval
from detector.scoring.recurrence import Recurrence
from detector.scoring.season import DailyHabit, Departure
from detector.scoring.views import Views
from detector.stats.few import FewNumbers
from detector.stats.moments import Moments, SidedMoments
from detector.stats.novelty import Distance, NoveltyMemory
from detector.stats.tail import PooledTail

VALUES, RESIDUALS = 9, 8
"""Numbers that a stream remembers, chosen so that all of its state fits in 1 KiB."""
TAIL = PooledTail(threshold=0.1, rate=0.002, mean_excess=0.237)
"""Measured on quiet synthetic streams, as the full profile's tail; a coarse memory finds less that is new."""
ALONE = 0.8
"""Most that one recurrence is worth, in deviations: too little for an alarm if samples are minutes apart. So a new
level alerts when it begins, not with each sample until it is established a day later."""


class CoarseMemory(FewNumbers):
    """A memory of few numbers far apart: one nearer to any than the closest two are to each other is not new.

    Beyond the smallest and the largest number, which are always kept, distances count in full.
    """

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        found, gap_B = super().distance(state, rows, times_B, numbers_B), self._gaps(state, rows)
        memory, number_B = state[self._memory], numbers_B.astype(np.float32)
        gap_B[(number_B < memory[:, 0][rows]) | (number_B > memory[:, -1][rows])] = 0.0
        any_B, established_B = (np.maximum(away_B - gap_B, 0.0) for away_B in (found.any, found.established))
        return Distance(any_B, established_B, found.is_return)

    def update(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64, distance: Distance) -> None:
        any_B = np.where(distance.any > 0.0, distance.any + self._gaps(state, rows), 0.0)
        super().update(state, rows, times_B, numbers_B, distance._replace(any=any_B))

    def _gaps(self, state: Columns, rows: Rows) -> Float64:
        return np.asarray(state[self._gap][rows], dtype=np.float64)


class NoHabit(DailyHabit):
    """No stream has a daily habit."""

    fields: tuple[Field, ...] = ()

    def departure(
        self, state: Columns, rows: Rows, times_B: Float64, values_B: Float64, interval_seconds_B: Float64
    ) -> Departure:
        zero_B, never_B = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.bool_)
        return Departure(zero_B, zero_B, never_B, never_B)

    def change(self, state: Columns, rows: Rows, since_B: Float64, now_B: Float64) -> Float64:
        return np.zeros(len(rows))

    def deviation(self, state: Columns, rows: Rows) -> Float64:
        return np.ones(len(rows))

    def update(
        self,
        state: Columns,
        rows: Rows,
        times_B: Float64,
        values_B: Float64,
        interval_seconds_B: Float64,
        departure: Departure,
    ) -> None:
        """Nothing to learn."""


class NoMemory(NoveltyMemory):
    """Nothing is remembered, and no number is new."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.fields = ()

    def seen(self, state: Columns, rows: Rows) -> Float64:
        return np.zeros(len(rows))

    def numbers(self, state: Columns, rows: Rows) -> Float64:
        return np.zeros((len(rows), 1))

    def smallest(self, state: Columns, rows: Rows) -> Float64:
        return np.full(len(rows), np.inf)

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        zero_B = np.zeros(len(rows))
        return Distance(zero_B, zero_B, np.zeros(len(rows), dtype=np.bool_))

    def update(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64, distance: Distance) -> None:
        """Nothing to learn."""


class NoCalm(Calm):
    """Calm is never new."""

    fields: tuple[Field, ...] = ()

    def level(
        self, state: Columns, rows: Rows, residual_B: Float64, deviation_B: Float64, interval_seconds_B: Float64
    ) -> Level:
        zero_B = np.zeros(len(rows))
        return Level(zero_B, zero_B, zero_B)

    def update(self, state: Columns, rows: Rows, level: Level, interval_seconds_B: Float64) -> None:
        """Nothing to learn."""


class NoRecurrence(Recurrence):
    """A lasting recurrence is worth no more than a single sample, and a repeated outage by itself is no alarm."""

    alone = ALONE

    fields: tuple[Field, ...] = ()

    def bound(self, state: Columns, rows: Rows) -> Float64:
        return np.full(len(rows), self.alone)

    def is_outage(self, returned_B: Float64, history_seconds_B: Float64) -> Bool:
        return np.zeros(len(returned_B), dtype=np.bool_)

    def update(self, state: Columns, rows: Rows, rare_B: Bool, interval_seconds_B: Float64) -> None:
        """Nothing to learn."""


def compact_views() -> Views:
    """Those of the compact profile: neither daily habit nor calm is judged."""
    return Views(
        values=CoarseMemory("value", VALUES),
        residuals=CoarseMemory("residual", RESIDUALS),
        departures=NoMemory("departure"),
        habit=NoHabit(),
        moments=SidedMoments("value"),
        residual_moments=Moments("residual"),
        flat=FlatLine(),
        calm=NoCalm(),
        recurrence=NoRecurrence(),
        interval=SamplingInterval(),
    )
