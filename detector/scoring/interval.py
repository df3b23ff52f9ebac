"""The usual time between two samples of a stream, in seconds of event time."""

from __future__ import annotations

import numpy as np

from detector.columns import Columns, Field, Rows
from detector.records import Float64

RATE = 1.0 / 32.0
FIRST_SECONDS = 60.0
"""Assumed until the interval is known."""
LONGEST_FIRST_SECONDS = 7 * 86_400.0
"""Most that the first interval counts as."""
LONGEST_STEP = 4.0
"""Most intervals that one gap counts as."""

LAST = Field("interval_last", dtype="float64", initial=float("nan"))
"""Time of the last sample learned."""
INTERVAL = Field("interval_seconds", initial=-1.0)
"""Usual seconds between two samples; negative before the second one."""


class SamplingInterval:
    """Columns `interval_*`."""

    fields = (LAST, INTERVAL)

    def seconds(self, state: Columns, rows: Rows) -> Float64:
        """[B] usual seconds between two samples, > 0."""
        interval_B = state[INTERVAL.name][rows].astype(np.float64)
        return np.where(interval_B > 0.0, interval_B, FIRST_SECONDS)

    def since(self, state: Columns, rows: Rows, times_B: Float64) -> Float64:
        """[B] seconds since the last sample; NaN before the second one."""
        return np.asarray(times_B - state[LAST.name][rows])

    def update(self, state: Columns, rows: Rows, times_B: Float64) -> None:
        """Follow the usual interval."""
        step_B = np.fmax(self.since(state, rows, times_B), -1.0)
        usual_B = state[INTERVAL.name][rows].astype(np.float64)
        learnt_B = usual_B + RATE * (np.minimum(step_B, LONGEST_STEP * usual_B) - usual_B)
        learnt_B = np.where(usual_B > 0.0, learnt_B, np.minimum(step_B, LONGEST_FIRST_SECONDS))
        state[INTERVAL.name][rows] = np.where(step_B > 0.0, learnt_B, usual_B)
        state[LAST.name][rows] = times_B
