"""Mean and standard deviation of all that a stream has shown (Welford 1962), and its mean magnitude."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]


class Moments:
    """Count, mean and deviation over the whole history; `name` prefixes the columns."""

    def __init__(self, name: str) -> None:
        self._count = f"{name}_count"
        self._mean = f"{name}_mean"
        self._squares = f"{name}_squares"
        self._magnitude = f"{name}_magnitude"
        self.fields = (
            Field(self._count, dtype="float64"),
            Field(self._mean, dtype="float64"),
            Field(self._squares, dtype="float64"),
            Field(self._magnitude, dtype="float64"),
        )

    def count(self, state: Columns, rows: Rows) -> Float64:
        """[B] samples seen."""
        return np.asarray(state[self._count][rows], dtype=np.float64)

    def mean(self, state: Columns, rows: Rows) -> Float64:
        """[B] mean of the values; 0 before the first."""
        return np.asarray(state[self._mean][rows], dtype=np.float64)

    def deviation(self, state: Columns, rows: Rows, floor_of_magnitude: float) -> Float64:
        """[B] standard deviation, at least this share of the mean magnitude; positive."""
        variance_B = state[self._squares][rows] / np.maximum(state[self._count][rows], 1.0)
        floor_B = floor_of_magnitude * state[self._magnitude][rows]
        return np.maximum(np.maximum(np.sqrt(variance_B), floor_B), np.finfo(np.float32).tiny)

    def varies(self, state: Columns, rows: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether two values have differed."""
        return np.asarray(state[self._squares][rows] > 0.0)

    def update(self, state: Columns, rows: Rows, values_B: Float64) -> None:
        """Take in the values of this round."""
        count_B = state[self._count][rows] + 1.0
        away_B = values_B - state[self._mean][rows]
        mean_B = state[self._mean][rows] + away_B / count_B
        state[self._squares][rows] += away_B * (values_B - mean_B)
        state[self._magnitude][rows] += (np.abs(values_B) - state[self._magnitude][rows]) / count_B
        state[self._mean][rows] = mean_B
        state[self._count][rows] = count_B
