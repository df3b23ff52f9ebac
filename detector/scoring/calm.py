"""Streams calmer than ever before: noise that dies away, a season or jobs that fail to come.

The activity of a stream is the mean size of its residuals over two hours of event time, but over at least 16 and at
most 64 samples. Its level is the logarithm of the activity, clipped to a range in deviations of the residuals. (The
level itself is not in these deviations, which an outage inflates for good.) Novelty is how far the level is below the
lowest so far, in deviations of the level. It has a weight below 1 because neighbouring levels share samples. A level
enters the record one window late, so a calm does not excuse itself. Repeated values do not count here: `flatline.py`
judges them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]

WINDOW_SECONDS = 7_200.0
FEWEST, MOST = 16, 64
"""Limits of the window in samples, whatever their interval."""
PLACES = FEWEST
"""Levels waiting to enter the record, spread over a window."""
FIRST = 100.0
"""Samples before levels are recorded; after twice as many, levels are judged."""
LEAST_LEVEL, LARGEST_LEVEL = np.log(1e-3), 3.0
LEAST_DEVIATION = 0.1
WEIGHT = 0.7
NONE_YET = 1000.0
"""Stands for a lowest level that is not known yet; greater than every level."""


class Level(NamedTuple):
    """Result of `Calm.level`; all [B]."""

    activity: Float64
    """Mean size of the last residuals, including this one, in the stream's units."""
    level: Float64
    """Logarithm of the activity, clipped."""
    novelty: Float64
    """Weighted deviations below the lowest level on record; 0 until there is one."""


class Calm:
    """Columns `calm_*`."""

    fields: tuple[Field, ...] = (
        Field("calm_activity", dtype="float64"),
        Field("calm_seen", dtype="int32"),
        Field("calm_lowest", initial=NONE_YET),
        Field("calm_mean", dtype="float64"),
        Field("calm_squares", dtype="float64"),
        Field("calm_waiting", (PLACES,), initial=NONE_YET),
    )

    def level(
        self, state: Columns, rows: Rows, residual_B: Float64, deviation_B: Float64, interval_seconds_B: Float64
    ) -> Level:
        """Activity, level and novelty with these residuals; changes nothing. Deviations are positive."""
        seen_B = state["calm_seen"][rows].astype(np.float64)
        activity_B = state["calm_activity"][rows]
        rate_B = np.maximum(1.0 / _window(interval_seconds_B), 1.0 / (seen_B + 1.0))
        activity_B = activity_B + rate_B * (np.abs(residual_B) - activity_B)
        unit_B = np.maximum(deviation_B, np.finfo(np.float32).tiny)
        level_B = np.log(np.clip(activity_B, np.exp(LEAST_LEVEL) * unit_B, np.exp(LARGEST_LEVEL) * unit_B))
        counted_B = np.maximum(seen_B - FIRST, 1.0)
        deviation_B = np.maximum(np.sqrt(state["calm_squares"][rows] / counted_B), LEAST_DEVIATION)
        lowest_B = state["calm_lowest"][rows]
        known_B = (seen_B >= 2.0 * FIRST) & (lowest_B < NONE_YET)
        novelty_B = np.where(known_B, WEIGHT * np.maximum(lowest_B - level_B, 0.0) / deviation_B, 0.0)
        return Level(activity_B, level_B, novelty_B)

    def update(self, state: Columns, rows: Rows, level: Level, interval_seconds_B: Float64) -> None:
        """Take in the results of `level` for this round."""
        seen_B = state["calm_seen"][rows]
        counts_B = seen_B >= FIRST
        apart_B = _window(interval_seconds_B).astype(np.int64) // PLACES
        due = np.flatnonzero(seen_B % apart_B == 0)
        waiting, place_D = state["calm_waiting"], (seen_B[due] // apart_B[due]) % PLACES
        state["calm_lowest"][rows[due]] = np.minimum(state["calm_lowest"][rows[due]], waiting[rows[due], place_D])
        waiting[rows[due], place_D] = np.where(counts_B, level.level, NONE_YET)[due]
        away_B = np.where(counts_B, level.level - state["calm_mean"][rows], 0.0)
        mean_B = state["calm_mean"][rows] + away_B / np.maximum(seen_B - FIRST + 1.0, 1.0)
        state["calm_squares"][rows] += away_B * (level.level - mean_B)
        state["calm_mean"][rows] = mean_B
        state["calm_activity"][rows] = level.activity
        state["calm_seen"][rows] = np.minimum(seen_B, np.iinfo(np.int32).max - 1) + 1


def _window(interval_seconds_B: Float64) -> Float64:
    """[B] length of the window in samples."""
    return np.clip(WINDOW_SECONDS / interval_seconds_B, FEWEST, MOST)
