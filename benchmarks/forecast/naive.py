"""The forecasts to beat: last value, the best of nine exponential means chosen online, the value one day ago.

Shape legend: T rows of a series with a value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

EWMA_RATES = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
CHOICE_RATE = 1 / 200
DAY_SECONDS = 86_400.0


def naive_forecasts(times_T: Float64, values_T: Float64) -> dict[str, Float64]:
    """Name -> forecast of each value from those before it; the first is the value itself."""
    last = np.concatenate([values_T[:1], values_T[:-1]])
    return {"last_value": last, "best_ewma": _best_ewma(values_T), "day_ago": _day_ago(times_T, values_T, last)}


def _best_ewma(values_T: Float64) -> Float64:
    rates = np.array(EWMA_RATES)
    level, error = np.full(len(rates), values_T[0]), np.zeros(len(rates))
    out = np.empty(len(values_T))
    for row, value in enumerate(values_T):
        out[row] = level[error.argmin()]
        error += max(CHOICE_RATE, 1 / (row + 1)) * (np.abs(level - value) - error)
        level += np.maximum(rates, 1 / (row + 1)) * (value - level)
    return out


def _day_ago(times_T: Float64, values_T: Float64, last_T: Float64) -> Float64:
    """The latest value at least a day (less a second) old; the last value in the first day."""
    row = np.searchsorted(times_T, times_T - DAY_SECONDS + 1.0, side="right") - 1
    return np.where(row >= 0, values_T[np.maximum(row, 0)], last_T)
