"""An alarm budget in alerts per stream and week as a tail probability per sample, by the stream's own interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]

WEEK_SECONDS = 7 * 86_400.0
INTERVAL_RATE = 1.0 / 32.0
LARGEST_PROBABILITY = 0.02
SMALLEST_PROBABILITY = 1e-8


class Budget:
    """Columns `interval_*`: the typical seconds between two samples; a single gap counts at most four of it."""

    fields = (Field("interval_last", dtype="float64", initial=float("nan")), Field("interval_seconds", initial=-1.0))

    def __init__(self, alerts_per_stream_week: float) -> None:
        self.alerts_per_stream_week = alerts_per_stream_week

    def surprise(self, state: Columns, rows: Rows) -> Float64:
        """[B] -log of the tail probability that spends the budget; a minute is assumed before the interval is known."""
        interval_B = state["interval_seconds"][rows].astype(np.float64)
        interval_B = np.where(interval_B > 0.0, interval_B, 60.0)
        probability_B = self.alerts_per_stream_week * interval_B / WEEK_SECONDS
        return -np.log(np.clip(probability_B, SMALLEST_PROBABILITY, LARGEST_PROBABILITY))

    def update(self, state: Columns, rows: Rows, times_B: Float64) -> None:
        """Learn the interval."""
        step_B = np.nan_to_num(times_B - state["interval_last"][rows], nan=-1.0)
        typical_B = state["interval_seconds"][rows].astype(np.float64)
        learnt_B = typical_B + INTERVAL_RATE * (np.minimum(step_B, 4.0 * typical_B) - typical_B)
        learnt_B = np.where(typical_B > 0.0, learnt_B, np.minimum(step_B, WEEK_SECONDS))
        state["interval_seconds"][rows] = np.where(step_B > 0.0, learnt_B, typical_B)
        state["interval_last"][rows] = times_B
