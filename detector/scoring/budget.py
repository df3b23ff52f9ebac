"""The alarm budget: alerts per stream and week as the surprise that spends it.

The budget is a tail probability per sample by the stream's own sampling interval, p = alerts per week x interval /
week. A stream that keeps being more surprising than that has a heavier tail than the pooled one; what it spent beyond
its budget raises its own price by log((spent + CREDIT) / (allowed + CREDIT)), a count of alarms over the exposure with
a gamma prior. Several samples of one disturbance are one alarm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]

WEEK_SECONDS = 7 * 86_400.0
INTERVAL_RATE = 1.0 / 32.0
FIRST_INTERVAL_SECONDS = 60.0
"""Assumed before the stream's own is known."""
LARGEST_PROBABILITY = 0.02
SMALLEST_PROBABILITY = 1e-12
CREDIT = 5.0
"""Alarms that a new stream may be ahead before its price moves by log 2."""
APART_SAMPLES = 10
KEEP = 1.0 - 1.0 / 50_000.0
"""Forgetting a sample: what was spent long ago no longer counts."""


class Budget:
    """Columns `interval_*`, the typical seconds between two samples, and `budget_*`, what was spent and allowed."""

    fields = (
        Field("interval_last", dtype="float64", initial=float("nan")),
        Field("interval_seconds", initial=-1.0),
        Field("budget_spent"),
        Field("budget_allowed"),
        Field("budget_calm", dtype="int8", initial=APART_SAMPLES),
    )

    def __init__(self, alerts_per_stream_week: float) -> None:
        self.alerts_per_stream_week = alerts_per_stream_week

    def interval(self, state: Columns, rows: Rows) -> Float64:
        """[B] typical seconds between two samples, > 0."""
        interval_B = state["interval_seconds"][rows].astype(np.float64)
        return np.where(interval_B > 0.0, interval_B, FIRST_INTERVAL_SECONDS)

    def since(self, state: Columns, rows: Rows, times_B: Float64) -> Float64:
        """[B] seconds since the last sample; NaN before the second one."""
        return np.asarray(times_B - state["interval_last"][rows])

    def _probability(self, state: Columns, rows: Rows) -> Float64:
        probability_B = self.alerts_per_stream_week * self.interval(state, rows) / WEEK_SECONDS
        return np.clip(probability_B, SMALLEST_PROBABILITY, LARGEST_PROBABILITY)

    def base(self, state: Columns, rows: Rows) -> Float64:
        """[B] surprise that spends the budget of a stream with the pooled tail."""
        return -np.log(self._probability(state, rows))

    def overspent(self, state: Columns, rows: Rows) -> Float64:
        """[B] what is added to the base where more was spent than allowed, >= 0."""
        spent_B = state["budget_spent"][rows].astype(np.float64)
        overspent_B = np.log((spent_B + CREDIT) / (state["budget_allowed"][rows] + CREDIT))
        return np.asarray(np.maximum(overspent_B, 0.0))

    def price(self, state: Columns, rows: Rows) -> Float64:
        """[B] surprise that is worth an alarm of this stream."""
        return self.base(state, rows) + self.overspent(state, rows)

    def has_spent(self, state: Columns, rows: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether an alarm was ever booked."""
        return np.asarray(state["budget_spent"][rows] > 0.0)

    def book(self, state: Columns, rows: Rows) -> None:
        """An alarm of each of these streams, beside those of `update`."""
        state["budget_spent"][rows] += 1.0

    def is_calm(self, state: Columns, rows: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether there was no alarm among the last samples, so that one now would be another."""
        return np.asarray(state["budget_calm"][rows] >= APART_SAMPLES)

    def update(self, state: Columns, rows: Rows, times_B: Float64, surprise_B: Float64) -> None:
        """Learn the interval, and book this round's surprise. A stream in its warm-up books 0."""
        probability_B = self._probability(state, rows)
        alarm_B = surprise_B > -np.log(probability_B)
        calm_B = state["budget_calm"][rows]
        keep = np.float32(KEEP)
        state["budget_spent"][rows] = state["budget_spent"][rows] * keep + (alarm_B & (calm_B >= APART_SAMPLES))
        state["budget_allowed"][rows] = state["budget_allowed"][rows] * keep + probability_B
        state["budget_calm"][rows] = np.where(alarm_B, 0, np.minimum(calm_B + 1, APART_SAMPLES))
        self._learn_interval(state, rows, times_B)

    def _learn_interval(self, state: Columns, rows: Rows, times_B: Float64) -> None:
        """A single gap counts at most four typical intervals."""
        step_B = np.fmax(self.since(state, rows, times_B), -1.0)
        typical_B = state["interval_seconds"][rows].astype(np.float64)
        learnt_B = typical_B + INTERVAL_RATE * (np.minimum(step_B, 4.0 * typical_B) - typical_B)
        learnt_B = np.where(typical_B > 0.0, learnt_B, np.minimum(step_B, WEEK_SECONDS))
        state["interval_seconds"][rows] = np.where(step_B > 0.0, learnt_B, typical_B)
        state["interval_last"][rows] = times_B
