"""The alert budget: converts alerts per stream and week into the surprise that spends them.

The stream's sampling interval turns the budget into a tail probability per sample: p = alerts per week x interval /
week. A stream that keeps exceeding its budget has a heavier tail than the pooled one, so its price rises by
log((spent + CREDIT) / (allowed + CREDIT)): alarms counted over the exposure, with a gamma prior. Several samples of one
disturbance are one alarm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]

WEEK_SECONDS = 7 * 86_400.0
ASKED = 0.1
"""Alerts per stream and week that scores are made for: the default budget."""
LARGEST_PROBABILITY = 0.02
SMALLEST_PROBABILITY = 1e-12
CREDIT = 5.0
"""Alarms by which a new stream may exceed its budget before its price rises by log 2."""
APART_SAMPLES = 10
KEEP = 1.0 - 1.0 / 50_000.0
"""Share kept after each sample: alarms of long ago no longer count."""


def shortfall(alerts_per_stream_week: float) -> float:
    """Logarithm of how far a budget is below `ASKED`; 0 for one that is not."""
    return float(max(np.log(ASKED / alerts_per_stream_week), 0.0))


class Budget:
    """Columns `budget_*`: alarms spent and allowed.

    `budget_calm` counts the samples since the last alarm, up to `APART_SAMPLES`. An absurd value that starts a
    disturbance sets it below 0, from where it counts up whatever comes.
    """

    fields = (
        Field("budget_spent"),
        Field("budget_allowed"),
        Field("budget_calm", dtype="int8", initial=APART_SAMPLES),
    )

    def __init__(self, alerts_per_stream_week: float, surcharge: float = 0.0) -> None:
        """`surcharge` is the surprise asked beyond that of the pooled tail."""
        self.alerts_per_stream_week = alerts_per_stream_week
        self._surcharge = surcharge

    def _probability(self, interval_seconds_B: Float64) -> Float64:
        probability_B = self.alerts_per_stream_week * interval_seconds_B / WEEK_SECONDS
        return np.clip(probability_B, SMALLEST_PROBABILITY, LARGEST_PROBABILITY)

    def base(self, interval_seconds_B: Float64) -> Float64:
        """[B] surprise that just spends the budget of a stream with the pooled tail, plus the surcharge."""
        return self._surcharge - np.log(self._probability(interval_seconds_B))

    def overspent(self, state: Columns, rows: Rows) -> Float64:
        """[B] addition to the base for streams that spent more than allowed, >= 0."""
        spent_B = state["budget_spent"][rows].astype(np.float64)
        overspent_B = np.log((spent_B + CREDIT) / (state["budget_allowed"][rows] + CREDIT))
        return np.asarray(np.maximum(overspent_B, 0.0))

    def price(self, state: Columns, rows: Rows, interval_seconds_B: Float64) -> Float64:
        """[B] surprise worth an alarm of this stream."""
        return self.base(interval_seconds_B) + self.overspent(state, rows)

    def has_spent(self, state: Columns, rows: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether the stream ever booked an alarm."""
        return np.asarray(state["budget_spent"][rows] > 0.0)

    def book(self, state: Columns, rows: Rows) -> None:
        """Book one alarm for each of these streams, besides those that `update` books."""
        state["budget_spent"][rows] += 1.0

    def is_early(self, state: Columns, rows: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether an absurd value now starts a disturbance, or comes within `APART_SAMPLES` of one that did."""
        calm_B = state["budget_calm"][rows]
        return np.asarray((calm_B >= APART_SAMPLES) | (calm_B < 0))

    def update(
        self,
        state: Columns,
        rows: Rows,
        interval_seconds_B: Float64,
        surprise_B: Float64,
        absurd_B: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Book this round's alarms; `absurd_B` are those of values that are not learned.

        Samples that cannot alert, such as those in warmup, have surprise 0.
        """
        alarm_B = surprise_B > self.base(interval_seconds_B)
        calm_B = state["budget_calm"][rows]
        keep = np.float32(KEEP)
        state["budget_spent"][rows] = state["budget_spent"][rows] * keep + (alarm_B & (calm_B >= APART_SAMPLES))
        allowed_B = self._probability(interval_seconds_B)
        state["budget_allowed"][rows] = state["budget_allowed"][rows] * keep + allowed_B
        after_B = np.where(alarm_B & (calm_B >= 0), 0, np.minimum(calm_B + 1, APART_SAMPLES))
        if absurd_B is not None:
            after_B = np.where(absurd_B & (calm_B >= APART_SAMPLES), 1 - APART_SAMPLES, after_B)
        state["budget_calm"][rows] = after_B
