"""The daily habit: how far the last hour or so departs from what this stream usually does at this time of day.

A profile of 96 quarters of an hour follows the stream with a memory of a week. The errors it leaves are smoothed over
an hour of event time, but over at least 8 and at most 64 samples. The unit of this departure is its own standard
deviation: noise around the profile leaves little of it, days that differ leave much. The view is open only while the
profile explains more than half of the stream's variance, measured on values that it had not seen yet; while closed, it
contributes nothing.

Shape legend: B rows of one call, H bins of a day.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY_SECONDS = 86_400.0
BINS = 96
BIN_SECONDS = DAY_SECONDS / BINS
MEMORY_DAYS = 7.0
SMOOTHING_SECONDS = 3_600.0
FEWEST, MOST = 8.0, 64.0
"""Limits of the smoothing in samples, whatever their interval."""
FIRST_DAYS = 1.0
"""History before the profile is judged."""
ERROR_MEMORY_DAYS = 4.0
EXPLAINED = 0.5
"""Share of the variance that the profile must explain to open the view."""
CAP = 16.0
"""A single square counts as at most this many times the mean square, after `CAP_AFTER` samples."""
CAP_AFTER = 50
MOST_COUNTED = 30_000


class Departure(NamedTuple):
    """Result of `DailyHabit.departure`; all [B]."""

    error: Float64
    """Value minus profile; 0 where the profile has no value yet."""
    smoothed: Float64
    """Mean of the last errors, including this one."""
    judged: Bools
    """The profile is old enough and has a value here."""
    is_open: Bools
    """Judged, and the profile explains enough of the variance to count."""


class DailyHabit:
    """Columns `habit_*`."""

    fields: tuple[Field, ...] = (
        Field("habit_profile", (BINS,)),
        Field("habit_counts", (BINS,), dtype="int16"),
        Field("habit_started", dtype="float64", initial=float("nan")),
        Field("habit_smoothed", dtype="float32"),
        Field("habit_mean"),
        Field("habit_variance", dtype="float64"),
        Field("habit_error", dtype="float64"),
        Field("habit_departure", dtype="float64"),
        Field("habit_judged", dtype="int32"),
    )

    def departure(
        self, state: Columns, rows: Rows, times_B: Float64, values_B: Float64, interval_seconds_B: Float64
    ) -> Departure:
        """Departure of the values from the habit; changes nothing."""
        at_B = _place(rows, times_B)
        known_B = state["habit_counts"].reshape(-1).take(at_B) > 0
        error_B = np.where(known_B, values_B - state["habit_profile"].reshape(-1).take(at_B), 0.0)
        smoothed_B = state["habit_smoothed"][rows].astype(np.float64)
        rate_B = 1.0 / np.clip(SMOOTHING_SECONDS / interval_seconds_B, FEWEST, MOST)
        smoothed_B = np.where(known_B, smoothed_B + rate_B * (error_B - smoothed_B), smoothed_B)
        judged_B = known_B & (times_B - state["habit_started"][rows] > FIRST_DAYS * DAY_SECONDS)
        return Departure(error_B, smoothed_B, judged_B, judged_B & self._explains(state, rows))

    def change(self, state: Columns, rows: Rows, since_B: Float64, now_B: Float64) -> Float64:
        """[B] change of the profile from one moment to another; 0 where it explains too little or has no value."""
        profile, counts = state["habit_profile"].reshape(-1), state["habit_counts"].reshape(-1)
        then_B, here_B = _place(rows, since_B), _place(rows, now_B)
        known_B = (counts[then_B] > 0) & (counts[here_B] > 0) & self._explains(state, rows)
        return np.where(known_B, profile[here_B].astype(np.float64) - profile[then_B], 0.0)

    def deviation(self, state: Columns, rows: Rows) -> Float64:
        """[B] the standard deviation of smoothed departures."""
        return np.sqrt(state["habit_departure"][rows])

    def update(
        self,
        state: Columns,
        rows: Rows,
        times_B: Float64,
        values_B: Float64,
        interval_seconds_B: Float64,
        departure: Departure,
    ) -> None:
        """Take in the values of this round."""
        started_B = state["habit_started"][rows]
        state["habit_started"][rows] = np.where(np.isnan(started_B), times_B, started_B)
        state["habit_smoothed"][rows] = departure.smoothed
        self._judge(state, rows, values_B, interval_seconds_B, departure)
        profile, counts = state["habit_profile"].reshape(-1), state["habit_counts"].reshape(-1)
        at_B = _place(rows, times_B)
        counted_B = np.minimum(counts.take(at_B) + 1, MOST_COUNTED)
        counts[at_B] = counted_B
        slowest_B = 1.0 / (MEMORY_DAYS * np.maximum(BIN_SECONDS / interval_seconds_B, 1.0))
        rate_B = np.maximum(1.0 / counted_B, slowest_B)
        usual_B = profile.take(at_B).astype(np.float64)
        profile[at_B] = usual_B + rate_B * (values_B - usual_B)

    @staticmethod
    def _explains(state: Columns, rows: Rows) -> Bools:
        return np.asarray(state["habit_error"][rows] < (1.0 - EXPLAINED) * state["habit_variance"][rows])

    def _judge(
        self, state: Columns, rows: Rows, values_B: Float64, interval_seconds_B: Float64, departure: Departure
    ) -> None:
        """Update the running variances of the values, of the profile's errors, and of the smoothed errors."""
        judged_B = departure.judged
        count_B = state["habit_judged"][rows] + judged_B
        state["habit_judged"][rows] = np.minimum(count_B, MOST_COUNTED)
        slowest_B = np.minimum(interval_seconds_B / (ERROR_MEMORY_DAYS * DAY_SECONDS), 1.0)
        rate_B = np.where(judged_B, np.maximum(1.0 / np.maximum(count_B, 1), slowest_B), 0.0)
        away_B = values_B - state["habit_mean"][rows]
        state["habit_mean"][rows] += rate_B * away_B
        # In Welford's form the first value has no deviation, so a single one cannot open the view.
        variance_B = (1.0 - rate_B) * away_B**2
        squares = (variance_B, departure.error**2, departure.smoothed**2)
        settled_B = count_B > CAP_AFTER
        for name, square_B in zip(("habit_variance", "habit_error", "habit_departure"), squares, strict=True):
            mean_B = state[name][rows]
            capped_B = np.where(settled_B, np.minimum(square_B, CAP * mean_B), square_B)
            state[name][rows] = mean_B + rate_B * (capped_B - mean_B)


def _place(rows: Rows, times_B: Float64) -> npt.NDArray[np.int64]:
    """[B] flat index of the bin for each time, its quarter of an hour of the (UTC) day."""
    return rows * BINS + np.floor(times_B / BIN_SECONDS).astype(np.int64) % BINS
